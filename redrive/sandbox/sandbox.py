"""One sandbox: its world, its providers, its faults, and what happens to a request that comes in."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from aiohttp import web

from . import huawei_iam, huawei_workspace
from .config import SandboxConfig
from .docflow import DocFlowSandbox
from .exchange import Refusal, Reply, ServedCall
from .faults import Fault, Faults
from .geelark import GeeLarkSandbox
from .huawei_workspace import HuaweiWorkspaceSandbox
from .misbehave import misbehave, respond
from .strange import in_strange_words
from .world import World

Clock = Callable[[], float]
Endpoint = Callable[[ServedCall], Reply]


def steady_clock() -> Clock:
    """Seconds since the epoch that never jump: runs and rate windows are measured with it."""
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()


class Sandbox:
    """Everything behind the HTTP server. ``endpoints`` is what is served, by method and path."""

    world: World
    endpoints: Mapping[tuple[str, str], Endpoint]

    def __init__(self, config: SandboxConfig, clock: Clock | None = None) -> None:
        self.config = config
        self.clock = clock or steady_clock()
        self.faults = Faults(config.seed)
        self.reset()

    def reset(self) -> None:
        """Forget every task, counter, window and issued token."""
        self.world = World(self.config)
        posted = {**GeeLarkSandbox(self.world).paths, **DocFlowSandbox(self.world).paths}
        self.endpoints = {
            **{("POST", path): endpoint for path, endpoint in posted.items()},
            **HuaweiWorkspaceSandbox(self.world).paths,
        }

    async def serve(self, path: str, request: web.Request) -> web.StreamResponse:
        """One call to a provider. ``path`` is the one it is counted under.

        What it asks for is applied when it has arrived whole; it stays unanswered until its handler ends, which
        a caller who hangs up ends too.
        """
        body = await request.read()
        fault = self.faults.strike(request.path)
        call = self._call(request, body, fault)
        self.world.watch.calls[path] += 1
        try:
            reply = self._reply(path, call)
            if self.config.latency_seconds:
                await asyncio.sleep(self.config.latency_seconds)
            return await self._answer(fault, request, reply)
        finally:
            for task in call.touched:
                task.unanswered -= 1

    def _call(self, request: web.Request, body: bytes, fault: Fault | None) -> ServedCall:
        raw_path, _, query = request.raw_path.partition("?")
        call = ServedCall(
            method=request.method,
            raw_path=raw_path,
            query=query,
            headers=request.headers,
            body=body,
            now=self.clock(),
        )
        if fault is not None:
            call.applies, call.doubtful, call.stale = fault.applies, fault.doubtful, fault.fault == "stale"
        return call

    def _reply(self, path: str, call: ServedCall) -> Reply:
        try:
            reply = self.endpoints[call.method, path](call)
            ids = self.world.unreadable
            return replace(reply, body=in_strange_words(reply.body, ids)) if ids and not call.touched else reply
        except Refusal as refusal:
            return refusal.reply

    async def _answer(self, fault: Fault | None, request: web.Request, reply: Reply) -> web.StreamResponse:
        if fault is None:
            return respond(reply)
        self.world.watch.faults[fault.fault] += 1
        return await misbehave(fault, request, reply)


def nowhere(path: str) -> Reply:
    """The answer where nothing is served: in a provider's own format only where the provider documents one."""
    if path.startswith("/v2/"):
        if path.endswith(("/script-executions/retry", "/script-execution-records")):
            message = "The method specified in the request is not allowed."
            return huawei_iam.gateway_error(huawei_workspace.DOC_RETRY, 405, "WKS.00000405", message)
        message = "The API does not exist or has not been published in the environment."
        return huawei_iam.gateway_error(huawei_iam.DOC_GATEWAY, 404, "APIGW.0101", message)
    return Reply("sandbox: nothing is served here", "404 page not found", 404)
