"""Cost: what is done to a hundred tasks takes as many statements as what is done to one."""

import re
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, delete, event

from redrive.models import ledger
from redrive.models.ledger import CallResult, NewTask
from redrive.models.outcome import Accepted, Already, Deferred, Outcome, Reading, Refused, State, Throttled, Unknown
from redrive.models.sql.tables import metadata
from redrive.models.states import DeadReason, Operation, Status
from tests.support.world import ME, World

MIXED: list[Callable[[], Outcome]] = [
    Accepted,
    Already,
    Deferred,
    Unknown,
    lambda: Refused(reason=DeadReason.NOT_FOUND),
    lambda: Throttled(wait_seconds=9.0),
]


def new(account: str, size: int) -> list[NewTask]:
    return [NewTask(account=account, kind=kind(account), external_id=str(n)) for n in range(size)]


def kind(account: str) -> str:
    return {"phones": "", "desktops": "task"}[account]


def course(world: World, account: str, size: int, kinds: Sequence[Callable[[], Outcome]]) -> dict[str, int]:
    """The number of statements of each step of a whole course, for so many tasks."""
    counts: dict[str, int] = {}

    def counted(name: str, step: Callable[[], object]) -> object:
        with world.statements() as seen:
            result = step()
        counts[name] = len(seen)
        return result

    with world.begin() as t:
        counted("add", lambda: ledger.add(t, new(account, size), world.rules))
        counted("add again", lambda: ledger.add(t, new(account, size), world.rules))
    counted("claim", lambda: world.claim(account))
    (batch_id,) = {task.batch_id for task in world.tasks().values()}
    assert batch_id is not None
    work = counted("begin", lambda: world.begin_batch(batch_id))
    assert isinstance(work, ledger.Work)
    assert len(work.tasks) == size
    counted("open", lambda: world.open(work))
    assert all(world.attempts(task.id) for task in work.tasks)
    ids = [task.id for task in work.tasks]
    path = world.groups(work)[0].path
    answers = {task_id: kinds[n % len(kinds)]() for n, task_id in enumerate(ids)}
    per_call = work.rules.capabilities.retry_ids
    slices = [ids[i : i + per_call] for i in range(0, size, per_call)]
    told = [CallResult(path, world.clock.now, {i: answers[i] for i in each}) for each in slices]
    counted("record", lambda: world.advance(work, told))
    counted("finish", lambda: world.finish(work))
    for task_id in ids:
        world.put(
            task_id, status="retrying", next="check", due_at=world.clock.now, dead_reason=None,
            status_since=world.clock.now - timedelta(hours=1),
        )  # fmt: skip
    counted("claim checks", lambda: world.claim(account, Operation.CHECK))
    world.clock.forward(200)
    work = world.begun(account, Operation.CHECK)
    counted("results", lambda: world.look(work, Reading(state=State.FAILED)))
    with world.begin() as t:
        counted("act", lambda: ledger.act(t, "hold", ids, world.rules, ME))
        counted("report", lambda: ledger.report(t, ids, world.rules, Status.SUCCEEDED, at=None, reason=""))
    return counts


@pytest.mark.parametrize(("kinds", "sizes"), [([Accepted], (1, 99)), (MIXED, (6, 96))], ids=["accepted", "mixed"])
@pytest.mark.parametrize("account", ["phones", "desktops"])
def test_a_hundred_tasks_cost_what_one_costs(
    world: World,
    account: str,
    kinds: Sequence[Callable[[], Outcome]],
    sizes: tuple[int, int],
) -> None:
    """Step by step the same number of statements, whether a call takes a hundred ids or one.

    Nearly a hundred: a full check call does not look for what could come along.
    """
    few = course(world, account, sizes[0], kinds)
    clear(world)
    assert course(world, account, sizes[1], kinds) == few


def clear(world: World) -> None:
    with world.begin() as t:
        for table in reversed(metadata.sorted_tables):
            t.execute(delete(table))
    world.ensure()


def test_no_statement_reads_all_tasks(new_sqlite_database: Callable[[], str]) -> None:
    """Cost follows what is due: every table that grows is reached by an index, whatever is stored beside."""
    world = World(new_sqlite_database())
    ran: list[tuple[str, Any]] = []

    def note(connection: Connection, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if not connection.get_execution_options().get("redrive_reading"):  # what this test itself looks at
            ran.append((statement, parameters))

    event.listen(world.database.engine, "before_cursor_execute", note)
    course(world, "phones", 10, MIXED)
    with world.begin() as t:
        ledger.take_unheard(t)
        ledger.expired(t)
        ledger.prune_tasks(t, "phones", Status.SUCCEEDED, timedelta(0))
        ledger.prune_batches(t, timedelta(0))
    event.remove(world.database.engine, "before_cursor_execute", note)
    assert len(ran) > 50
    with world.begin() as t:
        for statement, parameters in ran:
            if statement.split()[0] in ("SELECT", "UPDATE", "DELETE"):
                plan = t.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
                steps = [row.detail for row in plan]
                assert not [step for step in steps if re.match(rf"SCAN ({GROWING})\b", step)], (statement, steps)
    world.close()


GROWING = "redrive_tasks|redrive_attempts|redrive_batches|redrive_actions|redrive_archives"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_old_statistics_do_not_make_a_batch_read_all_tasks(world: World) -> None:
    """After a large import PostgreSQL believes for a while that the table is small."""
    with world.begin() as t:
        ledger.add(t, new("phones", 10), world.rules)
    world.claim("phones")
    with world.begin() as t:
        t.connection.exec_driver_sql("ANALYZE")
    world.add_many([str(n) for n in range(1000, 5000)])
    before = tasks_read(world)
    work = world.begun("phones")
    world.advance(work, [], world.groups(work))
    told = [
        CallResult(group.path, world.clock.now, dict.fromkeys(group.ids, Accepted())) for group in world.groups(work)
    ]
    world.advance(work, told)
    world.finish(work)
    assert len(work.tasks) == 100
    assert tasks_read(world) - before < 1500


def tasks_read(world: World) -> int:
    """How many rows of the tasks' table were read so far, in whatever way."""
    with world.begin() as t:
        t.connection.exec_driver_sql("SELECT pg_stat_force_next_flush()")
    read = "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_user_tables WHERE relname = 'redrive_tasks'"
    with world.begin() as t:
        return int(t.connection.exec_driver_sql(read).scalar_one())
