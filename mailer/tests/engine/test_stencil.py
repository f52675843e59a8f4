"""Filling in values gives what rendering the whole template gives, to the octet."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailer.engine.render import Content, TemplateProblem, Written, compile_content
from mailer.engine.stencil import make_stencil, split_values

VALUES = {"name": "Zoë <b>", "town": {"name": "台北"}, "n": 7, "none": None, "items": ["a", "b"]}
OUTPUTS = [
    "{{ name }}", "{{name}}", "{{ name|upper }}", '{{ gone|default("}}") }}', "{{ town.name }}",
    "{{ n }}", "{{ none }}", "{{ items|join(', ') }}", "{{ 'a' if n else 'b' }}", "{{- name -}}",
    "{{ name\n}}", "{{ missing }}", "{{ odd }}", "{{ '\x1f' }}", "{{ '{{ name }}' }}", "{# no #}",
    "{% if n %}x{% endif %}", "{{ name|safe }}", "{{ name|e }}",
    '{{ "a\nb"|length }}', "{{ 'y' if odd == 'a\nb' else 'n' }}",
]  # fmt: skip
TEXTS = ["", ".", "\n", "\r\n", "\r", " ", "\n\n", "é" * 400, "x" * 990, "\0", "{", "}}", "\x1f"]
SOURCES = st.lists(
    st.one_of(st.sampled_from(OUTPUTS), st.sampled_from(TEXTS), st.text(max_size=20))
).map("".join)


def slow(content: Content, values: dict[str, object]) -> object:
    try:
        return parts(compile_content(content).render(values).written())
    except TemplateProblem as problem:
        return str(problem)


def fast(content: Content, values: dict[str, object]) -> object:
    try:
        return parts(compile_content(content).write(values))
    except TemplateProblem as problem:
        return str(problem)


def parts(written: Written) -> list[object]:
    bodies = [body for body in (written.html, written.text) if body is not None]
    return [written.subject, *((body.octets, body.is_ascii, body.fits) for body in bodies)]


@given(SOURCES, SOURCES, SOURCES, st.one_of(st.text(), st.sampled_from([*TEXTS, "y" * 2000])))
@example("{{ name }}", "", "\r\n{{ odd }}", "")
@example("s", "<p>{{ odd }}</p>", "{{ odd }}", "a\nb")
@example("s", "<p>{{ odd }}</p>", "{{ odd }}", "a\x1fb")
@example("s", "x" * 990 + "{{ odd }}", "t", "123456789")
@example("{{ odd }}" * 20, "", "t", "y" * 60)
@example("a\n" * 180, "", "{{ 'a\nb'|length }}", "")
@example("s", "", "{{ gone|default('}}') }}{{ name }}", "")
def test_both_ways_agree(subject: str, html: str, text: str, odd: str) -> None:
    content, values = Content(subject, html, text), {**VALUES, "odd": odd}
    assert fast(content, values) == slow(content, values)


def test_the_usual_message_is_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    content = Content("Hi {{ name }}", "<p>{{ name }}</p>\n", "Dear {{ name }},\r\nbye")
    renderer = compile_content(content)
    monkeypatch.setattr(renderer, "_render_all", None)
    written = renderer.write(VALUES)
    assert written.subject == "Hi Zoë <b>"
    assert written.html is not None
    assert written.html.octets == "<p>Zoë &lt;b&gt;</p>\r\n".encode()
    assert written.text.octets == "Dear Zoë <b>,\r\nbye\r\n".encode()
    assert not written.text.is_ascii


@pytest.mark.parametrize("source", ["{% if n %}x{% endif %}", "{{- name }}", "{# no #}x"])
def test_more_than_values_is_rendered_whole(source: str) -> None:
    assert split_values(source) is None
    assert make_stencil("s", None, source) is None
