"""Accounts as rows: made from settings, paused and resumed, by people and by what providers answer."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Row, Select, bindparam, select, update

from ..errors import BadInput
from ..outcome import Accepted, Already, Blocked, Cause, CheckResult, Outcome, Refused, Unreadable, answer_words
from ..rules import Rules
from ..sql.db import Transaction
from ..sql.one_of import listed, one_of_named
from ..sql.tables import accounts, columns
from ..states import Operation
from . import breaker, forbidden, moments, permits
from .action_log import LONGEST_NAME, Who, record_action
from .texts import storable

_PAID = (Accepted, Already, Refused)
"""Answers that prove an account is served again: the provider came to speak of the task itself."""

_RESUMED: Mapping[str, Any] = {
    "paused_at": None, "paused_cause": None, "paused_reason": "", "paused_by": "", "probe_at": None,
    "refusals": 0, "forbidden": 0,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class AccountRow:
    """A row of ``redrive_accounts``.

    Attributes:
        refusals: in a row, without an acceptance.
        forbidden: the longest row of 403 answers of any operation; 0: there is none, and nobody needs to ask.
        paused_until: when a pause that a person made ends by itself; None: when a person ends it.
        limit_group: the one it had last; None where the schema does not know it yet, "" where it is not recorded.
    """

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
    paused_until: datetime | None = None
    limit_group: str | None = ""

    def believed(self, t: Transaction) -> "AccountRow":
        """The same, its moments no further ahead than they can be."""
        probe_at = moments.believed(t, self.probe_at, moments.latest_probe(t.now))
        return replace(self, resumed_at=moments.believed(t, self.resumed_at, t.now), probe_at=probe_at)

    def lets_act(self, *, probe: bool) -> bool:
        """Whether a batch may make calls: not while paused, except a probe that asks whether the balance is back."""
        return self.paused_at is None or (probe and self.paused_cause == Cause.BALANCE)


def read(t: Transaction, name: str) -> AccountRow | None:
    """The account's row as it is, for who writes nothing of it."""
    row = t.execute(_by_name(t.level), name=name).one_or_none()
    return _of(row).believed(t) if row is not None else None


def read_many(t: Transaction, names: Iterable[str]) -> dict[str, AccountRow]:
    """The rows of these accounts as they are, by name."""
    rows = t.rows(_by_names(t.level), names=listed(names))
    return {row.name: _of(row).believed(t) for row in rows}


@cache
def _by_names(level: int) -> Select[Any]:
    return select(*columns(accounts, level)).where(one_of_named(accounts.c.name, "names"))


def locked(t: Transaction, name: str) -> AccountRow | None:
    """The account's row under lock: taken before any of its tasks, by everybody who may change it."""
    row = t.execute(_by_name(t.level, lock=True), name=name).one_or_none()
    if row is None:
        return None
    stored = _of(row)
    believed = stored.believed(t)
    if believed != stored:
        return _update(t, stored, resumed_at=believed.resumed_at, probe_at=believed.probe_at)
    return stored


@cache
def _by_name(level: int, *, lock: bool = False) -> Select[Any]:
    found = select(*columns(accounts, level)).where(accounts.c.name == bindparam("name"))
    return found.with_for_update() if lock else found


def _of(row: Row[Any]) -> AccountRow:
    return AccountRow(**row._mapping)  # noqa: SLF001 - public in all but its name


def pause(t: Transaction, name: str, who: Who) -> None:
    """An operator's pause: nothing of the account is claimed, and workers give back what they have not sent.

    Raises:
        BadInput: when no such account is known.
    """
    account = _known(t, name)
    _update(
        t, account, paused_at=t.now, paused_cause=Cause.OPERATOR.value, paused_reason=storable(who.why),
        paused_by=storable(who.who, LONGEST_NAME), probe_at=None,
    )  # fmt: skip
    record_action(t, who, "pause", name)


def resume(t: Transaction, name: str, who: Who, *, one: bool = False, force: bool = False) -> bool:
    """End a pause of any cause, and close the account's breakers. False when it was not paused.

    Args:
        t: where.
        name: the account's.
        who: who says so, and why.
        one: let one task of each operation through first; its answer decides whether the others follow.
        force: end the penalties of its limit group, too.

    Raises:
        BadInput: when no such account is known.
    """
    account = _known(t, name)
    if one and account.paused_cause == Cause.BALANCE:
        _update(t, account, probe_at=t.now)
    else:
        _update(t, account, **_RESUMED, resumed_at=t.now)
    breaker.close(t, name)
    for operation in Operation if one else ():
        breaker.half_open(t, name, operation, f"{who.who} lets one task try")
    if force:
        permits.forgive(t, account.limit_group or name)
    record_action(t, who, "try one" if one else "resume", name, "penalties ended" if force else "")
    return account.paused_at is not None


def try_one(t: Transaction, name: str, operation: Operation, who: Who) -> bool:
    """Let one task through now where an open breaker keeps all of them. False: none is open, or one tries already.

    Raises:
        BadInput: when no such account is known.
    """
    _known(t, name)
    if not breaker.load(t, name, operation).half_open or not breaker.half_open(t, name, operation, ""):
        return False
    record_action(t, who, "try one", name, operation.value)
    return True


def _known(t: Transaction, name: str) -> AccountRow:
    account = locked(t, name)
    if account is None:
        raise BadInput(f"no account named {name!r}; `redrive accounts` lists them")
    return account


Answers = Sequence[tuple[datetime, Mapping[int, Outcome | CheckResult]]]
"""Calls, each with the moment it was opened and its answers by task."""


def learn(
    t: Transaction, account: AccountRow, rules: Rules, operation: Operation, calls: Answers, *, probe: bool
) -> AccountRow:
    """What calls tell of the account; returns it as it is now.

    What was opened before the last ``resume`` is old news and tells nothing.
    """
    since = account.resumed_at
    news = [each for opened_at, answers in calls if since is None or opened_at >= since for each in answers.items()]
    refusals = refusals_after(account.refusals, (answer for _, answer in news))
    in_a_row, longest = forbidden.count(t, account.name, operation, news, going=account.forbidden > 0)
    blocked = _why_blocked([answer for _, answer in news], refusals, in_a_row, operation, rules)
    if blocked is not None:
        return _block(t, account, blocked)
    if probe and account.paused_cause == Cause.BALANCE and any(isinstance(answer, _PAID) for _, answer in news):
        record_action(t, Who("redrive", "the probe went through"), "resume", account.name)
        forbidden.forget(t, account.name)
        return _update(t, account, **_RESUMED, resumed_at=t.now)
    if (refusals, longest) != (account.refusals, account.forbidden):
        return _update(t, account, refusals=refusals, forbidden=longest)
    return account


def refusals_after(refusals: int, answers: Iterable[Outcome | CheckResult]) -> int:
    """So many refusals without an acceptance between them, and more answers: how many are there now?"""
    for answer in answers:
        if isinstance(answer, Accepted):
            refusals = 0
        elif isinstance(answer, Refused | Already):
            refusals += 1
    return refusals


def _why_blocked(
    answers: Sequence[Outcome | CheckResult], refusals: int, in_a_row: int, operation: Operation, rules: Rules
) -> Blocked | None:
    for answer in reversed(answers):
        if isinstance(answer, Blocked):
            return answer
    refused = (a for a in reversed(answers) if isinstance(a, Already | Refused | Unreadable))
    words = next((answer_words(a.http_status, a.code, a.message) for a in refused), "")
    if in_a_row >= forbidden.IN_A_ROW:
        return Blocked(cause=Cause.CREDENTIALS, http_status=403, message=_FORBIDDEN[operation].format(in_a_row, words))
    if refusals >= rules.breaker.max_refusals:
        return Blocked(cause=Cause.REFUSALS, message=f"{refusals} refusals without one acceptance, last: {words}")
    return None


_FORBIDDEN = {
    Operation.RETRY: "{} tasks in a row forbidden: {}",
    Operation.CHECK: "checks of {} tasks in a row forbidden: {}; give the credential the permission to read them",
}


def _block(t: Transaction, account: AccountRow, blocked: Blocked) -> AccountRow:
    """Pause for what the provider answered last. A pause by an operator stays, and so does one of the same cause."""
    probe_at = moments.latest_probe(t.now) if blocked.cause is Cause.BALANCE else None
    if account.paused_cause == blocked.cause and probe_at is not None:
        return _update(t, account, probe_at=probe_at)
    if account.paused_cause in {blocked.cause, Cause.OPERATOR}:
        return account
    reason = storable(answer_words(blocked.http_status, blocked.code, blocked.message))
    record_action(t, Who("redrive", reason), "pause", account.name)
    forbidden.forget(t, account.name)
    return _update(
        t, account, paused_at=t.now, paused_cause=blocked.cause.value, paused_reason=reason, paused_by="redrive",
        probe_at=probe_at, refusals=0, forbidden=0,
    )  # fmt: skip


def probing(t: Transaction, account: AccountRow) -> None:
    """A probe is on its way: the next one not before this one had its time."""
    _update(t, account, probe_at=moments.latest_probe(t.now))


def _update(t: Transaction, account: AccountRow, **values: Any) -> AccountRow:
    t.execute(update(accounts).where(accounts.c.name == account.name).values(**values))
    return replace(account, **values)


def providers(t: Transaction) -> dict[str, str]:
    """Account → provider, of every account that was ever configured on this database."""
    return {row.name: row.provider for row in t.rows(select(accounts.c.name, accounts.c.provider))}
