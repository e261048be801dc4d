"""The Celery app and its doors: they receive, and hand over at once. ``celery -A worker.app`` finds ``app`` here."""

import os
from uuid import UUID

import structlog
from celery import Celery, signals

from models import jobs, ledger
from models.errors import BadInput, Unreachable

from . import broker, deps, job

log = structlog.get_logger("redrive.worker")

ASK_AGAIN_SECONDS = 2.0
"""Between tries to write down a wish while the database is away."""

broker.install()
app = Celery("redrive", set_as_current=False)
app.conf.update(jobs.CELERY)
# Celery reads it when it first connects; a broker named by `worker.main` wins.
app.conf.broker_url = os.environ.get("REDRIVE_BROKER_URL") or None


@app.task(name=jobs.RETRY)
def retry(batch_id: str, **_: object) -> dict[str, int]:
    """Retry the tasks of a batch. The keyword arguments are for people's eyes; the batch's row is the truth."""
    return job.run(deps.get(), UUID(batch_id))


@app.task(name=jobs.CHECK)
def check(batch_id: str, **_: object) -> dict[str, int]:
    """Look at the tasks of a batch."""
    return job.run(deps.get(), UUID(batch_id))


@app.task(name=jobs.REQUEST)
def request(ids: list[int], who: str = "", reason: str = "") -> dict[str, int]:
    """A host's wish to retry tasks now, within the same limits as all others."""
    if not all(isinstance(each, int) for each in ids):
        raise BadInput("redrive.request takes a list of task ids, as integers")
    own = deps.get()
    while True:
        try:
            with own.database.transaction() as t:
                told = ledger.act(t, "retry", ids, own.rules, ledger.Who(who or "request", reason))
            break
        except Unreachable as error:
            # Nobody sends a wish twice. Asked again it does no harm: what is due already stays so.
            log.warning("database.unreachable", asked=len(ids), error=str(error))
            if own.draining.wait(ASK_AGAIN_SECONDS):
                raise
    own.waker.wake()
    return {"asked": len(ids), "due": sum(each.changed for each in told)}


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
