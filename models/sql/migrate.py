"""Bringing a database's schema up to this version, and refusing to work on one that is too old or too new for it."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Index, inspect, text
from sqlalchemy.schema import CreateIndex

from ..clock import boottime
from ..errors import Locked, SchemaBehind, SchemaError, Unreachable, Unsuitable
from ..states import SetAside
from .db import NEWEST_LEVEL, Database, Transaction
from .db_errors import grant
from .migrations.row_rules_0002 import RULES, RowRule
from .postgresql import quoted
from .tables import metadata, tasks

if TYPE_CHECKING:
    from alembic.config import Config

# Alembic is loaded where something is to be migrated: a service only compares two words, and stays eight megabytes
# smaller for it.

HEAD = f"{NEWEST_LEVEL:04}"
"""The newest revision in ``models/sql/migrations``."""
OLDEST = "0001"
"""The oldest one that this version works on: old and new processes run side by side during an upgrade."""

# One at a time: two programs started together would both try to create the tables.
_LOCK = 0x7265_6472_6976_65

LOCK_MILLISECONDS = 2000
"""How long a change of a table may wait for those who use it: all who come later wait behind it."""
TRY_SECONDS = 120.0
"""How long such a change is tried again."""
LONGEST_WAIT_SECONDS = 30.0
"""How long a service that waits for its database waits between two tries, at most."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """What :func:`upgrade` did.

    Attributes:
        before: the revision it found, None where there was none.
        after: the one that is there now.
        set_aside: rows that stood in the way of the new rules and are in quarantine now, by the rule's name.
    """

    before: str | None
    after: str
    set_aside: Mapping[str, int]


def upgrade(url: str) -> tuple[str | None, str]:
    """Bring the database's schema up; returns the revisions before and after.

    Raises:
        SchemaError: when the schema is of a newer version.
        Unreachable: when the database does not answer, the user may not do it, or a table was in use all the time.
    """
    done = upgraded(url)
    return done.before, done.after


def upgraded(url: str) -> Migrated:
    """As :func:`upgrade`, with all that it did."""
    database = Database(url)
    try:
        before = _upgraded(database)
        build_indexes(database)
        moved = set_aside_rows_in_the_way(database) if before is None or before < HEAD else {}
        return Migrated(before, max(before or HEAD, HEAD), moved)
    finally:
        database.close()


def _upgraded(database: Database) -> str | None:
    with database.reading() as t:  # where nothing is to be done, nobody is waited for
        if _found(t.connection)[0] == HEAD:
            return HEAD
    give_up = boottime() + TRY_SECONDS
    while True:
        try:
            return _try_upgrade(database)
        except Locked as error:
            if boottime() > give_up:
                words = "a table is in use by a long transaction; end it and run `redrive migrate` again"
                raise Locked(f"database {database.shown}: {words}") from error
            time.sleep(0.5)


def _try_upgrade(database: Database) -> str | None:
    with database.transaction() as t:
        if t.dialect == "postgresql":
            t.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            t.execute(text(f"SET LOCAL lock_timeout = {LOCK_MILLISECONDS}"))
            _make_schema(database, t)
        before, works_from = _found(t.connection)
        _refuse_newer(before, works_from)
        if before is None and t.dialect == "postgresql":
            _refuse_without_create(database, t)
        if before is None or before < HEAD:
            from alembic import command  # noqa: PLC0415 - as above

            config = _config()
            config.attributes.update(connection=t.connection, metadata=metadata, row_rules_0002=RULES)
            command.upgrade(config, "head")
        return before


def _make_schema(database: Database, t: Transaction) -> None:
    """The schema that the address names. CREATE IF NOT EXISTS would want the right to create it in any case."""
    name = database.schema
    if name is not None and t.execute(_SCHEMA, name=quoted(name)).scalar_one() is None:
        t.execute(text(f"CREATE SCHEMA {quoted(name)}".replace(":", r"\:")))


_SCHEMA = text("SELECT to_regnamespace(:name)")
_MAY_CREATE = text(
    "SELECT current_schema() AS name, current_user AS me, has_schema_privilege(current_schema(), 'CREATE') AS may"
)


def _refuse_without_create(database: Database, t: Transaction) -> None:
    """Say it in words of ours, whatever language the server speaks.

    Raises:
        Unreachable: the user may not make tables, which somebody may change meanwhile.
    """
    found = t.execute(_MAY_CREATE).one()
    if found.name is None:
        raise Unreachable(f"database {database.shown}: {found.me} has no schema; create one, or name one: ?schema=NAME")
    if not found.may:
        run = grant("USAGE, CREATE ON SCHEMA", found.name, found.me)
        raise Unreachable(
            f"database {database.shown}: {found.me} may not create tables in schema {found.name}; "
            f"run: {run} or let its owner run `redrive migrate`"
        )


def set_aside_rows_in_the_way(database: Database) -> dict[str, int]:
    """Put rows that the rules refuse, and that were there before them, into quarantine; then the rules hold for all.

    It takes no lock that work would wait for, and may be repeated. Returns how many by rule.
    """
    with database.transaction() as t:
        pending = _not_validated(t) if t.dialect == "postgresql" else {rule.name for rule in RULES}
        rules = [rule for rule in RULES if rule.name in pending]
        moved = {rule.name: t.execute(text(_set_aside(rule, t.dialect))).rowcount for rule in rules}
    if t.dialect == "postgresql":
        for rule in rules:
            _validate(database, rule)
        for name in pending - {rule.name for rule in rules}:  # wider than before, so that no row is in its way
            with database.transaction() as t:
                t.execute(text(f"ALTER TABLE redrive_tasks VALIDATE CONSTRAINT {name}"))
    return {name: count for name, count in moved.items() if count > 0}


def _set_aside(rule: RowRule, dialect: str) -> str:
    kept = rule.postgresql if dialect == "postgresql" else rule.sqlite.replace("NEW.", "")
    return (
        "INSERT INTO redrive_quarantine (task_id, account, cause, why) "  # noqa: S608 - all of it is ours
        f"SELECT id, substr(account, 1, 64), '{SetAside.ROW}', '{rule.name}' FROM redrive_tasks "
        f"WHERE NOT ({kept}) ON CONFLICT DO NOTHING".replace("::", r"\:\:")
    )


def build_indexes(database: Database) -> None:
    """Build what PostgreSQL lacks of the tasks' indexes, while work goes on; one that was broken off is built anew.

    One program at a time builds, others wait for it: to each an index in the making looks like one that was broken
    off. The lock is a transaction's, which works behind every pooler; it is idle meanwhile, and the build waits for
    no idle transaction.
    """
    if database.engine.dialect.name != "postgresql":
        return
    while True:
        with database.transaction() as t:
            lacking = _lacking(t)
            if not lacking:
                return
            if t.execute(text(f"SELECT pg_try_advisory_xact_lock({_LOCK})")).scalar_one():
                t.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
                _build(database, lacking, t.execute(text("SELECT quote_ident(current_schema())")).scalar_one())
                return
        time.sleep(0.5)


def _lacking(t: Transaction) -> list[Index]:
    found = {row.name for row in t.rows(_VALID_INDEXES)}
    return [index for index in sorted(tasks.indexes, key=lambda each: str(each.name)) if index.name not in found]


_VALID_INDEXES = text(
    "SELECT relname AS name FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
    "WHERE indrelid = 'redrive_tasks'::regclass AND indisvalid".replace("::", r"\:\:")
)


def _build(database: Database, indexes: Sequence[Index], schema: str) -> None:
    with (
        database.saying_unreachable(),
        database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection,
    ):
        for index in indexes:
            connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY IF EXISTS {schema}.{index.name}")
            words = str(CreateIndex(index).compile(dialect=connection.dialect))
            words = words.replace("CREATE INDEX", "CREATE INDEX CONCURRENTLY").replace(" ON ", f" ON {schema}.", 1)
            connection.exec_driver_sql(words)


def _not_validated(t: Transaction) -> set[str]:
    found = text("SELECT conname FROM pg_constraint WHERE conrelid = 'redrive_tasks'::regclass AND NOT convalidated")
    return {row.conname for row in t.rows(found)}


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
        elsewhere = _elsewhere(t) if found is None and t.dialect == "postgresql" else []
    if found is None:
        where = _where(database, elsewhere)
        raise SchemaBehind(f"the database has no Redrive tables yet{where}; run `redrive migrate`")
    if found < OLDEST:
        raise SchemaBehind(f"the database is at schema {found}, this version needs {HEAD}; run `redrive migrate`")
    _refuse_newer(found, works_from)
    database.level = min(int(found), NEWEST_LEVEL)


def behind(database: Database) -> str:
    """What a checked schema lacks of this version's, in words; nothing where it lacks nothing."""
    if database.level == NEWEST_LEVEL:
        return ""
    return f"schema {database.level:04}, which works without what is new; `redrive migrate` brings it to {HEAD}"


def _elsewhere(t: Transaction) -> list[str]:
    """Schemas that have tables of ours that this session does not search."""
    found = text(
        "SELECT quote_ident(nspname) FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace "
        "WHERE relname = 'redrive_schema' ORDER BY 1"
    )
    return list(t.connection.execute(found).scalars())


def _where(database: Database, elsewhere: Sequence[str]) -> str:
    here = f" in schema {database.schema}" if database.schema is not None else ""
    there = f" (schema {', '.join(elsewhere)} has some: the address may say ?schema=NAME)" if elsewhere else ""
    return here + there


def wait_for(database: Database, stop: threading.Event, say: Callable[[str], None]) -> bool:
    """Wait until the database is there and migrated, saying each time why not; False when stopped meanwhile.

    Raises:
        SchemaError: waiting is in vain: the schema is of a newer version, or the database is unsuitable.
    """
    seconds = 1.0
    while not stop.is_set():
        try:
            check(database)
        except Unsuitable:
            raise
        except (Unreachable, SchemaBehind) as error:
            say(str(error))
        else:
            return not stop.is_set()
        stop.wait(seconds)
        seconds = min(2 * seconds, LONGEST_WAIT_SECONDS)
    return False


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
