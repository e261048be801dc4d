"""Many rows in one statement: a list of Python rows as a table that SQL can join.

One JSON text is one parameter, however many rows there are, so a batch of 100 costs the same statement as one.
"""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import FromClause, String, Table, bindparam, column, func, select
from sqlalchemy import cast as sql_cast
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from .types import moment_text

Types = Mapping[str, TypeEngine[Any]]

_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
"""An escaped NUL; one behind an odd number of backslashes only looks like it."""


def rowset(dialect: str, rows: Iterable[Mapping[str, Any]], table: Table, names: Iterable[str]) -> FromClause:
    """Rows as a FROM clause named ``r``, with the named columns of ``table``.

    A name that ends in ``_was`` has the type of the column before it: what a guarded update compares with.
    """
    types: Types = {name: table.c[name.removesuffix("_was")].type for name in names}
    text = _json([{name: _plain(row[name], dialect) for name in types} for row in rows])
    return _postgresql(text, types) if dialect == "postgresql" else _sqlite(text, types)


def _json(rows: list[dict[str, object]]) -> str:
    """The rows as JSON without what no database keeps: NUL characters and half surrogate pairs, from wherever."""
    text = json.dumps(rows, ensure_ascii=False).encode("utf-8", "replace").decode()
    return _NUL.sub(r"\1", text)


def _plain(value: object, dialect: str) -> object:
    if isinstance(value, datetime):
        return value.isoformat() if dialect == "postgresql" else moment_text(value)
    if isinstance(value, UUID):
        return str(value) if dialect == "postgresql" else value.hex
    return value


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
