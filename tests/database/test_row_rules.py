"""Rows that nobody could read, or should hold, are refused when they are written, whoever writes them."""

import json
import re
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError
from typer.testing import CliRunner

from redrive.cli import app
from redrive.models.sql import migrate
from redrive.models.sql.db import Database
from redrive.models.sql.migrations.row_rules_0002 import HIGHEST_ID, LARGEST_JSON, MOST, MOST_RETRIES, RULES
from tests.support import oddities
from tests.support.schemas import make_schema
from tests.support.world import World

BOTH: list[dict[str, Any]] = [
    {"params": "[1]"},
    {"params": "null"},
    {"params": '"text"'},
    {"params": json.dumps({"a": "x" * LARGEST_JSON})},
    {"seen": "[]"},
    {"seen": "7"},
    {"seen": json.dumps({"state": "x" * 5000})},
    {"attempts": MOST + 1},
    {"errors": 2**31 - 1},
    {"refusals": 2**31 - 1},
    {"granted": MOST + 1},
    {"max_retries": MOST_RETRIES + 1},
    {"max_retries": 2**31 - 1},
    {"id": HIGHEST_ID + 1},
    {"id": 2**63 - 1},
    {"last_error": "x" * 10_001},
]
POSTGRESQL: list[dict[str, Any]] = [
    *({name: value} for name in ("due_at", "failed_at", "created_at", "round_at", "status_since", "updated_at")
      for value in ("infinity", "-infinity", "0044-03-15 BC", "10000-01-01")),
    {"params": '{"a":' * 3000 + "1" + "}" * 3000},
    {"params": '{"a": ' + "9" * 6000 + "}"},
    {"id": 0},
]  # fmt: skip
SQLITE: list[dict[str, Any]] = [
    *({"failed_at": value} for value in (
        "2026-02-30 10:00:00.000000", "0000-00-00 00:00:00.000000", "2026-13-01 00:00:00.000000",
        "2026-01-01 24:00:01.000000", "2026-01-01T00:00:00.000000", "abcd-ef-gh ij:kl:mn.opqrst",
        "2026-01-01 00:00:00.00000x", b"2026-01-01 00:00:00.000000", 1767225600,
    )),
    {"due_at": "9999-12-31 23:59:59.999999"},
    {"params": ""},
    {"params": "no limit"},
    {"params": b"{}"},
    {"params": '{"a":' * 5000 + "1" + "}" * 5000},
    {"seen": ""},
    {"max_retries": "no limit"},
    {"max_retries": ""},
    {"max_retries": b"5"},
    {"granted": "many"},
    {"granted": 1.5},
    {"priority": "high"},
    {"external_id": b"591"},
    {"account": b"phones"},
    {"last_error": b"x"},
    {"status": "in_flight", "held_from": "failed", "due_at": None, "batch_id": "no such batch"},
]  # fmt: skip


def insert(world: World, row: dict[str, Any]) -> None:
    row = {"account": "phones", "external_id": "591"} | row
    names = ", ".join(row)
    with world.database.engine.begin() as connection:
        connection.execute(
            text(f"INSERT INTO redrive_tasks ({names}) VALUES ({', '.join(f':{name}' for name in row)})"), row
        )


def odd_rows(world: World) -> list[dict[str, Any]]:
    return BOTH + (POSTGRESQL if world.database.engine.dialect.name == "postgresql" else SQLITE)


def test_what_nobody_could_read_is_refused_by_a_rule_with_a_name(world: World) -> None:
    for row in odd_rows(world):
        assert refusal(world, row), f"taken: {row!r:.80}"
    insert(world, {})


def refusal(world: World, row: dict[str, Any]) -> bool:
    try:
        insert(world, row)
    except (IntegrityError, DataError) as error:
        return re.search(r"_sane_check|_form_check|out of range|limit exceeded", str(error)) is not None
    return False


def test_a_good_row_cannot_be_made_an_odd_one(world: World) -> None:
    insert(world, {})
    for row in odd_rows(world):
        changed = ", ".join(f"{name} = :{name}" for name in row)
        with pytest.raises(DBAPIError), world.database.engine.begin() as connection:
            connection.execute(text(f"UPDATE redrive_tasks SET {changed}"), row)


@pytest.mark.parametrize(
    "row",
    [
        {"failed_at": "0001-01-03 00:00:00.000000"},
        {"failed_at": "9999-12-29 23:59:59.999999"},
        {"failed_at": "2024-02-29 23:59:59.000001"},
        {"params": json.dumps({"a": [1, 2, {"b": None}], "c": "ü" * 1000})},
        {"max_retries": 0},
        {"max_retries": MOST_RETRIES},
        {"id": 77},
        {"last_error": "ü" * 10_000},
    ],
)
def test_what_is_odd_but_can_be_read_is_taken(world: World, row: dict[str, Any]) -> None:
    insert(world, row)


def test_migrating_sets_aside_the_rows_in_its_way(world: World) -> None:
    """Rows from before the rules are named and left alone; the migration does not fail over them."""
    drop_rules(world)
    # With an id at the end SQLite has none left for whoever comes next.
    odd = [row for row in odd_rows(world) if row.get("id", 0) < HIGHEST_ID]
    for number, row in enumerate(odd, start=1):
        with suppress(DataError, IntegrityError):  # what an older check refuses never gets in
            insert(world, {"external_id": f"odd{number}"} | row)
    insert(world, {"external_id": "good"})
    add_rules(world)
    with world.database.reading() as t:
        stored = t.execute(text("SELECT count(*) FROM redrive_tasks")).scalar_one()
    migrate.set_aside_rows_in_the_way(world.database)
    with world.database.reading() as t:
        rows = t.rows(text("SELECT task_id, why FROM redrive_quarantine"))
        good = t.execute(text("SELECT id FROM redrive_tasks WHERE external_id = 'good'")).scalar_one()
    assert len(rows) == stored - 1
    assert good not in {row.task_id for row in rows}
    assert {row.why for row in rows} <= {rule.name for rule in RULES}


def test_rules_without_rows_in_their_way_hold_for_all(world: World) -> None:
    """PostgreSQL knows that it need not look again."""
    if world.database.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has triggers, which know no such thing")
    drop_rules(world)
    insert(world, {"max_retries": MOST_RETRIES + 1})
    add_rules(world)
    migrate.set_aside_rows_in_the_way(world.database)
    with world.database.reading() as t:
        rows = t.rows(text("SELECT conname FROM pg_constraint WHERE NOT convalidated"))
    assert [row.conname for row in rows] == ["redrive_tasks_max_retries_sane_check"]


def test_the_command_says_which_rows_it_sets_aside(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """From the schema before the rules; the next time there is nothing to say."""
    with request.getfixturevalue("postgres_databases").new() as postgres:
        for url in (postgres, f"sqlite:///{tmp_path}/old.db"):
            at_first_schema(url, max_retries=[3, MOST_RETRIES + 1, MOST_RETRIES + 2, -1])
            first = CliRunner().invoke(app, ["migrate"], env={"REDRIVE_DATABASE_URL": url})
            assert (first.exit_code, "went from schema 0001 to" in first.output) == (0, True), first.output
            assert "redrive_tasks_max_retries_sane_check refuses 2 tasks, now set aside" in first.output
            again = CliRunner().invoke(app, ["migrate"], env={"REDRIVE_DATABASE_URL": url})
            assert "set aside" not in again.output


def at_first_schema(url: str, *, max_retries: list[int]) -> None:
    """A database as the first release made it, with these tasks."""
    make_schema(url, "0001")
    with closing(Database(url)) as database, database.transaction() as t:
        for number in max_retries:
            with suppress(DataError, IntegrityError), t.connection.begin_nested():
                t.execute(
                    text("INSERT INTO redrive_tasks (account, external_id, max_retries) VALUES ('a', :id, :number)"),
                    id=str(number),
                    number=number,
                )


def drop_rules(world: World) -> None:
    with world.database.engine.begin() as connection:
        oddities.drop_rules(connection)


def add_rules(world: World) -> None:
    """As the migration does on PostgreSQL; on SQLite the rows are found without them."""
    with world.database.engine.begin() as connection:
        for rule in RULES if connection.dialect.name == "postgresql" else ():
            connection.exec_driver_sql(
                f"ALTER TABLE redrive_tasks ADD CONSTRAINT {rule.name} CHECK ({rule.postgresql}) NOT VALID"
            )
