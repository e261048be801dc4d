"""The retry policy, pure: from what happened to when it is tried again, or why never."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random

from .doubling import doubled
from .settings.policy import Policy
from .states import DeadReason


class Event(StrEnum):
    """What a task came back from."""

    FAILED = "failed"
    """Its retry ran and failed, or may have."""
    UNDELIVERED = "undelivered"
    """No byte of its retry left this machine."""
    DISPUTED = "disputed"
    """The provider would not retry it, and a check found it failed all the same."""
    DENIED = "denied"
    """The provider would not retry it, and shows no such task either."""


@dataclass(frozen=True, slots=True)
class TaskStanding:
    """Where a task stands when the policy is asked.

    Attributes:
        spent: retries that count against the limit.
        limit: retries allowed.
        errors: calls in a row that were not delivered, or disputed.
        refusals: disputed refusals in a row.
        round_at: when the task was added, newly reported as failed, or revived.
    """

    spent: int
    limit: int
    errors: int
    refusals: int
    round_at: datetime


@dataclass(frozen=True, slots=True)
class RetryAt:
    """Try again at this moment."""

    when: datetime


@dataclass(frozen=True, slots=True)
class Dead:
    """Never again, for this reason."""

    reason: DeadReason


Stood = Callable[[datetime], timedelta]
"""How long an account has stood still since a moment: work was due, and nobody could call.

It may ask the database, so it is called only where the answer can matter.
"""


def never_stood(_since: datetime) -> timedelta:
    """An account that was never kept from calling."""
    return timedelta()


def age_of(since: datetime, now: datetime, stood: Stood) -> timedelta:
    """The time since a moment on the account's own clock, which stands still while the account does."""
    return max(now - since - stood(since), timedelta())


def has_passed(seconds: float, since: datetime, now: datetime, stood: Stood) -> bool:
    """Whether so much time has passed on the account's own clock."""
    limit = timedelta(seconds=seconds)
    return now - since >= limit and age_of(since, now, stood) >= limit


_REFUSED_FOR_GOOD = 2
_REFUSED = {Event.DISPUTED: DeadReason.REFUSED, Event.DENIED: DeadReason.NOT_FOUND}


def decide(
    policy: Policy, standing: TaskStanding, event: Event, *, now: datetime, rng: Random, stood: Stood = never_stood
) -> RetryAt | Dead:
    """What becomes of a task that came back. The only place where ``too_old`` and backoff are decided."""
    if event in _REFUSED and standing.refusals >= _REFUSED_FOR_GOOD:
        return Dead(_REFUSED[event])
    if event is Event.UNDELIVERED and standing.errors >= policy.max_errors:
        return Dead(DeadReason.UNDELIVERABLE)
    if standing.spent >= standing.limit:
        return Dead(DeadReason.LIMIT_REACHED)
    if has_passed(policy.give_up_after_seconds, standing.round_at, now, stood):
        return Dead(DeadReason.TOO_OLD)
    turns = standing.spent if event is Event.FAILED else standing.errors
    return RetryAt(now + timedelta(seconds=jittered(policy, backoff_seconds(policy, turns), rng)))


def backoff_seconds(policy: Policy, turns: int) -> float:
    """The wait after the n-th turn, before jitter. The first try waits for nothing."""
    if turns < 1:
        return 0.0
    if not isinstance(policy.backoff, str):
        return float(policy.backoff[min(turns, len(policy.backoff)) - 1])
    match policy.backoff:
        case "constant":
            seconds = policy.base_seconds
        case "linear":
            seconds = policy.base_seconds * turns
        case _:
            seconds = _exponential(policy, turns)
    return min(seconds, policy.max_seconds)


def _exponential(policy: Policy, turns: int) -> float:
    try:
        return float(policy.base_seconds * policy.factor ** (turns - 1))
    except OverflowError:
        return policy.max_seconds


def jittered(policy: Policy, seconds: float, rng: Random) -> float:
    """The wait with its dice thrown: the whole of it, half of it, or none of it."""
    match policy.jitter:
        case "full":
            return rng.uniform(0, seconds)
        case "equal":
            return seconds / 2 + rng.uniform(0, seconds / 2)
        case _:
            return seconds


def next_check_seconds(policy: Policy, age_seconds: float) -> float:
    """How long until a followed task is checked again: checks grow rarer as the status grows older."""
    return min(max(policy.check_after_seconds, age_seconds), policy.check_max_seconds)


LONGEST_UNREADABLE_SECONDS = 3600.0


def unread_check_seconds(policy: Policy, errors: int, *, was_answered: bool) -> float:
    """How long until the next check after so many in a row that could not be read: twice as long each time.

    An outage ends one day, so waits for an answer end at ``check_max_seconds``. Answers that nobody understands are
    likely to stay so: waits for others grow on, to an hour.
    """
    longest = policy.check_max_seconds
    if was_answered:
        longest = max(longest, LONGEST_UNREADABLE_SECONDS)
    return doubled(policy.check_after_seconds, errors - 1, longest)
