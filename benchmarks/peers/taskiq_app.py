"""Taskiq over a Redis stream: asynchronous tasks, acknowledged when done."""

import sys

import httpx
import psycopg_pool
from taskiq import SimpleRetryMiddleware, TaskiqEvents, TaskiqState
from taskiq_redis import RedisStreamBroker

from benchmarks import plain

broker = RedisStreamBroker(url=plain.setting(plain.BROKER)).with_middlewares(
    SimpleRetryMiddleware(default_retry_count=5)
)


class Own:
    """What each worker process opens when it starts, and keeps."""

    client: httpx.AsyncClient
    pool: psycopg_pool.AsyncConnectionPool


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def _open(_: TaskiqState) -> None:
    Own.client = plain.async_client(50)
    Own.pool = psycopg_pool.AsyncConnectionPool(
        plain.setting(plain.DATABASE), kwargs={"autocommit": True}, max_size=10, open=False
    )
    await Own.pool.open()
    sys.stderr.write("taskiq is ready\n")


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def _close(_: TaskiqState) -> None:
    await Own.client.aclose()
    await Own.pool.close()


@broker.task(task_name="retry", retry_on_error=True)
async def retry(task_id: int, external_id: str) -> None:
    """Retry one task and record what came of it."""
    status, words = plain.outcome(await Own.client.post(**plain.request(external_id)))
    async with Own.pool.connection() as connection:
        await connection.execute(plain.RECORD, [status, words, task_id])


@broker.task(task_name="scan")
async def scan() -> None:
    """Enqueue what is due."""
    with plain.connect() as connection:
        found = plain.due(connection)
    for task_id, external_id in found:
        await retry.kiq(task_id, external_id)
    if len(found) == plain.PAGE:
        await scan.kiq()
