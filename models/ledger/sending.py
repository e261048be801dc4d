"""One step of a retry batch: what came back is recorded and the next attempts are opened, in one transaction.

The record comes first, always: an attempt is committed before its call may leave. A step locks in the order that
everybody keeps (account, batch, limits, tasks), so steps of different batches never wait in a circle.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from ..db import Transaction
from ..lifecycle import Context, answered
from ..outcome import Deferred, Look, Outcome, Reading, Throttled, Unknown, Unsent
from ..rules import GROUP_WIDE, Rules
from ..states import BatchStatus, Status
from ..task import Task, replace
from . import accounts, attempts, breaker, pace, permits
from .attempts import Key
from .batches import Work, ended, give_back, still_mine
from .rows import Change, Steps, by_ids, count, locked, open_attempts, write

SLICE_SECONDS = 1.0
"""How far ahead attempts are opened: an open attempt that a crash leaves behind is spent, so there should be few."""


LOCAL = "#local"
"""The path of what needs no call and so no permit: tasks the provider's own rules refuse."""


@dataclass(frozen=True, slots=True)
class Group:
    """One call to be made: the API path whose permit it needs (or :data:`LOCAL`), and the tasks it is about."""

    path: str
    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Answered:
    """One call that was made, or given up.

    Attributes:
        asked_at: the moment its attempts were opened, or the look was asked.
        extra_calls: API paths of further calls made for it (logins, halves, pages): they count as calls, too.
    """

    path: str
    asked_at: datetime
    answers: Mapping[int, Outcome | Look]
    extra_calls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Permit:
    """One call that may be made, its attempts open.

    Attributes:
        leave_after: the boottime before which it may not leave.
        leave_by: the boottime after which it is too late: it would crowd the provider's minute.
        asked_at: the moment of opening.
        tasks: those still in the batch; each task's ``attempts`` is the number of its open attempt.
    """

    path: str
    leave_after: float
    leave_by: float
    asked_at: datetime
    tasks: tuple[Task, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """What a step allows.

    Attributes:
        permits: calls to make now.
        granted: the groups these permits are for, and those of which no task was left to send.
        wait_until: the boottime at which the next permit may be had, when there was none.
        stop: the account is paused or its breaker open: make no more calls.
    """

    permits: tuple[Permit, ...] = ()
    granted: frozenset[Group] = frozenset()
    wait_until: float | None = None
    stop: bool = False


def advance(
    t: Transaction,
    work: Work,
    told: Sequence[Answered],
    groups: Sequence[Group],
    rng: Random,
    *,
    begun: bool = False,
) -> Step:
    """Record what came back and open the next attempts. Recording twice is harmless: what is closed tells nothing.

    Args:
        t: where.
        work: the batch.
        told: what came back since the last step.
        groups: the calls to be made next.
        rng: dice for the waits.
        begun: this very transaction has begun the batch: nothing was told, and the batch is locked.

    Raises:
        StaleBatch: the batch was lost; its attempts were closed by the rescue, and nothing here is written.
    """
    account = standing(t, work, begun=begun)
    ids = {*_ids(told), *(task_id for group in groups for task_id in group.ids)}
    # Only this batch's own steps, and its rescue, close its attempts: under the batch's lock this does not change.
    open_ones = {} if begun else open_attempts(t, ids, batch_id=work.id)
    told = [each for each in told if not open_ones.keys().isdisjoint(each.answers)]
    heard = learned(t, work, account, told)
    grants = {} if heard.stop else permitted(t, work.rules, groups, heard.paths)
    found = _tasks_of(t, told, grants)
    changes, outcomes = _closing(found, open_ones, told, Context(work.rules, t.now, rng))
    permits_, opening = _opening(t, {i: task for i, task in found.items() if i not in open_ones}, grants, work)
    steps = write(t, [*changes, *opening])
    steps.update(heard.steps)
    steps.update(attempts.closed(t, work.rules.account, work.id, outcomes))
    if opening:
        attempts.opened(t, work.id, [now for _, now in opening])
    count(t, steps)
    return Step(tuple(permits_), frozenset(grants), waiting(t, groups, grants, heard.paths), heard.stop)


def standing(t: Transaction, work: Work, *, begun: bool) -> accounts.Account | None:
    """The batch's account, both under lock.

    Whoever began the batch in this transaction has nothing to say of the account yet, and only reads it.

    Raises:
        StaleBatch: the batch is not ours any more.
    """
    if begun:
        return accounts.read(t, work.rules.account)
    account = accounts.locked(t, work.rules.account)
    still_mine(t, work)
    return account


def finish(t: Transaction, work: Work, counts: Mapping[str, int], *, rest: Collection[int] | None = None) -> None:
    """The batch is done: what was never sent goes back.

    A batch that still owes the answer to an open attempt is not done: its lease ends, and the rescue finds it.

    Args:
        t: where.
        work: the batch.
        counts: what came of it, for people's eyes.
        rest: the tasks without a recorded answer, of which there may be none; None: any of its tasks.

    Raises:
        StaleBatch: somebody else ended it.
    """
    if work.probe or rest is None or rest:
        accounts.locked(t, work.rules.account)
        still_mine(t, work)
        owes = open_attempts(t, (task.id for task in work.tasks), batch_id=work.id)
        give_back(t, work)
        if owes:
            return
        breaker.probe_over(t, work.rules, work.operation, work.id)
    ended(t, work.id, BatchStatus.DONE, counts)


@dataclass(frozen=True, slots=True)
class Heard:
    """What calls say of the account.

    Attributes:
        stop: make no more calls.
        paths: the group's API paths as they are now.
        steps: how totals move.
    """

    stop: bool
    paths: Mapping[str, permits.Path] = field(default_factory=dict)
    steps: Steps = field(default_factory=Steps)


def learned(t: Transaction, work: Work, account: accounts.Account | None, told: Sequence[Answered]) -> Heard:
    """What calls say of the account, its paths and its breaker."""
    if account is None:
        return Heard(stop=True)
    state, paths = pace.read(t, work.rules, work.operation)
    calls = [each for each in told if each.path != LOCAL]
    answers = [(each.asked_at, tuple(each.answers.values())) for each in calls]
    account = accounts.learned(t, account, work.rules, answers, probe=work.probe)
    healthy = breaker.heard(t, work.rules, work.operation, state, _health(calls), batch_id=work.id)
    stop = not (healthy and account.lets_act(probe=work.probe))
    return Heard(stop, _paced(t, work.rules, calls, paths), calls_made(work, calls))


def _paced(
    t: Transaction, rules: Rules, calls: Sequence[Answered], paths: Mapping[str, permits.Path]
) -> Mapping[str, permits.Path]:
    """The paths once answers that ask for patience moved theirs; one that went through ends unnamed waits' growth."""
    told = [(each.path, answer) for each in calls for answer in each.answers.values()]
    throttled = [(path, asked) for path, answer in told if (asked := _patience(answer)) is not None]
    permits.penalize(t, rules, throttled)
    through = {path for path, answer in told if not isinstance(answer, Throttled | Deferred | Unknown | Unsent)}
    if any(path in paths and paths[path].throttles for path in (*through, GROUP_WIDE)):
        permits.relieve(t, rules, through)
    return permits.paths_of(t, rules) if throttled else paths


def _patience(answer: Outcome | Look) -> Throttled | None:
    """What an answer asks for: its path waits, whatever the answer means for the task."""
    if isinstance(answer, Unknown) and answer.wait_seconds is not None:
        return Throttled(wait_seconds=answer.wait_seconds, code=answer.code, message=answer.message)
    return answer if isinstance(answer, Throttled) else None


def _health(calls: Sequence[Answered]) -> list[str]:
    """A word per call without a usable answer, '' per call with one; calls that never left say nothing."""
    words = []
    for each in calls:
        answers = [a for a in each.answers.values() if not isinstance(a, Unsent)]
        if not answers:
            continue
        bad = [a for a in answers if isinstance(a, Deferred | Unknown)]
        words.append((bad[0].message or bad[0].name) if len(bad) == len(answers) else "")
    return words


def calls_made(work: Work, calls: Sequence[Answered]) -> Steps:
    """Every HTTP call counts, by operation."""
    made = sum(
        len(each.extra_calls) + any(not isinstance(a, Unsent | Deferred) for a in each.answers.values())
        for each in calls
    )
    return Steps({(work.rules.account, f"calls:{work.operation}"): made})


def permitted(
    t: Transaction, rules: Rules, groups: Sequence[Group], paths: Mapping[str, permits.Path]
) -> dict[Group, datetime]:
    """The groups that got a permit, in order, each with the moment it may leave."""
    wanted: dict[str, int] = {}
    for group in groups:
        if group.path != LOCAL:
            wanted[group.path] = wanted.get(group.path, 0) + 1
    moments = permits.take(t, rules, wanted, t.now + timedelta(seconds=SLICE_SECONDS), paths)
    left = {path: iter(list_) for path, list_ in moments.items()}
    granted = {group: t.now if group.path == LOCAL else next(left[group.path], None) for group in groups}
    return {group: moment for group, moment in granted.items() if moment is not None}


def waiting(
    t: Transaction, groups: Sequence[Group], grants: Mapping[Group, datetime], paths: Mapping[str, permits.Path]
) -> float | None:
    """When the first of the groups may be tried again, if none got a permit."""
    if grants or not groups:
        return None
    return t.not_before(min(permits.free_at(paths, group.path, t.now) for group in groups))


def _ids(told: Iterable[Answered]) -> list[int]:
    return [task_id for each in told for task_id in each.answers]


def _tasks_of(t: Transaction, told: Sequence[Answered], granted: Iterable[Group]) -> dict[int, Task]:
    ids = {*_ids(told), *(task_id for group in granted for task_id in group.ids)}
    return {task.id: task for task in locked(t, by_ids(ids))} if ids else {}


def _closing(
    found: Mapping[int, Task], open_ones: Mapping[int, int], told: Sequence[Answered], context: Context
) -> tuple[list[Change], dict[Key, Outcome]]:
    """The tasks whose open attempt is answered, and the attempts to close. What is closed already is left alone."""
    changes: list[Change] = []
    outcomes: dict[Key, Outcome] = {}
    for each in told:
        for task_id, outcome in each.answers.items():
            if task_id in open_ones and task_id in found and not isinstance(outcome, Reading):
                outcomes[Key(task_id, open_ones[task_id])] = outcome
                changes.append((found[task_id], answered(found[task_id], outcome, context)))
    return changes, outcomes


def _opening(
    t: Transaction, found: Mapping[int, Task], grants: Mapping[Group, datetime], work: Work
) -> tuple[list[Permit], list[Change]]:
    """The attempts to open: of tasks still in this batch and within their limit."""
    permits_: list[Permit] = []
    changes: list[Change] = []
    for group, moment in grants.items():
        mine = [found[i] for i in group.ids if i in found and _sendable(found[i], work)]
        opened = [replace(task, attempts=task.attempts + 1) for task in mine]
        changes += zip(mine, opened, strict=True)
        if opened:
            permits_.append(Permit(group.path, *permits.leaving(t, moment), t.now, tuple(opened)))
    return permits_, changes


def _sendable(task: Task, work: Work) -> bool:
    mine = task.status is Status.IN_FLIGHT and task.batch_id == work.id
    return mine and task.spent < task.limit(work.rules)
