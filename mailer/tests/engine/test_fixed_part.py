"""What everybody gets of a template is never counted too high."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.engine.bodies import write_body
from mailer.engine.fixed_part import fixed_octets
from mailer.engine.render import Content, TemplateProblem, compile_content


@pytest.mark.parametrize(
    ("source", "octets"),
    [
        ("", 0),
        ("  hello\n", 5),
        ("a\nb\r\nc\rd", 10),
        ("字{{ name }}é", 5),
        ("ab{# no #}c", 3),
        ("{% if a %}xxxx{% endif %}yy", 2),
        ("{% if a %}xxxx{% else %}zzz{% endif %}yy", 5),
        ("{% if a %}xxxx{% elif b %}z{% else %}zzz{% endif %}yy", 3),
        ("{% if a %}xxxx{% elif b %}zzz{% endif %}", 0),
        ("{% for i in items %}xxxx{% endfor %}yy", 2),
        ("{% if a %}{% for i in items %}xx{% endfor %}aaa{% else %}bb{% endif %}", 2),
    ],
)
def test_the_shortest_way_through_it(source: str, octets: int) -> None:
    assert fixed_octets(source) == octets


_TEXTS = st.text(alphabet="ab é字\n\r\t", max_size=6)
_TEMPLATES = st.recursive(
    st.one_of(_TEXTS, st.just("{{ a }}")),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("{{% if a %}}{0[0]}{{% else %}}{0[1]}{{% endif %}}".format),
        inner.map("{{%- if b -%}}{}{{% endif %}}".format),
        st.tuples(inner, inner).map(
            "{{% for i in c %}}{0[0]}{{% else %}}{0[1]}{{% endfor %}}".format
        ),
    ),
    max_leaves=12,
)


@given(_TEMPLATES, st.booleans(), st.booleans(), st.sampled_from([[], ["x"], ["x", "y"]]))
def test_nobody_gets_less(template: str, a: bool, b: bool, c: list[str]) -> None:
    source = f"begin\n{template}\nend"
    try:
        renderer = compile_content(Content("s", "", source))
    except TemplateProblem:
        return  # no template that can be written
    text = renderer.render({"a": "A" if a else "", "b": b, "c": c}).text
    assert fixed_octets(source) <= len(write_body(text).octets)
