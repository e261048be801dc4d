"""What waits for nobody and holds nobody up: totals, old rows, batches that no worker will begin."""

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import structlog

from redrive.models import ledger
from redrive.models.clock import boottime
from redrive.models.settings.services import RetentionSettings
from redrive.models.sql.db import Database

from .later import Later
from .prune import Pruner

log = structlog.get_logger("redrive.scheduler")

FOLD_SECONDS = 2.0
ORPHANS_SECONDS = 60.0
UNBEGUN = timedelta(minutes=10)
"""After so long no worker will begin a batch of an account that nobody here knows: workers of a new release might."""


class Chores:
    """Done between the claims, a little at a time. One that fails stops no other, and is tried again later."""

    def __init__(
        self,
        database: Database,
        accounts: Sequence[str],
        keep: RetentionSettings,
        later: Later,
        more: Mapping[str, tuple[Callable[[], int], float]],
    ) -> None:
        self.pruner = Pruner(database, accounts, keep)
        self._database = database
        self._accounts = accounts
        self._later = later
        self._next: dict[str, float] = {}
        self._more = more

    def turn(self) -> int:
        """Do what it is time for; returns the number of old rows deleted."""
        self._do("fold", self._fold, FOLD_SECONDS)
        self._do("orphans", self._give_back_orphans, ORPHANS_SECONDS)
        for name, (chore, seconds) in self._more.items():
            self._do(name, chore, seconds)
        return self._do("prune", self.pruner.turn, 0)

    def _do(self, name: str, chore: Callable[[], int], seconds: float) -> int:
        if boottime() < self._next.get(name, 0.0) or self._later.waits(name):
            return 0
        self._next[name] = boottime() + seconds
        try:
            done = chore()
        except Exception as error:  # noqa: BLE001 - a chore's trouble is its own, whatever it is
            self._later.failed(f"{name}.failed", name, error)
            return 0
        self._later.fine(name)
        return done

    def _fold(self) -> int:
        with self._database.transaction() as t:
            return ledger.fold(t)

    def _give_back_orphans(self) -> int:
        with self._database.reading() as t:
            found = ledger.orphaned(t, self._accounts, UNBEGUN)
        tasks = 0
        for batch in found:
            with self._database.transaction() as t:
                tasks += ledger.give_back_unbegun(t, batch.id)
            log.warning("batch.orphaned", batch=str(batch.id), account=batch.account)
        return tasks
