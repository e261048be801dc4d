"""Trouble with an account, noticed in this process before it is recorded."""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf

from models.clock import boottime
from models.ledger.accounts import FORBIDDEN_IN_A_ROW
from models.outcome import Accepted, Already, Blocked, Deferred, Look, Outcome, Refused, Throttled, Unknown, Unsent
from models.rules import BreakerRules

RECORDED_SECONDS = 60.0
"""After so long what was noticed is surely recorded: or its batch is lost, and so is what it knew."""


@dataclass(slots=True)
class Trouble:
    """What will stop the account, or leave it alone for a while, as soon as it is recorded.

    Calls that were opened before it was noticed and have not left then stay here: an outage costs the calls under way,
    not all that were opened ahead.
    """

    rules: BreakerRules
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

    def hear(self, answers: Iterable[Outcome | Look]) -> None:
        """What one call brought."""
        told = [answer for answer in answers if not isinstance(answer, Unsent)]
        if not told:
            return
        self._failures = self._failures + 1 if all(isinstance(a, Deferred | Unknown) for a in told) else 0
        for answer in told:
            self._count(answer)
        many = self._failures >= self.rules.failures or self._refusals >= self.rules.max_refusals
        if many or self._forbidden >= FORBIDDEN_IN_A_ROW or any(map(says_stop, told)):
            self._noticed_at = boottime()

    def _count(self, answer: Outcome | Look) -> None:
        if isinstance(answer, Accepted):
            self._refusals = self._forbidden = 0
        elif isinstance(answer, Already | Refused):
            self._refusals += 1
            self._forbidden = self._forbidden + 1 if isinstance(answer, Already) and answer.forbidden else 0


def says_stop(answer: Outcome | Look) -> bool:
    """Whether a further call on the same path would be one too many."""
    return isinstance(answer, Blocked | Throttled) or (isinstance(answer, Unknown) and answer.wait_seconds is not None)
