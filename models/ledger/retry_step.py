"""One step of a retry batch: what came back is recorded and the next attempts are opened, in one transaction.

The record comes first, always: an attempt is committed before its call may leave. A step locks in the order that
everybody keeps (account, batch, limits, tasks), so steps of different batches never wait in a circle.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from ..lifecycle import Context, answered
from ..outcome import Outcome, Reading, Unreadable
from ..rules import Rules
from ..sql.db import Transaction
from ..states import BatchStatus, Operation, Status
from ..task import Task, replace
from . import accounts, attempts, breaker, contexts, permits
from .account_state import LOCAL, CallResult, account_state, learn
from .attempts import Closing, Key
from .batches import Work, end, give_back, lock_own, remainder
from .holds import note_holds
from .rows import Change, free_by_ids, unanswered, write
from .totals import count

SLICE_SECONDS = 1.25
"""How far ahead attempts are opened: an open attempt that a crash leaves behind is spent, so there should be few. At a
call a second, a usual pace, the next one is opened as the answer to the one before it is recorded."""
LEAD_SECONDS = 0.25
"""So long before its moment the next call is opened at the latest: a step takes time, and no pace may be lost."""


@dataclass(frozen=True, slots=True)
class Group:
    """One call to be made: the API path whose permit it needs (or ``LOCAL``) and the tasks it is about."""

    path: str
    ids: tuple[int, ...]


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
        wait_until: the boottime at which to ask for the next permit, when there was not one for each group.
        stop: the account is paused or its breaker open: make no more calls.
        owed: tasks whose answer could not be recorded yet, because somebody else has locked their rows.
    """

    permits: tuple[Permit, ...] = ()
    granted: frozenset[Group] = frozenset()
    wait_until: float | None = None
    stop: bool = False
    owed: frozenset[int] = frozenset()


def advance_retries(
    t: Transaction,
    work: Work,
    news: Sequence[CallResult],
    groups: Sequence[Group],
    rng: Random,
    *,
    begun: bool = False,
    calm: bool = False,
) -> Step:
    """Record what came back and open the next attempts. Recording twice is harmless: what is closed tells nothing.

    Args:
        t: where.
        work: the batch.
        news: what came back since the last step.
        groups: the calls to be made next.
        rng: dice for the waits.
        begun: this very transaction has begun the batch: there is no news, and the batch is locked.
        calm: nobody here knows of trouble with the account, and nothing will be given back in this transaction.

    Raises:
        StaleBatch: the batch was lost; its attempts were closed by the rescue, and nothing here is written.
    """
    before = account_state(t, work, news, begun=begun, calm=calm)
    ids = {*_ids(news), *(task_id for group in groups for task_id in group.ids)}
    # Only this batch's own steps, and its rescue, close its attempts: under the batch's lock this does not change.
    open_ones = {} if begun else unanswered(t, ids, batch_id=work.id)
    news = [each for each in news if not open_ones.keys().isdisjoint(each.answers)]
    heard = learn(t, work, before, news)
    grants = {} if heard.stop else take_permits(t, work.rules, groups, heard.paths)
    found = _tasks_of(t, news, grants)
    owed = frozenset(open_ones.keys() & {*_ids(news)} - found.keys())
    context = contexts.context(t, work.rules, rng)
    changes, outcomes = closing(found, open_ones, news, context, probe=work.probe)
    permits_, opened = opening(t, {i: task for i, task in found.items() if i not in open_ones}, grants, work)
    steps = write(t, changes)
    note_holds(t, changes)
    steps.update(heard.steps)
    steps.update(attempts.close_attempts(t, {k: Closing(work.rules.account, work.id, o) for k, o in outcomes.items()}))
    write(t, opened)  # by itself: of tasks that all move alike only the ids are sent
    attempts.open_attempts(t, [now for _, now in opened])
    count(t, steps)
    wait_until = waiting(t, work.rules, groups, grants, heard.paths)
    return Step(tuple(permits_), frozenset(grants), wait_until, heard.stop, owed)


def finish(t: Transaction, work: Work, counts: Mapping[str, int], *, rest: Collection[int] | None = None) -> None:
    """The batch is done: what was never sent goes back.

    A batch of which an attempt is open or a task cannot be given back is not done: its lease ends, and the rescue
    finds it.

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
        lock_own(t, work)
        give_back(t, work)
        if work.operation is Operation.RETRY and remainder(t, work.id, [task.id for task in work.tasks]):
            return
        breaker.end_probe(t, work.rules, work.operation, work.id)
    end(t, work.id, BatchStatus.DONE, counts)


def take_permits(
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
    t: Transaction,
    rules: Rules,
    groups: Sequence[Group],
    grants: Mapping[Group, datetime],
    paths: Mapping[str, permits.Path],
) -> float | None:
    """When to ask again for those of the groups that got no permit."""
    interval = timedelta(seconds=rules.interval_seconds)
    behind = {group.path: moment + interval for group, moment in grants.items()}  # the last one's of each path stays
    free = [
        max(permits.free_at(paths, path, t.now), behind.get(path, t.now))
        for path in {group.path for group in groups if group not in grants}
    ]
    return t.not_before(min(free) - timedelta(seconds=LEAD_SECONDS)) if free else None


def _ids(news: Iterable[CallResult]) -> list[int]:
    return [task_id for each in news for task_id in each.answers]


def _tasks_of(t: Transaction, news: Sequence[CallResult], granted: Iterable[Group]) -> dict[int, Task]:
    ids = {*_ids(news), *(task_id for group in granted for task_id in group.ids)}
    return {task.id: task for task in free_by_ids(t, ids)} if ids else {}


def closing(
    found: Mapping[int, Task],
    open_ones: Mapping[int, int],
    news: Sequence[CallResult],
    context: Context,
    *,
    probe: bool,
) -> tuple[list[Change], dict[Key, Outcome]]:
    """The tasks whose open attempt is answered, and the attempts to close. What is closed already is left alone."""
    changes: list[Change] = []
    outcomes: dict[Key, Outcome] = {}
    for each in news:
        for task_id, outcome in each.answers.items():
            if task_id in open_ones and task_id in found and not isinstance(outcome, Reading | Unreadable):
                outcomes[Key(task_id, open_ones[task_id])] = outcome
                changes.append((found[task_id], answered(found[task_id], outcome, context, probe=probe)))
    return changes, outcomes


def opening(
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
