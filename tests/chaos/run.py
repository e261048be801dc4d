"""One run: servers, processes, tasks, faults; then peace, and the final check."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select

from redrive.models.clock import boottime
from redrive.models.sql.db import Database
from redrive.models.sql.migrate import upgrade
from redrive.models.sql.tables import batches, tasks
from redrive.models.states import ENDED_STATES
from tests.chaos.beside import measure
from tests.chaos.faults import faults
from tests.chaos.feed import Feed
from tests.chaos.monkey import Monkey
from tests.chaos.pace import Pace
from tests.chaos.people import people, release_set_aside, resume_stopped
from tests.chaos.report import Report
from tests.chaos.stalls import Stalls
from tests.chaos.strange import STRANGE, accounted_for
from tests.chaos.verdict import judge
from tests.chaos.world import ChaosWorld
from tests.support.oddities import drop_rules
from tests.support.processes import Janitor
from tests.support.servers import Postgres, Valkey

STEP_SECONDS = 0.05
RESUME_SECONDS = 2.0
SAY_SECONDS = 30.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is asked for.

    Attributes:
        directory: for the processes' logs and, where SQLite is attacked, the database.
        least: faults at least, however long a busy machine takes for them.
    """

    database: str
    seconds: float
    tasks: int
    seed: int
    pace: Pace
    directory: Path
    schedulers: int = 2
    workers: int = 3
    least: int = 0


def run(options: Options, janitor: Janitor, say: Say = lambda _: None, enough: threading.Event | None = None) -> Report:
    """Attack one installation, and account for everything. ``enough`` ends the faults early."""
    began = boottime()
    with _world(options, janitor) as world:
        world.open(schedulers=options.schedulers, workers=options.workers, seed=options.seed)
        feed = Feed(world, options.tasks, options.seconds, options.seed)
        monkey = Monkey(world, faults(world.postgres) | STRANGE | people(feed), seed=options.seed)
        stalls = Stalls(world)
        stalls.start()
        attacked = _attack(options, feed, monkey, say, enough or threading.Event())
        say(f"peace after {sum(monkey.done.values())} faults")
        _make_peace(world, monkey, say)
        stalls.stop()
        verdict = judge(world, len(feed.added))
        if options.pace.beside:
            say("the pace of healthy accounts beside trouble")
            measure(world, options.pace.beside, janitor, verdict)
        verdict.wrong += [*monkey.wrong, *accounted_for(monkey)]
        if stalls.longest > options.pace.stall:
            verdict.wrong.append(f"work lay about for {stalls.longest:.1f} s: {stalls.where}")
        return Report(
            database=options.database,
            seed=options.seed,
            done=dict(monkey.done),
            verdict=verdict,
            longest_stall_seconds=stalls.longest,
            longest_stall_at=stalls.where,
            faults_seconds=attacked,
            wall_seconds=boottime() - began,
        )


@contextmanager
def _world(options: Options, janitor: Janitor) -> Iterator[ChaosWorld]:
    """Servers of our own, and everything else in the run's directory."""
    directory = options.directory
    with ExitStack() as stack:
        valkey = stack.enter_context(closing(Valkey(janitor)))
        postgres = None
        url = f"sqlite:///{directory}/redrive.db"
        if options.database == "postgresql":
            postgres = stack.enter_context(closing(Postgres(janitor, durable=True)))
            url = postgres.url
        upgrade(url)
        _drop_rules(url)
        yield stack.enter_context(closing(ChaosWorld(janitor, postgres, url, valkey, directory, options.pace)))


def _drop_rules(url: str) -> None:
    """The odd rows are from before there were rules against them."""
    with closing(Database(url)) as database, database.engine.begin() as connection:
        drop_rules(connection)


def _attack(options: Options, feed: Feed, monkey: Monkey, say: Say, enough: threading.Event) -> float:
    """Break things and add tasks until the time is over; how long that was."""
    began = told = resumed = boottime()
    while not enough.is_set():
        elapsed = boottime() - began
        if elapsed >= options.seconds and sum(monkey.done.values()) >= options.least:
            break
        feed.step(elapsed)
        monkey.step()
        if boottime() - resumed > RESUME_SECONDS:
            resumed = boottime()
            monkey.attempt(resume_stopped)
        if boottime() - told > SAY_SECONDS:
            told = boottime()
            say(f"{elapsed / 60:.1f} min: {len(feed.added)} tasks added, {sum(monkey.done.values())} faults")
        enough.wait(STEP_SECONDS)
    if not enough.is_set():
        feed.rest()
    return boottime() - began


def _make_peace(world: ChaosWorld, monkey: Monkey, say: Say) -> None:
    """Fix everything, and wait until all work has ended; what has not by then is in the verdict."""
    monkey.calm()
    until = boottime() + world.pace.peace
    while boottime() < until and (left := _unfinished(world)):
        say(f"{left} tasks and batches unfinished")
        monkey.attempt(resume_stopped)
        monkey.attempt(release_set_aside)
        monkey.supervise(world.pace.every)


def _unfinished(world: ChaosWorld) -> int:
    with world.database.reading() as t:
        count = select(func.count())
        unended = tasks.c.status.not_in(ENDED_STATES) & tasks.c.id.not_in(world.odd)
        open_tasks = t.rows(count.select_from(tasks).where(unended))[0][0]
        open_batches = t.rows(count.select_from(batches).where(batches.c.status.in_(("queued", "sending"))))[0][0]
    return int(open_tasks + open_batches)
