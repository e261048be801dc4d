"""A provider as it sees itself: which calls reached it and when, which of them it has not answered, what runs.

It stands where the sockets would be: everything above, from the real job to the real sender and the real provider
code, is the product's own.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from redrive.worker.providers.base import Answer, Exchange, Request
from tests.interleaving.actors import Stage, batch
from tests.interleaving.clock import Clock
from tests.interleaving.conductor import Actor

if TYPE_CHECKING:
    import asyncio

RESTART = "/open/v1/task/restart"
WORDS = {2: "runs", 3: "succeeded", 4: "failed"}
"""GeeLark's states."""
HIDDEN_SECONDS = 45.0
"""How long a new run may not show in checks yet: less than ``settle_seconds``."""
TIMEOUT_SECONDS = 30.0

QUICK, SLOW = 0.2, 25.0
RETRIES = (
    "accepted", "accepted slowly", "accepted, never answered", "lost on the way", "throttled", "not connected",
    "the first already at work", "no balance", "the first refused",
)  # fmt: skip
CHECK_RESULTS = ("answered", "answered slowly", "never answered", "throttled")
RUNS = ((False, 300.0, True), (False, 90.0, False), (True, 300.0, True), (False, 20.0, False), (True, 20.0, False))
"""How a run ends, how long it takes, and whether looks show it late."""


@dataclass(slots=True)
class Run:
    """A run of a task that a retry began."""

    shown_at: float
    ends_at: float
    succeeds: bool

    def going_on(self, now: float) -> bool:
        return now < self.ends_at


@dataclass(slots=True)
class Arrival:
    """A retry of one task that reached the provider. ``over_at``: answered by then, or its connection closed."""

    at: float
    over_at: float
    doubtful: bool
    examined: bool = False


@dataclass(slots=True)
class Job:
    """A task as the provider knows it."""

    runs: list[Run] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)

    def state(self, now: float, *, told: bool) -> tuple[int, int]:
        """GeeLark's status, and the number of the run; a check is told late of a new one."""
        known = [run for run in self.runs if not told or run.shown_at <= now]
        if not known:
            return 4, 0
        if known[-1].going_on(now):
            return 2, len(known)
        return 3 if known[-1].succeeds else 4, len(known)


@dataclass(eq=False)
class Provider:
    """What happened to every task, and how the next calls are answered."""

    clock: Clock
    retries: Iterator[str]
    results: Iterator[str]
    runs: Iterator[tuple[bool, float, bool]]
    marks: bool
    jobs: dict[str, Job] = field(default_factory=dict)
    left: dict[str, list[float]] = field(default_factory=dict)
    calm: bool = False

    def job(self, id_: str) -> Job:
        return self.jobs.setdefault(id_, Job())

    def take(self, request: Request) -> tuple[str, Exchange, float]:
        """A call arrives: what is said of it, what its caller will hear, and after how many seconds."""
        ids = request.json["ids"]
        found = self._retry(ids) if request.path == RESTART else self._look(ids)
        if found[1].sent:
            self.left.setdefault(request.path, []).append(self.clock.seconds)
        return found

    def _retry(self, ids: list[str]) -> tuple[str, Exchange, float]:
        way = "accepted" if self.calm else next(self.retries)
        now, failed = self.clock.seconds, dict[str, int]()
        if way == "not connected":
            return way, Exchange(sent=False, error="refused"), QUICK
        if way.startswith("the first"):
            failed[ids[0]] = 48001 if way.endswith("work") else 48003
        whole = {"throttled": 40007, "no balance": 41001}.get(way)
        answered = way not in {"accepted, never answered", "lost on the way"}
        seconds = TIMEOUT_SECONDS if not answered else SLOW if "slowly" in way else QUICK
        for id_ in ids:
            begun = whole is None and id_ not in failed and way != "lost on the way"
            self.job(id_).arrivals.append(Arrival(now, now + seconds, doubtful=begun or not answered))
            if begun:
                self._run(self.job(id_))
        return way, _answer(whole or _code(ids, failed), _failures(ids, failed)) if answered else SILENCE, seconds

    def _run(self, job: Job) -> None:
        succeeds, seconds, late = (True, 20.0, False) if self.calm else next(self.runs)
        now = self.clock.seconds
        job.runs.append(Run(now + HIDDEN_SECONDS * late, now + seconds, succeeds))

    def _look(self, ids: list[str]) -> tuple[str, Exchange, float]:
        way = "answered" if self.calm else next(self.results)
        if way == "never answered":
            return way, SILENCE, TIMEOUT_SECONDS
        if way == "throttled":
            return way, _answer(40007, {}), QUICK
        shown, words = [], []
        for id_ in ids:
            status, number = self.job(id_).state(self.clock.seconds, told=True)
            shown.append({"id": id_, "status": status} | ({"cost": number} if self.marks else {}))
            words.append(f"{id_} {WORDS[status]}")
            for arrival in self.job(id_).arrivals:
                arrival.examined = True
        return (
            ", ".join(words),
            _answer(0, {"total": len(shown), "items": shown}),
            SLOW if way.endswith("slowly") else QUICK,
        )


SILENCE = Exchange(sent=True, error="no complete answer: timed out")
WITHHELD = Exchange(sent=False, error="not sent: too late", withheld=True)


def _answer(code: int, data: Any) -> Exchange:
    return Exchange(sent=True, answer=Answer(200, {}, json.dumps({"code": code, "msg": "", "data": data}).encode()))


def _code(ids: list[str], failed: dict[str, int]) -> int:
    return 0 if not failed else 40009 if len(failed) == len(ids) else 40006


def _failures(ids: list[str], failed: dict[str, int]) -> dict[str, Any]:
    counts = {"totalAmount": len(ids), "successAmount": len(ids) - len(failed), "failAmount": len(failed)}
    return counts | {"failDetails": [{"id": id_, "code": code, "msg": ""} for id_, code in failed.items()]}


@dataclass(frozen=True, slots=True)
class Ask:
    """What the sender wants of the transport."""

    request: Request
    leave_in: float
    not_after: float


class Transport:
    """Takes the place of ``redrive.worker.sender.HttpClient``: the call waits until the conductor lets it leave."""

    call_seconds = 0.0

    def __init__(self, stage: Stage, **_: object) -> None:
        self._stage = stage

    def refuses(self, _request: Request) -> str:
        """It can send whatever is planned here."""
        return ""

    async def exchange(self, request: Request, *, leave_in: float, not_after: float, **_: object) -> Exchange:
        return await self._stage.takes_off(Ask(request, leave_in, not_after), batch.get())


@dataclass(eq=False)
class Flight:
    """One call under way: it leaves, and is answered, when the conductor says so."""

    number: int
    owner: Actor | None
    batch: int
    future: "asyncio.Future[Exchange]"
    ask: Ask
    leave_at: float
    answer: tuple[Exchange, float] | None = None
    left_at: float = 0.0

    def __str__(self) -> str:
        verb = "retry" if self.ask.request.path == RESTART else "look"
        return f"call {self.number} ({self.owner or 'calm'}: {verb} {', '.join(self.ask.request.json['ids'])})"

    @property
    def at(self) -> float:
        """The second of its next move."""
        return self.leave_at if self.answer is None else self.answer[1]

    def hear(self, exchange: Exchange) -> None:
        """The sender learns what came of it, unless it is gone."""
        loop = self.future.get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(self.future.set_result, exchange)
