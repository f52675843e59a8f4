"""What a relay may do to a run: break off, fall silent, refuse everything, take its time."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

from django.utils import timezone

from faults.checking import WINDOW
from faults.relay import RecordingRelay
from faults.world import LEASE, PROCESSES, World, make_people
from mailer import tasks
from mailer.models import Attempt, Audit, Delivery, Message, Recipient, Relay, Run, Suppression
from mailer.services.control import resume_run, retry_failed
from mailer.tests.factories import make_message, make_relay
from tests.system.processes import wait_until

LONG_TEXT = "<p>" + "Lorem ipsum dolor sit amet. " * 12_000 + "</p>"  # 300 KB


def reset_in_the_text(world: World) -> None:
    """Surely not accepted: tried again, and never uncertain."""
    message = make_message(html=LONG_TEXT)
    # Four of four: a connection that has carried long texts has room for one nobody reads.
    run, people = _send_to(world, 4, lambda some: {"resets": dict.fromkeys(some, "body")}, message)
    assert run.sent == 4
    assert _earlier(run, people) == {("deferred", 1)}


def reset_behind_the_dot(world: World) -> None:
    """Accepted or not, who knows: uncertain, and never sent again."""
    world.other_messages = 4
    steps = "dot", "accepted", "dot", "accepted"
    run, people = _send_to(world, 200, lambda some: {"resets": dict(zip(some, steps, strict=True))})
    assert (run.sent, run.uncertain) == (196, 4)
    assert _states(run, people) == {"uncertain"}
    accepted = {entry.address for entry in world.relay.accepted}
    assert [address in accepted for address in people] == [False, True, False, True]


def silent_before_and_behind_the_dot(world: World) -> None:
    """The wait ends after MAILER_SMTP_TIMEOUT, or MAILER_SMTP_DOT_TIMEOUT, and they differ."""
    world.other_messages = 2
    steps = "rcpt", "dot", "data", "accepted"
    run, people = _send_to(
        world, 200, lambda some: {"silences": dict(zip(some, steps, strict=True))}
    )
    assert (run.sent, run.uncertain) == (198, 2)
    assert _states(run, people[1::2]) == {"uncertain"}
    assert _earlier(run, people[::2]) == {("deferred", 1)}


def storm_of_4xx(world: World) -> None:
    """A relay too busy for anybody is left alone, each time for longer; then everything is sent."""
    world.want_workers(1)
    relay = make_relay()
    world.relay.behave(replies={"mail": "421 4.7.0 too busy"})
    run = world.start_run(recipients=100, relay=relay)
    failed = Relay.objects.filter(pk=relay.pk, failures_in_a_row__gte=2)
    wait_until(failed.exists, what="the relay failed twice in a row")
    tried = Delivery.objects.filter(run=run, attempts__gt=0).count()
    world.relay.behave()
    world.finish(run)
    assert run.sent == 100
    # A try is one message for each connection, while the others go back untouched.
    assert tried <= 2 * relay.connections, f"{tried} messages were spent on a busy relay"


def storm_without_end(world: World) -> None:
    """Everybody is refused for now until the run expires: few tries, then failed, none lost."""
    world.want_workers(1)
    world.relay.behave(replies={"rcpt": "451 4.7.1 later"})
    run = world.start_run(recipients=60)
    world.wait_state(run, "sending")
    # MAILER_RETRY_SECONDS is 1: tried at 0, 1 and 3 seconds, a fifth sooner or later.
    Run.objects.filter(pk=run.pk).update(expires_at=timezone.now() + timedelta(seconds=4.5))
    world.finish(run)
    assert run.failed == 60
    most = max(Delivery.objects.filter(run=run).values_list("attempts", flat=True))
    assert 2 <= most <= 4, f"tried {most} times in 4.5 seconds"


def tarpit(world: World) -> None:
    """A reply takes longer than a lease: that is kept all the same, and another relay goes on."""
    world.want_workers(1)
    with RecordingRelay(world.installation.folder / "fast.jsonl") as fast:
        beside = make_relay(
            from_environment=False, host="127.0.0.1", port=fast.port, security="none"
        )
        world.relay.behave(hold_at="accepted")
        slow = world.start_run(recipients=1)
        world.relay.wait_held()
        held_until = time.monotonic() + LEASE + 1
        other = world.start_run(recipients=200, relay=beside)
        world.finish(other)
        slow.refresh_from_db()
        assert slow.state == "sending", "the other run had to wait for the tarpit"
        time.sleep(max(0.0, held_until - time.monotonic()))
        world.relay.behave()
        world.finish(slow)
        world.elsewhere += fast.accepted
    assert (slow.sent, other.sent) == (1, 200)
    assert not Audit.objects.filter(run__in=[slow, other], action="take_over").exists()


def sender_refused(world: World) -> None:
    """The run is held and says why; nobody is blamed for it, and it goes on where it stopped."""
    world.want_workers(1)
    suppressed = Suppression.objects.count()
    world.relay.behave(delay=0.02)
    run = world.start_run(recipients=200)
    world.relay.wait_accepted(40)
    world.relay.behave(replies={"mail": "550 5.7.1 sender refused"})
    world.wait_state(run, "paused")
    world.wait_at_rest(run)
    run.refresh_from_db()
    assert "sender refused" in run.reason
    assert run.sent + run.pending == 200
    assert Suppression.objects.count() == suppressed
    world.relay.behave()
    resume_run(run.pk, by=None, now=timezone.now())
    tasks.ring_after_commit()
    world.finish(run)
    assert run.sent == 200


def breaker(world: World) -> None:
    """Everybody is refused from some point on: the run pauses itself after few and keeps the rest,
    which is sent when it is resumed; those who were refused are retried."""
    world.want_workers(1)
    suppressed = Suppression.objects.count()
    world.relay.behave(delay=0.02)
    run = world.start_run(recipients=400, breaker_after=100)
    world.relay.wait_accepted(20)
    world.relay.behave(replies={"rcpt": "550 5.7.1 your mail looks like spam"})
    world.wait_state(run, "paused")
    world.wait_at_rest(run)
    run.refresh_from_db()
    assert "refused by policy, most often with “550 5.7.1”" in run.reason
    assert Audit.objects.filter(run=run, action="break").count() == 1
    refused = run.failed
    in_flight = PROCESSES * WINDOW
    assert 3 <= refused <= 10 + in_flight, f"{refused} were refused before it stopped"
    assert run.sent + run.failed + run.pending == 400
    assert Suppression.objects.count() == suppressed
    world.relay.behave()
    resume_run(run.pk, by=None, now=timezone.now())
    tasks.ring_after_commit()
    world.finish(run)
    assert (run.sent, run.failed) == (400 - refused, refused)
    assert retry_failed(run.pk, by=None, now=timezone.now()).done == refused
    tasks.ring_after_commit()
    world.finish(run)
    assert run.sent == 400


def poisoned_rows(world: World) -> None:
    """What cannot be written for two people is written to everybody else."""
    people = make_people(100, attributes={"city": "Taipei"})
    nameless, deep = people.recipients.order_by("pk")[40:42]
    Recipient.objects.filter(pk=nameless.pk).update(attributes={})
    Recipient.objects.filter(pk=deep.pk).update(attributes={"city": [[[[[[["too deep"]]]]]]]})
    world.want_workers(1)
    message = make_message(html="<p>{{ name }}, {{ city }}</p>")
    run = world.start_run(lists=[people], message=message)
    world.finish(run)
    assert (run.sent, run.failed) == (98, 2)
    assert _states(run, [nameless.address, deep.address]) == {"failed"}


def _send_to(
    world: World,
    recipients: int,
    behaviour: Callable[[list[str]], dict[str, object]],
    message: Message | None = None,
) -> tuple[Run, list[str]]:
    """Send, the relay behaving as told towards four people far apart; the run, and who they are."""
    people = make_people(recipients)
    addresses = list(people.recipients.order_by("pk").values_list("address", flat=True))
    some = addresses[recipients // 8 :: recipients // 4]
    world.want_workers(1)
    world.relay.behave(**behaviour(some))
    run = world.start_run(lists=[people], message=message or make_message())
    world.finish(run)
    return run, some


def _states(run: Run, people: list[str]) -> set[str]:
    return set(run.deliveries.filter(address__in=people).values_list("state", flat=True))


def _earlier(run: Run, people: list[str]) -> set[tuple[str, int]]:
    """How these people's earlier attempts ended, and which they were."""
    rows = Attempt.objects.filter(delivery__run=run)
    assert set(rows.values_list("delivery__address", flat=True)) == set(people)
    return set(rows.values_list("state", "number"))
