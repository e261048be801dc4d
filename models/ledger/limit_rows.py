"""Rows of ``redrive_limits``, read and written with the columns that the schema has.

A row stands for an API path of a limit group, or, where its path begins with ``#``, for something about one account.
"""

from functools import cache
from typing import Any

from sqlalchemy import Select, select, update

from ..sql.db import Transaction, insert_for
from ..sql.tables import columns, is_there, limits
from .texts import storable


@cache
def selected(level: int) -> Select[Any]:
    """Every column of the rows, at a schema level."""
    return select(*columns(limits, level))


def write(t: Transaction, group: str, path: str, **values: Any) -> None:
    """Set columns of a row, which is made where it does not exist."""
    if "why" in values:
        values["why"] = storable(values["why"])
    known = {name: value for name, value in values.items() if is_there(limits.c[name], t.level)}
    where = (limits.c.group == group, limits.c.path == path)
    if not t.execute(update(limits).where(*where).values(**known)).rowcount:
        t.execute(insert_for(t)(limits).values(group=group, path=path, **known))
