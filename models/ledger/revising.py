"""What was held under another policy is decided again under today's."""

from collections.abc import Collection
from random import Random

from sqlalchemy import select

from ..lifecycle import unheld
from ..rules import Rules
from ..sql.db import Transaction
from ..sql.one_of import one_of
from ..sql.tables import tasks
from . import contexts, quarantine
from .due_tasks import RESTS
from .holds import held_as_unknown
from .rows import free_by_ids, store

RELEASED_AT_ONCE = 500


def resting_accounts(t: Transaction, names: Collection[str]) -> list[str]:
    """The accounts among these that have canceled tasks at rest."""
    rows = t.rows(select(tasks.c.account).where(RESTS, one_of(tasks.c.account, names)).distinct())
    return sorted(row.account for row in rows)


def release_unknown(t: Transaction, rules: Rules, rng: Random) -> int:
    """Release a page of the tasks that were held for ``on_unknown``, where it is ``retry`` by now."""
    if rules.policy.on_unknown == "hold":
        return 0
    context = contexts.context(t, rules, rng)
    found = free_by_ids(t, held_as_unknown(t, rules.account, RELEASED_AT_ONCE))
    store(t, [(task, unheld(task, context)) for task in found])
    quarantine.forget(t, [task.id for task in found])
    return len(found)
