"""Numbers, times, badges, progress, links and counts, as they are read."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import Group
from django.template import Context, Template

from admin_ext.components.badges import badge
from admin_ext.components.links import admin_link
from admin_ext.components.moment import MomentRefused, read_moment, sign_moment
from admin_ext.components.numbers import format_number, format_percent
from admin_ext.components.paginator import CappedPaginator
from admin_ext.components.progress import progress
from admin_ext.components.times import format_duration, format_span, relative_time, time_tag
from admin_ext.models import AttemptState

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "just now"),
        (4, "in a moment"),
        (-7.6, "7 s ago"),
        (-30, "30 s ago"),
        (3 * 3600, "in 3 h"),
        (-120, "2 min ago"),
        (3 * 86_400, "in 3 days"),
        (96 * 3600 - 1, "in 4 days"),
        (400 * 86_400, "28 Dec 2027"),
    ],
)
def test_relative_time(seconds: float, words: str) -> None:
    assert relative_time(NOW + timedelta(seconds=seconds), now=NOW) == words


def test_a_far_day_is_named_in_the_zone_that_is_asked_for() -> None:
    far = datetime(2027, 3, 14, 3, 0, tzinfo=UTC)
    assert relative_time(far, now=NOW) == "14 Mar 2027"
    assert relative_time(far, now=NOW, zone=ZoneInfo("America/New_York")) == "13 Mar 2027"


def test_durations() -> None:
    spans = (0.42, 59, 61, 3599, 7200, 2 * 86_400)
    words = [format_duration(timedelta(seconds=seconds)) for seconds in spans]
    assert words == ["0.4 s", "59 s", "1 min", "1 h", "2 h", "2 days"]


def test_longer_spans_have_two_units_and_are_rounded_up() -> None:
    spans = (0.4, 59, 60, 61, 3599, 3600, 12_000, 12_001, 47.5 * 3600, 47.99 * 3600, 100 * 3600)
    words = [format_span(timedelta(seconds=seconds)) for seconds in spans]
    assert words == [
        "1 s", "59 s", "1 min", "2 min", "1 h", "1 h", "3 h 20 min", "3 h 21 min", "47 h 30 min",
        "2 days", "4 days 4 h",
    ]  # fmt: skip


def test_the_exact_time_is_on_hover_and_for_screen_readers() -> None:
    html = time_tag(NOW, now=NOW - timedelta(hours=3))
    assert html == (
        '<time datetime="2026-11-23T09:00:00+00:00" title="23 Nov 2026, 09:00:00 UTC">in 3 h'
        '<span class="visually-hidden"> (23 Nov 2026, 09:00:00 UTC)</span></time>'
    )


def test_numbers_have_separators() -> None:
    assert format_number(1_234_567) == "1,234,567"
    assert Template("{% load admin_ext %}{{ n|number }}").render(Context({"n": 48210})) == "48,210"


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [
        (0, 0, "0\N{NO-BREAK SPACE}%"),
        (1, 1000, "1\N{NO-BREAK SPACE}%"),
        (999, 1000, "99\N{NO-BREAK SPACE}%"),
        (1000, 1000, "100\N{NO-BREAK SPACE}%"),
        (61, 100, "61\N{NO-BREAK SPACE}%"),
    ],
)
def test_percent_says_all_and_nothing_only_when_it_is(part: int, whole: int, words: str) -> None:
    assert format_percent(part, whole) == words


def test_badges_are_colour_and_word() -> None:
    assert badge("sent", "Sent") == '<span class="badge badge-sent">Sent</span>'
    assert badge(AttemptState.LOST) == '<span class="badge badge-lost">Lost</span>'
    assert badge("left_out") == '<span class="badge badge-left_out">Left out</span>'
    assert "<script>" not in badge("<script>", "<script>")


def test_progress_is_a_bar_and_words() -> None:
    html = progress(29_410, 48_210, "Weekly news")
    assert '<progress max="48210" value="29410" aria-label="Weekly news">' in html
    assert "29,410 of 48,210 · 61\N{NO-BREAK SPACE}%" in html
    assert "0 of 0" in progress(0, 0)


def test_links_to_what_has_no_page_are_words() -> None:
    assert admin_link("auth.user", 3) == '<a href="/admin/auth/user/3/change/">User 3</a>'
    assert admin_link("gone.model", 3) == "gone.model 3"


def test_a_moment_survives_to_the_microsecond() -> None:
    moment = NOW + timedelta(microseconds=123_456)
    signed = sign_moment(moment, purpose="p")
    assert read_moment(signed, purpose="p", now=NOW + timedelta(minutes=1)) == moment
    with pytest.raises(MomentRefused):
        read_moment(signed, purpose="q", now=NOW + timedelta(minutes=1))
    with pytest.raises(MomentRefused):
        read_moment(signed, purpose="p", now=NOW - timedelta(minutes=1))


@pytest.mark.django_db
@pytest.mark.database
def test_the_count_stops_at_the_cap() -> None:
    Group.objects.bulk_create(Group(name=f"g{n}") for n in range(7))

    class Small(CappedPaginator):
        cap = 5

    few, many = (
        CappedPaginator(Group.objects.order_by("name"), 2),
        Small(Group.objects.order_by("name"), 2),
    )
    assert (few.count, str(few.count), few.num_pages) == (7, "7", 4)
    assert (many.count, str(many.count), many.num_pages) == (5, "5+", 3)
    rendered = Template("{{ count }} rows").render(Context({"count": many.count}))
    assert rendered == "5+ rows"
    assert f"{many.count} selected" == "5+ selected"
