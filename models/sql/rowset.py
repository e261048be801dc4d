"""Many rows in one statement: a list of Python rows as a table that SQL can join.

One JSON text is one parameter, however many rows there are, so a batch of 100 costs the same statement as one. What is
the same in every row is not repeated in that text.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from enum import Enum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, String, Table, bindparam, column, func, literal, select
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from .types import moment_text

Columns = Mapping[str, ColumnElement[Any]]
Types = Mapping[str, TypeEngine[Any]]

_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
"""An escaped NUL; one behind an odd number of backslashes only looks like it."""


def rowset(
    dialect: str, rows: Sequence[Mapping[str, Any]], table: Table, names: Sequence[str], *, keyed: bool = True
) -> Columns:
    """Rows as columns, each with the type of the column of ``table`` by that name.

    The first name is the key: it comes from a FROM clause named ``r``, with a row for each of ``rows``. Any other
    column whose value is the same in all of them is that value. Who finds the rows by other means says
    ``keyed=False``, and gets neither key nor FROM clause where nothing else varies.

    A name that ends in ``_was`` has the type of the column before it: what a guarded update compares with.
    """
    types: Types = {name: table.c[name.removesuffix("_was")].type for name in names}
    same = {name for name in names[1:] if _same([row[name] for row in rows])}
    found: dict[str, ColumnElement[Any]] = {name: literal(_bound(rows[0][name]), types[name]) for name in same}
    varying = {name: type_ for name, type_ in types.items() if name not in same}
    if len(varying) == 1 and not keyed:
        return found
    r = _FROM[dialect](_json(rows, varying, _PLAIN[dialect]), varying)
    return found | {name: r.c[name] for name in varying}


def _same(values: Sequence[object]) -> bool:
    """Whether all are one plain value; objects and lists are not opened."""
    first = values[0]
    return not isinstance(first, Mapping | list) and values.count(first) == len(values)


def _bound(value: object) -> object:
    """The value as a parameter: what no database keeps is dropped, as it is from the JSON text."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode().replace("\0", "")
    return value


def _json(rows: Sequence[Mapping[str, Any]], names: Types, plain: Callable[[Any], str]) -> str:
    """The rows as JSON without what no database keeps: NUL characters and half surrogate pairs, from wherever."""
    text = json.dumps([{name: row[name] for name in names} for row in rows], ensure_ascii=False, default=plain)
    return _NUL.sub(r"\1", text.encode("utf-8", "replace").decode())


def _plain_postgresql(value: datetime | UUID) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _plain_sqlite(value: datetime | UUID) -> str:
    return moment_text(value) if isinstance(value, datetime) else value.hex


def _postgresql(text: str, types: Types) -> FromClause:
    source = sql_cast(bindparam(None, text, type_=String(), unique=True), JSONB)
    columns = [column(name, type_) for name, type_ in types.items()]
    return func.jsonb_to_recordset(source).table_valued(*columns, name="r").render_derived(with_types=True)


def _sqlite(text: str, types: Types) -> FromClause:
    each = func.json_each(bindparam(None, text, type_=String(), unique=True)).table_valued("value")
    # json_extract hands objects back as text, which is how SQLite stores them, and null as NULL.
    return select(
        *[func.json_extract(each.c.value, f"$.{name}", type_=type_).label(name) for name, type_ in types.items()]
    ).subquery("r")


_FROM: Mapping[str, Callable[[str, Types], FromClause]] = {"postgresql": _postgresql, "sqlite": _sqlite}
_PLAIN: Mapping[str, Callable[[Any], str]] = {"postgresql": _plain_postgresql, "sqlite": _plain_sqlite}
