"""A provider that costs as little as possible: it answers what GeeLark and DocFlow would, and remembers only numbers.

The sandbox checks signatures, follows every task and would be the bottleneck. ``python -P -m benchmarks.provider``.
"""

import argparse
import asyncio
import json
import re
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

GEELARK_RETRY = b"/open/v1/task/restart"
GEELARK_CHECK = b"/open/v1/task/query"
DOCFLOW_RETRY = b"/api/app-api/sip/platform/v2/review/task/retry"
DOCFLOW_CHECK = b"/api/app-api/sip/platform/v2/review/task/result"
STATS = b"/stats"

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_HEAD = b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_ACCEPTED_REVIEW = json.dumps({"code": 200, "msg": "success", "result": {}}).encode()


class Counts:
    """What was asked of the provider so far."""

    def __init__(self) -> None:
        self.retried = self.checked = 0

    def restart(self, body: bytes) -> bytes:
        ids = json.loads(body)["ids"]
        self.retried += len(ids)
        amounts = {"totalAmount": len(ids), "successAmount": len(ids), "failAmount": 0}
        return json.dumps({"traceId": "", "code": 0, "msg": "success", "data": amounts}).encode()

    def query(self, body: bytes) -> bytes:
        ids = json.loads(body)["ids"]
        self.checked += len(ids)
        items = [{"id": id_, "status": 3, "failCode": 0, "failDesc": "", "scheduleAt": 0, "cost": 1} for id_ in ids]
        return json.dumps({"code": 0, "msg": "success", "data": {"total": len(items), "items": items}}).encode()

    def review(self, _body: bytes) -> bytes:
        self.retried += 1
        return _ACCEPTED_REVIEW

    def result(self, body: bytes) -> bytes:
        self.checked += 1
        result = {"task_id": json.loads(body)["task_id"], "status": 1, "groups": []}
        return json.dumps({"code": 200, "msg": "success", "result": result}).encode()

    def stats(self, _body: bytes) -> bytes:
        return json.dumps({"retried": self.retried, "checked": self.checked}).encode()


class Http(asyncio.Protocol):
    """HTTP/1.1 with keep-alive and bodies of a known length: all that these clients send."""

    def __init__(self, answers: dict[bytes, Callable[[bytes], bytes]], latency_seconds: float) -> None:
        self._answers = answers
        self._latency_seconds = latency_seconds
        self._buffer = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            found = _LENGTH.search(head)
            size = end + 4 + (int(found[1]) if found else 0)
            if len(self._buffer) < size:
                return
            body, self._buffer = self._buffer[end + 4 : size], self._buffer[size:]
            self._answer(head.split(b" ", 2)[1], body)

    def _answer(self, path: bytes, body: bytes) -> None:
        answer = self._answers.get(path)
        content = answer(body) if answer else b"{}"
        whole = _HEAD % (200 if answer else 404, len(content), content)
        if self._latency_seconds and path != STATS:
            asyncio.get_running_loop().call_later(self._latency_seconds, self._write, whole)
        else:
            self._transport.write(whole)

    def _write(self, whole: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(whole)


async def serve(port_file: Path, latency_seconds: float) -> None:
    """Serve on a free loopback port until SIGTERM."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    counts = Counts()
    answers = {
        GEELARK_RETRY: counts.restart,
        GEELARK_CHECK: counts.query,
        DOCFLOW_RETRY: counts.review,
        DOCFLOW_CHECK: counts.result,
        STATS: counts.stats,
    }
    server = await loop.create_server(partial(Http, answers, latency_seconds), "127.0.0.1", 0, backlog=4096)
    part = port_file.with_suffix(".part")
    part.write_text(str(server.sockets[0].getsockname()[1]))
    part.replace(port_file)
    await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.provider", description=__doc__)
    parser.add_argument("--port-file", type=Path, required=True, help="written once calls are taken")
    parser.add_argument("--latency-seconds", type=float, default=0.0, help="between a request and its answer")
    given = parser.parse_args()
    asyncio.run(serve(given.port_file, given.latency_seconds))


if __name__ == "__main__":
    main()
