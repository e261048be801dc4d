"""One step of many batches: what their calls brought is recorded and their next calls are opened, in one transaction.

A transaction costs what it costs once, however many batches share it, and every statement here is about all of them.
Only plain steps share: of batches that are ours and free, of accounts without trouble, with news that is good. All
others are left out before anything of theirs is written, and are done alone, by :mod:`.retry_step` and
:mod:`.check_step`: so nothing that happens to one of them can happen to its neighbours.

Nothing here waits for a lock. What somebody else holds is left out, so that two groups which hold the same accounts in
opposite order cannot wait in a circle. Permits are taken from rows that are locked, for tasks that are locked.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from sqlalchemy import Row, select

from ..lifecycle import Context
from ..outcome import Reading
from ..rules import Rules
from ..sql.db import Transaction
from ..sql.one_of import listed, one_of_named
from ..sql.tables import batches
from ..states import BatchStatus, Operation
from ..task import Task
from . import accounts, attempts, contexts, pace, permits
from .account_state import LOCAL, AccountState, CallResult, calls_made, is_good
from .attempts import Closing, Key
from .batches import Work, begin_all, claimed, end_all, lock_free_own
from .check_step import archive, checking, decide
from .claims import STANDSTILL
from .holds import note_holds
from .permits import Place
from .retry_step import LEAD_SECONDS, SLICE_SECONDS, Group, Permit, Step, closing, opening
from .rows import Change, by_id, free_by_ids, unanswered_anywhere, write
from .totals import Steps, count

BUSY_SECONDS = 0.05
"""How soon a path is asked again that somebody else has locked."""


@dataclass(frozen=True, slots=True)
class WantedStep:
    """A step that a begun batch wants to make.

    Attributes:
        news: what came back since its last one.
        groups: the calls to be made next.
        asked: of a check batch, the attempt number each task had when it was checked.
        counts: what came of the batch, where this is its last step; None where it is not.
    """

    work: Work
    news: Sequence[CallResult]
    groups: Sequence[Group]
    asked: Mapping[int, int] = field(default_factory=dict)
    counts: Mapping[str, int] | None = None

    @property
    def is_retry(self) -> bool:
        """Whether its calls are retries, not checks."""
        return self.work.operation is Operation.RETRY

    @property
    def answered(self) -> frozenset[int]:
        """The tasks there is news about."""
        return frozenset(task_id for each in self.news for task_id in each.answers)

    @property
    def ids(self) -> frozenset[int]:
        """The tasks it is about."""
        return self.answered.union(*(group.ids for group in self.groups))

    @property
    def places(self) -> frozenset[Place]:
        """Where it needs permits."""
        return frozenset((self.work.rules.group, group.path) for group in self.groups)

    @property
    def is_plain(self) -> bool:
        """Whether it may share a transaction, as far as it can be seen without one."""
        local = any(group.path == LOCAL for group in self.groups)
        return not (self.work.probe or local) and all(map(_is_plain, self.news))


def _is_plain(each: CallResult) -> bool:
    return each.path != LOCAL and is_good(each) and all(answer.pace is None for answer in each.answers.values())


def begin_together(t: Transaction, workers: Mapping[UUID, str], rules_of: Mapping[str, Rules]) -> dict[UUID, Work]:
    """Begin those of these queued batches that nothing stands in the way of, each under the worker's name for it.

    Left out are those that somebody else has locked or begun, or that stood still for long, and those of accounts or
    providers that nobody here knows: :func:`.batches.begin` says what becomes of them.
    """
    rows = [row for row in t.rows(_QUEUED, ids=listed(workers)) if _is_known(t, row, rules_of)]
    leases = {row.id: t.now + timedelta(seconds=rules_of[row.account].lease_seconds) for row in rows}
    begin_all(t, {row.id: (workers[row.id], leases[row.id]) for row in rows})
    found = {task.id: task for task in claimed(t, (i for row in rows for i in row.task_ids))}
    works = {}
    for row in rows:
        operation = Operation(row.operation)
        mine = (found[i] for i in sorted(row.task_ids) if i in found)
        tasks = tuple(x for x in mine if operation is Operation.CHECK or x.batch_id == row.id)
        until, rules = leases[row.id], rules_of[row.account]
        works[row.id] = Work(row.id, workers[row.id], rules, operation, row.probe, until, t.not_after(until), tasks)
    return works


_QUEUED = (
    select(batches)
    .where(one_of_named(batches.c.id, "ids"), batches.c.status == BatchStatus.QUEUED.value)
    .order_by(batches.c.id)
    .with_for_update(skip_locked=True)
)


def _is_known(t: Transaction, batch: Row[Any], rules_of: Mapping[str, Rules]) -> bool:
    rules = rules_of.get(batch.account)
    return rules is not None and rules.provider == batch.provider and t.now - batch.created_at <= STANDSTILL


def advance_together(t: Transaction, wanted: Sequence[WantedStep], rng: Random) -> dict[UUID, Step]:
    """Make those of these steps that nothing stands in the way of; by batch.

    Args:
        t: where.
        wanted: plain steps, of which no two are about one batch or one task.
        rng: dice for the waits.
    """
    own = lock_free_own(t, (w.work for w in wanted))
    ours = [w for w in wanted if w.work.id in own]
    free = permits.lock_free(t, {place for w in ours for place in w.places})
    states = _states(t, ours)
    plain = [w for w in ours if _is_untroubled(states[w.work.id])]
    deal = _Deal(t, states, free)
    for turn in range(max((len(w.groups) for w in plain), default=0)):
        for w in plain:
            deal.give(w, turn)
    found, writing = _Found.by(t, plain, deal), _Writing()
    made = {w.work.id: _made(t, w, found, deal, contexts.context(t, w.work.rules, rng), writing) for w in plain}
    writing.write(t)
    return made


def _states(t: Transaction, wanted: Sequence[WantedStep]) -> dict[UUID, AccountState]:
    """How the account of each stands. A doubted moment is trouble: it is corrected where a step is made alone."""
    rows = accounts.read_many(t, {w.work.rules.account for w in wanted})
    stored = pace.stored(t, [(w.work.rules, w.work.operation) for w in wanted])
    found = {}
    for w in wanted:
        rules, own = w.work.rules, stored[w.work.rules.account, w.work.operation]
        account = None if own.is_doubted(t, rules) else rows.get(rules.account)
        found[w.work.id] = AccountState(account, *own.believed(t, rules))
    return found


def _is_untroubled(state: AccountState) -> bool:
    """Whether nothing of the account is written: good news may also end a growing wait."""
    return state.untroubled and not any(path.throttles for path in state.paths.values())


class _Deal:
    """Deals the permits there are in turns, so that of the batches of one path none takes all of them.

    Args:
        free: the places, a limit group and its path, whose rows are locked.
    """

    def __init__(self, t: Transaction, states: Mapping[UUID, AccountState], free: frozenset[Place]) -> None:
        self._now, self._horizon = t.now, t.now + timedelta(seconds=SLICE_SECONDS)
        self._states, self._free = states, free
        self._next: dict[Place, datetime] = {}
        self.grants: dict[UUID, dict[Group, datetime]] = defaultdict(dict)

    def give(self, wanted: WantedStep, turn: int) -> None:
        """A permit for the batch's next call, where there is one."""
        mine = self.grants[wanted.work.id]
        if len(mine) < turn or turn >= len(wanted.groups):
            return
        group, rules = wanted.groups[turn], wanted.work.rules
        moment = self.free_at(wanted, group)
        if (rules.group, group.path) in self._free and moment <= self._horizon:
            mine[group] = moment
            self._next[rules.group, group.path] = moment + timedelta(seconds=rules.interval_seconds)

    def free_at(self, wanted: WantedStep, group: Group) -> datetime:
        """When the next call on its path may leave."""
        dealt = self._next.get((wanted.work.rules.group, group.path))
        return dealt or permits.free_at(self._states[wanted.work.id].paths, group.path, self._now)

    def taken(self, wanted: WantedStep, permits_: Iterable[Permit]) -> dict[Place, datetime]:
        """The next moments of paths of which the batch makes use: a permit that no task needs is not taken."""
        rules = wanted.work.rules
        return {(rules.group, each.path): self._next[rules.group, each.path] for each in permits_}

    def wait_until(self, wanted: WantedStep) -> datetime | None:
        """When to ask for those of its calls that got none; soon, where somebody else has a path at the moment."""
        left = [group for group in wanted.groups if group not in self.grants[wanted.work.id]]
        if not left:
            return None
        lead, soon = timedelta(seconds=LEAD_SECONDS), self._now + timedelta(seconds=BUSY_SECONDS)
        return min(max(self.free_at(wanted, group) - lead, soon) for group in left)


@dataclass(slots=True)
class _Writing:
    """What the steps of a group write, gathered, so that each kind of it is one statement."""

    changes: list[Change] = field(default_factory=list)
    opened: list[Change] = field(default_factory=list)
    closings: dict[Key, Closing] = field(default_factory=dict)
    results: dict[Key, str] = field(default_factory=dict)
    kept: list[tuple[Task, Reading]] = field(default_factory=list)
    taken: dict[Place, datetime] = field(default_factory=dict)
    ends: dict[UUID, Mapping[str, int]] = field(default_factory=dict)
    steps: Steps = field(default_factory=Steps)

    def write(self, t: Transaction) -> None:
        """In the order that everybody keeps, as far as rows are not locked already."""
        self.steps.update(write(t, self.changes))
        note_holds(t, self.changes)
        write(t, self.opened)  # by themselves: of tasks that all move alike only the ids are sent
        self.steps.update(attempts.close_attempts(t, self.closings))
        attempts.open_attempts(t, [now for _, now in self.opened])
        attempts.settle_attempts(t, self.results)
        archive(t, self.kept)
        permits.move(t, self.taken)
        end_all(t, self.ends)
        count(t, self.steps)


@dataclass(frozen=True, slots=True)
class _Found:
    """The rows that a group's steps are about: tasks under lock, those to be checked as they are, open attempts."""

    locked: Mapping[int, Task]
    to_check: Sequence[Task]
    open_ones: Mapping[int, tuple[int, UUID]]

    @classmethod
    def by(cls, t: Transaction, wanted: Sequence[WantedStep], deal: _Deal) -> "_Found":
        """Read them, in three statements."""
        retried, checked, to_check = set[int](), set[int](), set[int]()
        for w in wanted:
            sent = {task_id for group in deal.grants[w.work.id] for task_id in group.ids}
            if w.is_retry:
                retried |= w.answered | sent
            else:
                checked |= w.answered
                to_check |= sent
        open_ones = unanswered_anywhere(t, retried)
        locked = {task.id: task for task in free_by_ids(t, retried | checked)}
        return cls(locked, by_id(t, to_check) if to_check else (), open_ones)


def _made(t: Transaction, w: WantedStep, found: _Found, deal: _Deal, context: Context, writing: _Writing) -> Step:
    """Decide one step, and add to what is written."""
    make = _retries if w.is_retry else _checks
    made, owed = make(t, w, found, deal.grants[w.work.id], context, writing)
    writing.taken |= deal.taken(w, made)
    if w.counts is not None and not owed:
        writing.ends[w.work.id] = w.counts
    until = deal.wait_until(w)
    wait_until = None if until is None else t.not_before(until)
    return Step(tuple(made), frozenset(deal.grants[w.work.id]), wait_until, owed=owed)


_Made = tuple[Sequence[Permit], frozenset[int]]
"""The calls to make now, and the tasks whose answer is owed."""


def _retries(
    t: Transaction, w: WantedStep, found: _Found, grants: Mapping[Group, datetime], context: Context, writing: _Writing
) -> _Made:
    mine = {i: number for i, (number, batch) in found.open_ones.items() if batch == w.work.id}
    news = [each for each in w.news if not mine.keys().isdisjoint(each.answers)]
    changes, outcomes = closing(found.locked, mine, news, context, probe=False)
    permits_, opened = opening(t, {i: x for i, x in found.locked.items() if i not in found.open_ones}, grants, w.work)
    writing.changes += changes
    writing.opened += opened
    writing.closings |= {key: Closing(w.work.rules.account, w.work.id, each) for key, each in outcomes.items()}
    writing.steps.update(calls_made(w.work, news))
    return permits_, frozenset(mine.keys() & w.answered - found.locked.keys())


def _checks(
    t: Transaction, w: WantedStep, found: _Found, grants: Mapping[Group, datetime], context: Context, writing: _Writing
) -> _Made:
    decided = decide(w.news, w.asked, found.locked, context, probe=False)
    writing.changes += decided.changes
    writing.results |= decided.results
    writing.kept += decided.kept
    writing.steps.update(calls_made(w.work, w.news))
    return checking(t, grants, found.to_check), frozenset()
