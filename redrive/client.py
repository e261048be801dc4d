"""What a host program does to tasks, from Python. See docs/client.md.

Importing this costs a host next to nothing: the work, and with it SQLAlchemy and the settings, comes with the first
:class:`Client`.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias, Unpack, overload

from redrive.models.errors import BadInput, DatabaseError, RedriveError, SchemaError, SettingsError, Unreachable

from .task_info import ActionInfo, AttemptInfo, Explanation, TaskInfo, TaskRow
from .words import DeadReason, Ids, ReportedStatus, Since, TaskStatus, Texts

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session, scoped_session

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
        from .client_work import Work  # noqa: PLC0415 - the one place where a host pays for what it uses

        self._work = Work(database_url, broker_url, config)

    def __repr__(self) -> str:
        return f"Client({self._work.access.database!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close this process's connections. The next call opens new ones."""
        self._work.access.close()

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
        return self._work.add(row, connection)

    def add_many(
        self, rows: Iterable[TaskRow | Mapping[str, Any]], *, connection: "HostConnection | None" = None
    ) -> list[int]:
        """Add tasks, each a mapping of what :meth:`add` takes; returns their ids in the order of ``rows``.

        Without ``connection`` each 1000 rows are committed together, so any number can be streamed.

        Raises:
            BadInput: "row N: …", counted from 1. Its thousand is not added; those before it are, and adding them
                again is harmless.
        """
        return self._work.add_many(rows, connection)

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
        identity = {"account": account, "kind": kind, "external_id": external_id, "sub_id": sub_id}
        return self._work.report(identity, status, at=at, reason=reason, connection=connection)

    @overload
    def get(self, task_id: int) -> TaskInfo: ...
    @overload
    def get(self, task_id: Iterable[int]) -> list[TaskInfo]: ...
    def get(self, task_id: Ids) -> TaskInfo | list[TaskInfo]:
        """One task by its id; or many in one query, in id order, of which those that do not exist are absent.

        Raises:
            BadInput: when there is none with the one id.
        """
        return self._work.get(task_id) if isinstance(task_id, int) else self._work.get_many(task_id)

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
        return self._work.find(
            account=account,
            status=status,
            dead_reason=dead_reason,
            kind=kind,
            external_id=external_id,
            origin=origin,
            priority=priority,
            ids=ids,
            due=due,
            set_aside=set_aside,
            since=since,
            until=until,
            after=after,
            limit=limit,
        )

    def explain(self, task_id: int) -> Explanation:
        """In words: why a task is where it is, what happens next and when.

        Raises:
            BadInput: when there is no such task.
        """
        return self._work.explain(task_id)

    def attempts(self, task_id: int) -> list[AttemptInfo]:
        """The retry calls about a task, the oldest first.

        Raises:
            BadInput: when there is no such task.
        """
        return self._work.attempts(task_id)

    def actions(self, task_id: int) -> list[ActionInfo]:
        """What people did to a task, the oldest first: holds, retries, stops, with who and why.

        Raises:
            BadInput: when there is no such task.
        """
        return self._work.actions(task_id)

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
        return self._work.act("force" if force else "retry", ids, reason, who)

    def hold(self, ids: Ids, reason: str = "", *, who: str = "") -> list[TaskInfo]:
        """Leave tasks alone until they are released; where a retry is under way, when it has failed."""
        return self._work.act("hold", ids, reason, who)

    def release(self, ids: Ids, reason: str = "", *, who: str = "") -> list[TaskInfo]:
        """End a hold: tasks go on from where they were, after a check."""
        return self._work.act("release", ids, reason, who)

    def stop(self, ids: Ids, reason: str = "", *, who: str = "") -> list[TaskInfo]:
        """Never retry tasks again; where a retry is under way, when it has failed."""
        return self._work.act("stop", ids, reason, who)

    def revive(self, ids: Ids, reason: str = "", *, who: str = "") -> list[TaskInfo]:
        """Give dead tasks a new round: as many retries more as the policy has, after a check."""
        return self._work.act("revive", ids, reason, who)

    def pause(self, account: str, reason: str = "", *, who: str = "") -> None:
        """Leave an account alone until it is resumed: no call of it is made.

        Raises:
            BadInput: when there is no such account.
        """
        self._work.pause(account, reason, who)

    def resume(self, account: str, reason: str = "", *, who: str = "") -> bool:
        """End an account's pause, whatever caused it. False when there was none.

        Raises:
            BadInput: when there is no such account.
        """
        return self._work.resume(account, reason, who)
