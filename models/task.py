"""A task as a value: what :mod:`redrive.models.lifecycle` decides about, and what the ledger reads and writes."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID

from .outcome import Reading, State
from .rules import Rules
from .states import Operation, Status, Wish

STALE = "?"
"""What was seen before an attempt, where somebody else's run may have changed it since: it proves nothing."""


def by_now(moment: datetime, now: datetime) -> datetime:
    """A stored moment, which is at most now: one ahead of it was written before a clock went back."""
    return min(moment, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the last check of a task found.

    Attributes:
        state: its word, and ``mark``, its own mark of the run.
        at: the moment the check was asked.
        first_at: since when checks have found the same.
        number: how many attempts the task had then.
        ran: a running state was seen since that attempt.
        before: what was seen before that attempt, as "state/mark"; :data:`STALE` where that was too long before.
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
        """The moment of the check."""
        return datetime.fromisoformat(self.at)

    @property
    def same_since(self) -> datetime:
        """Since when checks have found the same."""
        return datetime.fromisoformat(self.first_at)

    @property
    def word(self) -> str:
        """State and mark as one."""
        return f"{self.state}/{self.mark}"


def seen_after(old: Seen | None, reading: Reading, asked_at: datetime, number: int, *, fresh: bool = True) -> Seen:
    """The memory after one more reading. ``fresh``: nobody else can have run the task since the old one."""
    new = Seen(
        state=reading.state,
        mark=reading.mark,
        at=asked_at.isoformat(),
        first_at=asked_at.isoformat(),
        number=number,
        ran=reading.state is State.RUNNING,
    )
    if old is None:
        return new
    if old.number != number:
        return dataclasses.replace(new, before=old.word if fresh else STALE)
    since = by_now(old.same_since, asked_at).isoformat() if old.word == new.word else new.first_at
    return dataclasses.replace(new, first_at=since, ran=new.ran or old.ran, before=old.before)


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
    failure: str | None
    traceparent: str | None
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

    def seen_at(self, now: datetime) -> datetime | None:
        """When the last check that was applied was asked.

        None where there is none, and where that moment is ahead of now: whatever is asked now comes after it.
        """
        asked_at = self.seen.asked_at if self.seen is not None else None
        return asked_at if asked_at is not None and asked_at <= now else None

    def limit(self, rules: Rules) -> int:
        """Retries allowed, by its own limit or its failure's policy, and what was granted, under the provider's cap."""
        own = self.round_of_retries(rules)
        cap = rules.capabilities.retry_cap
        return own + self.granted if cap is None else min(cap, own + self.granted)

    def round_of_retries(self, rules: Rules) -> int:
        """How many more retries a revival grants."""
        return rules.policy.of_failure(self.failure).max_retries if self.max_retries is None else self.max_retries


COLUMNS = tuple(field.name for field in fields(Task))
_NAMES = frozenset(COLUMNS)
values_of = attrgetter(*COLUMNS)
"""A task's values in the order of :data:`COLUMNS`."""


def _words(words: Iterable[StrEnum]) -> Callable[[str | None], StrEnum | None]:
    known: dict[str | None, StrEnum | None] = {None: None}
    return (known | {word.value: word for word in words}).__getitem__


_SEEN: Mapping[str, type] = {field.name: field.type for field in fields(Seen) if isinstance(field.type, type)}


def _seen(stored: object) -> Seen | None:
    """A stored memory. One that cannot be read is forgotten, and keys of another release are left out.

    A host or another release may have written it, and a row that raises here would stop its whole account.
    """
    if not isinstance(stored, Mapping):
        return None
    try:
        seen = Seen(**{name: stored[name] for name in _SEEN if name in stored})
    except TypeError:
        return None
    typed = all(type(getattr(seen, name)) is kind for name, kind in _SEEN.items())
    return seen if typed and _is_moment(seen.at) and _is_moment(seen.first_at) else None


def _is_moment(stored: str) -> bool:
    """Whether it is a moment of the calendar in every time zone: one at an end of the calendar is not."""
    try:
        moment = datetime.fromisoformat(stored)
        moment.astimezone(UTC)
    except (ValueError, OverflowError):
        return False
    return moment.tzinfo is not None


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
