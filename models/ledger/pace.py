"""What holds an account's calls back, read at once: its breaker and its group's API paths."""

from sqlalchemy import and_, bindparam, or_, select

from ..db import Transaction
from ..rules import Rules
from ..states import Operation
from ..tables import limits
from . import breaker, permits

_BREAKER = and_(limits.c.group == bindparam("account"), limits.c.path == bindparam("breaker"))
_ROWS = select(limits).where(or_(permits.IN_GROUP, _BREAKER)).order_by(limits.c.path)


def read(t: Transaction, rules: Rules, operation: Operation) -> tuple[breaker.Breaker, dict[str, permits.Path]]:
    """The breaker of the account's operation, and API path → its state."""
    own = breaker.row_path(operation)
    rows = t.rows(_ROWS, group=rules.group, account=rules.account, breaker=own)
    state = next((breaker.of(row) for row in rows if row.path == own), breaker.Breaker())
    return state, permits.paths_from(row for row in rows if row.path != own)
