"""The retry policy, pure: from what happened to when it is tried again, or why never."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from random import Random

from .settings.policy import Policy
from .states import DeadReason


class Event(StrEnum):
    """What a task came back from."""

    FAILED = "failed"
    """Its retry ran and failed, or may have."""
    UNDELIVERED = "undelivered"
    """No byte of its retry left this machine."""
    DISPUTED = "disputed"
    """The provider would not retry it, and a look found it failed all the same."""


@dataclass(frozen=True, slots=True)
class Standing:
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


_REFUSED_FOR_GOOD = 2


def decide(policy: Policy, standing: Standing, event: Event, *, now: datetime, rng: Random) -> RetryAt | Dead:
    """What becomes of a task that came back. The only place where ``too_old`` and backoff are decided."""
    if event is Event.DISPUTED and standing.refusals >= _REFUSED_FOR_GOOD:
        return Dead(DeadReason.REFUSED)
    if event is Event.UNDELIVERED and standing.errors >= policy.max_errors:
        return Dead(DeadReason.UNDELIVERABLE)
    if standing.spent >= standing.limit:
        return Dead(DeadReason.LIMIT_REACHED)
    if now - standing.round_at >= timedelta(seconds=policy.give_up_after_seconds):
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


def next_look_seconds(policy: Policy, age_seconds: float) -> float:
    """How long until a followed task is looked at again: looks grow rarer as the status grows older."""
    return min(max(policy.check_after_seconds, age_seconds), policy.check_max_seconds)
