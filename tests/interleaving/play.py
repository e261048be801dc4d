"""One play: what happens when, as a plan says, until it is over and everything has come to an end."""

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count, repeat
from typing import TYPE_CHECKING, Any

from redrive.models.errors import Unreachable
from redrive.models.rules import Rules
from redrive.models.states import Status
from tests.interleaving import audit, calls, provider
from tests.interleaving.actors import Broker
from tests.interleaving.clock import SECOND, seconds_of
from tests.interleaving.conductor import Actor, Conductor, Crashed, Violation, in_few_lines
from tests.interleaving.house import ACCOUNTS, House
from tests.interleaving.provider import Ask, Flight, Provider

if TYPE_CHECKING:
    from redrive.worker.providers.base import Exchange

CALM_PASSES, CALM_SECONDS = 200, 130.0
LONG = 300

Twist = Callable[["Play"], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens when, and how the provider answers.

    Attributes:
        lead: so many moves nothing disturbs.
        twists: each after so many moves.
    """

    lead: int = 0
    twists: tuple[tuple[int, Twist], ...] = ()
    retries: tuple[int, ...] = ()
    results: tuple[int, ...] = ()
    runs: tuple[int, ...] = ()
    marks: bool = False
    tasks: int = 1
    max_in_flight: int = 1
    batch_size: int = 1


def _script(words: Sequence[Any], numbers: Sequence[int]) -> Iterator[Any]:
    return chain((words[number] for number in numbers), repeat(words[0]))


@dataclass
class Play:
    """The house with its rows as they were last committed, and the calls under way.

    Attributes:
        since: the rows as they were when an actor's transaction asked for its moment.
        after_answer: what happens as soon as somebody has heard an answer.
        version: moves with every change and with the clock.
    """

    house: House
    plan: Plan
    rows: audit.Rows = field(default_factory=audit.Rows)
    since: dict[Actor, audit.Rows] = field(default_factory=dict)
    flights: list[Flight] = field(default_factory=list)
    permits: dict[str, list[float]] = field(default_factory=dict)
    batch_ids: Iterator[int] = field(default_factory=lambda: count(1))
    after_answer: Twist | None = None
    closing: bool = False
    version: int = 0
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _passed: dict[Actor, int] = field(default_factory=dict)
    _front: Actor | Flight | None = None
    _errands: list[tuple[str, Callable[[], object]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        house, self.clock = self.house, self.house.clock
        self.clock.ticks = 100 * SECOND
        self.broker = house.broker = Broker()
        self.provider = Provider(
            self.clock,
            _script(provider.RETRIES, self.plan.retries),
            _script(provider.CHECK_RESULTS, self.plan.results),
            _script(provider.RUNS, self.plan.runs),
            self.plan.marks,
        )
        self.actors = [Actor(name, self.clock) for name in house.names]
        self.order: list[Actor | Flight] = list(self.actors)
        self.conductor = Conductor(self.clock, house.locks, self.actors, after=self._looks, ended=self._ends)
        house.play = self
        self.ids = house.fill()
        self.rows = house.rows()

    @property
    def rules(self) -> Mapping[str, Rules]:
        return self.house.rules

    # --- The course of things -----------------------------------------------------------------------------------

    def run(self, course: Callable[[], None] | None = None) -> None:
        """Play it all: the plan's twists, or another course.

        Raises:
            Violation: a promise was broken; with the history.
        """
        try:
            (course or self._twists)()
            self._close()
            self.conductor.dismiss()
            self._calm()
        finally:
            self.conductor.dismiss()
            self.house.dismiss()

    def _twists(self) -> None:
        for _ in range(self.plan.lead):
            self.step()
        for moves, twist in self.plan.twists:
            for _ in range(moves):
                self.step()
            self.apply(twist)

    def until(self, words: str) -> None:
        """Go on until the history says so, nobody can do anything, or it has been a good while."""
        for _ in range(LONG):
            said = len(self.conductor.history)
            if not self.step() or any(re.search(words, line) for line in self.conductor.history[said:]):
                return

    def apply(self, twist: Twist) -> None:
        twist(self)
        self._judge()

    def step(self) -> bool:
        """The next move: of whom is in front, else of the first in order who can, else of the clock."""
        self._judge()
        if self._front is None or not self._can_move(self._front):
            self._front = next(filter(self._can_move, self.order), None)
        if self._front is None:
            return self._time_passes()
        self._move(self._front)
        return True

    def _move(self, one: Actor | Flight) -> None:
        if isinstance(one, Flight):
            self._fly(one)
        elif one.resting:
            self._set_out(one)
        else:
            self.conductor.move(one)

    def _can_move(self, one: Actor | Flight) -> bool:
        if isinstance(one, Flight):
            return self.clock.reached(one.at)
        if not one.resting:
            return self.conductor.can_move(one)
        return not (self.closing or one.frozen) and self._has_work(one)

    def _has_work(self, actor: Actor) -> bool:
        if actor in self.house.workers:
            return bool(self.broker.messages)
        if actor.name == "operator":
            return bool(self._errands)
        # Whoever is called to the front passes although there seems to be nothing to do.
        called = self._front is actor or self.rows.work_for_schedulers(self.clock.now)
        return called and self._passed.get(actor) != self.version

    def _time_passes(self) -> bool:
        """Nobody can do anything: on to the next moment at which somebody can."""
        awake = [actor for actor in self.actors if not (actor.resting or actor.frozen)]
        moments = [actor.stop.until for actor in awake if actor.stop.until is not None]
        moments += [flight.at for flight in self.flights]
        if not moments and not self.closing:
            moments = [s for s in map(seconds_of, self.rows.moments()) if s > self.clock.seconds]
        if moments:
            self.jump_to(min(moments))
        return bool(moments)

    def jump_to(self, seconds: float) -> None:
        if not self.clock.reached(seconds):
            self.conductor.say(f"{seconds - self.clock.seconds:g} s pass")
            self.clock.until(seconds)
            self.version += 1

    def _close(self) -> None:
        """Nobody sets out any more; all finish what they are at."""
        self.closing, self.after_answer = True, None
        for actor in self.actors:
            actor.frozen = False
        while any(not actor.resting for actor in self.actors) or self.flights:
            if not self.step():
                stuck = [f"{actor} before {actor.stop.words}" for actor in self.actors if not actor.resting]
                self.conductor.problem(f"nobody can move: {', '.join(stuck)}")
        interval = self.rules[ACCOUNTS[0]].interval_seconds
        for words in calls.paced(self.permits.values(), self.provider.left.values(), interval):
            self.conductor.problem(words)
        self._judge()

    # --- Actors -------------------------------------------------------------------------------------------------

    def _set_out(self, actor: Actor) -> None:
        """A process at rest takes up its next work."""
        if actor in self.house.workers:
            batch = self.broker.messages.pop(0)
            actor.batch = batch
            self._begin(actor, f"takes batch {batch}", lambda: self.house.workers[actor].run(batch))
        elif actor.name == "operator":
            words, deed = self._errands.pop(0)
            self._begin(actor, words, deed)
        else:
            self._passed[actor] = self.version
            self._begin(actor, "begins a pass", self.house.schedulers[actor].run_once)

    def _begin(self, actor: Actor, words: str, work: Callable[[], object]) -> None:
        self.conductor.say(f"{actor} {words}")
        self.conductor.begin(actor, work)

    def errand(self, words: str, deed: Callable[[], object]) -> None:
        """The operator has something to do, at once."""
        self._errands.append((words, deed))
        self.to_front(next(actor for actor in self.actors if actor.name == "operator"))

    def to_front(self, one: Actor | Flight | None) -> None:
        """The baton changes hands; who had it comes last from now on."""
        if self._front in self.order and self._front is not None:
            self.order.remove(self._front)
            self.order.append(self._front)
        self._front = one

    @property
    def front(self) -> Actor | Flight | None:
        return self._front

    @property
    def others(self) -> list[Actor | Flight]:
        """Who else could move now; a scheduler always could."""
        others = [each for each in self.order if each is not self._front]
        return [each for each in others if self._can_move(each) or self._may_pass(each)]

    def _may_pass(self, one: Actor | Flight) -> bool:
        if not isinstance(one, Actor) or one not in self.house.schedulers:
            return False
        return one.resting and not one.frozen and self._passed.get(one) != self.version

    def crash(self, actor: Actor) -> None:
        """Its process is killed. What it has sent is under way all the same; nobody hears the answer."""
        self.flights = [flight for flight in self.flights if flight.owner is not actor]
        self.order = [each for each in self.order if not isinstance(each, Flight) or each in self.flights]
        self._front = actor
        self.conductor.move(actor, Crashed(), "is killed")

    def _ends(self, actor: Actor, error: BaseException | None) -> None:
        if actor in self.house.workers:
            draining: Any = self.house.workers[actor].deps.draining
            if error is not None or draining.is_set():
                self.house.workers[actor].restart()
        expected = isinstance(error, Crashed) or (isinstance(error, Unreachable) and actor.injured)
        if error is not None and not expected:
            self.conductor.problem(f"{actor} failed: {type(error).__name__}: {error}")
        elif error is None:
            self.conductor.say(f"{actor} is done")
        actor.batch = 0
        self._front = None if self._front is actor else self._front

    def _looks(self, actor: Actor) -> None:
        """Somebody has committed: the auditor looks."""
        self.version += 1
        old, self.rows = self.rows, self.house.rows()
        found = [*audit.standing(self.rows, self.rules), *audit.changed(old, self.rows, self.rules, self.clock.now)]
        found += audit.paused(self.since.get(actor, old), old, self.rows)
        found += audit.fenced(old, self.rows, actor.batch) if actor in self.house.workers else []
        for words in found:
            self.conductor.problem(words)

    # --- Calls --------------------------------------------------------------------------------------------------

    def takes_off(self, owner: Actor | None, ask: Ask, batch: int) -> "asyncio.Future[Exchange]":
        future: asyncio.Future[Exchange] = asyncio.get_running_loop().create_future()
        leave_at = self.clock.seconds + ask.leave_in
        flight = Flight(next(self._numbers), owner, batch, future, ask, leave_at)
        self.flights.append(flight)
        self.order.insert(0, flight)
        return future

    def note(self, what: str, moment: float) -> None:
        """A permit was given."""
        if not self.provider.calm:
            self.permits.setdefault(what, []).append(moment)

    def _fly(self, flight: Flight) -> None:
        """A call makes its next move: it leaves, or its caller hears the answer."""
        if flight.answer is None and self.clock.seconds > flight.ask.not_after:
            self.conductor.say(f"{flight} is withheld: too late")
            self._lands(flight, provider.WITHHELD)
        elif flight.answer is None:
            self._leaves(flight)
        else:
            late = self.clock.seconds > flight.left_at + provider.TIMEOUT_SECONDS
            self.conductor.say(f"{flight} {'has timed out' if late else 'is answered'}")
            self._lands(flight, provider.SILENCE if late and flight.answer[0].sent else flight.answer[0])

    def _leaves(self, flight: Flight) -> None:
        found = list(calls.leaving(flight, self.rows, self.provider, self.rules))
        words, exchange, seconds = self.provider.take(flight.ask.request)
        self.conductor.say(f"{flight} leaves: {words}")
        for problem in found:
            self.conductor.problem(problem)
        flight.left_at = self.clock.seconds
        flight.answer = (exchange, self.clock.seconds + seconds)

    def _lands(self, flight: Flight, exchange: Any) -> None:
        self.flights.remove(flight)
        self.order.remove(flight)
        self._front = flight.owner if self._front is flight else self._front
        flight.hear(exchange)
        after, self.after_answer = self.after_answer, None
        if after is not None and flight.owner is not None:
            self._front = flight.owner
            self.apply(after)

    # --- Judgement ----------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        if self.conductor.problems:
            raise Violation("\n".join([self.conductor.problems[0], "", *in_few_lines(self.conductor.history)]))

    def _calm(self) -> None:
        """Nothing bad happens any more; one scheduler and one worker bring everything to an end."""
        self.provider.calm = True
        self.conductor.say("calm")
        for account in ACCOUNTS:
            self.house.operator.resume(account)
        for _ in range(CALM_PASSES):
            for task_id in [i for i, row in self.rows.tasks.items() if row["status"] == Status.HELD]:
                self.house.operator.act("release", task_id)
            self.house.scheduler.run_once()
            while self.broker.messages:
                self.house.worker.run(self.broker.messages.pop(0))
            self._calm_look()
            if not self.rows.unfinished:
                break
            self.clock.forward(CALM_SECONDS)
        for words in (*self.rows.unfinished, *self.house.totals(self.rows)):
            self.conductor.problem(f"after a calm while: {words}")
        self._judge()

    def _calm_look(self) -> None:
        old, self.rows = self.rows, self.house.rows()
        for words in audit.standing(self.rows, self.rules):
            self.conductor.problem(words)
        for key, row in self.rows.tasks.items():
            if row["spent"] < old.tasks[key]["spent"]:
                self.conductor.problem(f"task {row['external_id']} has spent less than before")
        self._judge()

    def pump(self, *, until: float | None, ready: Callable[[], bool] | None) -> None:
        """Calls leave and are answered, and time passes, while nobody else does anything."""
        while not (ready is not None and ready()):
            flight = min(self.flights, key=lambda each: each.at, default=None)
            if until is not None and (flight is None or flight.at > until):
                self.clock.until(until)
                return
            assert flight is not None, "waits for calls that nobody makes"
            self.clock.until(flight.at)
            self.rows = self.house.rows()
            self._fly(flight)
