"""Databases as earlier releases made them."""

from collections.abc import Callable
from contextlib import closing

from alembic import command
from alembic.config import Config

from redrive.models.sql import migrate
from redrive.models.sql.db import Database
from redrive.models.sql.migrations.row_rules_0002 import RULES
from redrive.models.sql.tables import metadata


def make_schema(url: str, revision: str) -> None:
    """Make the tables as the release of that revision did."""
    _migrate(url, lambda config: command.upgrade(config, revision))


def go_back(url: str, revision: str) -> None:
    """Take back what is newer than that revision."""
    _migrate(url, lambda config: command.downgrade(config, revision))


def _migrate(url: str, run: Callable[[Config], None]) -> None:
    config = migrate._config()
    with closing(Database(url)) as database, database.transaction() as t:
        config.attributes.update(connection=t.connection, metadata=metadata, row_rules_0002=RULES)
        run(config)
