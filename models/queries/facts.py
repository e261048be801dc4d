"""What an explanation of one task rests on."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, and_, func, or_, select, text

from .. import ledger
from ..explain.facts import ActionFacts, AttemptFacts, BatchFacts, Facts
from ..explain.waiting import COUNTED_AHEAD
from ..rules import Rules
from ..sql.db import Transaction
from ..sql.tables import CHECK_DUE, RETRY_DUE, actions, attempts, batches, columns, tasks
from ..states import FAILED_STATES, FOLLOWED_STATES, BatchStatus, Operation, Status
from ..task import Task
from .processes import missing, processes
from .tasks import get


def facts(t: Transaction, task_id: int, rules_of: Mapping[str, Rules] | None) -> Facts | None:
    """Everything that decides about one task, or None when there is no such task.

    Without rules the settings of the service are not here.
    """
    task = get(t, task_id)
    if task is None:
        return None
    rules = (rules_of or {}).get(task.account)
    operation = Operation.RETRY if task.status is Status.IN_FLIGHT else task.next
    if rules is None:
        return _without_rules(t, task, settings_known=rules_of is not None)
    state, paths = ledger.pace_shown(t, rules, operation)
    found = ledger.troubles(t)
    under_way = t.mappings(_open_batches(task, operation))
    retried_next = task.status in FAILED_STATES and task.next is Operation.RETRY
    return Facts(
        task=task,
        now=t.now,
        rules=rules,
        account=ledger.account_row(t, task.account),
        breaker=state,
        paths=paths,
        under_way=tuple(ledger.OnItsWay(batch["size"], batch["begun_at"]) for batch in under_way),
        batch=next(
            (_batch(batch) for batch in under_way if task.id in batch["task_ids"] and _is_in(task, batch)), None
        ),
        attempt=_last_attempt(t, task.id),
        action=_last_action(t, task.id),
        busy=retried_next and task.id in ledger.busy_ones(t, rules.capabilities, [task]),
        excluded_by=_excluding(t, task, rules) if retried_next else (),
        ahead=_ahead(t, task),
        set_aside=ledger.odd_among(t, [task.id]).get(task.id),
        trouble=found.get(task.account) or found.get("", ""),
        stood=ledger.standstills_of(t, task.account, [*Operation]),
        missing={each.role: each.seen_at for each in missing(t, processes(t))},
    )


def _without_rules(t: Transaction, task: Task, *, settings_known: bool) -> Facts:
    """What the rows alone say."""
    operation = Operation.RETRY if task.status is Status.IN_FLIGHT else task.next
    return Facts(
        task=task,
        now=t.now,
        rules=None,
        settings_known=settings_known,
        account=ledger.account_row(t, task.account),
        breaker=ledger.stored_breaker(t, task.account, operation),
        attempt=_last_attempt(t, task.id),
        action=_last_action(t, task.id),
        set_aside=ledger.odd_among(t, [task.id]).get(task.id),
    )


def _excluding(t: Transaction, task: Task, rules: Rules) -> tuple[int, ...]:
    """Tasks under way that may not run beside this one."""
    conflicts = {kind.name: kind.conflict for kind in rules.capabilities.kinds if kind.conflict}
    mine = conflicts.get(task.kind)
    others = [name for name, conflict in conflicts.items() if mine and conflict != mine]
    if not others:
        return ()
    same = (
        tasks.c.account == task.account,
        tasks.c.kind.in_(others),
        tasks.c.external_id == task.external_id,
        tasks.c.status.in_([Status.IN_FLIGHT.value, *(status.value for status in FOLLOWED_STATES)]),
    )
    return tuple(row.id for row in t.rows(select(tasks.c.id).where(*same).order_by(tasks.c.id).limit(3)))


def _open_batches(task: Task, operation: Operation) -> Select[Any]:
    mine = and_(batches.c.account == task.account, batches.c.operation == operation.value)
    return select(batches).where(mine, text("status IN ('queued', 'sending')")).order_by(batches.c.created_at)


def _is_in(task: Task, batch: Mapping[str, Any]) -> bool:
    """A retry batch keeps the ids of tasks that have left it."""
    return batch["operation"] == Operation.CHECK.value or bool(batch["id"] == task.batch_id)


def _batch(row: Mapping[str, Any]) -> BatchFacts:
    return BatchFacts(
        id=row["id"],
        operation=Operation(row["operation"]),
        status=BatchStatus(row["status"]),
        size=row["size"],
        created_at=row["created_at"],
        publishes=row["publishes"],
        publish_at=row["publish_at"],
        worker=row["worker"],
        lease_until=row["lease_until"],
    )


def _last_attempt(t: Transaction, task_id: int) -> AttemptFacts | None:
    mine = (
        select(*columns(attempts, t.level))
        .where(attempts.c.task_id == task_id)
        .order_by(attempts.c.number.desc())
        .limit(1)
    )
    row = t.mapping(mine)
    if row is None:
        return None
    return AttemptFacts(
        number=row["number"],
        opened_at=row["opened_at"],
        closed_at=row["closed_at"],
        outcome=row["outcome"],
        http_status=row["http_status"],
        code=row["provider_code"],
        message=row["message"],
        result=row["result"],
    )


def _last_action(t: Transaction, task_id: int) -> ActionFacts | None:
    columns = (actions.c.at, actions.c.who, actions.c.what, actions.c.why)
    row = t.mapping(select(*columns).where(actions.c.task_id == task_id).order_by(actions.c.id.desc()).limit(1))
    return ActionFacts(**row) if row is not None else None


def _ahead(t: Transaction, task: Task) -> int:
    """Due tasks of the account that a claim takes before this one, when it is due itself."""
    if task.due_at is None or task.due_at > t.now:
        return 0
    earlier = or_(tasks.c.due_at < task.due_at, and_(tasks.c.due_at == task.due_at, tasks.c.id < task.id))
    before = and_(tasks.c.due_at <= t.now, earlier)
    if task.next is Operation.RETRY:
        same = and_(tasks.c.priority == task.priority, before)
        before = or_(and_(tasks.c.priority > task.priority, tasks.c.due_at <= t.now), same)
    predicate = text(RETRY_DUE if task.next is Operation.RETRY else CHECK_DUE)
    some = select(tasks.c.id).where(tasks.c.account == task.account, predicate, before).limit(COUNTED_AHEAD)
    return int(t.execute(select(func.count()).select_from(some.subquery())).scalar_one())
