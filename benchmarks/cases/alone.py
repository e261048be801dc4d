"""What the provider serves when nothing else is done: whatever is slower than this is slow by itself."""

import asyncio
import json
import time
from dataclasses import dataclass

from benchmarks.ground import Ground
from benchmarks.options import Options
from benchmarks.provider import DOCFLOW_RETRY, GEELARK_RETRY
from benchmarks.tables import Table, Target

CONNECTIONS = 64
CALLS_PER_SECOND = 12_500.0
"""Twice what the fastest contestant asks of it on two cores: the bare loop of two processes."""
COLUMNS = ("", "calls/s", "tasks/s")


@dataclass(frozen=True, slots=True)
class Load:
    """Calls to make, as bytes: whoever measures must cost less than what is measured."""

    name: str
    request: bytes
    ids: int


def load(name: str, path: bytes, headers: str, body: object, ids: int) -> Load:
    content = json.dumps(body).encode()
    head = f"{headers}\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
    return Load(name, b"POST " + path + b" HTTP/1.1\r\n" + head.encode() + content, ids)


PHONES = "Authorization: Bearer sandbox-token\r\ntraceId: 0123456789ABCDEF0123456789ABCDEF"
REVIEWS = "x-ti-app-id: sandbox-app\r\nx-ti-secret-code: sandbox-secret"
REVIEW = {"workspace_id": "1234567890", "task_id": "1"}
LOADS = (
    load("GeeLark, 100 ids", GEELARK_RETRY, PHONES, {"ids": [str(n) for n in range(100)]}, 100),
    load("DocFlow, one id", DOCFLOW_RETRY, REVIEWS, REVIEW, 1),
)


class Caller(asyncio.Protocol):
    """Asks again as soon as an answer has come, until the time is over."""

    def __init__(self, request: bytes, counts: list[int]) -> None:
        self._request = request
        self._counts = counts
        self._transport: asyncio.WriteTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if b"HTTP/1.1 " in data:
            self._counts[0] += 1
            self._transport.write(self._request)


async def calls_per_second(port: int, request: bytes, seconds: float) -> float:
    loop, counts = asyncio.get_running_loop(), [0]
    opened = [
        await loop.create_connection(lambda: Caller(request, counts), "127.0.0.1", port) for _ in range(CONNECTIONS)
    ]
    counts[0], began = 0, time.perf_counter()
    await asyncio.sleep(seconds)
    rate = counts[0] / (time.perf_counter() - began)
    for transport, _ in opened:
        transport.close()
    return rate


def provider_alone(ground: Ground, options: Options) -> Table:
    """The lean provider, and the sandbox beside it."""
    seconds = 0.5 if options.quick else 3.0
    rows = []
    with ground.provider() as lean:
        rows += measured("lean provider", int(lean.url.rpartition(":")[2]), seconds)
    port_file = ground.folder() / "port"
    unlimited = ("--geelark-per-minute", "0", "--geelark-per-hour", "0")
    sandbox = ground.spawn("-m", "redrive.sandbox", "--port-file", port_file, *unlimited, ready=port_file.exists)
    rows += measured("sandbox", int(port_file.read_text()), seconds)
    sandbox.stop()
    targets = [Target("lean provider, one id, calls/s", rows[1][1], CALLS_PER_SECOND)]
    return Table("provider", "The provider alone", COLUMNS, rows, targets, [
        f"{CONNECTIONS} connections that write ready-made bytes, on the same cores as the provider.",
        "The races run against the lean provider; the sandbox follows every task and checks every call.",
    ])  # fmt: skip


def measured(name: str, port: int, seconds: float) -> list[tuple[str, float, float]]:
    found = []
    for each in LOADS:
        rate = asyncio.run(calls_per_second(port, each.request, seconds))
        found.append((f"{name}: {each.name}", rate, rate * each.ids))
    return found


__all__ = ["provider_alone"]
