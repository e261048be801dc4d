"""What every hand-written solution is made of: a Celery app with a beat, and what each of its processes opens."""

import sys
from typing import Any

import httpx
import psycopg
from celery import Celery, signals

from benchmarks import plain

READY = "naive is ready"


class Own:
    """What each worker process opens for itself after the fork, and keeps."""

    client: httpx.Client
    connection: psycopg.Connection[Any]


def new_app() -> Celery:
    """Late acknowledgement, no results, and a beat that asks every second for what is due."""
    app = Celery("naive")
    app.conf.update(
        broker_url=plain.setting(plain.BROKER),
        task_ignore_result=True,
        task_acks_late=True,
        worker_prefetch_multiplier=4,
        broker_connection_retry_on_startup=True,
        beat_schedule={"scan": {"task": "naive.scan", "schedule": 1.0}},
    )
    return app


@signals.worker_process_init.connect
def _open(**_: object) -> None:
    Own.client = httpx.Client(timeout=plain.TIMEOUT_SECONDS, trust_env=False)
    Own.connection = plain.connect()


@signals.worker_process_shutdown.connect
def _close(**_: object) -> None:
    if hasattr(Own, "client"):  # in a worker of somebody else's app nothing was opened
        Own.client.close()
        Own.connection.close()


@signals.worker_ready.connect
def _ready(**_: object) -> None:
    sys.stdout.write(f"{READY}\n")
