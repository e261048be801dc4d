"""An account: one credential at one provider, with its own limits and policy."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any

from pydantic import Field, InstanceOf

from ..capabilities import Capabilities
from ..failure import LONGEST
from ..providers import known_providers
from .findings import Findings
from .limits import NAME, NAME_WORDS, Limits, read_limits
from .network import checked_proxy, read_ca_file, read_proxy
from .options import Value, checked, read_options
from .policy import GeneralPolicy, Policy, read_policy
from .secrets import FromEnv, FromFile, Reference
from .section import Section, as_table
from .urls import api_url

SUBTABLES = ("limits", "policy", "failures")
OWN_KEYS = ("provider", "base_url", "allow_http", "ca_file", "proxy", *SUBTABLES)
"""The keys of an account's table that do not depend on its provider."""


class AccountSettings(Section):
    """What the file says about one account. It holds no secret, only where each is kept.

    Attributes:
        name: the account's name, as tasks carry it.
        capabilities: what its provider can do.
        base_url: the provider's address, without a slash at the end.
        allow_http: whether it, and a login's, may be ``http://`` beyond this machine.
        ca_file: certificates that are trusted besides the usual authorities'.
        proxy: the proxy that calls go through, or where its address is kept.
        options: the provider's own keys.
        limits: how fast and in what portions it is called.
        policy: the whole policy, within the provider's own cap.
        failures: failure code, or part of one → the code that is stored instead.
    """

    name: str
    capabilities: InstanceOf[Capabilities] = Field(repr=False)
    base_url: str
    allow_http: bool = False
    ca_file: Path | None = None
    proxy: str | Reference | None = None
    options: Mapping[str, Value]
    limits: Limits
    policy: Policy
    failures: Mapping[str, str] = {}

    @property
    def provider(self) -> str:
        """The provider's name in settings and queues."""
        return self.capabilities.provider

    def resolve(self, environ: Mapping[str, str]) -> dict[str, Any]:
        """The provider's own keys with their values. They hold secrets: keep them out of anything that is shown.

        Raises:
            SettingsError: naming every key and variable or file that is missing, empty, unreadable or not allowed.
        """
        findings = Findings(f"accounts.{self.name}")
        values: dict[str, Any] = {}
        for key, value in self.options.items():
            try:
                values[key] = self._resolved(key, value, environ)
            except ValueError as error:
                findings.wrong(key, str(error))
        try:
            self.proxy_url(environ)
        except ValueError as error:
            findings.wrong("proxy", str(error))
        findings.raise_if_wrong()
        return values

    def proxy_url(self, environ: Mapping[str, str]) -> str:
        """The proxy's address, which may hold a password; empty when there is none.

        Raises:
            ValueError: it is missing, unreadable or not the address of a proxy.
        """
        if isinstance(self.proxy, FromEnv | FromFile):
            return checked_proxy(self.proxy.read(environ))
        return checked_proxy(self.proxy) if self.proxy else ""

    def identity(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """What of these options makes two accounts the same credential."""
        known = self.capabilities.options
        return {key: value for key, value in options.items() if known[key].identity}

    def _resolved(self, key: str, value: Value, environ: Mapping[str, str]) -> str | bool:
        if isinstance(value, FromEnv | FromFile):
            return checked(key, value.read(environ), self.capabilities.options[key], allow_http=self.allow_http)
        return value


@dataclass(frozen=True, slots=True)
class Shared:
    """What the accounts of one file share, read once for all of them.

    Attributes:
        folder: where the file lies: relative paths start there.
        policy: the general one.
        capabilities_of: finds those of a provider, or None. It searches the installed packages, so it must remember.
    """

    folder: Path
    policy: GeneralPolicy
    capabilities_of: Callable[[str], Capabilities | None]


def read_account(name: str, table: dict[str, Any], shared: Shared, findings: Findings) -> AccountSettings | None:
    """One ``[accounts.NAME]`` table, or None when something in it is wrong."""
    if not re.fullmatch(NAME, name):
        findings.wrong("", f"is not a name for an account; {NAME_WORDS}")
        name = "account"  # so that the group, which has the account's name, is not reported as well
    capabilities = _capabilities(table.get("provider"), shared, findings)
    if capabilities is None:
        return None
    findings.refuse_unknown(table, {*OWN_KEYS, *capabilities.options})
    allow_http = _allow_http(table, findings)
    options = read_options(table, capabilities, shared.folder, findings, allow_http=allow_http)
    ca_file, proxy = read_ca_file(table, shared.folder, findings), read_proxy(table, shared.folder, findings)
    base_url = _base_url(table, options, capabilities, findings, allow_http=allow_http)
    below = findings.under("limits")
    limits = read_limits(name, as_table(table.get("limits", {}), below), capabilities, below)
    below = findings.under("policy")
    policy = read_policy(as_table(table.get("policy", {}), below), shared.policy, capabilities, below)
    failures = _failures(as_table(table.get("failures", {}), below := findings.under("failures")), below)
    if base_url is None or limits is None or policy is None or findings.reported(""):
        return None
    return AccountSettings(
        name=name,
        capabilities=capabilities,
        base_url=base_url,
        allow_http=allow_http,
        ca_file=ca_file,
        proxy=proxy,
        options=options,
        limits=limits,
        policy=policy,
        failures=failures,
    )


def _failures(table: Mapping[str, Any], findings: Findings) -> dict[str, str]:
    for part, code in table.items():
        if not isinstance(code, str) or not 1 <= len(code) <= LONGEST or not code.isprintable():
            findings.wrong(part, f"must be a failure code: text of 1 to {LONGEST} characters")
    return {part: str(code) for part, code in table.items()}


def _capabilities(provider: object, shared: Shared, findings: Findings) -> Capabilities | None:
    capabilities = None
    try:
        capabilities = shared.capabilities_of(provider) if isinstance(provider, str) else None
    except Exception as error:  # noqa: BLE001 - importing somebody else's package may raise anything
        findings.wrong("provider", f"cannot be loaded ({type(error).__name__}); repair or remove its package")
        return None
    if capabilities is None:
        findings.wrong("provider", f"must be one of {', '.join(known_providers())}")
    return capabilities


def _allow_http(table: Mapping[str, Any], findings: Findings) -> bool:
    allow_http = table.get("allow_http", False)
    if not isinstance(allow_http, bool):
        findings.wrong("allow_http", "must be true or false, without quotes")
    return allow_http is True


def _base_url(
    table: Mapping[str, Any],
    options: Mapping[str, Value],
    capabilities: Capabilities,
    findings: Findings,
    *,
    allow_http: bool,
) -> str | None:
    """The address in the table, or the provider's own with its ``{fields}`` filled from the options."""
    text = table["base_url"] if "base_url" in table else _own_address(capabilities.base_url, options, findings)
    if text is None:
        return None
    try:
        return api_url(text, allow_http=allow_http).removesuffix(capabilities.optional_path)
    except ValueError as error:
        findings.wrong("base_url", str(error))
        return None


def _own_address(template: str, options: Mapping[str, Value], findings: Findings) -> str | None:
    fields = [field for _, field, _, _ in Formatter().parse(template) if field]
    unfilled = [field for field in fields if not isinstance(options.get(field), str)]
    for field in unfilled:
        if not findings.reported(field):
            findings.wrong(field, "is part of the provider's address; write it here as it is, or set base_url")
    return None if unfilled else template.format_map(options)
