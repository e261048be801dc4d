"""A provider on loopback: three real APIs that answer well, until they are told what to do with the next call."""

import asyncio
import json
import ssl
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from redrive.worker.loop import EventLoop
from tests.support.peer import Behaviour, Peer, Server, http, serving

RESTART, QUERY = "/open/v1/task/restart", "/open/v1/task/query"
EXECUTE, RECORDS = "/script-executions/retry", "/script-execution-records"
REVIEW, RULE, RESULT = "/review/task/retry", "/review/task/rule/retry", "/review/task/result"
DRIP_SECONDS = 0.05


@dataclass(frozen=True)
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    body: Any


Reply = bytes | Behaviour
"""The whole answer, or what is done with the connection once the request was read."""

Script = Reply | Callable[[Asked], bytes]


@dataclass
class Provider:
    """What it was asked, and what it does.

    Attributes:
        next: what becomes of the next calls, in turn; after them all is well.
        always: what becomes of every call for which nothing is next.
        state: what looks show of every task.
        unread: done to every connection before its first request is read.
    """

    asked: list[Asked] = field(default_factory=list)
    next: deque[Reply] = field(default_factory=deque)
    always: Callable[[Asked], Reply | None] = lambda _: None
    state: str = "failed"
    unread: Behaviour | None = None
    server: Server = field(init=False)

    def calls(self) -> list[str]:
        """The API path of every call, in the order of arrival."""
        return [api_path(asked.path) for asked in self.asked]

    async def serve(self, peer: Peer) -> None:
        """One connection."""
        if self.unread is not None:
            await self.unread(peer)
            return
        while True:
            asked = read(await peer.request())
            self.asked.append(asked)
            reply = self.next.popleft() if self.next else self.always(asked) or self.well(asked)
            if not isinstance(reply, bytes):
                await reply(peer)
                return
            await peer.send(reply)

    def well(self, asked: Asked) -> bytes:
        """What a provider answers that is in good health."""
        match api_path(asked.path):
            case str(path) if path == RESTART:
                return geelark(0)
            case str(path) if path == QUERY:
                return items(dict.fromkeys(asked.body["ids"], GEELARK_STATES[self.state]))
            case str(path) if path == EXECUTE:
                return http(200, b'{"task_id":"next-run"}')
            case str(path) if path == RECORDS:
                return records({"r1": HUAWEI_STATES[self.state]})
            case str(path) if path == RESULT:
                return result(DOCFLOW_STATES[self.state])
        return docflow(200)


@contextmanager
def providing(loop: EventLoop, *, tls: ssl.SSLContext | None = None) -> Iterator[Provider]:
    """Serve on a free port of 127.0.0.1."""
    provider = Provider()
    context = serving(provider.serve, tls=tls)
    provider.server = loop.submit(asyncio.wait_for(context.__aenter__(), 10)).result()
    try:
        yield provider
    finally:
        loop.submit(asyncio.wait_for(context.__aexit__(None, None, None), 10)).result()


def read(raw: bytes) -> Asked:
    """A request, from what came in."""
    head, _, body = raw.partition(b"\r\n\r\n")
    method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
    return Asked(method, path, json.loads(body) if body else None)


def api_path(path: str) -> str:
    """The part of a request's path that its limit is kept under."""
    known = (RESTART, QUERY, EXECUTE, RECORDS, REVIEW, RULE, RESULT)
    return next((each for each in known if each in path), path)


# --- What the three say ----------------------------------------------------------------------------------------------

GEELARK_STATES = {"running": 2, "succeeded": 3, "failed": 4, "canceled": 7}
HUAWEI_STATES = {"running": "RUNNING", "succeeded": "SUCCESS", "failed": "FAILED"}
DOCFLOW_STATES = {"running": 3, "succeeded": 1, "failed": 2}


def as_json(value: object, status: int = 200, *headers: str) -> bytes:
    return http(status, json.dumps(value).encode(), *headers)


def geelark(code: object, msg: str = "", *headers: str, data: object = None, status: int = 200) -> bytes:
    """GeeLark's envelope."""
    body = {"traceId": "1", "code": code, "msg": msg}
    return as_json(body if data is None else {**body, "data": data}, status, *headers)


def details(*failed: tuple[object, object], code: object = 40006, **amounts: object) -> bytes:
    """GeeLark's answer about single tasks: ids and codes of those that failed."""
    listed = [{"id": id_, "code": each, "msg": f"item {each}"} for id_, each in failed]
    return geelark(code, "failed", data={**amounts, "failDetails": listed})


def items(states: dict[str, object], *more: dict[str, object], **amounts: object) -> bytes:
    """GeeLark's states: id → status."""
    shown = [{"id": id_, "status": status, "failCode": 20003, "failDesc": "timeout"} for id_, status in states.items()]
    return geelark(0, "success", data={"total": len(shown) + len(more), **amounts, "items": [*shown, *more]})


def huawei(status: int, code: str, msg: str, *headers: str) -> bytes:
    """Huawei's error."""
    return as_json({"error_code": code, "error_msg": msg}, status, *headers)


def records(states: dict[str, str], **amounts: object) -> bytes:
    """Huawei's records: id → status."""
    shown = [{"id": id_, "status": status} for id_, status in states.items()]
    return as_json({"count": len(shown), **amounts, "script_records": shown})


def docflow(code: object, msg: str = "", *headers: str, status: int = 200) -> bytes:
    """DocFlow's envelope."""
    return as_json({"code": code, "msg": msg}, status, *headers)


def result(status: int, **more: object) -> bytes:
    """DocFlow's result of a review."""
    return as_json({"code": 200, "msg": "success", "result": {"status": status, **more}})


# --- What becomes of a connection whose request was read --------------------------------------------------------------


async def drop(_: Peer) -> None:
    """Close it without a word."""


async def reset_in_body(peer: Peer) -> None:
    await peer.send(http(200, b'{"code":0,"data":{}}' + b" " * 50)[:-50])
    peer.reset()


async def break_off(peer: Peer) -> None:
    """Close it after most of the body."""
    await peer.send(http(200, b'{"code":0,"data":{}}' + b" " * 50)[:-50])


async def hang(peer: Peer) -> None:
    await peer.hang_up_of_client()


async def drip(peer: Peer) -> None:
    """One byte at a time, so that no single read ever takes long."""
    await peer.send(http(200, b" " * 10_000)[:-10_000])
    while True:
        await peer.send(b" ")
        await asyncio.sleep(DRIP_SECONDS)


async def flood(peer: Peer) -> None:
    """A body without an end."""
    await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        await peer.send(b"10000\r\n" + b" " * 0x10000 + b"\r\n")


async def no_http(peer: Peer) -> None:
    await peer.send(b"220 smtp.example.com ESMTP\r\n\r\n")


async def reset_unread(peer: Peer) -> None:
    """For :attr:`Provider.unread`: the request has begun to arrive."""
    await peer.first_byte()
    peer.reset()
