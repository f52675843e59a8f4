"""From a mailing to a run: which slot is due, whether it is sent, and what exactly is frozen.

A slot is decided once: UNIQUE(mailing, slot) makes early, late and double wake-ups harmless.
"""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from mailer.exceptions import NothingToSend, NotPossible
from mailer.models import Audit, Mailing, Run
from mailer.states import RunState

from .content import check_content
from .expansion import expand
from .scheduling import schedule_of
from .shares import freeze_shares
from .slots import count_slots, latest_slot, next_due

log = logging.getLogger(__name__)

#: A slot is not missed while it is later than its time by no more than this.
ON_TIME = timedelta(minutes=5)
#: A run that stumbles while it is prepared is tried again for so long, then failed.
PREPARE_WITHIN = timedelta(minutes=15)


@transaction.atomic
def decide_slot(mailing_id: int, *, now: datetime) -> Run | None:
    """Open a run for the latest slot that is due, once; None when there is nothing to decide.

    The run says what was decided: SCHEDULED, or SKIPPED with the reason.
    """
    mailing = Mailing.objects.select_for_update(of=("self",)).filter(pk=mailing_id).first()
    if mailing is None or not mailing.enabled:
        return None
    schedule = schedule_of(mailing)
    slot = latest_slot(schedule, now=now, not_before=mailing.schedule_changed_at)
    mailing.next_due_at = next_due(schedule, now=now)
    mailing.save(update_fields=["next_due_at"])
    if slot is None or mailing.runs.filter(slot=slot).exists():
        return None
    earlier = mailing.runs.filter(trigger=Run.Trigger.SCHEDULE, slot__lt=slot)
    decided = earlier.order_by("-slot").values_list("slot", flat=True).first()
    since = max(decided or mailing.schedule_changed_at, mailing.schedule_changed_at)
    reason = _missed(mailing, slot=slot, now=now) or _overlaps(mailing)
    return Run.objects.create(
        mailing=mailing,
        slot=slot,
        trigger=Run.Trigger.SCHEDULE,
        state=RunState.SKIPPED if reason else RunState.SCHEDULED,
        reason=reason,
        slots_missed=max(0, count_slots(schedule, after=since, until=slot) - 1),
        created_at=now,
        finished_at=now if reason else None,
    )


@transaction.atomic
def start_now(
    mailing: Mailing,
    *,
    moment: datetime,
    trigger: Run.Trigger,
    by: User | None,
    now: datetime,
) -> Run:
    """Open a run outside the schedule, as decided at `moment`.

    The same moment again gives the same run: a double click on one confirmation page starts one.
    Raises NothingToSend, and NotPossible when the mailing went out after that moment: whoever
    decided did not know.
    """
    check_mailing(mailing)
    # One at a time: two who press at once must see each other's run.
    Mailing.objects.select_for_update(of=("self",)).get(pk=mailing.pk)
    if run := mailing.runs.filter(slot=moment).first():
        return run
    newer = mailing.runs.filter(created_at__gt=moment).exclude(state=RunState.SKIPPED)
    if run := newer.order_by("-id").first():
        raise NotPossible(
            _(
                "“%(mailing)s” went out after you opened that page: run %(run)s (started by: "
                "%(who)s). Nothing more was sent; to send it once more, begin anew."
            )
            % {
                "mailing": mailing,
                "run": run.pk,
                "who": run.started_by or run.get_trigger_display().lower(),
            }
        )
    run = Run.objects.create(
        mailing=mailing, slot=moment, trigger=trigger, started_by=by, created_at=now
    )
    Audit.objects.create(run=run, action=Audit.Action.START, actor=by, at=now)
    return run


def check_mailing(mailing: Mailing) -> None:
    """Raises NothingToSend when a run of this mailing could not send anything."""
    if mailing.is_single:
        raise NothingToSend(
            _(
                "“%(mailing)s” is sent by the site itself, to one address at a time: nobody is"
                " waiting for it now. To see what it looks like, send a test of its message."
            )
            % {"mailing": mailing}
        )
    if mailing.message.current is None:
        raise NothingToSend(
            _("“%(message)s” has no content yet. Write it, then send.")
            % {"message": mailing.message}
        )
    if not mailing.lists.exists():
        raise NothingToSend(
            _("“%(mailing)s” has no list. Choose at least one, then send.") % {"mailing": mailing}
        )


def runs_to_prepare(*, now: datetime) -> QuerySet[Run]:
    """Runs that a worker should be told to prepare, oldest first."""
    again = now - timedelta(seconds=settings.MAILER_LEASE_SECONDS)
    return Run.objects.filter(
        Q(rung_at__isnull=True) | Q(rung_at__lt=again),
        state__in=[RunState.SCHEDULED, RunState.PREPARING],
    ).order_by("id")


def run_before(run: Run) -> Run | None:
    """The earlier run of the same mailing whose first pass this one has to wait for."""
    return _going(run.mailing).filter(pk__lt=run.pk).order_by("id").first()


def prepare_run(run_id: int, *, now: datetime) -> Run | None:
    """Freeze content, audience and relay, make the deliveries and batches, start sending.

    Runs as often as it is told: a worker killed here leaves PREPARING and no delivery, and the
    next one starts again. None when there is nothing to prepare (or it must wait).
    """
    run = _freeze(run_id, now=now)
    if run is None:
        return None
    try:
        check_content(run)
        return expand(run.pk, now=now)
    except NotPossible as problem:
        _fail(run, reason=str(problem), now=now)
        return run
    except (OperationalError, InterfaceError):
        raise  # an outage: told again, it starts again
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"[:500]
        Run.objects.filter(pk=run.pk, state=RunState.PREPARING).update(reason=reason)
        if now - run.created_at > PREPARE_WITHIN:
            _fail(run, reason=reason, now=now)
        raise


@transaction.atomic
def _freeze(run_id: int, *, now: datetime) -> Run | None:
    # Without joins: what they bring was read before the lock, perhaps before another froze it.
    run = (
        Run.objects.select_for_update()
        .filter(pk=run_id, state__in=[RunState.SCHEDULED, RunState.PREPARING])
        .first()
    )
    if run is None or run.state == RunState.PREPARING:
        return run
    if before := run_before(run):
        run.reason = _("Waits for run %(run)s, which is still going.") % {"run": before.pk}
        run.save(update_fields=["reason"])
        return None
    run.state, run.reason = RunState.PREPARING, ""
    run.message_version = run.mailing.message.current
    run.relay = run.mailing.relay
    run.shares = freeze_shares(run.mailing)
    run.save(update_fields=["state", "reason", "message_version", "relay", "shares"])
    run.lists.set(run.mailing.lists.all())
    if run.message_version is None:
        _fail(run, reason=_("The message has no content."), now=now)
        return None
    return run


def _fail(run: Run, *, reason: str, now: datetime) -> None:
    moved = Run.objects.filter(pk=run.pk, state=RunState.PREPARING).update(
        state=RunState.FAILED, reason=reason[:500], finished_at=now
    )
    if moved:
        run.refresh_from_db()
        log.warning("run %s could not be prepared", run.pk)


def _going(mailing: Mailing) -> QuerySet[Run]:
    """Runs of a mailing whose first pass is still to come or under way."""
    return mailing.runs.filter(
        first_pass_finished_at__isnull=True,
        state__in=[RunState.SCHEDULED, RunState.PREPARING, RunState.SENDING, RunState.PAUSED],
    )


def _missed(mailing: Mailing, *, slot: datetime, now: datetime) -> str:
    late = now - slot
    if mailing.missed == Mailing.Missed.LATE:
        allowed = max(ON_TIME, timedelta(minutes=mailing.late_minutes))
    else:
        allowed = ON_TIME
    if late <= allowed:
        return ""
    return _("Missed by %(late)s minutes; this mailing is sent at most %(allowed)s late.") % {
        "late": int(late.total_seconds() // 60),
        "allowed": int(allowed.total_seconds() // 60),
    }


def _overlaps(mailing: Mailing) -> str:
    going = _going(mailing).order_by("id").last()
    if going is None:
        return ""
    if mailing.overlap == Mailing.Overlap.SKIP:
        return _("Run %(run)s was still going.") % {"run": going.pk}
    if going.state == RunState.SCHEDULED:
        return _("Run %(run)s was still waiting to be sent.") % {"run": going.pk}
    return ""
