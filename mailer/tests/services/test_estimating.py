"""How long a run is said to take, under each kind of limit."""

from datetime import date, timedelta
from typing import Any

import pytest

from mailer.models import DomainLimit, Mailing, MailingRelay
from mailer.services.estimating import estimate_mailing
from mailer.services.reserving import take_turn
from mailer.tests.factories import (
    NOW,
    make_list,
    make_mailing,
    make_recipient,
    make_relay,
    make_run,
    subscribe,
)

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def minutes(mailing: Mailing, *, recipients: int) -> float | None:
    span = estimate_mailing(mailing, recipients=recipients, now=NOW)
    return None if span is None else span / timedelta(minutes=1)


def through(**limits: Any) -> Mailing:
    return make_mailing(recipients=1, relay=make_relay(**limits))


def test_without_a_limit_nobody_knows() -> None:
    assert minutes(through(), recipients=1_000_000) is None


@pytest.mark.parametrize(
    ("limits", "recipients", "expected"),
    [
        ({"rate_per_second": 2}, 12_000, 103),  # 3 % slower than allowed
        ({"rate_per_minute": 30}, 30, 0),
        ({"rate_per_minute": 30}, 100, 3),
        ({"rate_per_hour": 1000}, 4200, 240),
        ({"rate_per_day": 1000}, 1001, 1440),
        ({"rate_per_second": 100, "rate_per_hour": 1000}, 3000, 120),
    ],
)
def test_the_tightest_limit_counts(
    limits: dict[str, int], recipients: int, expected: float
) -> None:
    assert minutes(through(**limits), recipients=recipients) == pytest.approx(expected)


@pytest.mark.parametrize(("span", "length"), [("hour", 60), ("day", 1440)])
def test_what_is_used_up_already_is_taken_into_account(span: str, length: int) -> None:
    run = make_run(recipients=40, relay=make_relay(**{f"rate_per_{span}": 100}))
    take_turn(run.batches.get(), messages=40, now=NOW)
    assert minutes(run.mailing, recipients=60) == 0
    assert minutes(run.mailing, recipients=61) == pytest.approx(length, rel=0.01)


@pytest.mark.parametrize(("span", "length"), [("hour", 60), ("day", 1440)])
def test_room_opens_when_what_was_used_ages(span: str, length: int) -> None:
    run = make_run(recipients=100, relay=make_relay(**{f"rate_per_{span}": 100}))
    for used, messages in ((0.9, 30), (0.5, 70)):
        then = NOW - timedelta(minutes=used * length)
        take_turn(run.batches.get(), messages=messages, now=then)
    took = [minutes(run.mailing, recipients=n) for n in (0, 1, 30, 31, 100, 101, 230)]
    expected = [None, 0.1, 0.1, 0.5, 0.5, 1.1, 2.1]
    assert [n and n / length for n in took] == pytest.approx(expected, abs=0.01)


def test_a_warm_up_goes_day_by_day_and_ends() -> None:
    mailing = through(
        warm_up_from=date(2026, 11, 23), warm_up_first=100, warm_up_factor=2, warm_up_full=500
    )
    days = [minutes(mailing, recipients=n) for n in (100, 101, 300, 301, 700, 701, 90_000)]
    # It is 1 at night: 23 hours until there are more.
    assert days == [0, 1380, 1440, 2820, 2880, 4260, 4260]


def test_a_warm_up_counts_what_was_used_of_it_already() -> None:
    relay = make_relay(
        warm_up_from=NOW.date(), warm_up_first=100, warm_up_factor=2, warm_up_full=500
    )
    run = make_run(recipients=100, relay=relay)
    take_turn(run.batches.get(), messages=100, now=NOW - timedelta(minutes=30))
    took = [minutes(run.mailing, recipients=n) for n in (1, 100, 101, 200, 201)]
    assert took == pytest.approx([1380, 1380, 1410, 1410, 2820], abs=10)


def test_relays_share_the_work() -> None:
    mailing = through(rate_per_hour=100)
    MailingRelay.objects.create(mailing=mailing, relay=make_relay(rate_per_hour=100), share=1)
    assert minutes(mailing, recipients=200) == 0
    assert minutes(mailing, recipients=400) == 60


def test_a_providers_limit_counts_its_own_recipients() -> None:
    DomainLimit.objects.create(name="Big", domains="b.example\nbig.example", per_minute=10)
    people = make_list()
    for number in range(35):
        subscribe(make_recipient(f"p{number}@{('big', 'b')[number % 2]}.example"), people)
    subscribe(make_recipient("p@small.example"), people)
    assert minutes(make_mailing(lists=[people]), recipients=36) == 3
