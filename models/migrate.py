"""Bringing a database's schema up to this version, and refusing to work on one that is too old or too new for it."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from .clock import boottime
from .db import NEWEST_LEVEL, Database, Transaction
from .errors import Locked, SchemaError
from .migrations.row_rules_0002 import RULES, RowRule
from .states import SetAside
from .tables import metadata

if TYPE_CHECKING:
    from alembic.config import Config

# Alembic is loaded where something is to be migrated: a service only compares two words, and stays eight megabytes
# smaller for it.

HEAD = f"{NEWEST_LEVEL:04}"
"""The newest revision in ``models/migrations``."""
OLDEST = "0001"
"""The oldest one that this version works on: old and new processes run side by side during an upgrade."""

# One at a time: two programs started together would both try to create the tables.
_LOCK = 0x7265_6472_6976_65

LOCK_MILLISECONDS = 2000
"""How long a change of a table may wait for those who use it: all who come later wait behind it."""
TRY_SECONDS = 120.0
"""How long such a change is tried again."""


def upgrade(url: str) -> tuple[str | None, str]:
    """Bring the database's schema up; returns the revisions before and after.

    Raises:
        SchemaError: when the schema is of a newer version, or a table was in use all the time.
        Unreachable: when the database does not answer.
    """
    database = Database(url)
    try:
        before = _upgraded(database)
        if before is None or before < HEAD:
            set_aside_rows_in_the_way(database)
        return before, max(before or HEAD, HEAD)
    finally:
        database.close()


def _upgraded(database: Database) -> str | None:
    give_up = boottime() + TRY_SECONDS
    while True:
        try:
            return _try_upgrade(database)
        except Locked as error:
            if boottime() > give_up:
                raise SchemaError(
                    "a table is in use by a long transaction; end it and run `redrive migrate` again"
                ) from error
            time.sleep(0.5)


def _try_upgrade(database: Database) -> str | None:
    with database.transaction() as t:
        if t.dialect == "postgresql":
            t.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            t.execute(text(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}"))
        before, works_from = _found(t.connection)
        _refuse_newer(before, works_from)
        if before is None or before < HEAD:
            from alembic import command  # noqa: PLC0415 - as above

            config = _config()
            config.attributes.update(connection=t.connection, metadata=metadata, row_rules_0002=RULES)
            command.upgrade(config, "head")
        return before


def set_aside_rows_in_the_way(database: Database) -> None:
    """Put rows that the rules refuse, and that were there before them, into quarantine; then the rules hold for all.

    It takes no lock that work would wait for, and may be repeated.
    """
    with database.transaction() as t:
        rules = _not_validated(t) if t.dialect == "postgresql" else RULES
        for rule in rules:
            t.execute(text(_set_aside(rule, t.dialect)))
    if t.dialect == "postgresql":
        for rule in rules:
            _validate(database, rule)


def _set_aside(rule: RowRule, dialect: str) -> str:
    kept = rule.postgresql if dialect == "postgresql" else rule.sqlite.replace("NEW.", "")
    return (
        "INSERT INTO redrive_quarantine (task_id, account, cause, why) "  # noqa: S608 - all of it is ours
        f"SELECT id, substr(account, 1, 64), '{SetAside.ROW}', '{rule.name}' FROM redrive_tasks "
        f"WHERE NOT ({kept}) ON CONFLICT DO NOTHING".replace("::", r"\:\:")
    )


def _not_validated(t: Transaction) -> Sequence[RowRule]:
    found = text("SELECT conname FROM pg_constraint WHERE conrelid = 'redrive_tasks'::regclass AND NOT convalidated")
    names = {row.conname for row in t.rows(found)}
    return [rule for rule in RULES if rule.name in names]


def _validate(database: Database, rule: RowRule) -> None:
    """The rule holds for every row, so that PostgreSQL says so; one with rows in its way stays as it is."""
    with database.transaction() as t:
        in_the_way = text(f"SELECT 1 FROM redrive_tasks WHERE NOT ({rule.postgresql}) LIMIT 1".replace("::", r"\:\:"))  # noqa: S608 - as above
        if not t.rows(in_the_way):
            t.execute(text(f"ALTER TABLE redrive_tasks VALIDATE CONSTRAINT {rule.name}"))


def check(database: Database) -> None:
    """Refuse a schema that this version cannot work on.

    Raises:
        SchemaError: it names the remedy.
        Unreachable: when the database does not answer.
    """
    with database.reading() as t:
        found, works_from = _found(t.connection)
    if found is None:
        raise SchemaError("the database has no Redrive tables yet; run `redrive migrate`")
    if found < OLDEST:
        raise SchemaError(f"the database is at schema {found}, this version needs {HEAD}; run `redrive migrate`")
    _refuse_newer(found, works_from)
    database.level = min(int(found), NEWEST_LEVEL)


def _refuse_newer(found: str | None, works_from: str) -> None:
    if found is not None and found > HEAD and works_from > HEAD:
        raise SchemaError(
            f"the database is at schema {found}, which this version cannot work on; install a newer Redrive"
        )


def _found(connection: Connection) -> tuple[str | None, str]:
    """The schema's revision, and the oldest revision whose release may still work on it."""
    if not inspect(connection).has_table("redrive_schema"):
        return None, ""
    row = connection.execute(text("SELECT * FROM redrive_schema")).mappings().one_or_none()
    if row is None:
        return None, ""
    # Without a word on it, as in schema 0001, the schema is for its own release.
    return row["version_num"], row.get("works_from", row["version_num"])


def _config() -> "Config":
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
