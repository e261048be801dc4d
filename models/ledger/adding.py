"""Adding tasks: the same task again is not a second one, and hundreds are a handful of statements."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from sqlalchemy import Select, and_, func, select, text
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import REGCLASS

from ..errors import Locked
from ..failure import failure_code
from ..lifecycle import Context, add_again
from ..rules import Rules
from ..sql.db import Transaction, insert_for
from ..sql.rowset import rowset
from ..sql.tables import is_there, tasks
from ..states import AT_WORK_STATES, Operation, Status
from ..task import Task, replace
from .rows import Change, by_id, locked_by_ids, store

_Identity = tuple[str, str, str, str]
_IDENTITY = ("account", "kind", "external_id", "sub_id")
_INSERTED = (
    *_IDENTITY, "params", "origin", "status", "due_at", "priority", "max_retries", "last_error", "failed_at",
    "status_since", "round_at", "created_at", "updated_at", "failure",
)  # fmt: skip


# For ids that a host has chosen itself, ahead of the sequence.
_BEHIND_ALL = text("SELECT setval(pg_get_serial_sequence('redrive_tasks', 'id'), (SELECT max(id) FROM redrive_tasks))")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewTask:
    """A task somebody wants retried, checked by :mod:`redrive.models.intake`."""

    account: str
    kind: str
    external_id: str
    sub_id: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    origin: str = ""
    status: Status = Status.FAILED
    priority: int = 0
    max_retries: int | None = None
    reason: str = ""
    failure: str = ""
    failed_at: datetime | None = None

    @property
    def identity(self) -> tuple[str, str, str, str]:
        """What makes two tasks the same."""
        return self.account, self.kind, self.external_id, self.sub_id


@dataclass(frozen=True, slots=True)
class Added:
    """The id of a task, and whether it is new."""

    id: int
    new: bool


def add(t: Transaction, new: Sequence[NewTask], rules_of: Mapping[str, Rules]) -> list[Added]:
    """Add tasks; the answer is in the order of ``new``."""
    if not new:
        return []
    unique = {each.identity: each for each in new}
    before = _known(t, list(unique.values()))
    # In the order they were given in, which is the order of their ids.
    rows = {identity: _row(unique[identity], t.now, rules_of) for identity in unique if identity not in before}
    _queue([*rows.values()], t.now)
    ids = _inserted(t, rows, list(unique.values())) if rows else before
    _again(t, {before[i]: unique[i] for i in unique if i in before}, rules_of)
    return [Added(ids[each.identity], each.identity not in before) for each in new]


def _queue(rows: Sequence[dict[str, Any]], now: datetime) -> None:
    """Due by a microsecond one after the other, the last of them now: so claims take them in the order given."""
    for behind, row in enumerate(reversed(rows)):
        if row["due_at"] is not None:
            row["due_at"] = now - timedelta(microseconds=behind)


def _inserted(
    t: Transaction, rows: Mapping[_Identity, Mapping[str, Any]], new: Sequence[NewTask]
) -> dict[_Identity, int]:
    """Identity → id, of all of them once the rows are in.

    Raises:
        Locked: another transaction, which this one cannot see, is adding the same.
    """
    for insert in (_insert, _insert_behind_all):
        insert(t, list(rows.values()))
        ids = _known(t, new)
        rows = {identity: row for identity, row in rows.items() if identity not in ids}
        if not rows:
            return ids
    raise Locked("another transaction has added some of these tasks meanwhile; try again")


def _insert(t: Transaction, rows: Sequence[Mapping[str, Any]]) -> None:
    source = _in_one_order(t, rows)
    t.execute(insert_for(t)(tasks).from_select(source.selected_columns.keys(), source).on_conflict_do_nothing())


def _insert_behind_all(t: Transaction, rows: Sequence[Mapping[str, Any]]) -> None:
    """Once more: somebody has chosen ids that the database was to give next, so that ours went to the same tasks."""
    if t.dialect == "postgresql":
        t.execute(_BEHIND_ALL)
    _insert(t, rows)


def _in_one_order(t: Transaction, rows: Sequence[Mapping[str, Any]]) -> Select[Any]:
    """The rows to insert, their ids in the order they were given in.

    PostgreSQL inserts them in the order of their identities, whatever order they were given in: two transactions
    that add the same tasks would otherwise wait for each other. SQLite has one writer at a time.
    """
    names = [name for name in _INSERTED if is_there(tasks.c[name], t.level)]
    r = rowset(t.dialect, rows, tasks, names)
    # SQLite cannot tell "ON CONFLICT" from a join's ON without a WHERE between them.
    given = select(*(r[name].label(name) for name in names)).where(r[names[0]].is_not(None))
    if t.dialect == "sqlite":
        return given
    ids = func.nextval(sql_cast(func.pg_get_serial_sequence(tasks.name, tasks.c.id.name), REGCLASS))
    numbered = given.add_columns(ids.label("id")).subquery()
    return select(*numbered.c).order_by(*(numbered.c[name] for name in _IDENTITY))


def _known(t: Transaction, new: Sequence[NewTask]) -> dict[_Identity, int]:
    r = rowset(t.dialect, [dict(zip(_IDENTITY, each.identity, strict=True)) for each in new], tasks, _IDENTITY)
    same = and_(*(tasks.c[name] == r[name] for name in _IDENTITY))
    found = t.rows(select(tasks.c.id, *(tasks.c[name] for name in _IDENTITY)).where(same))
    return {(row.account, row.kind, row.external_id, row.sub_id): row.id for row in found}


def _again(t: Transaction, known: Mapping[int, NewTask], rules_of: Mapping[str, Rules]) -> None:
    """What is known already is read; only a task that changes is locked, and decided again."""
    if not known:
        return
    changed = [task.id for task, after in _after(t, by_id(t, known), known, rules_of) if task != after]
    if changed:
        store(t, _after(t, locked_by_ids(t, changed), known, rules_of))


def _after(
    t: Transaction, found: Sequence[Task], known: Mapping[int, NewTask], rules_of: Mapping[str, Rules]
) -> list[Change]:
    changes: list[Change] = []
    for task in found:
        if (rules := rules_of.get(task.account)) is not None:
            context = Context(rules, t.now, Random())  # noqa: S311 - no dice are thrown here
            changes.append((task, add_again(task, _as_task(task, known[task.id], rules), context)))
    return changes


def _row(new: NewTask, now: datetime, rules_of: Mapping[str, Rules]) -> dict[str, Any]:
    return {
        "account": new.account,
        "kind": new.kind,
        "external_id": new.external_id,
        "sub_id": new.sub_id,
        "params": dict(new.params),
        "origin": new.origin,
        "status": new.status.value,
        "due_at": None if _rests(new, rules_of.get(new.account)) else now,
        "priority": new.priority,
        "max_retries": new.max_retries,
        "last_error": new.reason,
        "failure": _failure(new, rules_of.get(new.account)),
        "failed_at": new.failed_at,
        "status_since": now,
        "round_at": now,
        "created_at": now,
        "updated_at": now,
    }


def _failure(new: NewTask, rules: Rules | None) -> str:
    return failure_code(new.failure, new.reason, rules.failures if rules is not None else None)


def _rests(new: NewTask, rules: Rules | None) -> bool:
    if new.status in AT_WORK_STATES:
        return True
    return new.status is Status.CANCELED and rules is not None and not rules.policy.retry_canceled


def _as_task(task: Task, new: NewTask, rules: Rules) -> Task:
    """What the second telling says, in the shape of a task."""
    return replace(
        task,
        status=new.status,
        params=dict(new.params),
        origin=new.origin,
        max_retries=new.max_retries,
        last_error=new.reason,
        failure=_failure(new, rules),
        failed_at=new.failed_at,
        next=Operation.RETRY,
    )
