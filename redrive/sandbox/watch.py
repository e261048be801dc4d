"""What the sandbox saw, and what it should never see."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

KEPT_EXAMPLES = 20


class Violation(StrEnum):
    """What a well-behaved caller never does."""

    OVER_LIMIT = "over_limit"
    """A GeeLark task asked for again after five retries that were accepted or whose answer was lost."""
    WHILE_RUNNING = "retry_while_running"
    """A retry of a task whose accepted retry still runs."""
    OVERLAPPING = "overlapping_retries"
    """A retry of a task while an earlier call about it is unanswered."""
    TOO_MANY_IDS = "too_many_ids"
    """More than 100 ids in one call."""
    SAME_ID_TWICE = "same_id_twice"
    """The same id twice in one call."""
    OVER_RATE = "over_rate"
    """A call above the rate of its API path."""
    WHILE_LOCKED = "call_while_locked"
    """A call to a path that is locked for having gone over its hour."""
    REDIRECTED = "followed_redirect"
    """A redirect that was followed, credentials and all."""


@dataclass(slots=True)
class Watch:
    """Counters since the start or the last reset."""

    calls: Counter[str] = field(default_factory=Counter)
    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    doubtful: Counter[str] = field(default_factory=Counter)
    retried_succeeded: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    violations: Counter[Violation] = field(default_factory=Counter)
    examples: dict[Violation, list[str]] = field(default_factory=dict)

    def violation(self, kind: Violation, example: str) -> None:
        """Count a violation and keep the first few to show."""
        self.violations[kind] += 1
        kept = self.examples.setdefault(kind, [])
        if len(kept) < KEPT_EXAMPLES:
            kept.append(example)

    def summary(self) -> dict[str, Any]:
        """The whole record as JSON; ``violations`` is empty as long as all is well."""
        providers = sorted({*self.accepted, *self.refused, *self.doubtful})
        return {
            "calls": dict(self.calls),
            "retries": {name: self._retries(name) for name in providers},
            "faults": dict(self.faults),
            "violations": {
                kind.value: {"count": count, "examples": self.examples[kind]} for kind, count in self.violations.items()
            },
        }

    def _retries(self, provider: str) -> dict[str, int]:
        return {
            "accepted": self.accepted[provider],
            "refused": self.refused[provider],
            "doubtful": self.doubtful[provider],
            "retried_succeeded": self.retried_succeeded[provider],
        }
