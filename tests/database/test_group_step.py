"""Steps of many batches in one transaction: what they cost, and that each keeps to itself."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast
from uuid import uuid4

import pytest
from sqlalchemy import Update, update

from redrive.models import ledger
from redrive.models.ledger import Step, WantedStep, Work
from redrive.models.outcome import Accepted, Reading, State, Throttled
from redrive.models.sql.tables import batches, limits
from redrive.models.states import Operation, Status
from redrive.worker import job
from redrive.worker.together import Together, _Step
from tests.database.test_isolation import ODD, quarantined, spoil
from tests.database.test_row_rules import drop_rules
from tests.support.site import Site, losing
from tests.support.world import World, usual_accounts

MANY = 10


@pytest.fixture
def crowd(database_url: str) -> Iterator[World]:
    """A world of many accounts alike."""
    rules = usual_accounts()
    names = [f"phones{n}" for n in range(MANY)]
    alike = {name: replace(rules["phones"], account=name, group=name) for name in names}
    world = World(database_url, rules=rules | alike)
    yield world
    world.close()


def begun(world: World, some: int) -> list[Work]:
    works = []
    for n in range(some):
        world.add(str(n), f"phones{n}")
        works.append(world.begun(f"phones{n}"))
    return works


def opening(world: World, works: list[Work]) -> list[WantedStep]:
    return [WantedStep(work, (), world.groups(work)) for work in works]


def together(world: World, wanted: list[WantedStep]) -> dict[Any, Step]:
    with world.begin() as t:
        return ledger.advance_together(t, wanted, world.rng)


def test_ten_batches_take_the_statements_of_one(crowd: World) -> None:
    """Opened, recorded with the next call opened, and ended."""

    def cost(works: list[Work]) -> list[int]:
        counts = []
        together(crowd, opening(crowd, works))
        for last in (False, True):
            answers = {} if last else Accepted()
            told = [[crowd.told(work, cast("Any", answers))] for work in works]
            wanted = [WantedStep(x, news, (), counts={} if last else None) for x, news in zip(works, told, strict=True)]
            with crowd.statements() as seen:
                made = together(crowd, wanted)
            assert len(made) == len(works)
            counts.append(len(seen))
        return counts

    works = begun(crowd, MANY)
    assert cost(works[:1]) == cost(works[1:])
    assert {task.status for task in crowd.tasks().values()} == {Status.RETRYING}
    assert {crowd.batch(work.id)["status"] for work in works} == {"done"}


def test_groups_that_hold_the_same_accounts_in_opposite_order_do_not_wait(crowd: World) -> None:
    """What the first has locked, the second leaves out; it is made in the next group."""
    if crowd.database.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has one writer")
    works = begun(crowd, MANY)
    wanted = opening(crowd, works)
    with crowd.begin() as one, crowd.begin() as other:
        first = ledger.advance_together(one, wanted[:6], crowd.rng)
        second = ledger.advance_together(other, wanted[::-1], crowd.rng)
    assert first.keys() == {work.id for work in works[:6]}
    assert second.keys() == {work.id for work in works[6:]}
    assert all(len(crowd.attempts(task_id)) == 1 for task_id in crowd.tasks())


def test_no_permit_is_taken_for_a_task_that_somebody_holds(crowd: World) -> None:
    if crowd.database.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has one writer")
    (work,) = begun(crowd, 1)
    crowd.open(work, [])  # its path is known
    with crowd.begin() as host:
        ledger.rows.locked_by_ids(host, [work.tasks[0].id])
        step = together(crowd, opening(crowd, [work]))[work.id]
    assert not step.permits
    assert not crowd.attempts(work.tasks[0].id)
    assert together(crowd, opening(crowd, [work]))[work.id].permits, "its moment is free still"


@pytest.mark.parametrize("trouble", ["paused", "penalty", "lost", "another's"])
def test_a_step_in_trouble_is_left_out_and_the_others_are_made(crowd: World, trouble: str) -> None:
    works = begun(crowd, MANY)
    together(crowd, opening(crowd, works))
    odd = works[4]
    if trouble == "paused":
        crowd.pause(odd.rules.account)
    elif trouble == "penalty":
        put(crowd, update(limits).where(limits.c.group == odd.rules.group).values(throttles=1))
    else:
        changed = {"status": "lost", "ended_at": crowd.clock.now} if trouble == "lost" else {"worker": "somebody"}
        put(crowd, update(batches).where(batches.c.id == odd.id).values(changed))
    made = together(crowd, [WantedStep(work, [crowd.told(work, Accepted())], ()) for work in works])
    assert made.keys() == {work.id for work in works} - {odd.id}
    assert crowd.attempts(odd.tasks[0].id)[0]["outcome"] is None


def test_a_step_with_a_bad_answer_is_not_plain(crowd: World) -> None:
    (work,) = begun(crowd, 1)
    reading = Reading(state=State.FAILED, pace=3.0)
    assert WantedStep(work, [crowd.told(work, Accepted())], ()).is_plain
    assert not WantedStep(work, [crowd.told(work, reading)], ()).is_plain
    assert not WantedStep(work, [crowd.told(work, Throttled(wait_seconds=1.0))], ()).is_plain


def put(world: World, statement: Update) -> None:
    with world.begin() as t:
        t.execute(statement)


# --- In a worker --------------------------------------------------------------------------------------------------


def run_all(site: Site, ready: list[Any]) -> list[dict[str, int]]:
    """All of them at once, so that their steps come together."""
    return [future.result() for future in [job.start(site.deps, batch.id) for batch in ready]]


def several(site: Site, some: int) -> tuple[list[int], list[Any]]:
    ids, ready = [], []
    for n in range(some):
        ids.append(site.world.add(f"10{n}"))
        ready.append(site.world.claimed())
    return ids, ready


@contextmanager
def groups_seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many steps each transaction held."""
    seen: list[int] = []
    real = ledger.advance_together

    def noting(t: Any, wanted: Any, rng: Any) -> Any:
        made = real(t, wanted, rng)
        seen.append(len(made))
        return made

    monkeypatch.setattr(ledger, "advance_together", noting)
    yield seen


def test_batches_that_run_together_share_transactions(ours: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    ids, ready = several(ours, 4)
    with groups_seen(monkeypatch) as seen:
        assert run_all(ours, ready) == [{"accepted": 1}] * 4
    assert max(seen) > 1
    assert {ours.world.task(i).status for i in ids} == {Status.RETRYING}


def test_a_poisoned_step_among_others_is_the_only_one_that_fails(ours: Site) -> None:
    drop_rules(ours.world)
    ids, ready = several(ours, 4)
    spoil(ours.world, ids[2], ODD[ours.world.database.engine.dialect.name][0])
    counts = run_all(ours, ready)
    assert [each.get("accepted", 0) for each in counts] == [1, 1, 0, 1]
    assert quarantined(ours.world).keys() == {ids[2]}


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("kept", [True, False])
def test_a_commit_in_doubt_is_so_for_each_of_its_steps(ours: Site, *, number: int, kept: bool) -> None:
    """Whatever happened to it, no call is made twice, none is forgotten, and each attempt has one outcome."""
    ids, ready = several(ours, 4)
    with losing(ours, number, kept=kept):
        run_all(ours, ready)
    for batch in ready:
        job.run(ours.deps, batch.id)
    for task_id in ids:
        ends = [attempt["outcome"] for attempt in ours.world.attempts(task_id)]
        assert None not in ends
        assert ends.count("accepted") <= 1
        assert ours.world.task(task_id).status in {Status.RETRYING, Status.FAILED}


def test_of_two_steps_about_one_task_the_second_goes_later(crowd: World) -> None:
    """A slow check of a task, and a newer one: together the older state would win."""
    task_id = crowd.accepted()
    crowd.clock.forward(60)
    works = [crowd.begun("phones", Operation.CHECK)]
    crowd.put(task_id, due_at=crowd.clock.now)
    works.append(crowd.begun("phones", Operation.CHECK))
    seen = asyncio.run(_waves(works, crowd))
    assert seen == [[works[0].id], [works[1].id]]


async def _waves(works: list[Work], world: World) -> list[list[Any]]:
    together = Together(cast("Any", None))
    reading = Reading(state=State.RUNNING)
    for work in works:
        wanted = WantedStep(work, [world.told(work, reading)], (), {work.tasks[0].id: 1})
        together._waiting.append(_Step(wanted, 0.0, asyncio.get_running_loop().create_future()))
    return [[each.batch_id for each in together._next()] for _ in works]


class CountingDesk:
    """Makes nothing; knows how many steps each group had."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    async def step(self, _: Any, steps: list[Any], *__: Any) -> Any:
        self.sizes.append(len(steps))
        return {}, {}


async def _sizes(wanted: list[WantedStep]) -> list[int]:
    """Of the groups of steps of which each comes when the one before would be written if it did not wait."""
    desk = CountingDesk()
    together = Together(cast("Any", SimpleNamespace(desk=desk)))
    together._last = asyncio.get_running_loop().time()
    waiting = []
    for each in wanted:
        waiting.append(asyncio.create_task(together.step(each)))
        for _ in range(10):
            await asyncio.sleep(0)
    await asyncio.wait_for(asyncio.gather(*waiting), 10)
    return desk.sizes


@pytest.mark.parametrize(("interval_seconds", "sizes"), [(1.0, [2]), (0.001, [1, 1])])
def test_what_is_slow_anyway_waits_for_others(crowd: World, interval_seconds: float, sizes: list[int]) -> None:
    works = [replace(work, rules=replace(work.rules, interval_seconds=interval_seconds)) for work in begun(crowd, 2)]
    assert asyncio.run(_sizes(opening(crowd, works))) == sizes


class Died(BaseException):
    """What ends a writer: the process runs out of memory, or its loop is closed."""


class DyingDesk:
    async def step(self, *_: Any) -> Any:
        await asyncio.sleep(0)
        raise Died


async def _deaths(batches: int) -> list[Any]:
    together = Together(cast("Any", SimpleNamespace(desk=DyingDesk())))
    waiting = [together.begin(uuid4(), []) for _ in range(batches)]
    return await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 10)


def test_nobody_waits_for_a_writer_that_died() -> None:
    assert [type(each) for each in asyncio.run(_deaths(3))] == [Died] * 3
