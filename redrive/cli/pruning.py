"""Deleting what the retention settings do not keep, page by page."""

from collections.abc import Iterator
from datetime import timedelta

from models import ledger, queries
from models.db import Database
from models.explain.words import many
from models.settings import Settings
from models.states import Status

from ..terminal import safe
from .asking import sure
from .context import console


class Pruning:
    """What is past its retention, counted and deleted."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._keep = settings.retention
        self._database = database

    def run(self, *, dry_run: bool, yes: bool) -> None:
        """Say what there is, ask, delete."""
        found = list(self._found())
        batches_ = self._batches()
        for account, status, n in found:
            console.print(f"{safe(account)}: {many(n, f'{status} task')} older than {self._days(status):g} days")
        if batches_:
            console.print(f"{many(batches_, 'batch')} older than {self._keep.batches_days:g} days")
        if not found and not batches_:
            console.print("Nothing is past its retention.")
        elif not dry_run:
            sure("Delete them?", yes=yes)
            self._delete([(account, status) for account, status, _ in found])

    def _days(self, status: Status) -> float:
        days = self._keep.succeeded_days if status is Status.SUCCEEDED else self._keep.dead_days
        return days or 0.0

    def _found(self) -> Iterator[tuple[str, Status, int]]:
        with self._database.reading() as t:
            for account in queries.ended_accounts(t):
                for status in (Status.SUCCEEDED, Status.DEAD):
                    days = self._days(status)
                    if days and (n := queries.prunable_tasks(t, account, status, timedelta(days=days))):
                        yield account, status, n

    def _batches(self) -> int:
        with self._database.reading() as t:
            return queries.prunable_batches(t, timedelta(days=self._keep.batches_days))

    def _delete(self, ended: list[tuple[str, Status]]) -> None:
        tasks = sum(n for account, status in ended for n in self._pages(account, status))
        batches_ = 0
        while n := self._page_of_batches():
            batches_ += n
        console.print(f"Deleted {many(tasks, 'task')} and {many(batches_, 'batch')}.")

    def _pages(self, account: str, status: Status) -> Iterator[int]:
        """Each page in a transaction of its own."""
        older = timedelta(days=self._days(status))
        while True:
            with self._database.transaction() as t:
                n = ledger.prune_tasks(t, account, status, older)
            if not n:
                return
            yield n

    def _page_of_batches(self) -> int:
        with self._database.transaction() as t:
            return ledger.prune_batches(t, timedelta(days=self._keep.batches_days))
