"""What a row of a recipient file means; what a file that cannot be read leaves behind."""

import csv
from pathlib import Path

import pytest

from mailer.engine.render import Content, compile_content
from mailer.exceptions import ImportRefused
from mailer.models import Consent, MailingList, Recipient, Subscription
from mailer.models.recipient import time_zone_names
from mailer.services.column_names import placeholder_name
from mailer.services.importing import Report, import_file, write_rejected
from mailer.services.lists import free_slug
from mailer.states import SubscriptionState
from mailer.tests.factories import NOW, make_list, make_recipient, subscribe

pytestmark = [pytest.mark.database, pytest.mark.django_db]


@pytest.fixture
def news() -> MailingList:
    return make_list("News")


def load(tmp_path: Path, text: str | bytes, news: MailingList) -> Report:
    path = tmp_path / "people.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return import_file(path, mailing_list=news, now=NOW)


def counts(report: Report) -> tuple[int, int, int, int]:
    return report.created, report.updated, report.unchanged, len(report.rejected)


def test_columns_become_fields_and_attributes(tmp_path: Path, news: MailingList) -> None:
    report = load(
        tmp_path,
        "\ufeffE-Mail,Name,Time Zone,City,Plan\n"
        "ann@bücher.example,Ann Müller,Europe/Berlin,Köln,\n"
        "wang@people.example,王小明,Asia/Taipei,台北,gold\n",
        news,
    )
    assert counts(report) == (2, 0, 0, 0)
    ann = Recipient.objects.get(name="Ann Müller")
    assert (ann.address, ann.domain) == ("ann@bücher.example", "xn--bcher-kva.example")
    assert (ann.time_zone, ann.attributes) == ("Europe/Berlin", {"city": "Köln"})
    assert news.recipients.count() == 2
    consent = Consent.objects.filter(subscription__recipient=ann).get()
    assert (consent.source, consent.evidence, consent.state) == (
        "import",
        "people.csv",
        "subscribed",
    )


def test_the_list_of_time_zones_is_read_once(tmp_path: Path, news: MailingList) -> None:
    time_zone_names.cache_clear()
    rows = "".join(f"p{n}@people.example,Asia/Taipei\n" for n in range(3))
    load(tmp_path, f"address,time_zone\n{rows}", news)
    assert (time_zone_names.cache_info().misses, time_zone_names.cache_info().hits) == (1, 2)


def test_again_changes_nothing_and_news_are_taken_over(tmp_path: Path, news: MailingList) -> None:
    text = "address,name,city\nann@people.example,Ann,Rome\nbob@people.example,Bob,\n"
    load(tmp_path, text, news)
    assert counts(load(tmp_path, text, news)) == (0, 0, 2, 0)
    changed = "address,name,city\nANN@PEOPLE.example,,Paris\nbob@people.example,,\n"
    assert counts(load(tmp_path, changed, news)) == (0, 1, 1, 0)
    ann = Recipient.objects.get(name="Ann")  # an empty cell takes nothing away
    assert ann.attributes == {"city": "Paris"}
    assert Consent.objects.count() == 2


def test_who_unsubscribed_stays_unsubscribed(tmp_path: Path, news: MailingList) -> None:
    gone = make_recipient("gone@people.example")
    subscribe(gone, news, SubscriptionState.UNSUBSCRIBED)
    report = load(tmp_path, "address\ngone@people.example\n", news)
    assert Subscription.objects.get().state == SubscriptionState.UNSUBSCRIBED
    assert (counts(report), report.added) == ((0, 0, 1, 0), 0)


def test_who_is_known_already_is_counted_as_added_to_a_list(
    tmp_path: Path, news: MailingList
) -> None:
    make_recipient("ann@people.example")
    text = "address\nann@people.example\nbob@people.example\n"
    first, again = load(tmp_path, text, news), load(tmp_path, text, news)
    assert (counts(first), first.added) == ((1, 0, 1, 0), 2)
    assert (counts(again), again.added) == ((0, 0, 2, 0), 0)


def test_each_bad_row_is_kept_with_its_line_and_reason(tmp_path: Path, news: MailingList) -> None:
    report = load(
        tmp_path,
        "address,name,time_zone\n"
        "good@people.example,Good,\n"
        "not an address,X,\n"
        "good@People.example,Twice,\n"
        "jürgen@people.example,Jürgen,\n"
        "zone@people.example,Zone,Mars/Olympus\n"
        "long@people.example,Long,,x,y\n"
        "=cmd()@people.example,Formula,\n"
        f"{'x' * 65}@people.example,Long,\n",
        news,
    )
    assert counts(report) == (1, 0, 0, 7)
    write_rejected(report, tmp_path / "rejected.csv")
    with (tmp_path / "rejected.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["rejected_line"] for row in rows] == ["3", "4", "5", "6", "7", "8", "9"]
    assert "line 2" in rows[1]["rejected_reason"]
    assert "outside ASCII" in rows[2]["rejected_reason"]
    assert "Mars/Olympus" in rows[3]["rejected_reason"]
    assert "5 cells where the header has 3" in rows[4]["rejected_reason"]
    assert rows[4][None] == ["x", "y"]  # type: ignore[index]


def test_the_mended_file_can_be_imported_as_it_is(tmp_path: Path, news: MailingList) -> None:
    report = load(tmp_path, 'address,name\nnobody,Ann\nann@people.example,"A\nB"\n', news)
    assert counts(report) == (0, 0, 0, 2)  # a line break in a name is none
    write_rejected(report, tmp_path / "rejected.csv")
    text = (tmp_path / "rejected.csv").read_text().replace("nobody", "nobody@people.example")
    again = load(tmp_path, text, news)
    assert counts(again) == (1, 0, 0, 1)
    assert Recipient.objects.get().attributes == {}
    write_rejected(again, tmp_path / "rejected.csv")
    assert (tmp_path / "rejected.csv").read_text().count("rejected_line") == 1


def test_two_domains_that_only_look_alike_are_two_people(tmp_path: Path, news: MailingList) -> None:
    report = load(tmp_path, "address\nuser@faß.de\nuser@fass.de\nUSER@FASS.de\n", news)
    assert counts(report) == (2, 0, 0, 1)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_semicolons_and_tabs_divide_as_commas_do(
    tmp_path: Path, news: MailingList, mark: str
) -> None:
    rows = [["name", "E-Mail", "city"], ["Ann", "ann@people.example", "Rome, Italy; Europe"]]
    text = "\r\n".join(mark.join(f'"{cell}"' for cell in row) for row in rows)
    assert counts(load(tmp_path, text, news)) == (1, 0, 0, 0)
    assert Recipient.objects.get().attributes == {"city": "Rome, Italy; Europe"}


def test_a_name_loses_what_would_reorder_the_text_around_it(
    tmp_path: Path, news: MailingList
) -> None:
    load(tmp_path, "address,name\nann@people.example,Ann\u202e Doe\u2069\n", news)
    assert Recipient.objects.get().name == "Ann Doe"


def test_missing_last_cells_are_empty(tmp_path: Path, news: MailingList) -> None:
    text = "address,name,city\nann@people.example\nbob@people.example,Bob\n"
    assert counts(load(tmp_path, text, news)) == (2, 0, 0, 0)
    assert Recipient.objects.get(name="Bob").attributes == {}


def test_the_line_of_a_row_is_its_first(tmp_path: Path, news: MailingList) -> None:
    text = 'address,note\n\nann@people.example,"a\nb\nc"\nnobody,"d\ne"\nann@people.example,\n'
    report = load(tmp_path, text, news)
    assert [rejected.raw.line for rejected in report.rejected] == [6, 8]
    assert "line 3" in report.rejected[1].reason


@pytest.mark.parametrize("rows", ["", "nobody\nnobody else\n"])
def test_without_a_good_row_no_list_is_made(tmp_path: Path, rows: str) -> None:
    new = MailingList(name="New", slug="new")
    load(tmp_path, f"address\n{rows}", new)
    assert not MailingList.objects.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no column"),
        (b"name,city\nAnn,Rome\n", "no column"),
        (
            b"address,Post-Code,x,post code\nann@people.example,a,b,c\n",
            r"columns 2 \(“Post-Code”\) and 4 \(“post code”\) would both be called “post_code”",
        ),
        (b"email,address\na@people.example,b@people.example\n", "both be called “address”"),
        (b"address,,city\nann@people.example,,Rome\n", "column 2 has no name"),
        (b"address,city,\na@people.example,,\nb@people.example,,x\n", "column 3 .* in line 3"),
        ("address,name\nann@people.example,Ann\n".encode("utf-16"), "UTF-8"),
        ("address,name\nann@people.example,J\xfcrgen\n".encode("latin-1"), "UTF-8"),
        (b'address,name\nann@people.example,"never closed\n', "cannot be read"),
        (b"PK\x03\x04\xff\xfe not a csv", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_changes_nothing(
    tmp_path: Path, news: MailingList, content: bytes, words: str
) -> None:
    with pytest.raises(ImportRefused, match=words) as refused:
        load(tmp_path, content, news)
    assert "Nothing was changed." in str(refused.value)
    assert not Recipient.objects.exists()


def test_a_file_that_breaks_in_the_middle_changes_nothing(
    tmp_path: Path, news: MailingList
) -> None:
    lines = [f"p{n}@people.example" for n in range(5000)]
    with pytest.raises(ImportRefused):
        load(tmp_path, "\n".join(["address", *lines]).encode() + b"\n\xff@people.example\n", news)
    assert not Recipient.objects.exists()


@pytest.mark.parametrize(
    ("heading", "name"),
    [
        (" Post-Code ", "post_code"),
        ("Plan (2026), in €", "plan_2026_in"),
        ("first  name", "first_name"),
        ("城市", "城市"),
        ("E-Mail", "address"),
        ("_private", "private"),
        ("2024", "column_2024"),
        ("Not", "column_not"),
        ("#", "column_3"),
        (" ", ""),
    ],
)
def test_whatever_a_column_is_called_a_message_can_say_it(heading: str, name: str) -> None:
    assert placeholder_name(heading, position=3) == name
    assert placeholder_name(name, position=9) == name
    if name:
        template = Content(subject=f"{{{{ {name} }}}}", html="", text="x")
        assert compile_content(template).render({name: "Rome"}).subject == "Rome"


def test_empty_columns_at_the_end_need_no_name(tmp_path: Path, news: MailingList) -> None:
    text = (
        "address,city,,\nann@people.example,Rome,, \nbob@people.example\n"
        "nobody,Bonn,,\nlong@people.example,Rome,,,x\n"
    )
    report = load(tmp_path, text, news)
    assert counts(report) == (2, 0, 0, 2)
    assert Recipient.objects.get(address="ann@people.example").attributes == {"city": "Rome"}
    assert "5 cells where the header has 4" in report.rejected[1].reason
    write_rejected(report, tmp_path / "rejected.csv")
    with (tmp_path / "rejected.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["address", "city", "rejected_line", "rejected_reason"]
    assert (rows[1][:3], rows[2][4:]) == (["nobody", "Bonn", "4"], ["x"])


def test_a_new_list_gets_a_short_name_of_its_own() -> None:
    MailingList.objects.create(name="a", slug="weekly-news")
    assert free_slug("Weekly News") == "weekly-news-2"
    assert free_slug("電子報") == "list"
