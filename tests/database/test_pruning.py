"""Deleting what ended long ago, page by page, and nothing else."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select, text

from redrive.models.ledger import prune_batches, prune_tasks, pruning
from redrive.models.outcome import Accepted, Refused
from redrive.models.settings.services import RetentionSettings
from redrive.models.sql.tables import actions, attempts, batches
from redrive.models.states import DeadReason, Operation, Status
from redrive.scheduler.prune import Pruner
from tests.support.world import World

DAY = timedelta(days=1)


def prune(world: World, status: Status, account: str = "phones", age: timedelta = DAY) -> int:
    with world.begin() as t:
        return prune_tasks(t, account, status, age)


def test_only_the_old_and_ended_go(world: World) -> None:
    """Neighbours stay: younger ones, other ends, other accounts, and all that is unfinished."""
    old = world.accepted("old")
    world.report(old, Status.SUCCEEDED)
    other = world.accepted("other", "desktops")
    world.report(other, Status.SUCCEEDED)
    dead = world.add("dead")
    world.act("stop", dead)
    unfinished = world.add_many("abc")
    world.act("hold", unfinished[0])
    world.clock.forward(86_399)
    young = world.add("young")
    world.report(young, Status.SUCCEEDED)
    world.clock.forward(1)
    assert prune(world, Status.SUCCEEDED) == 0
    world.clock.forward(1)
    assert prune(world, Status.SUCCEEDED) == 1
    assert set(world.tasks()) == {other, dead, *unfinished, young}


def test_an_open_attempt_keeps_its_task(world: World) -> None:
    """Whatever its owner said and however long ago: the record of what may have been sent stays until it is closed."""
    task = world.add()
    work = world.opened()
    world.report(task, Status.SUCCEEDED)
    world.clock.forward(86_400 * 400)
    assert prune(world, Status.SUCCEEDED) == 0
    world.rescue(work.id)
    assert prune(world, Status.SUCCEEDED) == 1


def test_totals_stay_right(world: World) -> None:
    """What is gone is not counted as there; what was done stays counted as done."""
    ids = world.add_many("abc")
    work = world.opened()
    world.answer(work, {ids[0]: Accepted(), ids[1]: Accepted(), ids[2]: Refused(reason=DeadReason.NOT_FOUND)})
    world.finish(work)
    world.report(ids[0], Status.SUCCEEDED)
    world.clock.forward(86_401)
    assert (prune(world, Status.SUCCEEDED), prune(world, Status.DEAD)) == (1, 1)
    assert world.totals() == {
        "attempts": 3, "calls:retry": 1, "outcome:accepted": 2, "outcome:refused": 1, "pruned": 2, "spent": 2,
    }  # fmt: skip


def test_everything_of_a_task_goes_with_it(world: World) -> None:
    task = world.accepted()
    world.act("retry", task)
    world.report(task, Status.SUCCEEDED)
    world.clock.forward(86_401)
    prune(world, Status.SUCCEEDED)
    with world.database.reading() as t:
        for table in (attempts, actions):
            assert t.rows(select(func.count()).select_from(table).where(table.c.task_id == task))[0][0] == 0


def test_one_page_at_a_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short transactions, however much there is; the oldest first."""
    monkeypatch.setattr(pruning, "PRUNED_AT_ONCE", 2)
    ids = []
    for name in "abc":
        ids.append(world.add(name))
        world.report(ids[-1], Status.SUCCEEDED)
        world.clock.forward(1)
    world.clock.forward(86_401)
    assert prune(world, Status.SUCCEEDED) == 2
    assert set(world.tasks()) == {ids[2]}
    assert [prune(world, Status.SUCCEEDED), prune(world, Status.SUCCEEDED)] == [1, 0]


def test_ended_batches_go_open_ones_stay(world: World) -> None:
    world.accepted("a")
    world.clock.forward(30)
    queued = world.claimed(operation=Operation.CHECK)
    world.add("b")
    sending = world.begun()
    world.clock.forward(86_401)
    with world.begin() as t:
        assert prune_batches(t, DAY) == 1
        assert set(t.execute(select(batches.c.id)).scalars()) == {queued.id, sending.id}


@pytest.mark.parametrize("action", ["", "ON DELETE RESTRICT", "ON DELETE SET NULL", "ON DELETE CASCADE"])
def test_a_hosts_foreign_key_keeps_its_own_tasks_and_no_others(world: World, action: str) -> None:
    """Its rows decide: those that refuse a deletion keep their task, the rest of the page goes."""
    ids = world.add_many([str(n) for n in range(6)])
    for task_id in ids:
        world.report(task_id, Status.SUCCEEDED)
    with world.database.engine.begin() as connection:
        column = f'"redrive id" bigint REFERENCES redrive_tasks (id) {action}'
        connection.execute(text(f'CREATE TABLE "Jobs" (id int, {column})'))
        connection.execute(text('INSERT INTO "Jobs" VALUES (1, :a), (2, :b), (3, NULL)'), {"a": ids[0], "b": ids[3]})
    world.clock.forward(2 * 86_400)
    keep = RetentionSettings(succeeded_days=1)
    assert Pruner(world.database, list(world.rules), keep).all() == (4 if action in {"", "ON DELETE RESTRICT"} else 6)
    assert set(world.tasks()) == ({ids[0], ids[3]} if action in {"", "ON DELETE RESTRICT"} else set())
