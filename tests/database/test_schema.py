"""The schema: built by migrations, the same as the tables say, and refusing what cannot be."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, Table, inspect, text
from sqlalchemy.exc import IntegrityError

from redrive.models.errors import SchemaError
from redrive.models.outcome import Accepted, Refused, Unknown
from redrive.models.sql import migrate
from redrive.models.sql.db import Database
from redrive.models.sql.migrations.row_rules_0002 import RULES
from redrive.models.sql.tables import CHECK_DUE, ENDED, RETRY_DUE, metadata
from redrive.models.sql.types import moment_text
from redrive.models.states import DeadReason, Status
from tests.support.schemas import go_back
from tests.support.world import START, World

MOMENT = "2026-03-01 12:00:00.000000"
TASK = {"account": "phones", "external_id": "1"}
ATTEMPT: dict[str, Any] = {"task_id": 1, "number": 1, "batch_id": uuid4().hex, "trigger": "due", "opened_at": MOMENT}
BATCH: dict[str, Any] = {
    "id": uuid4().hex, "account": "phones", "provider": "geelark", "operation": "retry", "task_ids": "[1]", "size": 1,
    "publish_at": MOMENT,
}  # fmt: skip
ACCOUNT = {"name": "desk", "provider": "geelark"}


def insert(world: World, table: str, **row: Any) -> None:
    columns = ", ".join(f'"{name}"' for name in row)
    with world.begin() as t:
        t.connection.execute(
            text(f"INSERT INTO {table} ({columns}) VALUES ({', '.join(f':{name}' for name in row)})"), row
        )


# --- built and checked -----------------------------------------------------------------------------------------


def test_migrations_and_tables_say_the_same(database_url: str) -> None:
    """Whoever changes one of the two must change the other: columns, types, defaults, indexes, constraints."""
    database = Database(database_url)
    with database.reading() as t:
        context = MigrationContext.configure(
            t.connection, opts={"compare_type": True, "version_table": "redrive_schema"}
        )
        assert compare_metadata(context, metadata) == []
        found = inspect(t.connection)
        for table in metadata.sorted_tables:
            assert checks_found(found, table.name) == checks_said(table, t.dialect)
            # SQLite writes an AUTOINCREMENT key into its column, without a name.
            assert found.get_pk_constraint(table.name)["name"] in (table.primary_key.name, None)
            if t.dialect == "sqlite":
                assert predicates_found(found, table.name) == predicates_said(table)
        if t.dialect == "sqlite":
            triggers = t.rows(text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name"))
            assert [row.name for row in triggers] == ["redrive_tasks_sane_insert", "redrive_tasks_sane_update"]
            assert all(rule.name in row.sql and rule.sqlite in row.sql for row in triggers for rule in RULES)
    database.close()


def checks_found(found: Any, table: str) -> dict[str, str]:
    """Name → condition; PostgreSQL rewrites conditions into words of its own, so there the names must do."""
    checks = found.get_check_constraints(table)
    # SQLAlchemy 2.0 reads a rule of an added column up to the end of its line, where the next column begins.
    return {
        check["name"]: condition(check["sqltext"].split("), traceparent")[0], found.dialect.name) for check in checks
    }


def checks_said(table: Table, dialect: str) -> dict[str, str]:
    checks = [check for check in table.constraints if isinstance(check, CheckConstraint)]
    said = {str(check.name): condition(str(check.sqltext), dialect) for check in checks}
    # The form of moments is SQLite's alone; the rules for rows are triggers there.
    others = "_sane_check" if dialect == "sqlite" else "_form_check"
    return {name: words for name, words in said.items() if not name.endswith(others)}


def condition(sql: str, dialect: str) -> str:
    return " ".join(sql.split()) if dialect == "sqlite" else ""


def predicates_found(found: Any, table: str) -> dict[str, str]:
    """Partial index → its predicate, which comparing metadata does not look at."""
    indexes = {
        index["name"]: index.get("dialect_options", {}).get("sqlite_where") for index in found.get_indexes(table)
    }
    return {name: str(where) for name, where in indexes.items() if where is not None}


def predicates_said(table: Table) -> dict[str, str]:
    wheres = {str(index.name): index.dialect_options["sqlite"]["where"] for index in table.indexes}
    return {name: str(where) for name, where in wheres.items() if where is not None}


def test_every_name_is_ours(database_url: str) -> None:
    """In a database shared with a host program nothing of ours has a name the host might use."""
    database = Database(database_url)
    with database.reading() as t:
        found = inspect(t.connection)
        names = set(found.get_table_names())
        for table in list(names):
            names |= {str(index["name"]) for index in found.get_indexes(table)}
            names |= {str(check["name"]) for check in found.get_check_constraints(table)}
            names |= {str(key["name"]) for key in found.get_foreign_keys(table)}
    database.close()
    assert {name for name in names if not name.startswith("redrive_")} <= {"redrive_schema_pkc"}


def test_migrating_twice_changes_nothing(database_url: str) -> None:
    assert migrate.upgrade(database_url) == (migrate.HEAD, migrate.HEAD)
    database = Database(database_url)
    migrate.check(database)
    database.close()


def test_the_newest_revision_may_be_taken_back(world: World, database_url: str) -> None:
    """And made again, with what the tables held before."""
    task_id = world.add("1")
    go_back(database_url, "0002")
    assert migrate.upgrade(database_url) == ("0002", migrate.HEAD)
    assert world.task(task_id).external_id == "1"
    test_migrations_and_tables_say_the_same(database_url)


def test_an_index_whose_build_was_broken_off_is_built_anew(request: pytest.FixtureRequest) -> None:
    broken = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'redrive_tasks_failure_idx'::regclass"
    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'redrive_tasks_failure_idx'::regclass"
    with request.getfixturevalue("postgres_databases").new() as url, closing(Database(url)) as database:
        migrate.upgrade(url)
        with database.transaction() as t:
            t.connection.exec_driver_sql(broken)
        migrate.upgrade(url)
        with database.reading() as t:
            assert t.connection.exec_driver_sql(valid).scalar_one()


def test_two_programs_may_migrate_at_once(tmp_path: Any, request: pytest.FixtureRequest) -> None:
    """Two programs started together both want the tables made; one makes them, the other finds them."""
    with request.getfixturevalue("postgres_databases").new() as postgres:
        for url in (postgres, f"sqlite:///{tmp_path}/new.db"):
            with ThreadPoolExecutor(4) as pool:
                done = list(pool.map(migrate.upgrade, [url] * 4))
            assert sorted(str(before) for before, _ in done) == [migrate.HEAD] * 3 + ["None"]
            database = Database(url)
            migrate.check(database)
            database.close()


def test_a_new_sqlite_file_may_be_opened_by_many_at_once(tmp_path: Path) -> None:
    """SQLite refuses all but one that make a new file's first switch to WAL together; ours ask again."""
    together = Barrier(4)

    def open_it(path: Path) -> str:
        database = Database(f"sqlite:///{path}")
        together.wait()
        with database.reading() as t:
            mode = t.execute(text("PRAGMA journal_mode")).scalar_one()
        database.close()
        return str(mode)

    with ThreadPoolExecutor(4) as pool:
        for number in range(50):
            assert list(pool.map(open_it, [tmp_path / f"{number}.db"] * 4)) == ["wal"] * 4


def test_another_schema_is_refused(database_url: str) -> None:
    """Neither an empty database nor one of a newer version is worked on; the message says what to do."""
    database = Database(database_url)
    with database.transaction() as t:
        t.execute(text("UPDATE redrive_schema SET version_num = '9999', works_from = '9998'"))
    with pytest.raises(SchemaError, match="install a newer Redrive"):
        migrate.check(database)
    with pytest.raises(SchemaError, match="install a newer Redrive"):
        migrate.upgrade(database_url)
    with database.transaction() as t:
        t.execute(text("DELETE FROM redrive_schema"))
    with pytest.raises(SchemaError, match="redrive migrate"):
        migrate.check(database)
    database.close()


def test_a_newer_schema_that_lets_this_release_work_is_worked_on(database_url: str) -> None:
    """An upgrade migrates first, and the release that runs goes on until its turn comes; the way back is the same."""
    database = Database(database_url)
    with database.transaction() as t:
        t.execute(text("UPDATE redrive_schema SET version_num = '9999'"))
    migrate.check(database)
    assert migrate.upgrade(database_url) == ("9999", "9999")
    database.close()


# --- impossible rows -------------------------------------------------------------------------------------------


def test_a_bare_insert_is_right(world: World) -> None:
    """A host program that knows nothing but the four columns adds a task that is due at once."""
    insert(world, "redrive_tasks", account="phones", kind="", external_id="1", status="failed")
    row = world.task(1)
    assert (row.status, row.next, row.priority, row.params, row.spent) == ("failed", "retry", 0, {}, 0)
    assert row.due_at is not None
    assert abs((row.due_at - datetime.now(UTC)).total_seconds()) < 60
    world.clock.now = datetime.now(UTC)
    assert world.claimed().size == 1


@pytest.mark.parametrize("status", ["pending", "running", "canceled"])
def test_a_bare_insert_of_an_owners_status(world: World, status: str) -> None:
    insert(world, "redrive_tasks", **TASK, status=status)
    assert world.task(1).status == status


IMPOSSIBLE: list[tuple[str, str, dict[str, Any]]] = [
    ("redrive_tasks", "external_id", {"external_id": ""}),
    ("redrive_tasks", "status", {"status": "broken"}),
    ("redrive_tasks", "dead_reason", {"status": "dead", "dead_reason": "bored", "due_at": None}),
    ("redrive_tasks", "dead_has_reason", {"status": "dead", "due_at": None}),
    ("redrive_tasks", "dead_has_reason", {"dead_reason": "refused"}),
    ("redrive_tasks", "next", {"next": "wait"}),
    ("redrive_tasks", "priority", {"priority": 2}),
    ("redrive_tasks", "spent", {"spent": 1}),
    ("redrive_tasks", "spent", {"spent": -1}),
    ("redrive_tasks", "counters", {"errors": -1}),
    ("redrive_tasks", "counters", {"refusals": -1}),
    ("redrive_tasks", "counters", {"granted": -1}),
    ("redrive_tasks", "max_retries", {"max_retries": -1}),
    ("redrive_tasks", "in_flight_has_batch", {"status": "in_flight", "held_from": "failed", "due_at": None}),
    ("redrive_tasks", "in_flight_has_batch", {"batch_id": uuid4().hex}),
    ("redrive_tasks", "held_has_from", {"status": "held", "due_at": None}),
    ("redrive_tasks", "held_has_from", {"held_from": "failed"}),
    ("redrive_tasks", "held_from", {"status": "held", "held_from": "unknown", "due_at": None}),
    ("redrive_tasks", "wish", {"wish": "dance", "status": "unknown", "next": "check"}),
    ("redrive_tasks", "wish_is_open", {"wish": "hold"}),
    ("redrive_tasks", "trigger", {"trigger": "magic"}),
    ("redrive_tasks", "failed_is_due", {"due_at": None}),
    ("redrive_tasks", "followed_is_due", {"status": "retrying"}),
    ("redrive_tasks", "followed_is_due", {"status": "unknown", "next": "check", "due_at": None}),
    ("redrive_tasks", "resting_is_not_due", {"status": "succeeded"}),
    ("redrive_tasks", "resting_is_not_due", {"status": "held", "held_from": "failed"}),
    ("redrive_attempts", "number", {"number": 0}),
    ("redrive_attempts", "opened", {"opened_at": None}),
    ("redrive_attempts", "closed_has_outcome", {"closed_at": MOMENT}),
    ("redrive_attempts", "closed_has_outcome", {"outcome": "accepted", "spent": True}),
    ("redrive_attempts", "outcome", {"outcome": "lucky", "closed_at": MOMENT, "spent": False}),
    ("redrive_attempts", "spent", {"outcome": "accepted", "closed_at": MOMENT, "spent": False}),
    ("redrive_attempts", "spent", {"outcome": "unsent", "closed_at": MOMENT, "spent": True}),
    ("redrive_batches", "operation", {"operation": "dance"}),
    ("redrive_batches", "status", {"status": "odd", "begun_at": MOMENT}),
    ("redrive_batches", "size", {"size": 0}),
    ("redrive_batches", "begun", {"status": "sending", "lease_until": MOMENT}),
    ("redrive_batches", "begun", {"begun_at": MOMENT}),
    ("redrive_batches", "queued_is_published", {"publish_at": None}),
    ("redrive_batches", "sending_has_lease", {"status": "sending", "begun_at": MOMENT}),
    ("redrive_batches", "ended", {"status": "done", "begun_at": MOMENT}),
    ("redrive_batches", "ended", {"ended_at": MOMENT}),
    ("redrive_accounts", "paused_has_cause", {"paused_at": MOMENT}),
    ("redrive_accounts", "paused_has_cause", {"paused_cause": "operator"}),
    ("redrive_quarantine", "cause", {"cause": "boredom"}),
    ("redrive_standstills", "operation", {"operation": "dance"}),
    ("redrive_history", "step", {"step": 61}),
    ("redrive_answers", "operation", {"operation": "dance"}),
    ("redrive_accounts", "probe_is_for_balance", {"probe_at": MOMENT}),
    (
        "redrive_accounts", "probe_is_for_balance",
        {"probe_at": MOMENT, "paused_at": MOMENT, "paused_cause": "operator"},
    ),
]  # fmt: skip
ROWS = {
    "redrive_tasks": TASK | {"due_at": MOMENT},
    "redrive_attempts": ATTEMPT,
    "redrive_batches": BATCH,
    "redrive_accounts": ACCOUNT,
    "redrive_quarantine": {"task_id": 1, "account": "phones", "cause": "row"},
    "redrive_standstills": {"account": "phones", "operation": "retry"},
    "redrive_history": {"account": "phones", "step": 60, "at": MOMENT, "counts": "{}"},
    "redrive_answers": {"account": "phones", "operation": "retry", "path": "/x", "code": "1", "taken_as": "unknown"},
}


def test_impossible_rows_are_refused(world: World) -> None:
    """Each row is a possible one but for one thing, and the constraint that is about it refuses it by name."""
    insert(world, "redrive_tasks", **TASK)
    for table, constraint, wrong in IMPOSSIBLE:
        row = ROWS[table] | ({"external_id": "2"} if table == "redrive_tasks" else {}) | wrong
        with pytest.raises(IntegrityError, match=f"{table}_{constraint}_check"):
            insert(world, table, **row)
    for table, row in ROWS.items():
        insert(world, table, **row | ({"external_id": "2"} if table == "redrive_tasks" else {}))


def test_every_check_is_tried(world: World) -> None:
    """No constraint is without a row that it refuses."""
    with world.database.reading() as t:
        found = inspect(t.connection)
        names = {str(check["name"]) for table in metadata.tables for check in found.get_check_constraints(table)}
    tried = {f"{table}_{constraint}_check" for table, constraint, _ in IMPOSSIBLE}
    # The rules for rows have a file of their own.
    assert {name for name in names if not name.endswith(("_form_check", "_sane_check"))} == tried


def test_the_same_task_twice_is_refused(world: World) -> None:
    insert(world, "redrive_tasks", **TASK)
    with pytest.raises(IntegrityError):
        insert(world, "redrive_tasks", **TASK)
    insert(world, "redrive_tasks", **TASK, sub_id="1")
    insert(world, "redrive_tasks", **TASK, kind="other")
    insert(world, "redrive_tasks", **TASK | {"external_id": "a"})
    insert(world, "redrive_tasks", **TASK | {"external_id": "A"})


def test_a_task_has_one_open_attempt(world: World) -> None:
    """One at a time, in the schema: a second open attempt of a task is refused, whoever tries."""
    insert(world, "redrive_tasks", **TASK)
    insert(world, "redrive_attempts", **ATTEMPT)
    with pytest.raises(IntegrityError):
        insert(world, "redrive_attempts", **ATTEMPT | {"number": 2})
    closed = {"closed_at": MOMENT, "outcome": "unsent", "spent": False}
    insert(world, "redrive_attempts", **ATTEMPT | {"number": 2} | closed)
    with pytest.raises(IntegrityError):
        insert(world, "redrive_attempts", **ATTEMPT | {"number": 2} | closed)


@pytest.mark.parametrize("moment", ["2026-03-01T12:00:00.000000", "2026-03-01 12:00:00", "2026-03-01", "1772366400"])
def test_sqlite_moments_have_one_form(new_sqlite_database: Any, moment: str) -> None:
    """Text in another form would sort wrongly for ever, so it does not get in."""
    world = World(new_sqlite_database())
    with pytest.raises(IntegrityError, match=r"redrive_tasks_due_at_(form|sane)_check"):
        insert(world, "redrive_tasks", **TASK, due_at=moment)
    with world.database.reading() as t:
        found = inspect(t.connection)
        for table in metadata.sorted_tables:
            columns = {
                c["name"] for c in found.get_columns(table.name) if c["name"].endswith(("_at", "_until", "_since"))
            }
            columns |= {c["name"] for c in found.get_columns(table.name) if c["name"] == "at"}
            names = {str(check["name"]) for check in found.get_check_constraints(table.name)}
            assert {f"{table.name}_{column}_form_check" for column in columns} <= names
    world.close()


def test_sqlite_defaults_have_that_form(new_sqlite_database: Any) -> None:
    world = World(new_sqlite_database())
    insert(world, "redrive_tasks", **TASK)
    with world.database.reading() as t:
        (written,) = t.connection.execute(text("SELECT created_at FROM redrive_tasks")).one()
    assert len(written) == len(moment_text(START)) == 26
    world.close()


def test_naive_moments_are_refused(world: World) -> None:
    with pytest.raises(Exception, match="must be aware"):
        world.put(1, due_at=datetime(2026, 3, 1, 12))  # noqa: DTZ001 - that is the point


def test_a_task_stands_in_at_most_one_queue(world: World) -> None:
    """The predicates of the three partial indexes exclude each other, and each finds its own."""
    for ids, outcome in (("ab", Accepted()), ("c", Refused(reason=DeadReason.NOT_FOUND)), ("d", Unknown())):
        world.add_many(ids)
        world.retried(outcome)
    world.add_many("efg")
    world.act("hold", 5)
    world.act("revive", 3)
    for where, ids in ((RETRY_DUE, [6, 7]), (CHECK_DUE, [1, 2, 3, 4]), (ENDED, [])):
        assert found_where(world, where) == ids
    world.report(1, Status.SUCCEEDED)
    world.act("stop", 6)
    assert found_where(world, ENDED) == [1, 6]
    assert found_where(world, RETRY_DUE) == [7]


def found_where(world: World, predicate: str) -> list[int]:
    with world.database.reading() as t:
        rows = t.connection.execute(text(f"SELECT id FROM redrive_tasks WHERE {predicate} ORDER BY id"))
        return [row.id for row in rows]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_every_table_that_is_rewritten_says_when_it_is_vacuumed(database_url: str) -> None:
    """The default follows the size of the table, and dead rows would gather with it."""
    database = Database(database_url)
    with database.reading() as t:
        found = t.rows(
            text("SELECT relname, reloptions FROM pg_class WHERE relname LIKE 'redrive\\_%' AND relkind = 'r'")
        )
    database.close()
    settings = {row.relname: " ".join(row.reloptions or ()) for row in found}
    written_once = {"redrive_actions", "redrive_archives", "redrive_schema"}
    assert {name for name, words in settings.items() if "autovacuum_vacuum_threshold" not in words} == written_once


def test_a_commit_is_on_disk(world: World) -> None:
    """Whatever the server would do by itself."""
    ask, wanted = "PRAGMA synchronous", 2  # FULL
    if world.database.engine.dialect.name == "postgresql":
        ask, wanted = "SHOW synchronous_commit", "on"
        with world.begin() as t:
            name = t.connection.exec_driver_sql("SELECT current_database()").scalar_one()
            t.connection.exec_driver_sql(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    with closing(Database(world.url)) as database, database.transaction() as t:
        assert t.connection.exec_driver_sql(ask).scalar_one() == wanted
