"""Claims: accounts in turn, one claim each, so that a million tasks of one never delay ten of another."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

import structlog

from redrive.models import ledger
from redrive.models.errors import Unreachable
from redrive.models.ledger import Due
from redrive.models.rules import Rules
from redrive.models.sql.db import Database, Transaction
from redrive.models.sql.db_errors import is_row_fault
from redrive.models.states import Operation

from .later import Later, said_of
from .publish import Publisher

log = structlog.get_logger("redrive.scheduler")

WORTH_A_SURVEY = 8
"""From so many accounts on, a survey of all of them costs less than the claims of those that have no room."""


@dataclass(slots=True)
class Claims:
    """Claims what is due and publishes the batches."""

    database: Database
    rules: Mapping[str, Rules]
    publisher: Publisher
    rng: Random
    later: Later

    def make(self, found: Sequence[Due]) -> tuple[list[ledger.Claim], int]:
        """One claim for each; also returns how many of the batches were published."""
        claims, published = [], 0
        for each in self._with_room(found):
            if self.later.waits(each):
                continue
            try:
                claim = self._claim(self.rules[each.account], each.operation)
            except Exception as error:  # noqa: BLE001 - an account's trouble is its own, whatever it is
                self.later.failed("claim.failed", each, error, account=each.account, operation=each.operation.value)
                continue
            self.later.fine(each, account=each.account)
            if claim.batch is not None:
                published += self.publisher.send(claim.batch)
            claims.append(claim)
        return claims, published

    def _with_room(self, found: Sequence[Due]) -> Sequence[Due]:
        """Those for which a claim may find room; what changes meanwhile, the next pass sees."""
        if len(found) < WORTH_A_SURVEY:
            return found
        try:
            with self.database.reading() as t:
                full = ledger.without_room(t, [(self.rules[each.account], each.operation) for each in found])
        except Unreachable:
            raise
        except Exception as error:  # noqa: BLE001 - one account's row can be the reason: its own claim says so
            log.debug("room.failed", why=said_of(error))
            return found
        return [each for each in found if (each.account, each.operation) not in full]

    def revise(self) -> int:
        """Claim and release what another policy left at rest; returns how many tasks moved."""
        with self.database.reading() as t:
            resting = ledger.resting_accounts(t, [n for n, x in self.rules.items() if x.policy.retry_canceled])
            unknown = ledger.unknown_accounts(t, [n for n, x in self.rules.items() if x.policy.on_unknown == "retry"])
        moved = 0
        for name in resting:
            with self.database.transaction() as t:
                claim = ledger.claim(t, self.rules[name], Operation.RETRY, self.rng, resting=True)
            moved += claim.examined
            if claim.batch is not None:
                self.publisher.send(claim.batch)
        for name in unknown:
            with self.database.transaction() as t:
                moved += ledger.release_unknown(t, self.rules[name], self.rng)
        return moved

    def adopt(self) -> int:
        """Find what the release before has held, so that it is shown and revised like the rest; for how many tasks."""
        with self.database.transaction() as t:
            return ledger.adopt_holds(t, self.rules)

    def _claim(self, rules: Rules, operation: Operation) -> ledger.Claim:
        try:
            with self.database.transaction() as t:
                return ledger.claim(t, rules, operation, self.rng)
        except Exception as error:
            if not is_row_fault(error):
                raise
        if self._set_aside(rules, operation):
            return ledger.Claim(more=True)
        # Another scheduler may have set it aside meanwhile.
        with self.database.transaction() as t:
            return ledger.claim(t, rules, operation, self.rng)

    def _set_aside(self, rules: Rules, operation: Operation) -> bool:
        with self.database.reading() as t:
            ids = ledger.due_ids(t, rules, operation)

        def attempt(t: Transaction, part: Sequence[int]) -> None:
            ledger.claim(t, rules, operation, self.rng, only=part)

        return bool(ledger.set_aside_faulty(self.database, rules.account, ids, attempt, log.error))
