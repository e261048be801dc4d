"""One step of a check batch: what checks found is applied and the next checks get their permits, in one transaction."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

from sqlalchemy import insert, select

from ..lifecycle import Context, Settled, read, unread
from ..outcome import CheckResult, Outcome, Reading, State
from ..sql.db import Transaction
from ..sql.rowset import rowset
from ..sql.tables import archives
from ..states import AT_WORK_STATES, FAILED_STATES, FOLLOWED_STATES, Operation
from ..task import Task
from . import attempts, contexts, permits
from .account_state import CallResult, account_state, learn
from .attempts import Key
from .batches import Work
from .holds import note_holds
from .retry_step import Group, Permit, Step, take_permits, waiting
from .rows import Change, by_id, free_by_ids, write
from .totals import Steps, count

_ENDS = (State.SUCCEEDED, State.FAILED, State.CANCELED)


def advance_checks(
    t: Transaction,
    work: Work,
    news: Sequence[CallResult],
    groups: Sequence[Group],
    asked: Mapping[int, int],
    rng: Random,
    *,
    begun: bool = False,
    calm: bool = False,
) -> Step:
    """Apply what checks found and take permits for the next.

    Args:
        t: where.
        work: the batch.
        news: what came back since the last step.
        groups: the calls to be made next.
        asked: the attempt number each task had when it was checked: a reading of an older attempt is dropped, and
            so is one whose task has left the states that checks are for.
        rng: dice for the waits.
        begun: this very transaction has begun the batch.
        calm: as for :func:`.retry_step.advance_retries`.

    Raises:
        StaleBatch: the batch was lost, and its checks are old.
    """
    before = account_state(t, work, news, begun=begun, calm=calm)
    heard = learn(t, work, before, news)
    grants = {} if heard.stop else take_permits(t, work.rules, groups, heard.paths)
    steps = _apply(t, news, asked, contexts.context(t, work.rules, rng), probe=work.probe)
    steps.update(heard.steps)
    count(t, steps)
    fresh = work.tasks if begun else by_id(t, (task_id for group in grants for task_id in group.ids))
    granted = checking(t, grants, fresh)
    return Step(granted, frozenset(grants), waiting(t, work.rules, groups, grants, heard.paths), heard.stop)


def checking(t: Transaction, grants: Mapping[Group, datetime], found: Iterable[Task]) -> tuple[Permit, ...]:
    """The calls to be made, each for those of its tasks that a check may still be applied to."""
    wanted = {task.id: task for task in found if wants_check(task)}
    calls = {group: tuple(wanted[i] for i in group.ids if i in wanted) for group in grants}
    return tuple(
        Permit(group.path, *permits.leaving(t, grants[group]), t.now, mine) for group, mine in calls.items() if mine
    )


def wants_check(task: Task) -> bool:
    """Whether a check may still be applied to the task."""
    if task.status in FOLLOWED_STATES:
        return True
    return task.status in (*FAILED_STATES, *AT_WORK_STATES) and task.next is Operation.CHECK


@dataclass(frozen=True, slots=True)
class Decided:
    """What checks came to.

    Attributes:
        results: what became of attempts whose run they found ended.
        kept: readings that the next retry overwrites at the provider.
    """

    changes: Sequence[Change] = ()
    results: Mapping[Key, str] = field(default_factory=dict)
    kept: Sequence[tuple[Task, Reading]] = ()


def decide(
    news: Sequence[CallResult], asked: Mapping[int, int], found: Mapping[int, Task], context: Context, *, probe: bool
) -> Decided:
    """What checks come to for the tasks that are at hand: of what somebody else has locked, the claim has an end."""
    changes: list[Change] = []
    results: dict[Key, str] = {}
    kept: list[tuple[Task, Reading]] = []
    by_task = {task_id: (answer, each) for each in news for task_id, answer in each.answers.items()}
    for task, answer, each in ((found[i], *told) for i, told in sorted(by_task.items()) if i in found):
        if task.attempts != asked.get(task.id) or not wants_check(task) or _older(task, each, context.now):
            continue
        settled = _after(task, answer, each, context, probe=probe)
        changes.append((task, settled.task))
        if settled.result:
            results[Key(task.id, task.attempts)] = settled.result
        if (
            context.rules.archives
            and isinstance(answer, Reading)
            and answer.result is not None
            and answer.state in _ENDS
        ):
            kept.append((task, answer))
    return Decided(changes, results, kept)


def _apply(
    t: Transaction, news: Sequence[CallResult], asked: Mapping[int, int], context: Context, *, probe: bool
) -> Steps:
    ids = {task_id for each in news for task_id in each.answers}
    if not ids:
        return Steps()
    decided = decide(news, asked, {task.id: task for task in free_by_ids(t, ids)}, context, probe=probe)
    steps = write(t, decided.changes)
    note_holds(t, decided.changes)
    attempts.settle_attempts(t, decided.results)
    archive(t, decided.kept)
    return steps


def _older(task: Task, each: CallResult, now: datetime) -> bool:
    """A check that was asked before the last one that was applied."""
    seen, seen_at = task.seen, task.seen_at(now)
    return seen is not None and seen_at is not None and seen.number == task.attempts and each.asked_at < seen_at


def _after(task: Task, found: Outcome | CheckResult, each: CallResult, context: Context, *, probe: bool) -> Settled:
    if isinstance(found, Reading):
        return read(task, found, each.asked_at, context)
    return Settled(unread(task, found, context, probe=probe))


def archive(t: Transaction, kept: Sequence[tuple[Task, Reading]]) -> None:
    """Keep what the next retry overwrites, once per attempt."""
    rows = [
        {"task_id": task.id, "number": task.attempts, "saved_at": t.now, "result": dict(found.result or {})}
        for task, found in kept
    ]
    if not rows:
        return
    names = ("task_id", "number", "saved_at", "result")
    r = rowset(t.dialect, rows, archives, names)
    known = select(archives.c.id).where(archives.c.task_id == r["task_id"], archives.c.number == r["number"]).exists()
    t.execute(insert(archives).from_select(names, select(*(r[name] for name in names)).where(~known)))
