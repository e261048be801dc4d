"""Values as JSON knows them."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TypeAlias
from uuid import UUID

from ..task import Seen

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"


def plain(value: object) -> Plain:
    """Dataclasses as objects, moments as ISO 8601 in UTC with a ``Z``, UUIDs and enums as text."""
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case Enum():
            return str(value.value)
        case Seen():  # whose moments are text already, in a database's own form
            moments = {"at": plain(value.asked_at), "first_at": plain(value.same_since)}
            return {field.name: plain(getattr(value, field.name)) for field in fields(value)} | moments
        case UUID():
            return str(value)
        case str() | bool() | int() | float() | None:
            return value
        case Mapping():
            return {str(plain(key)): plain(each) for key, each in value.items()}
        case Sequence():
            return [plain(each) for each in value]
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    raise TypeError(f"{type(value).__name__} has no form in JSON")
