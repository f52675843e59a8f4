"""Several relays for one run, and several runs on one relay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.utils import timezone

from faults.kills import WORKERS
from faults.relay import RecordingRelay
from faults.world import World, make_people
from mailer.models import Attempt, Relay, Run
from mailer.services.control import cancel_run
from mailer.tests.factories import make_mailing, make_relay
from tests.system.processes import wait_until

DELAY = 0.05  # seconds a message
PROBED = 0.5  # seconds that a probe takes
SLOW = 0.15  # seconds a message: a batch of 100 takes 15
SOON = 10.0  # seconds until a small run is through


def two_relays(world: World) -> None:
    """While the first refuses everybody its mail leaves through the second; a single message now
    and then asks the first whether it is over, and then it has its part again."""
    world.want_workers(WORKERS)
    with _second_relay(world) as (second, fallback):
        mailing = make_mailing(lists=[make_people(1500)], relay=make_relay())
        mailing.further_relays.create(relay=fallback)
        world.relay.behave(delay=DELAY)
        second.behave(delay=DELAY)
        run = world.send_now(mailing)
        world.relay.wait_accepted(100)
        assert not second.accepted, "nothing was wrong with the first"
        world.relay.behave(replies={"mail": "421 4.7.0 too busy"})
        failed = Relay.objects.filter(pk=mailing.relay_id, failures_in_a_row__gte=2)
        wait_until(failed.exists, what="the first relay was probed")
        second.wait_accepted(50)
        # A message for each place when it began, one for each time that it was asked again.
        refused = Attempt.objects.filter(delivery__run=run, code=421).count()
        probes = failed.get().failures_in_a_row - 1
        assert refused <= mailing.relay.connections + probes, f"{refused} refused, {probes} probes"
        before = len(world.relay.accepted)
        world.relay.behave(delay=PROBED)
        world.relay.wait_accepted(2)
        probe, after = world.relay.accepted[before : before + 2]
        assert after.at - probe.at >= PROBED, "more than one message was its probe"
        world.relay.behave()
        second.behave()
        world.finish(run)
    assert run.sent == 1500


def small_beside_large(world: World) -> None:
    """Who is in the middle of a long batch makes room for those who have not begun."""
    world.want_workers(WORKERS)
    relay = make_relay()
    world.relay.behave(delay=SLOW)
    large = world.start_run(recipients=5000, relay=relay)
    world.relay.wait_accepted(2 * relay.connections)
    small, begun = world.start_run(recipients=20, relay=relay), timezone.now()
    world.finish(small)
    took = _last(world, small) - begun.timestamp()
    _cancel(world, large)
    assert took <= SOON, f"20 messages took {took:.1f} s beside a large run"


def urgent(world: World) -> None:
    """Nothing else leaves in between, once it has the relay's only place."""
    world.want_workers(WORKERS)
    relay = make_relay(connections=1)
    world.relay.behave(delay=DELAY / 2)
    large = world.start_run(recipients=2000, relay=relay)
    world.relay.wait_accepted(10)
    run = world.start_run(recipients=250, relay=relay, urgent=True)
    world.finish(run)
    _cancel(world, large)
    ours = _people(run)
    order = [entry.address in ours for entry in world.relay.accepted]
    first = order.index(True)
    assert all(order[first : first + 250]), "other mail left between urgent mail"


@contextmanager
def _second_relay(world: World) -> Iterator[tuple[RecordingRelay, Relay]]:
    with RecordingRelay(world.installation.folder / "second.jsonl") as recorder:
        row = make_relay(
            from_environment=False, host="127.0.0.1", port=recorder.port, security="none"
        )
        try:
            yield recorder, row
        finally:
            world.elsewhere += recorder.accepted


def _cancel(world: World, run: Run) -> None:
    run.refresh_from_db()
    assert run.state == "sending", "the large run was through before the small one"
    cancel_run(run.pk, by=None, now=timezone.now())
    world.wait_at_rest(run)
    world.relay.behave()
    world.wait_state(run, "cancelled")


def _people(run: Run) -> set[str]:
    return set(run.deliveries.values_list("address", flat=True))


def _last(world: World, run: Run) -> float:
    """When the last message of a run was accepted."""
    people = _people(run)
    return max(entry.at for entry in world.relay.accepted if entry.address in people)
