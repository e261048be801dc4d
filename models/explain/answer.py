"""The answer: who the task is, where it stands, and what comes next."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from ..rules import rules_without_settings
from ..states import NEVER_CLAIMED, Status
from ..task import Task
from .at_rest import at_work, dead, held, set_aside, succeeded
from .facts import Facts, Known
from .under_way import in_flight, retrying, unknown
from .waiting import failed
from .without_rules import without_rules


@dataclass(frozen=True, slots=True)
class Explanation:
    """Sentences about one task, and the moment of what happens next, where one is known."""

    id: int
    status: Status
    lines: tuple[str, ...]
    next_at: datetime | None


_BY_STATUS: Mapping[Status, Callable[[Known], Iterator[str]]] = {
    Status.PENDING: at_work,
    Status.RUNNING: at_work,
    Status.FAILED: failed,
    Status.CANCELED: failed,
    Status.IN_FLIGHT: in_flight,
    Status.RETRYING: retrying,
    Status.UNKNOWN: unknown,
    Status.HELD: held,
    Status.SUCCEEDED: succeeded,
    Status.DEAD: dead,
}


def explain(facts: Facts) -> Explanation:
    """Why the task is where it is, what happens next and when."""
    task = facts.task
    if facts.rules is None:
        provider = facts.account.provider if facts.account is not None else None
        lines = list(without_rules(Known(facts, task, rules_without_settings(task.account, provider), facts.now)))
    elif facts.set_aside is not None and facts.set_aside.cause in NEVER_CLAIMED:
        lines = list(set_aside(Known(facts, task, facts.rules, facts.now)))
    else:
        lines = list(_BY_STATUS[task.status](Known(facts, task, facts.rules, facts.now)))
    return Explanation(task.id, task.status, (f"{name(task)} {lines[0]}", *lines[1:]), _next_at(facts))


def name(task: Task) -> str:
    """``Task 4711 (phones, 5912…)``."""
    what = " ".join(filter(None, (task.kind, task.external_id, task.sub_id)))
    return f"Task {task.id} ({task.account}, {what})"


def _next_at(facts: Facts) -> datetime | None:
    if facts.task.due_at is None and facts.batch is not None:
        return facts.batch.lease_until or facts.batch.publish_at
    return facts.task.due_at if facts.rules is not None else None
