"""Many processes and one folder: none lost, none twice, whoever is killed."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from kombu import Connection

from site_config.spool import Spool
from tests.broker.processes import (
    fork,
    hold_and_ack,
    publish,
    read_lines,
    read_numbers,
    wait_until,
    write_large,
    write_numbers,
)

pytestmark = [pytest.mark.timeout(60), pytest.mark.system]

Connect = Callable[[], Connection]


def test_8000_messages_of_four_writers_reach_one_of_three_readers_each(
    folder: Path, tmp_path: Path, spool: Spool
) -> None:
    left = fork.Value("i", 8000)
    logs = [tmp_path / f"reader{n}" for n in range(3)]
    writers = [fork.Process(target=write_numbers, args=(folder, n * 2000, 2000)) for n in range(4)]
    readers = [fork.Process(target=read_numbers, args=(folder, log, left)) for log in logs]
    for process in writers + readers:
        process.start()
    for process in writers + readers:
        process.join(timeout=40)
    assert [process.exitcode for process in writers + readers] == [0] * 7
    read = Counter(line for log in logs for line in read_lines(log))
    assert read == Counter(str(number) for number in range(8000))
    assert list(spool.bad.iterdir()) == []
    assert list((spool.ready / "numbers").iterdir()) == []


def test_killed_writers_leave_no_half_message(
    connect: Connect, tmp_path: Path, folder: Path, spool: Spool
) -> None:
    spool.open_queue("large")
    channel = connect().default_channel
    seed = random.Random(7)
    published: set[str] = set()
    received: list[str] = []
    for round_ in range(12):
        log = tmp_path / f"writer{round_}"
        writer = fork.Process(target=write_large, args=(folder, log))
        writer.start()
        wait_until(lambda log=log: read_lines(log))
        for _ in range(seed.randrange(1, 12)):
            if message := channel.basic_get("large"):
                received.append(message.payload["digest"])
                message.ack()
        writer.kill()
        writer.join()
        published |= set(read_lines(log))
    while message := channel.basic_get("large"):
        received.append(message.payload["digest"])
        message.ack()
    assert list(spool.bad.iterdir()) == []
    assert len(received) == len(set(received))
    assert published <= set(received)
    assert len(received) - len(published) <= 12  # published, and killed before it said so


@pytest.mark.usefixtures("sweep_at_once")
def test_killed_readers_lose_nothing(
    connect: Connect, tmp_path: Path, folder: Path, spool: Spool
) -> None:
    channel = connect().default_channel
    for number in range(600):
        publish(channel, "numbers", {"number": number})
    seed = random.Random(11)
    logs = [tmp_path / f"reader{n}" for n in range(9)]
    for log in logs:
        reader = fork.Process(target=hold_and_ack, args=(folder, log))
        reader.start()
        wanted = seed.randrange(15, 60)
        wait_until(lambda log=log, wanted=wanted: len(read_lines(log)) >= wanted)
        reader.kill()
        reader.join()
    events = [line.split() for log in logs for line in read_lines(log)]
    while message := channel.basic_get("numbers"):
        number, again = message.payload["number"], message.delivery_info["redelivered"]
        events += [["got", f"{number}", f"{again:d}"], ["done", f"{number}", "0"]]
        message.ack()
    deliveries = defaultdict(list)
    for what, number, again in events:
        if what == "got":
            deliveries[number].append(again)
    assert {number for what, number, _ in events if what == "done"} == {
        str(number) for number in range(600)
    }
    for flags in deliveries.values():
        # A reader killed between its claim and its log line leaves only the second delivery.
        assert flags[1:] == ["1"] * (len(flags) - 1)
    assert sum(len(flags) > 1 for flags in deliveries.values()) >= 50
    assert [path for owner in spool.claimed.iterdir() for path in owner.iterdir()] == []
