"""Celery's pool of this worker: a batch is a coroutine on the event loop, and waits there without a thread.

Celery hands each job over with what to call when it is accepted and when it has ended. A batch is worked on first;
Celery's own function runs afterwards and finds what came of it, so that events, results and errors are as everywhere.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from uuid import UUID

from celery.concurrency.base import BasePool, apply_target

from redrive.models import jobs

from . import deps, job, messages

WISHES: Final = 2
"""Hosts' wishes at once."""
BEGINS: Final = 64
"""Batches that are being begun at once: many share a transaction."""

Counts = dict[str, int]

over: ContextVar["Future[Counts]"] = ContextVar("over")
"""What came of the batch whose door Celery calls."""


@dataclass(slots=True)
class _Order:
    """A job as Celery hands it over.

    Attributes:
        beginning: nobody knows yet whether its batch can be begun here.
    """

    target: Callable[..., Any]
    args: tuple[Any, ...]
    callback: Callable[[tuple[Any, ...]], object]
    accepted: Callable[[int, float], object]
    beginning: bool = True
    _began: float = field(default_factory=time.monotonic)

    @property
    def batch_id(self) -> UUID:
        """The batch it names; the message was understood before it came here."""
        request: Mapping[str, Any] = self.args[2]
        return messages.batch_id(*request["args"], **request["kwargs"])

    def accept(self) -> None:
        """Tell Celery, which confirms the message."""
        self._began = time.monotonic()
        self.accepted(threading.get_native_id(), self._began)

    def end(self, future: "Future[Counts]") -> None:
        """Let Celery call the door, which finds what came of it."""
        before = over.set(future)
        try:
            apply_target(self.target, self.args, {}, self._called_back)
        finally:
            over.reset(before)

    def _called_back(self, found: tuple[Any, ...]) -> None:
        failed, value, _ = found
        self.callback((failed, value, time.monotonic() - self._began))


class Pool(BasePool):  # type: ignore[misc]  # Celery ships no types
    """Begins many batches at once, which share transactions, and has as many under way as settings allow.

    What it does not take yet stays unconfirmed, and Celery fetches ``limit`` of those at most: the rest stays with the
    broker, where another worker may have it.
    """

    body_can_be_buffer = True
    signal_safe = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._broker = ThreadPoolExecutor(1, "redrive-broker")  # what the loop would wait for if the broker hangs
        self._wishes = ThreadPoolExecutor(WISHES, "redrive-wishes")
        self._waiting: deque[_Order] = deque()
        self._beginning = self._under_way = 0
        self._changed = threading.Condition()

    def on_apply(
        self,
        target: Callable[..., Any],
        args: tuple[Any, ...] | None = None,
        kwargs: dict[str, Any] | None = None,
        callback: Callable[..., Any] | None = None,
        accept_callback: Callable[..., Any] | None = None,
        **_: object,
    ) -> None:
        """Take a job from Celery."""
        if args is None or args[0] not in (jobs.RETRY, jobs.CHECK):
            self._wishes.submit(apply_target, target, args, kwargs, callback, accept_callback)
            return
        assert callback is not None and accept_callback is not None  # noqa: PT018, S101 - Celery gives both
        with self._changed:
            self._waiting.append(_Order(target, args, callback, accept_callback))
        self._take_more()

    def _take_more(self) -> None:
        while (order := self._next()) is not None:
            self._broker.submit(order.accept)
            future = job.start(deps.get(), order.batch_id, tried=partial(self._tried, order))
            future.add_done_callback(partial(self._over, order))

    def _next(self) -> _Order | None:
        """The next job, if there is room for it."""
        with self._changed:
            own = deps.get()
            full = self._beginning >= BEGINS or self._under_way >= own.batches
            if not self._waiting or full or own.draining.is_set():
                return None
            self._beginning += 1
            self._under_way += 1
            return self._waiting.popleft()

    def _tried(self, order: _Order) -> None:
        """Its batch is begun, or is not to be had."""
        with self._changed:
            self._beginning -= order.beginning
            order.beginning = False
        self._take_more()

    def _over(self, order: _Order, future: "Future[Counts]") -> None:
        self._broker.submit(order.end, future)
        with self._changed:
            self._beginning -= order.beginning
            self._under_way -= 1
            self._changed.notify_all()
        self._take_more()

    def on_stop(self) -> None:
        """Wait until what is under way has ended. What was not taken goes back to the broker."""
        with self._changed:
            self._waiting.clear()
            self._changed.wait_for(lambda: not self._under_way)
        self._broker.shutdown()
        self._wishes.shutdown(cancel_futures=True)
        super().on_stop()

    def _get_info(self) -> dict[str, Any]:
        return {**super()._get_info(), "batches": self._under_way}
