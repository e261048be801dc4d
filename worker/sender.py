"""Making an account's calls: with a token where it logs in, halved when one bad id spoils a call, page by page.

Every call made here has a permit of its own. The provider says what to ask and what an answer means; whether bytes
left is the transport's word alone. A provider is somebody else's code: whatever it raises, its tasks get an answer.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Literal

import structlog

from redrive.models.clock import boottime
from redrive.models.outcome import Blocked, Cause, CheckResult, Deferred, Outcome, Unknown, Unreadable, Unsent
from redrive.models.rules import Rules
from redrive.models.sql.db import Database
from redrive.models.states import Operation

from .child import ChildFailedError
from .crew import THREAD_BYTES, Crew
from .guard import ProviderFailedError, guarded
from .http import HttpClient, refusal
from .login import Login
from .planning import planned
from .providers.base import Call, Exchange, Plan, Provider, TaskRef
from .reading import Found, Question, unread
from .scrub import Secrets, scrub
from .slots import Slots
from .trouble import Trouble, says_stop
from .window import Permits, Window

log = structlog.get_logger("redrive.worker")

MAX_PAGES = 100
MAX_PAGES_BYTES = 8 * 1024 * 1024
"""All pages of one check together, where one page may not be larger than that itself."""

Make = Callable[[Call, Window], Awaitable[Mapping[int, Outcome | CheckResult]]]


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
        ca_file: str = "",
        proxy: str = "",
        verify: ssl.SSLContext | Literal[True] = True,
        database: Database | None = None,
        crew: Crew | None = None,
    ) -> None:
        self.provider = provider
        self.rules = rules
        self._secrets = Secrets(secrets)
        self._refuses = partial(refusal, base_url=base_url)
        self._crew = crew or Crew()
        self._large = asyncio.Lock()
        self._client = HttpClient(
            base_url=base_url,
            concurrency=concurrency,
            timeout_seconds=rules.timeout_seconds,
            secrets=self._secrets,
            allow_http=allow_http,
            ca_file=ca_file,
            proxy=proxy,
            verify=verify,
            crew=self._crew,
        )
        self.slots = Slots(concurrency, lambda: self._client.call_seconds)
        self._trouble = {each: Trouble(rules.breaker) for each in Operation}
        self._permits = Permits(rules, database, self._crew.permits)
        self._login = Login(
            provider,
            self._permits,
            send=lambda call, window: self._send(call, window, None, THREAD_BYTES),
            secrets=self._secrets,
            crew=self._crew,
        )

    @property
    def calm(self) -> bool:
        """Whether this process knows of no trouble that may not be recorded yet."""
        return not any(trouble.pending for trouble in self._trouble.values())

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    def plan(self, operation: Operation, tasks: Sequence[TaskRef]) -> Plan:
        """The calls for these tasks. Those for which there is none are deferred: none is forgotten."""
        plan, defects = planned(self.provider, operation, tasks, refuses=self._refuses, secrets=self._secrets)
        self._say(operation.value, defects)
        return plan

    async def retry(
        self, tasks: Sequence[TaskRef], window: Window, plan: Plan | None = None
    ) -> dict[int, Outcome | CheckResult]:
        """Retry tasks: an outcome for each, whatever happens. Who has planned their calls already hands the plan in."""
        return await self._heard(Operation.RETRY, plan or self.plan(Operation.RETRY, tasks), window, self._retry)

    async def check(
        self, tasks: Sequence[TaskRef], window: Window, plan: Plan | None = None
    ) -> dict[int, Outcome | CheckResult]:
        """Check tasks: one result for each, whatever happens."""
        return await self._heard(Operation.CHECK, plan or self.plan(Operation.CHECK, tasks), window, self._check)

    async def _heard(
        self, operation: Operation, plan: Plan, window: Window, make: Make
    ) -> dict[int, Outcome | CheckResult]:
        window.trouble = self._trouble[operation]
        found = await self._all(plan, window, make)
        window.trouble.hear(found)
        return found

    async def _all(self, plan: Plan, window: Window, make: Make) -> dict[int, Outcome | CheckResult]:
        """The plan's calls one after the other: the first has the window's permit, each further one gets its own."""
        found: dict[int, Outcome | CheckResult] = dict(plan.refused)
        for number, call in enumerate(plan.calls):
            if number and not await self._permits.one_more(call.limit_path, window):
                found |= {task.id: Unsent(message="no permit within the lease") for task in call.tasks}
                continue
            found |= await make(call, window)
        return found

    async def _retry(self, call: Call, window: Window) -> Mapping[int, Outcome | CheckResult]:
        exchange, refused = await self._exchange(call, window)
        if refused is not None:
            return {task.id: refused for task in call.tasks}
        found = await self._read(Operation.RETRY, call, exchange)
        if found.split is None:
            return found.answers
        if len(call.tasks) == 1:
            return {call.tasks[0].id: found.split}
        return await self._halves(call, window)

    async def _halves(self, call: Call, window: Window) -> Mapping[int, Outcome | CheckResult]:
        """One id spoils the call: ask again in halves, until it stands alone."""
        middle = len(call.tasks) // 2
        found: dict[int, Outcome | CheckResult] = {}
        for half in (call.tasks[:middle], call.tasks[middle:]):
            if not any(map(says_stop, found.values())) and await self._permits.one_more(call.limit_path, window):
                found |= await self._all(self.plan(Operation.RETRY, half), window, self._retry)
            else:
                found |= {task.id: Unsent(message="refused as a whole, not asked again in time") for task in half}
        return found

    async def _check(self, call: Call, window: Window) -> Mapping[int, Outcome | CheckResult]:
        found: dict[int, Outcome | CheckResult] = {}
        left = max(MAX_PAGES_BYTES, self.provider.capabilities.read_bytes)
        for _ in range(MAX_PAGES):
            exchange, refused = await self._exchange(call, window)
            if refused is not None:
                return found | {task.id: refused for task in call.tasks}
            read = await self._read(Operation.CHECK, call, exchange)
            found |= read.answers
            left -= len(exchange.answer.body) if exchange.answer else 0
            if read.more is None:
                return found
            if left <= 0:
                break
            if not await self._permits.one_more(call.limit_path, window):
                late = Unsent(message="not all pages read within the lease")
                return {task.id: late for task in call.tasks} | found
            call = read.more
        endless = Unreadable(message=f"the answer has more than {MAX_PAGES} pages or {MAX_PAGES_BYTES} bytes in all")
        return {task.id: endless for task in call.tasks} | found

    async def _read(self, operation: Operation, call: Call, exchange: Exchange) -> Found:
        """What the provider's code makes of it; what was not answered needs no provider, where nothing was asked."""
        if exchange.answer is None and operation is Operation.RETRY:
            return Found({task.id: unread(exchange) for task in call.tasks})
        items = self.provider.capabilities.read_items
        question = Question(
            self.provider,
            operation,
            call,
            exchange,
            tuple(self._secrets),
            archives=self.rules.archives,
            most_items=items,
        )
        try:
            found = await self._crew.read(question, self._large)
        except ChildFailedError as error:
            found = Found({task.id: Unknown(message=f"the answer could not be read: {error}") for task in call.tasks})
        self._say(call.limit_path, found.defects)
        return found

    async def _exchange(self, call: Call, window: Window) -> tuple[Exchange, Outcome | None]:
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
            exchange = await self._send(call, window, token, self.provider.capabilities.read_bytes)
            refused = exchange.answer is not None and exchange.answer.status == 401  # noqa: PLR2004 - HTTP's
            if last or token is None or not refused:
                break
            self._login.forget(token)
            if not await self._permits.one_more(call.limit_path, window):
                # Nothing is known of the credentials: the token may simply have grown old.
                return exchange, Unsent(message="the token was refused, with no permit left to renew it")
        return exchange, _whose_fault(exchange)

    async def _send(self, call: Call, window: Window, token: str | None, max_bytes: int) -> Exchange:
        try:
            auth = guarded(self.provider.auth, token) if call.request.authenticated else None
        except ProviderFailedError as error:
            return self._unsigned(call, error)
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

    def _unsigned(self, call: Call, error: ProviderFailedError) -> Exchange:
        """A value that cannot be signed with is a matter of the credentials; anything else is the code's."""
        self._say(call.limit_path, [str(error)])
        if isinstance(error.__cause__, ValueError):  # of text that cannot be encoded as well
            words = f"not sent: the request cannot be signed ({error.kind}); check the account's credentials"
            return Exchange(sent=False, error=words, fault="credentials")
        return Exchange(sent=False, error=_defect(error))

    async def _logged_in(self, window: Window) -> str | Outcome | None:
        """The account's token, where the provider's own code may fail: the call behind the login has not left."""
        try:
            return await self._login.token(window)
        except ProviderFailedError as error:
            self._say("login", [str(error)])
            return Deferred(message=_defect(error))

    def _say(self, where: str, defects: Sequence[str]) -> None:
        """Say that the provider's code failed. Not with its traceback: its variables hold secrets."""
        for words in defects:
            log.error(
                "provider.defect", account=self.rules.account, provider=self.rules.provider, at=where,
                error=scrub(words, self._secrets),
            )  # fmt: skip


def _defect(error: ProviderFailedError) -> str:
    return f"the provider's code failed: {error.kind}"


def _whose_fault(exchange: Exchange) -> Outcome | None:
    """What is known without the provider: why nothing was sent, where that is not a matter of the way there."""
    if exchange.fault == "credentials":
        return Blocked(cause=Cause.CREDENTIALS, message=exchange.error)
    if exchange.fault == "task":
        return Deferred(of_task=True, message=exchange.error)
    return None
