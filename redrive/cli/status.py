"""The screen of ``redrive status``."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from models.db import Database
from models.explain.words import ago, ahead, duration, many
from models.outcome import OUTCOMES
from models.queries import AccountOverview, Overview
from models.settings import hide_password
from models.states import Operation

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
        self._title = hide_password(database.url.render_as_string(hide_password=True))
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
            yield Padding(_totals(overview), (1, 0, 0, 0))
        if self._before is not None:
            yield f"\n{pace(self._before, overview)}"
        if notes := list(notices(overview)):
            yield Padding(Group(*(Text(safe(note), "yellow") for note in notes)), (1, 0, 0, 0))


def _tasks(overview: Overview) -> Table:
    lines = table()
    lines.add_column("Account", no_wrap=True)
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
        return f"now, since {duration((overview.at - account.due_since).total_seconds())}"
    return ahead(account.next_due_at, overview.at).partition(" (")[0] if account.next_due_at is not None else ""


def _totals(overview: Overview) -> Table:
    """Since the beginning. An outcome that never came has no column."""
    names = [outcome.name for outcome in OUTCOMES]
    seen = [name for name in names if any(account.totals.get(f"outcome:{name}") for account in overview.accounts)]
    lines = table()
    lines.add_column("Since the start", no_wrap=True)
    for heading in ("Calls", "Looks", "Attempts", "Spent", *(name.capitalize() for name in seen)):
        lines.add_column(heading, justify="right", no_wrap=True)
    for account in overview.accounts:
        counters = ("calls:retry", "calls:check", "attempts", "spent", *(f"outcome:{name}" for name in seen))
        lines.add_row(safe(account.account), *(number(account.totals.get(name, 0)) for name in counters))
    return lines


def pace(before: Overview, now: Overview) -> str:
    """How fast it goes, between two looks."""
    minutes = max((now.at - before.at).total_seconds() / 60, 1e-6)
    words = {"calls:retry": "retry calls", "calls:check": "looks", "attempts": "attempts"}
    rates = {name: (_sum(now, name) - _sum(before, name)) / minutes for name in words}
    return ", ".join(f"{rate:,.0f} {words[name]}" for name, rate in rates.items()) + " a minute"


def _sum(overview: Overview, name: str) -> int:
    return sum(account.totals.get(name, 0) for account in overview.accounts)


def notices(overview: Overview) -> Iterator[str]:
    """What somebody should know."""
    for account in overview.accounts:
        yield from _of_account(account, overview)
    for penalty in overview.penalties:
        path = penalty.path or "all paths"
        yield f"{penalty.group}: no call on {path} before {ahead(penalty.until, overview.at)}: {penalty.why}"
    for operation in Operation:
        waiting = [batch for batch in overview.batches if batch.unbegun and batch.operation is operation]
        for provider in sorted({batch.provider for batch in waiting}):
            mine = [batch for batch in waiting if batch.provider == provider]
            since = ago(min(batch.created_at for batch in mine), overview.at)
            words = f"{many(len(mine), f'{operation} batch')} of {provider} not begun, the first claimed {since}"
            yield f"{words}: is a worker running that takes the queue redrive.{provider}?"


def _of_account(account: AccountOverview, overview: Overview) -> Iterator[str]:
    name, now = account.account, overview.at
    if not account.configured and (left := sum(account.tasks.values())):
        yield f"{name}: not configured, its {many(left, 'task')} are kept and never claimed"
    if account.recorded_provider not in {None, account.provider}:
        yield f"{name}: its tasks are {account.recorded_provider}'s and not {account.provider}'s: nothing is claimed"
    if account.paused is not None:
        since, by = ago(account.paused.at, now), account.paused.by
        yield f"{name}: paused {since} by {by}: {account.paused.reason or account.paused.cause}"
    for breaker in account.breakers:
        words = f"{breaker.failures} calls without a usable answer, {breaker.why}"
        then = "one task is trying now" if breaker.probing else f"one task tries {ahead(breaker.open_until, now)}"
        yield f"{name}: {breaker.operation} breaker open after {words}; {then}"
    if account.dead:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in sorted(account.dead.items()))
        yield f"{name}: dead: {reasons}"
