"""The token of an account that logs in: fetched by one call, used by all of them until it grows old."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import cast

from httpx import codes

from redrive.models.clock import boottime
from redrive.models.outcome import Blocked, Cause, Deferred, Outcome, Throttled, Unsent

from .crew import Crew
from .fit import fit
from .guard import guarded
from .providers.base import Call, Exchange, Provider, Token
from .reading import RETRY_OUTCOMES
from .scrub import Secrets
from .session import MAX_HEADER_BYTES
from .window import Permits, Window

LEAST_SECONDS = 60.0
MOST_SECONDS = 86_400.0
"""How long a token is kept, whatever it says of itself."""

MOST_LOGINS = 6
"""Within a minute, per account and process."""

_LOGIN_REMEDY = "check the login's address and the account's credentials"


@dataclass(slots=True)
class _Cached:
    token: Token
    until: float


class Login:
    """One account's token, in one process.

    Args:
        send: makes the call; it has its permit already.
        secrets: learn each new token, so that it is never written anywhere.
        crew: reads an answer that is not small.
    """

    def __init__(
        self,
        provider: Provider,
        permits: Permits,
        *,
        send: Callable[[Call, Window], Awaitable[Exchange]],
        secrets: Secrets,
        crew: Crew,
    ) -> None:
        self._provider = provider
        self._permits = permits
        self._send = send
        self._secrets = secrets
        self._crew = crew
        self._cached: _Cached | None = None
        self._logins: deque[float] = deque(maxlen=MOST_LOGINS)
        self._under_way = asyncio.Lock()

    def forget(self, token: str) -> None:
        """The token is good no more. One that another call has fetched meanwhile stays."""
        if self._cached is not None and self._cached.token.value == token:
            self._cached = None

    async def token(self, window: Window) -> str | Outcome | None:
        """The token of an account that logs in, None for all others; an outcome when none is to be had.

        Raises:
            ProviderFailedError: the provider's code failed.
        """
        login = guarded(self._provider.login)
        if login is None:
            return None
        async with self._under_way:
            if self._cached is not None and boottime() < self._cached.until:
                return self._cached.token.value
            if (wait := self._too_many()) is not None:
                return wait
            return await self._fetched(login, window)

    async def _fetched(self, login: Call, window: Window) -> str | Outcome:
        asked, own = boottime(), replace(window)  # the call behind the login keeps its moment
        if not await self._permits.one_more(login.limit_path, own):
            return Unsent(message="no permit to log in within the lease")
        exchange = await self._send(login, own)
        answer = await self._crew.run(_size(exchange), self._read, exchange)
        if not exchange.sent or not isinstance(answer, Token | Deferred | Unsent):
            # It is not a further call: it never left, or what it yielded counts as the answer of the call behind it.
            window.calls.remove(login.limit_path)
        if isinstance(answer, Throttled):
            # Every path of the account needs the login, so that all of them wait.
            return replace(answer, whole_account=True)
        if not isinstance(answer, Token):
            return answer
        self._logins.append(asked)
        self._cached = _Cached(answer, asked + _seconds(answer))
        self._secrets.learn(answer.value)
        return answer.value

    def _read(self, exchange: Exchange) -> Token | Outcome:
        """What a login yielded: a token that can be sent, or what becomes of the tasks that waited for it.

        A login asks nothing about a task. What is wrong with it, or with its answer, is wrong with the account.
        """
        if exchange.fault:
            return _blocked(f"the login cannot be sent: {exchange.error}")
        answer = guarded(self._provider.token, exchange)
        if isinstance(answer, Token):
            return answer if _sendable(answer.value) else _blocked(f"the login's token cannot be sent; {_LOGIN_REMEDY}")
        if isinstance(answer, Deferred) and exchange.answer is not None and codes.is_success(exchange.answer.status):
            return _blocked(f"{answer.message or 'the login yielded no token'}; {_LOGIN_REMEDY}")
        return cast("Outcome", guarded(fit, answer, RETRY_OUTCOMES, self._secrets))

    def _too_many(self) -> Throttled | None:
        """A wait where tokens do not last: each login costs the provider more than the call behind it."""
        wait = self._logins[0] + 60 - boottime() if len(self._logins) == MOST_LOGINS else 0
        if wait <= 0:
            return None
        words = f"{MOST_LOGINS} logins within a minute: their tokens do not last; check the clock and the account"
        return Throttled(wait_seconds=wait, whole_account=True, message=words)


def _blocked(message: str) -> Blocked:
    return Blocked(cause=Cause.CREDENTIALS, message=message)


def _sendable(token: object) -> bool:
    return isinstance(token, str) and 0 < len(token) <= MAX_HEADER_BYTES and token.isascii() and token.isprintable()


def _seconds(token: Token) -> float:
    """How long the token is kept: one that is expired when it comes is tried all the same, a minute long."""
    seconds = token.valid_seconds
    # Somebody else's code may say anything, and "not a number" is not more than a number.
    known = isinstance(seconds, int | float) and seconds > LEAST_SECONDS  # type: ignore[redundant-expr]
    return float(min(seconds, MOST_SECONDS)) if known else LEAST_SECONDS


def _size(exchange: Exchange) -> int:
    return len(exchange.answer.body) if exchange.answer else 0
