"""What a check does to a task."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import assert_never

from ..outcome import Reading, State
from ..policy import Event
from ..states import AT_WORK_STATES, FOLLOWED_STATES, DeadReason, Operation, Status
from ..task import STALE, Seen, Task, replace, seen_after
from . import following, moves
from .moves import Context

_ENDS = (State.SUCCEEDED, State.FAILED, State.CANCELED)


@dataclass(frozen=True, slots=True)
class Settled:
    """A check's effect: the task, and what became of its last attempt ('' while that is open)."""

    task: Task
    result: str = ""


def read(task: Task, reading: Reading, asked_at: datetime, context: Context) -> Settled:
    """The task after a readable check that was asked at ``asked_at``."""
    task = replace(context.anchored(task), errors=0)
    seen = seen_after(task.seen, reading, asked_at, task.attempts, fresh=_is_fresh(task, context))
    if task.status in FOLLOWED_STATES:
        return _read_followed(task, reading, seen, asked_at, context)
    return Settled(_read_waiting(replace(task, seen=seen), reading, seen, context))


def _is_fresh(task: Task, context: Context) -> bool:
    """Whether the check before the attempt was so close to its answer that nobody can have run the task between."""
    seen_at = task.seen_at(context.now)
    settle = timedelta(seconds=context.rules.policy.settle_seconds)
    return seen_at is not None and task.status_since - seen_at <= settle


def _read_waiting(task: Task, reading: Reading, seen: Seen, context: Context) -> Task:
    """A check of a task that has no retry under way: before its first retry, or because someone asked for it."""
    working = task.status in AT_WORK_STATES
    match reading.state:
        case State.RUNNING if working:
            return moves.at_work(task, task.status, context.now)
        case State.RUNNING:
            first_check = context.check_after(context.rules.policy.check_after_seconds)
            return moves.followed(replace(task, refusals=0), Status.RETRYING, first_check, context.now)
        case State.SUCCEEDED:
            return moves.succeeded(task, context.now)
        case State.GONE:
            return _gone(task, reading, context)
        case State.MISSING if working:
            return replace(moves.at_work(task, task.status, context.now), last_error=_missing(reading))
        case State.MISSING:
            # The provider forgot it, or never shows it: the retry call is the authority. Due since the check was
            # asked, as below: it would be checked for ever.
            return replace(task, next=Operation.RETRY, due_at=seen.asked_at)
        case State.FAILED | State.CANCELED:
            return _failed_before_retry(task, reading, seen, context)
    assert_never(reading.state)


def _failed_before_retry(task: Task, reading: Reading, seen: Seen, context: Context) -> Task:
    status = Status(reading.state.value)
    task = _blamed(task, reading, context)
    if task.status in AT_WORK_STATES:
        task = replace(task, failed_at=context.now, round_at=context.now)
    # Due since the check was asked, so that "always check first" sees that it has just been checked.
    back = moves.failed(task, seen.asked_at, context.now, status=status)
    settles_at = seen.same_since + timedelta(seconds=context.rules.policy.settle_seconds)
    retried_by_provider = task.attempts == 0 and task.origin in context.rules.capabilities.retries_by_itself
    if retried_by_provider and seen.asked_at < settles_at:
        return moves.check_first(back, settles_at)
    return moves.resting(back, context)


def _read_followed(task: Task, reading: Reading, seen: Seen, asked_at: datetime, context: Context) -> Settled:
    settles_at = following.settles_at(task, context.rules)
    task = replace(task, seen=seen)
    match reading.state:
        case State.RUNNING:
            return _running(task, context)
        case State.MISSING if task.status is Status.RETRYING:
            return Settled(following.later(replace(task, last_error=_missing(reading)), context))
        case State.GONE:
            return Settled(_gone(task, reading, context), f"gone: {reading.code} {reading.message}".strip())
    if asked_at < settles_at and (reading.state is State.MISSING or not _proves_a_run(task, seen, context)):
        return Settled(replace(task, due_at=max(settles_at, context.now)))
    match reading.state:
        case State.MISSING:
            return Settled(_missing_again(replace(task, last_error=_missing(reading)), context), "missing")
        case State.SUCCEEDED:
            return Settled(moves.succeeded(task, context.now), _result("succeeded", reading))
        case State.FAILED | State.CANCELED:
            return Settled(_failed_again(task, reading, context), _result(reading.state.value, reading))
    raise AssertionError(reading.state)  # pragma: no cover - every other state returned above


def _proves_a_run(task: Task, seen: Seen, context: Context) -> bool:
    """Whether a terminal state cannot be the one from before the retry.

    The race: the retry call is answered, and a check finds the task failed. That is the end of the new run, or the
    state from before it, which the provider still shows because it has not begun the run. Believed too early, the old
    failure is retried a second time while the first retry is about to run: two runs for one attempt. Waiting out the
    settle time answers it always, but costs that time for every task that fails or succeeds at once. So what differs
    from the state before the retry is believed at once, and what is the same waits.

    What does not work instead: comparing the provider's times with ours, because clocks differ and some providers show
    none; believing any success, because an earlier retry that was given up as lost may have brought it; believing any
    change, because the check before the retry may have seen less than this one.

    A mark that was not known before proves nothing, the first check may simply be the first to read one; and where
    no check showed whether it had failed or been canceled, neither is news. Nor is a success where an earlier
    retry may have brought it: a failure reported since then has made us forget what was seen. What was seen too long
    before the retry proves nothing, not even a success: somebody else may have run the task in between.
    """
    if seen.ran:
        return True
    kind = context.rules.capabilities.kind(task.kind)
    if kind is not None and kind.conflict:
        return False  # a run of the whole, or of a part, may have changed it since the check before the retry
    state, _, mark = seen.before.partition("/")
    if state == STALE or (not state and task.spent > 1):
        return False
    if seen.state == State.SUCCEEDED != state:
        return True
    if state not in _ENDS:
        return False
    return seen.state != state or bool(mark and seen.mark and seen.mark != mark)


def _running(task: Task, context: Context) -> Settled:
    task = replace(task, refusals=0)
    # First of all: what was doubtful is known to run now, however late that was seen.
    if task.status is Status.UNKNOWN:
        first_check = context.check_after(context.rules.policy.check_after_seconds)
        return Settled(moves.followed(task, Status.RETRYING, first_check, context.now))
    if following.timed_out(task, context):
        return Settled(following.expired(task, context), "expired")
    return Settled(following.later(task, context))


def _failed_again(task: Task, reading: Reading, context: Context) -> Task:
    status = Status(reading.state.value)
    task = replace(_blamed(task, reading, context), failed_at=context.now)
    if task.refusals:
        return moves.came_back(moves.erred(task), Event.DISPUTED, context, status=status)
    return moves.came_back(task, Event.FAILED, context, status=status)


def _missing_again(task: Task, context: Context) -> Task:
    """The retry call is the authority, unless it was what refused: asking it for ever would be no answer."""
    if task.refusals:
        return moves.came_back(moves.erred(task), Event.DENIED, context)
    return moves.failed(task, context.now, context.now)


def _gone(task: Task, reading: Reading, context: Context) -> Task:
    task = _blamed(task, reading, context)
    return moves.dead(task, reading.reason or DeadReason.RESOURCE_GONE, context.now)


def _blamed(task: Task, reading: Reading, context: Context) -> Task:
    """With the words and the code of the failure that the provider reports."""
    task = replace(task, last_error=reading.message or task.last_error)
    return moves.blamed(task, reading.code, reading.message, context)


def _missing(reading: Reading) -> str:
    return reading.message or "the provider does not know this task"


def _result(word: str, reading: Reading) -> str:
    return ": ".join(part for part in (word, " ".join(filter(None, (reading.code, reading.message)))) if part)
