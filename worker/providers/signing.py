"""What signing has in common.

A provider's own scheme is in its file: a pure function of secrets, request and moment.
"""

import hmac
from collections.abc import Callable, Generator, Mapping
from hashlib import sha256

import httpx

from redrive.models.outcome import Unknown

from .base import Exchange


class HeaderAuth(httpx.Auth):
    """Adds headers that are worked out for each request when it leaves, never earlier: signatures age."""

    requires_request_body = True

    def __init__(self, headers: Callable[[httpx.Request], Mapping[str, str]]) -> None:
        self._headers = headers

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign and send, once."""
        request.headers.update(self._headers(request))
        yield request


class WithoutLogin:
    """The part of a provider whose credentials sign every request by themselves."""

    def login(self) -> None:
        """There is nothing to fetch before a call."""

    def token(self, exchange: Exchange) -> Unknown:
        """Never asked for, as there is no login; whatever came, it is not a token."""
        return Unknown(message=exchange.error)


def raw_path(request: httpx.Request) -> str:
    """The path as it is on the request line, still percent-encoded, without the query."""
    return request.url.raw_path.partition(b"?")[0].decode()


def keyed(key: bytes, message: str) -> bytes:
    """HMAC-SHA256, the hash of every scheme that signs with a key."""
    return hmac.digest(key, message.encode(), sha256)
