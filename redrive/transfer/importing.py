"""Rows → tasks in the database, a thousand in a transaction, so that memory stays flat however large the file is."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from redrive.models import intake, ledger
from redrive.models.errors import BadInput, Unreachable
from redrive.models.ledger import NewTask
from redrive.models.rules import Rules
from redrive.models.sql.db import Database

from .lines import UnusableFile
from .rows import Row

ROWS_A_TRANSACTION = 1000
"""Rows checked, and stored in one transaction."""

LARGEST_PAGE = 2**22
"""Characters in a page: where rows are huge it has fewer of them."""

Refuse = Callable[[Row, str], None]
"""Gets each row that cannot be taken, with the reason: "line N: why"."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How an import went so far, in rows.

    Attributes:
        good: rows that can be taken.
        added: of these, new tasks.
        known: of these, tasks that were there, or stood in the file before.
        refused: rows that cannot be taken.
    """

    good: int = 0
    added: int = 0
    known: int = 0
    refused: int = 0


def import_rows(
    rows: Iterable[Row], rules_of: Mapping[str, Rules], database: Database | None, refuse: Refuse
) -> Iterator[Tally]:
    """Add what is good, page by page; yields the tally after each.

    Args:
        rows: see :func:`redrive.transfer.reading.read_rows`.
        rules_of: the accounts' rules.
        database: None: rows are only checked.
        refuse: gets the others.

    Raises:
        Unreachable: what came before is in.
    """
    known = {name: rules.capabilities for name, rules in rules_of.items()}
    tally = Tally()
    for some in filter(None, _pages(rows)):
        good = [task for row in some if (task := _checked(row, known, refuse)) is not None]
        new = _stored(good, database, rules_of, some[0].number) if database is not None else 0
        tally = Tally(
            good=tally.good + len(good),
            added=tally.added + new,
            known=tally.known + (len(good) - new if database is not None else 0),
            refused=tally.refused + len(some) - len(good),
        )
        yield tally


def _pages(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Pages of rows; what came before the file broke off is the last of them."""
    some, size = list[Row](), 0
    try:
        for row in rows:
            some.append(row)
            size += len(row.source)
            if len(some) == ROWS_A_TRANSACTION or size >= LARGEST_PAGE:
                yield some
                some, size = [], 0
    except UnusableFile:
        yield some
        raise
    yield some


def _checked(row: Row, known: intake.CapabilitiesOf, refuse: Refuse) -> NewTask | None:
    try:
        if not row.problem:
            return intake.new_task(row.values, known)
        refuse(row, f"line {row.number}: {row.problem}")
    except BadInput as error:
        refuse(row, f"line {row.number}: {error}")
    return None


def _stored(tasks: Sequence[NewTask], database: Database, rules_of: Mapping[str, Rules], first_line: int) -> int:
    """How many of the tasks are new, all of them now being there."""
    try:
        with database.transaction() as t:
            added = ledger.add(t, tasks, rules_of)
    except Unreachable as error:
        raise Unreachable(f"{error}; what stood before line {first_line} is in: import the file again") from None
    return len({each.id for each in added if each.new})
