"""The Celery app and its doors: they receive, and hand over at once.

``celery -A redrive.worker.app`` finds ``app`` here.
"""

import os
import sys
from collections.abc import Iterator
from typing import Any, NoReturn

import structlog
from celery import Celery, signals

from redrive.models import jobs, ledger
from redrive.models.broker import Broker
from redrive.models.errors import SettingsError, Unreachable
from redrive.models.settings.urls import checked_broker_url

from . import broker, consumer, deps, job, messages, pool

log = structlog.get_logger("redrive.worker")

ASK_AGAIN_SECONDS = 2.0
"""Between tries to write down a wish while the database is away."""

TASKS_A_TRANSACTION = 500
"""Tasks of a wish in one transaction."""

MISCONFIGURED = 2
"""The exit code that means: starting again does not help."""

_named: list[str] = []


def use_broker(url: str) -> None:
    """Let this process's app connect there, and not where ``REDRIVE_BROKER_URL`` says."""
    _named[:] = [url]


def _broker() -> Broker:
    url = _named[0] if _named else os.environ.get("REDRIVE_BROKER_URL")
    if not url:
        raise SettingsError("REDRIVE_BROKER_URL: is not set; set it, or start the worker with `redrive worker`")
    try:
        return Broker.at(checked_broker_url(url))
    except ValueError as error:
        raise SettingsError(f"REDRIVE_BROKER_URL: {error}") from None


broker.install()
app = Celery("redrive", **jobs.APP)
jobs.connect_to(app, _broker)
app.conf.worker_consumer = f"{consumer.__name__}:Consumer"
consumer.restrict_control(app)


@app.task(name=jobs.RETRY)
def retry(*args: object, **words: object) -> dict[str, int]:
    """Retry the tasks of a batch."""
    return _batch(*args, **words)


@app.task(name=jobs.CHECK)
def check(*args: object, **words: object) -> dict[str, int]:
    """Check the tasks of a batch."""
    return _batch(*args, **words)


def _batch(*args: object, **words: object) -> dict[str, int]:
    batch_id = messages.batch_id(*args, **words)
    over = pool.over.get(None)  # unless somebody calls the door who is not our pool
    counts = over.result() if over is not None else job.run(deps.get(), batch_id)
    if counts == {"not_mine": 1}:
        log.info("batch.not_mine", batch=str(batch_id), why="begun or ended already, or of another installation")
    return counts


@app.task(name=jobs.REQUEST)
def request(ids: list[int], who: str = "", reason: str = "") -> dict[str, int]:
    """A host's wish to retry tasks now, within the same limits as all others. What an operator holds stays held."""
    wish = messages.wish(ids, who, reason)
    own = deps.get()
    due = sum(_carried_out(own, page, ledger.Who(wish.who, wish.reason)) for page in _pages(wish.ids))
    own.waker.wake()
    return {"asked": len(wish.ids), "due": due}


def _pages(ids: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(ids), TASKS_A_TRANSACTION):
        yield ids[start : start + TASKS_A_TRANSACTION]


def _carried_out(own: deps.Deps, ids: list[int], who: ledger.Who) -> int:
    """Write a page of a wish down; how many tasks it changed."""
    while True:
        try:
            with own.database.transaction() as t:
                news = ledger.act(t, "request", ids, own.rules, who)
            return sum(each.changed for each in news)
        except Unreachable as error:
            # Nobody sends a wish twice. Asked again it does no harm: what is due already stays so.
            log.warning("database.unreachable", asked=len(ids), error=str(error))
            if own.draining.wait(ASK_AGAIN_SECONDS):
                raise


@signals.celeryd_init.connect
def refuse_other_addresses(instance: object = None, **_: object) -> None:
    """Say what is wrong with the broker's address before Celery stumbles over it."""
    if getattr(instance, "app", None) is app:
        try:
            _broker()
        except SettingsError as error:
            _give_up(str(error))


@signals.worker_init.connect
def refuse_other_pools(sender: Any = None, **_: object) -> None:  # noqa: ANN401 - Celery ships no types
    """A forked child gets no signal of the worker's and would not drain; green threads would share our event loop."""
    if getattr(sender, "app", None) is not app or (chosen := getattr(sender, "pool_cls", None)) is pool.Pool:
        return
    name = chosen if isinstance(chosen, str) else getattr(chosen, "__module__", "")
    if name.rpartition(".")[2] not in {"threads", "thread"}:
        _give_up("it runs in Celery's pool of threads only; start it with --pool threads, or `redrive worker`")
    sender.pool_cls = pool.Pool  # it takes the same jobs, and no thread waits for them


def _give_up(words: str) -> NoReturn:
    sys.stderr.write(f"{words}\n")
    raise SystemExit(MISCONFIGURED)


@signals.worker_ready.connect
def live(sender: object = None, **_: object) -> None:
    """It takes batches from now on, and says so again and again."""
    if getattr(sender, "app", None) is app:
        deps.get().heart.start()


@signals.worker_shutting_down.connect
def drain(**_: object) -> None:
    """SIGTERM: finish what is open, give back the rest."""
    if (own := deps.built()) is not None:
        own.draining.set()


@signals.worker_process_shutdown.connect
@signals.worker_shutdown.connect
def close(**_: object) -> None:
    """The process ends: close what it holds."""
    deps.close()
