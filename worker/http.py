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
from aiohttp.http_exceptions import LineTooLong
from httpx_aiohttp import AiohttpTransport

from redrive.models.clock import boottime

from .bodies import encodings, unpacked
from .crew import Crew
from .guard import words_of
from .providers.base import Answer, Exchange, Fault, Request
from .scrub import scrub
from .session import (
    MAX_HEADER_BYTES,
    REMEDY,
    CredentialsError,
    Departure,
    NotSentError,
    departure,
    open_session,
)
from .tls import trusting

CONNECT_SECONDS = 10.0
"""The most that connecting and TLS may take per address: a host that is down then costs no attempt, and less time."""

HEADERS = httpx.Headers(
    {
        "Accept": "*/*",
        # What is not packed needs no unpacking; who packs it all the same is understood.
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
    (aiohttp.ClientHttpProxyError, "the proxy refuses the connection; check proxy, and the user and password in it"),
    (LineTooLong, f"a header of the answer is longer than {MAX_HEADER_BYTES} bytes"),
    (aiohttp.ClientResponseError, "the answer is not HTTP"),
    (aiohttp.ServerDisconnectedError, "the server closed the connection"),
    (asyncio.CancelledError, "the client was closed"),
)

_REMEDIES: tuple[tuple[type[BaseException], str], ...] = (
    (aiohttp.ClientProxyConnectionError, "check proxy"),
    (aiohttp.ClientConnectorDNSError, "check base_url, and the name server of this machine"),
    (aiohttp.ClientConnectorCertificateError, "if the authority is your own, name its certificate in ca_file"),
    (aiohttp.ClientConnectorSSLError, "check base_url: the server may not speak TLS on this port"),
    (aiohttp.ClientConnectorError, "check base_url, and whether a proxy is needed"),
)


class UnbuildableError(NotSentError):
    """The request is wrong in itself: an address or a body that cannot be sent."""


def build(request: Request, base_url: str) -> httpx.Request:
    """The request for the library.

    Raises:
        UnbuildableError: it is wrong in itself, which is a matter of the task it is about.
    """
    url = _url(request, base_url)
    headers, content = HEADERS, None
    try:
        if not request.method.isalpha():
            raise ValueError("not a method of HTTP")  # noqa: TRY301 - as the library would, if it checked
        if request.json is not None:
            headers, content = JSON_HEADERS, _json(request.json)
        return httpx.Request(request.method, url, headers=headers, content=content)
    except Exception as error:  # noqa: BLE001 - a third party's values make libraries raise anything
        raise UnbuildableError(f"its request cannot be built: {words_of(error)}") from None


def _url(request: Request, base_url: str) -> httpx.URL:
    base = request.base_url or base_url
    try:
        return _parsed(base + request.path, request.query)
    except Exception as error:  # noqa: BLE001 - as above
        _parsed(base, ())  # raises where the address is wrong already, which is not the task's matter
        raise UnbuildableError(f"its request cannot be built: {words_of(error)}") from None


def refusal(request: Request, base_url: str) -> str:
    """Why the request cannot even be built; empty when it can, or when the account's address is to blame."""
    try:
        build(request, base_url)
    except UnbuildableError as error:
        return str(error)
    except Exception:  # noqa: BLE001 - the library's, for the address
        return ""
    return ""


class HttpClient:
    """The pooled connections of one account, for one event loop; the first call opens them.

    It drives the httpx transport itself. ``httpx.AsyncClient`` above it would parse the target of a redirect it was
    set not to follow (and raise on a bad one), keep cookies, and let an ``httpx.Auth`` send twice.

    Args:
        base_url: without a trailing slash.
        concurrency: calls at once.
        timeout_seconds: for connecting, sending and reading together.
        secrets: values that must not appear in any error.
        allow_http: permit ``http://`` to other machines than this one.
        ca_file: a file of certificates that are trusted besides the usual authorities.
        proxy: the proxy to go through; empty: none. The environment has no say.
        verify: what certificates must be signed by, in place of these.
        crew: looks up hosts, and unpacks what was compressed.

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
        ca_file: str = "",
        proxy: str = "",
        verify: ssl.SSLContext | Literal[True] = True,
        crew: Crew | None = None,
    ) -> None:
        self._base_url = base_url
        self._slots = asyncio.Semaphore(concurrency)
        self.call_seconds = 0.0
        self._timeout_seconds = timeout_seconds
        self._secrets = secrets
        self._allow_http = allow_http
        self._trust = (verify, ca_file)
        self._proxy = proxy
        self._crew = crew or Crew()
        timeout = httpx.Timeout(timeout_seconds, connect=min(CONNECT_SECONDS, timeout_seconds), pool=None)
        self._extensions = {"timeout": timeout.as_dict()}
        self._transport: AiohttpTransport | None = None
        self._closed = False

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
            not_after: the moment on ``redrive.models.clock.boottime`` after which it must not leave any more.
            may_send: asked right before the first byte.
            max_bytes: an answer with a longer body counts as none.
        """
        state = Departure(not_after, may_send)
        departure.set(state)
        try:
            answer = await self._call(self._build(request), auth, leave_in, max_bytes)
        # Whatever it is, the tasks of this call need an outcome.
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and _canceled_from_outside():
                raise
            words, fault = self._describe(error, state), "" if state.sent else _fault(error)
            return Exchange(state.sent, None, words, withheld=state.withheld, late=state.late, fault=fault)
        return Exchange(sent=True, answer=answer)

    async def aclose(self) -> None:
        """Close the connections; what is under way ends as an exchange without an answer."""
        self._closed = True
        if self._transport is not None:
            await self._transport.aclose()

    def _build(self, request: Request) -> httpx.Request:
        """The request as it is sent, without its signature.

        Raises:
            NotSentError: the account's address does not allow it.
            UnbuildableError: the request itself is wrong.
        """
        built = build(request, self._base_url)
        if built.url.scheme != "https" and not self._allow_http and not _is_loopback(built.url.host):
            raise NotSentError("only https:// may leave this machine, unless allow_http is set")
        built.extensions = self._extensions
        return built

    def _opened(self) -> AiohttpTransport:
        """The connections, made at the first call: most of a thousand accounts may never make one."""
        if self._closed:
            raise NotSentError("the client was closed")
        if self._transport is None:
            verify, ca_file = self._trust
            tls = trusting(ca_file) if verify is True else verify
            names, proxy = self._crew.names, _proxy(self._proxy) if self._proxy else None
            self._transport = AiohttpTransport(verify=tls, proxy=proxy, client=lambda: open_session(tls, names))
        return self._transport

    async def _call(self, request: httpx.Request, auth: httpx.Auth | None, leave_in: float, max_bytes: int) -> Answer:
        await self._take_slot(leave_in)
        departure.get().began = began = boottime()
        try:
            async with asyncio.timeout(self._timeout_seconds):
                transport = self._opened()
                signed = await _signed(request, auth)
                if self._proxy and signed.url.scheme == "http":  # in a tunnel it is sent to the proxy alone
                    signed.headers.update(_proxy(self._proxy).headers)
                response = await transport.handle_async_request(signed)
                return await self._read(response, max_bytes)
        finally:
            self._slots.release()
            took = boottime() - began
            self.call_seconds += (took - self.call_seconds) * (_NEWEST if self.call_seconds else 1)

    async def _read(self, response: httpx.Response, max_bytes: int) -> Answer:
        body = await _received(response, max_bytes)
        if response.status_code < httpx.codes.CONTINUE:  # the parser lets 000 to 099 pass
            raise ValueError(f"no HTTP status: {response.status_code:03d}")
        headers = dict(response.headers.items())
        if packed := encodings(headers):
            body = await self._crew.run(max_bytes, unpacked, body, packed, max_bytes)
            del headers["content-encoding"]
        return Answer(response.status_code, headers, body)

    async def _take_slot(self, leave_in: float) -> None:
        """Wait for the moment and for a slot, but not past the deadline: a withheld call must be reported in time."""
        state = departure.get()
        try:
            async with asyncio.timeout(state.not_after - boottime()):
                await asyncio.sleep(leave_in)
                await self._slots.acquire()
        except TimeoutError:
            state.withhold()

    def _describe(self, error: BaseException, state: Departure) -> str:
        """What happened, in words for people and without secrets; httpx-aiohttp's names for it mislead."""
        cause = _cause(error)
        words = next((words for kind, words in _WORDS if isinstance(cause, kind)), str(cause) or type(cause).__name__)
        remedy = next((remedy for kind, remedy in _REMEDIES if isinstance(cause, kind)), "")
        shown = f"{'no complete answer' if state.sent else 'not sent'}: {'; '.join(filter(None, (words, remedy)))}"
        return scrub(shown, self._secrets)


def _cause(error: BaseException) -> BaseException:
    """What lies behind the error: the libraries wrap it."""
    cause = error.__cause__ if isinstance(error, httpx.TransportError) and error.__cause__ else error
    deepest = cause
    while deepest.__cause__ is not None:
        deepest = deepest.__cause__
    return deepest if isinstance(deepest, LineTooLong) else cause


def _fault(error: BaseException) -> Fault:
    """Who is to blame that nothing was sent, other than the way to the provider."""
    if isinstance(error, CredentialsError):
        return "credentials"
    return "task" if isinstance(error, UnbuildableError) else ""


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


@lru_cache(maxsize=256)
def _parsed(text: str, query: tuple[tuple[str, str], ...]) -> httpx.URL:
    """The parsed URL. An account calls the same few for ever."""
    # A space is %20 everywhere; httpx would write "+", which not everybody reads, and no signature means.
    return httpx.URL(f"{text}?{urlencode(query, quote_via=quote)}" if query else text)


@lru_cache(maxsize=64)
def _proxy(address: str) -> httpx.Proxy:
    """The proxy, its user and password as the header that it wants."""
    url = httpx.URL(address)
    headers = {"Proxy-Authorization": aiohttp.encode_basic_auth(url.username, url.password)} if url.username else {}
    return httpx.Proxy(url.copy_with(username=None, password=None), headers=headers)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


async def _signed(request: httpx.Request, auth: httpx.Auth | None) -> httpx.Request:
    """The first request of the auth's flow, which is the only one: a second would need a permit of its own.

    Raises:
        CredentialsError: they cannot be written into the request.
        NotSentError: the provider's code fails, whatever it raises.
    """
    if auth is None:
        return request
    try:
        async with aclosing(auth.async_auth_flow(request)) as flow:
            return await anext(flow)
    except (UnicodeError, ValueError) as error:
        # Not its words: an encoder's repeat what it could not encode.
        words = f"the request cannot be signed ({type(error).__name__}); {REMEDY}"
        raise CredentialsError(words) from None
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError) and _canceled_from_outside():
            raise
        raise NotSentError(f"the provider's code cannot sign the request: {words_of(error)}") from None


async def _received(response: httpx.Response, max_bytes: int) -> bytes:
    body = bytearray()
    try:
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > max_bytes:
                raise ValueError(f"answer larger than {max_bytes} bytes")
    finally:
        await response.aclose()
    return bytes(body)


def _canceled_from_outside() -> bool:
    """Whether somebody canceled this task, rather than something under it having been canceled by ``aclose``."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
