"""``id IN (…)`` with one parameter, however many values there are: one statement text, planned and prepared once."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar
from uuid import UUID

from sqlalchemy import BigInteger, ColumnElement, Dialect, String, Text, TypeDecorator, Uuid, bindparam
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import NullType, TypeEngine

Value = TypeVar("Value", int, str, UUID)


class _List(TypeDecorator[list[Any]]):
    """An array on PostgreSQL, JSON text on SQLite."""

    impl = Text
    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Of the database at hand."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else ARRAY(self.item))

    def process_bind_param(self, value: list[Any] | None, dialect: Dialect) -> str | list[Any] | None:
        """As the database takes it."""
        return json.dumps(value, default=_plain) if dialect.name == "sqlite" else value


class _OneOf(FunctionElement[bool]):
    inherit_cache = True
    type: TypeEngine[Any] = NullType()  # a Boolean would be compared with 1 on SQLite, which then reads the whole table


_ITEMS: Mapping[type[TypeEngine[Any]], TypeEngine[Any]] = {BigInteger: BigInteger(), String: Text(), Uuid: Uuid()}


def _plain(value: UUID) -> str:
    """As SQLite stores it."""
    return value.hex


@compiles(_OneOf)
def _in_array(element: _OneOf, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} = ANY ({ids})"


@compiles(_OneOf, "sqlite")
def _in_json(element: _OneOf, compiler: SQLCompiler, **options: Any) -> str:
    column, ids = (compiler.process(each, **options) for each in element.clauses)
    return f"{column} IN (SELECT value FROM json_each({ids}))"  # noqa: S608 - both are what SQLAlchemy rendered


def one_of(column: ColumnElement[Any], values: Iterable[int | str]) -> ColumnElement[bool]:
    """Whether the column is one of these."""
    return _OneOf(column, bindparam(None, listed(values), type_=_List(_ITEMS[type(column.type)]), unique=True))


def one_of_named(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    """The same of a parameter, for a statement that is built once; :func:`listed` makes its value."""
    return _OneOf(column, bindparam(name, type_=_List(_ITEMS[type(column.type)])))


def listed(values: Iterable[Value]) -> list[Value]:
    """Each value once."""
    return sorted(set(values), key=str)
