"""What owners and operators do to tasks: many at once, under lock, recorded."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random

from sqlalchemy import ColumnElement, select

from .. import lifecycle
from ..db import Transaction
from ..finding import providers
from ..lifecycle import Context, Said
from ..one_of import one_of
from ..rules import Rules, rules_without_settings
from ..states import Status
from ..tables import tasks
from ..task import Task
from .actions import Who, acted_on
from .rows import by_ids, locked, open_attempts, store

Act = Callable[[Task, Context, bool], Said]


@dataclass(frozen=True, slots=True)
class Told:
    """What became of one task: as it is now, whether it changed, and a hint where there is one to give."""

    task: Task
    changed: bool
    hint: str = ""


ACTIONS: Mapping[str, Act] = {
    "hold": lambda task, context, is_open: lifecycle.hold(task, context, is_open=is_open),
    "release": lambda task, context, _: lifecycle.release(task, context),
    "stop": lambda task, context, is_open: lifecycle.stop(task, context, is_open=is_open),
    "retry": lambda task, context, _: lifecycle.retry_now(task, context),
    "force": lambda task, context, _: lifecycle.force(task, context),
    "revive": lambda task, context, _: lifecycle.revive(task, context),
}


NEED_NO_RULES = frozenset({"hold", "release", "stop"})
"""What can be done to tasks whose limits nobody knows: none of it is a retry."""


def act(t: Transaction, what: str, ids: Sequence[int], rules_of: Mapping[str, Rules], who: Who) -> list[Told]:
    """Do one of :data:`ACTIONS` to tasks; ids that do not exist are absent from the answer.

    Tasks of an account without rules can be put out of the way; what would retry them leaves them alone, with a hint:
    nobody knows their limits.
    """
    if what in NEED_NO_RULES:
        rules_of = {**_without_settings(t, ids, rules_of), **rules_of}
    told = _change(t, by_ids(ids), rules_of, ACTIONS[what])
    acted_on(t, who, what, (each.task for each in told if each.changed))
    return told


def _without_settings(t: Transaction, ids: Sequence[int], rules_of: Mapping[str, Rules]) -> dict[str, Rules]:
    """Rules for accounts of these tasks that have none, by what is recorded of them, if anything is."""
    found = {row.account for row in t.rows(select(tasks.c.account).where(one_of(tasks.c.id, ids)).distinct())}
    recorded = providers(t) if found - rules_of.keys() else {}
    return {name: rules_without_settings(name, recorded.get(name)) for name in found - rules_of.keys()}


def report(
    t: Transaction,
    ids: Sequence[int],
    rules_of: Mapping[str, Rules],
    status: Status,
    *,
    at: datetime | None,
    reason: str,
) -> list[Told]:
    """The owner says what became of tasks elsewhere."""

    def tell(task: Task, context: Context, is_open: bool) -> Said:  # noqa: FBT001 - the shape of an Act
        return lifecycle.report(task, status, context, at=at, reason=reason, is_open=is_open)

    return _change(t, by_ids(ids), rules_of, tell)


def _change(t: Transaction, where: ColumnElement[bool], rules_of: Mapping[str, Rules], act_on: Act) -> list[Told]:
    found = locked(t, where)
    unsettled = open_attempts(t, _in_flight(found))
    told = [_told(task, rules_of.get(task.account), act_on, t.now, is_open=task.id in unsettled) for task in found]
    store(t, [(was, each.task) for was, each in zip(found, told, strict=True)])
    return told


def _told(task: Task, rules: Rules | None, act_on: Act, now: datetime, *, is_open: bool) -> Told:
    if rules is None:
        return Told(task, changed=False, hint=_UNKNOWN.format(task.account))
    said = act_on(task, Context(rules, now, Random()), is_open)  # noqa: S311 - dice for waits, not secrets
    return Told(said.task, said.task != task, said.hint)


def _in_flight(found: Iterable[Task]) -> list[int]:
    return [task.id for task in found if task.status is Status.IN_FLIGHT]


_UNKNOWN = "account {!r} is not configured here, so its limit is not known"
