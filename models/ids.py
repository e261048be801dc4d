"""``id IN (…)`` with one parameter, however many ids there are: one statement text, planned and prepared once."""

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Dialect, Text, TypeDecorator, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType, TypeEngine


class _Ids(TypeDecorator[list[int]]):
    """An array on PostgreSQL, JSON text on SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Of the database at hand."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else ARRAY(BigInteger()))

    def process_bind_param(self, value: list[int] | None, dialect: Dialect) -> str | list[int] | None:
        """As the database takes it."""
        return json.dumps(value) if dialect.name == "sqlite" else value


class _OneOf(FunctionElement[bool]):
    inherit_cache = True
    type: TypeEngine[Any] = NullType()  # a Boolean would be compared with 1 on SQLite, which then reads the whole table


@compiles(_OneOf)
def _in_array(element: _OneOf, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} = ANY ({ids})"


@compiles(_OneOf, "sqlite")
def _in_json(element: _OneOf, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({ids}))"  # noqa: S608 - both are what SQLAlchemy rendered


def one_of(column: ColumnElement[int], ids: Iterable[int]) -> ColumnElement[bool]:
    """Whether the column is one of these ids."""
    return _OneOf(column, bindparam(None, sorted(set(ids)), type_=_Ids(), unique=True))
