"""What may come between two moves of a play: few numbers, so that a found history shrinks to a short one."""

from dataclasses import dataclass
from typing import TypeVar

from hypothesis import strategies as st

from redrive.models.states import Status
from tests.interleaving import hooks, provider
from tests.interleaving.conductor import Actor, At
from tests.interleaving.house import TASKS
from tests.interleaving.play import Plan, Play, Twist
from tests.interleaving.provider import Flight

T = TypeVar("T")

_OWNERS_WORDS = {3: Status.SUCCEEDED, 4: Status.FAILED}
JUMPS = (1, 5, 31, 61, 121)


@dataclass(frozen=True, slots=True)
class Switch:
    """Somebody else goes on; who was at work is left standing where he is."""

    number: int

    def __call__(self, play: Play) -> None:
        if others := play.others:
            play.to_front(others[self.number % len(others)])


@dataclass(frozen=True, slots=True)
class Jump:
    """Time passes while everybody stands."""

    seconds: float

    def __call__(self, play: Play) -> None:
        play.jump_to(play.clock.seconds + self.seconds)


def _at_work(play: Play) -> Actor | None:
    front = play.front.owner if isinstance(play.front, Flight) else play.front
    return front if front is not None and not front.resting and not front.blocked else None


@dataclass(frozen=True, slots=True)
class Give:
    """A certain actor goes on."""

    name: str

    def __call__(self, play: Play) -> None:
        play.to_front(next(actor for actor in play.actors if actor.name == self.name))


def freeze(play: Play) -> None:
    """Who has the baton stands still while the world goes on, until somebody thaws him."""
    if (actor := _at_work(play)) is not None:
        play.conductor.say(f"{actor} is frozen before: {actor.stop.words}")
        actor.frozen = True


@dataclass(frozen=True, slots=True)
class Answered:
    """Another twist, as soon as somebody has heard an answer and before he records it."""

    twist: Twist

    def __call__(self, play: Play) -> None:
        play.after_answer = self.twist


@dataclass(frozen=True, slots=True)
class Thaw:
    """Who has been frozen goes on: a certain actor, or the first."""

    name: str = ""

    def __call__(self, play: Play) -> None:
        frozen = [actor for actor in play.actors if actor.frozen and self.name in actor.name]
        for actor in frozen[:1]:
            play.conductor.say(f"{actor} is thawed")
            actor.frozen = False
            play.to_front(actor)


thaw = Thaw()


def crash(play: Play) -> None:
    """Who has the baton is killed."""
    if (actor := _at_work(play)) is not None:
        play.crash(actor)


def cut(play: Play) -> None:
    """Who has the baton loses his connection."""
    if (actor := _at_work(play)) is not None and actor.stop.at in {At.STATEMENT, At.COMMIT}:
        actor.injured = True
        play.conductor.move(actor, hooks.unreachable(), "loses its connection")


@dataclass(frozen=True, slots=True)
class Fate:
    """What the next COMMIT of who has the baton will meet."""

    words: str

    def __call__(self, play: Play) -> None:
        if (actor := _at_work(play)) is not None:
            play.conductor.say(f"the next COMMIT of {actor}: {self.words}")
            actor.fate = self.words


def lose(play: Play) -> None:
    """The broker loses its next message."""
    play.conductor.say("the broker will lose a message")
    play.broker.loses += 1


@dataclass(frozen=True, slots=True)
class Again:
    """The broker brings a message again."""

    number: int

    def __call__(self, play: Play) -> None:
        if known := play.broker.known:
            batch = known[-1 - self.number % len(known)]
            play.conductor.say(f"the broker brings batch {batch} again")
            play.broker.messages.insert(0, batch)


def drain(play: Play) -> None:
    """The worker that has the baton is told to stop."""
    actor = _at_work(play)
    if actor in play.house.workers and actor is not None:
        play.conductor.say(f"{actor} is told to stop")
        play.house.workers[actor].deps.draining.set()


@dataclass(frozen=True, slots=True)
class Act:
    """The operator does something to a task."""

    what: str
    id: str

    def __call__(self, play: Play) -> None:
        if (task_id := play.ids.get(self.id)) is not None:
            play.errand(f"wants {self.what} of {self.id}", lambda: play.house.operator.act(self.what, task_id))


@dataclass(frozen=True, slots=True)
class Report:
    """The owner tells the truth about a task that has ended."""

    id: str

    def __call__(self, play: Play) -> None:
        status, _ = play.provider.job(self.id).state(play.clock.seconds, told=False)
        if self.id in play.ids and status in _OWNERS_WORDS:
            task_id, word, at = play.ids[self.id], _OWNERS_WORDS[status], play.clock.now
            play.errand(f"reports {self.id} as {word}", lambda: play.house.operator.report(task_id, word, at))


@dataclass(frozen=True, slots=True)
class Pause:
    """The operator pauses an account, or resumes it."""

    account: str
    over: bool

    def __call__(self, play: Play) -> None:
        people = play.house.operator
        deed = people.resume if self.over else people.pause
        play.errand(f"{deed.__name__}s {self.account}", lambda: deed(self.account))


MENU: tuple[Twist, ...] = (
    *(Switch(number) for number in range(4)),
    *(Jump(seconds) for seconds in JUMPS),
    *(Switch(number) for number in range(4)),
    Jump(31), Jump(61),
    Answered(Jump(31)), Answered(Jump(61)), Answered(freeze), Answered(freeze), Answered(crash),
    freeze, thaw, thaw,
    Again(0), Again(1), lose, drain, crash, cut, Fate(hooks.LOST), Fate(hooks.REFUSED),
    *(Act(what, "r1") for what in ("retry", "hold", "release", "stop", "revive", "force")),
    Act("retry", "b1"), Act("stop", "b1"), Report("r1"), Report("b1"),
    Pause("red", over=False), Pause("red", over=True),
)  # fmt: skip


def _many(strategy: st.SearchStrategy[T], parts: int) -> st.SearchStrategy[tuple[T, ...]]:
    """Longer than a list is on average, and it still shrinks to nothing."""
    lists = st.tuples(*[st.lists(strategy, max_size=8)] * parts)
    return lists.map(lambda found: tuple(each for part in found for each in part))


def _numbers(words: tuple[object, ...]) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(st.integers(0, len(words) - 1), max_size=8).map(tuple)


plans = st.builds(
    Plan,
    lead=st.integers(0, 200),
    twists=_many(st.tuples(st.integers(0, 25), st.sampled_from(MENU)), 5),
    retries=_numbers(provider.RETRIES),
    results=_numbers(provider.CHECK_RESULTS),
    runs=_numbers(provider.RUNS),
    marks=st.booleans(),
    tasks=st.integers(1, len(TASKS)),
    max_in_flight=st.integers(1, 2),
    batch_size=st.integers(1, 2),
)
