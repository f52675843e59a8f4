"""The same services from a shell."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from kombu.exceptions import OperationalError

from mailer import tasks
from mailer.engine.sender import Outcome
from mailer.models import MailingList, Recipient, Run, TestMessage
from mailer.tests.factories import make_mailing, make_message, make_relay, make_run
from mailer.tests.ledger import Engine, send_all

pytestmark = [pytest.mark.database, pytest.mark.django_db(transaction=True)]


def run_command(*arguments: str) -> str:
    output = StringIO()
    call_command(*arguments, stdout=output, stderr=StringIO())
    return output.getvalue()


def test_import_recipients(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("address,name\nann@people.example,Ann\nnobody,X\n")
    said = run_command("import_recipients", str(path), "--list", "New list")
    assert "1 created, 0 updated, 0 unchanged, 1 rejected" in said
    rejected = (tmp_path / "people.csv.rejected.csv").read_text().splitlines()
    assert rejected[0] == "address,name,rejected_line,rejected_reason"
    assert rejected[1].startswith("nobody,X,3,")
    assert MailingList.objects.get(name="New list").recipients.count() == 1
    assert "1 added to the list “New list”. It is new" in said


def test_a_list_is_found_whatever_its_capitals_and_spaces(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("address\nann@people.example\n")
    MailingList.objects.create(name="Été News", slug="news")
    said = run_command("import_recipients", str(path), "--list", "  été news ")
    assert said.splitlines()[1:] == ["1 added to the list “Été News”."]
    MailingList.objects.create(name="ÉTÉ NEWS", slug="news-2")
    with pytest.raises(CommandError, match="may be any of “ÉTÉ NEWS”, “Été News”"):
        run_command("import_recipients", str(path), "--list", "été news")
    said = run_command("import_recipients", str(path), "--list", "ÉTÉ NEWS")
    assert said.splitlines()[1:] == ["1 added to the list “ÉTÉ NEWS”."]
    run_command("import_recipients", str(path), "--list", " Odd ")
    assert MailingList.objects.filter(name="Odd").exists()


def test_rejected_rows_of_an_earlier_import_do_not_stay(tmp_path: Path) -> None:
    path, rejected = tmp_path / "people.csv", tmp_path / "people.csv.rejected.csv"
    path.write_text("address\nann\n")
    run_command("import_recipients", str(path), "--list", "News")
    assert rejected.exists()
    path.write_text("address\nann@people.example\n")
    said = run_command("import_recipients", str(path), "--list", "News")
    assert f"{rejected} was removed" in said
    assert not rejected.exists()
    assert "rejected.csv" not in run_command("import_recipients", str(path), "--list", "News")


def test_import_of_what_is_no_csv_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(CommandError, match="Nothing was changed"):
        run_command("import_recipients", str(path), "--list", "New list")
    with pytest.raises(CommandError, match=r"such file or directory\. Nothing was changed") as no:
        run_command("import_recipients", str(tmp_path / "absent.csv"), "--list", "New list")
    assert "UTF-8" not in str(no.value)
    path.write_text("address\n")
    said = run_command("import_recipients", str(path), "--list", "New list")
    assert "no list “New list” was made" in said
    path.write_text("address\nann@people.example\n")
    with pytest.raises(CommandError, match="--list"):
        run_command("import_recipients", str(path), "--list", "")
    assert not MailingList.objects.exists()
    assert not Recipient.objects.exists()


def test_start_mailing_prints_the_runs_id() -> None:
    mailing = make_mailing(recipients=1, name="Weekly")
    run = Run.objects.get(pk=int(run_command("start_mailing", "Weekly")))
    assert (run.mailing, run.trigger, run.state) == (mailing, "command", "scheduled")
    with pytest.raises(CommandError, match="There are: “Weekly”"):
        run_command("start_mailing", "Monthly")


def test_who_starts_a_mailing_second_at_the_same_time_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make_mailing(recipients=1, name="Weekly")
    before = timezone.now()
    first = run_command("start_mailing", "Weekly").strip()
    monkeypatch.setattr(timezone, "now", lambda: before)
    with pytest.raises(CommandError, match=f"elsewhere at the same time: run {first}") as refused:
        run_command("start_mailing", "Weekly")
    assert "page" not in str(refused.value)
    assert Run.objects.count() == 1


def test_run_report(engine: Engine) -> None:
    run = make_run(recipients=3)
    send_all(run)
    report = json.loads(run_command("run_report", str(run.pk), "--json"))
    assert report["state"] == "finished"
    assert (report["total"], report["by_state"]["sent"], report["failures"]) == (3, 3, [])
    assert report["started"] <= report["finished"]
    with pytest.raises(CommandError, match="no run"):
        run_command("run_report", "0")


def test_run_report_in_lines(engine: Engine) -> None:
    run = make_run(recipients=3)
    answers: dict[int, Any] = {
        1: {"outcome": Outcome.FAILED, "problem": "550 5.1.1", "code": 550, "reply": "no such user"}
    }
    engine.script = lambda message: answers.get(message.seq, Outcome.SENT)
    send_all(run)
    Run.objects.update(left_out={"unsubscribed": 2})
    said = run_command("run_report", str(run.pk))
    lines = said.splitlines()
    assert {"total: 3", "state: finished", "left out: 2 unsubscribed"} <= set(lines)
    assert "by state: 2 sent, 1 failed" in lines
    assert lines[-2].startswith("1 failed, 550 5.1.1: ")
    assert lines[-1] == "    no such user"
    assert not set("{}[]'") & set(said)
    assert "None" not in said


def test_next_sends() -> None:
    make_mailing(
        name="Weekly",
        enabled=True,
        schedule_kind="crontab",
        schedule_expression="0 9 * * 1",
        schedule_zone="Asia/Taipei",
    )
    lines = run_command("next_sends", "Weekly", "--count", "3").splitlines()
    assert len(lines) == 3
    assert all(line.startswith("Mon ") and "09:00 CST" in line for line in lines)


def test_send_test_refuses_what_cannot_be_sent() -> None:
    make_message("Hello")
    make_relay(name="Provider")
    with pytest.raises(CommandError, match=r"no relay “Other”\. There are: “Provider”"):
        run_command("send_test", "Hello", "ann@people.example", "--relay", "Other")
    with pytest.raises(CommandError, match="not an e-mail address"):
        run_command("send_test", "Hello", "nobody")
    with pytest.raises(CommandError, match="no message"):
        run_command("send_test", "Bye", "ann@people.example")
    assert not TestMessage.objects.exists()


def test_send_test_prints_the_tasks_id(monkeypatch: pytest.MonkeyPatch) -> None:
    make_message("Hello")
    make_relay()
    make_relay(name="Provider")
    published: list[str] = []

    def publish(*_: object, task_id: str) -> Any:
        published.append(task_id)
        return TestMessage()

    monkeypatch.setattr(tasks.send_test, "apply_async", publish)
    said = run_command("send_test", "Hello", "ann@PEOPLE.example", "--relay", "Provider").strip()
    test = TestMessage.objects.get()
    assert str(test.relay) == "Provider"
    assert (test.address, test.task_id, published) == ("ann@people.example", said, [said])


def test_send_test_says_when_the_broker_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    make_message("Hello")
    make_relay()

    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("connection refused")

    monkeypatch.setattr(tasks.send_test, "apply_async", refuse)
    with pytest.raises(CommandError, match="Nothing was sent"):
        run_command("send_test", "Hello", "ann@people.example")
    assert not TestMessage.objects.exists()
