"""Carrying a fault out on a real connection."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NoReturn

from aiohttp import web

from .exchange import Reply
from .faults import Fault, FaultKind

REDIRECTED = "/_sandbox/redirected"
GARBAGE = b"\x00\xff{not json"
CHUNK = b" " * (64 << 10)
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


async def misbehave(fault: Fault, request: web.Request, reply: Reply) -> web.StreamResponse:
    """Answer as the fault says, or not at all; ``reply`` is the answer without the fault."""
    perform = _PERFORM.get(fault.fault)
    return await perform(fault, request, reply) if perform else _answer(fault, reply)


def respond(reply: Reply) -> web.Response:
    """The answer as HTTP."""
    response = web.Response(body=reply.content, status=reply.status, content_type=reply.content_type)
    response.headers.update({"X-Sandbox-Doc": reply.doc, **reply.headers})
    return response


def _answer(fault: Fault, reply: Reply) -> web.Response:
    """The faults that are an ordinary answer."""
    doc = f"sandbox: fault {fault.fault}"
    match fault.fault:
        case FaultKind.RETRY_AFTER:
            wait = {"Retry-After": f"{fault.seconds or 7:g}"}
            return respond(Reply(doc, fault.body, fault.status or 429, {**wait, **fault.headers}))
        case FaultKind.REDIRECT:
            return respond(Reply(doc, fault.body, fault.status or 307, {"Location": REDIRECTED, **fault.headers}))
        case FaultKind.GARBAGE:
            body = fault.body.encode() if isinstance(fault.body, str) else GARBAGE
            return web.Response(body=body, content_type="application/json", headers={"X-Sandbox-Doc": doc})
        case FaultKind.STATUS:
            return respond(Reply(doc, fault.body, fault.status or 503, fault.headers))
        case _:
            return respond(reply)


async def _close(_fault: Fault, request: web.Request, _reply: Reply) -> NoReturn:
    if request.transport is not None:
        request.transport.close()
    await _silence()


async def _reset(_fault: Fault, request: web.Request, _reply: Reply) -> NoReturn:
    if request.transport is not None:
        endpoint = request.transport.get_extra_info("socket")
        endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        request.transport.abort()
    await _silence()


async def _hang(_fault: Fault, _request: web.Request, _reply: Reply) -> NoReturn:
    await _silence()


async def _silence() -> NoReturn:
    """Say nothing until the connection is gone, which cancels the handler."""
    await asyncio.get_running_loop().create_future()
    raise AssertionError("nobody resolves it")


async def _drop_after(fault: Fault, request: web.Request, reply: Reply) -> web.StreamResponse:
    response = await _begin(request, reply, len(reply.content))
    await response.write(reply.content[: len(reply.content) // 2])
    return await _close(fault, request, reply)


async def _drip(fault: Fault, request: web.Request, reply: Reply) -> web.StreamResponse:
    response = await _begin(request, reply, len(reply.content))
    for byte in reply.content:
        await response.write(bytes([byte]))
        await asyncio.sleep(fault.seconds or 0.2)
    return response


async def _oversize(fault: Fault, request: web.Request, reply: Reply) -> web.StreamResponse:
    response = await _begin(request, reply, None)
    for _ in range(0, fault.bytes, len(CHUNK)):
        await response.write(CHUNK)
    return response


async def _begin(request: web.Request, reply: Reply, length: int | None) -> web.StreamResponse:
    headers = {"Content-Type": reply.content_type, "X-Sandbox-Doc": reply.doc}
    response = web.StreamResponse(status=reply.status, headers=headers)
    response.content_length = length
    await response.prepare(request)
    return response


Perform = Callable[[Fault, web.Request, Reply], Awaitable[web.StreamResponse]]

_PERFORM: Final[Mapping[FaultKind, Perform]] = {
    FaultKind.DROP_BEFORE: _close,
    FaultKind.APPLY_THEN_DROP: _close,
    FaultKind.RESET: _reset,
    FaultKind.HANG: _hang,
    FaultKind.DROP_AFTER: _drop_after,
    FaultKind.DRIP: _drip,
    FaultKind.OVERSIZE: _oversize,
}
