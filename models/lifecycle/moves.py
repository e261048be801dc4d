"""The moves all events are made of: into each status, with what that status requires of the row."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from ..failure import failure_code
from ..policy import Dead, Event, RetryAt, Stood, TaskStanding, age_of, decide, has_passed, never_stood
from ..rules import Rules
from ..sql.migrations.row_rules_0002 import MOST
from ..states import DeadReason, Operation, Status, Wish
from ..task import Task, by_now, replace
from .grid import rounded_up


@dataclass(frozen=True, slots=True)
class Context:
    """What a decision may depend on besides the task.

    Attributes:
        rules: the account's.
        now: the moment.
        rng: the dice.
        stood: how long the account has stood still since a moment.
    """

    rules: Rules
    now: datetime
    rng: Random = field(default_factory=Random)
    stood: Stood = never_stood

    def after(self, seconds: float) -> datetime:
        """The moment so many seconds from now."""
        return self.now + timedelta(seconds=seconds)

    def check_after(self, seconds: float, since: datetime | None = None) -> datetime:
        """The moment of a check about so many seconds from now, or from ``since``: with others of the account."""
        return rounded_up((since or self.now) + timedelta(seconds=seconds), seconds, self.rules.account)

    def age(self, since: datetime) -> timedelta:
        """The time since a moment on the account's own clock."""
        return age_of(since, self.now, self.stood)

    def passed(self, seconds: float, since: datetime) -> bool:
        """Whether so much time has passed on that clock. Asks it only where the usual clock says yes."""
        return has_passed(seconds, since, self.now, self.stood)

    def anchored(self, task: Task) -> Task:
        """The task without moments ahead of now, which a clock that went back has left: it would never be so old."""
        since, round_at = by_now(task.status_since, self.now), by_now(task.round_at, self.now)
        if since is task.status_since and round_at is task.round_at:
            return task
        return replace(task, status_since=since, round_at=round_at)


def blamed(task: Task, code: str, words: str, context: Context) -> Task:
    """The task with what its work failed of; without news of that it keeps what it has."""
    failure = failure_code(code, words, context.rules.failures)
    return replace(task, failure=failure) if failure else task


def one_more(count: int) -> int:
    """A counter's next value. It stays at the end of what a row can hold: from there on it decides nothing new."""
    return min(count + 1, MOST)


def erred(task: Task) -> Task:
    """One more failure in a row that was the task's."""
    return replace(task, errors=one_more(task.errors))


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
    """The owner reports it as pending or running: it is not checked unless someone asks for that."""
    return replace(_moved(task, status, now), wish=None, trigger="due", errors=0, refusals=0)


def failed(task: Task, due_at: datetime, now: datetime, *, status: Status = Status.FAILED) -> Task:
    """Failed (or canceled) again: an operator's wish is granted here, else it is due at ``due_at``."""
    if task.wish is Wish.STOP:
        return dead(task, DeadReason.STOPPED, now)
    if task.wish is Wish.HOLD:
        return held(task, status, now)
    return replace(_moved(task, status, now), due_at=due_at)


def check_first(task: Task, due_at: datetime) -> Task:
    """Its next turn is a check, not a retry."""
    return replace(task, next=Operation.CHECK, due_at=due_at)


def checked_first(task: Task, context: Context) -> Task:
    """The same, now, where the provider can be asked."""
    return check_first(task, context.now) if context.rules.capabilities.can_check else task


def followed(task: Task, status: Status, due_at: datetime, now: datetime) -> Task:
    """Retrying or unknown: checked from ``due_at`` on. A wish stays until it can be granted."""
    return replace(_moved(task, status, now), next=Operation.CHECK, due_at=due_at)


def came_back(task: Task, event: Event, context: Context, *, status: Status = Status.FAILED) -> Task:
    """Failed again after an attempt: the policy decides when, or whether, it is tried again."""
    if task.wish is not None:
        return failed(task, context.now, context.now, status=status)
    policy, now = context.rules.policy.of_failure(task.failure), context.now
    match decide(policy, standing(task, context.rules), event, now=now, rng=context.rng, stood=context.stood):
        case Dead(reason):
            return dead(task, reason, context.now)
        case RetryAt(when):
            return resting(failed(task, when, context.now, status=status), context)


def resting(task: Task, context: Context) -> Task:
    """A canceled task rests where the policy does not retry what was canceled, unless somebody asked for it."""
    wanted = context.rules.policy.retry_canceled or task.trigger != "due"
    return task if wanted or task.status is not Status.CANCELED else replace(task, due_at=None, next=Operation.RETRY)


def rests(task: Task) -> bool:
    """Whether it rests now: by the policy of the day on which it was canceled."""
    return task.status is Status.CANCELED and task.due_at is None


def new_round(task: Task, status: Status, context: Context) -> Task:
    """Failed (or canceled) anew: its age, what was seen of it and what went wrong begin again."""
    fresh = replace(task, round_at=context.now, seen=None, errors=0, refusals=0, trigger="due")
    return resting(failed(fresh, context.now, context.now, status=status), context)


def granted(task: Task, more: int, context: Context) -> Task:
    """So many retries more than the limit; more than were spent, where the limit was lowered below them."""
    overdrawn = max(0, task.spent - task.round_of_retries(context.rules) - task.granted)
    return replace(task, granted=min(task.granted + overdrawn + more, MOST))


def granted_a_round(task: Task, context: Context) -> Task:
    """As many retries more as a new task has."""
    return granted(task, task.round_of_retries(context.rules), context)


def standing(task: Task, rules: Rules) -> TaskStanding:
    """What the policy must know of a task."""
    return TaskStanding(
        spent=task.spent,
        limit=task.limit(rules),
        errors=task.errors,
        refusals=task.refusals,
        round_at=task.round_at,
    )
