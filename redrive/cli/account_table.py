"""Accounts as they are configured and as they stand."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.text import Text

from redrive.models.explain.obstacles import breaker_words
from redrive.models.explain.words import ago, many
from redrive.models.queries import AccountOverview, BreakerState, Overview, Pause
from redrive.models.settings import AccountSettings, Settings

from ..terminal import safe
from .render import Column, Grid


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountRow:
    """One account; the pace is None where it is not configured, as far as can be known here."""

    account: str
    provider: str | None
    configured: bool | None
    base_url: str | None = None
    group: str | None = None
    calls_per_minute: float | None = None
    calls_per_hour: float | None = None
    batch_size: int | None = None
    max_in_flight: int | None = None
    max_retries: int | None = None
    batches: int
    paused: Pause | None
    breakers: tuple[BreakerState, ...]


def account_rows(settings: Settings, overview: Overview) -> list[AccountRow]:
    """Every account that is configured or has tasks."""
    return [_row(account, settings.accounts.get(account.account)) for account in overview.accounts]


def _row(state: AccountOverview, account: AccountSettings | None) -> AccountRow:
    limits = account.limits if account is not None else None
    return AccountRow(
        account=state.account,
        provider=state.provider,
        configured=state.configured,
        base_url=account.base_url if account is not None else None,
        group=limits.group if limits is not None else None,
        calls_per_minute=limits.calls_per_minute if limits is not None else None,
        calls_per_hour=limits.calls_per_hour if limits is not None else None,
        batch_size=limits.batch_size if limits is not None else None,
        max_in_flight=limits.max_in_flight if limits is not None else None,
        max_retries=account.policy.max_retries if account is not None else None,
        batches=state.batches,
        paused=state.paused,
        breakers=tuple(state.breakers),
    )


def account_table(rows: Sequence[AccountRow], now: datetime) -> Grid:
    """A line per account."""
    numbers = (Column(heading, right=True) for heading in ("Calls/min", "Batch", "Retries"))
    lines = Grid([Column("Account", names=True), Column("Provider"), *numbers, Column("State", prose=True)])
    for row in rows:
        pace = min(row.calls_per_minute, row.calls_per_hour / 60) if row.calls_per_minute and row.calls_per_hour else 0
        lines.add(
            row.account,
            row.provider or "",
            f"{pace:.4g}" if pace else "",
            str(row.batch_size or ""),
            str(row.max_retries) if row.max_retries is not None else "",
            _state(row, now),
        )
    return lines


def _state(row: AccountRow, now: datetime) -> Text:
    if row.paused is not None:
        why = row.paused.reason or row.paused.cause
        return Text(safe(f"paused {ago(row.paused.at, now)} by {row.paused.by}: {why}"), "yellow")
    if row.configured is None:
        return Text("the settings of the service are not here", "dim")
    if not row.configured:
        return Text("not configured here: its tasks are kept, never claimed", "yellow")
    if row.breakers:
        first = row.breakers[0]
        return Text(safe(breaker_words(first.operation, first.failures, first.why)), "yellow")
    return Text(f"at work, {many(row.batches, 'batch')} under way" if row.batches else "ready", "green")
