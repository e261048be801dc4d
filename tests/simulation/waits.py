"""What blocking code waits for, over virtual time."""

from collections.abc import Callable

from tests.simulation.stage import Actor, Stage


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
