"""Deleting what is past retention, one page at a time, between the claims."""

from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import structlog

from redrive.models import ledger
from redrive.models.clock import boottime
from redrive.models.settings.services import RetentionSettings
from redrive.models.sql.db import Database, Transaction
from redrive.models.states import ENDED_STATES, Status

log = structlog.get_logger("redrive.scheduler")

SWEEP_SECONDS = 300.0
"""How long after the end of a sweep the next one begins."""
PAGE_SECONDS = 0.25
"""The least time between two pages: pruning goes on between the claims and never holds them up."""


class Pruner:
    """Sweeps over old rows in turns of one page.

    Tasks are deleted of the accounts that are configured here: what became of the others, and how long their owner
    wants it kept, another service's settings may say.
    """

    def __init__(self, database: Database, accounts: Sequence[str], keep: RetentionSettings) -> None:
        self._database = database
        self._accounts = accounts
        self._keep = keep
        self._sweep: Iterator[int] = iter(())
        self._next_turn = self._next_sweep = 0.0

    def turn(self) -> int:
        """Delete one page, if it is time for one; returns the number of rows."""
        if boottime() < self._next_turn:
            return 0
        deleted = next(self._sweep, None)
        if deleted is None:
            return self._begin() if boottime() >= self._next_sweep else 0
        self._next_turn = boottime() + PAGE_SECONDS
        return deleted

    def all(self) -> int:
        """Delete all that is past retention; returns the number of rows."""
        return sum(self._pages())

    def _begin(self) -> int:
        self._next_sweep = boottime() + SWEEP_SECONDS
        self._sweep = self._pages()
        return self.turn()

    def _pages(self) -> Iterator[int]:
        keep = self._keep
        yield from self._of(lambda t: ledger.prune_batches(t, keep.of_batches))
        for status in ENDED_STATES:
            if (age := keep.of_tasks(status)) is not None:
                yield from self._tasks(status, age)

    def _tasks(self, status: Status, age: timedelta) -> Iterator[int]:
        with self._database.reading() as t:
            names = ledger.prunable(t, self._accounts, status, age)
            kept_by = ledger.references(t)
        if names and kept_by:
            log.info("prune.keeps", tables=", ".join(sorted({each.table for each in kept_by})))
        for name in names:
            yield from self._of(lambda t, name=name: ledger.prune_tasks(t, name, status, age, kept_by))  # type: ignore[misc]

    def _of(self, page: Callable[[Transaction], int]) -> Iterator[int]:
        deleted = -1
        while deleted:
            with self._database.transaction() as t:
                deleted = page(t)
            yield deleted
