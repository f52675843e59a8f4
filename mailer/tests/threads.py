"""Doing one thing from several threads at once, each with a database connection of its own."""

from collections.abc import Callable
from threading import Barrier, Thread
from typing import TypeVar

from django.db import connection

T = TypeVar("T")


def together(work: Callable[[], T], *, threads: int = 4) -> list[T]:
    """Run `work` in so many threads at the same moment; what each gave back."""
    barrier = Barrier(threads)
    results: list[T] = []
    errors: list[Exception] = []

    def one() -> None:
        barrier.wait()
        try:
            results.append(work())
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    started = [Thread(target=one) for _ in range(threads)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    assert errors == []
    return results
