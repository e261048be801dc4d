"""What owners and operators do to tasks: many at once, under lock, recorded."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from random import Random

from sqlalchemy import select

from .. import lifecycle
from ..errors import BadInput
from ..lifecycle import ActionReply, Context
from ..rules import Rules, rules_without_settings
from ..sql.db import Transaction
from ..sql.db_errors import blame, is_row_fault
from ..sql.one_of import one_of
from ..sql.tables import tasks
from ..states import Status
from ..task import Task, replace
from . import attempts, quarantine
from .accounts import providers
from .action_log import Who, acted_on
from .holds import taken_over
from .rows import by_id, locked_by_ids, store, unanswered

Act = Callable[[Task, Context, bool], ActionReply]


@dataclass(frozen=True, slots=True)
class ActionResult:
    """What became of one task: as it is now, whether it changed, and a hint where there is one to give."""

    task: Task
    changed: bool
    hint: str = ""


ACTIONS: Mapping[str, Act] = {
    "hold": lambda task, context, is_open: lifecycle.hold(task, context, is_open=is_open),
    "release": lambda task, context, _: lifecycle.release(task, context),
    "stop": lambda task, context, is_open: lifecycle.stop(task, context, is_open=is_open),
    "retry": lambda task, context, _: lifecycle.retry_now(task, context),
    # A program's wish, which releases nothing that an operator holds.
    "request": lambda task, context, _: lifecycle.retry_now(task, context, releases=False),
    "force": lambda task, context, _: lifecycle.force(task, context),
    "revive": lambda task, context, _: lifecycle.revive(task, context),
}


NEED_NO_RULES = frozenset({"hold", "release", "stop"})
"""What can be done to tasks whose limits nobody knows: none of it is a retry."""


def act(t: Transaction, what: str, ids: Sequence[int], rules_of: Mapping[str, Rules], who: Who) -> list[ActionResult]:
    """Do one of :data:`ACTIONS` to tasks; ids that do not exist are absent from the answer.

    Tasks of an account without rules can be put out of the way; what would retry them leaves them alone, with a hint:
    nobody knows their limits.
    """
    if what in NEED_NO_RULES:
        rules_of = {**_without_settings(t, ids, rules_of), **rules_of}
    news = _readmit(t, ids, rules_of) if what == "release" else []
    news += _change(t, [i for i in ids if i not in {each.task.id for each in news}], rules_of, ACTIONS[what])
    if what == "hold":
        news = _taken_over(t, news)
    acted_on(t, who, what, (each.task for each in news if each.changed))
    return news


def _taken_over(t: Transaction, news: Sequence[ActionResult]) -> list[ActionResult]:
    """What Redrive itself had held is the operator's from now on, whatever a policy says: that is a change, too."""
    ours = taken_over(t, [each.task.id for each in news if each.task.status is Status.HELD])
    return [ActionResult(each.task, changed=True) if each.task.id in ours else each for each in news]


def _without_settings(t: Transaction, ids: Sequence[int], rules_of: Mapping[str, Rules]) -> dict[str, Rules]:
    """Rules for accounts of these tasks that have none, by what is recorded of them, if anything is."""
    found = {row.account for row in t.rows(select(tasks.c.account).where(one_of(tasks.c.id, ids)).distinct())}
    recorded = providers(t) if found - rules_of.keys() else {}
    return {name: rules_without_settings(name, recorded.get(name)) for name in found - rules_of.keys()}


def _readmit(t: Transaction, ids: Sequence[int], rules_of: Mapping[str, Rules]) -> list[ActionResult]:
    """Let tasks out of quarantine whose rows can be read and written again; a row that still cannot is an error.

    Raises:
        BadInput: it names the task and what is wrong with it.
    """
    news = []
    for task_id, odd in sorted(quarantine.among(t, ids).items()):
        try:
            with t.connection.begin_nested():
                news += _let_out(t, task_id, rules_of)
        except Exception as error:
            if isinstance(error, BadInput) or not is_row_fault(error):
                raise
            words = f"is set aside, because {odd.why}; fix its row first: {blame(error)}"
            raise BadInput(f"task {task_id}: {words}") from None
    return news


def _let_out(t: Transaction, task_id: int, rules_of: Mapping[str, Rules]) -> list[ActionResult]:
    (task,) = locked_by_ids(t, [task_id])
    rules = rules_of[task.account]
    known = rules.capabilities
    # An account without settings may be of a provider that nobody knows, and then nobody knows its kinds.
    if known.provider and known.kind(task.kind) is None:
        raise BadInput(f"task {task_id}: {known.title} has no kind {task.kind!r}; stop it, and add it anew")
    made = attempts.of(t, task_id)
    numbered = replace(task, attempts=max([task.attempts, *made]))
    if numbered.status is Status.IN_FLIGHT:
        numbered = lifecycle.gave_back(numbered, t.now)
    out = lifecycle.readmitted(numbered, Context(rules, t.now), spent=sum(made.values()))
    store(t, [(task, out)])
    quarantine.forget(t, [task_id])
    return [ActionResult(out, changed=True)]


def report(
    t: Transaction,
    ids: Sequence[int],
    rules_of: Mapping[str, Rules],
    status: Status,
    *,
    at: datetime | None,
    reason: str,
) -> list[ActionResult]:
    """The owner says what became of tasks elsewhere."""

    def tell(task: Task, context: Context, is_open: bool) -> ActionReply:  # noqa: FBT001 - the shape of an Act
        return lifecycle.report(task, status, context, at=at, reason=reason, is_open=is_open)

    return _change(t, ids, rules_of, tell)


def _change(t: Transaction, ids: Sequence[int], rules_of: Mapping[str, Rules], act_on: Act) -> list[ActionResult]:
    """Decide on what is read; lock only what that would change, and decide again on what is locked.

    Inside a host's transaction a lock lasts as long as that does.

    Raises:
        Locked: somebody else holds a task that would change.
    """
    read = {task.id: task for task in by_id(t, ids)}
    news = dict(zip(read, _decided(t, [*read.values()], rules_of, act_on), strict=True))
    wanted = [i for i, each in news.items() if each.changed]
    if wanted:
        found = locked_by_ids(t, wanted)
        # Nothing is decided otherwise of a row that has not moved. Of one in flight, an attempt may be open by now.
        moved = [task for task in found if task != read[task.id] or task.status is Status.IN_FLIGHT]
        news |= {each.task.id: each for each in _decided(t, moved, rules_of, act_on)}
        again = [news[task.id] for task in found]
        store(t, [(was, each.task) for was, each in zip(found, again, strict=True)])
        quarantine.forget(
            t, [was.id for was, each in zip(found, again, strict=True) if _held_or_let_go(was, each.task)]
        )
        news = {i: each for i, each in news.items() if not each.changed} | {each.task.id: each for each in again}
    return [news[i] for i in sorted(news)]


def _held_or_let_go(was: Task, now: Task) -> bool:
    return (was.status is Status.HELD) != (now.status is Status.HELD)


def _decided(t: Transaction, found: Sequence[Task], rules_of: Mapping[str, Rules], act_on: Act) -> list[ActionResult]:
    unsettled = unanswered(t, _in_flight(found))
    dice, names = Random(), {task.account for task in found}  # noqa: S311 - for waits, not secrets
    contexts = {name: Context(rules_of[name], t.now, dice) for name in names if name in rules_of}
    return [_told(task, contexts.get(task.account), act_on, is_open=task.id in unsettled) for task in found]


def _told(task: Task, context: Context | None, act_on: Act, *, is_open: bool) -> ActionResult:
    if context is None:
        return ActionResult(task, changed=False, hint=_UNKNOWN.format(task.account))
    said = act_on(task, context, is_open)
    return ActionResult(said.task, said.task != task, said.hint)


def _in_flight(found: Iterable[Task]) -> list[int]:
    return [task.id for task in found if task.status is Status.IN_FLIGHT]


_UNKNOWN = "account {!r} is not configured here, so its limit is not known"
