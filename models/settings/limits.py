"""How fast and in what portions an account's provider is called."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, ValidationInfo

from ..capabilities import Capabilities
from ..states import Operation
from .findings import Findings
from .section import Seconds, Section, at_least, read_section

NAME = r"[a-z0-9][a-z0-9_-]{0,63}"
NAME_WORDS = "use 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or digit"

MOST_TASKS = 1000
"""Tasks per claim where a call takes one id each, so that nothing but the size of a transaction bounds it."""

DEFAULT_BATCH = 100

Rate = Annotated[float, Field(gt=0, le=1_000_000_000)]


def _group(text: str) -> str:
    if re.fullmatch(NAME, text):
        return text
    raise ValueError(f"is not a name for a group; {NAME_WORDS}")


def _within_cap(value: int, info: ValidationInfo) -> int:
    if isinstance(info.context, Capabilities) and value > (most := _most_per_batch(info.context)):
        raise ValueError(f"is above the provider's cap; {info.context.title} takes at most {most} per call")
    return value


class Limits(Section):
    """An account's limits. The rates are per API path and hold across all workers.

    Attributes:
        group: accounts that share a quota at the provider name the same group.
        calls_per_minute: no sliding minute sees more calls leave; they are spread evenly over it.
        calls_per_hour: the same for an hour; the slower of the two wins.
        batch_size: tasks per claim and, where the provider takes many ids, per call.
        max_in_flight: batches on their way at once, per operation.
        concurrency: calls at once, per worker process.
        timeout_seconds: the longest a call may take.
        lease_seconds: how long a begun batch belongs to its worker.
    """

    group: Annotated[str, AfterValidator(_group)]
    calls_per_minute: Rate
    calls_per_hour: Rate
    batch_size: Annotated[int, Field(ge=1, le=MOST_TASKS), AfterValidator(_within_cap)]
    max_in_flight: Annotated[int, Field(ge=1, le=1000)] = 4
    concurrency: Annotated[int, Field(ge=1, le=1000)]
    timeout_seconds: Seconds = 30
    lease_seconds: Annotated[Seconds, at_least("timeout_seconds", times=2, plus=1)] = 120


def default_limits(account: str, capabilities: Capabilities) -> dict[str, Any]:
    """What an account of this provider has when it says nothing."""
    return {
        "group": account,
        "calls_per_minute": capabilities.calls_per_minute,
        "calls_per_hour": capabilities.calls_per_hour,
        "batch_size": min(DEFAULT_BATCH, _most_per_batch(capabilities)),
        "concurrency": capabilities.concurrency,
    }


def read_limits(account: str, table: dict[str, Any], capabilities: Capabilities, findings: Findings) -> Limits | None:
    """An account's limits, the provider's defaults filled in."""
    limits = read_section(Limits, default_limits(account, capabilities) | table, findings, capabilities)
    if limits:
        _warn_of_rates(limits, capabilities, findings)
    return limits


def _most_per_batch(capabilities: Capabilities) -> int:
    ids = capabilities.ids_per_call(Operation.RETRY)
    return ids if ids > 1 else MOST_TASKS


def _warn_of_rates(limits: Limits, capabilities: Capabilities, findings: Findings) -> None:
    published = {
        "calls_per_minute": capabilities.published_per_minute,
        "calls_per_hour": capabilities.published_per_hour,
    }
    for key, most in published.items():
        if most is not None and getattr(limits, key) > most:
            findings.warn(key, f"is above the rate {capabilities.title} publishes, {most:g}; going over may lock it")
