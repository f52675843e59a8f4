"""Reply, control and event queues: gone with whoever asked, and never a heap of files."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kombu import Connection, Consumer, Exchange, Queue

from site_config.spool import Spool
from tests.broker.processes import connect_to, fork, wait_until

pytestmark = pytest.mark.timeout(30)

Connect = Callable[[], Connection]

EXCHANGE = Exchange("reply", "direct", durable=False)


def reply_queue(name: str = "asker.reply", **options: Any) -> Queue:
    return Queue(name, EXCHANGE, routing_key="asker", auto_delete=True, **options)


def reply(connection: Connection) -> None:
    connection.Producer().publish({}, exchange=EXCHANGE, routing_key="asker", declare=[EXCHANGE])


def files(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*")]


def ask_and_wait_for_death(folder: Path) -> None:
    reply_queue()(connect_to(folder).default_channel).declare()
    time.sleep(60)


def die_asking(folder: Path, spool: Spool) -> None:
    """Leave what a killed process leaves: a binding, and a queue with nobody to read it."""
    asker = fork.Process(target=ask_and_wait_for_death, args=(folder,))
    asker.start()
    wait_until(lambda: files(spool.bindings / "reply"))
    asker.kill()
    asker.join()


def test_a_queue_goes_with_its_consumer_and_a_late_reply_with_it(
    connect: Connect, spool: Spool
) -> None:
    asker, worker = connect(), connect()
    got: list[Any] = []
    with Consumer(asker, [reply_queue()], no_ack=True, accept=["json"]) as consumer:
        consumer.register_callback(lambda body, _: got.append(body))
        reply(worker)
        asker.drain_events(timeout=2)
    assert got == [{}]
    reply(worker)
    assert files(spool.ready) == []
    assert files(spool.bindings) == ["reply"]


def test_a_reply_under_way_while_its_queue_goes_is_dropped(connect: Connect, spool: Spool) -> None:
    worker = connect().default_channel
    reply_queue()(connect().default_channel).declare()
    assert worker.get_table("reply")  # the worker looks up the queue …
    spool.delete_queue("asker.reply")  # … which is deleted …
    worker._put("asker.reply", {})  # … before it writes
    assert files(spool.ready) == []


def test_the_dead_leave_no_queue(connect: Connect, folder: Path, spool: Spool) -> None:
    die_asking(folder, spool)
    reply(connect())
    assert len(files(spool.ready)) == 2
    spool.sweep()
    assert files(spool.ready) == []
    assert files(spool.bindings) == ["reply"]


def test_a_namesake_does_not_get_what_was_sent_to_the_dead(
    connect: Connect, folder: Path, spool: Spool
) -> None:
    die_asking(folder, spool)
    reply(connect())
    bound = reply_queue()(connect().default_channel)
    bound.declare()
    assert bound.get() is None
    reply(connect())
    assert bound.get() is not None


def test_a_consumer_whose_queue_was_swept_away_opens_it_again(
    connect: Connect, spool: Spool
) -> None:
    bound = reply_queue()(connect().default_channel)
    bound.declare()
    spool.delete_queue("asker.reply")
    assert bound.get() is None
    reply(connect())
    assert bound.get() is not None


def test_the_living_keep_theirs(connect: Connect, spool: Spool) -> None:
    bound = reply_queue(message_ttl=60)(connect().default_channel)
    bound.declare()
    Queue("work", Exchange("work"), "work")(connect().default_channel).declare()
    reply(connect())
    spool.sweep()
    assert bound.get() is not None
    assert len(spool.list_oldest("work", limit=9)) == 0
    assert spool.has_queue("work")


def test_an_expired_reply_is_removed(connect: Connect, spool: Spool) -> None:
    bound = reply_queue(message_ttl=0.05)(connect().default_channel)
    bound.declare()
    reply(connect())

    def gone() -> bool:
        spool.sweep()
        return spool.count_ready("asker.reply") == 0

    assert spool.count_ready("asker.reply") == 1
    wait_until(gone, seconds=2)
    assert spool.has_queue("asker.reply")


def bind_many(folder: Path, name: str, gate: Any) -> None:
    channel = connect_to(folder).default_channel
    gate.wait()
    for number in range(50):
        queue = Queue(f"{name}.{number}", Exchange("news", "fanout"), durable=True)
        queue(channel).declare()
        channel.get_table("news")


def test_processes_that_bind_at_once_lose_no_binding(
    connect: Connect, folder: Path, spool: Spool
) -> None:
    gate = fork.Barrier(4)
    binders = [fork.Process(target=bind_many, args=(folder, f"p{n}", gate)) for n in range(4)]
    for binder in binders:
        binder.start()
    for binder in binders:
        binder.join()
    table = {queue for _, _, queue in connect().default_channel.get_table("news")}
    assert [binder.exitcode for binder in binders] == [0] * 4
    assert table == {f"p{n}.{number}" for n in range(4) for number in range(50)}
    assert files(spool.bad) == []


@pytest.mark.parametrize("data", [b"", b"[1", b"[]", b'["key"]'])
def test_an_unreadable_binding_is_moved_aside_and_declared_anew(
    data: bytes, connect: Connect, spool: Spool
) -> None:
    queue = Queue("work", Exchange("work"), "work")
    queue(connect().default_channel).declare()
    (path,) = (spool.bindings / "work").iterdir()
    path.write_bytes(data)
    channel = connect().default_channel
    assert channel.get_table("work") == []
    assert files(spool.bad) == [path.name]
    queue(channel).declare()
    assert channel.get_table("work") == [("work", "", "work")]
