"""A provider that costs as little as possible: it answers what the real ones would, and remembers only numbers.

The sandbox checks signatures, follows every task and would be the bottleneck. ``python -P -m benchmarks.provider``.
"""

import argparse
import asyncio
import json
import re
import signal
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from zlib import crc32

GEELARK_RETRY = b"/open/v1/task/restart"
GEELARK_CHECK = b"/open/v1/task/query"
DOCFLOW_RETRY = b"/api/app-api/sip/platform/v2/review/task/retry"
DOCFLOW_CHECK = b"/api/app-api/sip/platform/v2/review/task/result"
HUAWEI_RETRY = b"/v2/bench/script-executions/retry"
HUAWEI_CHECK = b"/v2/bench/script-execution-records"
STATS, JOURNAL = b"/stats", b"/journal"

_LENGTH = re.compile(rb"\r\ncontent-length:\s*(\d+)", re.IGNORECASE)
_ACCOUNT = re.compile(rb"secret-of-([\w-]+)")
_HEAD = b"HTTP/1.1 %d OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_ACCEPTED_REVIEW = json.dumps({"code": 200, "msg": "success", "result": {}}).encode()

Answered = tuple[Sequence[str], bytes]
"""The ids that were asked about, and the answer."""


class Runs:
    """How long a retried task runs on: so many seconds on average, half of that to one and a half times."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: dict[str, float] = {}

    def begin(self, ids: Sequence[str]) -> None:
        if self._seconds:
            now = time.monotonic()
            self._until |= {id_: now + self._seconds * (0.5 + crc32(id_.encode()) % 1000 / 1000) for id_ in ids}

    def over(self, id_: str) -> bool:
        return not self._seconds or time.monotonic() >= self._until.get(id_, 0.0)


class Provider:
    """The three APIs, and what was asked of them so far.

    Attributes:
        calls: of each call since the last question for them: when it came, whose it was, its path, the ids.
    """

    def __init__(self, runs: Runs, *, journal: bool) -> None:
        self._runs = runs
        self._journal = journal
        self._retried = self._checked = 0
        self.calls: list[tuple[float, str, str, Sequence[str]]] = []
        self.retries = {GEELARK_RETRY: _restart, DOCFLOW_RETRY: _review, HUAWEI_RETRY: _script}
        self.checks = {GEELARK_CHECK: self._query, DOCFLOW_CHECK: _result, HUAWEI_CHECK: _records}

    def answer(self, head: bytes, body: bytes) -> bytes | None:
        path, _, query = head.split(b" ", 2)[1].partition(b"?")
        if retry := self.retries.get(path):
            ids, content = retry(body)
            self._retried += len(ids)
            self._runs.begin(ids)
        elif check := self.checks.get(path):
            ids, content = check(body or query)
            self._checked += len(ids)
        else:
            return self._told(path)
        if self._journal:
            account = _ACCOUNT.search(head)
            self.calls.append((time.time(), account[1].decode() if account else "", path.decode(), ids))
        return content

    def _told(self, path: bytes) -> bytes | None:
        if path == STATS:
            return json.dumps({"retried": self._retried, "checked": self._checked}).encode()
        if path == JOURNAL:
            calls, self.calls = self.calls, []
            return json.dumps(calls).encode()
        return None

    def _query(self, body: bytes) -> Answered:
        ids = json.loads(body)["ids"]
        items = [
            {"id": id_, "status": 3 if self._runs.over(id_) else 2, "failCode": 0, "failDesc": "", "scheduleAt": 0,
             "cost": 1} for id_ in ids
        ]  # fmt: skip
        return ids, json.dumps({"code": 0, "msg": "success", "data": {"total": len(items), "items": items}}).encode()


def _restart(body: bytes) -> Answered:
    ids = json.loads(body)["ids"]
    amounts = {"totalAmount": len(ids), "successAmount": len(ids), "failAmount": 0}
    return ids, json.dumps({"traceId": "", "code": 0, "msg": "success", "data": amounts}).encode()


def _review(body: bytes) -> Answered:
    return [json.loads(body)["task_id"]], _ACCEPTED_REVIEW


def _result(body: bytes) -> Answered:
    id_ = json.loads(body)["task_id"]
    result = {"task_id": id_, "status": 1, "groups": []}
    return [id_], json.dumps({"code": 200, "msg": "success", "result": result}).encode()


def _script(body: bytes) -> Answered:
    id_ = json.loads(body)["task_id"]
    return [id_], json.dumps({"task_id": id_}).encode()


def _records(query: bytes) -> Answered:
    id_ = parse_qs(query.decode())["script_task_id"][0]
    record = {"id": f"record-{id_}", "status": "SUCCESS"}
    return [id_], json.dumps({"count": 1, "script_records": [record]}).encode()


class Http(asyncio.Protocol):
    """HTTP/1.1 with keep-alive and bodies of a known length: all that these clients send."""

    def __init__(self, answer: Callable[[bytes, bytes], bytes | None], latency_seconds: float) -> None:
        self._answer_to = answer
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
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        found = self._answer_to(head, body)
        content = b"{}" if found is None else found
        whole = _HEAD % (404 if found is None else 200, len(content), content)
        if self._latency_seconds and not head.startswith((b"GET " + STATS, b"GET " + JOURNAL)):
            asyncio.get_running_loop().call_later(self._latency_seconds, self._write, whole)
        else:
            self._transport.write(whole)

    def _write(self, whole: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(whole)


async def serve(port_file: Path, provider: Provider, latency_seconds: float) -> None:
    """Serve on a free loopback port until SIGTERM."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = await loop.create_server(partial(Http, provider.answer, latency_seconds), "127.0.0.1", 0, backlog=4096)
    part = port_file.with_suffix(".part")
    part.write_text(str(server.sockets[0].getsockname()[1]))
    part.replace(port_file)
    await stop.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.provider", description=__doc__)
    parser.add_argument("--port-file", type=Path, required=True, help="written once calls are taken")
    parser.add_argument("--latency-seconds", type=float, default=0.0, help="between a request and its answer")
    parser.add_argument("--run-seconds", type=float, default=0.0, help="how long a retried GeeLark task runs")
    parser.add_argument("--journal", action="store_true", help="remember each call until it is asked for")
    given = parser.parse_args()
    provider = Provider(Runs(given.run_seconds), journal=given.journal)
    asyncio.run(serve(given.port_file, provider, given.latency_seconds))


if __name__ == "__main__":
    main()
