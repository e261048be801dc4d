"""One HTTP call → one :class:`Exchange`, whatever happens on the way."""

import asyncio
import json
import ssl
from collections.abc import Callable, Sequence
from contextlib import aclosing
from functools import lru_cache
from importlib.metadata import version
from ipaddress import ip_address
from typing import Literal
from urllib.parse import quote, urlencode

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from models.clock import boottime

from .providers.base import Answer, Exchange, Request
from .scrub import scrub
from .session import Departure, NotSentError, departure, open_session

CONNECT_SECONDS = 10.0
"""The most that connecting and TLS may take per address: a host that is down then costs no attempt, and less time."""

HEADERS = httpx.Headers(
    {
        "Accept": "*/*",
        # The size limit is on what arrives; a small compressed answer could still fill the memory.
        "Accept-Encoding": "identity",
        "User-Agent": f"redrive/{version('redrive')}",
    }
)
JSON_HEADERS = httpx.Headers([*HEADERS.items(), ("Content-Type", "application/json")])

_NEWEST = 0.1
"""The weight of the latest call in what a call takes at present."""

_WORDS: tuple[tuple[type[BaseException], str], ...] = (
    (TimeoutError, "timed out"),
    (aiohttp.ClientPayloadError, "the answer broke off"),
    (aiohttp.ClientResponseError, "the answer is not HTTP"),
    (aiohttp.ServerDisconnectedError, "the server closed the connection"),
    (asyncio.CancelledError, "the client was closed"),
)


class HttpClient:
    """The pooled connections of one account, for one event loop; the first call opens them.

    It drives the httpx transport itself. ``httpx.AsyncClient`` above it would parse the target of a redirect it was
    told not to follow (and raise on a bad one), keep cookies, and let an ``httpx.Auth`` send twice.

    Args:
        base_url: without a trailing slash.
        concurrency: calls at once.
        timeout_seconds: for connecting, sending and reading together.
        secrets: values that must not appear in any error.
        allow_http: permit ``http://`` to other machines than this one.
        verify: what certificates must be signed by; True is the usual authorities.

    Attributes:
        call_seconds: how long calls take at present, from connecting to the last byte; 0 before the first.
    """

    def __init__(
        self,
        *,
        base_url: str,
        concurrency: int,
        timeout_seconds: float,
        secrets: Sequence[str],
        allow_http: bool = False,
        verify: ssl.SSLContext | Literal[True] = True,
    ) -> None:
        self._base_url = base_url
        self._slots = asyncio.Semaphore(concurrency)
        self.call_seconds = 0.0
        self._timeout_seconds = timeout_seconds
        self._secrets = tuple(secrets)
        self._allow_http = allow_http
        tls = httpx.create_ssl_context(verify=verify, trust_env=False)
        timeout = httpx.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds), pool=None)
        self._extensions = {"timeout": timeout.as_dict()}
        self._transport = AiohttpTransport(verify=tls, client=lambda: open_session(tls))

    async def exchange(
        self,
        request: Request,
        *,
        auth: httpx.Auth | None,
        leave_in: float,
        not_after: float,
        may_send: Callable[[], bool],
        max_bytes: int,
    ) -> Exchange:
        """Make one call, at most once. Only cancellation of the calling task gets out of here.

        It first waits for its moment and then for a free slot, and signs and connects only after that: a signature
        would age and a connection grow stale while waiting.

        Args:
            request: relative to the account's base URL, unless it has its own.
            auth: signs the request; None sends it as it is.
            leave_in: seconds from now before which the call must not leave; ``timeout_seconds`` starts after them.
            not_after: the moment on ``models.clock.boottime`` after which it must not leave any more.
            may_send: asked right before the first byte.
            max_bytes: an answer with a longer body is no answer.
        """
        state = Departure(not_after, may_send)
        departure.set(state)
        try:
            answer = await self._call(self._build(request), auth, leave_in, max_bytes)
        # Whatever it is, the tasks of this call need an outcome.
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and _canceled_from_outside():
                raise
            return Exchange(state.sent, None, self._describe(error, state), withheld=state.withheld, late=state.late)
        return Exchange(sent=True, answer=answer)

    async def aclose(self) -> None:
        """Close the connections; what is under way ends as an exchange without an answer."""
        await self._transport.aclose()

    def _build(self, request: Request) -> httpx.Request:
        url, loopback = _url((request.base_url or self._base_url) + request.path, request.query)
        if url.scheme != "https" and not self._allow_http and not loopback:
            raise NotSentError("only https:// may leave this machine, unless allow_http is set")
        headers, content = HEADERS, None
        if request.json is not None:
            headers = JSON_HEADERS
            content = json.dumps(request.json, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
        return httpx.Request(request.method, url, headers=headers, content=content, extensions=self._extensions)

    async def _call(self, request: httpx.Request, auth: httpx.Auth | None, leave_in: float, max_bytes: int) -> Answer:
        await self._take_slot(leave_in)
        departure.get().began = began = boottime()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                response = await self._transport.handle_async_request(await _signed(request, auth))
                return await _read(response, max_bytes)
        finally:
            self._slots.release()
            took = boottime() - began
            self.call_seconds += (took - self.call_seconds) * (_NEWEST if self.call_seconds else 1)

    async def _take_slot(self, leave_in: float) -> None:
        """Wait for the moment and for a slot, but not past the deadline: whoever withholds must say so in time."""
        state = departure.get()
        try:
            async with asyncio.timeout(state.not_after - boottime()):
                await asyncio.sleep(leave_in)
                await self._slots.acquire()
        except TimeoutError:
            state.withhold()

    def _describe(self, error: BaseException, state: Departure) -> str:
        """What happened, in words for people and without secrets; httpx-aiohttp's names for it mislead."""
        cause = error.__cause__ if isinstance(error, httpx.TransportError) and error.__cause__ else error
        words = next((words for kind, words in _WORDS if isinstance(cause, kind)), str(cause) or type(cause).__name__)
        return scrub(f"{'no complete answer' if state.sent else 'not sent'}: {words}", self._secrets)


@lru_cache(maxsize=256)
def _url(text: str, query: tuple[tuple[str, str], ...]) -> tuple[httpx.URL, bool]:
    """The parsed URL, and whether it stays on this machine. An account calls the same few for ever."""
    # A blank is %20 everywhere; httpx would write "+", which not everybody reads, and no signature means.
    url = httpx.URL(f"{text}?{urlencode(query, quote_via=quote)}" if query else text)
    return url, _is_loopback(url.host)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


async def _signed(request: httpx.Request, auth: httpx.Auth | None) -> httpx.Request:
    """The first request of the auth's flow, which is the only one: a second would need a permit of its own."""
    if auth is None:
        return request
    async with aclosing(auth.async_auth_flow(request)) as flow:
        return await anext(flow)


async def _read(response: httpx.Response, max_bytes: int) -> Answer:
    body = bytearray()
    try:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > max_bytes:
                raise ValueError(f"answer larger than {max_bytes} bytes")
    finally:
        await response.aclose()
    if response.status_code < httpx.codes.CONTINUE:  # the parser lets 000 to 099 pass
        raise ValueError(f"no HTTP status: {response.status_code:03d}")
    return Answer(response.status_code, dict(response.headers.items()), bytes(body))


def _canceled_from_outside() -> bool:
    """Whether somebody canceled this task, rather than something under it having been canceled by ``aclose``."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
