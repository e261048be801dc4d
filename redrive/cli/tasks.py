"""Tasks on a screen: a list of them, one with its history, one in words."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from models.explain import Explanation
from models.explain.words import ahead, clock, many
from models.queries import Action, Attempt, History
from models.rules import Rules
from models.task import Task

from .context import console
from .render import moment, safe, status_text, table


def task_table(found: Sequence[Task], rules_of: Mapping[str, Rules], now: datetime) -> Table:
    """A line per task."""
    lines = table()
    for heading in ("ID", "Retries"):
        lines.add_column(heading, justify="right", no_wrap=True)
    lines.add_column("Status", no_wrap=True)
    lines.add_column("Next", no_wrap=True)
    lines.add_column("Task", overflow="fold")
    lines.add_column("Last words", no_wrap=True, overflow="ellipsis", style="dim")
    for task in found:
        lines.add_row(
            str(task.id),
            _retries(task, rules_of.get(task.account)),
            status_text(task.status, task.dead_reason),
            _next(task, now).partition(" (")[0],
            f"{task.account} {_what(task)}",
            safe(task.last_error),
        )
    return lines


def _what(task: Task) -> str:
    return safe(" ".join(filter(None, (task.kind, task.external_id, task.sub_id))))


def _next(task: Task, now: datetime) -> str:
    if task.due_at is None:
        return ""
    return f"{task.next} {ahead(task.due_at, now)}"


def _retries(task: Task, rules: Rules | None) -> str:
    return f"{task.spent}/{task.limit(rules) if rules is not None else '?'}"


def history(found: History, rules_of: Mapping[str, Rules], now: datetime) -> None:
    """Print one task with its record."""
    console.print(Text.assemble((f"Task {found.task.id} ", "bold"), f"{found.task.account} {_what(found.task)}"))
    console.print(_facts(found.task, rules_of.get(found.task.account), now))
    if found.attempts:
        console.print(_attempts(found.attempts, now))
    if found.actions:
        console.print(_actions(found.actions, now))
    for archive in found.archives:
        console.print(f"Result kept {clock(archive.saved_at, now)}, of attempt {archive.number}: see --json")


def _facts(task: Task, rules: Rules | None, now: datetime) -> Padding:
    lines = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    lines.add_column(style="dim", no_wrap=True)
    lines.add_column(overflow="fold")
    lines.add_row(
        "status", Text.assemble(status_text(task.status, task.dead_reason), f", {moment(task.status_since, now)}")
    )
    for name, value in _rows(task, rules, now):
        if value:
            lines.add_row(name, safe(value))
    return Padding(lines, (0, 0, 1, 2), expand=False)


def _rows(task: Task, rules: Rules | None, now: datetime) -> Iterator[tuple[str, str]]:
    yield "next", _next(task, now)
    yield "retries", f"{_retries(task, rules)} spent, {many(task.attempts, 'attempt')}"
    yield "granted", str(task.granted or "")
    yield "wish", task.wish or ""
    yield "held from", task.held_from or ""
    yield "batch", str(task.batch_id or "")
    yield "seen", f"{task.seen.state}, {moment(task.seen.asked_at, now)}" if task.seen is not None else ""
    yield "last words", task.last_error
    yield "provider ref", task.provider_ref
    yield "origin", task.origin
    yield "priority", str(task.priority or "")
    yield "params", str(dict(task.params)) if task.params else ""
    yield "failed", moment(task.failed_at, now)
    yield "added", moment(task.created_at, now)


def _attempts(attempts: Sequence[Attempt], now: datetime) -> Padding:
    lines = table("Attempts")
    lines.add_column("#", justify="right")
    for heading in ("Opened", "Outcome", "Spent", "Code"):
        lines.add_column(heading, no_wrap=True)
    lines.add_column("Words", overflow="fold")
    for each in attempts:
        words = " → ".join(filter(None, (each.message, each.provider_ref and f"ref {each.provider_ref}", each.result)))
        code = " ".join(filter(None, (str(each.http_status or ""), each.provider_code)))
        outcome = Text(each.outcome or "open", "" if each.outcome else "cyan")
        spent = "yes" if each.spent else ""
        lines.add_row(str(each.number), clock(each.opened_at, now), outcome, spent, safe(code), safe(words))
    return Padding(lines, (0, 0, 1, 0), expand=False)


def _actions(actions: Sequence[Action], now: datetime) -> Padding:
    lines = table("What people did")
    for heading in ("When", "Who", "What"):
        lines.add_column(heading, no_wrap=True)
    lines.add_column("Why", overflow="fold")
    for each in actions:
        why = " ".join(filter(None, (each.why, each.detail)))
        lines.add_row(clock(each.at, now), safe(each.who), each.what, safe(why))
    return Padding(lines, (0, 0, 1, 0), expand=False)


def explanation(answer: Explanation) -> None:
    """Print an answer: who and where first, the rest below it."""
    first, *rest = (safe(line) for line in answer.lines)
    console.print(Text(first, "bold"))
    for line in rest:
        console.print(Padding(line, (0, 0, 0, 2), expand=False))
    console.print()
