"""The scheduler: one pass over what is due, and the loop around it. Any number of them run; none is a leader."""

import signal
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import structlog

from models import due, ledger
from models.capabilities import capabilities_of
from models.db import Database
from models.errors import Unreachable
from models.rules import Rules, default_rules, rules_of
from models.settings import Settings

from .prune import Pruner
from .publish import Publisher
from .wake import Waiting

log = structlog.get_logger("redrive.scheduler")

PAUSE_AFTER_ERROR_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass did.

    Attributes:
        looked_at: due tasks it moved, be it into a batch or out of the way.
        published: batches the broker took.
        more: whether there may be more to do at once.
    """

    looked_at: int = 0
    claimed: int = 0
    published: int = 0
    rescued: int = 0
    dead: int = 0
    pruned: int = 0
    more: bool = False

    @property
    def quiet(self) -> bool:
        """Whether there is nothing to tell."""
        return not (self.claimed or self.published or self.rescued or self.dead or self.pruned)


@dataclass(slots=True)
class Scheduler:
    """Finds what is due, claims it account by account, publishes the batches, and takes back what was lost."""

    database: Database
    publisher: Publisher
    settings: Settings
    rules: dict[str, Rules]
    rng: Random = field(default_factory=Random)
    _pruner: Pruner | None = None

    @property
    def pruner(self) -> Pruner:
        """Deletes what is past retention, a little at a time."""
        if self._pruner is None:
            self._pruner = Pruner(self.database, list(self.rules), self.settings.retention)
        return self._pruner

    def start(self) -> None:
        """Make the rows of the configured accounts.

        Raises:
            SettingsError: when an account changed its provider.
        """
        with self.database.transaction() as t:
            ledger.ensure(t, {name: rules.provider for name, rules in self.rules.items()})

    def run_once(self) -> Pass:
        """One pass: lost batches, batches to publish again, then one claim per account that has due work."""
        with self.database.reading() as t:
            lost, unheard, found = ledger.expired(t), ledger.unheard(t), due.due(t, list(self.rules))
        rescued = self._rescue(lost)
        again = self._publish_again() if unheard else 0
        claims, published = self._claim(found)
        return Pass(
            looked_at=sum(claim.looked_at for claim in claims),
            claimed=sum(claim.batch.size for claim in claims if claim.batch is not None),
            published=again + published,
            rescued=rescued,
            dead=sum(claim.dead for claim in claims),
            pruned=self.pruner.turn(),
            more=rescued > 0 or any(claim.more for claim in claims),
        )

    def run(self, stop: threading.Event, waiting: Waiting) -> None:
        """Passes until ``stop``: at once again after one that found something due, else after a poll or a wake-up."""
        while not stop.is_set():
            try:
                done = self.run_once()
            except Unreachable as error:
                log.warning("database.unreachable", error=str(error))
                stop.wait(PAUSE_AFTER_ERROR_SECONDS)
                continue
            if not done.quiet:
                log.info("pass", claimed=done.claimed, published=done.published, rescued=done.rescued, dead=done.dead)
            if not done.more:
                waiting.wait(self.settings.scheduler.poll_seconds)

    def _claim(self, found: Sequence[due.Due]) -> tuple[list[ledger.Claim], int]:
        """Accounts in turn, one claim each: a million tasks of one never delay ten of another.

        Also returns how many of the batches were published.
        """
        claims, published = [], 0
        for each in found:
            with self.database.transaction() as t:
                claim = ledger.claim(t, self.rules[each.account], each.operation, self.rng)
            if claim.batch is not None:
                published += self.publisher.send(claim.batch)
            claims.append(claim)
        return claims, published

    def _publish_again(self) -> int:
        if self.publisher.silent:
            return 0  # what cannot be tried keeps its turn: each turn comes later than the one before
        with self.database.transaction() as t:
            batches = ledger.to_publish(t)
        return sum(self.publisher.send(batch) for batch in batches)

    def _rescue(self, lost: Sequence[ledger.Lost]) -> int:
        rescued = 0
        for batch in lost:
            if (rules := self._rules_of(batch.account, batch.provider)) is None:
                continue
            with self.database.transaction() as t:
                tasks = ledger.rescue(t, batch.id, rules, self.rng)
            log.warning("batch.lost", batch=str(batch.id), account=batch.account, tasks=tasks)
            rescued += tasks
        return rescued

    def _rules_of(self, account: str, provider: str) -> Rules | None:
        """An account's rules; its lost work is taken back even when it is configured no more."""
        if (rules := self.rules.get(account)) is not None:
            return rules
        try:
            capabilities = capabilities_of(provider)
        except Exception as error:  # noqa: BLE001 - loading somebody else's package may raise anything
            log.warning("provider.unknown", account=account, provider=provider, error=type(error).__name__)
            return None
        return default_rules(account, capabilities) if capabilities else None


def run(settings: Settings, *, database_url: str, broker_url: str, once: bool = False) -> int:
    """Run a scheduler until SIGTERM or SIGINT, or for one pass; returns the exit code."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    database, publisher = Database(database_url), Publisher(broker_url, settings.queues)
    try:
        scheduler = Scheduler(database, publisher, settings, rules_of(settings))
        _start(scheduler, stop, once=once)
        if once:
            log.info("pass", **_words(scheduler.run_once()), pruned=scheduler.pruner.all())
            return 0
        with Waiting(broker_url, stop) as waiting:
            log.info("scheduler.started", accounts=len(scheduler.rules))
            scheduler.run(stop, waiting)
        log.info("scheduler.stopped")
    finally:
        publisher.close()
        database.close()
    return 0


def _start(scheduler: Scheduler, stop: threading.Event, *, once: bool) -> None:
    """Wait for the database at start; only its absence is waited for."""
    while not stop.is_set():
        try:
            return scheduler.start()
        except Unreachable as error:
            if once:
                raise
            log.warning("database.unreachable", error=str(error))
            stop.wait(PAUSE_AFTER_ERROR_SECONDS)
    return None


def _words(done: Pass) -> dict[str, int]:
    return {name: getattr(done, name) for name in ("claimed", "published", "rescued", "dead")}


__all__ = ["Pass", "Scheduler", "run"]
