"""Fault after fault on one site, a line each; then everything is counted once more."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from faults import kills, moments, rates, relays, servers, sharing, staff, streams
from faults.checking import WINDOW, Count, count, find_wrong
from faults.installation import Installation
from faults.world import Kills, World, open_world
from mailer.models import Run

Fault = Callable[[World], None]
AT_RANDOM = (
    kills.accepting_everything,
    kills.among_refusals,
    kills.behind_the_dot,
    kills.over_distance,
    kills.with_control_and_beat,
)
STEPS = ("mail", "rcpt", "data", "body", "dot", "accepted")
ON_ANYTHING: tuple[Fault, ...] = (
    moments.killed_while_checking,
    moments.frozen_past_the_lease,
    servers.queues_emptied,
    servers.bells_rung_thrice,
    relays.reset_in_the_text,
    relays.reset_behind_the_dot,
    relays.silent_before_and_behind_the_dot,
    relays.storm_of_4xx,
    relays.storm_without_end,
    relays.tarpit,
    relays.sender_refused,
    relays.breaker,
    relays.poisoned_rows,
    rates.rate_a_second,
    rates.rate_while_killed,
    rates.limits_a_minute,
    sharing.two_relays,
    sharing.small_beside_large,
    sharing.urgent,
    staff.double_click,
    staff.two_beats,
    staff.left_in_the_middle,
    staff.cancelled_in_the_middle,
    staff.paused_and_resumed,
    staff.retry_of_many,
    streams.killed_in_a_stream,
    streams.reset_in_a_stream,
    streams.reset_in_a_stream_of_long_texts,
    streams.closed_in_a_stream,
)
ON_SERVERS: tuple[Fault, ...] = (
    moments.killed_while_recording,
    moments.killed_while_expanding,
    servers.broker_out_of_reach,
    servers.database_away_for_a_moment,
    servers.database_away_past_the_lease,
    servers.database_sessions_ended,
    servers.disk_full,
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one fault came to; `wrong` is empty where everything held."""

    name: str
    kills: Kills
    runs: list[Run]
    count: Count
    seconds: float
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        line = f"{self.name:34} kills={self.kills.total:<3} sent={self.count.sent:<5}"
        line += f" taken_over={self.count.taken_over:<3} uncertain={self.count.uncertain:<4}"
        line += f" {self.seconds:5.1f} s "
        return line + ("ok" if not self.wrong else "WRONG: " + "; ".join(self.wrong))


def make_faults(*, kills: int, on_servers: bool) -> dict[str, Fault]:
    """By name, in the order in which they run; `kills` of processes are at random."""
    faults: dict[str, Fault] = {f"killed_at_{s}": partial(moments.killed_at, step=s) for s in STEPS}
    others = ON_ANYTHING + (ON_SERVERS if on_servers else ())
    # Grouped by module: neighbours want the same workers, and starting one takes seconds.
    faults |= {fault.__name__: fault for fault in sorted(others, key=lambda f: f.__module__)}
    each, more = divmod(kills, len(AT_RANDOM))
    for number, fault in enumerate(AT_RANDOM):
        faults[f"kills_{fault.__name__}"] = partial(fault, kills=each + (number < more))
    return faults


def run_suite(made: Installation, only: list[str], *, seed: int, kills: int) -> int:
    """The exit code: 0 when all was well, 2 for a name that is none."""
    on_servers = made.database_cable is not None
    faults = make_faults(kills=kills, on_servers=on_servers)
    if unknown := set(only) - faults.keys():
        print(f"There is no fault {', '.join(sorted(unknown))}; there are {', '.join(faults)}.")
        return 2
    if not on_servers:
        print("Not run, as they need the servers:", *(f.__name__ for f in ON_SERVERS))
    with open_world(made, seed=seed) as world:
        outcomes = []
        for name in only or faults:
            outcomes.append(run_fault(world, name, faults[name]))
            print(outcomes[-1], flush=True)
        return close(world, outcomes)


def run_fault(world: World, name: str, fault: Fault) -> Outcome:
    world.begin()
    begun, before = time.monotonic(), len(world.accepted)
    wrong: list[str] = []
    try:
        fault(world)
    except Exception as error:  # whatever it is, the next fault has its turn
        wrong.append(str(error) or _where(error))
    accepted = world.accepted[before:]
    counted = count(world.runs, accepted)
    wrong += find_wrong(world.runs, accepted)
    if counted.uncertain > world.may_be_uncertain:
        wrong.append(f"only {world.may_be_uncertain} may be uncertain")
    world.end(well=not wrong)
    return Outcome(name, world.kills, world.runs, counted, time.monotonic() - begun, wrong)


def _where(error: Exception) -> str:
    """The line that an error without words came from."""
    (*_, last) = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__}: {last.line}"


def close(world: World, outcomes: list[Outcome]) -> int:
    """Count all runs together: what came late to one of them came while another was looked at."""
    runs = [run for outcome in outcomes for run in outcome.runs]
    total = count(runs, world.accepted)
    wrong = find_wrong(runs, world.accepted)
    for words in wrong:
        print("WRONG in the end:", words)
    ok = not (wrong or total.duplicates or total.lost or any(each.wrong for each in outcomes))
    workers = sum(outcome.kills.workers for outcome in outcomes)
    children = sum(outcome.kills.children for outcome in outcomes)
    print(
        f"faults={len(outcomes)} kills={workers + children} ({workers} workers, {children} single"
        f" processes) duplicates={total.duplicates} lost={total.lost} uncertain={total.uncertain}"
        f" (at most {WINDOW} per killed process) {'ok' if ok else 'WRONG'}"
    )
    return 0 if ok else 1
