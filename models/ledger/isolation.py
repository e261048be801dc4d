"""Finding the one row for which a statement over many fails, so that it alone is set aside."""

from collections.abc import Callable, Sequence

from ..sql.db import Database, Transaction
from ..sql.db_errors import blame, is_row_fault
from ..states import SetAside
from .quarantine import Odd, set_aside

Attempt = Callable[[Transaction, Sequence[int]], object]

LogError = Callable[..., object]
"""What writes an error into the caller's log: an event and its fields."""


def faulty(database: Database, ids: Sequence[int], attempt: Attempt) -> dict[int, str]:
    """Those of the ids for which ``attempt`` fails even alone, each with the reason. Nothing of it is kept.

    It halves what fails, so that one in a hundred is found in a dozen tries.

    Raises:
        Unreachable: the database is away, or something is locked: that is not a row's fault, and nothing is known.
    """
    found: dict[int, str] = {}
    parts = [list(ids)]
    while parts:
        part = parts.pop()
        why = _why_it_fails(database, part, attempt)
        if why and len(part) == 1:
            found[part[0]] = why
        elif why:
            middle = len(part) // 2
            parts += [part[middle:], part[:middle]]
    return found


def _why_it_fails(database: Database, part: Sequence[int], attempt: Attempt) -> str:
    try:
        with database.transaction() as t:
            attempt(t, part)
            t.roll_back()
    except Exception as error:
        if not is_row_fault(error):
            raise
        return blame(error)
    return ""


def set_aside_faulty(
    database: Database, account: str, ids: Sequence[int], attempt: Attempt, log_error: LogError
) -> frozenset[int]:
    """Set those of the tasks aside for which ``attempt`` fails even alone, and log each; returns them.

    Raises:
        Unreachable: as for :func:`faulty`.
    """
    odd = faulty(database, ids, attempt)
    if odd:
        with database.transaction() as t:
            set_aside(t, [Odd(task_id, account, SetAside.ROW, why) for task_id, why in odd.items()])
    for task_id, why in odd.items():
        log_error("task.set_aside", account=account, task=task_id, why=why)
    return frozenset(odd)
