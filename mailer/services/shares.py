"""Several relays for one mailing: which share of a run leaves through which, each message once."""

from collections.abc import Iterator, Mapping
from datetime import datetime

from mailer.models import Mailing, Relay, Run


def freeze_shares(mailing: Mailing) -> dict[str, int]:
    """{relay's key: its share} of a mailing's relays, as a run keeps it; {} where there is one."""
    further = dict(mailing.further_relays.values_list("relay_id", "share"))
    if not further:
        return {}
    shares = {**further, mailing.relay_id: mailing.relay_share}
    return {str(relay): share for relay, share in shares.items()}


def split_by_share(run: Run, *, count: int) -> Iterator[tuple[int, int]]:
    """(relay's key, how many of `count`), whole messages that add up; through the run's only
    relay, or by its shares. What cannot be divided falls to one of them after the other, run by
    run: many runs of one message are shared, too."""
    if run.relay_id is None:
        raise ValueError(f"run {run.pk} was never prepared")
    shares = {int(relay): share for relay, share in run.shares.items() if share}
    shares = shares or {run.relay_id: 1}
    total, done, counted = sum(shares.values()), 0, 0
    for relay, share in shares.items():
        counted += share
        upto = (count * counted + (run.pk or 0) % total) // total
        if upto > done:
            yield relay, upto - done
        done = upto


def usable_relay(
    relay_id: int,
    shares: Mapping[str, int],
    *,
    relays: Mapping[int, Relay],
    taken: Mapping[int, int],
    now: datetime,
) -> Relay | None:
    """The relay that mail waiting for one can leave through now: that, or while it is paused, or
    being found out about, another of its run's, the one with the largest share first. None when all
    are paused or full.
    """

    def has_room(relay: Relay) -> bool:
        return taken.get(relay.pk, 0) < relay.places

    own = relays[relay_id]
    if not own.is_paused(now=now) and (has_room(own) or not own.is_suspect):
        return own if has_room(own) else None
    others = sorted(shares.items(), key=lambda item: (-item[1], int(item[0])))
    for key, _share in others:
        other = relays.get(int(key))
        if other and not other.is_paused(now=now) and not other.waits(now=now) and has_room(other):
            return other
    return None
