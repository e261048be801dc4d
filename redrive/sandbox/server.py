"""The sandbox as an HTTP server: an application, a process, a thread."""

import asyncio
import errno
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from aiohttp import web

from redrive.models.errors import SettingsError

from .config import SandboxConfig
from .control import Control, refuse_web_pages
from .faults import Fault, FaultKind
from .misbehave import respond
from .page import page
from .sandbox import Clock, Sandbox, nowhere

LOOPBACK = "127.0.0.1"
MAX_BODY_BYTES = 12 << 20  # what Huawei's gateway takes in a signed request (API Request Signing Guide)
ANSWER_SECONDS = 10.0
GRACE_SECONDS = 0.5
BACKLOG = 1024
"""Hundreds may connect at once; each beyond this number would wait for a second, until the system tries again."""

T = TypeVar("T")


def create_app(config: SandboxConfig, clock: Clock | None = None) -> web.Application:
    """All three providers under one base URL. ``clock`` gives seconds since the epoch."""
    return _application(Sandbox(config, clock))


def _application(sandbox: Sandbox) -> web.Application:
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[refuse_web_pages])
    for method, path in sandbox.endpoints:
        app.router.add_route(method, path, partial(sandbox.serve, path))
    app.add_routes(Control(sandbox).routes())
    app.router.add_get("/", partial(_page, sandbox.config))
    app.router.add_route("*", "/{anything:.*}", _nowhere)
    return app


async def _page(config: SandboxConfig, request: web.Request) -> web.Response:
    return web.Response(text=page(config, f"http://{request.host}"))


async def _nowhere(request: web.Request) -> web.Response:
    return respond(nowhere(request.path))


@asynccontextmanager
async def _listening(app: web.Application, host: str, port: int) -> AsyncIterator[str]:
    """Serve while the context is open; yields the base URL.

    A caller who hangs up ends the handler, so that a call that hangs is known to be over.
    """
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=GRACE_SECONDS)
    await runner.setup()
    try:
        await _start(web.TCPSite(runner, host, port, backlog=BACKLOG), host, port)
        yield f"http://{host}:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _start(site: web.TCPSite, host: str, port: int) -> None:
    try:
        await site.start()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise SettingsError(f"--port: {port} is in use on {host}; name another, or 0 for a free one") from None
        raise SettingsError(f"--host: {host} cannot be listened on: {error.strerror or error}") from None


def run(
    config: SandboxConfig,
    host: str = LOOPBACK,
    port: int = 0,
    *,
    port_file: Path | None = None,
    announce: Callable[[str], object] | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT.

    Args:
        config: what to serve.
        host: address to listen on.
        port: 0 takes a free one.
        port_file: written, whole, with the port once connections are taken.
        announce: called with the base URL at the same moment.

    Raises:
        SettingsError: nothing can listen there.
    """
    asyncio.run(_run(config, host, port, port_file, announce))


async def _run(
    config: SandboxConfig, host: str, port: int, port_file: Path | None, announce: Callable[[str], object] | None
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with _listening(create_app(config), host, port) as url:
        if port_file is not None:
            _write_whole(port_file, url.rpartition(":")[2])
        if announce is not None:
            announce(url)
        await stop.wait()


def _write_whole(path: Path, text: str) -> None:
    """A reader sees the whole text or no file."""
    part = path.with_name(f"{path.name}.{os.getpid()}")
    part.write_text(text)
    part.replace(path)


class SandboxThread:
    """A sandbox on a free loopback port, in a thread of its own, for as long as the context is open."""

    def __init__(self, config: SandboxConfig | None = None, clock: Clock | None = None) -> None:
        self.config = config or SandboxConfig()
        self.url = ""
        self._sandbox = Sandbox(self.config, clock)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, name="redrive-sandbox", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(ANSWER_SECONDS):
            raise TimeoutError("the sandbox did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    def stats(self) -> dict[str, Any]:
        """What ``GET /_sandbox/stats`` says."""
        return self._ask(self._sandbox.world.watch.summary)

    def task(self, external_id: str) -> list[dict[str, Any]]:
        """What ``GET /_sandbox/tasks/{external_id}`` says; empty when no call ever named it."""
        return self._ask(lambda: self._sandbox.world.find(external_id, self._sandbox.clock()))

    def fault(self, path: str, fault: str, **more: Any) -> None:
        """Switch a fault on; the fields are those of ``POST /_sandbox/faults``."""
        wanted = Fault(path=path, fault=FaultKind(fault), **more)
        self._ask(lambda: self._sandbox.faults.add(wanted))

    def clear_faults(self) -> None:
        """Switch all faults off."""
        self._ask(self._sandbox.faults.clear)

    def _ask(self, question: Callable[[], T]) -> T:
        """Ask on the loop's own thread, where nothing changes meanwhile."""

        async def answer() -> T:
            return question()

        return asyncio.run_coroutine_threadsafe(answer(), self._loop).result(ANSWER_SECONDS)

    def _main(self) -> None:
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        async with _listening(_application(self._sandbox), LOOPBACK, 0) as self.url:
            self._ready.set()
            await self._stop.wait()
