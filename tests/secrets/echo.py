"""The sandbox's providers, telling everybody what they were told: every answer may repeat what came, and the secrets.

One port per account, so that the account is known by the port. Each account's calls are answered in turn by each of
the misbehaviours, and after these as the sandbox would.
"""

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from itertools import count, cycle, islice
from typing import Any, NoReturn, Self
from urllib.parse import quote

from aiohttp import web

from redrive.sandbox.config import SandboxConfig
from redrive.sandbox.server import create_app
from tests.support.marks import written

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Answer = Callable[[web.Request, str], Awaitable[web.StreamResponse]]

LOGIN = "/v3/auth/tokens"


def says(words: str, **more: Any) -> str:
    """Everything that any of the providers would read words from."""
    error = {"code": 49999, "title": words, "message": words}
    return json.dumps(
        {"code": 49999, "msg": words, "error_code": words.partition(" ")[0], "error_msg": words, "error": error} | more
    )


def status(number: int, **headers: str) -> Answer:
    """An error in the provider's own format, its words in headers too."""

    async def answer(_: web.Request, words: str) -> web.StreamResponse:
        told = {"X-Words": words, "WWW-Authenticate": f'Bearer error="{words}"', "Set-Cookie": f"a={words}"}
        return web.Response(status=number, text=says(words), content_type="application/json", headers=told | headers)

    return answer


async def plain(_: web.Request, words: str) -> web.StreamResponse:
    """No JSON, and the words in the reason phrase too."""
    return web.Response(status=502, text=f"<h1>{words}</h1>", reason=words)


async def redirect(_: web.Request, words: str) -> web.StreamResponse:
    """Elsewhere, with all of it in the address."""
    return web.Response(status=307, headers={"Location": f"http://elsewhere.invalid/{quote(words)}?words={words}"})


async def code(_: web.Request, words: str) -> web.StreamResponse:
    """The code itself is what was told."""
    return web.Response(text=says(words, code=words.partition(" ")[0], error_code=words.partition(" ")[0]))


async def accepted(_: web.Request, words: str) -> web.StreamResponse:
    """A success whose every field repeats it; Huawei's new task id is one of them."""
    return web.Response(text=json.dumps({"code": 200, "msg": words, "task_id": words.partition(" ")[0], "result": {}}))


async def looked(request: web.Request, words: str) -> web.StreamResponse:
    """A task that has failed, seen by any of the three, and what stands in every field for people."""
    asked = await request.json() if request.can_read_body else {}
    first = words.partition(" ")[0]
    items = [
        {"id": each, "status": 4, "failCode": first, "failDesc": words, "scheduleAt": first, "cost": first}
        for each in asked.get("ids", [])
    ]
    review = {"task_id": asked.get("task_id"), "status": 2, "statistics": words, "extract_task_ids": [first]}
    records = [{"id": first, "status": "FAILED", "start_time": first, "result_code": first, "reason": words}]
    body = {"code": 0 if items else 200, "msg": words, "data": {"items": items}, "result": review}
    return web.Response(text=json.dumps(body | {"script_records": records, "count": 1, **records[0]}))


async def no_http(request: web.Request, words: str) -> web.StreamResponse:
    """What came back is no HTTP at all."""
    return await _cut(request, f"{words}\r\n\r\n")


async def broken_off(request: web.Request, words: str) -> web.StreamResponse:
    """The answer ends in the middle."""
    return await _cut(request, f"HTTP/1.1 500 {words}\r\nContent-Length: 99999\r\nX-Words: {words}\r\n\r\n{words}")


async def _cut(request: web.Request, text: str) -> NoReturn:
    assert isinstance(request.transport, asyncio.Transport)
    request.transport.write(text.encode())
    request.transport.close()
    await asyncio.get_running_loop().create_future()  # until the connection's end cancels it
    raise AssertionError


RETRIES: Sequence[Answer] = (
    accepted, status(200), plain, no_http, broken_off, code, status(400), status(429, **{"Retry-After": "1"}),
    status(401), redirect,
)  # fmt: skip
CHECK_RESULTS: Sequence[Answer] = (plain, looked, redirect, no_http)
LOGINS: Sequence[Answer] = (plain, status(401), no_http)


Script = Mapping[str, Sequence[Answer]]
"""Sort of call (retry, look, login) → what comes in answer to the first ones."""


def scripts(accounts: Sequence[str]) -> dict[str, dict[str, Sequence[Answer]]]:
    """Every misbehaviour for accounts of one provider: in turn, because each is long to get over."""
    n, found = len(accounts), {}
    for number, name in enumerate(accounts):
        retries = RETRIES[number::n]
        # It looks before each retry, for its archive.
        found[name] = {
            "retry": retries[:2] if name == "headers" else retries,
            "look": (looked, *CHECK_RESULTS[number::n]),
        }
        found[name] |= {"login": LOGINS} if name == "login" else {}
    return found


class Echo:
    """The server, in a thread of its own for as long as the context is open.

    Attributes:
        urls: account → its address.
        tokens: those that logins have yielded.
        said: account → how often something was repeated to it.
    """

    def __init__(
        self, config: SandboxConfig, accounts: Mapping[str, Sequence[str]], scripts: Mapping[str, Script]
    ) -> None:
        self.urls: dict[str, str] = {}
        self.tokens: list[str] = []
        self.said: dict[str, int] = defaultdict(int)
        self._accounts = accounts
        self._names: dict[int, str] = {}
        self._script = {name: dict(script) for name, script in scripts.items()}
        self._turn = count()
        self._app = create_app(config)
        self._app.middlewares.append(self._between())
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._loop.close()

    def shorten(self, most: int) -> None:
        """Do not say everything: no more than so many answers per account and sort of call."""
        self._script = {
            name: {sort: left[:most] for sort, left in sorts.items()} for name, sorts in self._script.items()
        }

    def left(self) -> dict[str, int]:
        """How many answers each account has still to be given, by account and sort of call."""
        return {
            f"{name} {sort}": len(left) for name, sorts in self._script.items() for sort, left in sorts.items() if left
        }

    async def _serve(self) -> None:
        runner = web.AppRunner(self._app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
        await runner.setup()
        for name in self._accounts:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            port = runner.addresses[-1][1]
            self._names[port], self.urls[name] = name, f"http://127.0.0.1:{port}"
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    def _between(self) -> Any:
        @web.middleware
        async def between(request: web.Request, handler: Handler) -> web.StreamResponse:
            assert request.transport is not None
            name = self._names[request.transport.get_extra_info("sockname")[1]]
            if (answer := self._next(name, request.path)) is not None:
                self.said[name] += 1
                return await answer(request, await self._words(name, request))
            response = await handler(request)
            if token := response.headers.get("X-Subject-Token"):
                self.tokens.append(token)
            return response

        return between

    def _next(self, name: str, path: str) -> Answer | None:
        sort = "login" if path == LOGIN else "retry" if path.endswith(("/restart", "/retry")) else "look"
        left = self._script.get(name, {}).get(sort, ())
        if left:
            self._script[name][sort] = left[1:]
        return left[0] if left else None

    async def _words(self, name: str, request: web.Request) -> str:
        """What was told and what is secret, beginning each time with another piece of it; some only after a long word.

        Long texts are cut, and a piece of a secret is still one.
        """
        secrets = [*self._accounts[name], *(self.tokens[-1:] if name == "login" else ())]
        pieces = [form for value in secrets for form in written(value)]
        pieces += [*request.headers.values(), " ".join((await request.text()).split())]
        turn = next(self._turn)
        chosen = [piece for piece in islice(cycle(pieces), turn * 3, turn * 3 + len(pieces)) if piece]
        return " ".join(chosen if turn % 3 else [chosen[0], "x" * 400, *chosen[1:]])
