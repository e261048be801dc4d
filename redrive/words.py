"""The words that tasks are spoken of with, for type checkers: a misspelt one is found before it runs."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

Ids = int | Iterable[int]
"""One id, or many."""

Texts = str | Iterable[str] | None
"""One text or many; None means any."""

Since = datetime | timedelta | str | None
"""A moment, or how long ago."""

OwnerStatus = Literal["pending", "running", "failed", "canceled"]
"""What a task is added as."""

ReportedStatus = Literal["pending", "running", "failed", "canceled", "succeeded"]
"""What its owner may learn of it."""

TaskStatus = Literal[
    "pending", "running", "failed", "canceled", "in_flight", "retrying", "unknown", "held", "succeeded", "dead"
]
"""Where it may stand. docs/lifecycle.md says what moves it."""

DeadReason = Literal[
    "limit_reached",
    "not_found",
    "resource_gone",
    "refused",
    "undeliverable",
    "too_old",
    "expired",
    "stopped",
    "ruled_out",
]
"""Why it is not retried any more."""

NextStep = Literal["retry", "check"]
Wish = Literal["hold", "stop"]
