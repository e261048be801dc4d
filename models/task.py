"""A task as a value: what :mod:`models.lifecycle` decides about, and what the ledger reads and writes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import TYPE_CHECKING, Any
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


@dataclass(frozen=True, slots=True)
class Task:
    """A row of ``redrive_tasks``: its columns in their order; see the schema for what each means."""

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
    def of(cls, row: Sequence[Any]) -> "Task":
        """A task from a whole row, its columns in their order."""
        values = [*row]
        for place, read in _READERS:
            values[place] = read(values[place])
        return cls(*values)

    def row(self) -> dict[str, Any]:
        """The columns by name, as they are stored."""
        values = dict(zip(COLUMNS, values_of(self), strict=True))
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


COLUMNS = tuple(field.name for field in fields(Task))
_NAMES = frozenset(COLUMNS)
values_of = attrgetter(*COLUMNS)
"""A task's values in the order of :data:`COLUMNS`."""


def _words(words: Iterable[StrEnum]) -> Callable[[str | None], StrEnum | None]:
    known: dict[str | None, StrEnum | None] = {None: None}
    return (known | {word.value: word for word in words}).__getitem__


def _seen(stored: Mapping[str, Any] | None) -> Seen | None:
    return Seen(**stored) if stored else None


_READERS: Sequence[tuple[int, Callable[[Any], Any]]] = [
    (COLUMNS.index("status"), _words(Status)),
    (COLUMNS.index("next"), _words(Operation)),
    (COLUMNS.index("wish"), _words(Wish)),
    (COLUMNS.index("held_from"), _words(Status)),
    (COLUMNS.index("seen"), _seen),
]
"""Where a stored value is not yet what a task holds."""


if TYPE_CHECKING:
    from dataclasses import replace as replace  # noqa: PLC0414 - exported
else:

    def replace(task: Task, **changes: object) -> Task:
        """The task with other values: what ``dataclasses.replace`` does, in a fifth of its time.

        A task goes through half a dozen of these on its way through a batch.
        """
        if not changes.keys() <= _NAMES:
            raise TypeError(f"a task has no {', '.join(sorted(changes.keys() - _NAMES))}")
        return Task(*map(changes.get, COLUMNS, values_of(task)))
