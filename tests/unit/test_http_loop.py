"""The event loop in its thread."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from worker.loop import EventLoop


@pytest.fixture
def loop() -> Iterator[EventLoop]:
    loop = EventLoop()
    yield loop
    loop.close()


async def where() -> tuple[str, asyncio.AbstractEventLoop]:
    return threading.current_thread().name, asyncio.get_running_loop()


def test_coroutines_of_all_threads_run_in_one_loop(loop: EventLoop) -> None:
    """Connections are pooled per loop, so there must be one."""
    (name, first), (_, second) = (loop.submit(where()).result(10) for _ in range(2))
    assert name == "redrive-http"
    assert first is second


def test_an_exception_reaches_the_one_who_waits(loop: EventLoop) -> None:
    """It is not lost in the thread."""
    with pytest.raises(TimeoutError, match="mine"):
        loop.submit(failing()).result(10)


async def failing() -> None:
    raise TimeoutError("mine")


def test_closing_cancels_what_is_under_way(loop: EventLoop) -> None:
    """Nobody waits forever for a loop that has ended, and its thread is gone."""
    started = threading.Event()
    future = loop.submit(forever(started))
    assert started.wait(10)
    loop.close()
    assert future.cancelled()
    assert "redrive-http" not in {thread.name for thread in threading.enumerate()}
    loop.close()


async def forever(started: threading.Event) -> None:
    started.set()
    await asyncio.Event().wait()
