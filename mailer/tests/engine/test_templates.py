"""What staff may write in a message, and what becomes of it."""

from __future__ import annotations

import re
import resource
import threading
from time import process_time

import minijinja
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailer.engine.environment import bare_environment
from mailer.engine.preflight import render_bounded
from mailer.engine.render import (
    Content,
    Rendered,
    TemplateProblem,
    check_template,
    compile_content,
    placeholders,
)
from mailer.engine.template_check import FILTERS, TESTS, Problem


def render(text: str, **variables: object) -> str:
    return compile_content(Content("s", "", text)).render(variables).text


def render_html(html: str, **variables: object) -> str:
    return compile_content(Content("s", html, "t")).render(variables).html


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("Dear {{ name }},", "Dear Ann,"),
        ("{{ order.total }} {{ order['id'] }}", "9.5 7"),
        ("{% if vip %}VIP{% elif name %}friend{% else %}-{% endif %}", "friend"),
        ("{% for i in items %}{{ loop.index }}:{{ i }} {% endfor %}", "1:a 2:b "),
        ("{% for i in items if i != 'a' %}{{ i }}{% else %}none{% endfor %}", "b"),
        ("{{ missing|default('friend') }}", "friend"),
        ("{{ nothing|default('friend', true) }}", "friend"),
        ("{% if missing %}a{% else %}b{% endif %}", "b"),
        ("{{ 'a' if missing is defined else 'b' }}", "b"),
        ("{{ name|upper }} {{ name|lower }} {{ name|length }}", "ANN ann 3"),
        ("{{ items|join(', ') }} {{ items|first }} {{ items|last }}", "a, b a b"),
        ("{{ 'a long long name'|truncate(length=6, end='') }}", "a"),
        ("{{ price|round(1) }} {{ '3'|int }} {{ '1.5'|float }}", "1.2 3 1.5"),
        ("{{ 'a b'|urlencode }}", "a%20b"),
        ("{% if 1 < 2 and not (2 > 3 or 'x' in items) %}y{% endif %}", "y"),
        ("{% raw %}{{ name }}{% endraw %}", "{{ name }}"),
        ("a{# a remark #}b", "ab"),
        ("[{{ nothing }}][{{ nothing|upper }}][{{ order.note }}]", "[][][]"),
        (
            "[{{ none }}][{{ None }}][{{ nothing or none }}][{{ missing|default(None) }}]",
            "[][][][]",
        ),
        ("[{{ items|join(none) }}][{{ none|default('x') }}]", "[ab][]"),
        ("{{ yes }} {{ zero }}", "True 0"),
        ("{{ html }}", "<b>&</b>"),
        ("ends with a line\n", "ends with a line\r\n"),
    ],
)
def test_what_works(source: str, output: str) -> None:
    assert not check_template(source, html=False)
    variables: dict[str, object] = {
        "name": "Ann",
        "order": {"total": 9.5, "id": 7, "note": None},
        "items": ["a", "b"],
        "nothing": None,
        "vip": False,
        "yes": True,
        "zero": 0,
        "price": 1.23,
        "html": "<b>&</b>",
    }
    assert render(source, **variables) == output


@pytest.mark.parametrize(
    ("source", "line", "part"),
    [
        ("{% set x = 1 %}", 1, "set"),
        ("\n\n{{ 'a' * 100000000 }}", 3, "*"),
        ("{{ a ~ a }}", 1, "~"),
        ("{{ 1 + 1 }}", 1, "+"),
        ("{{ 2 ** 99 }}", 1, "“**”"),
        ("{% macro m() %}{% endmacro %}", 1, "macro"),
        ("{{ f() }}", 1, "call"),
        ("{{ name.upper() }}", 1, "call"),
        ("{% include 'x' %}", 1, "include"),
        ("{% import 'x' as y %}", 1, "import"),
        ("{% extends 'x' %}", 1, "extends"),
        ("{% block b %}{% endblock %}", 1, "block"),
        ("{% call f() %}{% endcall %}", 1, "call"),
        ("{% filter upper %}x{% endfilter %}", 1, "filter"),
        ("{% with a = 1 %}{% endwith %}", 1, "with"),
        ("{% autoescape false %}{% endautoescape %}", 1, ""),
        ("{{ range(9) }}", 1, "call"),
        ("{{ 'a'[0:1] }}", 1, "slice"),
        ("{{ [1, 2] }}", 1, "list"),
        ("{{ {'a': 1} }}", 1, "table"),
        ("{% for a in (1, 2) %}{% endfor %}", 1, "list"),
        ("{% for a in b recursive %}{% endfor %}", 1, "recursive"),
        ("a\n{{ x|safe }}", 2, '"safe"'),
        ("{{ x|replace('a', 'b') }}", 1, '"replace"'),
        ("{{ x|format(1) }}", 1, '"format"'),
        ("{{ x|center(900000000) }}", 1, '"center"'),
        ("{{ x|indent(900000000) }}", 1, '"indent"'),
        ("{{ x|slice(900000000) }}", 1, '"slice"'),
        ("{{ x|attr('y') }}", 1, '"attr"'),
        ("{{ x is callable }}", 1, '"callable"'),
        ("{{ x is nosuch }}", 1, '"nosuch"'),
        ("{{ x.__class__ }}", 1, "_"),
        ("{{ _private }}", 1, "_"),
        ("{{ none|upper }}", 1, "write '' instead of none"),
        ("{{ (x if y else None)|title }}", 1, "write '' instead of none"),
        ("{{ x|default(none)|capitalize }}", 1, "write '' instead of none"),
        ("a\n{{ name", 2, ""),
        ("a\n{% if x %}\nb", 2, ""),
        ("{{ }}", 1, ""),
        ("{% endif %}", 1, ""),
        ("{{ name }", 1, ""),
        ("{% nosuch %}", 1, ""),
        ("{% for i in x %}" + "y" * 10_001 + "{% endfor %}", 1, "inside a loop"),
        ("{{ x" + "|urlencode" * 9 + " }}", 1, "in a row"),
        ("y" * 500_001, 1, "longer than"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", 1, "nested"),
        ("{% if x %}" * 3000, 1, ""),
    ],
)
def test_what_is_refused_with_line_and_reason(source: str, line: int, part: str) -> None:
    problem = check_template(source, html=False)[0]
    assert (problem.line, problem.kind) == (line, "error")
    assert part in problem.reason
    with pytest.raises(TemplateProblem) as raised:
        compile_content(Content("s", "", source))
    assert (raised.value.part, raised.value.line) == ("text", line)


NO_SUMS = "not available in messages: they do not calculate"


@pytest.mark.parametrize(
    ("source", "line", "reason"),
    [
        ("a\n{% if x %}\n{{ b }}\n", 2, "{% if %} is not closed: write {% endif %} where it ends"),
        (
            "{% for a in b %}\n{% if a %}{% endif %}\n{% for c in d %}{% endfor %}",
            1,
            "{% for %} is not closed: write {% endfor %} where it ends",
        ),
        (
            "{% if a %}\n{% for b in c %}\n{% endif %}",
            3,
            "{% for %} is not closed yet: write {% endfor %} before {% endif %}",
        ),
        ("{% endif %}", 1, "{% endif %} has no {% if %} before it"),
        ("{% else %}", 1, "{% else %} has no {% if %} before it"),
        ("{% nosuch %}", 1, "{% nosuch %} is not available in messages"),
        ("{{ name", 1, "this is not closed: write }} where it ends"),
        ("{% if name", 1, "this is not closed: write %} where it ends"),
        ("{# a remark", 1, "{# is not closed: write #} where the remark ends"),
        ("{% raw %}{{ a }}", 1, "{% raw %} is not closed: write {% endraw %} where it ends"),
        ("{{ }}", 1, "something is missing before }}"),
        ("{% if %}", 1, "something is missing before %}"),
        ("{{ name| }}", 1, "a name is missing before }}"),
        (
            "{{ first name }}",
            1,
            "“name” is not expected here: a name is one word, and after it comes }} or |",
        ),
        ("{% if a = b %}{% endif %}", 1, "“=” does not compare: write == instead"),
        ("{% if a then %}{% endif %}", 1, "“then” is not expected before %}"),
        ("{% for a %}", 1, "“in” is missing: a loop is written {% for item in items %}"),
        ("{% for 'a' in b %}", 1, "a loop is written {% for item in items %}"),
        ("{% %}", 1, "after {% comes a word such as if or for"),
        ("{{ name. }}", 1, "a name is missing after the dot"),
        ("{% block a-b %}", 1, "what stands between the braces cannot be read"),
        ("{{ 'a }}", 1, "a quotation mark is not closed"),
        ("{{ name|default(“x”) }}", 1, "a curly quotation mark is none here: write ' or \""),
        ("{{ a && b }}", 1, "“&” cannot be written here"),
        ("{{ name|default('x' }}", 1, "“)” is missing before “}”"),
        ("{{ name) }}", 1, "“)” is not expected here"),
        (
            "{{ first-name }}",
            1,
            f"“-” between names is {NO_SUMS}, and a name is written with _ instead",
        ),
        ("{{ a / b }}", 1, f"“/” is {NO_SUMS} or join"),
        ("{% set x = 1 %}", 1, "{% set %} is not available in messages"),
    ],
)
def test_what_is_refused_is_said_in_plain_words(source: str, line: int, reason: str) -> None:
    assert check_template(source, html=False) == [Problem(line, reason)]


@given(st.text("{}%#'\"()|-= anif\n", max_size=40))
def test_no_problem_is_told_in_the_parsers_words(source: str) -> None:
    for problem in check_template(source, html=False):
        assert not re.search("Jinja|token|statement|expression|tag", problem.reason)


def test_every_problem_is_listed_in_order() -> None:
    source = "{{ b|safe }}\n{% set a = 1 %}\n{{ a ~ b }}"
    assert [problem.line for problem in check_template(source, html=True)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("source", "lines"),
    [
        ("<a href={{ url }}>", [1]),
        ("\n<a class=x\n href = {{ url\n}}>", [3]),
        ("<a href=https://x/{{ url }}>", [1]),
        ("<a {% if x %}href={{ url }}{% endif %}>", [1]),
        ('<a href="{{ url }}">{{ a }}={{ b }}</a>', []),
        ("<a href='x={{ url }}' title=\"a={{ b }}\">", []),
        ("a = {{ b }}", []),
        ("{# <a href={{ url }}> #}", []),
    ],
)
def test_placeholders_in_unquoted_attributes_are_warned_of(source: str, lines: list[int]) -> None:
    problems = check_template(source, html=True)
    assert [(p.line, p.kind) for p in problems] == [(line, "warning") for line in lines]
    assert check_template(source, html=False) == []


def test_placeholders() -> None:
    source = "{{ a.b }}{% for i in items %}{{ i }}{{ loop.index }}{% endfor %}{% if c %}{% endif %}"
    assert placeholders(source) == {"a", "items", "c"}
    assert placeholders("{{ broken") == set()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("a\n{{ name }}", "name"),
        ("a\n{{ name|upper }}", "name"),
        ("a\n{{ order.total }}", "order.total"),
        ("a\n{% for x in name %}{% endfor %}", "name"),
        ("a\n{% if name == 'x' %}{% endif %}", "name"),
        ("a\n{{ name|length }}", "name"),
    ],
)
def test_a_missing_placeholder_is_named(source: str, name: str) -> None:
    with pytest.raises(TemplateProblem) as raised:
        render(source, order={})
    assert raised.value.reason == f"{name} is missing"
    assert raised.value.line == 2
    assert str(raised.value) == f"text, line 2: {name} is missing"


def test_html_is_escaped_and_text_is_not() -> None:
    content = Content("{{ x }}", '<p title="{{ x }}">{{ x|e }}{{ x|upper }}</p>', "{{ x }}")
    rendered = compile_content(content).render({"x": "<i>\"&'"})
    assert rendered.subject == rendered.text == "<i>\"&'"
    assert "<i>" not in rendered.html
    assert "<I>" not in rendered.html
    assert "&amp;lt;" not in rendered.html
    assert 'title="&lt;i&gt;&quot;&amp;&#x27;"' in rendered.html


def test_joined_values_are_escaped_too() -> None:
    assert render_html("{{ x|join('<hr>') }}", x=["<b>", "c"]) == "&lt;b&gt;&lt;hr&gt;c"


def test_line_breaks_in_a_subject_become_spaces() -> None:
    renderer = compile_content(Content("A\n {{ x }} ", "", "t"))
    assert renderer.render({"x": "b\r\nBcc: c\u2028d\x85e\x0bf"}).subject == "A b Bcc: c d e f"


@pytest.mark.parametrize(
    "variables",
    [
        {"x": object()},
        {"x": b"bytes"},
        {"x": (1, 2)},
        {"x": {1: 2}},
        {"x": float("nan")},
        {"x": 2**64},
        {"x": "a" * 64_001},
        {"x": ["a" * 1000] * 100},
        {"x": [0] * 3000},
        {"x": [[[[[[[[1]]]]]]]]},
        {"x": type("Text", (str,), {"__html__": lambda self: "<script>"})("x")},
        {"x": "\ud800"},
    ],
)
def test_values_are_plain_data_of_bounded_size(variables: dict[str, object]) -> None:
    with pytest.raises(TemplateProblem) as raised:
        render("{{ x }}", **variables)
    assert raised.value.part == "values"


@pytest.mark.parametrize("name", ["self", "name", "template_name", "loop", "None", "a b", ""])
def test_any_name_may_be_a_placeholder(name: str) -> None:
    assert render("t", **{name: "x"}) == "t"


def test_memory_bombs_are_capped() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    long, many = "x" * 60_000, list(range(1900))
    bombs: list[tuple[str, dict[str, object]]] = [
        ("{{ x|join(x)|join(x) }}", {"x": long}),
        ("{{ y|join(x) }}", {"x": long, "y": many}),
        ("{% for a in y %}{{ x }}{% endfor %}", {"x": long, "y": many}),
        ("{% for a in x %}{{ x }}{% endfor %}", {"x": long}),
        ("{% for a in y %}{% for b in y %}x{% endfor %}{% endfor %}", {"y": many}),
        ("{% for a in y %}{% for b in y %}" + "x" * 9000 + "{% endfor %}{% endfor %}", {"y": many}),
        ("{% for a in y %}" + "x" * 9000 + "{% endfor %}", {"y": many}),
        ("{{ x }}" * 5000, {"x": long}),
        ("{{ x" + "|urlencode" * 8 + " }}", {"x": "%" * 60_000}),
    ]
    for source, variables in bombs:
        with pytest.raises(TemplateProblem) as raised:
            render(source, **variables)
        assert re.search("longer than|too many steps|join needs a list", raised.value.reason)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 300_000  # KiB


def test_nothing_is_left_in_the_environment_but_what_is_listed() -> None:
    probe = minijinja.Environment(pycompat=False)
    shown = probe.render_str("{{ debug() }}")

    def names(kind: str) -> set[str]:
        found = re.search(rf"{kind}: \[(.*?)\]", shown, re.DOTALL)
        assert found is not None
        return set(re.findall(r'"([a-z]\w*)"', found[1]))

    environment = bare_environment()
    assert environment.globals == {}
    for name in names("filters") - FILTERS:
        with pytest.raises(minijinja.TemplateError, match="unknown filter"):
            environment.render_str("{{ 1|" + name + " }}")
    for name in names("tests") - TESTS:
        with pytest.raises(minijinja.TemplateError, match=r"unknown test|unexpected"):
            environment.render_str("{{ 1 is " + name + " }}")


def test_threads_may_share_a_renderer() -> None:
    renderer = compile_content(Content("s", "", "{{ x }}"))
    failures: list[str] = []

    def work(n: int) -> None:
        for _ in range(200):
            text = renderer.render({"x": str(n) * 5000}).text
            if set(text) != set(str(n)):
                failures.append(text)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_message_without_text_or_html_is_refused() -> None:
    with pytest.raises(TemplateProblem, match="empty"):
        compile_content(Content("s", " ", "\n"))


def test_text_only() -> None:
    rendered = compile_content(Content("s", "", "t {{ x }}")).render({"x": 1})
    assert rendered == Rendered("s", "", "t 1")


@settings(max_examples=200, deadline=None)
@given(st.text("{}%#-+ rawend\n'\"xi|()~*=", max_size=40))
def test_whatever_jinja2_lets_through_minijinja_reads_alike(source: str) -> None:
    """The checker and the renderer are two parsers: what one takes for text, so must the other."""
    try:
        render(source, x="1", i="2")
    except TemplateProblem:
        return
    assert check_template(source, html=False) == []


def test_the_first_render_in_a_child_process() -> None:
    content = Content("Héllo {{ name }}", "<p>{{ name }}</p>", "{{ name }}")
    rendered = render_bounded(content, {"name": "繁體"}, timeout=10, memory_bytes=2**29)
    assert rendered == compile_content(content).render({"name": "繁體"})


def test_a_problem_in_the_child_process_is_the_same_problem() -> None:
    with pytest.raises(TemplateProblem) as raised:
        render_bounded(Content("s", "", "a\n{{ name }}"), {}, timeout=10, memory_bytes=2**29)
    problem = raised.value
    assert (problem.part, problem.line, problem.reason) == ("text", 2, "name is missing")


def test_a_child_process_out_of_memory_or_time() -> None:
    bomb = "{% for a in y %}{% for b in y %}" + "x" * 9000 + "{% endfor %}{% endfor %}"
    with pytest.raises(TemplateProblem, match="memory or time"):
        render_bounded(Content("s", "", bomb), {"y": [0] * 1000}, timeout=10, memory_bytes=2**24)
    with pytest.raises(TemplateProblem, match="longer than"):
        render_bounded(Content("s", "", "t"), {}, timeout=0.001, memory_bytes=2**29)
    with pytest.raises(TemplateProblem, match="plain data"):
        render_bounded(Content("s", "", "t"), {"x": object()}, timeout=1, memory_bytes=2**29)


def test_the_child_process_does_not_see_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONSTARTUP_SECRET", "x")
    seen: dict[str, object] = {}

    def run(*_arguments: object, **options: object) -> None:
        seen.update(options)
        raise TypeError

    monkeypatch.setattr("subprocess.run", run)
    with pytest.raises(TemplateProblem):
        render_bounded(Content("s", "", "t"), {}, timeout=1, memory_bytes=2**29)
    assert seen["env"].keys() == {"PYTHONPATH", "PYTHONIOENCODING"}  # type: ignore[attr-defined]


def test_problems_are_values() -> None:
    assert Problem(1, "x") == Problem(1, "x", "error")


@pytest.mark.parametrize(
    "source",
    ["{{ d.items }}", "{{ d.update }}", "{{ l.count }}", "{{ l['append'] }}", "{{ d.copy }}"],
)
def test_what_json_does_not_hold_is_missing(source: str) -> None:
    """Of a dict, minijinja would give the methods as well."""
    with pytest.raises(TemplateProblem, match="missing"):
        render(source, d={"k": "v"}, l=["a"])
    assert render(source.replace(" }}", "|default('no') }}"), d={"k": "v"}, l=["a"]) == "no"


def test_objects_and_arrays_do_what_json_does() -> None:
    source = (
        "{{ d.items }}{{ d['k'] }}{{ l[0] }}{{ l|last }}{{ l|join('-') }}{{ d|length }}"
        "{% for i in l %}{{ loop.index }}{{ i }}{% endfor %}{% for k in d %}{{ k }}{% endfor %}"
        "{{ 'y' if 'a' in l else 'n' }}{{ 'y' if none else 'n' }}"
    )
    output = render(source, d={"k": "v", "items": [1]}, l=["a", "b"], none=[])
    assert output == "[1]vaba-b21a2bkitemsyn"


@pytest.mark.parametrize(
    "source",
    ["{{ ((x|upper|lower|upper|lower|upper) or x)|upper|lower|upper|lower }}", "{{ '%s' }}"],
)
def test_no_expression_makes_much_of_one_value(source: str) -> None:
    problems = check_template(source.replace("%s", "a" * 1001), html=False)
    assert {problem.kind for problem in problems} == {"error"}


@pytest.mark.parametrize("tag", ["<a", "<a \"'", "<a'\"x", "<a =' ", '<a "'])
def test_many_open_tags_are_looked_through_once(tag: str) -> None:
    begun = process_time()
    check_template(tag * (200_000 // len(tag)), html=True)
    assert process_time() - begun < 10  # it took minutes


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("\n" + ("{{ a" + "|e" * 300 + " }}") * 10, "nested too deeply"),
        ("\n" + "{% if a %}" * 101 + "x" + "{% endif %}" * 101, "nested too deeply"),
        ("{{ a|e }}" * 20_000, "more than 20,000 values, texts and tags"),
        ("\n" + ("{{ a" + "|e" * 90 + " }}") * 200, "more than 8 filters in a row"),
    ],
)
def test_what_would_take_long_to_check_is_refused_at_once(source: str, reason: str) -> None:
    begun = process_time()
    problem = check_template(source, html=True)[0]
    assert problem.reason == reason
    assert problem.line == (2 if source.startswith("\n") else 1)
    assert process_time() - begun < 3


def test_what_filters_make_longer_is_counted() -> None:
    with pytest.raises(TemplateProblem, match="longer than"):
        render("{{ x|urlencode|urlencode|urlencode|urlencode }}" * 20, x="😀" * 15_000)
