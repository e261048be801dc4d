"""A batch's calls under way: sent with their permits, and collected as they are answered."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from redrive.models.clock import boottime
from redrive.models.ledger import CallResult, Permit, Work
from redrive.models.outcome import CheckResult, Outcome
from redrive.models.states import Operation

from .agenda import ref
from .loop import contained
from .providers.base import Plan
from .sender import Sender
from .window import MARGIN_SECONDS, Window

GATHER_SECONDS = 0.1
"""How long answers are gathered before those that came are recorded and the next calls opened."""

Answers = dict[int, Outcome | CheckResult]


@dataclass(slots=True)
class Calls:
    """One batch's calls, each a task of the event loop.

    Attributes:
        may_go_on: whether a call may take further permits.
        heard_at: the boottime up to which answers are known to the step that opens the next calls.
    """

    work: Work
    sender: Sender
    may_go_on: Callable[[], bool]
    heard_at: float
    _under_way: dict[asyncio.Task[Answers], tuple[Permit, Window]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        """Whether any is under way."""
        return bool(self._under_way)

    def send(self, permit: Permit, plan: Plan | None) -> None:
        """Make a call at its moment. Its slot comes free with its answer."""
        call = asyncio.create_task(contained(self._made(permit, plan, window := self._window(permit))))
        # Not when its answer is recorded: a batch that is lost meanwhile must not keep the slot for ever.
        call.add_done_callback(lambda _: self.sender.slots.give_back(1))
        self._under_way[call] = permit, window

    def _made(self, permit: Permit, plan: Plan | None, window: Window) -> Coroutine[Any, Any, Answers]:
        make = self.sender.retry if self.work.operation is Operation.RETRY else self.sender.check
        return make([ref(task) for task in permit.tasks], window, plan)

    def _window(self, permit: Permit) -> Window:
        until = self.work.lease_until - timedelta(seconds=self.work.rules.timeout_seconds + MARGIN_SECONDS)
        return Window(
            permit.leave_after, permit.leave_by, last_moment(self.work), until, self.may_go_on, heard_at=self.heard_at
        )

    async def hear(self, patience: float | None) -> list[CallResult]:
        """What comes back within this time, and within a moment after the first."""
        await asyncio.wait(self._under_way, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait(self._under_way, timeout=GATHER_SECONDS)
        # Before asking who is done: what fails from here on may be missing in what is returned.
        self.heard_at = boottime()
        return [self._answered(call) for call in [*self._under_way] if call.done()]

    def _answered(self, call: asyncio.Task[Answers]) -> CallResult:
        permit, window = self._under_way.pop(call)
        return CallResult(permit.path, permit.asked_at, call.result(), tuple(window.calls))


def last_moment(work: Work) -> float:
    """The boottime after which no call may leave: it would outlive the lease."""
    return work.deadline - work.rules.timeout_seconds - MARGIN_SECONDS
