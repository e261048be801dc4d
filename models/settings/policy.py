"""The retry policy's knobs. The rule that turns them into moments is ``redrive.models.policy.decide``."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails

from ..capabilities import Capabilities
from .findings import Findings
from .section import Seconds, Section, at_least, tell, validated

Curve = Literal["exponential", "linear", "constant"]
Timetable = Annotated[tuple[Seconds, ...], Field(min_length=1, max_length=1000)]

_timetable: TypeAdapter[tuple[float, ...]] = TypeAdapter(Timetable)


def _within_cap(value: int, info: ValidationInfo) -> int:
    if isinstance(info.context, Capabilities) and (cap := info.context.retry_cap) is not None and value > cap:
        raise ValueError(f"is above the provider's cap; {info.context.title} takes at most {cap} per task")
    return value


RetryLimit = Annotated[int, Field(ge=0, le=1000), AfterValidator(_within_cap)]

WORDS_OF_RULES: Mapping[str, dict[str, Any]] = {"retry": {}, "never": {"never": True}}


class FailureRule(Section):
    """What is different for tasks whose work failed in one way.

    Attributes:
        never: it is not retried at all.
        max_retries: retries per task; None: as for others.
        base_seconds: the wait after the first attempt; None: as for others.
        max_seconds: the longest wait; None: as for others.
    """

    never: bool = False
    max_retries: RetryLimit | None = None
    base_seconds: Seconds | None = None
    max_seconds: Seconds | None = None

    @property
    def changes(self) -> dict[str, Any]:
        """The policy's keys that it replaces. A wait that begins above the policy's longest one makes that longer."""
        return {key: value for key, value in self if key != "never" and value is not None}


def _rule_of(value: object) -> object:
    if isinstance(value, str):
        if value not in WORDS_OF_RULES:
            raise ValueError(f"must be {' or '.join(WORDS_OF_RULES)}, or a table such as {{ max_retries = 1 }}")
        return WORDS_OF_RULES[value]
    if isinstance(value, dict) and "never" in value:
        raise ValueError('never is a word of its own: write "never" instead of the table')
    return value


FailureCode = Annotated[str, Field(min_length=1, max_length=64)]
OnFailure = Mapping[FailureCode, Annotated[FailureRule, BeforeValidator(_rule_of)]]


class Policy(Section):
    """When a failed task is tried again, when it is checked, and when it is given up.

    Attributes:
        max_retries: retries per task; a provider's own cap wins, and is already applied here for an account's policy.
        retry_canceled: whether canceled tasks are retried as failed ones are.
        backoff: how the wait grows after each attempt, or the waits themselves, in seconds (the last one repeats).
        base_seconds: the wait after the first attempt.
        factor: what an exponential wait is multiplied by after each attempt.
        max_seconds: the longest wait.
        jitter: how much of a wait is left to the dice: all of it, half of it, nothing.
        max_errors: failures in a row of the task's own before it is given up: retries for which there is no call
            (dead, ``undeliverable``), and checks that nobody can read (held, or as ``on_unknown`` says).
        give_up_after_seconds: age of a task's round at which it is dead (``too_old``), on its account's own clock.
        check_after_seconds: from a retry to its first check; later checks come ever more slowly.
        check_max_seconds: the longest time between two checks; those that nobody understands are up to an hour apart.
        settle_seconds: how long a provider may go on showing the state from before the retry.
        check_timeout_seconds: how long a retried task is followed before it is given up or held, on the same clock.
        track_results: whether an accepted retry is followed to its end; otherwise accepted counts as succeeded.
        check_before_retry: whether a task is checked before it is retried; ``auto``: where the provider retries
            by itself.
        on_unknown: what becomes of a task whose doubtful attempt nobody can be asked about.
        on_failure: failure code → ``retry``, ``never``, or what is different for tasks that failed so.
    """

    max_retries: RetryLimit = 5
    retry_canceled: bool = True
    backoff: Curve | tuple[float, ...] = "exponential"
    base_seconds: Seconds = 30
    factor: Annotated[float, Field(ge=1)] = 2.0
    max_seconds: Annotated[Seconds, at_least("base_seconds")] = 3600
    jitter: Literal["full", "equal", "none"] = "full"
    max_errors: Annotated[int, Field(ge=1, le=1000)] = 20
    give_up_after_seconds: Seconds = 604800
    check_after_seconds: Seconds = 30
    check_max_seconds: Annotated[Seconds, at_least("check_after_seconds")] = 300
    settle_seconds: Seconds = 60
    check_timeout_seconds: Annotated[Seconds, at_least("settle_seconds")] = 86400
    track_results: bool = True
    check_before_retry: Literal["auto", "always", "never"] = "auto"
    on_unknown: Literal["hold", "retry"] = "hold"
    on_failure: OnFailure = Field(default={})

    def rule_of(self, failure: str | None) -> FailureRule | None:
        """What ``on_failure`` says of a failure code, if anything."""
        return self.on_failure.get(failure) if failure else None

    def of_failure(self, failure: str | None) -> "Policy":
        """The policy for tasks whose work failed so."""
        rule = self.rule_of(failure)
        return self.model_copy(update=rule.changes) if rule is not None and rule.changes else self

    @field_validator("backoff", mode="plain")
    @classmethod
    def _word_or_list(cls, value: object) -> object:
        if value in get_args(Curve):
            return value
        try:
            return _timetable.validate_python(tuple(value) if isinstance(value, list) else value, strict=True)
        except ValidationError:
            raise ValueError(
                "must be exponential, linear, constant or a list of seconds above 0, such as [30, 120, 600]"
            ) from None


Errors = list[ErrorDetails]


class GeneralPolicy:
    """The table ``[policy]``, which the policy of every account begins with.

    Most accounts say nothing of their own: the accounts of one provider then share one value, checked once.
    """

    def __init__(self, table: dict[str, Any]) -> None:
        self._table = table
        self._wrong = [_told(error) for error in validated(Policy, table)[1]]
        self._alone: dict[str, tuple[Policy | None, Errors]] = {}

    def policy(self, own: dict[str, Any], capabilities: Capabilities) -> tuple[Policy | None, Errors]:
        """An account's whole policy, or what is wrong with it that is not wrong with the general one already."""
        if own:
            return self._overridden(own, capabilities)
        if (provider := capabilities.provider) not in self._alone:
            self._alone[provider] = self._overridden({}, capabilities)
        return self._alone[provider]

    def _overridden(self, own: dict[str, Any], capabilities: Capabilities) -> tuple[Policy | None, Errors]:
        policy, errors = validated(Policy, self._capped(capabilities) | own, capabilities)
        return policy, [error for error in errors if error["loc"][0] in own or _told(error) not in self._wrong]

    def _capped(self, capabilities: Capabilities) -> dict[str, Any]:
        """The table as it holds at a provider with a cap of its own."""
        wanted, cap = self._table.get("max_retries", Policy().max_retries), capabilities.retry_cap
        above = isinstance(wanted, int) and cap is not None and wanted > cap
        return self._table | {"max_retries": cap} if above else self._table


def _told(error: ErrorDetails) -> tuple[object, str]:
    return error["loc"], error["msg"]


def read_policy(
    own: dict[str, Any], general: GeneralPolicy, capabilities: Capabilities, findings: Findings
) -> Policy | None:
    """An account's whole policy: the general one, overridden key by key, within the provider's own cap."""
    policy, errors = general.policy(own, capabilities)
    tell(Policy, errors, findings)
    if policy and own:
        warn_of_unused(own, policy, findings)
    return policy


_USED = {
    "exponential": {"base_seconds", "factor", "max_seconds"},
    "linear": {"base_seconds", "max_seconds"},
    "constant": {"base_seconds", "max_seconds"},
}


def warn_of_unused(table: dict[str, Any], policy: Policy, findings: Findings) -> None:
    """Warns of keys that were given and that the backoff does not use. A list of waits uses none."""
    used = _USED[policy.backoff] if isinstance(policy.backoff, str) else set()
    for key in table:
        if key in _USED["exponential"] - used:
            findings.warn(key, "has no effect with this backoff; remove one of the two")
