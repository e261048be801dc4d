"""The rows of configured accounts: made once, and what they must remember of their settings.

A host calls this inside transactions of its own, which may last for hours. So it reads first, writes only what is
missing, and does not wait for anybody: what cannot be written now is named, and written at a later call.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Row, func, select, true, update
from sqlalchemy.exc import DBAPIError

from ..errors import Locked, SettingsError
from ..sql.db import Transaction, insert_for
from ..sql.db_errors import meaning
from ..sql.one_of import one_of
from ..sql.tables import accounts, columns
from . import permits

WAIT_SECONDS = 0.1
"""How long a new account's row waits for a transaction that makes the same one."""

REMEMBERS_GROUPS = 2
"""The first schema that does."""


def ensure(t: Transaction, providers: Mapping[str, str], groups: Mapping[str, str] | None = None) -> frozenset[str]:
    """Make a row for every configured account (name → provider).

    Args:
        t: where.
        providers: what is configured.
        groups: account → its limit group. An account that came to another group takes its pace and penalties along.
            Only the service's own processes know the groups; a host, whose settings may be older, leaves them out.

    Returns:
        Accounts that somebody else holds at this moment. Call again for them.

    Raises:
        SettingsError: when a name stood for another provider before; its tasks would go to the wrong one.
    """
    groups = groups if groups and t.level >= REMEMBERS_GROUPS else {}
    known = {row.name: row for row in _known(t, providers)}
    _refuse_others(known.values(), providers)
    missing = {name: providers[name] for name in sorted(providers.keys() - known.keys())}
    held = _insert(t, missing, groups) if missing else set()
    unsaid = {name for name, row in known.items() if not row.limit_group and groups.get(name) == name}
    held |= unsaid - _remember_own(t, unsaid)
    moved = sorted(name for name, row in known.items() if row.limit_group != groups.get(name, row.limit_group))
    return frozenset(held | {name for name in moved if name not in unsaid and not _move(t, name, groups[name])})


def _known(t: Transaction, names: Iterable[str]) -> Sequence[Row[Any]]:
    return t.rows(select(*columns(accounts, t.level)).where(one_of(accounts.c.name, names)))


def _refuse_others(known: Iterable[Row[Any]], providers: Mapping[str, str]) -> None:
    problems = [
        f"accounts.{row.name}.provider: was {row.provider} when its tasks were added and may not change; "
        f"give the {providers[row.name]} account another name"
        for row in sorted(known, key=lambda row: row.name)
        if row.provider != providers[row.name]
    ]
    if problems:
        raise SettingsError(problems)


def _insert(t: Transaction, providers: Mapping[str, str], groups: Mapping[str, str]) -> set[str]:
    rows = list(_rows(providers, groups))
    with _short_waits(t):
        # All at once, unless somebody holds one of them.
        held = set() if _inserted(t, rows) else {row["name"] for row in rows if not _inserted(t, [row])}
    # What another transaction has made meanwhile may be another provider's.
    _refuse_others(_known(t, providers), providers)
    return held


def _rows(providers: Mapping[str, str], groups: Mapping[str, str]) -> Iterator[dict[str, str]]:
    for name, provider in providers.items():
        yield {"name": name, "provider": provider} | ({"limit_group": groups.get(name, "")} if groups else {})


def _inserted(t: Transaction, rows: Sequence[Mapping[str, str]]) -> bool:
    """Make rows that nobody else makes at this moment. False: somebody does, and none of them is made."""
    try:
        with t.connection.begin_nested():
            t.connection.execute(insert_for(t)(accounts).on_conflict_do_nothing(), rows)
    except DBAPIError as error:
        if not isinstance(meaning(error, ""), Locked):
            raise
        return False
    return True


@contextmanager
def _short_waits(t: Transaction) -> Iterator[None]:
    """Wait for locks no longer than :data:`WAIT_SECONDS`, also on a host's connection. SQLite has one writer anyway."""
    if t.dialect == "sqlite":
        yield
        return
    usual = t.execute(select(func.current_setting("lock_timeout"))).scalar_one()
    t.execute(select(func.set_config("lock_timeout", f"{WAIT_SECONDS * 1000:.0f}ms", true())))
    yield
    t.execute(select(func.set_config("lock_timeout", usual, true())))


def _remember_own(t: Transaction, names: Collection[str]) -> set[str]:
    """Note that accounts are in the groups of their own names, where nothing has to be taken along; who was free."""
    if not names:
        return set()
    free = select(accounts.c.name).where(one_of(accounts.c.name, names)).order_by(accounts.c.name)
    found = {row.name for row in t.rows(free.with_for_update(skip_locked=True))}
    t.execute(update(accounts).where(one_of(accounts.c.name, found)).values(limit_group=accounts.c.name))
    return found


def _move(t: Transaction, name: str, group: str) -> bool:
    """Take what the account's group had to wait for along to another. False: somebody holds the account's row."""
    mine = select(accounts.c.limit_group).where(accounts.c.name == name)
    row = t.execute(mine.with_for_update(skip_locked=True)).one_or_none()
    if row is None:
        return False
    # Where no group was remembered yet, it is the account's own.
    permits.carry(t, row.limit_group or name, group)
    t.execute(update(accounts).where(accounts.c.name == name).values(limit_group=group))
    return True
