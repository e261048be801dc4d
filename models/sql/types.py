"""Column types that mean the same on PostgreSQL and SQLite."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, String, TypeDecorator
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

SQLITE_MOMENT = "%Y-%m-%d %H:%M:%S.%f"
"""The one text form of a moment on SQLite: UTC, 26 characters, so that text order is time order."""

BigId = BigInteger().with_variant(Integer, "sqlite")
Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


def moment_text(moment: datetime) -> str:
    """The moment in SQLite's form."""
    return moment.astimezone(UTC).strftime(SQLITE_MOMENT)


class Moment(TypeDecorator[datetime]):
    """An aware UTC moment: ``timestamptz`` on PostgreSQL, fixed-width text on SQLite. Naive ones are refused."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Text on SQLite, ``timestamptz`` elsewhere."""
        return dialect.type_descriptor(String(26) if dialect.name == "sqlite" else DateTime(timezone=True))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | str | None:
        """Refuse naive moments; write SQLite's one form."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a stored moment must be aware")
        return moment_text(value) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | str | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Aware UTC, whatever the database handed over."""
        if value is None:
            return None
        if isinstance(value, str):
            return datetime.strptime(value, SQLITE_MOMENT).replace(tzinfo=UTC)
        return value if value.tzinfo is UTC else value.astimezone(UTC)
