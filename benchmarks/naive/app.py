"""What engineers write today, written well: one Celery message per task, and a beat that enqueues what is due."""

import sys
from typing import Any

import httpx
import psycopg
from celery import Celery, Task, signals

from .. import plain

app = Celery("naive")
app.conf.update(
    broker_url=plain.setting(plain.BROKER),
    task_ignore_result=True,
    task_acks_late=True,
    worker_prefetch_multiplier=4,
    broker_connection_retry_on_startup=True,
    beat_schedule={"scan": {"task": "naive.scan", "schedule": 1.0}},
)


class Own:
    """What each worker process opens for itself after the fork, and keeps."""

    client: httpx.Client
    connection: psycopg.Connection[Any]


@signals.worker_process_init.connect
def _open(**_: object) -> None:
    Own.client = httpx.Client(timeout=plain.TIMEOUT_SECONDS, trust_env=False)
    Own.connection = plain.connect()


@signals.worker_process_shutdown.connect
def _close(**_: object) -> None:
    Own.client.close()
    Own.connection.close()


@signals.worker_ready.connect
def _ready(**_: object) -> None:
    sys.stdout.write("naive is ready\n")


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
