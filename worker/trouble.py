"""Trouble with an account, noticed in this process before it is recorded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from math import inf

from redrive.models import ledger
from redrive.models.clock import boottime
from redrive.models.outcome import Blocked, CheckResult, Outcome, Throttled, Unknown, Unsent
from redrive.models.rules import BreakerRules

RECORDED_SECONDS = 60.0
"""After so long what was noticed is surely recorded: or its batch is lost, and so is what it knew."""


@dataclass(slots=True)
class Trouble:
    """What will stop the account, or leave it alone for a while, as soon as it is recorded.

    Calls that were opened before it was noticed and have not left then stay here: an outage costs the calls under way,
    not all that were opened ahead. Runs of bad answers are counted by the ledger's own rules, from nothing and for
    this process alone.
    """

    rules: BreakerRules
    _noticed_at: float = -inf
    _breaker: ledger.Breaker = field(default_factory=ledger.Breaker)
    _forbidden: ledger.Streak = field(default_factory=ledger.Streak)
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
        call = ledger.call_of(kept)
        self._breaker = self._breaker.after(call) if call is not None else self._breaker
        self._forbidden = reduce(lambda streak, each: streak.after(*each), kept.items(), self._forbidden)
        self._refusals = ledger.refusals_after(self._refusals, kept.values())
        if self._is_too_much or any(map(says_stop, kept.values())):
            self._noticed_at = boottime()

    @property
    def _is_too_much(self) -> bool:
        return (
            self._breaker.failures >= self.rules.failures
            or self._refusals >= self.rules.max_refusals
            or self._forbidden.count >= ledger.FORBIDDEN_IN_A_ROW
        )


def says_stop(answer: Outcome | CheckResult) -> bool:
    """Whether a further call on the same path would be one too many."""
    return isinstance(answer, Blocked | Throttled) or (isinstance(answer, Unknown) and answer.wait_seconds is not None)
