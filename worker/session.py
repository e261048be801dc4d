"""The aiohttp session under the transport: the last check before a request leaves, and clean connections.

Only this layer knows whether bytes left. aiohttp fires ``on_request_headers_sent`` when the connection stands and
before it writes the first byte (``StreamWriter.write_headers``): what raises there sends nothing.
"""

import re
import ssl
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from math import inf
from types import SimpleNamespace
from typing import TYPE_CHECKING, NoReturn

import aiohttp
from aiohttp.abc import AbstractResolver

from redrive.models.clock import boottime
from redrive.models.rules import LATE_SECONDS

from .names import CACHE_SECONDS

if TYPE_CHECKING:
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

KEEPALIVE_SECONDS = 4.0
"""Many servers close an idle connection after 5 s; a POST written into a closing one is neither answered nor provably
unsent, and costs its tasks an attempt."""


MAX_HEADER_BYTES = 128 * 1024
"""The longest header, sent or received. The library allows 8,190; login tokens of 32,768 characters occur."""

MAX_HEADERS = 256

REMEDY = "check the account's credentials for quotes and line ends pasted with them"

_UNSENDABLE = re.compile(r"[^\x20-\x7e\t]")


class NotSentError(Exception):
    """No byte of this request has left, and none will."""


class CredentialsError(NotSentError):
    """The request cannot be sent for what its credentials put into it. The words do not repeat them."""


@dataclass(slots=True)
class Departure:
    """What the transport must know of one call, and what it learns.

    Attributes:
        not_after: the moment on ``boottime`` after which it is too late to send.
        may_send: asked at the last check; False once the worker has been asked to stop.
        sent: whether bytes may have left.
        withheld: whether we ourselves decided against sending.
        began: the boottime at which connecting began.
        late: whether we did because connecting took longer than any permit lasts, however early it began.
    """

    not_after: float
    may_send: Callable[[], bool]
    sent: bool = False
    withheld: bool = False
    began: float = inf
    late: bool = False

    def last_look(self) -> None:
        """Let the request go, once.

        aiohttp repeats idempotent requests by itself when a kept connection breaks; a second sending has no permit.

        Raises:
            NotSentError: it is too late, we were asked to stop, or it has been sent before.
        """
        if self.sent:
            raise NotSentError("the server closed the connection")
        now = boottime()
        too_late = now > self.not_after
        if too_late or not self.may_send():
            self.late = too_late and now - self.began > LATE_SECONDS
            self.withhold()
        self.sent = True

    def withhold(self) -> NoReturn:
        """Decide against sending.

        Raises:
            NotSentError: always.
        """
        self.withheld = True
        raise NotSentError("too late, or asked to stop")


departure: ContextVar[Departure] = ContextVar("departure")
"""The call the current asyncio task makes. Calls share one session, and httpx-aiohttp passes no trace context on."""


def open_session(tls: ssl.SSLContext, names: AbstractResolver) -> aiohttp.ClientSession:
    """A session that keeps no cookies and reads nothing from the environment; for the running loop only."""
    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(_last_look)
    trace.on_request_end.append(_drop_reason)
    return aiohttp.ClientSession(
        connector=_Connector(
            ssl=tls, limit=0, keepalive_timeout=KEEPALIVE_SECONDS, resolver=names, ttl_dns_cache=CACHE_SECONDS
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=["Content-Type"],
        trace_configs=[trace],
        trust_env=False,
        max_line_size=MAX_HEADER_BYTES,
        max_field_size=MAX_HEADER_BYTES,
        max_headers=MAX_HEADERS,
    )


class _Connector(aiohttp.TCPConnector):
    """Refuses a connection on which the server spoke unasked: its words would be taken for the next answer."""

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: "list[Trace]",
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> "Connection":
        connection = await super().connect(req, traces, timeout)
        if connection.protocol is None or connection.protocol.should_close:
            connection.close()
            raise NotSentError("the server spoke before it was asked")
        return connection


async def _last_look(
    _: aiohttp.ClientSession, __: SimpleNamespace, sent: aiohttp.TraceRequestHeadersSentParams
) -> None:
    # aiohttp would refuse some of them after this moment, though nothing leaves: a key pasted with its line end.
    for name, value in sent.headers.items():
        if _UNSENDABLE.search(value):
            raise CredentialsError(f"header {name} holds a character that cannot be sent; {REMEDY}")
        if len(value) > MAX_HEADER_BYTES:
            raise CredentialsError(f"header {name} is longer than {MAX_HEADER_BYTES} bytes; {REMEDY}")
    departure.get().last_look()


async def _drop_reason(_: aiohttp.ClientSession, __: SimpleNamespace, end: aiohttp.TraceRequestEndParams) -> None:
    # Nobody reads the phrase, and httpx-aiohttp fails to encode one that is not UTF-8: the whole answer would be lost.
    end.response.reason = None
