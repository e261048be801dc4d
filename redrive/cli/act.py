"""The commands that change tasks: retry, hold, release, stop, revive; by ids or by filter, page by page."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Annotated, NoReturn

import typer

from redrive.models import ledger, queries
from redrive.models.explain.words import many
from redrive.models.ledger import ActionResult, Who
from redrive.models.queries import TaskFilter
from redrive.models.rules import Rules, rules_of
from redrive.models.sql.db import Database, Transaction
from redrive.models.states import AT_WORK_STATES, FAILED_STATES, FOLLOWED_STATES, Status

from .asking import sure
from .context import opened, wake_schedulers, who
from .filters import Wanted, takes_filter
from .options import DryRun, Json, MaybeIds, Reason, Yes, flat
from .report import Report, Waiting
from .streams import unread

Everything = Annotated[bool, typer.Option("--all", help="All tasks the command can do something to.")]
Force = Annotated[
    bool,
    typer.Option("--force", help="Once more than the limit allows, also of dead ones; never past a provider's cap."),
]

TASKS_A_PAGE = 500
"""Tasks changed in one transaction: short locks, however many there are."""

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


@takes_filter
def retry(
    ids: MaybeIds = None,
    *,
    wanted: Wanted,
    everything: Everything = False,
    force: Force = False,
    reason: Reason = "",
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Retry tasks now, within their limits; the state of what is at work or followed is checked now."""
    what = "force" if force else "retry"
    acting = Acting(what, reason, dry_run=dry_run, yes=yes, as_json=as_json)
    acting.run(flat(ids) if ids is not None else None, wanted, everything=everything)


def _command(name: str, help_: str) -> Callable[..., None]:
    @takes_filter
    def command(
        ids: MaybeIds = None,
        *,
        wanted: Wanted,
        everything: Everything = False,
        reason: Reason = "",
        dry_run: DryRun = False,
        yes: Yes = False,
        as_json: Json = False,
    ) -> None:

        acting = Acting(name, reason, dry_run=dry_run, yes=yes, as_json=as_json)
        acting.run(flat(ids) if ids is not None else None, wanted, everything=everything)

    command.__doc__ = help_
    return command


hold = _command("hold", "Keep tasks from being retried until they are released.")
release = _command(
    "release", "Let held tasks go on, each after a check of its state; or withdraw a wish to hold or stop."
)
stop = _command("stop", "Give tasks up: dead (stopped), now or when the retry under way has failed.")
revive = _command("revive", "Bring dead tasks back, with as many retries again as the policy gives.")


@dataclass(frozen=True, slots=True)
class Acting:
    """One command.

    Attributes:
        what: one of the ledger's actions.
        reason: recorded with who and when.
        dry_run: everything is done, reported, and rolled back.
        yes: nobody is asked.
        as_json: what came of it is written as JSON.
    """

    what: str
    reason: str
    dry_run: bool
    yes: bool
    as_json: bool

    def run(self, ids: Sequence[int] | None, wanted: Wanted, *, everything: bool) -> None:
        """Do it to the tasks with these ids, or to those that match."""
        if ids is not None and (everything or wanted):
            _wrong("give ids or a filter, not both")
        if ids is None and not (everything or wanted):
            _wrong("say which tasks: by id, by filter, or --all")
        # What was begun is done also when nobody reads any more what came of it.
        with opened() as (settings, database), unread():
            rules = rules_of(settings)
            report = Report(self)
            for page in self._named(ids) if ids is not None else self._matching(database, wanted, rules):
                report.page(page, self._act(database, page, rules))
            if report.changed and not self.dry_run:
                wake_schedulers(settings)
            with database.reading() as t:
                waiting = Waiting.of(t, rules, report.set_due)
            report.end(waiting)

    def _meant(self, wanted: TaskFilter) -> TaskFilter:
        """A filter that names no status means those where there is something to do."""
        named = wanted.statuses or wanted.dead_reasons
        if named or (wanted.set_aside and self.what == "release"):  # which keep the status they had
            return wanted
        return replace(wanted, statuses=_MEANT[self.what])

    def _named(self, ids: Sequence[int]) -> Iterator[Sequence[int]]:
        if len(ids) > 1 and not self.dry_run:
            sure(f"{self.verb.capitalize()} {many(len(ids), 'task')}?", yes=self.yes, only_at_terminal=True)
        for start in range(0, len(ids), TASKS_A_PAGE):
            yield ids[start : start + TASKS_A_PAGE]

    def _matching(self, database: Database, given: Wanted, rules: Mapping[str, Rules]) -> Iterator[Sequence[int]]:
        with database.reading() as t:
            wanted = self._meant(given.found(t, rules))
            found = queries.all_ids(t, wanted)
        if found and not self.dry_run:
            sure(f"{self.verb.capitalize()} {many(len(found), 'task')}?", yes=self.yes)
        for start in range(0, len(found), TASKS_A_PAGE):
            with database.reading() as t:
                page = queries.still_matching(t, wanted, found[start : start + TASKS_A_PAGE])
            yield page

    def _act(self, database: Database, page: Sequence[int], rules: Mapping[str, Rules]) -> list[ActionResult]:
        with _transaction(database, dry_run=self.dry_run) as t:
            return ledger.act(t, self.what, page, rules, Who(who(), self.reason))

    @property
    def verb(self) -> str:
        """The command's name."""
        return "retry" if self.what == "force" else self.what

    @property
    def done(self) -> str:
        """What is reported of tasks it was done to."""
        return f"would be {_DONE[self.what]}" if self.dry_run else _DONE[self.what]


class _RolledBackError(Exception):
    """The end of a transaction that was only tried."""


@contextmanager
def _transaction(database: Database, *, dry_run: bool) -> Iterator[Transaction]:
    with suppress(_RolledBackError), database.transaction() as t:
        yield t
        if dry_run:
            raise _RolledBackError


def _wrong(words: str) -> NoReturn:
    raise typer.BadParameter(words, param_hint="[ID...]")
