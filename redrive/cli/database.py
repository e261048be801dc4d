"""The database tried as the service uses it: its settings, the user's rights, a write that is rolled back."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Table, text

from redrive.models.errors import Unreachable
from redrive.models.sql import postgresql
from redrive.models.sql.db import Database, Transaction
from redrive.models.sql.db_errors import grant
from redrive.models.sql.tables import accounts, metadata


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found.

    Attributes:
        problems: nothing works while they last.
        warnings: what the promises may suffer from.
    """

    problems: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    through_a_pooler: bool = False


def examined(database: Database) -> Examined:
    """Everything about a database whose schema is right."""
    found = Examined(())
    try:
        if database.url.get_backend_name() == "postgresql":
            with database.reading() as t:
                pooled = postgresql.through_a_pooler(t.connection)
                found = Examined(tuple(_missing_rights(t)), tuple(_careless(database, t)), pooled)
        if not found.problems:
            _try_to_write(database)
    except Unreachable as error:
        return Examined((str(error).removeprefix("database "),))
    return found


def _try_to_write(database: Database) -> None:
    """As at an account's first start, and undone; no row that is there is locked."""
    with database.transaction() as t:
        t.execute(accounts.insert().values(name="redrive doctor", provider="none"))
        t.roll_back()


_RIGHTS = ("SELECT", "INSERT", "UPDATE", "DELETE")
_HAS_RIGHT = text("SELECT current_user AS me, has_table_privilege(:name, :right) AS has")
_HAS_SEQUENCE = text(
    "SELECT current_user AS me, found AS name, has_sequence_privilege(found, 'USAGE') AS has "
    "FROM pg_get_serial_sequence(:name, 'id') AS found WHERE found IS NOT NULL"
)


def _missing_rights(t: Transaction) -> Iterator[str]:
    """Each with the statement that gives it."""
    for table in metadata.sorted_tables:
        if table.info.get("since", 1) <= t.level:
            yield from _missing_of(t, table)


def _missing_of(t: Transaction, table: Table) -> Iterator[str]:
    answers = {right: t.execute(_HAS_RIGHT, name=table.name, right=right).one() for right in _RIGHTS}
    if missing := ", ".join(right for right, answer in answers.items() if not answer.has):
        me = answers["SELECT"].me
        yield f"{me} may not {missing} {table.name}; run: {grant(f'{missing} ON', table.name, me)}"
    for answer in t.execute(_HAS_SEQUENCE, name=table.name) if "id" in table.c else ():
        if not answer.has:
            yield f"{answer.me} may not use {answer.name}; run: {grant('USAGE ON SEQUENCE', answer.name, answer.me)}"


_SWITCHED_OFF = text("SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off'")


def _careless(database: Database, t: Transaction) -> Iterator[str]:
    for row in t.rows(_SWITCHED_OFF):
        yield f"{row.name} is off: a crash of the server may lose the records of calls that were made; switch it on"
    yield from postgresql.overridden(database.url)
