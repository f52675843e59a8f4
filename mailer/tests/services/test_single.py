"""One message to one address, asked for by the site's own code."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from kombu.exceptions import OperationalError

from mailer import tasks
from mailer.engine.composer import CannotComposeError, Composer
from mailer.engine.preflight import LimitReached
from mailer.engine.render import compile_content
from mailer.engine.sender import Outcome, Outgoing, RelayTrouble
from mailer.exceptions import NothingToSend, NotPossible
from mailer.locks import Lock, wait_for
from mailer.models import Attempt, Audit, Batch, Delivery, Mailing, Message, Run, Suppression
from mailer.services import content, control, planning, recovery, ringing, send_one
from mailer.services.content import content_of, make_frame, run_frame
from mailer.services.reporting import report_run
from mailer.tests.factories import (
    NOW,
    make_list,
    make_mailing,
    make_message,
    make_recipient,
    make_relay,
    make_run,
    subscribe,
)
from mailer.tests.ledger import Engine, check_invariants, send_all
from mailer.tests.threads import together

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]

LATER = NOW + timedelta(hours=1)
RESET = {"subject": "New password", "html": "", "text": "Follow {{ link }}, {{ name }}"}
LINK = {"link": "https://a.example/reset/1"}


@pytest.fixture(autouse=True)
def tried(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The first render of a version takes a process of its own; what it was asked to render."""
    asked: list[Any] = []
    monkeypatch.setattr(content, "render_bounded", lambda _content, values: asked.append(values))
    return asked


@pytest.fixture(autouse=True)
def rung(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The batches that workers were told of."""
    taken: list[int] = []
    monkeypatch.setattr(tasks.send_batch, "apply_async", lambda args, task_id: taken.append(*args))
    return taken


@pytest.fixture
def message() -> Message:
    make_relay(name="Provider")
    return make_message("Password reset", **RESET)


def ask(message: Message, address: str = "a@b.example", key: str = "1", **fields: Any) -> Delivery:
    return send_one(
        message, address, fields.pop("variables", LINK), idempotency_key=key, now=NOW, **fields
    )


# --- What a call makes -----------------------------------------------------------------------


def test_it_goes_out_and_is_counted_as_any_other(message: Message, engine: Engine) -> None:
    delivery = ask(message)
    run = delivery.run
    assert (run.state, run.total, run.pending, run.next_seq) == ("sending", 1, 1, 2)
    assert (run.trigger, run.message_version, run.relay) == (
        "single",
        message.current,
        run.mailing.relay,
    )
    assert (run.started_at, run.expires_at) == (NOW, NOW + timedelta(hours=24))
    assert run.batches.count() == 1
    assert Delivery.objects.with_uuid(delivery.uuid).get() == delivery
    seen: list[Outgoing] = []

    def take(message: Outgoing) -> Outcome:
        seen.append(message)
        return Outcome.SENT

    engine.script = take
    send_all(run)
    delivery.refresh_from_db()
    run.refresh_from_db()
    assert (delivery.state, run.state, run.sent) == ("sent", "finished", 1)
    assert (seen[0].uuid, seen[0].address, seen[0].variables["link"]) == (
        delivery.uuid,
        "a@b.example",
        LINK["link"],
    )
    assert report_run(run)["by_state"]["sent"] == 1
    check_invariants(run, taken=engine.taken)


def test_a_disabled_mailbox_is_suppressed_the_second_time_whoever_it_belongs_to(
    message: Message, engine: Engine
) -> None:
    engine.script = lambda _message: {
        "outcome": Outcome.FAILED,
        "enhanced_status": "5.2.1",
        "suppress": "second time",
    }
    send_all(ask(message, "other@b.example", key="0").run)
    send_all(ask(message, key="1").run)
    assert not Suppression.objects.exists()
    send_all(ask(message, key="2").run)
    assert Suppression.objects.get().address == "a@b.example"
    # Who was a stranger the first time and is a recipient now.
    make_recipient("other@b.example")
    send_all(ask(message, "other@b.example", key="3").run)
    assert Suppression.objects.count() == 2


def test_its_mailing_is_made_once_and_says_what_it_is(message: Message) -> None:
    ask(message, key="1")
    ask(message, key="2")
    mailing = Mailing.objects.get()
    assert (mailing.name, mailing.is_single, mailing.urgent) == ("Password reset", True, True)
    assert (mailing.expires_after_hours, mailing.breaker_percent) == (24, None)
    assert not mailing.lists.exists()
    # Both were asked for at the same moment, and a slot is one run's alone.
    assert mailing.runs.values("slot").distinct().count() == 2


def test_its_relay_is_that_of_the_newest_mailing_with_the_message(message: Message) -> None:
    relay = make_relay(name="Another")
    make_mailing(message=message, relay=relay, name=message.name)  # which has the name, too
    delivery = ask(message)
    assert delivery.run.relay == relay
    assert delivery.run.mailing.name == "Password reset (2)"


def test_what_staff_change_on_its_page_counts_for_the_next_one(message: Message) -> None:
    first = ask(message).run.mailing
    relay = make_relay(name="Another")
    Mailing.objects.filter(pk=first.pk).update(relay=relay, expires_after_hours=2)
    run = ask(message, key="2").run
    assert (run.mailing, run.relay, run.expires_at) == (first, relay, NOW + timedelta(hours=2))
    assert run.batches.get().relay == relay


def test_what_is_known_of_a_recipient_lies_below_what_the_caller_gives(message: Message) -> None:
    person = make_recipient("Zoe@b.example", name="Zoë", attributes={"city": "Ghent", "link": "x"})
    delivery = ask(message, "zoe@B.example")
    assert delivery.recipient == person
    assert delivery.variables == {
        "name": "Zoë",
        "address": person.address,
        "language": "",
        "time_zone": "",
        "city": "Ghent",
        **LINK,
    }
    assert ask(message, key="2").recipient is None
    assert ask(message, key="3", variables={"name": "Ann"}).variables["name"] == "Ann"


# --- The same key again ----------------------------------------------------------------------


def test_the_same_key_gives_what_the_first_call_made(message: Message, engine: Engine) -> None:
    first = ask(message)
    send_all(first.run)
    again = ask(message, "A@B.example", variables={"link": "another"})
    assert (again, again.state) == (first, "sent")
    assert again.variables["link"] == LINK["link"]
    assert Run.objects.count() == Batch.objects.count() == 1


def test_the_same_key_for_another_address_is_refused(message: Message) -> None:
    ask(message)
    with pytest.raises(NotPossible, match="another address"):
        ask(message, "c@d.example")
    assert Run.objects.count() == 1


def test_a_key_counts_within_its_message(message: Message) -> None:
    assert ask(message) != ask(make_message(**RESET))


@pytest.mark.parametrize("key", ["", "k" * 201, "a\0b", "a\ud800", None, 7])
def test_a_key_that_is_none_is_refused(message: Message, key: Any) -> None:
    with pytest.raises(NotPossible, match="idempotency key"):
        ask(message, key=key)
    assert not Run.objects.exists()


@pytest.mark.parametrize("is_first", [True, False])
def test_who_asks_at_once_gets_the_same_delivery(message: Message, is_first: bool) -> None:
    if not is_first:
        ask(message, key="before")
    made = together(lambda: ask(message).pk, threads=6)
    assert len(set(made)) == 1
    assert Mailing.objects.count() == 1
    assert Delivery.objects.count() == Run.objects.count() == (1 if is_first else 2)


def test_many_at_the_same_moment_get_a_slot_each(message: Message) -> None:
    keys = iter("abcdef")
    made = together(lambda: ask(message, key=next(keys)).pk, threads=6)
    assert len(set(made)) == 6
    assert Run.objects.values("slot").distinct().count() == 6


def test_a_caller_that_takes_it_back_has_sent_nothing(message: Message, rung: list[int]) -> None:
    with transaction.atomic():
        ask(message)
        transaction.set_rollback(True)
    assert rung == []
    assert not Run.objects.exists()


# --- Who gets it -----------------------------------------------------------------------------


def test_a_suppressed_address_is_recorded_and_gets_nothing(message: Message, rung: Any) -> None:
    Suppression.objects.create(address="A@b.example", reason="hard_bounce")
    delivery = ask(message)
    assert (delivery.state, delivery.problem) == ("skipped", "suppressed")
    run = delivery.run
    assert (run.state, run.finished_at, run.skipped, run.pending) == ("finished", NOW, 1, 0)
    assert rung == []
    check_invariants(run)


def test_who_wants_no_newsletters_still_gets_the_receipt(message: Message, engine: Engine) -> None:
    Suppression.objects.create(address="a@b.example", reason="unsubscribed")
    subscribe(make_recipient("a@b.example"), make_list(), state="unsubscribed")  # type: ignore[arg-type]
    run = ask(message).run
    send_all(run)
    check_invariants(run, taken=engine.taken)
    assert run.sent == 1


def test_who_is_suppressed_meanwhile_gets_nothing(message: Message, engine: Engine) -> None:
    run = ask(message).run
    Suppression.objects.create(address="a@b.example", reason="complaint")
    send_all(run)
    check_invariants(run, taken=engine.taken)
    assert (run.state, run.skipped, engine.taken) == ("finished", 1, [])


def test_who_is_no_recipient_any_more_still_gets_what_the_site_asked_for(
    message: Message, engine: Engine
) -> None:
    """Such as the word that their account is gone."""
    person = make_recipient("a@b.example")
    delivery = ask(message)
    person.delete()
    send_all(delivery.run)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.recipient) == ("sent", None)


def test_it_does_not_wait_for_a_deletion(message: Message) -> None:
    person = make_recipient("a@b.example", name="Ann")
    if connection.vendor == "sqlite":  # one transaction at a time: there is none to wait for
        assert ask(message).recipient == person
        return
    with transaction.atomic():
        wait_for(Lock.EXPANDING)
        (delivery,) = together(lambda: ask(message), threads=1)
    assert (delivery.recipient, delivery.variables["name"]) == (None, "Ann")


def test_bulk_mail_still_asks_for_a_subscription(message: Message, engine: Engine) -> None:
    ask(message)
    run = make_run(recipients=2)
    run.deliveries.update(recipient=None)
    send_all(run)
    check_invariants(run, taken=engine.taken)
    assert (run.skipped, engine.taken) == (2, [])


# --- When it does not arrive at once ---------------------------------------------------------


def test_what_is_refused_for_now_is_tried_again(message: Message, engine: Engine) -> None:
    delivery = ask(message)
    engine.script = lambda _message: Outcome.DEFERRED
    send_all(delivery.run)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.run.state) == ("deferred", "sending")
    engine.script = lambda _message: Outcome.SENT
    recovery.tick(now=LATER)
    send_all(delivery.run, now=LATER)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("sent", 2)
    assert Attempt.objects.get().state == "deferred"
    check_invariants(delivery.run, taken=engine.taken)


def test_a_retry_follows_the_same_rule(message: Message, engine: Engine) -> None:
    Suppression.objects.create(address="a@b.example", reason="unsubscribed")
    run = ask(message).run
    engine.script = lambda _message: Outcome.FAILED
    send_all(run)
    engine.script = lambda _message: Outcome.SENT
    assert control.retry_failed(run.pk, by=None, now=LATER).done == 1
    send_all(run, now=LATER)
    check_invariants(run, taken=engine.taken)
    assert run.sent == 1

    dead = ask(message, "dead@b.example", key="2").run
    engine.script = lambda _message: Outcome.FAILED
    send_all(dead)
    Suppression.objects.create(address="dead@b.example", reason="staff")
    with pytest.raises(NotPossible, match="1 failed delivery is left out"):
        control.retry_failed(dead.pk, by=None, now=LATER)


def test_what_nobody_took_in_a_day_is_given_up(message: Message, engine: Engine) -> None:
    delivery = ask(message)
    recovery.tick(now=NOW + timedelta(hours=25))
    delivery.refresh_from_db()
    assert (delivery.state, delivery.problem) == ("failed", "expired")


def test_a_missing_placeholder_fails_it_and_is_named(message: Message, engine: Engine) -> None:
    delivery = ask(message, variables={})
    run, version = delivery.run, message.current
    assert version is not None
    composer = Composer(
        make_frame(run_frame(run, version), version),
        compile_content(content_of(version)),
        envelope_sender=lambda _message: "",
    )

    def compose(message: Outgoing) -> Any:
        try:
            composer.compose(message)
        except CannotComposeError as error:
            return {"outcome": Outcome.FAILED, "problem": error.problem, "reply": str(error)}
        return Outcome.SENT

    engine.script = compose
    send_all(run)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.problem) == ("failed", "template: link is missing")


def test_a_relay_that_refuses_us_makes_it_wait_and_holds_nothing(
    message: Message, engine: Engine
) -> None:
    run = ask(message).run
    engine.script = lambda _message: RelayTrouble("hold", "relay:587 refused the password")
    send_all(run)
    run.refresh_from_db()
    assert (run.state, run.pending) == ("sending", 1)
    assert run.batches.get(state="ready").not_before == NOW + timedelta(seconds=30)
    assert Audit.objects.get(run=run).detail == "relay:587 refused the password"
    assert not ringing.take_bells(now=NOW + timedelta(seconds=29), processes=1)
    bells = ringing.take_bells(now=LATER, processes=1)
    assert len(bells) == 1
    send_all(run, now=LATER)
    assert run.batches.get(state="ready").not_before == LATER + timedelta(minutes=15)
    assert Audit.objects.filter(run=run).count() == 1
    check_invariants(run)


# --- What is refused -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        *("", "nobody", "a@b.example, c@d.example", None, 7, b"a@b.example", (), (1, 2)),
        *("a\0@b.example", "a\ud800@b.example", "a@\udfff.example"),
    ],
)
def test_an_address_that_is_none(message: Message, address: Any) -> None:
    with pytest.raises(NotPossible, match="is not an e-mail address"):
        ask(message, address)
    assert not Mailing.objects.exists()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (NOW, "not plain data"),
        (float("nan"), "not plain data"),
        ("x" * 64_001, "longer than"),
        ([0] * 2_001, "more than"),
        ("a\0b", "NUL"),
        ({1: "x"}, "a name is not text"),
    ],
)
def test_values_that_no_template_may_see(message: Message, value: object, why: str) -> None:
    with pytest.raises(NotPossible, match=why):
        ask(message, variables={"link": value})
    assert not Run.objects.exists()


@pytest.mark.parametrize("name", ["Ann\nBcc: c@d.example", "Ann\r", "Ann\n"])
def test_a_name_with_a_line_break(message: Message, name: str) -> None:
    with pytest.raises(NotPossible, match="the name holds a line break"):
        ask(message, variables={**LINK, "name": name})
    assert not Run.objects.exists()


def test_a_backslash_is_no_nul(message: Message) -> None:
    assert ask(message, variables={"link": r"\u0000"}).variables["link"] == r"\u0000"


def test_a_message_without_content_and_a_site_without_a_relay() -> None:
    message = make_message(**RESET)
    with pytest.raises(NotPossible, match="no relay"):
        ask(message)
    make_relay()
    with pytest.raises(NotPossible, match="no content"):
        ask(Message.objects.create(name="Empty"))
    assert not Mailing.objects.exists()


def test_content_that_cannot_be_sent_is_said_at_the_first_call(
    message: Message, tried: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object) -> None:
        raise LimitReached("text", None, "took too much memory or time")

    with monkeypatch.context() as broken:
        broken.setattr(content, "render_bounded", explode)
        with pytest.raises(NotPossible, match="too much memory"):
            ask(message)
    assert not Run.objects.exists()
    ask(message)
    ask(message, key="2")
    assert [values["link"] for values in tried] == [LINK["link"]]  # once for a version


# --- The rest of the site --------------------------------------------------------------------


def test_workers_are_told_after_the_commit(message: Message, rung: list[int]) -> None:
    with transaction.atomic():
        delivery = ask(message)
        assert rung == []
    assert rung == [delivery.run.batches.get().pk]


def test_a_broker_that_is_down_is_no_error(
    message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(tasks.send_batch, "apply_async", refuse)
    batch = ask(message).run.batches.get()
    assert batch.rung_at is None
    assert [bell.pk for bell in ringing.take_bells(now=NOW, processes=1)] == [batch.pk]


def test_it_is_on_no_list_and_says_so_in_its_headers(message: Message) -> None:
    run = ask(message).run
    assert run.message_version is not None
    frame = run_frame(run, run.message_version)
    assert frame.list_id is None
    assert frame.feedback_id == f"{run.mailing_id}:mailing-{run.mailing_id}:single:mailroom"


def test_its_mailing_is_not_sent_to_anybody_by_hand(message: Message) -> None:
    mailing = ask(message).run.mailing
    with pytest.raises(NothingToSend, match="sent by the site itself"):
        planning.start_now(mailing, moment=LATER, trigger=Run.Trigger.STAFF, by=None, now=LATER)


def test_a_further_message_takes_few_statements(
    message: Message, django_assert_max_num_queries: Any
) -> None:
    ask(message)
    make_recipient("a@b.example")
    with transaction.atomic(), django_assert_max_num_queries(16):
        send_one(message, "a@b.example", LINK, idempotency_key="2", now=LATER)
