"""tests/run.py: its closing line and its exit code tell the truth."""

from pathlib import Path
from typing import Any

import pytest

from tests import run

SKIPPED = """<testsuites><testsuite>
<testcase name="a"><skipped type="pytest.skip" message="no fsync here"/></testcase>
<testcase name="b"><skipped type="pytest.xfail" message="known"/></testcase>
<testcase name="c"/></testsuite></testsuites>"""


@pytest.fixture
def suites(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The suites that were run, with the exit code each shall have."""
    codes: dict[str, int] = {}

    def run_suite(suite: run.Suite, **_: Any) -> int:
        return codes.setdefault(suite.name, 0)

    monkeypatch.setattr(run, "run_suite", run_suite)
    monkeypatch.setattr(run, "drop_databases", lambda _prefix: None)
    monkeypatch.setattr(run, "find_missing", dict)
    monkeypatch.setattr(run, "has_delayed_queues", lambda _url: True)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.delenv("CI", raising=False)
    return codes


def last_line(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out.splitlines()[-1]


def test_everything(suites: dict[str, int], capsys: pytest.CaptureFixture[str]) -> None:
    assert run.main() == 0
    assert list(suites) == [
        "SQLite",
        "PostgreSQL",
        "system",
        "system on PostgreSQL and RabbitMQ",
        "system on PostgreSQL and Redis",
        "browser",
    ]
    assert last_line(capsys) == "Everything was run."


@pytest.mark.parametrize(("ci", "code"), [("", 0), ("true", 1)])
def test_what_is_missing_is_named_and_fails_in_ci(
    suites: dict[str, int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    ci: str,
    code: int,
) -> None:
    monkeypatch.setenv("CI", ci)
    missing = {"PostgreSQL": "no server at 127.0.0.1:5432", "a browser": "no chromium"}
    monkeypatch.setattr(run, "find_missing", lambda: missing)
    assert run.main() == code
    assert list(suites) == ["SQLite", "system"]
    assert last_line(capsys) == (
        "Not run: PostgreSQL (no server at 127.0.0.1:5432); a browser (no chromium)."
    )


def test_without_redis_the_rest_is_run(
    suites: dict[str, int], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "find_missing", lambda: {"Redis": "no server at 127.0.0.1:6379"})
    assert run.main() == 0
    assert "system on PostgreSQL and RabbitMQ" in suites
    assert "system on PostgreSQL and Redis" not in suites
    assert last_line(capsys) == "Not run: Redis (no server at 127.0.0.1:6379)."


def test_a_failure_or_a_suite_without_tests_fails(
    suites: dict[str, int], capsys: pytest.CaptureFixture[str]
) -> None:
    suites |= {"system": 1, "browser": run.NO_TESTS}
    assert run.main() == 1
    assert last_line(capsys) == "Failed: system, browser. Everything was run."


def test_skips_are_counted_expected_failures_are_not(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    assert run.read_skips(report) == []
    report.write_text(SKIPPED)
    assert run.read_skips(report) == ["no fsync here"]


def test_a_server_that_is_not_there_is_found_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "ADDRESSES", {"Redis": "redis://127.0.0.1:1/0"})
    monkeypatch.setenv("PATH", "/nowhere")
    assert run.find_missing() == {
        "Redis": "no server at 127.0.0.1:1",
        "a browser": "no chromium",
    }


def test_the_database_is_named_so_that_only_ours_is_dropped() -> None:
    assert run.on_postgres("mailroom_1").endswith("/mailroom_1")
