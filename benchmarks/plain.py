"""The table and the call that the hand-written solution and the peers share: what is compared is how work travels.

Configured by the environment: a worker process is started by its own framework's command.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from httpx_aiohttp import AiohttpTransport

SCHEMA = """
CREATE TABLE tasks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    external_id text NOT NULL UNIQUE,
    status text NOT NULL DEFAULT 'failed',
    due_at timestamptz DEFAULT clock_timestamp(),
    attempts int NOT NULL DEFAULT 0,
    last_error text NOT NULL DEFAULT '',
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX tasks_due_idx ON tasks (due_at) WHERE status = 'failed';
"""

ADD = "INSERT INTO tasks (external_id) SELECT n::text FROM generate_series(%s::bigint, %s::bigint) n"
LEFT = "SELECT EXISTS (SELECT 1 FROM tasks WHERE status <> 'succeeded')"

PAGE = 5000

SCAN = f"""
UPDATE tasks SET status = 'queued' WHERE id IN (
    SELECT id FROM tasks WHERE status = 'failed' AND due_at <= clock_timestamp()
    ORDER BY due_at LIMIT {PAGE} FOR UPDATE SKIP LOCKED
) RETURNING id, external_id
"""

RECORD = """
UPDATE tasks SET status = %s, last_error = %s, attempts = attempts + 1, updated_at = clock_timestamp() WHERE id = %s
"""

DATABASE, BROKER, PROVIDER, KIND = (f"BENCH_{name}" for name in ("DATABASE", "BROKER", "PROVIDER", "KIND"))
INTERVAL, CHECK_AFTER = "BENCH_INTERVAL_SECONDS", "BENCH_CHECK_AFTER_SECONDS"
TIMEOUT_SECONDS = 30.0


class TemporaryError(Exception):
    """The provider could not take it now: try again later."""


def setting(name: str) -> str:
    return os.environ[name]


def async_client(connections: int) -> httpx.AsyncClient:
    """On the transport that Redrive uses: httpx's own costs several times as much with many calls at once."""
    transport = AiohttpTransport(limits=httpx.Limits(max_connections=connections))
    return httpx.AsyncClient(transport=transport, timeout=TIMEOUT_SECONDS, trust_env=False)


def connect() -> psycopg.Connection[Any]:
    """A connection whose every statement is committed, durably, when it returns."""
    return psycopg.connect(setting(DATABASE), autocommit=True)


def due(connection: psycopg.Connection[Any]) -> list[tuple[int, str]]:
    """What is due, marked as queued."""
    return connection.execute(SCAN).fetchall()


@cache
def _static(kind: str) -> tuple[str, dict[str, str]]:
    if kind == "geelark":
        return "/open/v1/task/restart", {"Authorization": "Bearer token"}
    path = "/api/app-api/sip/platform/v2/review/task/retry"
    return path, {"x-ti-app-id": "app", "x-ti-secret-code": "secret"}


def request(external_id: str) -> dict[str, Any]:
    """What httpx needs for the retry of one task."""
    kind = setting(KIND)
    path, headers = _static(kind)
    url = setting(PROVIDER) + path
    if kind == "geelark":
        return {"url": url, "headers": {**headers, "traceId": uuid4().hex.upper()}, "json": {"ids": [external_id]}}
    return {"url": url, "headers": headers, "json": {"workspace_id": "1234567890", "task_id": external_id}}


def outcome(response: httpx.Response) -> tuple[str, str]:
    """The task's new status and the provider's words.

    Raises:
        TemporaryError: it is worth trying again.
    """
    if (
        response.status_code == httpx.codes.TOO_MANY_REQUESTS
        or response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR
    ):
        raise TemporaryError(f"HTTP {response.status_code}")
    body: dict[str, Any] = {}
    with suppress(ValueError):
        body = response.json()
    accepted = body.get("code") == (0 if setting(KIND) == "geelark" else 200)
    return ("succeeded", "") if accepted else ("dead", str(body.get("msg", ""))[:500])


def ids(first: int, tasks: int) -> Iterable[str]:
    return (str(n) for n in range(first, first + tasks))
