"""What Redrive must make of a scripted task, derived from its documented rules and nothing it does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from .behavior import DOCFLOW, GEELARK, Detail, Refusal, Script

GEELARK_CAP = 5  # "A task can be retried up to 5 times" (GeeLark: Retry Task)


@dataclass(frozen=True, slots=True)
class Expectation:
    """How a task ends.

    Attributes:
        status: ``succeeded`` or ``dead``.
        dead_reason: for ``dead``, the reason's word.
        retries: how many of our retries the provider accepted.
    """

    status: str
    dead_reason: str | None = None
    retries: int = 0


_AT_ONCE: Final[Mapping[Refusal, Expectation]] = {
    Refusal.LIMIT_REACHED: Expectation("dead", "limit_reached"),
    Refusal.SUCCEEDED: Expectation("succeeded"),
    Refusal.MISSING: Expectation("dead", "not_found"),
    Refusal.GONE: Expectation("dead", "resource_gone"),
    Refusal.EXPIRED: Expectation("dead", "resource_gone"),
    Refusal.APP_VERSION: Expectation("dead", "refused"),
    Refusal.NOT_ALLOWED: Expectation("dead", "refused"),
}


def expectation(provider: str, kind: str, script: Script, max_retries: int) -> Expectation:
    """How a failed or canceled task with this script ends under ``max_retries`` and a faultless network."""
    if script.refusal is not None and script.refusal in _AT_ONCE:
        return _AT_ONCE[script.refusal]
    if script.refusal is Refusal.RULE_ELSEWHERE and kind == "review_rule" and provider == DOCFLOW:
        return Expectation("dead", "not_found")
    return _after_runs(provider, script, max_retries)


def _after_runs(provider: str, script: Script, max_retries: int) -> Expectation:
    """A run that somebody else started is the first one and, at GeeLark, counts towards its five."""
    others = 1 if script.refusal is Refusal.RUNNING else 0
    room = min(max_retries, GEELARK_CAP - others) if provider == GEELARK else max_retries
    if script.detail is Detail.PHONE_DELETED and script.succeeds_on != 1:
        return Expectation("dead", "resource_gone", 1 - others)
    needed = max(0, script.succeeds_on - others) if script.succeeds_on else None
    if needed is not None and needed <= room:
        return Expectation("succeeded", None, needed)
    return Expectation("dead", "limit_reached", room)
