"""Actions and lists by filter: what they read grows with what they find, whatever plan the database has made."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update

from redrive.models import queries
from redrive.models.ledger import actions
from redrive.models.queries import TaskFilter
from redrive.models.sql.tables import attempts, tasks
from redrive.models.states import DeadReason, Operation, Status
from tests.database.test_statements import tasks_read
from tests.support.servers import Databases
from tests.support.world import START, World

MANY, PAGE = 3000, 100

FILTERS: Mapping[str, dict[str, Any]] = {
    "dead": {"statuses": (Status.DEAD,)},
    "dead of an account": {"accounts": ("phones",), "dead_reasons": (DeadReason.LIMIT_REACHED,)},
    "what --force means": {
        "accounts": ("phones",),
        "statuses": (Status.FAILED, Status.CANCELED, Status.HELD, Status.DEAD),
    },
    "held": {"statuses": (Status.HELD,), "accounts": ("phones",)},
    "changed lately": {"since": timedelta(days=1)},
    "of a kind and a priority": {"kinds": ("",), "priorities": (0,), "statuses": (Status.FAILED,)},
    "due": {"due": True},
    "due, and of an account": {"due": True, "accounts": ("phones",)},
    "everything": {},
}


def fill(world: World, status: str, number: int, account: str = "phones") -> list[int]:
    """Tasks of a status, as if they had come to it long ago."""
    more: dict[str, Any] = {
        "dead": {"dead_reason": "limit_reached", "due_at": None},
        "succeeded": {"due_at": None},
        "held": {"held_from": "failed", "due_at": None},
        "retrying": {"next": "check", "due_at": START - timedelta(hours=1)},
        "failed": {"due_at": START - timedelta(hours=1)},
        "waiting": {"due_at": START + timedelta(hours=1)},
    }[status]
    with world.begin() as t:
        first = len(t.rows(tasks.select())) + 1
        row = {"account": account, "kind": "", "status": "failed" if status == "waiting" else status}
        moments = dict.fromkeys(("status_since", "round_at", "created_at", "updated_at"), START - timedelta(hours=2))
        ids = [*range(first, first + number)]
        t.connection.execute(insert(tasks), [{**row, **more, **moments, "id": i, "external_id": f"t{i}"} for i in ids])
    return ids


STATISTICS = ["fresh statistics", "old statistics"]


@pytest.fixture(params=STATISTICS)
def generic(request: pytest.FixtureRequest, new_postgres_database: Callable[[], str]) -> Iterator[World]:
    """A database of the test's own, to be changed."""
    with closing(filled(new_postgres_database(), old=request.param == "old statistics")) as world:
        yield world


@pytest.fixture(scope="module", params=STATISTICS)
def only_read(request: pytest.FixtureRequest, postgres_databases: Databases, postgres_template: str) -> Iterator[World]:
    """One for all that only read it."""
    with (
        postgres_databases.new(template=postgres_template) as url,
        closing(filled(url, old=request.param == "old statistics")) as world,
    ):
        yield world


def filled(url: str, *, old: bool) -> World:
    """Every plan is made without the values it is for; the table may have been small when it was last looked at."""
    world = World(url)
    with world.begin() as t:
        name = t.connection.exec_driver_sql("SELECT current_database()").scalar_one()
        t.connection.exec_driver_sql(f"ALTER DATABASE {name} SET plan_cache_mode = force_generic_plan")
    for status in ("failed", "dead", "succeeded"):
        fill(world, status, 3, "desktops")
    if old:
        analyze(world)
    for status in ("dead", "failed", "held", "retrying", "succeeded"):
        fill(world, status, MANY // 5)
    if not old:
        analyze(world)
    world.database.engine.dispose()  # the setting holds from the next connection on
    return world


def analyze(world: World) -> None:
    with world.begin() as t:
        t.connection.exec_driver_sql("ANALYZE")


@pytest.mark.parametrize("wanted", FILTERS.values(), ids=FILTERS)
def test_all_pages_together_read_each_task_a_few_times(only_read: World, wanted: dict[str, Any]) -> None:
    """Not each page all that is left, which would be a hundred times as much with half a million."""
    before, found = tasks_read(only_read), TaskFilter(**wanted)
    with only_read.database.reading() as t:
        assert t.connection.exec_driver_sql("SHOW plan_cache_mode").scalar_one() == "force_generic_plan"
        ids = queries.all_ids(t, found)
    assert len(ids) >= MANY // 5
    for start in range(0, len(ids), PAGE):
        with only_read.database.reading() as t:
            assert queries.still_matching(t, found, ids[start : start + PAGE]) == [*ids[start : start + PAGE]]
    assert tasks_read(only_read) - before <= MANY + 20 + 2 * len(ids)


@pytest.mark.parametrize("more", [{}, {"accounts": ("reviews",)}, {"statuses": (Status.FAILED, Status.RETRYING)}])
def test_a_list_of_what_is_due_reads_what_is_due(generic: World, more: dict[str, Any]) -> None:
    """Not what has ended, nor what is due tomorrow: the few stand behind all of it."""
    with generic.begin() as t:
        t.execute(update(tasks).where(tasks.c.due_at.is_not(None)).values(due_at=START + timedelta(days=1)))
    due = fill(generic, "failed", 5, "reviews") + fill(generic, "retrying", 5, "reviews")
    before = tasks_read(generic)
    with generic.database.reading() as t:
        assert [task.id for task in queries.find(t, TaskFilter(due=True, **more))] == due
    assert tasks_read(generic) - before <= 100


@pytest.fixture
def small(new_sqlite_database: Callable[[], str]) -> Iterator[World]:
    world = World(new_sqlite_database())
    fill(world, "failed", 5)
    fill(world, "retrying", 5)
    fill(world, "dead", 5)
    yield world
    world.close()


def plans(world: World, ask: Callable[[Any], object]) -> list[str]:
    """The steps of SQLite's plans for what is asked of the tasks."""
    with world.statements() as asked, world.database.reading() as t:
        ask(t)
    steps: list[str] = []
    with world.database.reading() as t:
        for statement in asked:
            if "redrive_tasks" in statement:
                rows = t.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", (0,) * statement.count("?"))
                steps += [row[3] for row in rows]
    return [step for step in steps if "redrive_tasks" in step]


@pytest.mark.parametrize("wanted", FILTERS.values(), ids=FILTERS)
def test_a_page_is_reached_by_its_ids_on_sqlite(small: World, wanted: dict[str, Any]) -> None:
    steps = plans(small, lambda t: queries.still_matching(t, TaskFilter(**wanted), [1, 2, 3]))
    assert steps == ["SEARCH redrive_tasks USING INTEGER PRIMARY KEY (rowid=?)"]


def test_what_is_due_is_reached_by_its_two_indexes_on_sqlite(small: World) -> None:
    for ask in queries.find, queries.all_ids:
        steps = plans(small, lambda t, ask=ask: ask(t, TaskFilter(due=True)))  # type: ignore[misc]
        for index in "redrive_tasks_retry_due_idx", "redrive_tasks_check_due_idx":
            assert any(index in step for step in steps), (index, steps)


def test_what_has_ended_is_reached_by_its_index_on_sqlite(small: World) -> None:
    steps = plans(small, lambda t: queries.all_ids(t, TaskFilter(statuses=(Status.DEAD,))))
    assert any("redrive_tasks_ended_idx" in step for step in steps), steps


# --- What has moved meanwhile ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wanted", [FILTERS["dead"], FILTERS["what --force means"], {"dead_reasons": tuple(DeadReason)}]
)
def test_a_task_that_moved_since_it_was_found_is_left_out(world: World, wanted: dict[str, Any]) -> None:
    """It took a while to come to its page."""
    ids = fill(world, "dead", 4)
    with world.database.reading() as t:
        assert [*queries.all_ids(t, TaskFilter(**wanted))] == ids
    world.put(ids[1], status="succeeded", dead_reason=None)
    with world.database.reading() as t:
        assert queries.still_matching(t, TaskFilter(**wanted), ids) == [ids[0], *ids[2:]]


def test_what_came_to_match_later_is_none_of_a_page(world: World) -> None:
    ids = fill(world, "dead", 2)
    fill(world, "dead", 2)
    with world.database.reading() as t:
        assert queries.still_matching(t, TaskFilter(statuses=(Status.DEAD,)), ids) == ids


Meanwhile = Callable[[World, int], None]


def succeeds(world: World, task_id: int) -> None:
    world.put(task_id, status="succeeded", due_at=None)


def is_called(world: World, task_id: int) -> None:
    """Its row stays as it is; an attempt is open."""
    batch = world.task(task_id).batch_id
    with world.begin() as t:
        t.execute(
            insert(attempts).values(task_id=task_id, number=1, batch_id=batch, trigger="due", opened_at=world.clock.now)
        )


@pytest.mark.parametrize(
    ("claimed", "meanwhile", "becomes", "wish"),
    [(False, succeeds, Status.SUCCEEDED, None), (True, is_called, Status.IN_FLIGHT, "hold")],
)
def test_it_is_decided_again_where_something_came_between_reading_and_locking(
    world: World, monkeypatch: pytest.MonkeyPatch, *, claimed: bool, meanwhile: Meanwhile, becomes: Status, wish: str
) -> None:
    """What was decided on the old row would hold a task that has succeeded, or one that is being retried."""
    if world.database.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer")
    first, second = world.add_many("ab")
    if claimed:
        world.claimed()
    locked = actions.locked_by_ids

    def after(t: Any, ids: Any) -> Any:
        meanwhile(world, second)
        return locked(t, ids)

    monkeypatch.setattr(actions, "locked_by_ids", after)
    world.act("hold", first, second)
    assert world.task(first).status is Status.HELD
    assert (world.task(second).status, world.task(second).wish) == (becomes, wish)


@pytest.mark.parametrize("what", ["hold", "retry", "force", "stop"])
def test_what_has_not_moved_is_decided_once(world: World, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    ids = world.add_many("abc")
    asked: list[int] = []
    usual = actions.ACTIONS[what]

    def noting(task: Any, context: Any, is_open: bool) -> Any:  # noqa: FBT001 - the shape of an Act
        asked.append(task.id)
        return usual(task, context, is_open)

    monkeypatch.setattr(actions, "ACTIONS", {what: noting})
    world.act(what, *ids)
    assert asked == ids
    assert Operation.RETRY in {task.next for task in world.tasks().values()}
