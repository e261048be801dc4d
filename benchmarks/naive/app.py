"""What engineers write today, written well: one Celery message per task, and a beat that enqueues what is due."""

from typing import TYPE_CHECKING, Any

import httpx

from benchmarks import plain
from benchmarks.naive.base import Own, new_app

if TYPE_CHECKING:
    from celery import Task

app = new_app()


@app.task(
    bind=True,
    name="naive.retry",
    autoretry_for=(httpx.TransportError, plain.TemporaryError),
    retry_backoff=True,
    retry_jitter=True,
    max_retries=5,
)
def retry(_self: "Task[Any, Any]", task_id: int, external_id: str) -> None:
    """Retry one task and record what came of it."""
    status, words = plain.outcome(Own.client.post(**plain.request(external_id)))
    Own.connection.execute(plain.RECORD, [status, words, task_id])


@app.task(name="naive.scan")
def scan() -> None:
    """Enqueue what is due, over one connection."""
    with app.producer_pool.acquire(block=True) as producer:
        for task_id, external_id in plain.due(Own.connection):
            retry.apply_async((task_id, external_id), producer=producer)
