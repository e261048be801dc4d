"""What no account can see of itself: whether accounts agree with each other."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from ..errors import SettingsError
from .accounts import AccountSettings
from .findings import Findings
from .secrets import FromEnv, FromFile, doubt

Credential = tuple[str, str, frozenset[tuple[str, Any]]]
"""Provider, address, and the options that name somebody there."""


def check_groups(accounts: Iterable[AccountSettings], findings: Findings) -> None:
    """Accounts of one limit group share one row per API path, so they must mean the same pace at one provider."""
    first: dict[str, AccountSettings] = {}
    for account in accounts:
        other = first.setdefault(account.limits.group, account)
        mine = findings.under(f"accounts.{account.name}.limits")
        where = f"accounts.{other.name}, which is in the same group"
        if account.provider != other.provider:
            mine.wrong("group", f"has another provider than {where}; name another group")
            continue
        for key in ("calls_per_minute", "calls_per_hour"):
            if getattr(account.limits, key) != (rate := getattr(other.limits, key)):
                mine.wrong(key, f"is not that of {where}; set both to {rate:.12g}, or name another group")


def check_credentials(
    accounts: Iterable[AccountSettings], options: Mapping[str, Mapping[str, Any]], findings: Findings
) -> None:
    """No credential twice: two accounts would each spend the whole quota of one, and retry one task twice.

    Args:
        accounts: those to compare.
        options: account name → its options, as written or resolved.
        findings: where a second account with a credential is noted.
    """
    first: dict[Credential, AccountSettings] = {}
    for account in accounts:
        identity = account.identity(options[account.name])
        credential = (account.provider, account.base_url, frozenset(identity.items()))
        if identity and (other := first.setdefault(credential, account)) is not account:
            words = f"is the same credential as accounts.{other.name}, at the same address; keep one of the two"
            findings.wrong(f"accounts.{account.name}.{next(iter(identity))}", words)


def check_secrets(accounts: Iterable[AccountSettings], environ: Mapping[str, str]) -> list[str]:
    """What is wrong with the values kept outside the file, read as this process would read them."""
    findings, resolved = Findings(), {}
    accounts = list(accounts)
    for account in accounts:
        try:
            resolved[account.name] = account.resolve(environ)
        except SettingsError as error:
            findings.problems.extend(error.problems)
    check_credentials([account for account in accounts if account.name in resolved], resolved, findings)
    return findings.problems


def doubtful_secrets(accounts: Iterable[AccountSettings], environ: Mapping[str, str]) -> list[str]:
    """What is probably wrong with secrets that are there, each under its key and never with its value."""
    findings = Findings()
    for account in accounts:
        for key, value in account.options.items():
            if not (isinstance(value, FromEnv | FromFile) and account.capabilities.options[key].secret):
                continue
            with suppress(ValueError):  # missing or unreadable: check_secrets says so
                if what := doubt(value.read(environ)):
                    findings.warn(f"accounts.{account.name}.{key}", what)
    return findings.warnings
