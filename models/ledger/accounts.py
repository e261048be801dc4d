"""Accounts as rows: made from settings, paused and resumed, by people and by what providers answer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Select, bindparam, select, update

from ..db import Transaction, insert_for
from ..errors import BadInput, SettingsError
from ..outcome import Accepted, Already, Blocked, Cause, Look, Outcome, Refused, answer_words
from ..rules import Rules
from ..tables import accounts
from . import breaker, permits
from .actions import Who, acted

FORBIDDEN_IN_A_ROW = 3
"""403 answers to different tasks, one after the other, that pause an account: one alone may be that task's."""

BALANCE_PROBE_SECONDS = 1800.0
"""How often one task tries whether an empty balance was filled."""

_PAID = (Accepted, Already, Refused)
"""Answers that prove an account is served again: the provider came to speak of the task itself."""

_RESUMED: Mapping[str, Any] = {
    "paused_at": None, "paused_cause": None, "paused_reason": "", "paused_by": "", "probe_at": None,
    "refusals": 0, "forbidden": 0,
}  # fmt: skip


_BY_NAME = select(accounts).where(accounts.c.name == bindparam("name"))
_LOCKED = _BY_NAME.with_for_update()


@dataclass(frozen=True, slots=True)
class Account:
    """A row of ``redrive_accounts``."""

    name: str
    provider: str
    paused_at: datetime | None
    paused_cause: str | None
    paused_reason: str
    paused_by: str
    resumed_at: datetime | None
    probe_at: datetime | None
    refusals: int
    forbidden: int
    created_at: datetime

    def lets_act(self, *, probe: bool) -> bool:
        """Whether a batch may make calls: not while paused, except a probe that asks whether the balance is back."""
        return self.paused_at is None or (probe and self.paused_cause == Cause.BALANCE)


def ensure(t: Transaction, providers: Mapping[str, str]) -> None:
    """Make a row for every configured account (name → provider).

    Raises:
        SettingsError: when a name stood for another provider before; its tasks would go to the wrong one.
    """
    if not providers:
        return
    rows = [{"name": name, "provider": provider} for name, provider in sorted(providers.items())]
    t.execute(insert_for(t)(accounts).values(rows).on_conflict_do_nothing())
    known = t.rows(select(accounts.c.name, accounts.c.provider).where(accounts.c.name.in_(sorted(providers))))
    problems = [
        f"accounts.{row.name}.provider: was {row.provider} when its tasks were added and may not change; "
        f"give the {providers[row.name]} account another name"
        for row in known
        if row.provider != providers[row.name]
    ]
    if problems:
        raise SettingsError(problems)


def locked(t: Transaction, name: str) -> Account | None:
    """The account's row under lock: taken before any of its tasks, by everybody who may change it."""
    return _account(t, _LOCKED, name)


def _account(t: Transaction, statement: Select[Any], name: str) -> Account | None:
    row = t.execute(statement, name=name).one_or_none()
    return Account(**row._mapping) if row is not None else None  # noqa: SLF001 - public in all but its name


def read(t: Transaction, name: str) -> Account | None:
    """The account's row as it is, for who writes nothing of it."""
    return _account(t, _BY_NAME, name)


def pause(t: Transaction, name: str, who: Who) -> None:
    """An operator's pause: nothing of the account is claimed, and workers give back what they have not sent.

    Raises:
        BadInput: when no such account is known.
    """
    account = _known(t, name)
    _update(
        t, account, paused_at=t.now, paused_cause=Cause.OPERATOR.value, paused_reason=who.why, paused_by=who.who[:255],
        probe_at=None,
    )  # fmt: skip
    acted(t, who, "pause", name)


def resume(t: Transaction, name: str, who: Who, *, one: bool = False, force: bool = False) -> bool:
    """End a pause of any cause, and close the account's breakers. False when there was no pause.

    Args:
        t: the transaction.
        name: the account's.
        who: who says so, and why.
        one: let one task through first; its answer decides whether the others follow.
        force: end the penalties of its limit group, too.

    Raises:
        BadInput: when no such account is known.
    """
    account = _known(t, name)
    if one:
        breaker.half_open(t, name, f"{who.who} lets one task try")
    else:
        breaker.close(t, name)
    if one and account.paused_cause == Cause.BALANCE:
        _update(t, account, probe_at=t.now)
    else:
        _update(t, account, **_RESUMED, resumed_at=t.now)
    if force:
        permits.forgive(t, name)
    acted(t, who, "try one" if one else "resume", name)
    return account.paused_at is not None


def _known(t: Transaction, name: str) -> Account:
    account = locked(t, name)
    if account is None:
        raise BadInput(f"no account named {name!r}; `redrive accounts` lists them")
    return account


def learned(
    t: Transaction,
    account: Account,
    rules: Rules,
    told: Iterable[tuple[datetime, Sequence[Outcome | Look]]],
    *,
    probe: bool,
) -> Account:
    """What calls, each with the moment it was opened and its answers, tell of the account; returns it as it is now.

    What was opened before the last ``resume`` is old news and tells nothing.
    """
    since = account.resumed_at
    news = [answer for opened_at, answers in told if since is None or opened_at >= since for answer in answers]
    refusals, forbidden = _in_a_row(account, news)
    blocked = _why_blocked(news, refusals, forbidden, rules)
    if blocked is not None:
        return _block(t, account, blocked)
    if probe and account.paused_cause == Cause.BALANCE and any(isinstance(answer, _PAID) for answer in news):
        acted(t, Who("redrive", "the probe went through"), "resume", account.name)
        return _update(t, account, **_RESUMED, resumed_at=t.now)
    if (refusals, forbidden) != (account.refusals, account.forbidden):
        return _update(t, account, refusals=refusals, forbidden=forbidden)
    return account


def _in_a_row(account: Account, told: list[Outcome | Look]) -> tuple[int, int]:
    """Refusals, and 403 answers, one after the other without an acceptance between them."""
    refusals, forbidden = account.refusals, account.forbidden
    for outcome in told:
        match outcome:
            case Accepted():
                refusals = forbidden = 0
            case Already(forbidden=True):
                refusals, forbidden = refusals + 1, forbidden + 1
            case Refused() | Already():
                refusals, forbidden = refusals + 1, 0
            case _:
                pass
    return refusals, forbidden


def _why_blocked(told: list[Outcome | Look], refusals: int, forbidden: int, rules: Rules) -> Blocked | None:
    for outcome in told:
        if isinstance(outcome, Blocked):
            return outcome
    answers = (o for o in reversed(told) if isinstance(o, Already | Refused))
    words = next((answer_words(o.http_status, o.code, o.message) for o in answers), "")
    if forbidden >= FORBIDDEN_IN_A_ROW:
        return Blocked(
            cause=Cause.CREDENTIALS, http_status=403, message=f"{forbidden} tasks in a row forbidden: {words}"
        )
    if refusals >= rules.breaker.max_refusals:
        return Blocked(cause=Cause.REFUSALS, message=f"{refusals} refusals without one acceptance, last: {words}")
    return None


def _block(t: Transaction, account: Account, blocked: Blocked) -> Account:
    """Pause for what the provider said. A pause by an operator is not overwritten, and one of the same cause stays."""
    probe_at = t.now + timedelta(seconds=BALANCE_PROBE_SECONDS) if blocked.cause is Cause.BALANCE else None
    if account.paused_cause == blocked.cause and probe_at is not None:
        return _update(t, account, probe_at=probe_at)
    if account.paused_at is not None:
        return account
    reason = answer_words(blocked.http_status, blocked.code, blocked.message)
    acted(t, Who("redrive", reason), "pause", account.name)
    return _update(
        t, account, paused_at=t.now, paused_cause=blocked.cause.value, paused_reason=reason, paused_by="redrive",
        probe_at=probe_at, refusals=0, forbidden=0,
    )  # fmt: skip


def probing(t: Transaction, account: Account) -> None:
    """A probe is on its way: the next one not before this one had its time."""
    _update(t, account, probe_at=t.now + timedelta(seconds=BALANCE_PROBE_SECONDS))


def _update(t: Transaction, account: Account, **values: Any) -> Account:
    t.execute(update(accounts).where(accounts.c.name == account.name).values(**values))
    return replace(account, **values)
