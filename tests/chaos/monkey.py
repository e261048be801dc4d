"""The monkey: when it breaks what, and when it fixes it again."""

import heapq
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from itertools import count
from math import inf

from redrive.models.clock import boottime
from redrive.models.errors import Unreachable
from tests.chaos.world import ChaosWorld, Member

DRAIN_SECONDS = 60.0
"""A worker that was told to stop and has not by then never will."""

NO_DATABASE = 1
"""The exit code of a process that could not start because the database did not answer."""

Deed = Callable[["Monkey"], bool]
"""Do it; False when that cannot be done at the moment."""


class Monkey:
    """Throws the dice and keeps the agenda. All but thawing happens in the thread that calls :meth:`step`.

    Attributes:
        done: how often each deed was done.
        wrong: what processes did that they never should.
        busy: names of what is broken right now and must not be broken twice ("broker", "database", "network").
        peace: nothing is broken any more.
        lingering_until: until then a call may hang at the provider, infinite while such a fault is on.
    """

    def __init__(self, world: ChaosWorld, deeds: Mapping[str, Deed], *, seed: int) -> None:
        self.world = world
        self.dice = random.Random(seed)
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.busy: set[str] = set()
        self.peace = threading.Event()
        self.lingering_until = -inf
        self._deeds = deeds
        self._deck: list[str] = []
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        self._next_deed = boottime()

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        """Put it on the agenda."""
        heapq.heappush(self._agenda, (boottime() + seconds, next(self._numbers), what))

    def one_of(self, part: str) -> Member | None:
        """A scheduler or worker that is at work, if leaving it aside leaves another one."""
        at_work = [member for member in self.world.crew if member.part == part and member.at_work]
        return self.dice.choice(at_work) if len(at_work) > 1 else None

    def step(self) -> None:
        """Whatever is due now: fixing, and one more deed."""
        self._keep_agenda(boottime())
        self._supervise()
        if boottime() >= self._next_deed:
            self._do_one()
            self._next_deed = boottime() + self.world.pace.every * self.dice.uniform(0.4, 1.6)

    def calm(self) -> None:
        """Fix everything at once and break nothing more; every process reads the settings as they are now."""
        self.peace.set()
        for member in self.world.crew:
            if member.frozen:
                _thaw(member)
        while self._agenda:
            self._keep_agenda(inf)
        self.world.clear_faults()
        for member in self.world.crew:
            self.world.replace(member)

    def supervise(self, seconds: float) -> None:
        """Only look after the processes for so long."""
        until = boottime() + seconds
        while boottime() < until:
            self._keep_agenda(boottime())
            self._supervise()
            time.sleep(0.1)

    def attempt(self, what: Callable[["Monkey"], object]) -> object:
        """Do it if the database is there."""
        try:
            return what(self)
        except Unreachable:
            return None

    def _keep_agenda(self, now: float) -> None:
        while self._agenda and self._agenda[0][0] <= now:
            _, _, what = heapq.heappop(self._agenda)
            try:
                what()
            except Unreachable:
                self.later(1.0, what)

    def _do_one(self) -> None:
        """The next card that can be played: every deed comes once before any comes again."""
        for _ in range(len(self._deeds)):
            if not self._deck:
                self._deck = self.dice.sample(sorted(self._deeds), len(self._deeds))
            name = self._deck.pop()
            if self.attempt(self._deeds[name]):
                self.done[name] += 1
                return
            self._deck.insert(0, name)

    def _supervise(self) -> None:
        """Start again what has ended, as a service manager would.

        A process that finds no database when it starts ends with 1 and says so; nothing else may end unasked.
        """
        for member in self.world.crew:
            code = member.process.returncode
            if code is None or member.away:
                continue
            if code == NO_DATABASE and not member.started and "database postgresql" in member.words:
                self.done["service manager: started again what found no database"] += 1
            else:
                self.wrong.append(f"{member.part} {member.number} ended by itself with {code}: {_end_of(member)}")
            self.world.replace(member)

    # --- Processes -----------------------------------------------------------------------------------------------

    def kill(self, member: Member) -> None:
        """SIGKILL, and somebody new after a while."""
        member.away = True
        member.process.kill()
        self.later(self.dice.uniform(0.2, 4), lambda: self.world.replace(member))

    def freeze(self, member: Member, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after so long.

        Not by the agenda: what is frozen may hold a lock that the next deed waits for.
        """
        member.frozen = True
        member.process.signal(signal.SIGSTOP)
        timer = threading.Timer(seconds, _thaw, (member,))
        timer.daemon = True
        timer.start()

    def drain(self, member: Member) -> None:
        """SIGTERM, and somebody new once it has ended by itself."""
        member.away = True
        member.process.signal(signal.SIGTERM)
        self._await_end(member, boottime() + DRAIN_SECONDS)

    def _await_end(self, member: Member, until: float) -> None:
        code = member.process.returncode
        if code is None and boottime() < until:
            time.sleep(0.05)
            return self.later(0.2, lambda: self._await_end(member, until))
        # Python itself was still starting: nothing of ours was there to hear the signal.
        unheard = code == -signal.SIGTERM and not member.words
        if code != 0 and not unheard:
            ended = "did not end" if code is None else f"ended with {code}"
            self.wrong.append(f"{member.part} {member.number} was told to stop and {ended}: {_end_of(member)}")
        return self.world.replace(member)


def _thaw(member: Member) -> None:
    member.process.signal(signal.SIGCONT)
    member.frozen = False


def _end_of(member: Member) -> str:
    return member.words[-1500:]
