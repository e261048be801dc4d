"""Redrive for host programs: ``from redrive import Client``. Importing this opens nothing and loads nothing.

The errors a :class:`Client` raises are here too: catch ``redrive.BadInput``, ``redrive.SettingsError``,
``redrive.SchemaError``, ``redrive.Unreachable``, ``redrive.DatabaseError``, or their base ``redrive.RedriveError``.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redrive.models.errors import BadInput, DatabaseError, RedriveError, SchemaError, SettingsError, Unreachable

    from .client import Client
    from .task_info import ActionInfo, AttemptInfo, Explanation, TaskInfo, TaskRow

__all__ = [
    "ActionInfo",
    "AttemptInfo",
    "BadInput",
    "Client",
    "DatabaseError",
    "Explanation",
    "RedriveError",
    "SchemaError",
    "SettingsError",
    "TaskInfo",
    "TaskRow",
    "Unreachable",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import client  # noqa: PLC0415 - only when it is asked for

    return getattr(client, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
