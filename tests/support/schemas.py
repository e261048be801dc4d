"""Databases as earlier releases made them."""

from contextlib import closing

from alembic import command

from redrive.models.sql import migrate
from redrive.models.sql.db import Database
from redrive.models.sql.tables import metadata


def make_schema(url: str, revision: str) -> None:
    """Make the tables as the release of that revision did."""
    config = migrate._config()
    with closing(Database(url)) as database, database.transaction() as t:
        config.attributes.update(connection=t.connection, metadata=metadata)
        command.upgrade(config, revision)
