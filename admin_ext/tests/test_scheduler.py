"""Beat's traps, each in the way it was measured (two processes: test_beat_processes)."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from celery import Celery
from django.db import OperationalError
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone
from django_celery_beat.models import (
    ClockedSchedule,
    CrontabSchedule,
    IntervalSchedule,
    PeriodicTask,
    PeriodicTasks,
)

from admin_ext.models import Heartbeat, Lease
from admin_ext.scheduler import LEASE_NAME, Scheduler

pytestmark = [pytest.mark.django_db, pytest.mark.database]

DAY = datetime(2026, 6, 1, tzinfo=UTC)


class Beat(Scheduler):
    """Beat without a broker: what it fires is kept in a list that all beats of a test share."""

    fired: list[str]
    producer = None

    def install_default_entries(self, data: Any) -> None:
        """Without Celery's own clean-up at 04:00."""

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **_: Any) -> None:
        self.fired.append(entry.name)

    def run(self) -> None:
        """All that is due now: one task a tick."""
        for _ in range(20):
            if self.tick() > 0:
                return


@pytest.fixture
def fired() -> list[str]:
    return []


@pytest.fixture
def make_beat(app: Celery, fired: list[str], monkeypatch: pytest.MonkeyPatch) -> Callable[[], Beat]:
    # They would end the transaction that the test is in.
    for module in ("admin_ext.scheduler", "django_celery_beat.schedulers"):
        monkeypatch.setattr(f"{module}.close_old_connections", lambda: None)
    beats: list[Beat] = []

    def make() -> Beat:
        beat = Beat(app=app)
        beat.fired = fired
        beat.name += f":{len(beats)}"  # as if in a process of its own
        beats.append(beat)
        return beat

    return make


def add(name: str = "daily", **fields: Any) -> PeriodicTask:
    task = PeriodicTask(name=name, task="tests.work", args="[1]", **fields)
    task.save()
    return task


def daily(hour: int) -> CrontabSchedule:
    return CrontabSchedule.objects.create(minute="0", hour=str(hour), timezone="UTC")


def secondly() -> IntervalSchedule:
    return IntervalSchedule.objects.create(every=1, period="seconds")


def expire_lease() -> None:
    Lease.objects.update(until=Now() - timedelta(seconds=1))


@pytest.mark.parametrize("started_at_hour", [3, 6, 9, 15, 23])
def test_trap_1_a_crontab_is_loaded_whatever_the_hour(
    make_beat: Callable[[], Beat], started_at_hour: int
) -> None:
    add(crontab=daily(3), last_run_at=DAY + timedelta(hours=3))
    with time_machine.travel(DAY + timedelta(hours=started_at_hour, minutes=30), tick=False):
        assert "daily" in make_beat().schedule


def test_trap_1_after_a_missed_slot_it_fires_at_its_hour_and_only_then(
    make_beat: Callable[[], Beat], fired: list[str]
) -> None:
    add(crontab=daily(3), last_run_at=DAY - timedelta(hours=21))
    hours = {}
    with time_machine.travel(DAY + timedelta(hours=9), tick=False) as clock:
        beat = make_beat()
        for hour in range(9, 36):
            clock.move_to(DAY + timedelta(hours=hour, seconds=1))
            before = len(fired)
            beat.run()
            if fired[before:]:
                hours[hour] = fired[before:]
    assert hours == {27: ["daily"]}, "not at 09:00 (past its deadline), not at 01:00, at 03:00"


def test_trap_1_within_the_deadline_it_is_made_up_for(
    make_beat: Callable[[], Beat], fired: list[str]
) -> None:
    add(crontab=daily(3), last_run_at=DAY - timedelta(hours=21))
    with time_machine.travel(DAY + timedelta(hours=3, minutes=5), tick=False):
        make_beat().run()
    assert fired == ["daily"]


def test_trap_2_a_fired_one_off_stays_off_and_remembers(
    make_beat: Callable[[], Beat], fired: list[str]
) -> None:
    clocked = ClockedSchedule.objects.create(clocked_time=DAY)
    task = add(clocked=clocked, one_off=True)
    with time_machine.travel(DAY + timedelta(hours=3), tick=False) as clock:
        beat = make_beat()
        beat.run()
        assert fired == ["daily"], "three hours late is still once"
        task.refresh_from_db()
        assert not task.enabled
        assert task.last_run_at == timezone.now()
        # Switched on again by whatever does it: its time is over.
        PeriodicTask.objects.update(enabled=True)
        PeriodicTasks.update_changed()
        clock.shift(timedelta(minutes=10))
        beat.run()
        make_beat().run()
    task.refresh_from_db()
    assert (fired, task.enabled) == (["daily"], False)


def test_trap_2_a_one_off_that_is_set_anew_fires_anew(
    make_beat: Callable[[], Beat], fired: list[str]
) -> None:
    task = add(clocked=ClockedSchedule.objects.create(clocked_time=DAY), one_off=True)
    with time_machine.travel(DAY + timedelta(hours=3), tick=False) as clock:
        beat = make_beat()
        beat.run()
        later = ClockedSchedule.objects.create(clocked_time=DAY + timedelta(hours=5))
        PeriodicTask.objects.filter(pk=task.pk).update(enabled=True, clocked=later)
        PeriodicTasks.update_changed()
        clock.move_to(DAY + timedelta(hours=5, seconds=1))
        beat.run()
    assert fired == ["daily", "daily"]


def test_trap_3_a_crash_right_after_a_firing_does_not_fire_again(
    make_beat: Callable[[], Beat], fired: list[str]
) -> None:
    task = add(crontab=daily(3), last_run_at=DAY - timedelta(hours=21))
    with time_machine.travel(DAY + timedelta(hours=3, seconds=1), tick=False) as clock:
        make_beat().run()  # and never syncs, never closes
        task.refresh_from_db()
        assert (task.last_run_at, task.total_run_count) == (timezone.now(), 1)
        expire_lease()
        clock.shift(timedelta(seconds=20))
        make_beat().run()
    assert fired == ["daily"]


def test_trap_4_a_locked_database_fires_later_and_once(
    make_beat: Callable[[], Beat], fired: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(crontab=daily(3), last_run_at=DAY - timedelta(hours=21))
    real, locked = QuerySet.update, [True]

    def update(self: Any, **changes: Any) -> int:
        if locked[0] and self.model is PeriodicTask:
            raise OperationalError("database is locked")
        return real(self, **changes)

    monkeypatch.setattr(QuerySet, "update", update)
    with time_machine.travel(DAY + timedelta(hours=3, seconds=1), tick=False):
        beat = make_beat()
        beat.run()
        assert fired == []
        locked[0] = False
        beat.run()
        beat.run()
    assert fired == ["daily"]


def test_a_database_that_is_away_does_not_end_beat(
    make_beat: Callable[[], Beat], fired: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add(interval=secondly(), last_run_at=DAY)
    beat = make_beat()

    def away() -> Any:
        raise OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as broken:
        broken.setattr(beat, "enabled_models_qs", away)
        assert beat.tick() > 0
        assert beat.tick() > 0
    beat.run()
    assert fired == ["daily"]


def test_trap_5_of_two_beats_one_fires(make_beat: Callable[[], Beat], fired: list[str]) -> None:
    task = add(interval=secondly(), last_run_at=DAY)
    first, second = make_beat(), make_beat()
    for minute in range(1, 6):
        with time_machine.travel(DAY + timedelta(minutes=minute), tick=False):
            first.run()
            second.run()
    assert (first.leads, second.leads) == (True, False)
    task.refresh_from_db()
    assert (len(fired), task.total_run_count) == (5, 5)
    assert Heartbeat.objects.beats().filter(leader=True).count() == 1


def test_trap_5_the_standby_takes_over_what_is_due(
    make_beat: Callable[[], Beat], fired: list[str]
) -> None:
    add("a", interval=secondly(), last_run_at=DAY)
    first, second = make_beat(), make_beat()
    first.run()
    second.run()
    add("b", interval=secondly(), last_run_at=DAY)  # read by the standby long ago, without it
    expire_lease()
    second.run()
    assert second.leads
    assert sorted(fired) == ["a", "b"]


def test_trap_5_a_frozen_leader_that_wakes_up_fires_nothing_twice(
    make_beat: Callable[[], Beat], fired: list[str]
) -> None:
    add(crontab=daily(3), last_run_at=DAY - timedelta(hours=21))
    with time_machine.travel(DAY + timedelta(hours=2, minutes=59), tick=False) as clock:
        frozen, other = make_beat(), make_beat()
        frozen.run()
        clock.move_to(DAY + timedelta(hours=3, seconds=1))
        expire_lease()
        other.run()
        assert fired == ["daily"]
        # It was frozen after it had looked at its lease: the row itself stops it.
        assert frozen.leads
        frozen.run()
        assert fired == ["daily"]
        # And once it looks again, it stands back.
        frozen._renew_at = 0
        frozen.run()
        assert not frozen.leads


@pytest.mark.django_db(transaction=True)
def test_a_clean_end_lets_another_take_over_at_once(make_beat: Callable[[], Beat]) -> None:
    first, second = make_beat(), make_beat()
    first.run()
    first.close()
    assert not Lease.objects.exists()
    assert not Heartbeat.objects.filter(leader=True).exists()
    second.run()
    assert second.leads


@pytest.mark.django_db(transaction=True)
def test_a_signal_whose_exit_sqlite_swallowed_ends_it_all_the_same(
    make_beat: Callable[[], Beat], monkeypatch: pytest.MonkeyPatch
) -> None:
    beat = make_beat()

    def told_to_end(*_: object, **__: object) -> bool:
        beat.close()  # as Celery's handler does it, and then raises SystemExit …
        raise OperationalError("user-defined function raised exception")  # … of which SQLite made

    with monkeypatch.context() as patched:
        patched.setattr(Lease.objects, "take", told_to_end)
        assert beat.tick() <= 1
    with pytest.raises(SystemExit):
        beat.tick()
    assert not Lease.objects.exists(), "it took the lease again after it had let go"


def test_a_lease_is_one_holders_until_it_ends() -> None:
    take, long = Lease.objects.take, timedelta(seconds=60)
    assert take(LEASE_NAME, holder="a", duration=long)
    assert take(LEASE_NAME, holder="a", duration=long)
    assert not take(LEASE_NAME, holder="b", duration=long)
    assert not Lease.objects.release(LEASE_NAME, holder="b")
    assert take("other", holder="b", duration=long)
    expire_lease()
    assert take(LEASE_NAME, holder="b", duration=long)
    assert not take(LEASE_NAME, holder="a", duration=long)


def test_what_is_switched_off_meanwhile_is_not_fired(
    make_beat: Callable[[], Beat], fired: list[str]
) -> None:
    add(interval=secondly(), last_run_at=DAY)
    beat = make_beat()
    beat._keep_lease()
    beat.schedule  # noqa: B018  # read, then changed behind its back (trap 7)
    PeriodicTask.objects.update(enabled=False)
    beat._read_again = lambda: None
    beat.tick()
    assert fired == []


def test_it_writes_only_what_it_changes(make_beat: Callable[[], Beat], fired: list[str]) -> None:
    task = add(interval=secondly(), last_run_at=DAY, description="old")
    beat = make_beat()
    beat._keep_lease()
    beat.schedule  # noqa: B018
    PeriodicTask.objects.update(description="edited meanwhile")
    beat.run()
    task.refresh_from_db()
    assert (fired, task.description) == (["daily"], "edited meanwhile")


def test_an_expired_task_is_switched_off_and_keeps_its_history(
    make_beat: Callable[[], Beat], fired: list[str]
) -> None:
    task = add(interval=secondly(), last_run_at=DAY, expires=DAY + timedelta(hours=1))
    make_beat().run()
    task.refresh_from_db()
    assert (fired, task.enabled, task.last_run_at) == ([], False, DAY)


def test_a_lazy_one_for_the_banner_takes_no_lease(app: Celery) -> None:
    Scheduler(app=app, lazy=True)
    assert not Lease.objects.exists()
