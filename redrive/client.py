"""What a host program does to tasks, from Python. See docs/client.md."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, Unpack, overload

from redrive.models import intake, ledger, queries
from redrive.models.errors import BadInput, DatabaseError, RedriveError, SchemaError, SettingsError, Unreachable
from redrive.models.explain import explain
from redrive.models.intake import values
from redrive.models.intake.refusal import refused
from redrive.models.states import DeadReason as KnownReason
from redrive.models.states import Status

from . import arguments
from .arguments import Ids, Since, Texts
from .client_database import Access
from .task_info import (
    ActionInfo,
    AttemptInfo,
    Explanation,
    TaskInfo,
    TaskRow,
    action_info,
    attempt_info,
    explanation,
    task_info,
)
from .words import DeadReason, ReportedStatus, TaskStatus

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session, scoped_session

    from redrive.models.queries import History
    from redrive.models.rules import Rules
    from redrive.models.sql.db import Transaction

    HostConnection: TypeAlias = Connection | Session | scoped_session[Any]


__all__ = [
    "ActionInfo",
    "AttemptInfo",
    "BadInput",
    "Client",
    "DatabaseError",
    "Explanation",
    "RedriveError",
    "SchemaError",
    "SettingsError",
    "TaskInfo",
    "TaskRow",
    "Unreachable",
]

TASKS_A_QUERY = 1000
"""Rows in one transaction."""


class Client:
    """Adds tasks, reports what became of them, operates on them and asks about them.

    Threads may share one; it survives a fork. Nothing is opened before the first call. A call that may have changed
    something wakes the schedulers where the broker is Redis or Valkey; otherwise they see it at their next poll.

    Args:
        database_url: otherwise ``REDRIVE_DATABASE_URL``, otherwise the SQLite file under ``REDRIVE_HOME``.
        broker_url: otherwise ``REDRIVE_BROKER_URL``; without one there are no wake-ups.
        config: the settings file; otherwise the one ``REDRIVE_CONFIG`` names, otherwise ``redrive.toml``. Where there
            is none, or no account in it, the accounts are those the database knows, with the default policy.

    Raises:
        SettingsError: when a setting is wrong. Every call may raise SchemaError (run ``redrive migrate``), Unreachable
            and DatabaseError, and BadInput where it says so.
    """

    def __init__(
        self, database_url: str | None = None, broker_url: str | None = None, config: str | Path | None = None
    ) -> None:
        self._access = Access(database_url, broker_url, config)

    def __repr__(self) -> str:
        return f"Client({self._access.database!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close this process's connections. The next call opens new ones."""
        self._access.close()

    def add(self, *, connection: "HostConnection | None" = None, **row: Unpack[TaskRow]) -> int:
        """Add a task; the same again is not a second one. Returns its id.

        ``account`` and ``external_id`` are needed; ``kind``, ``sub_id``, ``origin``, ``status`` (``failed`` unless it
        is ``pending``, ``running`` or ``canceled``), ``failed_at``, ``reason``, ``priority``, ``max_retries`` and
        ``params`` are not. :class:`redrive.TaskRow` says what each means.

        Args:
            connection: the host's own Connection or Session, on the same database: the task is added in its
                transaction, and comes and goes with it. Nothing is committed here, and no scheduler is woken.
            row: what is known of the task.

        Raises:
            BadInput: naming the field, its value and the remedy.
        """
        with self._access.changing(connection) as (t, rules):
            return _added(t, [intake.new_task(row, _capabilities(rules))], rules)[0]

    def add_many(
        self, rows: Iterable[TaskRow | Mapping[str, Any]], *, connection: "HostConnection | None" = None
    ) -> list[int]:
        """Add tasks, each a mapping of what :meth:`add` takes; returns their ids in the order of ``rows``.

        Without ``connection`` each 1000 rows are committed together, so any number can be streamed.

        Raises:
            BadInput: "row N: …", counted from 1. Its thousand is not added; those before it are, and adding them
                again is harmless.
        """
        numbered = enumerate(rows, start=1)
        ids: list[int] = []
        while page := list(islice(numbered, TASKS_A_QUERY)):
            with self._access.changing(connection) as (t, rules):
                known = _capabilities(rules)
                new = [_numbered(number, row, known) for number, row in page]
                ids += _added(t, new, rules)
        return ids

    def report(
        self,
        *,
        account: str,
        external_id: str | int,
        status: ReportedStatus,
        kind: str | None = None,
        sub_id: str | int = "",
        at: datetime | str | None = None,
        reason: str = "",
        connection: "HostConnection | None" = None,
    ) -> TaskInfo:
        """Report what became of a task elsewhere; the answer's ``hint`` says why, if that changed nothing.

        Args:
            account: as it was added.
            external_id: as it was added.
            status: ``pending``, ``running``, ``failed``, ``canceled`` or ``succeeded``.
            kind: as it was added.
            sub_id: as it was added.
            at: since when: a datetime or ISO 8601 text (naive: UTC). Older than what is known, it is ignored.
            reason: what failed, in words.
            connection: as in :meth:`add`.

        Raises:
            BadInput: when there is no such task, or a value is wrong.
        """
        learned, since = intake.reported_status(status), values.moment("at", at)
        row = {"account": account, "kind": kind, "external_id": external_id, "sub_id": sub_id}
        with self._access.changing(connection) as (t, rules):
            who = intake.identity(row, _capabilities(rules))
            ids = queries.ids_by_identity(t, *who)
            reported = ledger.report(t, ids, rules, learned, at=since, reason=values.words("reason", reason))
            if not reported:
                raise refused("external_id", who.external_id, f"{who.account} has no such task; add it first")
            return task_info(reported[0].task, rules, reported[0].hint)

    @overload
    def get(self, task_id: int) -> TaskInfo: ...
    @overload
    def get(self, task_id: Iterable[int]) -> list[TaskInfo]: ...
    def get(self, task_id: Ids) -> TaskInfo | list[TaskInfo]:
        """One task by its id; or many in one query, in id order, of which those that do not exist are absent.

        Raises:
            BadInput: when there is none with the one id.
        """
        wanted = arguments.ids(task_id)
        with self._access.reading() as (t, rules):
            found = [task_info(task, rules) for task in queries.by_ids(t, wanted)]
        if not isinstance(task_id, int):
            return found
        return _the_one(found, task_id)

    def find(
        self,
        *,
        account: Texts = None,
        status: TaskStatus | Iterable[TaskStatus] | None = None,
        dead_reason: DeadReason | Iterable[DeadReason] | None = None,
        kind: Texts = None,
        external_id: Texts = None,
        origin: Texts = None,
        priority: int | Iterable[int] | None = None,
        ids: Iterable[int] | None = None,
        due: bool = False,
        set_aside: bool = False,
        since: Since = None,
        until: Since = None,
        after: int = 0,
        limit: int = 100,
    ) -> list[TaskInfo]:
        """Tasks that match all that is given, in id order. Each filter takes one value or many; None means any.

        A task whose row cannot be read is absent: ``redrive list --set-aside`` names it.

        Args:
            account: of these accounts.
            status: in these statuses.
            dead_reason: dead for these reasons.
            kind: of these kinds.
            external_id: with these ids at the provider.
            origin: of these origins, as the host named them.
            priority: of these priorities, each -1, 0 or 1.
            ids: with these ids.
            due: only those that may be retried or checked now.
            set_aside: only those that Redrive itself has set aside.
            since: only those whose status changed since this moment (naive: UTC), or within this time.
            until: only those whose status changed before this moment, or longer ago than this time.
            after: only tasks with a higher id: the last one's, to go on.
            limit: how many at most, up to 10,000.

        Raises:
            BadInput: for an account, a kind, a status or a reason that does not exist, or another wrong value.
        """
        wanted = queries.TaskFilter(
            accounts=arguments.texts("account", account or None),
            statuses=tuple(Status(each) for each in arguments.texts("status", status or None, Status)),
            dead_reasons=tuple(KnownReason(each) for each in arguments.texts("dead_reason", dead_reason, KnownReason)),
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
        with self._access.reading() as (t, rules):
            queries.check_names(t, wanted, rules)
            return [task_info(task, rules) for task in queries.find(t, wanted, after=after, limit=limit)]

    def explain(self, task_id: int) -> Explanation:
        """In words: why a task is where it is, what happens next and when.

        Raises:
            BadInput: when there is no such task.
        """
        (wanted,) = arguments.ids([task_id])
        with self._access.reading() as (t, rules):
            if (facts := queries.facts(t, wanted, rules)) is None:
                raise _no_such(task_id)
            return explanation(explain(facts))

    def attempts(self, task_id: int) -> list[AttemptInfo]:
        """The retry calls about a task, the oldest first.

        Raises:
            BadInput: when there is no such task.
        """
        return [attempt_info(each) for each in self._history(task_id).attempts]

    def actions(self, task_id: int) -> list[ActionInfo]:
        """What people did to a task, the oldest first: holds, retries, stops, with who and why.

        Raises:
            BadInput: when there is no such task.
        """
        return [action_info(each) for each in self._history(task_id).actions]

    def _history(self, task_id: int) -> "History":
        (wanted,) = arguments.ids([task_id])
        with self._access.reading() as (t, _):
            if (found := queries.history(t, wanted)) is None:
                raise _no_such(task_id)
            return found

    def retry(self, ids: Ids, reason: str = "", *, force: bool = False, who: str = "") -> list[TaskInfo]:
        """Retry tasks now, within their limits; those at work or followed are checked.

        Args:
            ids: one id or many; those that do not exist are absent from the answer.
            reason: recorded, with who asked.
            force: one retry more than the limit allows, also of what has ended, never past the provider's own cap.
            who: who asked, such as the user of a web application; otherwise this process's user and host.

        Returns:
            The tasks as they are now, in id order; ``hint`` says why one was left alone.
        """
        return self._act("force" if force else "retry", ids, reason, who)

    def hold(self, ids: Ids, reason: str = "", *, who: str = "") -> list[TaskInfo]:
        """Leave tasks alone until they are released; where a retry is under way, when it has failed."""
        return self._act("hold", ids, reason, who)

    def release(self, ids: Ids, reason: str = "", *, who: str = "") -> list[TaskInfo]:
        """End a hold: tasks go on from where they were, after a check."""
        return self._act("release", ids, reason, who)

    def stop(self, ids: Ids, reason: str = "", *, who: str = "") -> list[TaskInfo]:
        """Never retry tasks again; where a retry is under way, when it has failed."""
        return self._act("stop", ids, reason, who)

    def revive(self, ids: Ids, reason: str = "", *, who: str = "") -> list[TaskInfo]:
        """Give dead tasks a new round: as many retries more as the policy has, after a check."""
        return self._act("revive", ids, reason, who)

    def _act(self, what: str, ids: Ids, reason: str, who: str) -> list[TaskInfo]:
        wanted, asked = iter(arguments.ids(ids)), arguments.who(who, reason)
        infos: list[TaskInfo] = []
        while page := list(islice(wanted, TASKS_A_QUERY)):
            with self._access.changing() as (t, rules):
                changed = ledger.act(t, what, page, rules, asked)
                infos += [task_info(each.task, rules, each.hint) for each in changed]
        return infos

    def pause(self, account: str, reason: str = "", *, who: str = "") -> None:
        """Leave an account alone until it is resumed: no call of it is made.

        Raises:
            BadInput: when there is no such account.
        """
        asked = arguments.who(who, reason)
        with self._access.changing() as (t, _):
            ledger.pause(t, values.line("account", account, 64), asked)

    def resume(self, account: str, reason: str = "", *, who: str = "") -> bool:
        """End an account's pause, whatever caused it. False when there was none.

        Raises:
            BadInput: when there is no such account.
        """
        asked = arguments.who(who, reason)
        with self._access.changing() as (t, _):
            return ledger.resume(t, values.line("account", account, 64), asked)


def _capabilities(rules_of: Mapping[str, "Rules"]) -> intake.CapabilitiesOf:
    return {name: rules.capabilities for name, rules in rules_of.items()}


def _added(t: "Transaction", new: list[ledger.NewTask], rules_of: Mapping[str, "Rules"]) -> list[int]:
    return [added.id for added in ledger.add(t, new, rules_of)]


def _numbered(number: int, row: Mapping[str, Any], known: intake.CapabilitiesOf) -> ledger.NewTask:
    try:
        return intake.new_task(row, known)
    except BadInput as error:
        raise BadInput(f"row {number}: {error}") from None


def _the_one(found: list[TaskInfo], task_id: int) -> TaskInfo:
    if not found:
        raise _no_such(task_id)
    return found[0]


def _no_such(task_id: int) -> BadInput:
    return refused("id", task_id, "there is no such task")
