"""procrastinate: jobs are rows of the same database. Asynchronous tasks."""

import httpx
import psycopg_pool
from procrastinate import App, PsycopgConnector, RetryStrategy

from benchmarks import plain

app = App(connector=PsycopgConnector(conninfo=plain.setting(plain.DATABASE), min_size=2, max_size=10))


class Own:
    """What a worker process opens at its first job, and keeps."""

    client: httpx.AsyncClient | None = None
    pool: psycopg_pool.AsyncConnectionPool


async def _own() -> httpx.AsyncClient:
    if Own.client is None:
        Own.client = plain.async_client(50)
        Own.pool = psycopg_pool.AsyncConnectionPool(
            plain.setting(plain.DATABASE), kwargs={"autocommit": True}, max_size=10, open=False
        )
        await Own.pool.open()
    return Own.client


@app.task(name="retry", queue="retry", retry=RetryStrategy(max_attempts=5, exponential_wait=2))
async def retry(task_id: int, external_id: str) -> None:
    """Retry one task and record what came of it."""
    client = await _own()
    status, words = plain.outcome(await client.post(**plain.request(external_id)))
    async with Own.pool.connection() as connection:
        await connection.execute(plain.RECORD, [status, words, task_id])


@app.task(name="scan", queue="scan")
async def scan() -> None:
    """Enqueue what is due, in one statement."""
    with plain.connect() as connection:
        found = plain.due(connection)
    await retry.batch_defer_async(*({"task_id": task_id, "external_id": name} for task_id, name in found))
    if len(found) == plain.PAGE:
        await scan.defer_async()
