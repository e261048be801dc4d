"""One strange row, batch, account or lock harms only itself."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, select, text, update
from sqlalchemy.exc import DBAPIError

from redrive.models import ledger
from redrive.models.errors import Locked
from redrive.models.ledger import CallResult
from redrive.models.ledger.rows import free_by_ids, locked_by_ids
from redrive.models.ledger.troubles import troubles
from redrive.models.outcome import Accepted
from redrive.models.settings import Settings
from redrive.models.sql.db import SCHEDULER_LOCK_SECONDS, Database
from redrive.models.sql.db_errors import meaning
from redrive.models.sql.tables import batches
from redrive.models.states import Operation, SetAside, Status
from redrive.scheduler.service import Scheduler
from tests.database.test_row_rules import drop_rules
from tests.database.test_scheduler import Broker
from tests.support.site import site
from tests.support.tiny import tiny
from tests.support.world import World

RESTART = "/open/v1/task/restart"

ODD = {
    "postgresql": [
        "failed_at = 'infinity'", "created_at = '-infinity'", "round_at = '0044-03-15 BC'",
        "updated_at = '20000-01-01'", "due_at = '-infinity'", "params = '[1, 2]'",
    ],
    "sqlite": [
        "params = ''", "failed_at = '2026-02-30 10:00:00.000000'", "params = 'no json'",
        "external_id = CAST(x'ff41' AS TEXT)", "due_at = '0000-00-00 00:00:00.000000'", "params = '[1, 2]'",
    ],
}  # fmt: skip


@contextmanager
def held(world: World, statement: str, **values: Any) -> Iterator[Connection]:
    """A host's transaction, left open after this statement."""
    with host(world) as connection, connection.begin() as transaction:
        connection.execute(text(statement), values)
        yield connection
        transaction.rollback()


@contextmanager
def host(world: World) -> Iterator[Connection]:
    """A connection of a host's own."""
    engine = create_engine(world.database.url)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@pytest.fixture
def scheduler(world: World) -> Scheduler:
    return Scheduler(world.database, Broker(), Settings(), world.rules, Random(1))


@pytest.fixture
def postgres(world: World) -> World:
    if world.database.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has one writer: a host's open transaction stops all of them")
    return world


def spoil(world: World, task_id: int, how: str) -> None:
    with world.database.engine.begin() as connection:
        connection.execute(text(f"UPDATE redrive_tasks SET {how} WHERE id = :id"), {"id": task_id})


def quarantined(world: World) -> dict[int, str]:
    with world.database.reading() as t:
        return {row.task_id: row.why for row in t.rows(text("SELECT task_id, why FROM redrive_quarantine"))}


def with_status(world: World, status: Status) -> set[int]:
    with world.database.reading() as t:
        return {row.id for row in t.rows(text("SELECT id FROM redrive_tasks WHERE status = :s"), s=status.value)}


def new(external_id: str) -> ledger.NewTask:
    return ledger.NewTask(account="phones", kind="", external_id=external_id)


def impatient(world: World) -> Database:
    return Database(world.url, clock=world.clock, lock_seconds=SCHEDULER_LOCK_SECONDS)


def run_until_quiet(scheduler: Scheduler) -> None:
    for _ in range(30):
        if not scheduler.run_once().more:
            return
    pytest.fail("the scheduler never comes to rest")


# --- rows that cannot be read or written -----------------------------------------------------------------------


def test_a_row_that_cannot_be_read_is_set_aside_and_named(world: World, scheduler: Scheduler) -> None:
    """The others of its account are claimed, and so are other accounts'; it is not checked again."""
    drop_rules(world)
    odd = [*zip(world.add_many([f"odd{n}" for n in range(6)]), ODD[world.database.engine.dialect.name], strict=True)]
    good = world.add_many([f"good{n}" for n in range(20)])
    other = world.add("1", account="reviews")
    for task_id, how in odd:
        spoil(world, task_id, how)
    run_until_quiet(scheduler)
    readable = {task_id for task_id, how in odd if "[1, 2]" in how}
    assert with_status(world, Status.IN_FLIGHT) == {*good, other, *readable}
    assert quarantined(world).keys() == {task_id for task_id, _ in odd} - readable
    assert all(quarantined(world).values())
    assert not scheduler.run_once().more


@pytest.mark.parametrize("params", ["[1, 2]", "[]", "7", '"text"'])
def test_params_that_are_no_object_are_none(database_url: str, tmp_path: Path, params: str) -> None:
    """The account's own settings do for its calls, and its retry is made."""
    with (
        tiny(lambda _: (200, {"code": 200, "msg": "success"})) as server,
        site(database_url, tmp_path, server.url) as ours,
    ):
        drop_rules(ours.world)
        task_id = ours.world.add("31", account="reviews")
        spoil(ours.world, task_id, f"params = '{params}'")
        assert ours.work("reviews") == {"accepted": 1}
        assert [asked.body["task_id"] for asked in server.asked] == ["31"]


@pytest.mark.parametrize("how", range(3))
def test_a_row_that_another_scheduler_sets_aside_meanwhile_fails_no_claim(
    world: World, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, how: int
) -> None:
    """The one that comes too late finds nothing at fault, and claims the others at once."""
    drop_rules(world)
    odd, good = world.add_many(["odd", "good"])
    spoil(world, odd, ODD[world.database.engine.dialect.name][how])
    due_ids = ledger.due_ids

    def late(*args: Any) -> list[int]:
        found = due_ids(*args)
        monkeypatch.setattr(ledger, "due_ids", due_ids)
        with world.begin() as t:
            ledger.set_aside(t, [ledger.Odd(odd, "phones", SetAside.ROW, "the other one's words")])
        return [task_id for task_id in found if task_id != odd]

    monkeypatch.setattr(ledger, "due_ids", late)
    assert scheduler.run_once().claimed == 1
    assert with_status(world, Status.IN_FLIGHT) == {good}
    assert quarantined(world) == {odd: "the other one's words"}
    with world.database.reading() as t:
        assert not troubles(t)


@pytest.mark.parametrize("how", range(3))
def test_a_row_that_another_scheduler_sets_aside_meanwhile_fails_no_rescue(
    world: World, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch, how: int
) -> None:
    drop_rules(world)
    ids = world.add_many(["odd", "good"])
    world.open(world.begun(), ids)
    spoil(world, ids[0], ODD[world.database.engine.dialect.name][how])
    world.clock.forward(world.rules["phones"].lease_seconds + 1)
    made_for = ledger.made_for

    def late(*args: Any) -> tuple[Any, list[int]]:
        operation, found = made_for(*args)
        monkeypatch.setattr(ledger, "made_for", made_for)
        with world.begin() as t:
            ledger.set_aside(t, [ledger.Odd(ids[0], "phones", SetAside.ROW, "the other one's words")])
        return operation, [task_id for task_id in found if task_id != ids[0]]

    monkeypatch.setattr(ledger, "made_for", late)
    scheduler.run_once()
    assert with_status(world, Status.UNKNOWN) == {ids[1]}
    assert quarantined(world) == {ids[0]: "the other one's words"}


def test_checks_of_the_others_go_on_beside_a_row_that_cannot_be_read(world: World, scheduler: Scheduler) -> None:
    drop_rules(world)
    ids = [world.accepted(f"{n}") for n in range(5)]
    spoil(world, ids[2], ODD[world.database.engine.dialect.name][0])
    world.clock.forward(60)
    run_until_quiet(scheduler)
    assert quarantined(world).keys() == {ids[2]}
    with world.database.reading() as t:
        made = t.rows(select(batches.c.task_ids).where(batches.c.operation == "check"))
    assert sorted(made[0].task_ids) == [task_id for task_id in ids if task_id != ids[2]]


def test_an_open_attempt_of_a_task_set_aside_counts(world: World) -> None:
    """Its call may have left; nobody can tell any more."""
    task_id, neighbour = world.add_many(["1", "2"])
    work = world.begun()
    world.open(work, [task_id, neighbour])
    with world.begin() as t:
        ledger.set_aside(t, [ledger.Odd(task_id, "phones", SetAside.ROW, "why")])
    (attempt,) = world.attempts(task_id)
    assert (attempt["outcome"], attempt["spent"]) == ("unknown", True)
    assert world.attempts(neighbour)[0]["closed_at"] is None
    assert world.totals()["outcome:unknown"] == 1


def test_a_lost_batch_with_a_row_that_cannot_be_read_is_taken_back_without_it(
    world: World, scheduler: Scheduler
) -> None:
    drop_rules(world)
    ids = world.add_many([str(n) for n in range(8)])
    work = world.begun()
    world.open(work, ids[:4])
    for task_id in (ids[1], ids[6]):
        spoil(world, task_id, ODD[world.database.engine.dialect.name][0])
    world.clock.forward(world.rules["phones"].lease_seconds + 1)
    run_until_quiet(scheduler)
    assert quarantined(world).keys() == {ids[1], ids[6]}
    assert world.batch(work.id)["status"] == "lost"
    assert with_status(world, Status.UNKNOWN) == {ids[0], ids[2], ids[3]}


def test_a_hundred_batches_that_cannot_be_rescued_hide_no_other(
    world: World, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page of lost batches has no head that blocks the rest."""
    monkeypatch.setattr("redrive.models.ledger.batches.BATCHES_AT_ONCE", 10)
    world.ruled("reviews", batch_size=1, max_in_flight=100)
    world.add_many([str(n) for n in range(10)], account="reviews")
    for _ in range(10):
        world.begun("reviews")
    world.clock.forward(1)
    task_id = world.add()
    work = world.begun()
    rescue = ledger.rescue

    def stumbling(t: Any, batch_id: Any, rules: Any, rng: Any, **more: Any) -> Any:
        if rules.account == "reviews":
            raise RuntimeError("a defect")
        return rescue(t, batch_id, rules, rng, **more)

    monkeypatch.setattr("redrive.models.ledger.rescue", stumbling)
    world.clock.forward(world.rules["phones"].lease_seconds + 10)
    scheduler.run_once()
    scheduler.run_once()
    assert world.batch(work.id)["status"] == "lost"
    assert world.task(task_id).status is Status.FAILED or world.task(task_id).status is Status.IN_FLIGHT
    with world.database.reading() as t:
        assert "RuntimeError" in troubles(t)["reviews"]


def test_an_account_whose_claim_fails_stops_no_other(
    world: World, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever it is: it is logged, put off ever longer, and people see it until it is over."""
    monkeypatch.setattr("redrive.scheduler.later.FIRST_SECONDS", 300.0)  # five passes may take more than a second
    claim = ledger.claim
    tried: list[str] = []

    def stumbling(t: Any, rules: Any, operation: Operation, rng: Any, **more: Any) -> Any:
        tried.append(rules.account)
        if rules.account == "desktops":
            raise ArithmeticError("a defect")
        return claim(t, rules, operation, rng, **more)

    monkeypatch.setattr("redrive.models.ledger.claim", stumbling)
    world.add(account="desktops")
    mine, theirs = world.add(), world.add(account="reviews")
    for _ in range(5):
        scheduler.run_once()
    assert with_status(world, Status.IN_FLIGHT) == {mine, theirs}
    assert tried.count("desktops") == 1
    with world.database.reading() as t:
        assert troubles(t).keys() == {"desktops"}


# --- locks that hosts hold -------------------------------------------------------------------------------------


def test_rows_that_a_host_holds_do_not_stand_before_those_behind_them(postgres: World, scheduler: Scheduler) -> None:
    """A claim picks what is free; the others come when the host lets go."""
    world = postgres
    world.ruled("phones", batch_size=10)
    first = world.add_many([str(n) for n in range(30)])
    world.clock.forward(1)
    behind = world.add_many([f"later{n}" for n in range(5)])
    with held(world, "UPDATE redrive_tasks SET priority = 1 WHERE id = ANY (:ids)", ids=first):
        assert scheduler.run_once().claimed == 5
        assert with_status(world, Status.IN_FLIGHT) == {*behind}
    run_until_quiet(scheduler)
    assert with_status(world, Status.IN_FLIGHT) == {*first, *behind}


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE redrive_accounts SET refusals = 0 WHERE name = 'desktops'",
        "SELECT * FROM redrive_accounts WHERE name = 'desktops' FOR UPDATE",
        "SELECT * FROM redrive_limits FOR UPDATE",
        "SELECT * FROM redrive_tasks WHERE account = 'desktops' FOR UPDATE",
        "LOCK TABLE redrive_totals IN EXCLUSIVE MODE",
    ],
)
def test_an_account_that_somebody_holds_delays_no_other(postgres: World, statement: str) -> None:
    world = postgres
    world.add(account="desktops")
    mine, theirs = world.add(), world.add(account="reviews")
    with closing(impatient(world)) as database, held(world, statement):
        Scheduler(database, Broker(), Settings(), world.rules, Random(1)).run_once()
        assert with_status(world, Status.IN_FLIGHT) >= {mine, theirs}


def test_what_is_locked_is_recorded_when_it_is_free(postgres: World) -> None:
    """The answers about the other tasks of the call are recorded at once; this one is owed and comes with the next."""
    world = postgres
    ids = world.add_many(["1", "2", "3"])
    work = world.begun()
    world.open(work, ids)
    told = [CallResult(RESTART, world.clock.now, dict.fromkeys(ids, Accepted()))]
    with held(world, "SELECT id FROM redrive_tasks WHERE id = :id FOR UPDATE", id=ids[1]):
        step = world.advance(work, told)
        assert step.owed == {ids[1]}
        assert with_status(world, Status.RETRYING) == {ids[0], ids[2]}
        world.finish(work)
        assert world.batch(work.id)["status"] == "sending"
    assert world.advance(work, told).owed == frozenset()
    world.finish(work)
    assert with_status(world, Status.RETRYING) == {*ids}
    assert world.batch(work.id)["status"] == "done"
    assert [len(world.attempts(i)) for i in ids] == [1, 1, 1]


def test_a_rescue_leaves_what_is_locked_for_its_next_try(postgres: World) -> None:
    """An attempt is closed together with its task, and the batch is lost when none of it is left."""
    world = postgres
    ids = world.add_many(["1", "2", "3"])
    work = world.begun()
    world.open(work, ids[:2])
    world.clock.forward(world.rules["phones"].lease_seconds + 1)
    with held(world, "SELECT id FROM redrive_tasks WHERE id = :id FOR UPDATE", id=ids[0]):
        assert world.rescue(work.id) == 2
        assert world.batch(work.id)["status"] == "sending"
        assert world.attempts(ids[0])[0]["closed_at"] is None
    assert world.rescue(work.id) == 1
    assert world.batch(work.id)["status"] == "lost"
    assert with_status(world, Status.UNKNOWN) == {*ids[:2]}


def test_adding_what_is_known_locks_nothing(postgres: World, scheduler: Scheduler) -> None:
    """A host that adds its tasks again and leaves its transaction open is in nobody's way."""
    world = postgres
    known = world.add()
    other = world.add("2")
    with host(world) as connection, connection.begin():
        with world.database.within(connection) as t:
            ledger.add(t, [new("1"), new("new")], world.rules)
        assert scheduler.run_once().claimed == 2
        assert with_status(world, Status.IN_FLIGHT) == {known, other}


def test_a_hosts_success_keeps_no_other_from_being_counted(postgres: World) -> None:
    """There is no row of totals that everybody writes."""
    world = postgres
    first, second = world.add_many(["1", "2"])
    with host(world) as connection, connection.begin():
        with world.database.within(connection) as t:
            ledger.report(t, [first], world.rules, Status.SUCCEEDED, at=None, reason="")
        world.report(second, Status.SUCCEEDED)
    assert world.totals()["succeeded"] == 2


def test_a_host_that_waits_too_long_for_a_task_gets_an_error_of_ours(
    postgres: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its transaction is as it was before, and so is its own patience."""
    monkeypatch.setattr("redrive.models.sql.db.PEOPLE_LOCK_SECONDS", 0.1)
    world = postgres
    task_id = world.add()
    with (
        held(world, "SELECT id FROM redrive_tasks WHERE id = :id FOR UPDATE", id=task_id),
        host(world) as connection,
        connection.begin(),
    ):
        connection.execute(text("SET LOCAL lock_timeout = '7s'"))
        connection.execute(text("CREATE TEMPORARY TABLE mine AS SELECT 1 AS one"))
        with pytest.raises(DBAPIError) as error, world.database.within(connection) as t:
            ledger.report(t, [task_id], world.rules, Status.SUCCEEDED, at=None, reason="")
        assert isinstance(meaning(error.value, "connection"), Locked)
        assert connection.execute(text("SELECT one FROM mine")).scalar_one() == 1
        with world.database.within(connection) as t:
            ledger.add(t, [new("new")], world.rules)
        assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "7s"


def test_a_hosts_foreign_key_keeps_nobody_waiting(postgres: World) -> None:
    """Our locks are the weaker ones: a row of a host's that refers to a task can be written meanwhile, and reverse."""
    world = postgres
    task_id = world.add()
    with world.database.engine.begin() as connection:
        connection.execute(text("CREATE TABLE jobs (id int, task bigint REFERENCES redrive_tasks (id))"))
    with held(world, "INSERT INTO jobs VALUES (1, :id)", id=task_id), world.begin() as t:
        assert [task.id for task in locked_by_ids(t, [task_id])] == [task_id]
        assert [task.id for task in free_by_ids(t, [task_id])] == [task_id]


# --- ids and batches that others made --------------------------------------------------------------------------


def test_ids_that_a_host_has_chosen_stop_no_later_add(world: World) -> None:
    world.add()
    with world.database.engine.begin() as connection:
        for number in range(2, 40):
            connection.execute(
                text("INSERT INTO redrive_tasks (id, account, external_id) VALUES (:n, 'phones', :x)"),
                {"n": number, "x": f"host{number}"},
            )
    ids = world.add_many([f"new{n}" for n in range(5)])
    assert len({*ids}) == 5
    assert min(ids) >= 40
    assert world.add_many(["new1", "newer"])[0] == ids[1]


def test_a_batch_of_an_account_that_nobody_knows_is_given_back(world: World, scheduler: Scheduler) -> None:
    """No worker will begin it; its tasks can be stopped, exported and deleted again."""
    task_id = world.add()
    batch = world.claimed()
    with world.begin() as t:
        t.execute(update(batches).where(batches.c.id == batch.id).values(account="gone"))
        t.execute(text("UPDATE redrive_tasks SET account = 'gone'"))
    scheduler.run_once()
    assert world.task(task_id).status is Status.IN_FLIGHT
    world.clock.forward(601)
    scheduler._chores._next.clear()
    scheduler.run_once()
    assert (world.task(task_id).status, world.task(task_id).spent) == (Status.FAILED, 0)
    assert world.batch(batch.id)["status"] == "lost"
