"""Tasks that a check call takes along where it leaves with room: a call costs the same however many ids it names."""

from collections.abc import Collection
from datetime import timedelta

from sqlalchemy import select, text

from ..lifecycle import following
from ..rules import Rules
from ..sql.db import Transaction
from ..sql.tables import CHECK_DUE, columns, tasks
from ..states import FOLLOWED_STATES, Operation
from ..task import Task
from .quarantine import not_set_aside


def early_checks(t: Transaction, rules: Rules, kinds: Collection[str], due: int, most: int) -> list[Task]:
    """Followed tasks whose wait for their check is half over, as many as the last call has room for.

    None whose old state the provider may still show: that check would prove nothing. None that another batch has: a
    claim moves its due moment by a lease.

    Args:
        t: where.
        rules: the account's.
        kinds: whose path is free.
        due: how many tasks are checked anyway.
        most: how many more may be.
    """
    room = min(most, -due % rules.capabilities.ids_per_call(Operation.CHECK))
    if room < 1:
        return []
    chosen = (
        select(*columns(tasks, t.level))
        .where(tasks.c.account == rules.account, text(CHECK_DUE), not_set_aside(t.level), tasks.c.kind.in_(kinds))
        .where(tasks.c.due_at > t.now)
        .where(tasks.c.due_at <= t.now + timedelta(seconds=rules.policy.check_max_seconds / 2))
        .order_by(tasks.c.due_at)
        .limit(room)
        .with_for_update(key_share=True, skip_locked=True)
    )
    return [task for row in t.rows(chosen) if _is_half_over(task := Task.of(row), t, rules)]


def _is_half_over(task: Task, t: Transaction, rules: Rules) -> bool:
    if task.status not in FOLLOWED_STATES or task.due_at is None or t.now < following.settles_at(task, rules):
        return False
    if task.due_at - task.updated_at == timedelta(seconds=rules.lease_seconds):
        return False
    return task.due_at - t.now <= t.now - task.updated_at
