"""Whether the names in a filter are names of anything: a misspelt one would match nothing, silently."""

from collections.abc import Collection, Iterable, Mapping
from difflib import get_close_matches

from sqlalchemy import exists, select

from ..capabilities import Capabilities
from ..errors import BadInput
from ..providers import capabilities_of
from ..rules import Rules
from ..sql.db import Transaction
from ..sql.tables import accounts, tasks
from .tasks import TaskFilter

MOST_NAMED = 12
"""So many names are listed where none is like the one that was given."""


def check_names(t: Transaction, wanted: TaskFilter, rules_of: Mapping[str, Rules]) -> None:
    """Refuse accounts and kinds in a filter that are not names of anything.

    Raises:
        BadInput: with the one that was probably meant.
    """
    check_accounts(t, wanted.accounts, rules_of)
    check_kinds(t, wanted.kinds, rules_of)


def check_accounts(t: Transaction, wanted: Iterable[str], configured: Collection[str]) -> None:
    """Refuse names of accounts that are neither configured nor have ever had a task.

    Raises:
        BadInput: with the one that was probably meant.
    """
    known = {*configured, *(row.name for row in t.rows(select(accounts.c.name)))}
    for name in wanted:
        if name not in known and not _has_tasks(t, name):
            raise BadInput(f"no account named {name!r}; {suggestion(name, known)}")


def check_kinds(t: Transaction, wanted: Iterable[str], rules_of: Mapping[str, Rules]) -> None:
    """Refuse kinds that no provider of an account knows and no task has.

    Raises:
        BadInput: with the one that was probably meant.
    """
    recorded = {row.name: row.provider for row in t.rows(select(accounts.c.name, accounts.c.provider))}
    found = [rules.capabilities for rules in rules_of.values()]
    found += filter(None, (_capabilities(provider) for provider in {*recorded.values()}))
    known = {kind.name for each in found for kind in each.kinds}
    for name in wanted:
        if name not in known and not any(_has_tasks(t, account, name) for account in {*rules_of, *recorded}):
            raise BadInput(f"no task is of kind {name!r}; {suggestion(name, known)}")


def suggestion(name: str, known: Collection[str]) -> str:
    """What was probably meant, or what there is."""
    alike = {each.lower(): each for each in known}
    if near := get_close_matches(name.lower(), alike, n=1):
        return f"did you mean {alike[near[0]]}?"
    names = sorted(filter(None, known))
    more = f" and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return f"known here: {', '.join(names[:MOST_NAMED])}{more}" if names else "none is known here"


def _has_tasks(t: Transaction, account: str, kind: str | None = None) -> bool:
    """By the index on what a task is."""
    mine = [tasks.c.account == account] + ([tasks.c.kind == kind] if kind is not None else [])
    return bool(t.execute(select(exists().where(*mine))).scalar_one())


def _capabilities(provider: str) -> Capabilities | None:
    try:
        return capabilities_of(provider)
    except Exception:  # noqa: BLE001 - somebody else's package may raise anything when it is loaded
        return None
