"""The conductor: of all actors one moves at a time, from one statement to the next, and every move is written down.

An actor is a thread that runs the product's own code. Before each statement, each COMMIT and each wait it stops and
hands the baton back. Who waits for a lock of another is found by asking the database, never by sleeping.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from queue import Empty, SimpleQueue
from typing import Protocol

from tests.interleaving.clock import Clock

POLL_SECONDS = 0.005
"""How long a statement may run before the database is asked whether it waits for a lock."""
STUCK_POLLS = 12_000
LONGEST_LINE = 160

_here = threading.local()


class Crashed(BaseException):
    """The process of this actor is killed: nothing of ours may catch this."""


class Violation(AssertionError):  # noqa: N818 - what was found, not what went wrong here
    """A promise was broken."""


def in_few_lines(history: Iterable[str]) -> list[str]:
    """What one actor does in a row, in one line."""
    lines: list[str] = []
    for each in history:
        head, colon, rest = each.partition(": ")
        if colon and lines and lines[-1].startswith(head + colon) and len(lines[-1]) < LONGEST_LINE:
            lines[-1] += f" · {rest}"
        else:
            lines.append(each)
    return lines


class Locks(Protocol):
    """Who waits for whom."""

    def waits_for(self, actor: "Actor", others: Iterable["Actor"]) -> list["Actor"]: ...

    def may_go_on(self, actor: "Actor", others: Iterable["Actor"]) -> bool: ...

    def free(self, actor: "Actor") -> None: ...


class At(Enum):
    """Where an actor stands."""

    REST = "rest"
    STATEMENT = "statement"
    COMMIT = "commit"
    DEED = "deed"
    WAIT = "wait"


@dataclass(slots=True)
class Stop:
    """Where an actor has stopped: what it does next, and what it waits for."""

    at: At
    words: str
    until: float | None = None
    ready: Callable[[], bool] | None = None


@dataclass(slots=True)
class Ended:
    """The actor's work is over."""

    error: BaseException | None = None


@dataclass(eq=False)
class Actor:
    """One process: it rests, or a thread does its work.

    Attributes:
        blocked: its statement waits for somebody's lock.
        fate: what its next COMMIT meets.
        wrote: its open transaction has written.
        frozen: it stands, whatever it could do.
        over: it has ended a transaction since it last stopped.
        pid: of its server process.
    """

    name: str
    clock: Clock
    stop: Stop = field(default_factory=lambda: Stop(At.REST, ""))
    blocked: bool = False
    frozen: bool = False
    fate: str = ""
    wrote: bool = False
    committed: bool = False
    over: bool = False
    injured: bool = False
    holds: bool = False
    pid: int = 0
    batch: int = 0
    surprises: list[str] = field(default_factory=list)
    thread: threading.Thread | None = None
    _go: "SimpleQueue[BaseException | None]" = field(default_factory=SimpleQueue)
    _stopped: "SimpleQueue[Stop | Ended]" = field(default_factory=SimpleQueue)

    def __repr__(self) -> str:
        return self.name

    # --- in its own thread ---

    def pause(self, stop: Stop) -> None:
        """Hand the baton back; an order that comes with it is obeyed."""
        self._stopped.put(stop)
        if (order := self._go.get()) is not None:
            raise order

    def start(self, work: Callable[[], object]) -> None:
        self.over = self.wrote = self.committed = self.injured = self.holds = False
        self.fate = ""
        self.thread = threading.Thread(target=self._run, args=(work,), name=self.name, daemon=True)
        self.thread.start()

    def _run(self, work: Callable[[], object]) -> None:
        _here.actor = self
        try:
            self.pause(Stop(At.DEED, ""))
            work()
        except BaseException as error:  # noqa: BLE001 - the conductor judges
            self._stopped.put(Ended(error))
        else:
            self._stopped.put(Ended())

    def surprise(self, words: str) -> None:
        """Something happened that nobody ordered."""
        self.surprises.append(words)

    # --- in the conductor's ---

    @property
    def resting(self) -> bool:
        return self.thread is None

    @property
    def runnable(self) -> bool:
        """Whether it could move now, as far as it knows itself."""
        stop = self.stop
        if self.resting or self.blocked:
            return False
        if stop.ready is not None and stop.ready():
            return True
        if stop.until is not None:
            return self.clock.reached(stop.until)
        return stop.ready is None

    def go(self, order: BaseException | None = None) -> None:
        self._go.put(order)

    def stopped(self, timeout: float | None) -> Stop | Ended | None:
        try:
            return self._stopped.get(timeout=timeout)
        except Empty:
            return None


def current() -> Actor | None:
    """The actor whose thread this is."""
    return getattr(_here, "actor", None)


@dataclass
class Conductor:
    """Moves actors, and knows who is blocked by whom."""

    clock: Clock
    locks: Locks
    actors: list[Actor]
    history: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    blocked: list[Actor] = field(default_factory=list)
    after: Callable[[Actor], None] = lambda _: None
    ended: Callable[[Actor, BaseException | None], None] = lambda _actor, _error: None

    def say(self, words: str) -> None:
        self.history.append(f"{self.clock.words()}  {words}")

    def problem(self, words: str) -> None:
        self.problems.append(words)
        self.say(f"!! {words}")

    def begin(self, actor: Actor, work: Callable[[], object]) -> None:
        actor.start(work)
        self._arrive(actor)

    def move(self, actor: Actor, order: BaseException | None = None, words: str = "") -> None:
        """Let an actor make its next move, or obey an order; all whom that sets free come to their next stop."""
        if order is not None:
            self.say(f"{actor} {words} before: {actor.stop.words or 'anything'}")
        elif actor.stop.words:
            self.say(f"{actor}: {actor.stop.words}")
        actor.go(order)
        self._arrive(actor)
        if actor.over:
            self._settle(actor)

    def can_move(self, actor: Actor) -> bool:
        return actor.runnable and not actor.frozen and self.locks.may_go_on(actor, self.actors)

    def _settle(self, actor: Actor) -> None:
        """A transaction is over: whoever waited for it goes on, in the order in which they came."""
        while actor.over:
            actor.over = False
            wrote, actor.committed = actor.committed, False
            for each in list(self.blocked):
                self._arrive(each)
            if wrote:
                self.after(actor)
            actor = next((each for each in self.actors if each.over), actor)

    def _arrive(self, actor: Actor) -> None:
        """Wait until the actor stands again, or is known to wait for another's lock."""
        for _ in range(STUCK_POLLS):
            stop = actor.stopped(POLL_SECONDS)
            if stop is not None:
                return self._stands(actor, stop)
            if ahead := self.locks.waits_for(actor, self.actors):
                return self._waits(actor, ahead)
        raise RuntimeError(f"{actor} neither stops nor waits for a lock: {actor.stop.words}")

    def _stands(self, actor: Actor, stop: Stop | Ended) -> None:
        if actor.blocked:
            self.blocked.remove(actor)
            actor.blocked = False
        while actor.surprises:
            self.problem(f"{actor}: {actor.surprises.pop(0)}")
        if isinstance(stop, Stop):
            actor.stop = stop
            return
        assert actor.thread is not None
        actor.thread.join()
        actor.thread, actor.stop = None, Stop(At.REST, "")
        self.ended(actor, stop.error)

    def _waits(self, actor: Actor, ahead: list[Actor]) -> None:
        if actor.blocked:
            return
        actor.blocked = True
        self.blocked.append(actor)
        self.say(f"{actor} waits for {', '.join(map(str, ahead))}")
        circle = self._circle(actor, [])
        if circle:
            self.problem("a deadlock: " + " waits for ".join(map(str, circle)))

    def _circle(self, actor: Actor, path: list[Actor]) -> list[Actor]:
        if actor in path:
            return [*path[path.index(actor) :], actor]
        ahead = self.locks.waits_for(actor, self.actors) if actor.blocked else []
        return next((found for each in ahead if (found := self._circle(each, [*path, actor]))), [])

    def dismiss(self) -> None:
        """Kill whoever is still at work, also who waits for a lock."""
        while busy := [actor for actor in self.actors if not actor.resting]:
            free = [actor for actor in busy if not actor.blocked]
            for actor in free:
                actor.go(Crashed())
                self._arrive(actor)
            for actor in busy if not free else []:
                self.locks.free(actor)
            for actor in list(self.blocked):
                self._arrive(actor)
