"""What people do in the middle of a run, and twice."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.utils import timezone

from faults.world import World, make_people
from mailer import tasks
from mailer.models import Audit, Mailing, Recipient, Run, Subscription, Suppression
from mailer.services.bulk import PIECE
from mailer.services.consent import change_subscription
from mailer.services.control import cancel_run, pause_run, resume_run, retry_failed
from mailer.services.planning import start_now
from mailer.states import SubscriptionState
from mailer.tests.factories import make_mailing, make_relay
from tests.system.processes import wait_until

DELAY = 0.05  # seconds a message
CLICKS = 8


def double_click(world: World) -> None:
    """Eight times at once, on one confirmation page: one run, one message each (I8)."""
    world.want_workers(1)
    mailing = make_mailing(lists=[make_people(50)], relay=make_relay())
    moment = timezone.now()
    together = threading.Barrier(CLICKS)
    runs: list[Run] = []

    def click() -> None:
        together.wait()
        with transaction.atomic():
            runs.append(
                start_now(mailing, moment=moment, trigger=Run.Trigger.STAFF, by=None, now=moment)
            )
            tasks.ring_after_commit()
        connection.close()

    clicks = [threading.Thread(target=click) for _ in range(CLICKS)]
    for thread in clicks:
        thread.start()
    for thread in clicks:
        thread.join()
    world.runs += {run.pk: run for run in runs}.values()
    assert len(runs) == CLICKS
    assert mailing.runs.count() == 1
    world.finish(mailing.runs.get())


def two_beats(world: World) -> None:
    """A second scheduler, and every wake-up three times over: one run a slot (I8)."""
    world.want_workers(1)
    second = world.site.start_beat()
    at = timezone.now() + timedelta(seconds=4)
    mailings = [_once(at) for _ in range(5)]
    wait_until(lambda: timezone.now() >= at, what="their time")
    for mailing in mailings * 3:
        tasks.wake_mailing.apply_async((mailing.pk,))
    runs = Run.objects.filter(mailing__in=mailings, state="finished")
    wait_until(lambda: runs.count() >= len(mailings), what="all went out")
    world.site.kill(second)
    world.runs += Run.objects.filter(mailing__in=mailings)
    assert [list(m.runs.values_list("slot", flat=True)) for m in mailings] == [[at]] * 5


def _once(at: datetime) -> Mailing:
    return make_mailing(
        lists=[make_people(20)], enabled=True, schedule_kind="once", schedule_anchor=at,
        now=timezone.now(),
    )  # fmt: skip


def left_in_the_middle(world: World) -> None:
    """Unsubscribed, suppressed or erased: what was not under way is not sent (I5)."""
    world.want_workers(1)
    world.relay.behave(delay=DELAY)
    people = make_people(240)
    run = world.start_run(lists=[people])
    world.relay.wait_accepted(40)
    leaving = list(people.recipients.order_by("pk")[::2])
    with transaction.atomic():
        for number, recipient in enumerate(leaving):
            (_unsubscribe, _suppress, Recipient.delete)[number % 3](recipient)
    allowed = world.may_still_arrive(run)
    world.finish(run)
    gone = {recipient.address for recipient in leaving}
    late = {entry.address for entry in world.relay.accepted} & gone - allowed
    assert not late, f"I5: {len(late)} were written to after they had left"
    assert run.skipped >= 40
    erased = [recipient.address for recipient in leaving[2::3]]
    assert not Recipient.objects.filter(address__in=erased).exists(), "somebody was made again"


def _unsubscribe(recipient: Recipient) -> None:
    change_subscription(
        Subscription.objects.get(recipient=recipient), to=SubscriptionState.UNSUBSCRIBED, by=None,
        now=timezone.now(), evidence="",
    )  # fmt: skip


def _suppress(recipient: Recipient) -> None:
    Suppression.objects.create(
        address=recipient.address,
        address_key=recipient.address_key,
        reason=Suppression.Reason.HARD_BOUNCE,
    )


def cancelled_in_the_middle(world: World) -> None:
    """Nothing is accepted after what was under way, and that is over in seconds."""
    world.want_workers(1)
    world.relay.behave(delay=0.4)  # a window lasts for four seconds and more
    run = world.start_run(recipients=200, relay=make_relay(connections=2))
    world.relay.wait_accepted(15)
    cancel_run(run.pk, by=None, now=timezone.now())
    cancelled_at = timezone.now().timestamp()
    allowed = world.may_still_arrive(run)
    world.wait_at_rest(run)
    last = world.relay.accepted[-1].at - cancelled_at
    assert not {entry.address for entry in world.relay.accepted} - allowed
    assert last < 3, f"the last message was accepted {last:.1f} s after"
    run.refresh_from_db()
    assert run.sent + run.cancelled == 200


def paused_and_resumed(world: World) -> None:
    """Thrice; nothing is accepted meanwhile, and everything once in the end."""
    world.want_workers(1)
    world.relay.behave(delay=DELAY)
    run = world.start_run(recipients=200)
    for _ in range(3):
        world.relay.wait_accepted(25)
        pause_run(run.pk, by=None, now=timezone.now())
        world.wait_at_rest(run)
        before = len(world.relay.accepted)
        world.wait_ticks(2)
        assert len(world.relay.accepted) == before, "it went on while it was paused"
        resume_run(run.pk, by=None, now=timezone.now())
        tasks.ring_after_commit()
    world.finish(run)
    assert run.sent == 200


def retry_of_many(world: World) -> None:
    """Whoever works on it is killed, piece after piece: everybody is sent to again, once."""
    total = 2 * PIECE + 1
    world.want_workers(1)
    world.relay.behave(replies={"rcpt": "550 5.7.0 not today"})
    run = world.start_run(recipients=total, breaker_percent=None)
    world.wait_state(run, "finished")
    world.relay.behave()
    action = retry_failed(run.pk, by=None, now=timezone.now())
    tasks.ring_after_commit()
    assert (action.done, action.finished_at) == (PIECE, None)
    while action.finished_at is None:
        for pid in world.processes():
            world.kill_child(pid)
        world.revive_workers()
        before = action.done

        def goes_on(before: int = before) -> bool:
            action.refresh_from_db()
            return action.done > before or action.finished_at is not None

        wait_until(goes_on, what="another goes on with the retry")
    world.finish(run)
    assert (action.done, run.failed) == (total, 0)
    assert Audit.objects.get(run=run, action="retry").count == total
