"""What the ledger must know of an account to decide: one value, made from settings, without secrets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING

from .capabilities import Capabilities, Kind
from .providers import capabilities_of
from .settings.policy import Policy

if TYPE_CHECKING:
    from .settings import AccountSettings, Settings

GROUP_WIDE = ""
"""The path of a limit that stops every path of a group."""

LATE_SECONDS = 2.0
"""How late after its permit's moment a call may leave: commits and connections take their time."""


@dataclass(frozen=True, slots=True)
class BreakerRules:
    """When an account's operation is left alone for a while.

    Attributes:
        failures: calls in a row without a usable answer that open the breaker.
        open_seconds: how long it stays open the first time; doubled each time the probe fails.
        max_open_seconds: the longest it stays open.
        max_refusals: refusals in a row, without one acceptance, that pause the account.
    """

    failures: int = 5
    open_seconds: float = 30
    max_open_seconds: float = 600
    max_refusals: int = 100


@dataclass(frozen=True, slots=True)
class Rules:
    """One account's rules.

    Attributes:
        account: its name.
        group: accounts of one group share their API paths' rates and penalties.
        interval_seconds: the least time between two permits on one path.
        batch_size: tasks one claim takes at most.
        max_in_flight: unfinished batches allowed, per operation.
        timeout_seconds: the longest one call may take.
        lease_seconds: how long a worker may work on a batch, from its begin.
        archives: whether the provider's result is kept before a retry overwrites it.
        failures: failure code, or part of one → the code that is stored instead.
    """

    account: str
    capabilities: Capabilities
    policy: Policy
    group: str
    interval_seconds: float
    batch_size: int = 100
    max_in_flight: int = 4
    timeout_seconds: float = 30
    lease_seconds: float = 120
    archives: bool = False
    breaker: BreakerRules = BreakerRules()
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def provider(self) -> str:
        """The provider's name."""
        return self.capabilities.provider


def rules_of(settings: "Settings") -> dict[str, Rules]:
    """The rules of every configured account, by name."""
    return {name: account_rules(settings, account) for name, account in settings.accounts.items()}


def default_rules(account: str, capabilities: Capabilities) -> Rules:
    """Rules for an account that is not configured here: enough to add, report, operate and rescue, not to send."""
    interval = interval_seconds(capabilities.calls_per_minute, capabilities.calls_per_hour)
    return Rules(account, capabilities, Policy(), group=account, interval_seconds=interval)


def rules_without_settings(account: str, provider: str | None) -> Rules:
    """Rules for an account that nobody has configured, perhaps a misspelt one: enough to hold, release and stop."""
    try:
        capabilities = capabilities_of(provider) if provider else None
    except Exception:  # noqa: BLE001 - somebody else's package may raise anything when it is loaded
        capabilities = None
    return default_rules(account, capabilities or _NOBODYS)


_NOBODYS = Capabilities(
    provider="", title="its provider", base_url="", kinds=(Kind("", "", ""),), check_ids=0, options={}, credentials=()
)
"""Of a provider that nobody knows: no call of it was ever made, so there is nothing to be checked first."""


def interval_seconds(calls_per_minute: float, calls_per_hour: float) -> float:
    """The time between permits with which no sliding minute or hour sees more calls than allowed.

    A late call may be followed by punctual ones: calls of a minute have permits from a minute and the lateness before
    it, so that many must share that time. Rounded up to what a moment can hold.
    """
    seconds = max((60 + LATE_SECONDS) / calls_per_minute, (3600 + LATE_SECONDS) / calls_per_hour)
    return ceil(seconds * 1_000_000) / 1_000_000


def account_rules(settings: "Settings", account: "AccountSettings") -> Rules:
    """One account's rules, from its settings and the general ones."""
    limits, breaker = account.limits, settings.breaker
    return Rules(
        account=account.name,
        capabilities=account.capabilities,
        policy=account.policy,
        group=limits.group,
        interval_seconds=interval_seconds(limits.calls_per_minute, limits.calls_per_hour),
        batch_size=limits.batch_size,
        max_in_flight=limits.max_in_flight,
        timeout_seconds=limits.timeout_seconds,
        lease_seconds=limits.lease_seconds,
        archives=bool(account.options.get("archive_results")),
        failures=account.failures,
        breaker=BreakerRules(
            failures=breaker.failures,
            open_seconds=breaker.open_seconds,
            max_open_seconds=breaker.max_open_seconds,
            max_refusals=breaker.max_refusals,
        ),
    )
