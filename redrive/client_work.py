"""The work behind :class:`redrive.Client`, loaded with the first one."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from redrive.models import intake, ledger, queries
from redrive.models.errors import BadInput
from redrive.models.explain import explain
from redrive.models.intake import values
from redrive.models.intake.refusal import refused
from redrive.models.rules import Rules
from redrive.models.sql.db import Transaction
from redrive.models.states import DeadReason, Status

from . import arguments
from .client_database import Access
from .task_info import (
    ActionInfo,
    AttemptInfo,
    Explanation,
    TaskInfo,
    action_info,
    attempt_info,
    explanation,
    task_info,
)
from .words import Ids, Since, Texts

TASKS_A_QUERY = 1000
"""Rows in one transaction."""


class Work:
    """What each method of the client does. Arguments, answers and errors are those of :class:`redrive.Client`."""

    def __init__(self, database_url: str | None, broker_url: str | None, config: str | Path | None) -> None:
        self.access = Access(database_url, broker_url, config)

    def add(self, row: Mapping[str, Any], connection: object) -> int:
        """Add one task."""
        with self.access.changing(connection) as (t, rules):
            return _added(t, [intake.new_task(row, _capabilities(rules))], rules)[0]

    def add_many(self, rows: Iterable[Mapping[str, Any]], connection: object) -> list[int]:
        """Add tasks, a thousand in a transaction."""
        numbered = enumerate(rows, start=1)
        ids: list[int] = []
        while page := list(islice(numbered, TASKS_A_QUERY)):
            with self.access.changing(connection) as (t, rules):
                known = _capabilities(rules)
                new = [_numbered(number, row, known) for number, row in page]
                ids += _added(t, new, rules)
        return ids

    def report(
        self, identity: Mapping[str, Any], status: str, *, at: datetime | str | None, reason: str, connection: object
    ) -> TaskInfo:
        """Record what became of a task elsewhere."""
        learned, since = intake.reported_status(status), values.moment("at", at)
        with self.access.changing(connection) as (t, rules):
            who = intake.identity(identity, _capabilities(rules))
            ids = queries.ids_by_identity(t, *who)
            reported = ledger.report(t, ids, rules, learned, at=since, reason=values.words("reason", reason))
            if not reported:
                raise refused("external_id", who.external_id, f"{who.account} has no such task; add it first")
            return task_info(reported[0].task, rules, reported[0].hint)

    def get(self, task_id: int) -> TaskInfo:
        """One task."""
        if not (found := self.get_many(task_id)):
            raise _no_such(task_id)
        return found[0]

    def get_many(self, task_ids: Ids) -> list[TaskInfo]:
        """Those of many that exist."""
        wanted = arguments.ids(task_ids)
        with self.access.reading() as (t, rules):
            return [task_info(task, rules) for task in queries.by_ids(t, wanted)]

    def find(
        self,
        *,
        account: Texts,
        status: Texts,
        dead_reason: Texts,
        kind: Texts,
        external_id: Texts,
        origin: Texts,
        priority: int | Iterable[int] | None,
        ids: Iterable[int] | None,
        due: bool,
        set_aside: bool,
        since: Since,
        until: Since,
        after: int,
        limit: int,
    ) -> list[TaskInfo]:
        """Tasks by filter."""
        wanted = queries.TaskFilter(
            accounts=arguments.texts("account", account or None),
            statuses=tuple(Status(each) for each in arguments.texts("status", status or None, Status)),
            dead_reasons=tuple(DeadReason(each) for each in arguments.texts("dead_reason", dead_reason, DeadReason)),
            kinds=arguments.texts("kind", kind),
            external_ids=arguments.texts("external_id", external_id or None),
            due=due,
            set_aside=set_aside,
            since=arguments.since(since),
            until=arguments.since(until),
            origins=arguments.texts("origin", origin or None),
            priorities=arguments.priorities(priority),
            ids=None if ids is None else tuple(arguments.ids(ids)),
        )
        after = arguments.between("after", after, 0, 2**63 - 1)
        limit = arguments.between("limit", limit, 1, arguments.MOST_FOUND)
        with self.access.reading() as (t, rules):
            queries.check_names(t, wanted, rules)
            return [task_info(task, rules) for task in queries.find(t, wanted, after=after, limit=limit)]

    def explain(self, task_id: int) -> Explanation:
        """Why a task is where it is."""
        (wanted,) = arguments.ids([task_id])
        with self.access.reading() as (t, rules):
            if (facts := queries.facts(t, wanted, rules)) is None:
                raise _no_such(task_id)
            return explanation(explain(facts))

    def attempts(self, task_id: int) -> list[AttemptInfo]:
        """A task's retry calls."""
        return [attempt_info(each) for each in self._history(task_id).attempts]

    def actions(self, task_id: int) -> list[ActionInfo]:
        """What people did to a task."""
        return [action_info(each) for each in self._history(task_id).actions]

    def _history(self, task_id: int) -> queries.History:
        (wanted,) = arguments.ids([task_id])
        with self.access.reading() as (t, _):
            if (found := queries.history(t, wanted)) is None:
                raise _no_such(task_id)
            return found

    def act(self, what: str, ids: Ids, reason: str, who: str) -> list[TaskInfo]:
        """Do one thing to tasks, a thousand in a transaction."""
        wanted, asked = iter(arguments.ids(ids)), arguments.who(who, reason)
        infos: list[TaskInfo] = []
        while page := list(islice(wanted, TASKS_A_QUERY)):
            with self.access.changing() as (t, rules):
                changed = ledger.act(t, what, page, rules, asked)
                infos += [task_info(each.task, rules, each.hint) for each in changed]
        return infos

    def pause(self, account: str, reason: str, who: str) -> None:
        """Leave an account alone."""
        asked = arguments.who(who, reason)
        with self.access.changing() as (t, _):
            ledger.pause(t, values.line("account", account, 64), asked)

    def resume(self, account: str, reason: str, who: str) -> bool:
        """End an account's pause."""
        asked = arguments.who(who, reason)
        with self.access.changing() as (t, _):
            return ledger.resume(t, values.line("account", account, 64), asked)


def _capabilities(rules_of: Mapping[str, Rules]) -> intake.CapabilitiesOf:
    return {name: rules.capabilities for name, rules in rules_of.items()}


def _added(t: Transaction, new: list[ledger.NewTask], rules_of: Mapping[str, Rules]) -> list[int]:
    return [added.id for added in ledger.add(t, new, rules_of)]


def _numbered(number: int, row: Mapping[str, Any], known: intake.CapabilitiesOf) -> ledger.NewTask:
    try:
        return intake.new_task(row, known)
    except BadInput as error:
        raise BadInput(f"row {number}: {error}") from None


def _no_such(task_id: int) -> BadInput:
    return refused("id", task_id, "there is no such task")
