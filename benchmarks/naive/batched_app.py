"""What an expert writes for a provider that takes many ids: a Celery message, a call and a transaction per hundred.

Nothing is recorded before the call, so that a process that dies in it leaves no trace of the hundred it may have sent.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import httpx

from benchmarks import plain
from benchmarks.naive.base import Own, new_app

if TYPE_CHECKING:
    from celery import Task

IDS = 100
ATTEMPTS = "INSERT INTO attempts (task_id, outcome, message) SELECT unnest(%s::bigint[]), %s, %s"
RECORD = """
UPDATE tasks SET status = %s, last_error = %s, attempts = attempts + 1, updated_at = clock_timestamp()
WHERE id = ANY(%s)
"""

app = new_app()


@app.task(
    bind=True,
    name="naive.retry",
    autoretry_for=(httpx.TransportError, plain.TemporaryError),
    retry_backoff=True,
    retry_jitter=True,
    max_retries=5,
)
def retry(_self: "Task[Any, Any]", task_ids: Sequence[int], external_ids: Sequence[str]) -> None:
    """Retry a hundred tasks and record what came of them."""
    request = plain.request(external_ids[0])
    request["json"] = {"ids": external_ids}
    status, words = plain.outcome(Own.client.post(**request))
    with Own.connection.transaction():
        Own.connection.execute(ATTEMPTS, [task_ids, status, words])
        Own.connection.execute(RECORD, [status, words, task_ids])


@app.task(name="naive.scan")
def scan() -> None:
    """Enqueue what is due, a hundred in a message."""
    with app.producer_pool.acquire(block=True) as producer:
        for part in hundreds(plain.due(Own.connection)):
            retry.apply_async(tuple(zip(*part, strict=True)), producer=producer)


def hundreds(found: Sequence[tuple[int, str]]) -> Iterator[Sequence[tuple[int, str]]]:
    return (found[first : first + IDS] for first in range(0, len(found), IDS))
