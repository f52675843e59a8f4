"""One message at a time: publish, claim, acknowledge, give back, and whatever cannot be read."""

import errno
import logging
import os
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Consumer, Exchange, Queue
from kombu.exceptions import ChannelError, OperationalError

from site_config.process_identity import own_identity
from site_config.spool import Spool
from tests.broker.processes import fork, publish, wait_until

pytestmark = pytest.mark.timeout(30)

Connect = Callable[[], Connection]


def count(connection: Connection, queue: str) -> int:
    return connection.default_channel.queue_declare(queue, passive=True).message_count


def held(spool: Spool) -> list[str]:
    return [path.name for owner in spool.claimed.iterdir() for path in owner.iterdir()]


def test_messages_come_in_order_and_go_when_acknowledged(connect: Connect, spool: Spool) -> None:
    channel = connect().default_channel
    for number in range(200):
        publish(channel, "q", {"number": number})
    for number in range(200):
        message = channel.basic_get("q")
        assert message.payload == {"number": number}
        assert message.delivery_info["redelivered"] is False
        assert len(held(spool)) == 1
        message.ack()
    assert channel.basic_get("q") is None
    assert held(spool) == []


def test_no_ack_settles_at_delivery(connect: Connect, spool: Spool) -> None:
    connection = connect()
    got: list[Any] = []
    publish(connection.default_channel, "q", {"by": "get"})
    assert connection.default_channel.basic_get("q", no_ack=True)
    publish(connection.default_channel, "q", {"by": "consume"})
    consumer = Consumer(connection, [Queue("q")], no_ack=True, accept=["json"])
    consumer.register_callback(lambda body, _: got.append(body))
    with consumer:
        connection.drain_events(timeout=2)
    assert got == [{"by": "consume"}]
    assert held(spool) == []


@pytest.mark.parametrize("close", ["channel", "connection", "requeue"])
def test_what_is_not_acknowledged_comes_back_in_its_place(close: str, connect: Connect) -> None:
    first, second = connect(), connect()
    channel = first.channel()
    publish(channel, "q", {"number": 1})
    publish(channel, "q", {"number": 2})
    message = channel.basic_get("q")
    {"channel": channel.close, "connection": first.release, "requeue": message.requeue}[close]()
    again = second.default_channel.basic_get("q")
    assert again.payload == {"number": 1}
    assert again.delivery_info["redelivered"] is True
    assert second.default_channel.basic_get("q").delivery_info["redelivered"] is False


@pytest.mark.parametrize("seconds", [0, 0.15])
def test_an_empty_queue_is_waited_for_so_long(seconds: float, connect: Connect) -> None:
    connection = connect()
    with Consumer(connection, [Queue("q")]):
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=seconds)
        assert seconds <= time.monotonic() - started < seconds + 1


def test_a_rejected_message_goes(connect: Connect, spool: Spool) -> None:
    channel = connect().default_channel
    publish(channel, "q", {})
    channel.basic_get("q").reject()
    assert held(spool) == []
    assert channel.basic_get("q") is None


def test_a_late_ack_does_not_settle_the_next_delivery(connect: Connect, spool: Spool) -> None:
    channel, other = connect().channel(), connect().default_channel
    publish(channel, "q", {})
    late = []
    for _ in range(3):
        late.append(channel.basic_get("q"))
        channel.basic_recover(requeue=True)
    assert other.basic_get("q")
    for message in late:
        channel.basic_ack(message.delivery_tag)
    assert len(held(spool)) == 1


def test_a_fanout_gives_each_queue_a_message_of_its_own(connect: Connect, spool: Spool) -> None:
    connection = connect()
    exchange = Exchange("news", "fanout")
    queues = [Queue(name, exchange) for name in ("a", "b")]
    connection.Producer().publish({}, exchange=exchange, declare=queues)
    one, two = (connection.default_channel.basic_get(name) for name in ("a", "b"))
    one.ack()
    assert [name.rpartition("~")[2] for name in held(spool)] == ["b"]
    two.ack()
    assert held(spool) == []


QUEUES = ["mail", "mail.fast", "fast", "mail.fast.x", "l.fast", ".mail", "..", "a/b", "a~b", "ü %"]


def test_queue_names_do_not_mix(connect: Connect) -> None:
    channel = connect().default_channel
    for times, queue in enumerate(QUEUES, start=1):
        for _ in range(times):
            publish(channel, queue, {"queue": queue})
    for times, queue in enumerate(QUEUES, start=1):
        assert channel.queue_declare(queue, passive=True).message_count == times
        channel.basic_get(queue).requeue()
        assert channel.basic_get(queue).payload == {"queue": queue}
        assert channel.queue_declare(queue, passive=True).message_count == times - 1
    assert channel.queue_purge("mail.fast.x") == 3
    assert channel.queue_declare("mail", passive=True).message_count == 0
    assert channel.queue_declare("mail.fast", passive=True).message_count == 1


def test_a_deleted_queues_message_goes(connect: Connect, spool: Spool) -> None:
    channel = connect().default_channel
    publish(channel, "q", {})
    message = channel.basic_get("q")
    spool.delete_queue("q")
    message.requeue()
    assert held(spool) == []
    assert not spool.has_queue("q")


@pytest.mark.usefixtures("sweep_at_once")
def test_a_folder_that_goes_is_a_lost_connection(connect: Connect, folder: Path) -> None:
    connection = connect()
    shutil.rmtree(folder)
    with pytest.raises(connection.connection_errors, match="folder is gone"):
        connection.default_channel.basic_get("q")
    connection.collect()
    connection.connect()
    publish(connection.default_channel, "q", {})
    assert connection.default_channel.basic_get("q")


def test_an_undeclared_queue_is_not_found_and_not_made(connect: Connect) -> None:
    channel = connect().default_channel
    for _ in range(2):
        with pytest.raises(ChannelError, match="NOT_FOUND"):
            channel.queue_declare("nowhere", passive=True)


UNREADABLE = [
    b"",
    b'{"body": "e3',
    b"[]",
    b"null",
    b'{"properties": {}}',
    b"\xff\xfe",
    b'{"body": "e3t", "properties": {"body_encoding": "base64", "delivery_info": {}}}',
    b'{"body": "x", "properties": {"body_encoding": "zip", "delivery_info": {}}}',
]


@pytest.mark.parametrize("data", UNREADABLE)
def test_what_cannot_be_read_is_moved_aside(
    data: bytes, connect: Connect, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    channel = connect().default_channel
    spool.open_queue("q")
    spool.publish("q", data)
    publish(channel, "q", {"after": True})
    with caplog.at_level(logging.ERROR):
        assert channel.basic_get("q").payload == {"after": True}
    (aside,) = spool.bad.iterdir()
    assert aside.read_bytes() == data
    assert aside.name in caplog.text


def test_a_folder_and_a_foreign_file_are_moved_aside(connect: Connect, spool: Spool) -> None:
    spool.open_queue("q")
    (spool.ready / "q" / "0-folder").mkdir()
    (spool.ready / "q" / "notes~.txt").write_text("hello")
    assert connect().default_channel.basic_get("q") is None
    assert {path.name for path in spool.bad.iterdir()} == {"0-folder~q", "notes~.txt~q"}


def test_a_child_that_closes_an_inherited_connection_gives_nothing_back(
    connect: Connect, spool: Spool
) -> None:
    connection = connect()
    publish(connection.default_channel, "q", {})
    message = connection.default_channel.basic_get("q")
    child = fork.Process(target=connection.release)
    child.start()
    child.join()
    assert child.exitcode == 0
    assert count(connection, "q") == 0
    assert len(held(spool)) == 1
    message.ack()
    assert held(spool) == []


@pytest.mark.usefixtures("sweep_at_once")
def test_a_child_claims_in_its_own_name(connect: Connect, spool: Spool) -> None:
    connection = connect()
    channel = connection.default_channel
    for number in range(2):
        publish(channel, "q", {"number": number})
    parents = channel.basic_get("q")

    def claim_and_stay() -> None:
        channel.basic_get("q")
        time.sleep(60)

    child = fork.Process(target=claim_and_stay)
    child.start()
    wait_until(lambda: len(held(spool)) == 2)
    child.kill()
    child.join()
    again = channel.basic_get("q")
    assert again.payload == {"number": 1}
    assert again.delivery_info["redelivered"] is True
    assert channel.basic_get("q") is None
    assert parents.payload == {"number": 0}


def test_taken_back_from_one_whose_pid_was_used_again(connect: Connect, spool: Spool) -> None:
    channel = connect().default_channel
    publish(channel, "q", {})
    tag = spool.claim("q", spool.list_oldest("q", limit=1)[0])
    assert tag
    boot, namespace, _, _, token = own_identity().split(".")
    # This process's parent is alive, with another start time than the message's owner.
    former = spool.claimed / f"{boot}.{namespace}.{os.getppid()}.12345.{token}"
    (spool.claimed / own_identity()).rename(former)
    spool.take_back()
    assert channel.basic_get("q").delivery_info["redelivered"] is True
    assert not former.exists()


def test_a_draft_is_cleaned_up_after_a_while(spool: Spool) -> None:
    old, new = spool.tmp / "old", spool.tmp / "new"
    for draft in (old, new):
        draft.write_text("{")
    an_hour_ago = time.time() - 3600
    os.utime(old, (an_hour_ago, an_hour_ago))
    spool.sweep()
    assert not old.exists()
    assert new.exists()


def test_a_full_disk_is_an_outage(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connect()

    def write_bytes(path: Path, data: bytes) -> None:
        path.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", write_bytes)
    policy = {"max_retries": 1, "interval_start": 0, "interval_step": 0}
    with pytest.raises(OperationalError, match="No space left"):
        connection.Producer().publish({}, routing_key="q", retry=True, retry_policy=policy)
    monkeypatch.undo()
    spool = connection.transport.spool
    assert list(spool.tmp.iterdir()) == []


def test_a_sweep_that_fails_stops_nobody(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def sweep(_: Spool) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr(Spool, "sweep", sweep)
    channel = connect().default_channel
    publish(channel, "q", {})
    assert channel.basic_get("q")
    assert "not yours" in caplog.text


def test_only_the_owner_may_look(connect: Connect, folder: Path) -> None:
    connect().default_channel.queue_declare("q")
    for path in (folder, *folder.rglob("*")):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


TRANSPORT = "site_config.filesystem_broker:Transport"


def test_the_folder_is_in_the_url_or_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for connection, path in [
        (Connection(f"filesystem://{tmp_path}/Up%20per", transport=TRANSPORT), "Up per"),
        (Connection("filesystem://Rel/ative", transport=TRANSPORT), "Rel/ative"),
        (Connection(transport=TRANSPORT, transport_options={"folder": "option"}), "option"),
    ]:
        with connection.clone() as clone:
            clone.connect()
            assert (tmp_path / path / "ready").is_dir()
            assert clone.transport.spool.ready.is_absolute()


def test_no_folder_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a folder"):
        Connection("filesystem://", transport=TRANSPORT).connect()
