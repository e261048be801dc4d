"""Rescue: batches past their lease are taken back, each by itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from uuid import UUID

import structlog

from redrive.models import ledger
from redrive.models.capabilities import Capabilities
from redrive.models.errors import Locked
from redrive.models.providers import capabilities_of
from redrive.models.rules import Rules, default_rules
from redrive.models.sql.db import Database, Transaction
from redrive.models.sql.db_errors import is_row_fault

from .later import Later

log = structlog.get_logger("redrive.scheduler")

ROWS_ARE_HELD = "another transaction holds rows of its tasks"


@dataclass(slots=True)
class Rescues:
    """Takes lost batches back."""

    database: Database
    rules: Mapping[str, Rules]
    rng: Random
    later: Later

    @property
    def put_off(self) -> list[UUID]:
        """Batches that could not be rescued just now."""
        return [item for item in self.later.waiting if isinstance(item, UUID)]

    def take_back(self, lost: Sequence[ledger.Lost]) -> int:
        """Rescue them; returns how many tasks left their batch."""
        rescued = 0
        for batch in lost:
            words = {"batch": str(batch.id), "account": batch.account}
            try:
                done = self._rescue(batch)
            except Exception as error:  # noqa: BLE001 - a batch's trouble is its own, whatever it is
                self.later.failed("rescue.failed", batch.id, error, **words)
                continue
            rescued += done.tasks
            if done.over:
                self.later.fine(batch.id, account=batch.account)
                log.warning("batch.lost", tasks=done.tasks, **words)
            else:
                self.later.failed("rescue.waits", batch.id, Locked(ROWS_ARE_HELD), **words)
        return rescued

    def _rescue(self, batch: ledger.Lost) -> ledger.Rescued:
        rules = self._rules_of(batch)
        try:
            with self.database.transaction() as t:
                return ledger.rescue(t, batch.id, rules, self.rng)
        except Exception as error:
            if not is_row_fault(error):
                raise
        # Where it fails over none any more, another scheduler has set it aside meanwhile.
        self._set_aside(batch, rules)
        with self.database.transaction() as t:
            return ledger.rescue(t, batch.id, rules, self.rng)

    def _set_aside(self, batch: ledger.Lost, rules: Rules) -> None:
        with self.database.reading() as t:
            _, ids = ledger.made_for(t, batch.id)

        def attempt(t: Transaction, part: Sequence[int]) -> None:
            ledger.rescue(t, batch.id, rules, self.rng, only=part)

        ledger.set_aside_faulty(self.database, batch.account, ids, attempt, log.error)

    def _rules_of(self, batch: ledger.Lost) -> Rules:
        """An account's rules; its lost work is taken back even where nobody knows it or its provider any more."""
        if (rules := self.rules.get(batch.account)) is not None:
            return rules
        try:
            capabilities = capabilities_of(batch.provider)
        except Exception as error:  # noqa: BLE001 - loading somebody else's package may raise anything
            log.warning("provider.unknown", account=batch.account, provider=batch.provider, error=type(error).__name__)
            capabilities = None
        unknown = Capabilities(batch.provider, batch.provider, base_url="", kinds=())
        return default_rules(batch.account, capabilities or unknown)
