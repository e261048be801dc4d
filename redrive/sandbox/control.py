"""The sandbox's own paths, ``/_sandbox/...``: what it saw, which faults it commits, starting over."""

from aiohttp import web
from aiohttp.typedefs import Handler
from pydantic import BaseModel, ConfigDict

from .faults import Fault, FaultKind
from .misbehave import REDIRECTED
from .sandbox import Sandbox
from .watch import Violation

PREFIX = "/_sandbox/"


@web.middleware
async def refuse_web_pages(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what a page in somebody's browser asks for. Browsers say so; a program does not."""
    asked_by_a_page = "Origin" in request.headers or request.headers.get("Sec-Fetch-Site", "none") != "none"
    if asked_by_a_page and request.path.startswith(PREFIX):
        words = "a web page asks for this; the sandbox is driven from a program, such as curl, or from the address bar"
        return web.json_response({"error": words}, status=403)
    return await handler(request)


class Change(BaseModel):
    """What becomes of a task."""

    model_config = ConfigDict(extra="forbid")

    deleted: bool = False
    unreadable: bool | None = None


class Control:
    """Handlers of the paths in :meth:`routes`."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def routes(self) -> list[web.RouteDef]:
        """What is served."""
        return [
            web.get("/_sandbox/stats", self.stats),
            web.get("/_sandbox/tasks/{external_id}", self.task),
            web.post("/_sandbox/tasks/{external_id}", self.change_task),
            web.get("/_sandbox/faults", self.list_faults),
            web.post("/_sandbox/faults", self.add_fault),
            web.delete("/_sandbox/faults", self.clear_faults),
            web.post("/_sandbox/reset", self.reset),
            web.route("*", REDIRECTED, self.redirected),
        ]

    async def stats(self, _request: web.Request) -> web.Response:
        """Calls, retries, faults committed and violations since the last reset."""
        return web.json_response(self._sandbox.world.watch.summary())

    async def task(self, request: web.Request) -> web.Response:
        """A list with one entry per sort of task that has this id; 404 when no call ever named it."""
        found = self._sandbox.world.find(request.match_info["external_id"], self._sandbox.clock())
        return web.json_response(found, status=200 if found else 404)

    async def change_task(self, request: web.Request) -> web.Response:
        """``{"deleted": true}`` deletes it; ``{"unreadable": true}`` or ``false`` decides how its state is shown."""
        try:
            wanted = Change.model_validate_json(await request.read())
        except ValueError as error:
            return web.json_response({"error": str(error)}, status=400)
        external_id, world = request.match_info["external_id"], self._sandbox.world
        if wanted.deleted:
            world.delete(external_id)
        if wanted.unreadable is not None:
            (world.unreadable.add if wanted.unreadable else world.unreadable.discard)(external_id)
        return web.Response(status=204)

    async def list_faults(self, _request: web.Request) -> web.Response:
        """Those that are switched on, in the order they are tried."""
        return web.json_response(self._sandbox.faults.listed())

    async def add_fault(self, request: web.Request) -> web.Response:
        """Switch one on."""
        try:
            fault = Fault.model_validate_json(await request.read())
        except ValueError as error:
            return web.json_response({"error": str(error), "faults": list(FaultKind)}, status=400)
        self._sandbox.faults.add(fault)
        return web.Response(status=204)

    async def clear_faults(self, _request: web.Request) -> web.Response:
        """Switch all off."""
        self._sandbox.faults.clear()
        return web.Response(status=204)

    async def reset(self, _request: web.Request) -> web.Response:
        """Forget everything but the faults."""
        self._sandbox.reset()
        return web.Response(status=204)

    async def redirected(self, request: web.Request) -> web.Response:
        """Where the redirect fault points: a caller that comes here has followed it."""
        self._sandbox.world.watch.violation(Violation.REDIRECTED, request.method)
        return web.json_response({})
