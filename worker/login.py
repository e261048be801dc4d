"""The token of an account that logs in: fetched by one call, used by all of them until it grows old."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from models.clock import boottime
from models.outcome import Deferred, Outcome, Throttled, Unsent

from .providers.base import Call, Exchange, Provider, Token
from .window import Permits, Window


@dataclass(slots=True)
class _Cached:
    token: Token
    until: float


class Login:
    """One account's token, in one process.

    Args:
        send: makes the call; it has its permit already.
        secret: told each new token, so that it is never written anywhere.
    """

    def __init__(
        self,
        provider: Provider,
        permits: Permits,
        *,
        send: Callable[[Call, Window], Awaitable[Exchange]],
        secret: Callable[[str], None],
    ) -> None:
        self._provider = provider
        self._permits = permits
        self._send = send
        self._secret = secret
        self._cached: _Cached | None = None
        self._under_way = asyncio.Lock()

    def forget(self, token: str) -> None:
        """The token is good no more. One that another call has fetched meanwhile stays."""
        if self._cached is not None and self._cached.token.value == token:
            self._cached = None

    async def token(self, window: Window) -> str | Outcome | None:
        """The token of an account that logs in, None for all others; an outcome when none is to be had."""
        login = self._provider.login()
        if login is None:
            return None
        async with self._under_way:
            if self._cached is not None and boottime() < self._cached.until:
                return self._cached.token.value
            asked, own = boottime(), replace(window)  # the call behind the login keeps its moment
            if not await self._permits.one_more(login.limit_path, own):
                return Unsent(message="no permit to log in within the lease")
            exchange = await self._send(login, own)
            answer = self._provider.token(exchange)
            if not exchange.sent or not isinstance(answer, Token | Deferred | Unsent):
                # It is no further call: it never left, or what it yielded counts as the answer of the call behind it.
                window.calls.remove(login.limit_path)
            if isinstance(answer, Throttled):
                # Every path of the account needs the login, so that all of them wait.
                return replace(answer, whole_account=True)
            if not isinstance(answer, Token):
                return answer
            self._cached = _Cached(answer, asked + answer.valid_seconds)
            self._secret(answer.value)
            return answer.value
