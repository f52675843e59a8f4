"""kill -9 at moments nobody chose, over runs of thousands; each worker that dies is replaced."""

from __future__ import annotations

import time
from typing import Any

from faults.streams import FAR_AWAY, streaming
from faults.world import World, people_of
from mailer.models import Relay, Run
from mailer.tests.factories import make_relay
from tests.system.processes import wait_until

WORKERS = 3
EVERY_WORKER = 4  # of so many kills one is of a whole worker
PROGRESS = 1, 40  # messages between two kills at least, so that they find somebody at work ...
PAUSE = 0.3  # ... and seconds at most that it goes on from there
DELAY = 0.03  # seconds a message, so that there is something in hand at any moment


def accepting_everything(world: World, kills: int) -> None:
    kill_at_random(world, kills=kills)


def among_refusals(world: World, kills: int) -> None:
    """Every tenth is refused for now, every fifteenth for good."""
    kill_at_random(world, kills=kills, refusals=True)


def behind_the_dot(world: World, kills: int) -> None:
    """The relay has the message long before it says so: most kills find some accepted."""
    kill_at_random(world, kills=kills, delay=5 * DELAY)


def over_distance(world: World, kills: int) -> None:
    """Most kills find a window on its way, some of it accepted or refused, replies on theirs."""
    with streaming(world):
        kill_at_random(world, kills=kills, delay=DELAY / 5, refusals=True, **FAR_AWAY)


def with_control_and_beat(world: World, kills: int) -> None:
    """Whoever takes over is killed as well, now and then."""
    kill_at_random(world, kills=kills, everything=True)


def kill_at_random(
    world: World,
    *,
    kills: int,
    delay: float = DELAY,
    refusals: bool = False,
    everything: bool = False,
    **behaviour: Any,
) -> None:
    """Run after run until so many were killed, then let the last one end."""
    relay = make_relay(connections=40)  # those of the dead count until their leases end
    world.want_workers(WORKERS)
    while world.kills.total < kills:
        _send_under_fire(
            world,
            relay,
            until=kills,
            delay=delay,
            refusals=refusals,
            everything=everything,
            **behaviour,
        )


def _send_under_fire(
    world: World,
    relay: Relay,
    *,
    until: int,
    delay: float,
    refusals: bool,
    everything: bool,
    **behaviour: Any,
) -> None:
    left = until - world.kills.total
    # Without its breaker: so many refusals would pause it.
    run = world.start_run(recipients=500 + 100 * left, relay=relay, breaker_percent=None)
    people = people_of(run) if refusals else []
    answers = dict.fromkeys(people[::10], "451 4.3.0 later")
    answers |= dict.fromkeys(people[::15], "550 5.1.1 nobody here")
    world.relay.behave(delay=delay, first_replies=answers, **behaviour)
    world.wait_state(run, "sending")
    while world.kills.total < until:
        if not wait_progress(world, run):
            break
        kill_one(world)
        if everything and world.kills.total % 5 == 0:
            world.chance.choice([world.restart_control, world.restart_beat])()
    world.relay.behave(first_replies=answers, **behaviour)
    world.revive_workers()
    world.finish(run)


def wait_progress(world: World, run: Run) -> bool:
    """Until a moment after some messages more; False when the run is finished."""
    goal = len(world.relay.accepted) + world.chance.randint(*PROGRESS)

    def is_time() -> bool:
        world.revive_workers()
        run.refresh_from_db()
        return run.state == "finished" or len(world.relay.accepted) >= goal

    wait_until(is_time, what="the run goes on after a kill", every=0.02)
    time.sleep(world.chance.uniform(0, PAUSE))
    return run.state != "finished"


def kill_one(world: World) -> None:
    """A process, or now and then a whole worker."""
    if world.kills.total % EVERY_WORKER == EVERY_WORKER - 1:
        world.kill_worker(world.chance.choice(list(world.workers)))
        world.want_workers(WORKERS)
    elif pool := world.processes():
        world.kill_child(world.chance.choice(pool))
