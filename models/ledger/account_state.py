"""How a batch's account stands, and what the answers to calls change of that: pauses, breaker, penalties."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from ..outcome import Accepted, CheckResult, Deferred, Outcome, Reading, Throttled, Unknown, Unsent
from ..rules import GROUP_WIDE, Rules
from ..sql.db import Transaction
from . import accounts, breaker, moments, pace, permits
from .batches import Work, lock_own
from .health import call_of
from .totals import Steps

LOCAL = "#local"
"""The path of what needs no call and so no permit: tasks the provider's own rules refuse."""


@dataclass(frozen=True, slots=True)
class CallResult:
    """One call that was made, or given up.

    Attributes:
        asked_at: the moment its attempts were opened, or the check was asked.
        extra_calls: API paths of further calls made for it (logins, halves, pages): they count as calls, too.
    """

    path: str
    asked_at: datetime
    answers: Mapping[int, Outcome | CheckResult]
    extra_calls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AccountState:
    """What holds a batch's calls back or lets them go.

    Attributes:
        account: its row; None when it is gone.
        breaker: of the batch's operation.
        paths: the group's API paths.
    """

    account: accounts.AccountRow | None
    breaker: breaker.Breaker
    paths: Mapping[str, permits.Path]

    @property
    def untroubled(self) -> bool:
        """Whether good news changes nothing of the account and its breaker."""
        account = self.account
        calm = account is not None and account.paused_at is None and not (account.refusals or account.forbidden)
        return calm and self.breaker == breaker.Breaker(why=self.breaker.why)


def account_state(t: Transaction, work: Work, news: Sequence[CallResult], *, begun: bool, calm: bool) -> AccountState:
    """How the batch's account stands, the batch under lock, and the account where this step may change it.

    An account under lock makes all steps of its batches wait for each other. Good news of an untroubled account, and
    beginning a batch, write nothing of it, and only read it.

    Raises:
        StaleBatch: the batch is not ours any more.
    """
    if begun:
        return _standing(t, work, accounts.read(t, work.rules.account))
    if calm and not work.probe and all(map(is_good, news)):
        found = _standing(t, work, accounts.read(t, work.rules.account))
        if found.untroubled:
            lock_own(t, work)
            return found
    account = accounts.locked(t, work.rules.account)
    lock_own(t, work)
    return _standing(t, work, account)


def _standing(t: Transaction, work: Work, account: accounts.AccountRow | None) -> AccountState:
    return AccountState(account, *pace.read(t, work.rules, work.operation))


def is_good(each: CallResult) -> bool:
    """Whether a call brought nothing but good news."""
    return all(isinstance(answer, Accepted | Reading) for answer in each.answers.values())


@dataclass(frozen=True, slots=True)
class Heard:
    """What calls say of the account.

    Attributes:
        stop: make no more calls.
        paths: the group's API paths as they are now.
        steps: how totals move.
    """

    stop: bool
    paths: Mapping[str, permits.Path] = field(default_factory=dict)
    steps: Steps = field(default_factory=Steps)


def learn(t: Transaction, work: Work, before: AccountState, news: Sequence[CallResult]) -> Heard:
    """What calls say of the account, its paths and its breaker."""
    if before.account is None:
        return Heard(stop=True)
    calls = [each for each in news if each.path != LOCAL]
    answers = [(each.asked_at, each.answers) for each in calls]
    account = accounts.learn(t, before.account, work.rules, work.operation, answers, probe=work.probe)
    health = [call for each in calls if (call := call_of(each.answers)) is not None]
    healthy = breaker.feed(t, work.rules, work.operation, before.breaker, health, batch_id=work.id)
    stop = not (healthy and account.lets_act(probe=work.probe))
    return Heard(stop, _paced(t, work.rules, calls, before.paths), calls_made(work, calls))


def _paced(
    t: Transaction, rules: Rules, calls: Sequence[CallResult], paths: Mapping[str, permits.Path]
) -> Mapping[str, permits.Path]:
    """The paths once answers that ask for patience moved theirs; one that went through ends unnamed waits' growth."""
    news = [(each.path, answer) for each in calls for answer in each.answers.values()]
    throttled = [(path, asked) for path, answer in news if (asked := _patience(answer)) is not None]
    permits.penalize(t, rules, throttled)
    slowed = permits.slow(t, rules, _paces(news), paths)
    through = {path for path, answer in news if not isinstance(answer, Throttled | Deferred | Unknown | Unsent)}
    if any(path in paths and paths[path].throttles for path in (*through, GROUP_WIDE)):
        permits.relieve(t, rules, through)
    return permits.paths_of(t, rules) if throttled or slowed else paths


def _paces(news: Iterable[tuple[str, Outcome | CheckResult]]) -> dict[str, float]:
    """The longest wait that answers ask for on each path, whatever they mean for their tasks."""
    paces: dict[str, float] = {}
    for path, answer in news:
        if (seconds := moments.wait_seconds(answer.pace)) is not None:
            paces[path] = max(seconds, paces.get(path, 0.0))
    return paces


def _patience(answer: Outcome | CheckResult) -> Throttled | None:
    """What an answer asks for: its path waits, whatever the answer means for the task."""
    if isinstance(answer, Unknown) and answer.wait_seconds is not None:
        return Throttled(wait_seconds=answer.wait_seconds, code=answer.code, message=answer.message)
    return answer if isinstance(answer, Throttled) else None


def calls_made(work: Work, calls: Sequence[CallResult]) -> Steps:
    """Every HTTP call counts, by operation."""
    made = sum(
        len(each.extra_calls) + any(not isinstance(a, Unsent | Deferred) for a in each.answers.values())
        for each in calls
    )
    return Steps({(work.rules.account, f"calls:{work.operation}"): made})
