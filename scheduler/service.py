"""The scheduler: one pass over what is due, and the loop around it. Any number of them run; none is a leader."""

import signal
import threading
from dataclasses import dataclass, field
from random import Random

import structlog

from redrive.models import ledger
from redrive.models.doubling import doubled
from redrive.models.errors import Unreachable
from redrive.models.ledger import BEAT_SECONDS, SCHEDULER
from redrive.models.presence import Presence
from redrive.models.rules import Rules, rules_of
from redrive.models.settings import Settings
from redrive.models.sql import migrate
from redrive.models.sql.db import SCHEDULER_LOCK_SECONDS, Database

from .chores import Chores
from .claiming import Claims
from .later import Later, said_of
from .news import Newspaper
from .prune import Pruner
from .publish import Publisher
from .rescuing import Rescues
from .wake import Wait

log = structlog.get_logger("redrive.scheduler")

PAUSE_AFTER_ERROR_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 64.0
REVISE_SECONDS = 30.0
ADOPT_SECONDS = 3600.0
"""How often the tasks at rest are searched for those that today's policy would not leave there."""
ENSURE_SECONDS = 5.0
"""How often an account's row that somebody holds is tried again."""
CLASSIFY_SECONDS = 1.0
"""How often tasks are searched for whose failure has no code yet."""
NEWS_SECONDS = 5.0
"""How often the log says what came in the way of accounts meanwhile."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass did.

    Attributes:
        looked_at: due tasks it moved, be it into a batch or out of the way.
        published: batches the broker took.
        more: whether there may be more to do at once.
    """

    examined: int = 0
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
    _held: frozenset[str] = frozenset()
    _later: Later = field(init=False)
    _claims: Claims = field(init=False)
    _rescues: Rescues = field(init=False)
    _chores: Chores = field(init=False)
    _presence: Presence = field(init=False)
    _newspaper: Newspaper = field(init=False, default_factory=Newspaper)

    def __post_init__(self) -> None:
        self._later = Later(self.database)
        self._claims = Claims(self.database, self.rules, self.publisher, self.rng, self._later)
        self._rescues = Rescues(self.database, self.rules, self.rng, self._later)
        self._presence = Presence(self.database, SCHEDULER)
        more = {
            "beat": (self._beat, BEAT_SECONDS),
            "adopt": (self._claims.adopt, ADOPT_SECONDS),
            "revise": (self._claims.revise, REVISE_SECONDS),
            "classify": (self._classify, CLASSIFY_SECONDS),
            "ensure": (self._ensure_held, ENSURE_SECONDS),
            "news": (self._say_news, NEWS_SECONDS),
        }
        self._chores = Chores(self.database, list(self.rules), self.settings.retention, self._later, more)

    @property
    def pruner(self) -> Pruner:
        """Deletes what is past retention, a little at a time."""
        return self._chores.pruner

    def start(self) -> None:
        """Make the rows of the configured accounts.

        Raises:
            SettingsError: when an account changed its provider.
        """
        self._held = frozenset(self.rules)
        self._ensure_held()

    def _ensure_held(self) -> int:
        """Make the rows that somebody else held the last time."""
        if not self._held:
            return 0
        mine = {name: self.rules[name] for name in self._held}
        with self.database.transaction() as t:
            providers = {name: rules.provider for name, rules in mine.items()}
            self._held = ledger.ensure(t, providers, {name: rules.group for name, rules in mine.items()})
        return len(mine) - len(self._held)

    def stop(self) -> None:
        """Leave the list of processes that run; where the database is away, the row grows old by itself."""
        try:
            self._presence.end()
        except Exception as error:  # noqa: BLE001 - nothing depends on it
            log.warning("heartbeat.failed", error=said_of(error))

    def _beat(self) -> int:
        self._presence.beat()
        return 0

    def _classify(self) -> int:
        with self.database.transaction() as t:
            return ledger.classify(t, self.rules)

    def _say_news(self) -> int:
        with self.database.reading() as t:
            self._newspaper.log_changes(t)
        return 0

    def run_once(self) -> Pass:
        """One pass: lost batches, batches to publish again, then one claim per account that has due work.

        Each item stands for itself: what goes wrong with one is logged and tried again later, and the others go on.

        Raises:
            Unreachable: the database is away.
        """
        with self.database.reading() as t:
            lost = ledger.expired(t, but=self._rescues.put_off)
            unheard, found = ledger.unheard(t), ledger.due_accounts(t, list(self.rules))
        rescued = self._rescues.take_back(lost)
        again = self._publish_again() if unheard else 0
        claims, published = self._claims.make(found)
        return Pass(
            examined=sum(claim.examined for claim in claims),
            claimed=sum(claim.batch.size for claim in claims if claim.batch is not None),
            published=again + published,
            rescued=rescued,
            dead=sum(claim.dead for claim in claims),
            pruned=self._chores.turn(),
            more=rescued > 0 or any(claim.more for claim in claims),
        )

    def run(self, stop: threading.Event, waiting: Wait) -> None:
        """Passes until ``stop``: at once again after one that found something due, else after a poll or a wake-up."""
        failures = 0
        while not stop.is_set():
            try:
                done = self.run_once()
            except Unreachable as error:
                log.warning("database.unreachable", error=str(error))
                stop.wait(PAUSE_AFTER_ERROR_SECONDS)
                continue
            except Exception as error:  # noqa: BLE001 - as the comment says
                # Whatever it is, it may pass, and a scheduler that ends serves nobody.
                log.error("pass.failed", error=said_of(error))  # noqa: TRY400 - tracebacks show values
                stop.wait(doubled(PAUSE_AFTER_ERROR_SECONDS, failures, LONGEST_PAUSE_SECONDS))
                failures += 1
                continue
            failures = 0
            if not done.quiet:
                log.debug("pass", claimed=done.claimed, published=done.published, rescued=done.rescued, dead=done.dead)
            if not done.more:
                waiting.wait(self.settings.scheduler.poll_seconds)

    def _publish_again(self) -> int:
        if self.publisher.silent:
            return 0  # what cannot be tried keeps its turn: each turn comes later than the one before
        with self.database.transaction() as t:
            batches = ledger.take_unheard(t)
        return sum(self.publisher.send(batch) for batch in batches)


def run(settings: Settings, *, database_url: str, broker_url: str, once: bool = False) -> int:
    """Run a scheduler until SIGTERM or SIGINT, or for one pass; returns the exit code."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    database = Database(database_url, lock_seconds=SCHEDULER_LOCK_SECONDS)
    publisher = Publisher(broker_url, settings.queues)
    try:
        scheduler = Scheduler(database, publisher, settings, rules_of(settings))
        if once:
            migrate.check(database)
            scheduler.start()
            log.info("pass", **_words(scheduler.run_once()), pruned=scheduler.pruner.all())
            return 0
        if not _start(scheduler, stop):
            return 0
        with Wait(broker_url, stop) as waiting:
            log.info("scheduler.started", accounts=len(scheduler.rules))
            scheduler.run(stop, waiting)
        scheduler.stop()
        log.info("scheduler.stopped")
    finally:
        publisher.close()
        database.close()
    return 0


def _start(scheduler: Scheduler, stop: threading.Event) -> bool:
    """Wait for the database and its schema; False when stopped meanwhile."""
    while migrate.wait_for(scheduler.database, stop, _say):
        try:
            scheduler.start()
        except Unreachable as error:
            _say(str(error))
            stop.wait(PAUSE_AFTER_ERROR_SECONDS)
        else:
            return True
    return False


def _say(error: str) -> None:
    log.warning("database.unreachable", error=error)


def _words(done: Pass) -> dict[str, int]:
    return {name: getattr(done, name) for name in ("claimed", "published", "rescued", "dead")}


__all__ = ["Pass", "Scheduler", "run"]
