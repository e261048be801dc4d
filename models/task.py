"""A task as a value: what :mod:`models.lifecycle` decides about, and what the ledger reads and writes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from .outcome import Reading, State
from .rules import Rules
from .states import Operation, Status, Wish


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the provider last said of a task.

    Attributes:
        state: its word, and ``mark``, its own mark of the run.
        at: the moment the look was asked.
        first_at: since when looks have said the same.
        number: how many attempts the task had then.
        ran: a running state was seen since that attempt.
        before: what was seen before that attempt, as "state/mark".
    """

    state: str
    mark: str
    at: str
    first_at: str
    number: int
    ran: bool = False
    before: str = ""

    @property
    def asked_at(self) -> datetime:
        """The moment of the look."""
        return datetime.fromisoformat(self.at)

    @property
    def same_since(self) -> datetime:
        """Since when looks have said the same."""
        return datetime.fromisoformat(self.first_at)

    @property
    def word(self) -> str:
        """State and mark as one."""
        return f"{self.state}/{self.mark}"


def seen_after(old: Seen | None, reading: Reading, asked_at: datetime, number: int) -> Seen:
    """The memory after one more reading."""
    moment = asked_at.isoformat()
    same_run = old is not None and old.number == number
    same = same_run and old is not None and old.word == f"{reading.state}/{reading.mark}"
    return Seen(
        state=reading.state,
        mark=reading.mark,
        at=moment,
        first_at=old.first_at if same and old is not None else moment,
        number=number,
        ran=reading.state is State.RUNNING or (same_run and old is not None and old.ran),
        before=(old.before if same_run else old.word) if old is not None else "",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A row of ``redrive_tasks``; see the schema for what each column means."""

    id: int
    account: str
    kind: str
    external_id: str
    sub_id: str
    params: Mapping[str, Any]
    origin: str
    status: Status
    dead_reason: str | None
    next: Operation
    due_at: datetime | None
    priority: int
    attempts: int
    spent: int
    errors: int
    refusals: int
    max_retries: int | None
    granted: int
    batch_id: UUID | None
    wish: Wish | None
    held_from: Status | None
    trigger: str
    provider_ref: str
    seen: Seen | None
    last_error: str
    failed_at: datetime | None
    status_since: datetime
    round_at: datetime
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> "Task":
        """A task from its row."""
        values = dict(row)
        values["status"] = Status(values["status"])
        values["next"] = Operation(values["next"])
        values["wish"] = Wish(values["wish"]) if values["wish"] else None
        values["held_from"] = Status(values["held_from"]) if values["held_from"] else None
        values["seen"] = Seen(**values["seen"]) if values["seen"] else None
        return cls(**values)

    def row(self) -> dict[str, Any]:
        """The columns as plain values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        values["seen"] = asdict(self.seen) if self.seen is not None else None
        return values

    def limit(self, rules: Rules) -> int:
        """Retries allowed: the task's own limit or the policy's, and what was granted, under the provider's cap."""
        own = rules.policy.max_retries if self.max_retries is None else self.max_retries
        cap = rules.capabilities.retry_cap
        return own + self.granted if cap is None else min(cap, own + self.granted)

    def round_of_retries(self, rules: Rules) -> int:
        """How many more retries a revival grants."""
        return rules.policy.max_retries if self.max_retries is None else self.max_retries
