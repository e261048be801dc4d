"""Trouble with an account, noticed in this process before it is recorded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf

from redrive.models.clock import boottime
from redrive.models.ledger.accounts import FORBIDDEN_IN_A_ROW
from redrive.models.outcome import (
    Accepted,
    Already,
    Blocked,
    CheckResult,
    Deferred,
    Outcome,
    Refused,
    Throttled,
    Unknown,
    Unsent,
)
from redrive.models.rules import BreakerRules

RECORDED_SECONDS = 60.0
"""After so long what was noticed is surely recorded: or its batch is lost, and so is what it knew."""


@dataclass(slots=True)
class Trouble:
    """What will stop the account, or leave it alone for a while, as soon as it is recorded.

    Calls that were opened before it was noticed and have not left then stay here: an outage costs the calls under way,
    not all that were opened ahead.

    Attributes:
        checks: whether it is about checks; of retries, a task that is answered and left unknown counts once.
    """

    rules: BreakerRules
    checks: bool = False
    _answered: set[int] = field(default_factory=set)
    _noticed_at: float = -inf
    _failures: int = 0
    _forbidden: int = 0
    _refusals: int = 0

    def holds(self, heard_at: float) -> bool:
        """Whether a call must not leave any more, opened by somebody who knew the answers up to that boottime."""
        return heard_at <= self._noticed_at

    @property
    def pending(self) -> bool:
        """Whether what was noticed may not be recorded yet."""
        return boottime() <= self._noticed_at + RECORDED_SECONDS

    def hear(self, answers: Mapping[int, Outcome | CheckResult]) -> None:
        """What one call brought, by task."""
        kept = {task: answer for task, answer in answers.items() if not isinstance(answer, Unsent)}
        if not kept:
            return
        self._weigh(kept)
        for answer in kept.values():
            self._count(answer)
        many = self._failures >= self.rules.failures or self._refusals >= self.rules.max_refusals
        if many or self._forbidden >= FORBIDDEN_IN_A_ROW or any(map(says_stop, kept.values())):
            self._noticed_at = boottime()

    def _weigh(self, kept: Mapping[int, Outcome | CheckResult]) -> None:
        """Whether the call failed. What is about single tasks alone says nothing of the account, good or bad."""
        if all(isinstance(answer, Deferred) and answer.of_task for answer in kept.values()):
            return
        if not all(map(self._failed, kept.values())):
            self._failures = 0
            self._answered.clear()
        elif not all(map(_answered, kept.values())) or not kept.keys() <= self._answered:
            self._failures += 1
            self._answered |= kept.keys()

    def _failed(self, answer: Outcome | CheckResult) -> bool:
        """Whether it is what an outage looks like. A check that was answered in full shows that there is none."""
        return isinstance(answer, Deferred | Unknown) and not (self.checks and _answered(answer))

    def _count(self, answer: Outcome | CheckResult) -> None:
        if isinstance(answer, Accepted):
            self._refusals = self._forbidden = 0
        elif isinstance(answer, Already | Refused):
            self._refusals += 1
            self._forbidden = self._forbidden + 1 if isinstance(answer, Already) and answer.forbidden else 0


def _answered(answer: Outcome | CheckResult) -> bool:
    return isinstance(answer, Unknown) and answer.answered


def says_stop(answer: Outcome | CheckResult) -> bool:
    """Whether a further call on the same path would be one too many."""
    return isinstance(answer, Blocked | Throttled) or (isinstance(answer, Unknown) and answer.wait_seconds is not None)
