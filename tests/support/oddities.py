"""Rows that nobody could read or count on, as they stand in databases that had no rules against them yet."""

from typing import Any

from sqlalchemy import Connection, text

from redrive.models.sql.migrations.row_rules_0002 import RULES

HIGHEST = 2**31 - 1

_ANYWHERE: tuple[dict[str, Any], ...] = (
    {"kind": "fax"},
    {"params": "[1, 2]"},
    *({name: HIGHEST} for name in ("attempts", "errors", "refusals", "granted", "max_retries")),
)
_ON_POSTGRESQL: tuple[dict[str, Any], ...] = (
    {"failed_at": "infinity"},
    {"created_at": "-infinity"},
    {"round_at": "0044-03-15 BC"},
    {"updated_at": "20000-01-01"},
    {"due_at": "-infinity"},
)
_ON_SQLITE: tuple[dict[str, Any], ...] = (
    {"params": ""},
    {"params": "no json"},
    {"failed_at": "2026-02-30 10:00:00.000000"},
    {"due_at": "0000-00-00 00:00:00.000000"},
    {"sub_id": b"\xff\x41"},
)


def odd_values(dialect: str) -> tuple[dict[str, Any], ...]:
    """What makes a row odd there: columns and values, one oddity each."""
    return _ANYWHERE + (_ON_POSTGRESQL if dialect == "postgresql" else _ON_SQLITE)


def drop_rules(connection: Connection) -> None:
    """Take the rules away that refuse odd rows."""
    if connection.dialect.name == "sqlite":
        for event in ("insert", "update"):
            connection.execute(text(f"DROP TRIGGER IF EXISTS redrive_tasks_sane_{event}"))
        return
    for rule in RULES:
        connection.execute(text(f"ALTER TABLE redrive_tasks DROP CONSTRAINT IF EXISTS {rule.name}"))


def insert_odd(connection: Connection, row: dict[str, Any]) -> int:
    """Insert a row as a host does, by SQL; its id."""
    names = ", ".join(row)
    marks = ", ".join(f"CAST(:{name} AS TEXT)" if isinstance(row[name], bytes) else f":{name}" for name in row)
    statement = text(f"INSERT INTO redrive_tasks ({names}) VALUES ({marks}) RETURNING id")
    return int(connection.execute(statement, row).scalar_one())
