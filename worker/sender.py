"""Making an account's calls: with a token where it logs in, halved when one bad id spoils a call, page by page.

Every call made here has a permit of its own. The provider says what to ask and what an answer means; whether bytes
left is the transport's word alone. A provider is somebody else's code: whatever it raises, its tasks get an answer.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, get_args

import structlog
from sqlalchemy.exc import SQLAlchemyError

from models.clock import boottime
from models.db import Database
from models.errors import Unreachable
from models.ledger import permits
from models.ledger.sending import SLICE_SECONDS
from models.outcome import Deferred, Look, Outcome, Throttled, Unknown, Unsent
from models.rules import LATE_SECONDS, Rules
from models.states import Operation

from .http import HttpClient
from .providers.base import Call, Exchange, Plan, Provider, Split, TaskRef, Token
from .scrub import scrub, scrubbed
from .slots import Slots
from .trouble import Trouble, says_stop

log = structlog.get_logger("redrive.worker")

RETRY_BYTES = 1024 * 1024
READ_BYTES = 16 * 1024 * 1024
"""The largest answers read: of a retry, and of a look."""

MARGIN_SECONDS = 1.0
"""Between the end of the last call a lease allows and the end of the lease: time to record it."""

MAX_PAGES = 100

OUTCOMES, LOOKS = get_args(Outcome), get_args(Look)


@dataclass(slots=True)
class Window:
    """When calls of one permit may leave.

    Attributes:
        leave_after: the boottime before which the next may not leave.
        leave_by: the boottime after which its permit is too old.
        not_after: the boottime after which none may leave: the lease would not outlast it.
        until: the moment ``not_after`` stands for, in the database's time.
        may_go_on: asked before any further permit. The first call is open, and is finished whatever comes.
        calls: API paths of the calls made beyond the first.
        heard_at: the boottime up to which answers were known to whoever opened its attempts.
        trouble: what may keep it here all the same.
    """

    leave_after: float
    leave_by: float
    not_after: float
    until: datetime
    may_go_on: Callable[[], bool]
    calls: list[str] = field(default_factory=list)
    heard_at: float = field(default_factory=boottime)
    trouble: Trouble | None = None


Make = Callable[[Call, Window], Awaitable[Mapping[int, Outcome | Look]]]


@dataclass(slots=True)
class _Cached:
    token: Token
    until: float


class Sender:
    """One account's calls, in one process."""

    def __init__(
        self,
        *,
        provider: Provider,
        rules: Rules,
        base_url: str,
        concurrency: int,
        secrets: Sequence[str],
        allow_http: bool = False,
        verify: ssl.SSLContext | Literal[True] = True,
        database: Database | None = None,
    ) -> None:
        self.provider = provider
        self.rules = rules
        self.database = database
        self._secrets = list(secrets)
        self._client = HttpClient(
            base_url=base_url,
            concurrency=concurrency,
            timeout_seconds=rules.timeout_seconds,
            secrets=self._secrets,
            allow_http=allow_http,
            verify=verify,
        )
        self.slots = Slots(concurrency, lambda: self._client.call_seconds)
        self._trouble = {operation: Trouble(rules.breaker) for operation in Operation}
        self._cached: _Cached | None = None
        self._logging_in = asyncio.Lock()

    @property
    def calm(self) -> bool:
        """Whether this process knows of no trouble that may not be recorded yet."""
        return not any(trouble.pending for trouble in self._trouble.values())

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def plan(self, operation: Operation, tasks: Sequence[TaskRef]) -> Plan:
        """The calls for these tasks. Those for which the provider plans none are deferred: none is forgotten."""
        ask = self.provider.retries if operation is Operation.RETRY else self.provider.checks
        try:
            plan = ask(tasks)
            known = {task.id for call in plan.calls for task in call.tasks} | plan.refused.keys()
        except Exception as error:  # noqa: BLE001 - somebody else's code may raise anything
            self._defect(operation.value, error)
            plan, known = Plan(()), set()
        left = {task.id: Deferred(message="the provider's code has no call for it") for task in tasks}
        return Plan(plan.calls, {id_: words for id_, words in left.items() if id_ not in known} | {**plan.refused})

    async def retry(
        self, tasks: Sequence[TaskRef], window: Window, plan: Plan | None = None
    ) -> dict[int, Outcome | Look]:
        """Retry tasks: an outcome for each, whatever happens. Who has planned their calls already hands the plan in."""
        return await self._heard(Operation.RETRY, plan or self.plan(Operation.RETRY, tasks), window, self._retry)

    async def check(
        self, tasks: Sequence[TaskRef], window: Window, plan: Plan | None = None
    ) -> dict[int, Outcome | Look]:
        """Look at tasks: a look at each, whatever happens."""
        return await self._heard(Operation.CHECK, plan or self.plan(Operation.CHECK, tasks), window, self._check)

    async def _heard(self, operation: Operation, plan: Plan, window: Window, make: Make) -> dict[int, Outcome | Look]:
        window.trouble = self._trouble[operation]
        found = await self._all(plan, window, make)
        window.trouble.hear(found.values())
        return found

    async def _all(self, plan: Plan, window: Window, make: Make) -> dict[int, Outcome | Look]:
        """The plan's calls one after the other: the first has the window's permit, each further one gets its own."""
        found: dict[int, Outcome | Look] = dict(plan.refused)
        for number, call in enumerate(plan.calls):
            if number and not await self._permit(call.limit_path, window):
                found |= {task.id: Unsent(message="no permit within the lease") for task in call.tasks}
                continue
            found |= await make(call, window)
        return {task_id: self._scrubbed(answer) for task_id, answer in found.items()}

    async def _retry(self, call: Call, window: Window) -> Mapping[int, Outcome | Look]:
        exchange, refused = await self._exchange(call, window, RETRY_BYTES)
        if refused is not None:
            return {task.id: refused for task in call.tasks}
        try:
            answer = self.provider.outcomes(call, exchange)
            if not isinstance(answer, Split):
                return _complete(call, answer, exchange, OUTCOMES)
        except Exception as error:  # noqa: BLE001 - as above
            self._defect(call.limit_path, error)
            return _complete(call, {}, exchange, OUTCOMES)
        if len(call.tasks) == 1:
            return {call.tasks[0].id: answer.outcome}
        return await self._halves(call, window)

    async def _halves(self, call: Call, window: Window) -> Mapping[int, Outcome | Look]:
        """One id spoils the call: ask again in halves, until it stands alone."""
        middle = len(call.tasks) // 2
        found: dict[int, Outcome | Look] = {}
        for half in (call.tasks[:middle], call.tasks[middle:]):
            if not any(map(says_stop, found.values())) and await self._permit(call.limit_path, window):
                found |= await self._all(self.provider.retries(half), window, self._retry)
            else:
                found |= {task.id: Unsent(message="refused as a whole, not asked again in time") for task in half}
        return found

    async def _check(self, call: Call, window: Window) -> Mapping[int, Outcome | Look]:
        found: dict[int, Outcome | Look] = {}
        for _ in range(MAX_PAGES):
            exchange, refused = await self._exchange(call, window, READ_BYTES)
            if refused is not None:
                return found | {task.id: refused for task in call.tasks}
            try:
                looked = self.provider.looks(call, exchange)
                found |= looked.looks
                if looked.more is None:
                    return _complete(call, found, exchange, LOOKS)
                call = looked.more
            except Exception as error:  # noqa: BLE001 - as above
                self._defect(call.limit_path, error)
                return _complete(call, found, exchange, LOOKS)
            if not await self._permit(call.limit_path, window):
                break
        late = Unsent(message="not all pages read within the lease")
        return {task.id: late for task in call.tasks} | found

    async def _exchange(self, call: Call, window: Window, max_bytes: int) -> tuple[Exchange, Outcome | None]:
        """Make the call, logged in where the account logs in; a token refused once is renewed once."""
        for last in (False, True):
            token = await self._logged_in(window)
            if token is not None and not isinstance(token, str):
                return Exchange(sent=False), token
            # A login may take longer than a permit lasts, and all that waited for it would leave at once.
            if token is not None and boottime() > window.leave_by and not await self._moment(call.limit_path, window):
                return Exchange(sent=False), Unsent(message="no permit left after the login")
            exchange = await self._send(call, window, token, max_bytes)
            refused = exchange.answer is not None and exchange.answer.status == 401  # noqa: PLR2004 - HTTP's
            if last or token is None or not refused:
                break
            self._forget(token)
            if not await self._permit(call.limit_path, window):
                # Nothing is known of the credentials: the token may simply have grown old.
                return exchange, Unsent(message="the token was refused, with no permit left to renew it")
        return exchange, None

    async def _send(self, call: Call, window: Window, token: str | None, max_bytes: int) -> Exchange:
        try:
            auth = self.provider.auth(token) if call.request.authenticated else None
        except Exception as error:  # noqa: BLE001 - as above
            return Exchange(sent=False, error=self._defect(call.limit_path, error))
        not_after = min(window.not_after, window.leave_by)
        exchange = await self._client.exchange(
            call.request,
            auth=auth,
            leave_in=max(0.0, window.leave_after - boottime()),
            not_after=not_after,
            may_send=lambda: window.trouble is None or not window.trouble.holds(window.heard_at),
            max_bytes=max_bytes,
        )
        if exchange.late and boottime() < window.not_after:
            # The lease was not the reason: a provider this slow to reach fails, or it is tried for ever.
            return Exchange(sent=False, error="not sent: connecting took too long for its permit")
        return exchange

    async def _logged_in(self, window: Window) -> str | Outcome | None:
        """:meth:`_token`, where the provider's own code may fail: the call behind the login has not left."""
        try:
            return await self._token(window)
        except Exception as error:  # noqa: BLE001 - as above
            return Deferred(message=self._defect("login", error))

    def _forget(self, token: str) -> None:
        """The token is good no more. One that another call has fetched meanwhile stays."""
        if self._cached is not None and self._cached.token.value == token:
            self._cached = None

    async def _token(self, window: Window) -> str | Outcome | None:
        """The token of an account that logs in, None for all others; an outcome when none is to be had."""
        login = self.provider.login()
        if login is None:
            return None
        async with self._logging_in:
            if self._cached is not None and boottime() < self._cached.until:
                return self._cached.token.value
            asked, own = boottime(), replace(window)  # the call behind the login keeps its moment
            if not await self._permit(login.limit_path, own):
                return Unsent(message="no permit to log in within the lease")
            exchange = await self._send(login, own, None, RETRY_BYTES)
            answer = self.provider.token(exchange)
            if not exchange.sent or not isinstance(answer, Token | Deferred | Unsent):
                # It is no further call: it never left, or what it yielded counts as the answer of the call behind it.
                window.calls.remove(login.limit_path)
            if isinstance(answer, Throttled):
                # Every path of the account needs the login, so that all of them wait.
                return replace(answer, whole_account=True)
            if not isinstance(answer, Token):
                return answer
            self._cached = _Cached(answer, asked + answer.valid_seconds)
            self._secrets.append(answer.value)
            return answer.value

    async def _permit(self, path: str, window: Window) -> bool:
        """One more permit, for a call beyond the first."""
        if not await self._moment(path, window):
            return False
        window.calls.append(path)
        return True

    async def _moment(self, path: str, window: Window) -> bool:
        """A permit, whose moment becomes the window's.

        It is taken when its moment is near and not before: what is granted holds, whatever penalty comes meanwhile.
        """
        while window.may_go_on():
            found = await asyncio.to_thread(self._take, path, window.until)
            if found is None:
                return False
            if isinstance(found, tuple):
                window.leave_after, window.leave_by = found
                return True
            await asyncio.sleep(max(0.0, found - boottime()))
        return False

    def _take(self, path: str, until: datetime) -> tuple[float, float] | float | None:
        """A permit, or the boottime at which to ask again; None when there is none to be had before ``until``."""
        if self.database is None:
            return boottime(), boottime() + LATE_SECONDS
        try:
            with self.database.transaction() as t:
                soon = min(until, t.now + timedelta(seconds=SLICE_SECONDS))
                if moments := permits.take(t, self.rules, {path: 1}, soon)[path]:
                    return permits.leaving(t, moments[0])
                free_at = permits.free_at(permits.paths_of(t, self.rules), path, t.now)
                return t.not_before(free_at) if free_at <= until else None
        except (Unreachable, SQLAlchemyError):
            return None

    def _scrubbed(self, answer: Outcome | Look) -> Outcome | Look:
        try:
            return scrubbed(answer, self._secrets)
        except Exception as error:  # noqa: BLE001 - as above: words that are not text
            return Unknown(message=self._defect("answer", error))

    def _defect(self, where: str, error: Exception) -> str:
        """Say that the provider's code failed. Not with its traceback: its variables hold secrets."""
        words = scrub(f"{type(error).__name__}: {error}", self._secrets)
        log.error("provider.defect", account=self.rules.account, provider=self.rules.provider, at=where, error=words)
        return f"the provider's code failed: {type(error).__name__}"


def _complete(
    call: Call, answers: Mapping[int, Outcome | Look], exchange: Exchange, kinds: tuple[type, ...]
) -> Mapping[int, Outcome | Look]:
    """An answer of the right kind for every task asked, and for no other."""
    right = {id_: answer for id_, answer in answers.items() if isinstance(answer, kinds)}
    return {task.id: right.get(task.id, _unreadable(exchange)) for task in call.tasks}


def _unreadable(exchange: Exchange) -> Outcome:
    if exchange.withheld:
        return Unsent(message=exchange.error)
    if not exchange.sent:
        return Deferred(message=exchange.error)
    return Unknown(message=exchange.error or "the answer could not be read")
