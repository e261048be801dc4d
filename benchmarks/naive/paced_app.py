"""Retry and follow at each account's pace, by hand and written well: one Celery message per call.

A moment to leave is reserved in Redis before the message is sent, so that no job comes back for want of one, and never
more than a few wait per account. An attempt and its task are written in one transaction after the answer.
"""

from typing import TYPE_CHECKING, Any

import httpx
import redis

from benchmarks import plain
from benchmarks.naive.base import Own, new_app
from benchmarks.naive.tables import CHECKS, RETRIES
from benchmarks.provider import DOCFLOW_CHECK, DOCFLOW_RETRY

if TYPE_CHECKING:
    from celery import Task

ATTEMPT = "INSERT INTO attempts (task_id, outcome, message) VALUES (%s, %s, %s)"
RETRIED = """
UPDATE tasks SET status = %s, last_error = %s, due_at = clock_timestamp() + %s * interval '1 second',
    attempts = attempts + 1, updated_at = clock_timestamp() WHERE id = %s
"""
CHECKED = """
UPDATE tasks SET status = %s, due_at = clock_timestamp() + %s * interval '1 second', updated_at = clock_timestamp()
WHERE id = %s
"""

RESERVE = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local moment = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0'))
redis.call('SET', KEYS[1], string.format('%.6f', moment + ARGV[1]), 'EX', 3600)
return string.format('%.6f', moment - now)
"""
"""The seconds until the next call of an account and operation may leave; the one after it comes an interval later."""

STATES = {1: "succeeded", 2: "failed", 4: "succeeded", 7: "failed"}
AGAIN: dict[str, Any] = {
    "autoretry_for": (httpx.TransportError, plain.TemporaryError),
    "retry_backoff": True,
    "retry_jitter": True,
    "max_retries": 5,
}

app = new_app()
limiter = redis.Redis.from_url(plain.setting(plain.BROKER))
reserve = limiter.register_script(RESERVE)


def post(path: bytes, account: str, external_id: str) -> httpx.Response:
    return Own.client.post(
        plain.setting(plain.PROVIDER) + path.decode(),
        headers={"x-ti-app-id": f"secret-of-{account}", "x-ti-secret-code": f"secret-of-{account}"},
        json={"workspace_id": "1234567890", "task_id": external_id},
    )


@app.task(bind=True, name="naive.retry", **AGAIN)
def retry(_self: "Task[Any, Any]", task_id: int, account: str, external_id: str) -> None:
    """Retry one task and record what came of it."""
    outcome, words = plain.outcome(post(DOCFLOW_RETRY, account, external_id))
    status = "retrying" if outcome == "succeeded" else outcome
    with Own.connection.transaction():
        Own.connection.execute(ATTEMPT, [task_id, outcome, words])
        Own.connection.execute(RETRIED, [status, words, float(plain.setting(plain.CHECK_AFTER)), task_id])


@app.task(bind=True, name="naive.check", **AGAIN)
def check(_self: "Task[Any, Any]", task_id: int, account: str, external_id: str) -> None:
    """Ask for the state of one task and record it."""
    response = post(DOCFLOW_CHECK, account, external_id)
    plain.outcome(response)
    status = STATES.get(response.json()["result"]["status"], "retrying")
    Own.connection.execute(CHECKED, [status, float(plain.setting(plain.CHECK_AFTER)), task_id])


@app.task(name="naive.scan")
def scan() -> None:
    """Enqueue what is due and may leave soon."""
    for job, statement in ((retry, RETRIES), (check, CHECKS)):
        enqueue(job, Own.connection.execute(statement).fetchall())


def enqueue(job: "Task[Any, Any]", found: list[tuple[int, str, str]]) -> None:
    """Reserve a moment for each, in one round trip, and send its message."""
    with limiter.pipeline(transaction=False) as pipe:
        for _, account, _ in found:
            reserve(keys=[f"next:{job.name}:{account}"], args=[plain.setting(plain.INTERVAL)], client=pipe)
        waits = [float(wait) for wait in pipe.execute()]
    with app.producer_pool.acquire(block=True) as producer:
        for each, wait in zip(found, waits, strict=True):
            job.apply_async(each, countdown=wait, producer=producer)
