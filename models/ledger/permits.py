"""When calls may leave: the rate of each API path, penalties, and permits as moments.

All accounts of a group share these rows, so they hold across workers, schedulers and restarts. A permit is a moment;
moments of one path lie at least one interval apart and are never given back. A call leaves at its moment or up to
``LATE_SECONDS`` later, which the interval allows for.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Row, Select, and_, bindparam, select, update

from ..doubling import doubled
from ..outcome import Throttled, answer_words
from ..rules import GROUP_WIDE, LATE_SECONDS, Rules
from ..sql.db import Transaction, insert_for
from ..sql.rowset import rowset
from ..sql.tables import limits
from . import limit_rows
from .moments import believed, latest_next_call, latest_penalty, wait_seconds

FIRST_WAIT_SECONDS = 5.0
LONGEST_WAIT_SECONDS = 600.0
"""The growing wait after a throttling answer that names none."""

SLOWS_DOWN = "the provider's RateLimit header asks to slow down"

IN_GROUP = and_(limits.c.group == bindparam("group"), ~limits.c.path.startswith("#"))
"""The rows of the API paths of ``group``."""


@cache
def _paths(level: int) -> Select[Any]:
    return limit_rows.selected(level).where(IN_GROUP).order_by(limits.c.path)


_TAKE = (
    update(limits)
    .where(limits.c.group == bindparam("its_group"), limits.c.path == bindparam("its_path"))
    .where(limits.c.next_at.is_not_distinct_from(bindparam("was", type_=limits.c.next_at.type)))
    .values(next_at=bindparam("next"))
)


@dataclass(frozen=True, slots=True)
class Path:
    """One API path of a group: when its next call may leave, and why not earlier."""

    next_at: datetime | None = None
    blocked_until: datetime | None = None
    why: str = ""
    throttles: int = 0

    def free_at(self, now: datetime) -> datetime:
        """The moment from which a call may leave."""
        return max(now, *(moment for moment in (self.next_at, self.blocked_until) if moment is not None), now)


def paths_of(t: Transaction, rules: Rules, *, lock: bool = False) -> dict[str, Path]:
    """API path → its state, for the whole group; the group-wide penalty is already in each."""
    # Not the breakers, which may stand under the same name: a transaction that holds one of those takes a path
    # afterwards, and would wait here for one that waits for it.
    statement = _paths(t.level)
    return paths_from(t, t.rows(statement.with_for_update() if lock else statement, group=rules.group), rules)


def paths_from(t: Transaction, rows: Iterable[Row[Any]], rules: Rules) -> dict[str, Path]:
    """API path → its state; the group-wide penalty is already in each."""
    found = {row.path: path_of(t, row, rules) for row in rows}
    everywhere = found.get(GROUP_WIDE)
    if everywhere is None or everywhere.blocked_until is None:
        return found
    return {path: _under(state, everywhere) for path, state in found.items()}


def path_of(t: Transaction, row: Row[Any], rules: Rules) -> Path:
    """The state in a row, its moments no further ahead than they can be."""
    next_at = believed(t, row.next_at, latest_next_call(rules, t.now))
    blocked_until = believed(t, row.blocked_until, latest_penalty(row.blocked_seconds, t.now))
    return Path(next_at, blocked_until, row.why, row.throttles)


def mend(t: Transaction, rules: Rules) -> None:
    """Store what is believed of moments that lie further ahead than they can, so that the wait has an end."""
    for row in t.rows(_paths(t.level).with_for_update(), group=rules.group):
        path = path_of(t, row, rules)
        if (path.next_at, path.blocked_until) != (row.next_at, row.blocked_until):
            limit_rows.write(t, row.group, row.path, next_at=path.next_at, blocked_until=path.blocked_until)


def _under(state: Path, everywhere: Path) -> Path:
    if state.blocked_until is not None and everywhere.blocked_until <= state.blocked_until:  # type: ignore[operator]
        return state
    return Path(state.next_at, everywhere.blocked_until, everywhere.why, state.throttles)


def free_at(paths: Mapping[str, Path], path: str, now: datetime) -> datetime:
    """The moment from which a call may leave on this path, also when no call ever did."""
    return (paths.get(path) or paths.get(GROUP_WIDE) or Path()).free_at(now)


def take(
    t: Transaction,
    rules: Rules,
    wanted: Mapping[str, int],
    horizon: datetime,
    paths: Mapping[str, Path] | None = None,
) -> dict[str, list[datetime]]:
    """Permits: for each API path at most so many moments up to ``horizon``, each an interval after the one before.

    ``paths`` as this transaction has read them spares the lock where nobody else took a permit since.
    """
    wanted = {path: n for path, n in sorted(wanted.items()) if n > 0}
    # Only for one path: a transaction that holds one of them must not wait for another that stands before it.
    if paths is not None and len(wanted) == 1 and (moments := _taken(t, rules, wanted, horizon, paths)) is not None:
        return moments
    if not wanted:
        return {}
    _ensure(t, rules.group, wanted)
    _lock(t, rules, wanted)
    paths = paths_of(t, rules)
    moments = {path: _moments(rules, n, free_at(paths, path, t.now), horizon) for path, n in wanted.items()}
    for path, mine in moments.items():
        if mine:
            limit_rows.write(t, rules.group, path, next_at=mine[-1] + _interval(rules))
    return moments


Place = tuple[str, str]
"""A limit group and one of its API paths."""


def lock_free(t: Transaction, places: Collection[Place]) -> frozenset[Place]:
    """Lock the rows of these places that nobody else has; returns them. A path that was never called gets one."""
    mine = _locked_free(t, places)
    missing = [place for place in places if place not in mine]
    return mine | _locked_free(t, missing) if missing and _make(t, missing) else mine


def _locked_free(t: Transaction, places: Collection[Place]) -> frozenset[Place]:
    rows = [{"group": group, "path": path} for group, path in sorted(places)]
    if not rows:
        return frozenset()
    r = rowset(t.dialect, rows, limits, ("group", "path"))
    found = select(limits.c.group, limits.c.path).where(limits.c.group == r["group"], limits.c.path == r["path"])
    locking = found.order_by(limits.c.group, limits.c.path).with_for_update(of=limits, skip_locked=True)
    return frozenset((row.group, row.path) for row in t.rows(locking))


def move(t: Transaction, moments: Mapping[Place, datetime]) -> None:
    """Store the next moment of places whose rows this transaction has locked."""
    if not moments:
        return
    rows = [{"group": group, "path": path, "next_at": at} for (group, path), at in sorted(moments.items())]
    r = rowset(t.dialect, rows, limits, ("group", "path", "next_at"))
    t.execute(
        update(limits).where(limits.c.group == r["group"], limits.c.path == r["path"]).values(next_at=r["next_at"])
    )


def _taken(
    t: Transaction, rules: Rules, wanted: Mapping[str, int], horizon: datetime, paths: Mapping[str, Path]
) -> dict[str, list[datetime]] | None:
    """The permits, unless the path moved since it was read, or was never called."""
    ((path, n),) = wanted.items()
    moments = _moments(rules, n, free_at(paths, path, t.now), horizon)
    if not moments:
        return {path: []}
    old = paths.get(path, Path()).next_at
    next_at = moments[-1] + _interval(rules)
    moved = t.execute(_TAKE, its_group=rules.group, its_path=path, was=old, next=next_at).rowcount
    return {path: moments} if moved else None


def _lock(t: Transaction, rules: Rules, paths: Iterable[str]) -> None:
    """Lock these paths and no others: an update that came too late may have left us holding the one we want."""
    mine = and_(IN_GROUP, limits.c.path.in_(sorted(paths)))
    t.rows(select(limits.c.path).where(mine).order_by(limits.c.path).with_for_update(), group=rules.group)


def _interval(rules: Rules) -> timedelta:
    return timedelta(seconds=rules.interval_seconds)


def _moments(rules: Rules, number: int, first: datetime, horizon: datetime) -> list[datetime]:
    return [moment for i in range(number) if (moment := first + _interval(rules) * i) <= horizon]


def leaving(t: Transaction, moment: datetime) -> tuple[float, float]:
    """When a call with this permit may leave: the boottimes not before and not after which."""
    return t.not_before(moment), t.not_after(moment + timedelta(seconds=LATE_SECONDS))


def penalize(t: Transaction, rules: Rules, answers: Iterable[tuple[str, Throttled]]) -> None:
    """Move the next moment of the paths (or of the group) that answered so; a penalty only grows."""
    by_path: dict[str, list[Throttled]] = {}
    for path, answer in answers:
        by_path.setdefault(GROUP_WIDE if answer.whole_account else path, []).append(answer)
    if not by_path:
        return
    _ensure(t, rules.group, by_path)
    paths = paths_of(t, rules, lock=True)
    for where, asked in sorted(by_path.items()):
        state = paths.get(where, Path())
        seconds = max(_wait(answer, state.throttles) for answer in asked)
        if state.blocked_until is None or t.now + timedelta(seconds=seconds) > state.blocked_until:
            why = answer_words(asked[0].http_status, asked[0].code, asked[0].message) or "throttled"
            _hold(t, rules.group, where, seconds, why=why, throttles=state.throttles + 1)


def _wait(answer: Throttled, throttles: int) -> float:
    named = wait_seconds(answer.wait_seconds)
    return named if named is not None else doubled(FIRST_WAIT_SECONDS, throttles, LONGEST_WAIT_SECONDS)


def _hold(t: Transaction, group: str, path: str, seconds: float, **values: Any) -> None:
    until = t.now + timedelta(seconds=seconds)
    limit_rows.write(t, group, path, blocked_until=until, blocked_seconds=seconds, **values)


def slow(t: Transaction, rules: Rules, paces: Mapping[str, float], paths: Mapping[str, Path]) -> bool:
    """Move the next moment of paths whose answers asked for it without a refusal. False: all of them are slow enough.

    Nobody was too fast, so that no later wait grows by it.
    """
    asked = {path: seconds for path, seconds in paces.items() if _hurries(paths, path, t.now, seconds)}
    if not asked:
        return False
    _ensure(t, rules.group, asked)
    paths = paths_of(t, rules, lock=True)
    for path, seconds in sorted(asked.items()):
        if _hurries(paths, path, t.now, seconds):
            _hold(t, rules.group, path, seconds, why=SLOWS_DOWN)
    return True


def _hurries(paths: Mapping[str, Path], path: str, now: datetime, seconds: float) -> bool:
    return free_at(paths, path, now) < now + timedelta(seconds=seconds)


def relieve(t: Transaction, rules: Rules, paths: Iterable[str]) -> None:
    """Calls on these paths went through: the next unnamed wait starts small again."""
    wanted = {*paths, GROUP_WIDE}
    where = and_(limits.c.group == rules.group, limits.c.path.in_(sorted(wanted)), limits.c.throttles > 0)
    over = and_(where, limits.c.blocked_until <= t.now)
    # Almost always there is nothing to relieve; where there is, rows are locked in the order everybody keeps.
    if t.rows(select(limits.c.path).where(over)):
        paths_of(t, rules, lock=True)
        t.execute(update(limits).where(over).values(throttles=0, why=""))


def forgive(t: Transaction, group: str) -> None:
    """End the penalties of a group: somebody knows better than the provider's last answer. The pace stays."""
    for row in t.rows(_paths(t.level).with_for_update(), group=group):
        if row.blocked_until is not None:
            limit_rows.write(t, group, row.path, blocked_until=None, blocked_seconds=None, why="", throttles=0)


def carry(t: Transaction, old: str, new: str) -> None:
    """Let the paths of a group wait at least as long as those of another. Moments only ever move later."""
    theirs = t.rows(_paths(t.level), group=old)
    if not theirs:
        return
    _ensure(t, new, (row.path for row in theirs))
    ours = {row.path: row for row in t.rows(_paths(t.level).with_for_update(), group=new)}
    for row in theirs:
        if later := _later(row, ours[row.path]):
            limit_rows.write(t, new, row.path, **later)


def _later(theirs: Row[Any], ours: Row[Any]) -> dict[str, Any]:
    later: dict[str, Any] = {}
    if theirs.next_at is not None and (ours.next_at is None or theirs.next_at > ours.next_at):
        later["next_at"] = theirs.next_at
    if theirs.blocked_until is not None and (ours.blocked_until is None or theirs.blocked_until > ours.blocked_until):
        names = ("blocked_until", "blocked_seconds", "why", "throttles")
        later |= {name: getattr(theirs, name) for name in names}
    return later


def _ensure(t: Transaction, group: str, paths: Iterable[str]) -> None:
    _make(t, [(group, path) for path in {*paths, GROUP_WIDE}])


def _make(t: Transaction, places: Iterable[Place]) -> int:
    """Rows for those of these places that have none; how many that were."""
    rows = [{"group": group, "path": path} for group, path in sorted(places)]
    return t.execute(insert_for(t)(limits).values(rows).on_conflict_do_nothing()).rowcount
