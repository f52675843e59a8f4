"""Placeholders that people lack: found before a run fails on them."""

import pytest

from mailer.engine.render import Content, TemplateProblem, compile_content
from mailer.models import Suppression
from mailer.services.placeholders import count_lacking, needed_placeholders, unknown_placeholders
from mailer.services.writing import check_message
from mailer.tests import factories

pytestmark = [pytest.mark.database, pytest.mark.django_db]


@pytest.mark.parametrize(
    "source",
    [
        "{{ x }}",
        "{{ x|upper|default('d') }}",
        "{{ x.y|default('d') }}",
        "{{ y|default(x) }}",
        "{% if x == 1 %}b{% endif %}",
        "{% if y is defined %}{% else %}{{ x }}{% endif %}",
        "{% for i in x %}{{ i }}{% endfor %}",
        "{{ y or x }}",
    ],
)
def test_what_a_message_fails_without_is_needed(source: str) -> None:
    assert needed_placeholders(["", source]) == {"x"}
    with pytest.raises(TemplateProblem, match="x is missing"):
        compile_content(Content(subject=source, html="", text="x")).render({})


@pytest.mark.parametrize(
    "source",
    [
        "{{ x|default('d') }}",
        "{{ x|d('d')|upper }}",
        "{{ x or 'd' }}",
        "{{ 'a' if x is defined else 'b' }}",
        "{% if x %}{{ x }}{% endif %}",
        "{% if not x %}a{% else %}{{ x }}{% endif %}",
        "{% if x is defined and x == 1 %}{{ x }}{% endif %}",
        "{% if x|default('') == 'gold' %}{{ x }}{% endif %}",
        "{% for i in x|default('') %}{{ i }}{% endfor %}",
        "nothing",
    ],
)
def test_what_has_a_default_or_is_asked_for_is_not_needed(source: str) -> None:
    assert needed_placeholders([source]) == set()
    compile_content(Content(subject=source, html="", text="x")).render({})


def test_unknown_placeholders_and_what_was_probably_meant() -> None:
    factories.make_recipient(attributes={"city": "Rome", "城市": "台北", "Odd": None})
    source = (
        "{{ name }} {{ Name }} {{ E_Mail }} {{ City }} {{ 城市 }} {{ Odd }} {{ plan }} {{ Plan }}"
    )
    assert unknown_placeholders([source, "{{ city }}"]) == {
        "City": "city",
        "E_Mail": "address",
        "Name": "name",
        "Plan": "",
        "plan": "",
    }


def test_who_lacks_a_placeholder_is_counted_among_those_who_get_it(
    django_assert_num_queries: object,
) -> None:
    made = factories.make_list()
    for attributes in ({"city": "Rome", "城市": "台北"}, {"city": None}, {}, {}):
        factories.subscribe(factories.make_recipient(attributes=attributes), made)
    left_out = made.recipients.first()  # the newest
    assert left_out is not None
    Suppression.objects.create(address=left_out.address)
    factories.make_recipient()  # not on the list
    message = factories.make_message(
        html="{{ city }} {{ 城市 }} {{ plan|default('') }}", text="{{ name }} {{ plan }}"
    )
    mailing = factories.make_mailing(message=message, lists=[made, factories.make_list()])
    version = message.current
    assert version is not None
    with django_assert_num_queries(1):  # type: ignore[operator]
        assert count_lacking(mailing, version) == {"city": 1, "plan": 3, "城市": 2}
    assert count_lacking(factories.make_mailing(), version) == {}


def test_a_message_without_placeholders_of_its_own_asks_nothing(
    django_assert_num_queries: object,
) -> None:
    mailing = factories.make_mailing(recipients=1)
    version = mailing.message.current
    assert version is not None
    with django_assert_num_queries(0):  # type: ignore[operator]
        assert count_lacking(mailing, version) == {}


def test_what_minijinja_cannot_read_is_found_when_it_is_saved() -> None:
    findings = check_message(subject="s", html="", text="x\n{% for loop in items %}{% endfor %}")
    assert [(found.field, found.problem.kind) for found in findings] == [("text", "error")]
