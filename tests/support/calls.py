"""How the contract's tests make their calls: a client of the real transport, with patience for a test."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx

from redrive.models.clock import boottime
from redrive.worker.http import HttpClient
from redrive.worker.providers.base import Exchange, Request

PATIENT_SECONDS = 20.0
IMPATIENT_SECONDS = 0.2
MAX_BYTES = 100_000


@asynccontextmanager
async def client(base_url: str, **options: Any) -> AsyncIterator[HttpClient]:
    """An open client, closed afterwards."""
    defaults = {"concurrency": 16, "timeout_seconds": PATIENT_SECONDS, "secrets": ()}
    http_client = HttpClient(base_url=base_url, **{**defaults, **options})
    try:
        yield http_client
    finally:
        await http_client.aclose()


async def exchange(
    http_client: HttpClient,
    request: Request | None = None,
    *,
    auth: httpx.Auth | None = None,
    leave_in: float = 0,
    not_after: float | None = None,
    may_send: Callable[[], bool] = lambda: True,
    max_bytes: int = MAX_BYTES,
) -> Exchange:
    """One call that may leave now, unless told otherwise."""
    return await http_client.exchange(
        request or Request("POST", "/retry", json={"ids": ["4711"]}),
        auth=auth,
        leave_in=leave_in,
        not_after=boottime() + 60 if not_after is None else not_after,
        may_send=may_send,
        max_bytes=max_bytes,
    )
