"""What holds an account's calls back, read at once: its breaker and its group's API paths."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Row, Select, and_, bindparam, or_

from ..rules import Rules
from ..sql.db import Transaction
from ..sql.one_of import listed, one_of_named
from ..sql.tables import limits
from ..states import Operation
from . import breaker, limit_rows, permits

_BREAKER = and_(limits.c.group == bindparam("account"), limits.c.path == bindparam("breaker"))


@cache
def _selected(level: int) -> Select[Any]:
    return limit_rows.selected(level).where(or_(permits.IN_GROUP, _BREAKER)).order_by(limits.c.path)


@cache
def _of_groups(level: int) -> Select[Any]:
    return limit_rows.selected(level).where(one_of_named(limits.c.group, "groups")).order_by(limits.c.path)


@dataclass(frozen=True, slots=True)
class Stored:
    """The rows as they are: that of the breaker, which may be missing, and those of the group's API paths."""

    own: Row[Any] | None
    paths: Sequence[Row[Any]]

    @property
    def state(self) -> breaker.Breaker:
        """The breaker as it is stored."""
        return breaker.of(self.own) if self.own is not None else breaker.Breaker()

    def believed(self, t: Transaction, rules: Rules) -> tuple[breaker.Breaker, dict[str, permits.Path]]:
        """The breaker, and API path → its state, no moment further ahead than it can be."""
        return self.state.believed(t, rules), permits.paths_from(t, self.paths, rules)

    def is_doubted(self, t: Transaction, rules: Rules) -> bool:
        """Whether anything is believed otherwise than it is stored."""
        return self.state != self.state.believed(t, rules) or self.has_doubted_paths(t, rules)

    def has_doubted_paths(self, t: Transaction, rules: Rules) -> bool:
        """The same of the API paths alone."""
        return any(_lies_too_far(t, row, rules) for row in self.paths)


def read(t: Transaction, rules: Rules, operation: Operation) -> tuple[breaker.Breaker, dict[str, permits.Path]]:
    """The breaker of the account's operation, and API path → its state, for a decision.

    What lies further ahead than it can is stored as it is believed: see :mod:`.moments`.
    """
    stored = _stored(t, rules, operation)
    state, paths = stored.believed(t, rules)
    if state != stored.state:
        breaker.mend(t, rules.account, operation, stored.state, state)
    if stored.has_doubted_paths(t, rules):
        permits.mend(t, rules)
    return state, paths


def shown(t: Transaction, rules: Rules, operation: Operation) -> tuple[breaker.Breaker, dict[str, permits.Path]]:
    """The same for a person: nothing is written."""
    return _stored(t, rules, operation).believed(t, rules)


def stored(t: Transaction, wanted: Iterable[tuple[Rules, Operation]]) -> dict[tuple[str, Operation], Stored]:
    """The rows of many accounts' operations, in one statement."""
    wanted = list(wanted)
    rows: dict[str, dict[str, Row[Any]]] = defaultdict(dict)
    for row in t.rows(_of_groups(t.level), groups=listed(name for r, _ in wanted for name in (r.account, r.group))):
        rows[row.group][row.path] = row
    paths = {name: [row for path, row in mine.items() if not path.startswith("#")] for name, mine in rows.items()}
    return {
        (rules.account, operation): Stored(
            rows[rules.account].get(breaker.row_path(operation)), paths.get(rules.group, [])
        )
        for rules, operation in wanted
    }


def _stored(t: Transaction, rules: Rules, operation: Operation) -> Stored:
    name = breaker.row_path(operation)
    rows = t.rows(_selected(t.level), group=rules.group, account=rules.account, breaker=name)
    return Stored(next((row for row in rows if row.path == name), None), [row for row in rows if row.path != name])


def _lies_too_far(t: Transaction, row: Row[Any], rules: Rules) -> bool:
    path = permits.path_of(t, row, rules)
    return (path.next_at, path.blocked_until) != (row.next_at, row.blocked_until)
