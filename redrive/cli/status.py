"""The screen of ``redrive status``."""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from models.db import Database
from models.explain.words import ago, ahead, duration, many
from models.outcome import OUTCOMES
from models.queries import AccountOverview, Overview

from .context import console
from .render import STYLES, number, safe, table

_WAITING, _FOLLOWED = ("failed", "canceled"), ("retrying", "unknown")


class Screen:
    """What is shown, once or again and again.

    Args:
        database: its address stands on top.
        watched: whether each look takes the place of the one before, with the pace since then.
    """

    def __init__(self, database: Database, *, watched: bool) -> None:
        self._title = database.shown
        self._watched = watched
        self._before: Overview | None = None

    def show(self, overview: Overview) -> None:
        """Show it."""
        if self._watched:
            console.clear()
        console.print(Group(*self._parts(overview)))
        self._before = overview

    def _parts(self, overview: Overview) -> Iterator[RenderableType]:
        yield Text.assemble((f"{overview.at:%Y-%m-%d %H:%M:%S} UTC", "bold"), f"  {self._title}\n")
        if not overview.accounts:
            yield "No account is configured and there is no task. Start with: redrive init"
            return
        yield _tasks(overview)
        if any(account.totals for account in overview.accounts):
            yield Padding(_totals(overview), (1, 0, 0, 0), expand=False)
        yield from _dead(overview)
        if self._before is not None:
            yield f"\n{pace(self._before, overview)}"
        if notes := list(notices(overview)):
            yield Padding(
                Group(*(Text(safe(f"{key.removeprefix('accounts.')}: {words}"), "yellow") for key, words in notes)),
                (1, 0, 0, 0),
                expand=False,
            )


def _tasks(overview: Overview) -> Table:
    lines = table()
    lines.add_column("Account", overflow="fold")
    for heading in ("At work", "Failed", "Due", "In flight", "Retrying", "Unknown", "Held", "Succeeded", "Dead"):
        lines.add_column(heading, justify="right", no_wrap=True)
    lines.add_column("Next due", no_wrap=True)
    for account in overview.accounts:
        counts = account.tasks
        lines.add_row(
            Text(safe(account.account), "" if account.configured else "yellow"),
            number(counts.get("pending", 0) + counts.get("running", 0)),
            number(sum(counts.get(status, 0) for status in _WAITING), STYLES["failed"]),
            number(account.due_retries + account.due_checks),
            *(
                number(counts.get(status, 0), STYLES[status])
                for status in ("in_flight", "retrying", "unknown", "held", "succeeded", "dead")
            ),
            _next(account, overview),
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


def _totals(overview: Overview) -> Table:
    """Since the beginning. An outcome that never came has no column."""
    names = [outcome.name for outcome in OUTCOMES]
    seen = [name for name in names if any(account.totals.get(f"outcome:{name}") for account in overview.accounts)]
    lines = table()
    lines.add_column("So far", overflow="fold")
    for heading in ("Calls", "Looks", "Attempts", "Spent", *(name.capitalize() for name in seen)):
        lines.add_column(heading, justify="right", no_wrap=True)
    for account in overview.accounts:
        counters = ("calls:retry", "calls:check", "attempts", "spent", *(f"outcome:{name}" for name in seen))
        lines.add_row(safe(account.account), *(number(account.totals.get(name, 0)) for name in counters))
    return lines


def _dead(overview: Overview) -> Iterator[str]:
    """Why tasks died, in one line."""
    reasons: Counter[str] = Counter()
    for account in overview.accounts:
        reasons.update(account.dead)
    if reasons:
        yield "\nDead: " + ", ".join(f"{n:,} {reason}" for reason, n in reasons.most_common())


def pace(before: Overview, now: Overview) -> str:
    """How fast it goes, between two looks."""
    minutes = max((now.at - before.at).total_seconds() / 60, 1e-6)
    words = {"calls:retry": "retry calls", "calls:check": "looks", "attempts": "attempts"}
    rates = {name: (_sum(now, name) - _sum(before, name)) / minutes for name in words}
    return ", ".join(f"{rate:,.0f} {words[name]}" for name, rate in rates.items()) + " a minute"


def _sum(overview: Overview, name: str) -> int:
    return sum(account.totals.get(name, 0) for account in overview.accounts)


def notices(overview: Overview) -> Iterator[tuple[str, str]]:
    """What somebody should know, each with what it is about."""
    for account in overview.accounts:
        yield from ((f"accounts.{account.account}", words) for words in _of_account(account, overview.at))
    for penalty in overview.penalties:
        words = f"no call on {penalty.path or 'all paths'} {_until(penalty.until, overview.at)}: {penalty.why}"
        yield f"limits.{penalty.group}", words
    unbegun = [batch for batch in overview.batches if batch.unbegun]
    for provider in sorted({batch.provider for batch in unbegun}):
        mine = [batch.created_at for batch in unbegun if batch.provider == provider]
        words = f"{many(len(mine), 'batch')} not begun, the first claimed {ago(min(mine), overview.at)}"
        yield f"queues.{provider}", f"{words}; is a worker running that takes batches of {provider}?"


def _of_account(account: AccountOverview, now: datetime) -> Iterator[str]:
    if not account.configured and (left := sum(account.tasks.values())):
        yield f"is not configured: {many(left, 'task')} kept, never claimed"
    if account.recorded_provider not in {None, account.provider}:
        yield f"its tasks are {account.recorded_provider}'s and not {account.provider}'s: nothing is claimed"
    if (paused := account.paused) is not None:
        why = paused.reason or paused.cause
        yield f"paused {ago(paused.at, now)} by {paused.by}: {why}; redrive resume {account.account} ends it"
    for breaker in account.breakers:
        words = f"{many(breaker.failures, 'call')} without a usable answer ({breaker.why})"
        then = "one task is trying now" if breaker.probing else f"one task tries {ahead(breaker.open_until, now)}"
        yield f"{breaker.operation} breaker open after {words}; {then}"


def _until(moment: datetime, now: datetime) -> str:
    return f"for {duration((moment - now).total_seconds())}"
