"""What the tables of :mod:`redrive.models.sql.tables` are made of."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Column,
    MetaData,
    Table,
    null,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ColumnElement
from sqlalchemy.sql.functions import FunctionElement

from .types import Moment

metadata = MetaData(
    naming_convention={
        "ix": "%(column_0_label)s_idx",
        "uq": "%(table_name)s_%(column_0_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)


SINCE_0002 = {"since": 2}
"""Of a table or column that schema 0001 does not have; see :func:`columns`."""
SINCE_0003 = {"since": 3}
"""The same of schema 0002."""


class moment_now(FunctionElement[datetime]):  # noqa: N801 - reads as an SQL function
    """The moment of a bare ``INSERT``, in each database's own form."""

    inherit_cache = True
    type = Moment()


@compiles(moment_now)
def _now_default(_element: moment_now, _compiler: SQLCompiler, **_: object) -> str:
    return "clock_timestamp()"


@compiles(moment_now, "sqlite")
def _now_sqlite(_element: moment_now, _compiler: SQLCompiler, **_: object) -> str:
    # SQLite counts milliseconds; the zeros keep the one form of 26 characters.
    return "(strftime('%Y-%m-%d %H:%M:%f', 'now') || '000')"


def one_of(column: str, words: object) -> str:
    """The SQL that says a column holds one of these words."""
    quoted = ", ".join(f"'{word}'" for word in words)  # type: ignore[attr-defined]
    return f"{column} IN ({quoted})"


def moment(
    name: str, *, now: bool = False, primary_key: bool = False, info: dict[str, int] | None = None
) -> Column[object]:
    """A column for a moment; ``now`` is the moment of a bare ``INSERT`` that does not name it."""
    if now:
        return Column(name, Moment, nullable=False, server_default=moment_now(), info=info)
    return Column(name, Moment, primary_key=primary_key, info=info)


def moments_in_form(*columns: str) -> list[CheckConstraint]:
    """On SQLite a moment is text: a bare ``INSERT`` in another form would sort wrongly for ever."""
    form = "____-__-__ __:__:__.______"
    return [
        CheckConstraint(f"{column} IS NULL OR {column} LIKE '{form}'", name=f"{column}_form").ddl_if(dialect="sqlite")
        for column in columns
    ]


def short_texts(*columns: str) -> list[CheckConstraint]:
    """SQLite stores any type and length in any column; what PostgreSQL's types refuse is refused there, too."""
    return [
        CheckConstraint(
            f"typeof({column}) IN ('null', 'text') AND coalesce(length({column}), 0) <= 64", name=f"{column}_form"
        ).ddl_if(dialect="sqlite")
        for column in columns
    ]


def columns(table: Table, level: int) -> list[ColumnElement[Any]]:
    """The columns of a table to be read at a schema level; those it does not have yet come as NULL."""
    return [c if is_there(c, level) else null().label(c.name) for c in table.columns]


def is_there(column: Column[Any], level: int) -> bool:
    """Whether the schema of that level has the column."""
    return bool(column.info.get("since", 1) <= level)
