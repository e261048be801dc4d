"""What holds an account's calls back, read at once: its breaker and its group's API paths."""

from sqlalchemy import and_, or_, select

from ..db import Transaction
from ..rules import Rules
from ..states import Operation
from ..tables import limits
from . import breaker, permits


def read(t: Transaction, rules: Rules, operation: Operation) -> tuple[breaker.Breaker, dict[str, permits.Path]]:
    """The breaker of the account's operation, and API path → its state."""
    own = breaker.row_path(operation)
    mine = or_(permits.in_group(rules), and_(limits.c.group == rules.account, limits.c.path == own))
    rows = t.rows(select(limits).where(mine).order_by(limits.c.path))
    state = next((breaker.of(row) for row in rows if row.path == own), breaker.Breaker())
    return state, permits.paths_from(row for row in rows if row.path != own)
