"""``redrive status``: its screen, its check, its JSON."""

import time
from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from rich.console import Group, RenderableType
from rich.text import Text

from redrive.models import queries
from redrive.models.explain.words import duration
from redrive.models.outcome import OUTCOMES
from redrive.models.queries import AccountOverview, Overview
from redrive.models.settings import Settings
from redrive.models.sql.db import Database
from redrive.models.states import ENDED_STATES

from ..terminal import safe
from .context import console, known_rules, opened, print_json
from .notices import Notice, exit_code, notices
from .options import Json
from .render import STYLES, Column, Grid, Paragraph, number

_WAITING = ("failed", "canceled")
_SHOWN = ("in_flight", "retrying", "unknown", "held", "succeeded", "dead")


def status(
    *,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again and again, until Ctrl-C.")] = False,
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two screens of --watch.")] = 2.0,
    check: Annotated[
        bool, typer.Option("--check", help="Only what somebody should know; the exit code says what it needs.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Everything at a glance: tasks by account and status, what is due, what is in the way, what was done."""
    if watch and check:
        raise typer.BadParameter("a check is made once; leave out --watch", param_hint="--check")
    with opened(required=False) as (settings, database):
        screen = Screen(database, start=_start(settings), watched=watch and not as_json)
        while True:
            with database.reading() as t:
                overview = queries.overview(t, known_rules(settings))
            if as_json:
                print_json(_status_json(overview), indent=None if watch else 2)
            elif not check:
                screen.show(overview)
            if check:
                _check(overview, quiet=as_json)
            if not watch:
                return
            time.sleep(interval)


def _start(settings: Settings) -> str:
    """What to do where there is nothing to show."""
    file = settings.environment.config
    if file.exists() and not settings.accounts:
        return f"{file} names no account and there is no task. Fill in an [accounts.NAME] table of it."
    if not file.exists():
        return "There is no task. Start with: redrive init"
    return "There is no task."


def _status_json(overview: Overview) -> dict[str, Any]:
    return {**queries.plain(overview), "notices": queries.plain(list(notices(overview)))}  # type: ignore[dict-item]


def _check(overview: Overview, *, quiet: bool) -> None:
    """Say what somebody should know, and end with what it needs."""
    found = list(notices(overview))
    if not quiet:
        for notice in found:
            console.print(notice_line(notice))
        if not found:
            console.print("All is well.")
    raise typer.Exit(exit_code(found))


class Screen:
    """What is shown, once or again and again.

    Args:
        database: its address stands on top.
        start: what to do where there is nothing to show.
        watched: whether each screen takes the place of the one before, with the pace since then.
    """

    def __init__(self, database: Database, *, start: str, watched: bool) -> None:
        self._title = database.shown
        self._start = start
        self._watched = watched
        self._before: Overview | None = None

    def show(self, overview: Overview) -> None:
        """Show it."""
        if self._watched:
            console.clear()
        console.print(Group(*self._parts(overview)))
        self._before = overview

    def _parts(self, overview: Overview) -> Iterator[RenderableType]:
        yield Text.assemble((f"{overview.at:%Y-%m-%d %H:%M:%S} UTC", "bold"), f"  {safe(self._title)}\n")
        if not overview.accounts:
            yield Paragraph(self._start)
            return
        yield _tasks(overview)
        if any(account.totals for account in overview.accounts):
            yield ""
            yield _totals(overview)
        yield from _dead(overview)
        if self._before is not None:
            yield f"\n{pace(self._before, overview)}"
        if said := list(notices(overview)):
            yield ""
            yield from map(notice_line, said)


def notice_line(notice: Notice) -> Paragraph:
    """A notice as one paragraph."""
    return Paragraph(Text(safe(f"{notice.about.removeprefix('accounts.')}: {notice.words}"), "yellow"))


def _tasks(overview: Overview) -> Grid:
    headings = ("At work", "Failed", "Due", *(status.replace("_", " ").capitalize() for status in _SHOWN))
    lines = Grid(
        [
            Column("Account", names=True),
            *(Column(heading, right=True) for heading in headings),
            Column("Next due"),
            Column("Takes"),
        ]
    )
    for account in overview.accounts:
        counts = account.tasks
        lines.add(
            Text(safe(account.account), "yellow") if account.configured is False else account.account,
            number(counts.get("pending", 0) + counts.get("running", 0)),
            number(sum(counts.get(status, 0) for status in _WAITING), STYLES["failed"]),
            number(account.due_retries + account.due_checks),
            *(number(counts.get(status, 0), STYLES[status]) for status in _SHOWN),
            _next(account, overview),
            duration(account.clearing_seconds) if account.clearing_seconds >= 1 else "",
        )
    return lines


def _next(account: AccountOverview, overview: Overview) -> str:
    if account.paused is not None:
        return "paused"
    if account.due_since is not None:
        return f"{duration((overview.at - account.due_since).total_seconds(), units=1)} ago"
    if account.next_due_at is None:
        return ""
    return f"in {duration((account.next_due_at - overview.at).total_seconds(), units=1)}"


def _totals(overview: Overview) -> Grid:
    """Since the beginning. An outcome that never came has no column."""
    names = [outcome.name for outcome in OUTCOMES]
    seen = [name for name in names if any(account.totals.get(f"outcome:{name}") for account in overview.accounts)]
    headings = ("Calls", "Checks", "Attempts", "Spent", *(name.capitalize() for name in seen))
    lines = Grid([Column("So far", names=True), *(Column(heading, right=True) for heading in headings)])
    counters = ("calls:retry", "calls:check", "attempts", "spent", *(f"outcome:{name}" for name in seen))
    for account in (each for each in overview.accounts if each.totals):
        lines.add(account.account, *(number(account.totals.get(name, 0)) for name in counters))
    return lines


def _dead(overview: Overview) -> Iterator[RenderableType]:
    """Why tasks died, in one line."""
    reasons: Counter[str] = Counter()
    for account in overview.accounts:
        reasons.update(account.dead)
    if reasons:
        yield ""
        yield Paragraph("Dead: " + ", ".join(f"{n:,} {reason}" for reason, n in reasons.most_common()))


def pace(before: Overview, now: Overview) -> str:
    """How fast it goes, between two screens."""
    minutes = max((now.at - before.at).total_seconds() / 60, 1e-6)
    words = {"calls:retry": "retry calls", "calls:check": "checks", "attempts": "attempts"}
    steps = {word: _sum(now, name) - _sum(before, name) for name, word in words.items()}
    steps["ended"] = _ended(now) - _ended(before)
    return ", ".join(f"{step / minutes:,.0f} {word}" for word, step in steps.items()) + " a minute"


def _sum(overview: Overview, name: str) -> int:
    return sum(account.totals.get(name, 0) for account in overview.accounts)


def _ended(overview: Overview) -> int:
    return sum(account.tasks.get(status, 0) for account in overview.accounts for status in ENDED_STATES)
