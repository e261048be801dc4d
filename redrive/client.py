"""What a host program does to tasks, from Python. See docs/client.md."""

import getpass
import os
import socket
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from sqlalchemy import Connection

from . import _house  # noqa: F401 - makes _models
from .access import Access
from .task_info import TaskInfo, TaskRow, task_info

if TYPE_CHECKING:
    from models import finding, intake, ledger
    from models.errors import BadInput, RedriveError, SchemaError, SettingsError, Unreachable
    from models.intake import values
    from models.intake.refusal import refused
    from models.rules import Rules
    from models.states import Status
else:
    from ._models import finding, intake, ledger
    from ._models.errors import BadInput, RedriveError, SchemaError, SettingsError, Unreachable
    from ._models.intake import values
    from ._models.intake.refusal import refused
    from ._models.rules import Rules
    from ._models.states import Status

__all__ = ["BadInput", "Client", "RedriveError", "SchemaError", "SettingsError", "TaskInfo", "Unreachable"]

PAGE = 1000
"""Rows in one transaction."""

Ids = int | Iterable[int]


class Client:
    """Adds tasks, tells what became of them, and asks about them. Threads may share one; it survives a fork.

    Nothing is opened before the first call. A call that may have changed something wakes the schedulers where the
    broker is Redis or Valkey; otherwise they see it at their next poll.

    Args:
        database_url: otherwise ``REDRIVE_DATABASE_URL``, otherwise the SQLite file under ``REDRIVE_HOME``.
        broker_url: otherwise ``REDRIVE_BROKER_URL``; without one there are no wake-ups.
        config: the settings file; otherwise the one ``REDRIVE_CONFIG`` names, otherwise ``redrive.toml``. Where there
            is none, or no account in it, the accounts are those the database knows, with the default policy.

    Raises:
        SettingsError: when a setting is wrong. Every call may raise SchemaError (run ``redrive migrate``) and
            Unreachable, and BadInput where it says so.
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

    def add(self, *, connection: Connection | None = None, **row: Unpack[TaskRow]) -> int:
        """Add a task; the same again is not a second one. Returns its id.

        Args:
            connection: the host's own, to the same database: the task is added in its transaction, and comes and
                goes with it. Nothing is committed here, and no scheduler is woken.
            row: see :class:`redrive.task_info.TaskRow`.

        Raises:
            BadInput: naming the field, its value and the remedy.
        """
        with self._access.changing(connection) as (t, rules):
            return ledger.add(t, [intake.new_task(row, _capabilities(rules))], rules)[0].id

    def add_many(
        self, rows: Iterable[TaskRow | Mapping[str, Any]], *, connection: Connection | None = None
    ) -> list[int]:
        """Add tasks, each a mapping of what :meth:`add` takes; returns their ids in the order of ``rows``.

        Without ``connection`` each 1000 rows are committed together, so any number can be streamed.

        Raises:
            BadInput: "row N: …", counted from 1. Its thousand is not added; those before it are, and adding them
                again is harmless.
        """
        numbered = enumerate(rows, start=1)
        ids: list[int] = []
        while page := list(islice(numbered, PAGE)):
            with self._access.changing(connection) as (t, rules):
                known = _capabilities(rules)
                new = [_numbered(number, row, known) for number, row in page]
                ids += [added.id for added in ledger.add(t, new, rules)]
        return ids

    def report(
        self,
        *,
        account: str,
        external_id: str | int,
        status: str,
        kind: str | None = None,
        sub_id: str | int = "",
        at: datetime | str | None = None,
        reason: str = "",
        connection: Connection | None = None,
    ) -> TaskInfo:
        """Tell what became of a task elsewhere; the answer's ``hint`` says why, if that changed nothing.

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
        told, since = intake.reported_status(status), values.moment("at", at)
        row = {"account": account, "kind": kind, "external_id": external_id, "sub_id": sub_id}
        with self._access.changing(connection) as (t, rules):
            who = intake.identity(row, _capabilities(rules))
            ids = finding.ids(t, *who)
            said = ledger.report(t, ids, rules, told, at=since, reason=values.words("reason", reason))
            if not said:
                raise refused("external_id", who.external_id, f"{who.account} has no such task; add it first")
            return task_info(said[0].task, rules, said[0].hint)

    def get(self, task_id: int) -> TaskInfo:
        """One task.

        Raises:
            BadInput: when there is none with this id.
        """
        wanted = _ids(task_id)
        with self._access.reading() as (t, rules):
            if not (found := finding.by_ids(t, wanted)):
                raise refused("id", task_id, "there is no such task")
            return task_info(found[0], rules)

    def find(
        self, *, account: str = "", status: str = "", external_id: str = "", after: int = 0, limit: int = 100
    ) -> list[TaskInfo]:
        """Tasks that match all that is given, in id order.

        Args:
            account: of this account; '' means any.
            status: in this status; '' means any.
            external_id: of this provider's id; '' means any.
            after: only tasks with a higher id: the last one's, to go on.
            limit: how many at most.

        Raises:
            BadInput: for a status there is none of.
        """
        if status:
            values.choice("status", status, Status)
        given = {"account": account, "status": status, "external_id": external_id}
        with self._access.reading() as (t, rules):
            among = {name: [value] for name, value in given.items() if value}
            return [task_info(task, rules) for task in finding.page(t, after=after, limit=limit, **among)]

    def retry(self, ids: Ids, reason: str = "", *, force: bool = False) -> list[TaskInfo]:
        """Retry tasks now, within their limits; those at work or followed are looked at.

        Args:
            ids: one id or many; those that do not exist are absent from the answer.
            reason: recorded, with who did it.
            force: one retry more than the limit allows, also of what has ended, never past the provider's own cap.

        Returns:
            The tasks as they are now, in id order; ``hint`` says why one was left alone.
        """
        return self._act("force" if force else "retry", ids, reason)

    def hold(self, ids: Ids, reason: str = "") -> list[TaskInfo]:
        """Leave tasks alone until they are released; where a retry is under way, when it has failed."""
        return self._act("hold", ids, reason)

    def release(self, ids: Ids, reason: str = "") -> list[TaskInfo]:
        """End a hold: tasks go on from where they were, after a look."""
        return self._act("release", ids, reason)

    def stop(self, ids: Ids, reason: str = "") -> list[TaskInfo]:
        """Never retry tasks again; where a retry is under way, when it has failed."""
        return self._act("stop", ids, reason)

    def _act(self, what: str, ids: Ids, reason: str) -> list[TaskInfo]:
        wanted, who = iter(_ids(ids)), ledger.Who(_user(), values.words("reason", reason))
        infos: list[TaskInfo] = []
        while page := list(islice(wanted, PAGE)):
            with self._access.changing() as (t, rules):
                told = ledger.act(t, what, page, rules, who)
                infos += [task_info(each.task, rules, each.hint) for each in told]
        return infos


def _capabilities(rules_of: Mapping[str, Rules]) -> intake.CapabilitiesOf:
    return {name: rules.capabilities for name, rules in rules_of.items()}


def _numbered(number: int, row: Mapping[str, Any], known: intake.CapabilitiesOf) -> ledger.NewTask:
    try:
        return intake.new_task(row, known)
    except BadInput as error:
        raise BadInput(f"row {number}: {error}") from None


def _ids(ids: Ids) -> list[int]:
    wanted = [ids] if isinstance(ids, int) else list(ids)
    for each in wanted:
        if type(each) is not int or not 0 < each < 2**63:
            raise refused("id", each, "must be the whole number that add() returned")
    return sorted(set(wanted))


def _user() -> str:
    try:
        name = getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container's user may have no name
        name = f"uid {os.getuid()}"
    return f"{name}@{socket.gethostname()}"
