"""The moves all events are made of: into each status, with what that status requires of the row."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from ..policy import Dead, Event, RetryAt, Standing, decide
from ..rules import Rules
from ..states import DeadReason, Operation, Status, Wish
from ..task import Task, replace


@dataclass(frozen=True, slots=True)
class Context:
    """What a decision may depend on besides the task: the account's rules, the moment, the dice."""

    rules: Rules
    now: datetime
    rng: Random = field(default_factory=Random)

    def after(self, seconds: float) -> datetime:
        """The moment so many seconds from now."""
        return self.now + timedelta(seconds=seconds)


def _moved(task: Task, status: Status, now: datetime) -> Task:
    """The task in another status, free of what only the old one had."""
    return replace(
        task,
        status=status,
        status_since=task.status_since if task.status is status else now,
        dead_reason=None,
        batch_id=None,
        held_from=None,
        next=Operation.RETRY,
        due_at=None,
    )


def succeeded(task: Task, now: datetime) -> Task:
    """The end everybody wants."""
    return replace(_moved(task, Status.SUCCEEDED, now), wish=None, errors=0, refusals=0, trigger="due")


def dead(task: Task, reason: DeadReason, now: datetime) -> Task:
    """The other end."""
    return replace(_moved(task, Status.DEAD, now), wish=None, dead_reason=reason.value, trigger="due")


def held(task: Task, origin: Status, now: datetime) -> Task:
    """Nobody touches it until it is released to ``origin``."""
    return replace(_moved(task, Status.HELD, now), wish=None, held_from=origin)


def at_work(task: Task, status: Status, now: datetime) -> Task:
    """The owner says it is pending or running: nobody looks unless asked to."""
    return replace(_moved(task, status, now), wish=None, trigger="due", errors=0, refusals=0)


def failed(task: Task, due_at: datetime, now: datetime, *, status: Status = Status.FAILED) -> Task:
    """Failed (or canceled) again: an operator's wish is granted here, else it is due at ``due_at``."""
    if task.wish is Wish.STOP:
        return dead(task, DeadReason.STOPPED, now)
    if task.wish is Wish.HOLD:
        return held(task, status, now)
    return replace(_moved(task, status, now), due_at=due_at)


def look_first(task: Task, due_at: datetime) -> Task:
    """Its next turn is a look, not a retry."""
    return replace(task, next=Operation.CHECK, due_at=due_at)


def followed(task: Task, status: Status, due_at: datetime, now: datetime) -> Task:
    """Retrying or unknown: looked at from ``due_at`` on. A wish stays until it can be granted."""
    return replace(_moved(task, status, now), next=Operation.CHECK, due_at=due_at)


def came_back(task: Task, event: Event, context: Context, *, status: Status = Status.FAILED) -> Task:
    """Failed again after an attempt: the policy decides when, or whether, it is tried again."""
    if task.wish is not None:
        return failed(task, context.now, context.now, status=status)
    match decide(context.rules.policy, standing(task, context.rules), event, now=context.now, rng=context.rng):
        case Dead(reason):
            return dead(task, reason, context.now)
        case RetryAt(when):
            return resting(failed(task, when, context.now, status=status), context)


def resting(task: Task, context: Context) -> Task:
    """A canceled task rests where the policy does not retry what was canceled, unless somebody asked for it."""
    rests = task.status is Status.CANCELED and not context.rules.policy.retry_canceled and task.trigger == "due"
    return replace(task, due_at=None, next=Operation.RETRY) if rests else task


def standing(task: Task, rules: Rules) -> Standing:
    """What the policy must know of a task."""
    return Standing(
        spent=task.spent,
        limit=task.limit(rules),
        errors=task.errors,
        refusals=task.refusals,
        round_at=task.round_at,
    )
