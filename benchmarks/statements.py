"""How many statements and transactions a database is asked for, by anybody, without a word of ours in the programs."""

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg

from benchmarks.ground import Ground

ON: Sequence[LiteralString] = ("log_duration = on", "log_line_prefix = '%i|'")
OFF: Sequence[LiteralString] = ("log_duration = DEFAULT", "log_line_prefix = DEFAULT")
RELOADED_SECONDS = 0.3

LINE = re.compile(r"^([A-Z ]+)\|LOG:  duration:", re.MULTILINE)
NOT_STATEMENTS = frozenset({"PARSE", "BIND", "BEGIN", "COMMIT", "ROLLBACK"})

TRANSACTIONS = "SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database()"


@dataclass
class Count:
    """Of a block that is over."""

    statements: int = 0


@contextmanager
def counted(ground: Ground) -> Iterator[Count]:
    """Count the statements of the block: PostgreSQL logs that one ended, and not which.

    That costs some microseconds each, so CPU time is measured elsewhere. BEGIN and COMMIT are not counted.
    """
    found, log = Count(), ground.postgres.process.log
    with psycopg.connect(ground.conninfo(ground.postgres.url), autocommit=True) as connection:
        _set(connection, ON)
        first = log.stat().st_size
        try:
            yield found
            with log.open(errors="replace") as file:
                file.seek(first)
                found.statements = sum(tag not in NOT_STATEMENTS for tag in LINE.findall(file.read()))
        finally:
            _set(connection, OFF)


def _set(connection: psycopg.Connection[Any], settings: Sequence[LiteralString]) -> None:
    for setting in settings:
        connection.execute(f"ALTER SYSTEM SET {setting}")
    connection.execute("SELECT pg_reload_conf()")
    time.sleep(RELOADED_SECONDS)


def transactions(connection: psycopg.Connection[Any]) -> int:
    """Transactions of this database so far."""
    row = connection.execute(TRANSACTIONS).fetchone()
    return int(row[0]) if row else 0
