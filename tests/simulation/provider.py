"""The providers' side: the sandbox's tasks behind a network that fails, watched for what no caller may ever do."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import httpx

from redrive.models.clock import boottime
from redrive.sandbox.config import SandboxConfig
from redrive.sandbox.exchange import Refusal, Reply, ServedCall
from redrive.sandbox.huawei_iam import LOGIN
from redrive.sandbox.huawei_workspace import RECORD, RECORDS, RETRY
from redrive.sandbox.sandbox import Sandbox, nowhere
from redrive.sandbox.strange import in_strange_words
from redrive.worker.session import departure
from tests.simulation.faults import NETWORK, Fault, spoiled
from tests.simulation.history import History
from tests.simulation.process import Process
from tests.simulation.stage import Stage

API = "/api/app-api/sip/platform/v2"

Key = tuple[str, str, str]
"""A task at a provider: the provider, its sort of task and its id there."""


@dataclass
class Strikes:
    """What befalls the calls of one account."""

    probability: float = 0.0
    faults: tuple[Fault, ...] = ()
    slowest_seconds: float = 0.2


@dataclass
class Told:
    """What the provider said that its caller must obey once it is recorded."""

    account: str
    group: str
    path: str
    fault: Fault
    at: float


@dataclass
class Provider:
    """All three of them.

    Attributes:
        latest_arrival_seconds: how long a request may be on its way after its connection broke: it and what status
            calls lag behind take less than an end needs to be believed.
        told: what calls of a coroutine were told.
        blocks: account → words of the blocks it was told of.
        refusals: task → reasons for which it was refused by a fault.
        doubts: task → refusals by faults that prove nothing.
        unreadable, ever_unreadable: ids of tasks whose states are shown in words that nobody documented, now and ever.
        puzzled: accounts of which a check was answered with what proves nothing.
    """

    stage: Stage
    history: History
    rng: Random
    config: SandboxConfig
    strikes: dict[str, Strikes]
    leaving: Callable[[str, str, str, httpx.Request, float], None]
    latest_arrival_seconds: float
    told: dict[asyncio.Task[Any] | None, list[Told]] = field(default_factory=lambda: defaultdict(list))
    blocks: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    refusals: dict[Key, set[str]] = field(default_factory=lambda: defaultdict(set))
    doubts: Counter[Key] = field(default_factory=Counter)
    undelivered: Counter[str] = field(default_factory=Counter)
    unreadable: set[str] = field(default_factory=set)
    ever_unreadable: set[str] = field(default_factory=set)
    puzzled: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.sandbox = Sandbox(self.config, lambda: self.stage.now().timestamp())

    def transport(self, process: Process, account: str) -> "Transport":
        return Transport(self, process, account)

    def strike(self, account: str, path: str) -> Fault | None:
        """The fault that befalls a call."""
        strikes = self.strikes[account]
        if self.rng.random() >= strikes.probability:
            return None
        retries = path.endswith(("/retry", "/restart"))
        able = [fault for fault in strikes.faults if (fault.retries if retries else fault.checks)]
        if path == LOGIN:
            able = [fault for fault in able if fault in NETWORK or fault.name.startswith(("429", "50"))]
        return self.rng.choice(able) if able else None

    def answer_seconds(self, how: str, slowest: float) -> float:
        """How long an answer is on its way."""
        if how == "late":
            return 10_000
        return self.rng.uniform(2, 5.5) if how == "slow" else self.rng.uniform(0.001, slowest)

    def arrive(self, account: str, request: httpx.Request, fault: Fault | None) -> tuple[Reply, list[Any]]:
        """The request is there, whole: it is carried out or not, and this is the answer."""
        raw_path, _, query = request.url.raw_path.decode().partition("?")
        call = ServedCall(
            method=request.method,
            raw_path=raw_path,
            query=query,
            headers=request.headers,
            body=request.content,
            now=self.stage.now().timestamp(),
            applies=fault is None or fault.applies,
            doubtful=fault is not None and fault.doubtful,
        )
        reply = self._reply(call)
        if self.unreadable and not call.touched:
            reply = replace(reply, body=in_strange_words(json.loads(reply.content or b"null"), self.unreadable))
        if fault is not None:
            reply = fault.reply or spoiled(fault, reply, self.rng)
            self._remember(account, fault, call)
        for task in call.touched:
            self.history.say("provider", f"{task.name} runs={task.runs} accepted={task.accepted} asked={task.asked}")
        self._violations()
        return reply, call.touched

    def _reply(self, call: ServedCall) -> Reply:
        endpoint = self.sandbox.endpoints.get((call.method, _served(call.raw_path)))
        if endpoint is None:
            return nowhere(call.raw_path)
        try:
            return endpoint(call)
        except Refusal as refusal:
            return refusal.reply

    def _remember(self, account: str, fault: Fault, call: ServedCall) -> None:
        for task in call.touched:
            sort = next(s for (p, s), known in self.sandbox.world.tasks.items() if known.get(task.external_id) is task)
            key = (task.provider, sort, task.external_id)
            if fault.refuses:
                self.refusals[key].add(fault.refuses)
            self.doubts[key] += fault.doubts
        if (fault.doubts or fault.spoils) and not call.touched:
            self.puzzled.add(account)
        if fault.blocks or fault.forbids:
            # A call about several tasks forbids each of them.
            self.blocks[account] += [fault.blocks or "403"] * max(1, len(call.touched))

    def _violations(self) -> None:
        watch = self.sandbox.world.watch
        for kind in list(watch.violations):
            self.history.violation(f"{kind.value}: {watch.examples[kind][-1]}")
            del watch.violations[kind], watch.examples[kind]


def _served(path: str) -> str:
    """The template a path belongs to."""
    if not path.startswith("/v2/"):
        return path
    rest = path.split("/", 3)[-1]
    if rest == "script-executions/retry":
        return RETRY
    return RECORDS if rest == "script-execution-records" else RECORD


def limit_path(raw_path: str) -> str:
    """The path that a permit was taken for."""
    served = _served(raw_path)
    if served in {RECORD, RECORDS}:
        return "/script-execution-records"
    return served.removeprefix(API).removeprefix("/v2/{project_id}")


class _Body(httpx.AsyncByteStream):
    def __init__(self, content: bytes, *, cut: bool) -> None:
        self._content = content
        self._cut = cut

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._content[: len(self._content) // 2] if self._cut else self._content
        if self._cut:
            raise httpx.ReadError("the connection broke")


class Transport(httpx.AsyncBaseTransport):
    """One account's network: what the real transport is to the HTTP client, without sockets."""

    def __init__(self, provider: Provider, process: Process, account: str) -> None:
        self._provider = provider
        self._process = process
        self._account = account
        self._group = process.rules[account].group

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Connect, look once more, send, and wait for what comes."""
        provider, path = self._provider, limit_path(request.url.raw_path.decode().partition("?")[0])
        fault = provider.strike(self._account, path)
        if fault is not None:
            provider.history.fault(self._account, fault.name, path)
        await self._connect(fault)
        departure.get().last_look()
        provider.history.calls += 1
        provider.history.say(self._account, f"{self._process.name} calls {path} {request.content.decode()[:200]}")
        provider.leaving(self._account, self._group, path, request, _began())
        return await self._answer(request, path, fault)

    async def _connect(self, fault: Fault | None) -> None:
        rng = self._provider.rng
        await asyncio.sleep(rng.uniform(0.001, 0.1))
        if fault is not None and fault.how == "refuse":
            self._provider.undelivered[self._account] += 1
            raise httpx.ConnectError("refused")
        if fault is not None and fault.how == "slow connect":
            self._provider.undelivered[self._account] += 1
            await asyncio.sleep(rng.uniform(1, 9))

    async def _answer(self, request: httpx.Request, path: str, fault: Fault | None) -> httpx.Response:
        provider, how = self._provider, fault.how if fault is not None else "answer"
        slowest = provider.strikes[self._account].slowest_seconds
        line = _Line()
        # The request goes on by itself: a caller who dies or hangs up does not take it back.
        seconds = provider.rng.uniform(0.001, provider.latest_arrival_seconds if how == "limbo" else slowest)
        asyncio.get_running_loop().call_later(seconds, self._arrive, request, fault, line)
        try:
            if how == "limbo":
                await asyncio.sleep(provider.rng.uniform(0.001, slowest))
                raise httpx.ReadError("the connection broke")
            await line.arrived.wait()
            await asyncio.sleep(provider.answer_seconds(how, slowest))
            if how == "drop":
                raise httpx.ReadError("the connection broke")
            return self._response(line.reply, path, fault)
        finally:
            line.hang_up()

    def _arrive(self, request: httpx.Request, fault: Fault | None, line: "_Line") -> None:
        line.reply, touched = self._provider.arrive(self._account, request, fault)
        line.arrive(touched)

    def _response(self, reply: Reply, path: str, fault: Fault | None) -> httpx.Response:
        provider = self._provider
        if fault is not None and (fault.penalty or fault.blocks):
            task = asyncio.current_task()
            provider.told[task].append(Told(self._account, self._group, path, fault, boottime()))
        provider.history.say(self._account, f"answered {reply.status} {reply.content[:160]!r}")
        headers = {"Content-Type": reply.content_type, **reply.headers}
        body = _Body(reply.content, cut=fault is not None and fault.how == "cut")
        return httpx.Response(reply.status, headers=headers, stream=body)


def _began() -> float:
    """When the coroutine that makes this call was started."""
    task = asyncio.current_task()
    assert task is not None
    return float(task.get_name())


class _Line:
    """The connection of one call: its tasks are unanswered until its caller has the answer, or is gone."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.reply = Reply("nothing yet")
        self._touched: list[Any] = []
        self._gone = False

    def arrive(self, touched: list[Any]) -> None:
        self._touched = touched
        self.arrived.set()
        if self._gone:
            self.hang_up()

    def hang_up(self) -> None:
        self._gone = True
        for task in self._touched:
            task.unanswered -= 1
        self._touched = []
