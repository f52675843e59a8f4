"""People are found by any part of their address or name, in either database."""

import pytest
from django.db import connection

from mailer.models import Recipient
from mailer.services import searching
from mailer.services.searching import find_people
from mailer.tests.factories import make_recipient

pytestmark = [pytest.mark.database, pytest.mark.django_db]


@pytest.fixture
def people() -> dict[str, int]:
    rows = {
        "anna": ("anna.schmidt@post.example", "Anna Schmidt"),
        "bob": ("bob@company.example", 'Bob "the" O’Neill'),
        "zoe": ("zoe@company.example", "Zoë Anders"),
        "wang": ("w@taipei.example", "王小明"),
        "odd": ("per_cent@post.example", "100% Anna"),
    }
    return {key: make_recipient(address=a, name=n).pk for key, (a, n) in rows.items()}


@pytest.mark.parametrize(
    ("term", "whom"),
    [
        ("anna.schmidt@post.example", ["anna"]),  # whole
        ("ANNA.Schmidt@POST.example", ["anna"]),
        ("schmidt", ["anna"]),
        ("  Schmidt   anna ", ["anna"]),  # both words, in any order
        ("an schmidt", ["anna"]),  # one too short for a trigram
        ("zoe@", ["zoe"]),
        ("ZOË", ["zoe"]),
        ("@company.example", ["bob", "zoe"]),
        ("company", ["bob", "zoe"]),
        ('"the"', ["bob"]),
        ("o’neill", ["bob"]),
        ("王小明", ["wang"]),
        ("per_c", ["odd"]),
        ("100%", ["odd"]),
        ("erzcent", []),  # _ and % stand for themselves
        ("a%a", []),
        ("zo", ["zoe"]),  # too short: the beginning of an address
        ("nn", []),
        ("company\0", ["bob", "zoe"]),
        ("* OR anna", []),
        ("name:anna", []),
    ],
)
def test_by_any_part(people: dict[str, int], term: str, whom: list[str]) -> None:
    found = find_people(term)
    assert sorted(found.keys) == sorted(people[key] for key in whom)
    assert not found.more


def test_what_was_changed_or_deleted_is_found_as_it_is(people: dict[str, int]) -> None:
    Recipient.objects.filter(pk=people["anna"]).update(name="Carla Rossi")
    Recipient.objects.get(pk=people["bob"]).delete()
    assert find_people("rossi").keys == [people["anna"]]
    assert find_people("neill").keys == []
    assert find_people("company").keys == [people["zoe"]]


def test_more_than_the_limit_are_cut_and_said(people: dict[str, int]) -> None:
    found = find_people("example", limit=2)
    assert (len(found.keys), found.more) == (2, True)
    assert not find_people("example", limit=5).more


def test_without_its_index_the_beginning_of_an_address_finds(
    people: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(searching, "has_index", lambda: False)
    found = find_people("anna")
    assert (found.keys, found.by_beginning) == ([people["anna"]], True)
    assert find_people("schmidt").keys == []


def test_there_is_an_index(people: dict[str, int]) -> None:
    assert searching.has_index()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_seqscan = off")
            rows = searching._with_words(["schmidt"]).order_by().values_list("pk", flat=True)
            assert "mailer_recipient_search" in rows.explain()
