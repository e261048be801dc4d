"""The sandbox as a process of its own that also notes when each call arrived: ``GET /_sandbox/arrivals``.

Run by its path, so that nothing of the tests' own packages is needed:
``python measured_provider.py PORT_FILE [PER_MINUTE]``.
"""

import sys
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from redrive.models.clock import boottime
from redrive.sandbox import server
from redrive.sandbox.config import SandboxConfig

ARRIVALS = "/_sandbox/arrivals"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def noting() -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
    """A middleware that notes each call at the moment its head has arrived."""
    arrivals: defaultdict[str, list[float]] = defaultdict(list)

    @web.middleware
    async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.path == ARRIVALS:
            return web.json_response(arrivals)
        if not request.path.startswith("/_sandbox/"):
            arrivals[request.path].append(boottime())
        return await handler(request)

    return note


def main() -> None:
    """Serve until told to stop. Without PER_MINUTE no rate is refused: what arrives is what is measured."""
    port_file, *rate = sys.argv[1:]
    per_minute = int(rate[0]) if rate else None
    config = SandboxConfig(
        run_seconds=0.3,
        geelark_per_minute=per_minute,
        geelark_per_hour=None,
        huawei_per_minute=per_minute,
        docflow_per_minute=per_minute,
    )
    made = server.create_app

    def create_app(config: SandboxConfig) -> web.Application:
        app = made(config)
        app.middlewares.append(noting())
        return app

    server.create_app = create_app  # type: ignore[assignment]
    server.run(config, port_file=Path(port_file))


if __name__ == "__main__":
    main()
