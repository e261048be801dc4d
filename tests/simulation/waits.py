"""What blocking code waits for, over virtual time: events, conditions and the answers of coroutines."""

import asyncio
import concurrent.futures
from collections.abc import Callable, Sequence
from typing import Any

from .stage import Actor, Stage


class _Condition:
    """What actors wait for."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._waiters: list[Actor] = []

    def _until(self, holds: Callable[[], bool], timeout: float | None) -> bool:
        deadline = None if timeout is None else self._stage.seconds + timeout
        while not holds():
            left = None if deadline is None else deadline - self._stage.seconds
            if (left is not None and left <= 0) or (actor := self._stage.actor) is None:
                return False
            self._waiters.append(actor)
            actor.pause(left)
        return True

    def notify(self) -> None:
        waiters, self._waiters = self._waiters, []
        for actor in waiters:
            actor.wake()


class Event(_Condition):
    """``threading.Event`` over virtual time."""

    _set = False

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        self.notify()

    def clear(self) -> None:
        self._set = False

    def wait(self, timeout: float | None = None) -> bool:
        return self._until(self.is_set, timeout)


class Condition(_Condition):
    """``threading.Condition`` over virtual time: one actor plays at a time, so there is nothing to lock."""

    def __enter__(self) -> bool:
        return True

    def __exit__(self, *_: object) -> None:
        """Nothing was locked."""

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = None) -> bool:
        return self._until(predicate, timeout)

    def notify_all(self) -> None:
        self.notify()


class Future(concurrent.futures.Future[Any]):
    """The answer of a coroutine, for an actor. ``read`` is called when somebody takes it."""

    def __init__(self, stage: Stage, task: asyncio.Task[Any], read: Callable[["Future"], None]) -> None:
        super().__init__()
        self.answered = Event(stage)
        self.task = task
        self._read = read
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            return  # its process is dead
        if (error := task.exception()) is not None:
            self.set_exception(error)
        else:
            self.set_result(task.result())
        self.answered.set()

    def result(self, timeout: float | None = None) -> Any:
        self._read(self)
        return super().result(timeout)


def wait(
    futures: Sequence[Future], timeout: float | None = None, return_when: str = concurrent.futures.ALL_COMPLETED
) -> tuple[list[Future], list[Future]]:
    """``concurrent.futures.wait`` over virtual time; it answers in order, where the real one promises none."""
    found = list(futures)
    enough = len(found) if return_when == concurrent.futures.ALL_COMPLETED else 1

    def done() -> list[Future]:
        return [future for future in found if future.done()]

    if found:
        stage = found[0].answered._stage
        deadline = None if timeout is None else stage.seconds + timeout
        while len(done()) < enough:
            left = None if deadline is None else deadline - stage.seconds
            if left is not None and left <= 0:
                break
            assert stage.actor is not None
            for future in found:
                if not future.done():
                    future.answered._waiters.append(stage.actor)
            stage.actor.pause(left)
    return done(), [future for future in found if not future.done()]
