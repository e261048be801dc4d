"""Doing one thing to many tasks: which are meant, whether it is really wanted, page by page, and what came of it."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import NoReturn

import typer

from models import ledger, queries
from models.db import Database, Transaction
from models.explain.words import many
from models.ledger import Told, Who
from models.queries import TaskFilter
from models.rules import Rules, rules_of
from models.states import AT_WORK_STATES, FAILED_STATES, FOLLOWED_STATES, Status

from .asking import sure
from .context import console, errors, opened, wake_schedulers, who
from .failures import NOT_WELL
from .render import safe

PAGE = 500
"""Tasks changed in one transaction: short locks, however many there are."""

HINTS = 20
"""So many hints are printed one by one; the rest is counted."""

_UNFINISHED = (*AT_WORK_STATES, *FAILED_STATES, Status.IN_FLIGHT, *FOLLOWED_STATES, Status.HELD)
_MEANT: Mapping[str, tuple[Status, ...]] = {
    "retry": (*AT_WORK_STATES, *FAILED_STATES, *FOLLOWED_STATES, Status.HELD),
    "force": (*FAILED_STATES, Status.HELD, Status.DEAD),
    "hold": tuple(status for status in _UNFINISHED if status is not Status.HELD),
    "release": (Status.IN_FLIGHT, *FOLLOWED_STATES, Status.HELD),
    "stop": _UNFINISHED,
    "revive": (Status.DEAD,),
}
"""What a filter means that names no status: where there is something to do. Success is left alone unless named."""

_DONE = {
    "retry": "set due now",
    "force": "set due now",
    "hold": "held",
    "release": "released",
    "stop": "stopped",
    "revive": "revived",
}


@dataclass(frozen=True, slots=True)
class Acting:
    """One command.

    Attributes:
        what: one of the ledger's actions.
        reason: recorded with who and when.
        dry_run: everything is done, reported, and rolled back.
        yes: nobody is asked.
    """

    what: str
    reason: str
    dry_run: bool
    yes: bool

    def run(self, ids: Sequence[int] | None, wanted: TaskFilter, *, everything: bool) -> None:
        """Do it to the tasks with these ids, or to those that match."""
        if ids:
            if everything or wanted != TaskFilter():
                _wrong("give ids or a filter, not both")
        elif not everything and wanted == TaskFilter():
            _wrong("say which tasks: by id, by filter, or --all")
        with opened() as (settings, database):
            pages = self._named(list(dict.fromkeys(ids))) if ids else self._matching(database, self._meant(wanted))
            told = Telling(self)
            for page in pages:
                told.page(page, self._act(database, page, rules_of(settings)))
            if told.changed and not self.dry_run:
                wake_schedulers(settings)
        told.sum_up()

    def _meant(self, wanted: TaskFilter) -> TaskFilter:
        """A filter that names no status means those where there is something to do."""
        if wanted.statuses or wanted.dead_reasons:
            return wanted
        return replace(wanted, statuses=_MEANT[self.what])

    def _named(self, ids: list[int]) -> Iterator[list[int]]:
        if len(ids) > 1 and not self.dry_run:
            sure(f"{self.verb.capitalize()} {many(len(ids), 'task')}?", yes=self.yes, only_at_terminal=True)
        for start in range(0, len(ids), PAGE):
            yield ids[start : start + PAGE]

    def _matching(self, database: Database, wanted: TaskFilter) -> Iterator[list[int]]:
        with database.reading() as t:
            found = queries.count(t, wanted)
        if found and not self.dry_run:
            sure(f"{self.verb.capitalize()} {many(found, 'task')}?", yes=self.yes)
        after = 0
        while found:
            with database.reading() as t:
                page = queries.page_of_ids(t, wanted, after=after, limit=PAGE)
            if not page:
                return
            yield page
            after = page[-1]

    def _act(self, database: Database, page: Sequence[int], rules: Mapping[str, Rules]) -> list[Told]:
        with _transaction(database, dry_run=self.dry_run) as t:
            return ledger.act(t, self.what, page, rules, Who(who(), self.reason))

    @property
    def verb(self) -> str:
        """The command's name."""
        return "retry" if self.what == "force" else self.what

    @property
    def done(self) -> str:
        """What is said of tasks it was done to."""
        return f"would be {_DONE[self.what]}" if self.dry_run else _DONE[self.what]


class _RolledBackError(Exception):
    """The end of a transaction that was only tried."""


@contextmanager
def _transaction(database: Database, *, dry_run: bool) -> Iterator[Transaction]:
    with suppress(_RolledBackError), database.transaction() as t:
        yield t
        if dry_run:
            raise _RolledBackError


class Telling:
    """What came of it, while it goes on and at the end."""

    def __init__(self, acting: Acting) -> None:
        self._acting = acting
        self._hints: Counter[str] = Counter()
        self._printed = 0
        self.changed = 0
        self._left = 0
        self._missing = 0

    def page(self, ids: Sequence[int], told: Sequence[Told]) -> None:
        """Take note of a page."""
        for each in told:
            self.changed += each.changed
            self._left += not each.changed
            self._hint(each)
        for task_id in sorted(set(ids) - {each.task.id for each in told}):
            self._missing += 1
            errors.print(f"There is no task {task_id}.", style="red")

    def _hint(self, told: Told) -> None:
        words = told.hint or ("" if told.changed else "nothing to do")
        if not words:
            return
        if self._printed < HINTS:
            self._printed += 1
            console.print(f"Task {told.task.id}: {safe(words)}", style="" if told.changed else "yellow")
        else:
            self._hints[words] += 1

    def sum_up(self) -> None:
        """Say how many; the exit code is 1 when something could not be done."""
        for words, n in self._hints.most_common():
            console.print(f"{many(n, 'more task')}: {safe(words)}")
        if not (self.changed or self._left or self._missing):
            console.print("No task matches.")
            return
        left = f", {self._left:,} left alone" if self._left else ""
        console.print(f"{many(self.changed, 'task')} {self._acting.done}{left}.")
        if self._left or self._missing:
            raise typer.Exit(NOT_WELL)


def _wrong(words: str) -> NoReturn:
    raise typer.BadParameter(words, param_hint="[ID...]")
