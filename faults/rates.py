"""Limits of relays and providers, by a relay's time stamps, while three workers want to send."""

from __future__ import annotations

from faults.kills import WORKERS, kill_one, wait_progress
from faults.world import World, make_people
from mailer.models import DomainLimit, Run
from mailer.tests.factories import make_relay
from mailer.tests.spans import most_in

USED = 0.95  # of a limit, at least
A_SECOND, A_MINUTE, TO_PROVIDER = 10, 300, 60  # messages
KILLS = 3


def rate_a_second(world: World) -> None:
    """Evenly, whichever of the workers sends; and hardly slower than allowed."""
    world.want_workers(WORKERS)
    run = world.start_run(recipients=160, relay=make_relay(rate_per_second=A_SECOND, connections=6))
    world.finish(run)
    times = _accepted(world, run)
    assert_kept(times, limit=A_SECOND, seconds=1)
    rate = (len(times) - 1) / (times[-1] - times[0])
    assert rate >= USED * A_SECOND, f"{rate:.2f} a second of {A_SECOND}"


def rate_while_killed(world: World) -> None:
    """What a turn had left is lost with its worker; nobody sends it on top."""
    world.want_workers(WORKERS)
    run = world.start_run(recipients=120, relay=make_relay(rate_per_second=A_SECOND, connections=6))
    world.wait_state(run, "sending")
    while world.kills.total < KILLS and wait_progress(world, run):
        kill_one(world)
    world.revive_workers()
    world.finish(run)
    assert_kept(_accepted(world, run), limit=A_SECOND, seconds=1)


def limits_a_minute(world: World) -> None:
    """A relay's and, through another relay, a provider's: both at once, for each has to be waited
    for once. The provider holds up nobody else."""
    DomainLimit.objects.create(name="Big", domains="big.example", per_minute=TO_PROVIDER)
    world.want_workers(WORKERS)
    of_relay = world.start_run(
        recipients=2 * A_MINUTE - 10, relay=make_relay(rate_per_minute=A_MINUTE)
    )
    lists = [make_people(2 * TO_PROVIDER - 10, domain="big.example"), make_people(200)]
    of_provider = world.start_run(lists=lists)
    world.finish(of_relay, of_provider)
    assert_used(_accepted(world, of_relay), limit=A_MINUTE, seconds=60)
    assert_used(_accepted(world, of_provider, "@big.example"), limit=TO_PROVIDER, seconds=60)
    others = _accepted(world, of_provider, "@a.example")
    begun = min(others[0], _accepted(world, of_provider, "@big.example")[0])
    assert others[-1] - begun <= 20, f"others waited {others[-1] - begun:.0f} s for the provider"


def assert_used(times: list[float], *, limit: int, seconds: float) -> None:
    """Each message leaves as soon as the one `limit` before it is so many seconds ago, about."""
    assert_kept(times, limit=limit, seconds=seconds)
    later = max(new - old for old, new in zip(times, times[limit:], strict=False))
    assert later <= seconds / USED, f"{limit} messages took {later:.1f} s"


def assert_kept(times: list[float], *, limit: int, seconds: float) -> None:
    most = most_in(times, seconds)
    assert most <= limit, f"{most} messages in {seconds:g} s, where {limit} may leave"


def _accepted(world: World, run: Run, ending: str = "") -> list[float]:
    """When messages of a run to such addresses were accepted."""
    people = set(run.deliveries.values_list("address", flat=True))
    return [
        entry.at
        for entry in world.relay.accepted
        if entry.address in people and entry.address.endswith(ending)
    ]
