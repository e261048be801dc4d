"""Many at once: real threads on PostgreSQL, and on SQLite, where they take turns."""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from redrive.models import ledger
from redrive.models.errors import StaleBatch, Unreachable
from redrive.models.ledger import CallResult, Group, NewTask, Step, accounts, breaker, permits
from redrive.models.outcome import Accepted, Blocked, Cause, Deferred, Outcome, Refused, Throttled, Unknown
from redrive.models.rules import BreakerRules
from redrive.models.states import DeadReason, Operation, Status
from tests.support.world import ME, World

RESTART = "/open/v1/task/restart"


def together(*programs: Callable[[], Any]) -> list[Any]:
    """Run all at the same moment; what they return, or raise, in order."""
    start = threading.Barrier(len(programs))

    def run(program: Callable[[], Any]) -> Any:
        start.wait()
        return program()

    with ThreadPoolExecutor(len(programs)) as pool:
        return [future.result() for future in [pool.submit(run, program) for program in programs]]


def quietly(program: Callable[[], Any]) -> Any:
    """What a worker does with a batch that is not its own any more: nothing."""
    try:
        return program()
    except StaleBatch as error:
        return error


def test_two_claims_never_share_a_task(world: World) -> None:
    """Eight schedulers claim at once: every task is in exactly one batch."""
    world.ruled("phones", batch_size=5, max_in_flight=1000)
    ids = world.add_many([str(n) for n in range(60)])

    def claims() -> list[int]:
        taken: list[int] = []
        while (batch := world.claim().batch) is not None:
            taken += world.batch(batch.id)["task_ids"]
        return taken

    found = together(*[claims] * 8)
    assert sorted(i for each in found for i in each) == sorted(ids)


def test_one_of_many_begins(world: World) -> None:
    """A job delivered eight times at once is begun by one."""
    world.add()
    batch = world.claimed()
    begun = together(*[lambda: world.begin_batch(batch.id)] * 8)
    assert sum(work is not None for work in begun) == 1


def test_the_same_tasks_added_at_once_are_added_once(world: World) -> None:
    new = [NewTask(account="phones", kind="", external_id=str(n)) for n in range(30)]

    def add(order: Sequence[NewTask]) -> dict[str, int]:
        with world.begin() as t:
            return {x.external_id: a.id for x, a in zip(order, ledger.add(t, order, world.rules), strict=True)}

    found = together(*[lambda order=order: add(order) for order in (new, new[::-1], new[10:], new[:20])])
    assert len(world.tasks()) == 30
    for each in found:
        assert each.items() <= found[0].items()


def test_permits_are_apart_whoever_takes_them(world: World) -> None:
    """Eight workers of two accounts in one group: no two calls leave closer than the pace allows."""
    world.ruled("phones", group="shared", interval_seconds=0.05)
    world.ruled("desktops", group="shared", interval_seconds=0.05)
    world.database.clock = None

    def take(account: str) -> list[datetime]:
        moments: list[datetime] = []
        for _ in range(10):
            with world.begin() as t:
                moments += permits.take(t, world.rules[account], {"/x": 2, "/y": 1}, t.now.replace(year=2100))["/x"]
        return moments

    found = together(*[lambda name=name: take(name) for name in ("phones", "desktops") * 4])
    moments = sorted(moment for each in found for moment in each)
    assert len(moments) == 160
    assert all((b - a).total_seconds() >= 0.05 for a, b in pairwise(moments))


def test_a_record_and_a_rescue_and_an_operator_meet(world: World) -> None:
    """Whoever comes first, each attempt is closed once, each task is somewhere, and nobody waits in a circle."""
    for round_ in range(10):
        ids = world.add_many([f"{round_}-{n}" for n in range(12)])
        work = world.begun()
        world.open(work, ids[:8])
        told = [CallResult(RESTART, world.clock.now, dict.fromkeys(ids[:8], Accepted()))]
        world.clock.forward(120)
        together(
            lambda work=work, told=told: quietly(lambda: world.advance(work, told)),
            lambda work=work: world.rescue(work.id),
            lambda ids=ids: world.act("hold", *ids[::-1]),
            lambda ids=ids: world.act("stop", *ids[::2]),
            lambda ids=ids: [world.report(i, Status.SUCCEEDED) for i in ids[:3]],
        )
        quietly(lambda work=work: world.finish(work))
        world.rescue(work.id)  # what it found locked it takes back the next time
        for task_id in ids:
            task, attempts = world.task(task_id), world.attempts(task_id)
            assert all(attempt["closed_at"] for attempt in attempts)
            assert task.spent == sum(attempt["spent"] for attempt in attempts) <= 1
            assert task.status is not Status.IN_FLIGHT
    counted = world.totals()
    statuses = [task.status for task in world.tasks().values()]
    assert counted.get("succeeded", 0) == statuses.count(Status.SUCCEEDED)
    assert counted.get("dead:stopped", 0) == statuses.count(Status.DEAD)


ANSWERS: list[Outcome] = [
    Accepted(), Unknown(), Deferred(), Throttled(wait_seconds=0.01), Throttled(wait_seconds=0.01, whole_account=True),
    Refused(reason=DeadReason.NOT_FOUND),
]  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_everybody_at_once(world: World, seed: int) -> None:
    """Schedulers, workers, operators and owners of two accounts of one group: no deadlock, no lost update."""
    for name in ("phones", "desktops"):
        world.ruled(
            name, group="phones", interval_seconds=0.0001, batch_size=7,
            policy={"base_seconds": 0.01, "max_seconds": 0.01, "max_errors": 1000},
            breaker=BreakerRules(failures=3, open_seconds=0.05, max_open_seconds=0.05, max_refusals=10**6),
        )  # fmt: skip
    world.database.clock = None
    world.clock.now = datetime.now(UTC)
    for name in ("phones", "desktops"):
        world.add_many([str(n) for n in range(40)], name)
    programs: list[Callable[[], None]] = []
    for name in ("phones", "desktops"):
        programs += [partial(work_on, world, name, Random(f"{seed} {name} {n}")) for n in range(3)]
        programs.append(partial(claim_looks, world, name))
    programs += [partial(operate, world, Random(f"{seed} {n}")) for n in range(2)]
    together(*programs, partial(take_back, world))
    for name in ("phones", "desktops"):
        check_books(world, name)


def work_on(world: World, account: str, dice: Random) -> None:
    """Claims, calls and records; now and then a batch is left as it is."""
    for _ in range(12):
        batch = world.claim(account).batch
        work = world.begin_batch(batch.id) if batch is not None else None
        if work is None:
            continue
        found = world.open(work).permits
        told = [CallResult(p.path, p.asked_at, {task.id: dice.choice(ANSWERS) for task in p.tasks}) for p in found]
        quietly(partial(world.advance, work, told, world.groups(work)[:1]))
        if dice.random() < 0.9:
            quietly(partial(world.finish, work))


def claim_looks(world: World, account: str) -> None:
    for _ in range(8):
        world.claim(account, Operation.CHECK)


def operate(world: World, dice: Random) -> None:
    """Whatever people do, to many tasks of both accounts, in any order."""
    ids = list(world.tasks())
    for _ in range(12):
        world.act(dice.choice(list(ledger.actions.ACTIONS)), *dice.sample(ids, 10))
        world.report(dice.choice(ids), dice.choice([Status.FAILED, Status.SUCCEEDED, Status.RUNNING]))
        world.pause(dice.choice(["phones", "desktops"]))
        world.resume("phones")
        world.resume("desktops")


def take_back(world: World) -> None:
    for _ in range(10):
        with world.begin() as t:
            ledger.take_unheard(t)
            lost = ledger.expired(t)
        for each in lost:
            world.rescue(each.id, each.account)


def check_books(world: World, account: str) -> None:
    """Rows and totals agree after everything."""
    totals = world.totals(account)
    mine = [task for task in world.tasks().values() if task.account == account]
    attempts = {task.id: world.attempts(task.id) for task in mine}
    for task in mine:
        assert [attempt["number"] for attempt in attempts[task.id]] == [*range(1, task.attempts + 1)]
        assert task.spent == sum(attempt["spent"] for attempt in attempts[task.id])
    closed = [attempt for each in attempts.values() for attempt in each if attempt["closed_at"]]
    assert totals.get("attempts", 0) == len(closed)
    assert totals.get("spent", 0) == sum(attempt["spent"] for attempt in closed)
    assert totals.get("succeeded", 0) == sum(task.status is Status.SUCCEEDED for task in mine)
    for reason in DeadReason:
        assert totals.get(f"dead:{reason}", 0) == sum(task.dead_reason == reason for task in mine)


@pytest.mark.parametrize("calm", [True, False])
def test_a_pause_is_noticed_by_whoever_opens_next(world: World, *, calm: bool) -> None:
    """Answers that pause and steps that open do not overtake each other: after the pause no attempt is opened."""
    world.ruled("phones", batch_size=1, max_in_flight=100)
    ids = world.add_many([str(n) for n in range(8)])
    works = [world.begun() for _ in ids]
    world.open(works[0])
    blocked = CallResult(RESTART, world.clock.now, {works[0].tasks[0].id: Blocked(cause=Cause.CREDENTIALS)})

    def open_(n: int) -> bool:
        return bool(world.advance(works[n], groups=[Group(RESTART, (works[n].tasks[0].id,))], calm=calm).permits)

    together(lambda: world.advance(works[0], [blocked]), *[lambda n=n: open_(n) for n in range(1, 8)])
    assert world.account()["paused_by"] == ME.who or world.account()["paused_cause"] == "credentials"
    assert not open_(1)


@pytest.mark.parametrize(
    ("told", "calm", "before", "waits"),
    [
        pytest.param(Accepted(), True, Accepted(), False, id="good news"),
        pytest.param(Accepted(), False, Accepted(), True, id="trouble that may not be recorded yet"),
        pytest.param(Refused(reason=DeadReason.REFUSED), True, Accepted(), True, id="bad news"),
        pytest.param(Accepted(), True, Refused(reason=DeadReason.REFUSED), True, id="a refusal before it"),
        pytest.param(Accepted(), True, Deferred(), True, id="a failure before it"),
    ],
)
def test_only_what_changes_the_account_waits_for_it(
    new_postgres_database: Callable[[], str], told: Outcome, *, calm: bool, before: Outcome, waits: bool
) -> None:
    """Steps of an account's batches do not wait for each other, nor for claims, as long as all goes well."""
    world = World(new_postgres_database())
    world.ruled("phones", batch_size=1)
    world.add_many(["1", "2"])
    earlier, work = world.opened(), world.opened()
    world.answer(earlier, before)

    def record() -> Step:
        with world.begin() as t:
            t.execute(text("SET LOCAL lock_timeout = '300ms'"))
            return ledger.advance_retries(t, work, [world.told(work, told)], [], world.rng, calm=calm)

    with world.begin() as t, ThreadPoolExecutor(1) as pool:
        accounts.locked(t, "phones")
        failed = pool.submit(record).exception()
    assert isinstance(failed, Unreachable) == waits, failed
    assert world.attempts(work.tasks[0].id)[0]["outcome"] == (None if waits else "accepted")
    world.close()


def test_a_breaker_keeps_nobody_from_a_path(new_postgres_database: Callable[[], str]) -> None:
    """An account may be called as a group is: who holds its breaker must not be waited for by who takes a permit.

    He takes a permit next, and the two would wait for each other.
    """
    world = World(new_postgres_database())
    with world.begin() as t:
        breaker.probing(t, "phones", Operation.RETRY, uuid4())
        permits.take(t, world.rules["phones"], {RESTART: 1}, t.now)

    def take() -> None:
        with world.begin() as t:
            t.execute(text("SET LOCAL lock_timeout = '5s'"))
            permits.take(t, world.rules["phones"], {RESTART: 1}, t.now)

    with world.begin() as t:
        breaker.probing(t, "phones", Operation.RETRY, uuid4())
        with ThreadPoolExecutor(1) as pool:
            pool.submit(take).result()
    world.close()
