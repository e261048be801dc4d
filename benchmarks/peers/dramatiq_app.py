"""Dramatiq over Redis: threads in processes."""

from functools import cache
from typing import TYPE_CHECKING, Any

import dramatiq
import httpx
import psycopg_pool
from dramatiq.brokers.redis import RedisBroker

from benchmarks import plain

if TYPE_CHECKING:
    import psycopg

broker = RedisBroker(url=plain.setting(plain.BROKER))
dramatiq.set_broker(broker)

THREADS = 50


@cache
def client() -> httpx.Client:
    """One per process, shared by its threads."""
    return httpx.Client(
        timeout=plain.TIMEOUT_SECONDS,
        trust_env=False,
        limits=httpx.Limits(max_connections=THREADS, max_keepalive_connections=THREADS),
    )


@cache
def pool() -> "psycopg_pool.ConnectionPool[psycopg.Connection[Any]]":
    """The same."""
    return psycopg_pool.ConnectionPool(
        plain.setting(plain.DATABASE), kwargs={"autocommit": True}, min_size=2, max_size=10, open=True
    )


@dramatiq.actor(max_retries=5, min_backoff=1000)
def retry(task_id: int, external_id: str) -> None:
    """Retry one task and record what came of it."""
    status, words = plain.outcome(client().post(**plain.request(external_id)))
    with pool().connection() as connection:
        connection.execute(plain.RECORD, [status, words, task_id])


@dramatiq.actor(queue_name="scan")
def scan() -> None:
    """Enqueue what is due."""
    with plain.connect() as connection:
        found = plain.due(connection)
    for task_id, external_id in found:
        retry.send(task_id, external_id)
    if len(found) == plain.PAGE:
        scan.send()
