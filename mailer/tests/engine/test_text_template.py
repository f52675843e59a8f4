"""The text part of a message written as HTML only: made of the template, or of each message."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailer.engine import text_part
from mailer.engine.environment import OUTPUT_LIMITS
from mailer.engine.render import Content, TemplateProblem, compile_content
from mailer.engine.text_part import NoTextError, text_from_html
from mailer.engine.text_template import text_template

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
XHTML = (
    DECLARATION + '<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"'
    ' "http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">\n'
    '<html xmlns="http://www.w3.org/1999/xhtml"><body>'
    "<p>Dear {% if name %}{{ name }}{% else %}reader{% endif %}</p></body></html>"
)


def text_of(html: str, **variables: object) -> str:
    return compile_content(Content("s", html, "")).render(variables).text


@pytest.mark.parametrize(
    "html",
    [
        XHTML,
        DECLARATION + "<p>Dear {{ name }}</p>",
        "{% if name %}" + DECLARATION + "<p>Dear {{ name }}</p>{% endif %}",
        DECLARATION + "<ul>{% for i in '1' %}{% endfor %}</ul>Dear {{ name }}",
    ],
)
def test_xhtml_may_begin_with_an_xml_declaration(html: str) -> None:
    assert text_of(html, name="Ä 臺").split() == ["Dear", "Ä", "臺"]


@pytest.mark.parametrize("html", ["<!-- {% if name %}x{% endif %} -->", "<!-- x -->", "<!DOCTYPE>"])
def test_html_without_anything_to_show_is_an_error_of_the_text(html: str) -> None:
    with pytest.raises(TemplateProblem, match="text: no text can be made") as raised:
        compile_content(Content("s", html, ""))
    assert raised.value.part == "text"


PIECES = [
    *(
        "<?xml ",
        "?>",
        ' encoding="utf-16"',
        "<!--",
        "-->",
        "<![CDATA[",
        "<!DOCTYPE ",
        "<p>",
        "</p>",
    ),
    *('<a href="', '">', "</a>", "<table>", "<td>", "<ul>", "<li>", "<pre>", "<img alt=", "<q>"),
    *("<style>", "</style>", "<body>", "</html>", "<svg>", "&", "&#0;", "\0", "\ufeff", "\ue000"),
    *("{{ x }}", "{% if x %}", "{% else %}", "{% endif %}", "{%- endif -%}", "{% raw %}"),
    *("{% endraw %}", "{% for i in x %}", "{% endfor %}", "<", ">", '"', "'", "="),
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5)), max_size=20).map("".join))
def test_whatever_the_html_it_has_a_text_or_the_known_error(html: str) -> None:
    with suppress(NoTextError):
        text_from_html(html)
    with suppress(TemplateProblem):
        compile_content(Content("s", html, ""))


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ('<a href="https://y/?a=1&amp;region=EU&amp;copy=2">x</a>',
         "[x](https://y/?a=1&region=EU&copy=2)"),
        ("<p>&amp;lt;b&amp;gt;</p>", "&lt;b&gt;"),
        ("Hello<table><tr><td>one</td></tr></table>two", "Hello one two"),
        ('<p style="display:none"><!-- a -->b<?c?>d</p>e', "e"),
        ("<p>a<?b?>c</p>", "ac"),
        ("<q>a<b>b</b></q>", '"ab"'),
        ('<p><a href="https://x/">one<b>two</b></a>three</p>', "[onetwo](https://x/)three"),
    ],
)  # fmt: skip
def test_a_text_says_what_the_html_shows(html: str, text: str) -> None:
    assert text_from_html(html).split() == text.split()


BUY = '<a href="https://y/buy">%s</a>'


@pytest.mark.parametrize(
    "html",
    [
        BUY % "{% if vip %}Gold{% else %}<table><tr><td>Std</td></tr></table>{% endif %}",
        BUY % "{% if vip %}Gold{% else %}<a href='https://y/std'>Std</a>{% endif %}",
        "<p>{{ name }}{% if not vip %}<div></div>{% endif %}</p>end",
        "<p>{% if vip %}a</p><table><tr><td>b</td></tr></table><p>{% endif %}</p>",
        "a{% if vip %}<!--{% endif %} b -->",
        "<p> {%- if vip %}a{% endif %}</p>",
        "<p>a</p>{%- if vip -%} b {% endif %}",
        '<p style="display:{{ how }}">a</p>',
        "<a href={{ name }}>a</a>",
        "<a {{ name }}>a</a>",
        "<{{ how }}>a",
        "<p>&{{ how }};</p>",
        "<p>&#123;{{ how }}</p>",
    ],
)
def test_where_a_branch_or_a_value_changes_more_each_message_is_converted(html: str) -> None:
    assert text_template(html) is None
    renderer = compile_content(Content("s", html, ""))
    rendered = renderer.render({"vip": True, "name": "a b", "how": "none"})
    assert rendered.text == text_from_html(rendered.html)


@pytest.mark.parametrize(
    "html",
    [
        "<p>Dear {% if name %}{{ name }}{% else %}reader{% endif %},</p>",
        '<a href="{{ url }}">Leave</a><a href="https://y/{% if vip %}vip{% endif %}">x</a>',
        "<div>{% if vip %}<h2>Gold</h2><p>Dear <b>{{ name }}</b></p>{% endif %}</div>",
        "{% if vip %}Gold{% elif name %}<p><a href='https://y/'>Join</a></p>{% endif %}",
        "<table><tr><td>{% for i in items %}<p>{{ i }}<img alt='{{ i }}'></p>{% endfor %}</td>",
        "{% raw %}a{% endraw %}",
        '<div title="a > b"><p>{{ name }}</p></div><!-- a --><p class="{{ name }}">x</p>',
    ],
)
def test_what_is_usual_is_made_of_the_template(html: str) -> None:
    assert text_template(html) is not None


def test_html_only_gets_a_text_part() -> None:
    html = (
        '<h1>News</h1><p>Dear {{ name|default("a < b") }},</p>'
        "{% if vip %}<p>As a VIP</p>{% endif %}"
        "<ul><li>{% for i in items %}{{ i }} {% endfor %}</li></ul>"
        '<a href="{{ url }}">Leave</a>'
    )
    assert text_template(html) is not None
    variables = {"name": "<A&B>", "vip": True, "items": ["x", "y"], "url": "https://x/u?a=1&b=2"}
    text = compile_content(Content("s", html, "")).render(variables).text
    for part in ("News", "Dear <A&B>,", "As a VIP", "* x y", "[Leave](https://x/u?a=1&b=2)"):
        assert part in text
    assert "&lt;" not in text
    without = compile_content(Content("s", html, "")).render({**variables, "vip": False}).text
    assert "VIP" not in without


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ('<p><img src="cid:logo" alt="Spring  in\n{{ city }}">!</p>', "Spring in Älm & Co!"),
        ('<a href="https://x.example/"><img alt="Our shop"></a>', "[Our shop](https://x.example/)"),
        ('<img alt="{% if vip %}For you{% else %}For all{% endif %}"><p>x</p>', "For you\n\nx"),
        ('<p>one<img src="pixel.gif" alt=""><img src="x.png" title="t"></p>', "one"),
        ('<p>one<img src="x.png" alt="hidden" style="display:none"></p>', "one"),
        ("<table>{% for i in '12' %}<tr><td><img alt='{{ city }}'></td></tr>{% endfor %}</table>",
         "Älm & Co\nÄlm & Co"),
    ],
)  # fmt: skip
def test_a_text_part_has_the_alt_texts_of_images(html: str, text: str) -> None:
    values = {"city": "Älm & Co", "vip": True}
    assert compile_content(Content("s", html, "")).render(values).text.split() == text.split()


@pytest.mark.parametrize(
    "html",
    [
        "<table>{% for i in items %}<tr><td>{{ i }}</td></tr>{% endfor %}</table>",
        "<ul>{% for i in items %}<li>{{ i }}</li>{% endfor %}</ul>",
        "<p>&#123;&#123; items &#125;&#125;</p>{{ name }}",
        "<p {% if vip %}class=x{% endif %}>{% for i in items %}{{ i }}{% endfor %}</p>",
    ],
)
def test_html_whose_text_is_made_for_each_message(html: str) -> None:
    assert text_template(html) is None
    text = (
        compile_content(Content("s", html, ""))
        .render({"items": ["one", "two"], "vip": True, "name": "n"})
        .text
    )
    assert "{%" not in text
    assert ("one" in text and "two" in text) or "{{ items }}" in text


def test_the_text_of_a_looped_list_has_no_lines_of_the_loop() -> None:
    html = "<p>Hi</p><ul>{% for i in items %}<li>{{ i }}</li>{% endfor %}</ul>"
    text = compile_content(Content("s", html, "")).render({"items": ["one", "two"]}).text
    assert text == text_from_html("<p>Hi</p><ul><li>one</li><li>two</li></ul>")


@pytest.mark.parametrize(
    "html",
    [
        f'<p style="padding-left:{"9" * 400}em">x</p>',
        '<ol><li value="²">x</li></ol>',
        f'<p style="{"style:" * 2000}">x</p>',
        '<p align="style" valign="²" style="margin-top:99999em">x</p>',
    ],
)
def test_no_attribute_stands_in_the_way_of_a_text(html: str) -> None:
    for loop in ("", "<table>{% for i in '1' %}<tr></tr>{% endfor %}</table>"):
        text = compile_content(Content("s", html + loop, "")).render({}).text
        assert text.strip() in {"x", "1. x"}


@pytest.mark.parametrize("error", [OverflowError, ValueError, RecursionError])
def test_html_without_a_text_is_a_problem_of_this_message(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = "<table>{% for i in '1' %}<tr></tr>{% endfor %}</table>"
    renderer = compile_content(Content("s", loop, ""))

    def stumble(*_: object) -> str:
        raise error

    monkeypatch.setattr(text_part, "Inscriptis", stumble)
    with pytest.raises(TemplateProblem, match="text: no text can be made"):
        compile_content(Content("s", "<p>{{ name }}</p>", ""))
    for make in (renderer.render, renderer.write):
        with pytest.raises(TemplateProblem, match="text: no text can be made"):
            make({})


def test_a_text_is_not_much_longer_than_what_it_is_made_of() -> None:
    row = "<tr><td>{{ x if loop.first else 'a' }}</td><td>b</td></tr>"
    html = "<table>{% for i in y %}" + row + "{% endfor %}</table>"
    renderer = compile_content(Content("s", html, ""))
    text = renderer.render({"x": "x" * 60_000, "y": list(range(1900))}).text
    assert len(text) < 80_000
    assert text.endswith("a  b\n")
    deep = "<div><ul>" * 80 + "<li>a" * 1000
    assert len(text_from_html(deep)) < 100_000


def test_a_text_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    html = "<table>{% for i in y %}<tr><td>12345</td></tr>{% endfor %}</table>"
    renderer = compile_content(Content("s", html, ""))
    monkeypatch.setattr("mailer.engine.render.OUTPUT_LIMITS", {**OUTPUT_LIMITS, "text": 100})
    with pytest.raises(TemplateProblem, match="text: the result is longer than 100"):
        renderer.render({"y": list(range(20))})


# Messages as people write them, and as they should not.
VALUES = {
    "a": "Alpha", "b": "Beta <b>x</b> &amp; co", "e": "", "n": 3, "t": True, "f": False,
    "url": "https://x.example/?a=1&region=2", "items": ["one", "", "three <i>"],
    "rows": [{"x": "r1", "y": ""}, {"x": "r2", "y": "s2"}],
}  # fmt: skip
WORDS = ["word", "two words", " ", "\n", "&amp;lt", "&nbsp;", "x", '="', "<br>", "</p>", "<b>"]
OUTPUTS = ["{{ a }}", "{{ b }}", "{{ e }}", "{{ n }}", "{{ a|upper }}", "{{ e|default('z') }}"]
AROUND = [
    "<p>%s</p>", "<div>%s</div>", "<b>%s</b>", "<pre>%s</pre>", "<q>%s</q>", "<!-- %s -->",
    '<a href="https://y/">%s</a>', '<a href="{{ url }}">%s</a>', '<a href="{{ e }}">%s</a>',
    '<a href="https://y/{%% if t %%}1{%% endif %%}">%s</a>', '<span style="display:none">%s</span>',
    "<ul><li>%s</li><li>x</li></ul>", "<table><tr><td>%s</td><td>x</td></tr></table>",
    '<table><tr><td style="display:{{ a }}">%s</td></tr></table>', "<h1>%s</h1>",
    "{%% if t %%}%s{%% endif %%}", "{%% if f %%}%s{%% endif %%}",
    "{%% for i in items %%}%s{{ i }}{%% endfor %%}",
    "<ul>{%% for i in items %%}<li>%s{%% endfor %%}</ul>",
    "<table>{%% for r in rows %%}<tr><td>{{ r.x }}<td>{{ r.y }}%s{%% endfor %%}</table>",
    '<img alt="{{ e }}">%s<img alt="{%% if t %%}T{%% endif %%}">',
]  # fmt: skip
BRANCHES = st.tuples(
    st.sampled_from("tfe"), st.sampled_from(AROUND), st.sampled_from(AROUND), st.sampled_from(WORDS)
).map(lambda of: f"{{% if {of[0]} %}}{of[1] % of[3]}{{% else %}}{of[2] % of[3]}{{% endif %}}")
HTML = st.recursive(
    st.one_of(st.sampled_from(WORDS), st.sampled_from(OUTPUTS), BRANCHES),
    lambda inner: st.builds(
        lambda around, parts: around % "".join(parts),
        st.sampled_from(AROUND),
        st.lists(inner, min_size=1, max_size=3),
    ),
    max_leaves=12,
)


@settings(max_examples=600, deadline=None)
@given(st.lists(HTML, min_size=1, max_size=3).map("".join))
def test_a_text_made_of_the_template_is_that_of_the_message(html: str) -> None:
    try:
        renderer = compile_content(Content("s", html, ""))
    except TemplateProblem:
        return
    for values in (VALUES, {**VALUES, "t": False, "f": True, "items": [], "rows": []}):
        try:
            rendered = renderer.render(values)
            of_the_message = text_from_html(rendered.html)
        except (TemplateProblem, NoTextError):
            continue
        assert rendered.text.split() == of_the_message.split()


@pytest.mark.parametrize(
    ("html", "words"),
    [
        ("<style>p{}</style><section>Hello</section>", "Hello"),
        ("<title>N</title><header><h1>{{ name }}</h1></header><p>Dear", "{{ name }} Dear"),
        ("<title>x</title><footer>f <b>q</b></footer> tail <p>more</p>", "f q tail more"),
        ("<meta charset=utf-8><article>{{ name }}</article>", "{{ name }}"),
        ("<style>a</style><nav>1</nav><style>b</style>two<p>3</p>", "1 two 3"),
        ("<head><title>x</title></head><body><main>y</main></body>", "y"),
    ],
)
def test_what_stands_before_a_body_that_nobody_began_is_shown(html: str, words: str) -> None:
    made = text_template(html)
    assert made is not None
    assert made.split() == words.split()
    assert text_from_html(html).split() == words.split()
