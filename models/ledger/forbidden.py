"""403 answers in a row, by account and operation: one alone may be its task's own, three tasks' are the account's.

The rows are ``redrive_limits`` with the account as group and ``#retry:403`` or ``#check:403`` as path. A retry that was
accepted says nothing of the permission to read, and the other way round.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from sqlalchemy import update

from ..outcome import Accepted, Already, CheckResult, Outcome, Reading, Refused, Unreadable
from ..sql.db import Transaction
from ..sql.tables import limits
from ..states import Operation
from . import limit_rows

IN_A_ROW = 3
"""So many tasks in a row pause an account."""


def _path(operation: Operation) -> str:
    return f"#{operation}:403"


_PATHS = {_path(operation): operation for operation in Operation}


@dataclass(frozen=True, slots=True)
class Streak:
    """How many, and about which tasks: the same task again counts once."""

    count: int = 0
    tasks: tuple[int, ...] = ()

    def after(self, task_id: int, answer: Outcome | CheckResult) -> "Streak":
        """The same with one more answer counted."""
        if is_forbidden(answer):
            return self if task_id in self.tasks else Streak(self.count + 1, (*self.tasks, task_id))
        ends = isinstance(answer, Accepted | Already | Refused | Reading | Unreadable)
        return Streak() if ends else self


def is_forbidden(answer: Outcome | CheckResult) -> bool:
    """Whether it is a 403."""
    return isinstance(answer, Already | Unreadable) and answer.forbidden


def count(
    t: Transaction,
    account: str,
    operation: Operation,
    answers: Sequence[tuple[int, Outcome | CheckResult]],
    *,
    going: bool,
) -> tuple[int, int]:
    """Count the answers to tasks, in order.

    Args:
        t: where, the account's row under lock.
        account: whose.
        operation: of the calls.
        answers: each with its task.
        going: whether there is a row already, of any operation.

    Returns:
        How long the row of this operation is now, and how long the longest.
    """
    if not going and not any(is_forbidden(answer) for _, answer in answers):
        return 0, 0
    rows = _load(t, account)
    streak = reduce(lambda streak, each: streak.after(*each), answers, rows[operation])
    if streak != rows[operation]:
        tasks = list(streak.tasks[-IN_A_ROW:])
        limit_rows.write(t, account, _path(operation), failures=streak.count, suspects=tasks or None)
    return streak.count, max(each.count for each in {**rows, operation: streak}.values())


def forget(t: Transaction, account: str) -> None:
    """Begin anew."""
    t.execute(update(limits).where(limits.c.group == account, limits.c.path.in_(_PATHS)).values(failures=0))


def _load(t: Transaction, account: str) -> dict[Operation, Streak]:
    found = limit_rows.selected(t.level).where(limits.c.group == account, limits.c.path.in_(_PATHS))
    rows = {_PATHS[row.path]: Streak(row.failures, tuple(row.suspects or ())) for row in t.rows(found) if row.failures}
    return {operation: rows.get(operation, Streak()) for operation in Operation}
