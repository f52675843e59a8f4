"""Whole messages on their way (decision 11), to a relay far away that takes them in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from faults.moments import killed_at
from faults.world import World, make_people
from mailer.models import Attempt, Message, Run
from mailer.tests.factories import make_message, make_relay

FAR_AWAY: dict[str, Any] = {"chunking": True, "distance": 0.2}  # seconds
RECIPIENTS = 40
WHO = 20  # whom it happens to: in the middle of a window, the second or a later one
MANY = 5  # accepted messages whose replies are on their way at a time
LONG_TEXT = "<p>" + "Lorem ipsum dolor sit amet. " * 4_000 + "</p>"  # 110 KB


def killed_in_a_stream(world: World) -> None:
    """What the relay took and what it did not come to are uncertain alike."""
    with streaming(world):
        killed_at(world, "accepted", **FAR_AWAY)


def reset_in_a_stream(world: World) -> None:
    """Uncertain is who has no reply: those whose replies were on their way, and those behind."""
    with streaming(world):
        uncertain = _reset(world, make_message())
    accepted = {entry.address for entry in world.relay.accepted}
    assert {address in accepted for address in uncertain} == {True, False}


def reset_in_a_stream_of_long_texts(world: World) -> None:
    """Not a whole window is on its way at a time: whose text did not leave is sent again."""
    with streaming(world):
        uncertain = _reset(world, make_message(html=LONG_TEXT))
    assert len(uncertain) < 10, "more than a megabyte was on its way"


def closed_in_a_stream(world: World) -> None:
    """421, and the relay hangs up: nobody is in doubt, and chunks are trusted as before."""
    with streaming(world) as before:
        run, who = _send(world, make_message(), "first_replies", "421 4.3.2 closing")
    assert run.sent == RECIPIENTS
    earlier = Attempt.objects.filter(delivery__run=run)
    assert list(earlier.values_list("delivery__address", "state")) == [(who, "deferred")]
    assert all(entry.chunked for entry in world.relay.accepted[before:])


@contextmanager
def streaming(world: World) -> Iterator[int]:
    """Look that many messages really were on their way at a time; how many were accepted before.

    With workers that have not met the relay yet, and none that have afterwards: it says what it
    offers at the start of a connection, and they remember what it broke off.
    """
    world.want_workers(0)
    before = len(world.relay.accepted)
    yield before
    world.want_workers(0)
    most = max(entry.unanswered for entry in world.relay.accepted[before:] if entry.chunked)
    assert most >= MANY, f"there were never more than {most} on their way"


def _reset(world: World, message: Message) -> list[str]:
    """Send, the connection reset behind a message that was accepted; who is uncertain then."""
    world.other_windows += 1
    run, who = _send(world, message, "resets", "followed")
    rows = list(run.deliveries.order_by("seq").values_list("state", "address"))
    states = "".join(state[0] for state, _ in rows)
    assert states.strip("s") == "u" * run.uncertain, "not those that were on their way"
    uncertain = [address for state, address in rows if state == "uncertain"]
    assert who in uncertain
    assert run.sent + len(uncertain) == RECIPIENTS
    assert not world.relay.accepted[-1].chunked, "chunks are trusted though it broke off"
    return uncertain


def _send(world: World, message: Message, what: str, value: str) -> tuple[Run, str]:
    """Send on one connection, the relay behaving so towards one of many; the run, and who it is."""
    people = make_people(RECIPIENTS)
    who = people.recipients.order_by("pk").values_list("address", flat=True)[WHO]
    world.want_workers(1, processes=1)
    world.relay.behave(**FAR_AWAY, **{what: {who: value}})
    run = world.start_run(lists=[people], message=message, relay=make_relay(connections=1))
    world.finish(run)
    return run, who
