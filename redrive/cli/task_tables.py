"""Tasks on a screen: a list of them, one with its history, one in words."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from rich.console import Group
from rich.text import Text

from redrive.models.explain import Explanation
from redrive.models.explain.obstacles import set_aside_words
from redrive.models.explain.words import ahead, clock, many
from redrive.models.queries import Action, Attempt, Done, History, TaskSetAside
from redrive.models.rules import Rules
from redrive.models.task import Task

from ..terminal import safe
from .context import console
from .render import Column, Grid, Paragraph, moment, status_text


def task_table(found: Sequence[Task], rules_of: Mapping[str, Rules], now: datetime) -> Grid:
    """A line per task."""
    lines = Grid(
        [
            Column("ID", right=True, names=True), Column("Retries", right=True), Column("Status"), Column("Next"),
            Column("Task", names=True), Column("Last error", spare=True),
        ]
    )  # fmt: skip
    for task in found:
        lines.add(
            str(task.id),
            _retries(task, rules_of.get(task.account)),
            status_text(task.status, task.dead_reason),
            _next(task, now).partition(" (")[0],
            f"{task.account} {_what(task)}",
            task.last_error,
        )
    return lines


def set_aside_table(found: Sequence[TaskSetAside], now: datetime) -> Grid:
    """A line per task, without a word of its row, which may be what is wrong."""
    lines = Grid(
        [
            Column("ID", right=True, names=True),
            Column("Account", names=True),
            Column("Since"),
            Column("Why", prose=True),
        ]
    )
    for each in found:
        lines.add(str(each.id), each.account, clock(each.since, now), set_aside_words(each.cause, each.why))
    return lines


def _what(task: Task) -> str:
    return " ".join(filter(None, (task.kind, task.external_id, task.sub_id)))


def _next(task: Task, now: datetime) -> str:
    if task.due_at is None:
        return ""
    return f"{task.next} {ahead(task.due_at, now)}"


def _retries(task: Task, rules: Rules | None) -> str:
    return f"{task.spent}/{task.limit(rules) if rules is not None else '?'}"


def history(found: History, rules_of: Mapping[str, Rules], now: datetime) -> None:
    """Print one task with its record."""
    task = found.task
    console.print(Text.assemble((f"Task {task.id} ", "bold"), safe(f"{task.account} {_what(task)}")))
    console.print(Group(*_facts(task, rules_of.get(task.account), now)))
    for grid in (_attempts(found.attempts, now), _actions(found.actions, now)):
        if grid is not None:
            console.print()
            console.print(grid)
    for archive in found.archives:
        console.print(f"Result kept {clock(archive.saved_at, now)}, of attempt {archive.number}: see --json")


def _facts(task: Task, rules: Rules | None, now: datetime) -> Iterator[Paragraph]:
    status = Text.assemble(status_text(task.status, task.dead_reason), f", {moment(task.status_since, now)}")
    yield Paragraph(status, indent=2, heading=f"{'status':{_NAMES}}")
    for name, value in _rows(task, rules, now):
        if value:
            yield Paragraph(value, indent=2, heading=f"{name:{_NAMES}}")


_NAMES = 14
"""As wide as the longest name of a fact, and two spaces."""


def _rows(task: Task, rules: Rules | None, now: datetime) -> Iterator[tuple[str, str]]:
    yield "next", _next(task, now)
    yield "retries", f"{_retries(task, rules)} spent, {many(task.attempts, 'attempt')}"
    yield "granted", str(task.granted or "")
    yield "wish", task.wish or ""
    yield "held from", task.held_from or ""
    yield "batch", str(task.batch_id or "")
    yield "seen", f"{task.seen.state}, {moment(task.seen.asked_at, now)}" if task.seen is not None else ""
    yield "failure", task.failure or ""
    yield "last error", task.last_error
    yield "provider ref", task.provider_ref
    yield "origin", task.origin
    yield "priority", str(task.priority or "")
    yield "params", json.dumps(dict(task.params), ensure_ascii=False) if task.params else ""
    yield "failed", moment(task.failed_at, now)
    yield "added", moment(task.created_at, now)


def _attempts(attempts: Sequence[Attempt], now: datetime) -> Grid | None:
    lines = Grid(
        [
            Column("#", right=True, names=True), Column("Opened", names=True), Column("Outcome"), Column("Spent"),
            Column("Answers"), Column("HTTP"), Column("Code"), Column("Words", prose=True),
        ],
        "Attempts",
    )  # fmt: skip
    for each in attempts:
        words = " → ".join(filter(None, (each.message, each.provider_ref and f"ref {each.provider_ref}", each.result)))
        outcome = Text(each.outcome or "open", "" if each.outcome else "cyan")
        spent, status = "yes" if each.spent else "", str(each.http_status or "")
        moment_, cause = clock(each.opened_at, now), each.cause or ""
        lines.add(str(each.number), moment_, outcome, spent, cause, status, each.provider_code, words)
    return lines if attempts else None


def _actions(actions: Sequence[Action], now: datetime) -> Grid | None:
    lines = Grid(
        [Column("When", names=True), Column("Who"), Column("What"), Column("Why", prose=True)], "What was done"
    )
    for each in actions:
        lines.add(clock(each.at, now), each.who, each.what, " ".join(filter(None, (each.why, each.detail))))
    return lines if actions else None


def actions_table(found: Sequence[Done], now: datetime) -> Grid:
    """A line per action."""
    lines = Grid(
        [
            Column("ID", right=True, names=True), Column("When", names=True), Column("Who", names=True), Column("What"),
            Column("Account"), Column("Task", right=True), Column("Why", prose=True),
        ]
    )  # fmt: skip
    for each in found:
        why = " ".join(filter(None, (each.why, each.detail)))
        lines.add(
            str(each.id), clock(each.at, now), each.who, each.what, each.account, str(each.task_id or ""), why
        )  # fmt: skip
    return lines


def explanation(answer: Explanation) -> None:
    """Print an answer: who and where first, the rest below it."""
    first, *rest = answer.lines
    console.print(Group(Paragraph(Text(safe(first), "bold")), *(Paragraph(line, indent=2) for line in rest), ""))
