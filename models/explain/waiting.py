"""A failed or canceled task: when it is tried again, what is in its way, and what follows."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

from ..lifecycle import CheckFirst, Leave, SetAsideTask, consider, wakes
from ..policy import backoff_seconds
from ..settings.policy import Policy
from ..states import BatchStatus, DeadReason, Operation, Status
from .facts import BatchFacts, Known
from .obstacles import lasting, obstacles
from .past import by, last_attempt, spent
from .words import ago, ahead, clock, duration, many

COUNTED_AHEAD = 10_000
"""Due tasks before a task are counted so far and no further."""

_LATE = timedelta(seconds=60)
_NO_BATCH = UUID(int=0)


def failed(known: Known) -> Iterator[str]:
    """Failed or canceled."""
    task = known.task
    verb = "was canceled" if task.status is Status.CANCELED else "failed"
    since = task.failed_at or task.status_since
    retried = f"I{spent(known)[1:]}" if task.attempts else f"It has not been retried yet; its limit is {known.limit}"
    yield f"{verb} {ago(since, known.now)}. {retried}."
    yield from last_attempt(known)
    if task.due_at is None:
        yield from _rests(known)
    elif task.next is Operation.CHECK:
        yield from checked_first(known)
    else:
        yield from _retried(known)


def _rests(known: Known) -> Iterator[str]:
    if wakes(known.task, known.context):
        yield "It rested while retry_canceled was false. The policy retries canceled tasks again: its turn comes soon."
        return
    yield "The policy does not retry canceled tasks (retry_canceled = false), so it rests."
    yield f"`redrive retry {known.task.id}` retries it nevertheless."


def checked_first(known: Known) -> Iterator[str]:
    """Its next turn is a check."""
    if not known.rules.capabilities.can_check:
        yield f"{known.rules.capabilities.title} cannot be asked for its state any more: it is retried without a check."
        return
    yield "Its state at the provider is checked first: what has succeeded or runs meanwhile is not retried."
    yield from check(known)
    if known.task.errors:
        most = known.rules.policy.max_errors
        yield f"{many(known.task.errors, 'check')} in a row could not be read; after {most} it is held."
    yield "If the provider still says that it failed, its retry is due at once."


def check(known: Known) -> Iterator[str]:
    """When its state is checked."""
    batch, due_at = known.facts.batch, known.task.due_at
    if due_at is None:
        return
    if batch is not None and batch.operation is Operation.CHECK:
        yield f"A check is under way in {batch_words(known, batch)}."
        yield f"If that is lost, the next check is due {ahead(due_at, known.now)}."
    elif due_at > known.now:
        waits = lasting(known, Operation.CHECK, due_at)
        yield f"Its check is due {ahead(due_at, known.now)}."
        yield from waits
    else:
        yield f"Its check has been due {_late(known)}."
        yield from _in_turn(known, Operation.CHECK)


def batch_words(known: Known, batch: BatchFacts) -> str:
    """The batch, and whether somebody has begun it."""
    size = f"batch {batch.id} ({many(batch.size, 'task')})"
    if batch.status is BatchStatus.SENDING:
        return f"{size}, begun by worker {batch.worker}"
    published = f"published {many(batch.publishes, 'time')}"
    return f"{size}, claimed {ago(batch.created_at, known.now)} and {published}, not begun by a worker"


def _retried(known: Known) -> Iterator[str]:
    """Its next turn is a retry, unless the claim will decide otherwise."""
    task = known.task
    match consider(task, _NO_BATCH, known.context, busy=known.facts.busy):
        case Leave(then) if then.dead_reason == DeadReason.RULED_OUT:
            yield f'on_failure says "never" of its failure ({task.failure}): the next claim declares it dead.'
            return
        case Leave(then) if then.dead_reason is not None:
            yield f"All of them are spent: its next claim declares it dead ({then.dead_reason})."
            return
        case Leave(then) if then.due_at is None:
            yield from _rests(known)
            return
        case SetAsideTask(why=why):
            yield f"It is set aside and not retried: {why}."
            return
        case Leave():
            yield f"It waits: {_excluded(known)}."
        case CheckFirst():
            yield "Its state at the provider is checked before this retry."
    yield from _when(known)
    yield from _afterwards(known)


def _excluded(known: Known) -> str:
    others = [str(task_id) for task_id in known.facts.excluded_by]
    if not others:
        return "an earlier attempt of it is not answered yet"
    return f"task{'s' * (len(others) > 1)} {', '.join(others)} of the same review must end first"


def _when(known: Known) -> Iterator[str]:
    task, due_at = known.task, known.task.due_at
    if task.trigger != "due":
        asked = "asked for this retry"
        yield by(known, "force", asked) or by(known, "retry", asked) or f"An operator {asked}."
    if due_at is not None and due_at > known.now:
        yield f"It is due again {ahead(due_at, known.now)}{_backoff(known)}."
        yield from lasting(known, Operation.RETRY, due_at)
    elif due_at is not None:
        yield f"It has been due {_late(known)}."
        yield from _in_turn(known, Operation.RETRY)


def _late(known: Known) -> str:
    due_at = known.task.due_at
    if due_at is None:
        return ""
    return f"for {duration((known.now - due_at).total_seconds())} (since {clock(due_at, known.now)})"


def _backoff(known: Known) -> str:
    turns = known.task.errors or known.task.spent
    if not turns or known.task.trigger != "due":
        return ""
    after = f"{many(turns, 'try')} without delivery" if known.task.errors else many(turns, "retry")
    return f": after {after} the policy waits {wait(known.rules.policy.of_failure(known.task.failure), turns)}"


def wait(policy: Policy, turns: int) -> str:
    """The policy's wait after so many turns, before its dice are thrown."""
    seconds = backoff_seconds(policy, turns)
    match policy.jitter:
        case "full":
            return f"up to {duration(seconds)}"
        case "equal":
            return f"{duration(seconds / 2)} to {duration(seconds)}"
        case _:
            return duration(seconds)


def _in_turn(known: Known, operation: Operation) -> Iterator[str]:
    """Due now: what is in its way, or how soon it is taken."""
    found = obstacles(known, operation)
    yield from found
    before = known.facts.ahead
    if before:
        count = f"More than {before:,}" if before >= COUNTED_AHEAD else f"{before:,}"
        yield f"{count} other due task{'s' * (before != 1)} of this account come{'s' * (before == 1)} first."
    if found or (known.facts.busy and operation is Operation.RETRY):
        return
    due_at = known.task.due_at
    if due_at is not None and known.now - due_at > _LATE and before < known.rules.batch_size:
        yield "Nothing is in its way, yet nothing takes it: does a scheduler run, with this account in its settings?"
    else:
        yield "Nothing is in its way: a scheduler takes it with one of its next passes."


def _afterwards(known: Known) -> Iterator[str]:
    task = known.task
    policy = known.rules.policy.of_failure(task.failure)
    left = known.limit - task.spent
    if policy is not known.rules.policy and task.max_retries is None:
        yield f"on_failure has rules of its own for its failure, {task.failure}."
    if left == 1:
        yield "It is the last retry: if that fails, the task is dead (limit_reached)."
    elif known.context.passed(policy.give_up_after_seconds, task.round_at):
        limit = duration(policy.give_up_after_seconds)
        yield f"It has been tried for longer than {limit}: if this retry fails, the task is dead (too_old)."
    elif left > 1:
        yield f"If this one fails, the next follows after {wait(policy, task.spent + 1)}."
    if task.errors:
        yield f"Once {many(policy.max_errors, 'turn')} in a row bring no call for it, it is dead (undeliverable)."
