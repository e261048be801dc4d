"""One step of a check batch: what looks said is applied and the next looks get their permits, in one transaction."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from random import Random

from sqlalchemy import insert, select

from ..db import Transaction
from ..lifecycle import Context, Settled, read, unread
from ..outcome import Look, Outcome, Reading, State
from ..rowset import rowset
from ..states import AT_WORK_STATES, FAILED_STATES, FOLLOWED_STATES, Operation
from ..tables import archives, tasks
from ..task import Task
from . import attempts, contexts, permits
from .attempts import Key
from .batches import Work
from .holds import note_holds
from .rows import Change, by_ids, free_by_ids, write
from .sending import Group, Permit, Step, permitted, waiting
from .standing import Answered, learned, standing
from .totals import Steps, count

_ENDS = (State.SUCCEEDED, State.FAILED, State.CANCELED)


def advance_checks(
    t: Transaction,
    work: Work,
    told: Sequence[Answered],
    groups: Sequence[Group],
    asked: Mapping[int, int],
    rng: Random,
    *,
    begun: bool = False,
    calm: bool = False,
) -> Step:
    """Apply what looks said and take permits for the next.

    Args:
        t: where.
        work: the batch.
        told: what came back since the last step.
        groups: the calls to be made next.
        asked: the attempt number each task had when it was looked at: a reading of an older attempt is dropped, and
            so is one whose task has left the states that looks are for.
        rng: dice for the waits.
        begun: this very transaction has begun the batch.
        calm: as for :func:`.sending.advance`.

    Raises:
        StaleBatch: the batch was lost, and its looks are old.
    """
    before = standing(t, work, told, begun=begun, calm=calm)
    heard = learned(t, work, before, told)
    grants = {} if heard.stop else permitted(t, work.rules, groups, heard.paths)
    steps = _apply(t, told, asked, contexts.context(t, work.rules, rng), probe=work.probe)
    steps.update(heard.steps)
    count(t, steps)
    fresh = _wanting(work.tasks) if begun else _fresh(t, (task_id for group in grants for task_id in group.ids))
    granted = []
    for group, moment in grants.items():
        wanted = tuple(fresh[task_id] for task_id in group.ids if task_id in fresh)
        if wanted:
            granted.append(Permit(group.path, *permits.leaving(t, moment), t.now, wanted))
    return Step(tuple(granted), frozenset(grants), waiting(t, work.rules, groups, grants, heard.paths), heard.stop)


def wants_look(task: Task) -> bool:
    """Whether a look may still be applied to the task."""
    if task.status in FOLLOWED_STATES:
        return True
    return task.status in (*FAILED_STATES, *AT_WORK_STATES) and task.next is Operation.CHECK


def _fresh(t: Transaction, ids: Iterable[int]) -> dict[int, Task]:
    wanted = set(ids)
    if not wanted:
        return {}
    return _wanting(Task.of(row) for row in t.rows(select(tasks).where(by_ids(wanted))))


def _wanting(found: Iterable[Task]) -> dict[int, Task]:
    return {task.id: task for task in found if wants_look(task)}


def _apply(
    t: Transaction, told: Sequence[Answered], asked: Mapping[int, int], context: Context, *, probe: bool
) -> Steps:
    looks = {task_id: (look, each) for each in told for task_id, look in each.answers.items()}
    if not looks:
        return Steps()
    changes: list[Change] = []
    results: dict[Key, str] = {}
    kept: list[tuple[Task, Reading]] = []
    # What somebody else has locked is due again by itself when its claim is over.
    for task in free_by_ids(t, looks):
        look, each = looks[task.id]
        if task.attempts != asked.get(task.id) or not wants_look(task) or _older(task, each, context.now):
            continue
        settled = _after(task, look, each, context, probe=probe)
        changes.append((task, settled.task))
        if settled.result:
            results[Key(task.id, task.attempts)] = settled.result
        if isinstance(look, Reading) and look.result is not None and look.state in _ENDS:
            kept.append((task, look))
    steps = write(t, changes)
    note_holds(t, changes)
    attempts.settled(t, results)
    if context.rules.archives:
        _archive(t, kept)
    return steps


def _older(task: Task, each: Answered, now: datetime) -> bool:
    """A look that was asked before the last one that was applied."""
    seen, seen_at = task.seen, task.seen_at(now)
    return seen is not None and seen_at is not None and seen.number == task.attempts and each.asked_at < seen_at


def _after(task: Task, look: Outcome | Look, each: Answered, context: Context, *, probe: bool) -> Settled:
    if isinstance(look, Reading):
        return read(task, look, each.asked_at, context)
    return Settled(unread(task, look, context, probe=probe))


def _archive(t: Transaction, kept: Sequence[tuple[Task, Reading]]) -> None:
    """Keep what the next retry overwrites, once per attempt."""
    rows = [
        {"task_id": task.id, "number": task.attempts, "saved_at": t.now, "result": dict(look.result or {})}
        for task, look in kept
    ]
    if not rows:
        return
    names = ("task_id", "number", "saved_at", "result")
    r = rowset(t.dialect, rows, archives, names)
    known = select(archives.c.id).where(archives.c.task_id == r["task_id"], archives.c.number == r["number"]).exists()
    t.execute(insert(archives).from_select(names, select(*(r[name] for name in names)).where(~known)))
