"""The event loop in its thread."""

import asyncio
import threading
from collections.abc import Iterator

import pytest
from celery.worker import state
from structlog.testing import capture_logs

from redrive.worker import deps
from redrive.worker.loop import EventLoop, LoopDiedError


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


# --- An end that nobody asked for ------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), MemoryError()], ids=repr)
def test_a_coroutine_cannot_end_the_loop(loop: EventLoop, error: BaseException) -> None:
    """Asyncio lets two of these through; all other accounts would be without a loop."""

    async def ends() -> None:
        raise error

    with pytest.raises((RuntimeError, GeneratorExit, MemoryError)):
        loop.submit(ends()).result(10)
    assert loop.alive
    assert loop.submit(where()).result(10)[0] == "redrive-http"


def test_a_loop_that_ends_all_the_same_fails_whoever_waits_and_says_so() -> None:
    """Nobody waits for ever, nobody begins another batch, and the process learns that it must end."""
    died, started = threading.Event(), threading.Event()
    loop = EventLoop(died=died.set)
    waiting = loop.submit(forever(started))
    assert started.wait(10)
    with capture_logs() as logs:
        loop._loop.call_soon_threadsafe(ends_the_loop)
        assert died.wait(10)
    with pytest.raises(LoopDiedError):
        waiting.result(10)
    with pytest.raises(LoopDiedError):
        loop.submit(where()).result(10)
    assert not loop.alive
    assert [(line["event"], line["log_level"]) for line in logs] == [("loop.died", "critical")]
    loop.close()


def ends_the_loop() -> None:
    raise SystemExit(1)


def test_a_loop_that_is_closed_is_not_dead_by_accident() -> None:
    died = threading.Event()
    loop = EventLoop(died=died.set)
    assert loop.alive
    loop.close()
    assert not loop.alive
    assert not died.is_set()


def test_the_process_ends_with_an_error_when_its_loop_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Celery is asked to end, with an exit code that a supervisor takes for a failure; what is open is finished."""
    monkeypatch.setattr(state, "should_stop", None)
    draining = threading.Event()
    deps._end(draining)
    assert draining.is_set()
    assert state.should_stop == 1
