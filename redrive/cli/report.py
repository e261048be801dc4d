"""What came of doing one thing to many tasks, for people and for programs."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import typer

from redrive.models import queries
from redrive.models.explain.words import many
from redrive.models.ledger import ActionResult
from redrive.models.rules import Rules
from redrive.models.sql.db import Transaction
from redrive.models.states import FAILED_STATES, FOLLOWED_STATES, Status

from ..terminal import safe
from .context import console, errors, print_json
from .failures import NOT_WELL
from .notices import notices
from .render import Paragraph

HINTS = 20
"""So many hints are printed one by one; the rest is counted."""

MOST_NAMED = 3
"""So many accounts are named in a sentence about several."""

_MADE_DUE: Mapping[str, Sequence[Status]] = {
    "retry": (*FAILED_STATES, *FOLLOWED_STATES),
    "force": (*FAILED_STATES, *FOLLOWED_STATES),
    "release": FAILED_STATES,
    "revive": FAILED_STATES,
}
"""Where a task stands that an action has made due."""

_WISHES = {"hold": "held", "stop": "stopped"}


class Command(Protocol):
    """The command whose end this is."""

    @property
    def what(self) -> str:
        """The action."""

    @property
    def done(self) -> str:
        """The words for tasks it was done to."""

    @property
    def dry_run(self) -> bool:
        """Whether nothing was changed."""

    @property
    def as_json(self) -> bool:
        """Whether a program reads it."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """What keeps tasks from their retry although they were made due, and how many of which accounts."""

    accounts: tuple[str, ...]
    tasks: int
    why: str

    @classmethod
    def of(cls, t: Transaction, rules: Mapping[str, Rules], set_due: Mapping[str, int]) -> "list[Waiting]":
        """Everything that stands in the way of these accounts now."""
        found = []
        for notice in notices(queries.in_the_way(t, rules, set_due)) if set_due else ():
            names = tuple(name for name in sorted(set_due) if _concerns(notice.about, name, rules))
            found.append(cls(names, sum(set_due[name] for name in names), notice.words))
        return found

    @property
    def words(self) -> str:
        """For people."""
        names = ", ".join(self.accounts) if len(self.accounts) <= MOST_NAMED else many(len(self.accounts), "account")
        wait = "due task waits" if self.tasks == 1 else "due tasks wait"
        return f"{names}: {self.tasks:,} {wait}: {self.why}."


def _concerns(about: str, name: str, rules: Mapping[str, Rules]) -> bool:
    """Whether a notice is about this account, its limit group, or everything."""
    kind, _, which = about.partition(".")
    if kind == "limits":
        return which == (rules[name].group if name in rules else name)
    return kind != "accounts" or which == name


class Report:
    """What came of it, while it goes on and at the end."""

    def __init__(self, command: Command) -> None:
        self._command = command
        self._tasks: list[dict[str, Any]] = []
        self._hints: Counter[str] = Counter()
        self._printed = self._wished = self._left = 0
        self._missing: list[int] = []
        self.changed = 0
        self.set_due: Counter[str] = Counter()

    def page(self, ids: Sequence[int], told: Sequence[ActionResult]) -> None:
        """Take note of a page."""
        for each in told:
            self._note(each)
        missing = sorted(set(ids) - {each.task.id for each in told})
        self._missing += missing
        for task_id in missing:
            errors.print(f"There is no task {task_id}.", style="red")

    def _note(self, told: ActionResult) -> None:
        task, what = told.task, self._command.what
        self.changed += told.changed
        self._left += not told.changed
        is_wish = told.changed and task.wish == what
        self._wished += is_wish
        if told.changed and task.status in _MADE_DUE.get(what, ()):
            self.set_due[task.account] += 1
        hint = told.hint or ("" if told.changed else "nothing to do")
        if self._command.as_json:
            self._tasks.append({"id": task.id, "status": task.status, "changed": told.changed, "hint": hint})
        elif hint and not is_wish:  # those are counted together at the end
            self._hint(told, hint)

    def _hint(self, told: ActionResult, words: str) -> None:
        if self._printed < HINTS:
            self._printed += 1
            style = "" if told.changed else "yellow"
            console.print(f"Task {told.task.id}: {safe(words)}", style=style)
        else:
            self._hints[words] += 1

    def end(self, waiting: Sequence[Waiting]) -> None:
        """Say how many, and what they wait for; the exit code is 1 when something could not be done."""
        if self._command.as_json:
            print_json(queries.plain(self._summary(waiting)))
        else:
            for line in self._lines(waiting):
                console.print(line)
        if self._left or self._missing:
            raise typer.Exit(NOT_WELL)

    def _summary(self, waiting: Sequence[Waiting]) -> dict[str, Any]:
        return {
            "action": self._command.what, "dry_run": self._command.dry_run, "changed": self.changed, "left": self._left,
            "missing": self._missing, "tasks": self._tasks, "waiting": list(waiting),
        }  # fmt: skip

    def _lines(self, waiting: Sequence[Waiting]) -> Iterator[str | Paragraph]:
        for words, n in self._hints.most_common():
            yield f"{many(n, 'more task')}: {safe(words)}"
        if not (self.changed or self._left or self._missing):
            yield "No task matches."
            return
        left = f", {self._left:,} left alone" if self._left else ""
        yield f"{self._done()}{left}."
        yield from (Paragraph(each.words) for each in waiting)

    def _done(self) -> str:
        """What may only be done later is not reported as done."""
        at_once = self.changed - self._wished
        parts = [f"{many(at_once, 'task')} {self._command.done}"] if at_once or not self._wished else []
        if self._wished:
            then = f"{_WISHES[self._command.what]} once the retry under way has failed"
            parts.append(f"{many(self._wished, 'task')} {'would' if self._command.dry_run else 'will'} be {then}")
        return ", ".join(parts)
