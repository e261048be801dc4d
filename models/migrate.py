"""Bringing a database's schema up to this version, and refusing to work on any other."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from .db import Database
from .errors import SchemaError
from .tables import metadata

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

# Alembic is loaded where something is to be migrated: a service only compares one word, and stays eight megabytes
# smaller for it.

HEAD = "0001"
"""The newest revision in ``models/migrations``."""

# One at a time: two programs started together would both try to create the tables.
_LOCK = 0x7265_6472_6976_65


def upgrade(url: str) -> tuple[str | None, str]:
    """Bring the database's schema up; returns the revisions before and after.

    Raises:
        SchemaError: when the schema is of a newer version.
        Unreachable: when the database does not answer.
    """
    database = Database(url)
    try:
        with database.transaction() as t:
            if t.dialect == "postgresql":
                t.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
            before = _revision(t.connection)
            _refuse_newer(before)
            from alembic import command  # noqa: PLC0415 - as above

            config = _config()
            config.attributes.update(connection=t.connection, metadata=metadata)
            command.upgrade(config, "head")
            return before, HEAD
    finally:
        database.close()


def check(database: Database) -> None:
    """Refuse a schema that is not this version's.

    Raises:
        SchemaError: it names the remedy.
        Unreachable: when the database does not answer.
    """
    with database.reading() as t:
        found = _revision(t.connection)
    if found is None:
        raise SchemaError("the database has no Redrive tables yet; run `redrive migrate`")
    if found != HEAD:
        _refuse_newer(found)
        raise SchemaError(f"the database is at schema {found}, this version needs {HEAD}; run `redrive migrate`")


def _refuse_newer(found: str | None) -> None:
    known = {script.revision for script in _scripts().walk_revisions()}
    if found is not None and found not in known:
        raise SchemaError(
            f"the database is at schema {found}, which this version does not know; install a newer Redrive"
        )


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("redrive_schema"):
        return None
    return connection.execute(text("SELECT version_num FROM redrive_schema")).scalar_one_or_none()


def _scripts() -> "ScriptDirectory":
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - as above

    return ScriptDirectory.from_config(_config())


def _config() -> "Config":
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config
