"""Making an account's calls: with a token where it logs in, halved when one bad id spoils a call, page by page.

Every call made here has a permit of its own. The provider says what to ask and what an answer means; whether bytes
left is the transport's word alone. A provider is somebody else's code: whatever it raises, its tasks get an answer.
"""

import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Literal, get_args

import structlog

from models.clock import boottime
from models.db import Database
from models.outcome import Deferred, Look, Outcome, Unknown, Unsent
from models.rules import Rules
from models.states import Operation

from .http import HttpClient
from .login import Login
from .providers.base import Call, Exchange, Plan, Provider, Split, TaskRef
from .scrub import scrub, scrubbed
from .slots import Slots
from .trouble import Trouble, says_stop
from .window import Permits, Window

log = structlog.get_logger("redrive.worker")

RETRY_BYTES = 1024 * 1024
READ_BYTES = 16 * 1024 * 1024
"""The largest answers read: of a retry, and of a look."""

MAX_PAGES = 100

OUTCOMES, LOOKS = get_args(Outcome), get_args(Look)

Make = Callable[[Call, Window], Awaitable[Mapping[int, Outcome | Look]]]


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
        self._permits = Permits(rules, database)
        self._login = Login(
            provider,
            self._permits,
            send=lambda call, window: self._send(call, window, None, RETRY_BYTES),
            secret=self._secrets.append,
        )

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
        left = {task.id: Deferred(message="the provider's code has no call for it", of_task=True) for task in tasks}
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
            if number and not await self._permits.one_more(call.limit_path, window):
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
            if not any(map(says_stop, found.values())) and await self._permits.one_more(call.limit_path, window):
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
            if not await self._permits.one_more(call.limit_path, window):
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
            if (
                token is not None
                and boottime() > window.leave_by
                and not await self._permits.renew(call.limit_path, window)
            ):
                return Exchange(sent=False), Unsent(message="no permit left after the login")
            exchange = await self._send(call, window, token, max_bytes)
            refused = exchange.answer is not None and exchange.answer.status == 401  # noqa: PLR2004 - HTTP's
            if last or token is None or not refused:
                break
            self._login.forget(token)
            if not await self._permits.one_more(call.limit_path, window):
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
        """The account's token, where the provider's own code may fail: the call behind the login has not left."""
        try:
            return await self._login.token(window)
        except Exception as error:  # noqa: BLE001 - as above
            return Deferred(message=self._defect("login", error))

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
