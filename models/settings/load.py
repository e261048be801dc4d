"""The settings as a whole: the file, the environment, and whether everything in them agrees."""

import os
import re
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import Field

from ..jobs import Queues
from ..providers import capabilities_of
from . import agreement, installation, network
from .accounts import AccountSettings, Shared, read_account
from .environment import Environment, read_environment, warn_of_misspelled
from .findings import Findings
from .policy import GeneralPolicy, Policy, warn_of_unused
from .secrets import FromEnv
from .section import Section, as_table, read_section
from .services import (
    BreakerSettings,
    BrokerSettings,
    FlowerSettings,
    RetentionSettings,
    SchedulerSettings,
    WorkerSettings,
)

SECTIONS: Mapping[str, type[Section]] = {
    "policy": Policy,
    "broker": BrokerSettings,
    "scheduler": SchedulerSettings,
    "worker": WorkerSettings,
    "breaker": BreakerSettings,
    "retention": RetentionSettings,
    "flower": FlowerSettings,
}
"""The tables of the file besides ``[accounts.NAME]``."""


class Settings(Section):
    """Everything that was set, checked together. It holds no provider's secret.

    Attributes:
        policy: the general policy; an account's own is ``accounts[name].policy``.
        accounts: by name.
        environment: what came from ``REDRIVE_*`` variables. Its URLs may hold passwords: see ``hide_password``.
        warnings: "key: what is allowed and worth a check".
    """

    policy: Policy = Policy()
    broker: BrokerSettings = BrokerSettings()
    scheduler: SchedulerSettings = SchedulerSettings()
    worker: WorkerSettings = WorkerSettings()
    breaker: BreakerSettings = BreakerSettings()
    retention: RetentionSettings = RetentionSettings()
    flower: FlowerSettings = FlowerSettings()
    accounts: Mapping[str, AccountSettings] = Field(default_factory=dict)
    environment: Environment = Environment()
    warnings: tuple[str, ...] = ()

    @property
    def secret_variables(self) -> frozenset[str]:
        """The environment variables in which accounts keep what only workers need."""
        values = (value for account in self.accounts.values() for value in account.options.values())
        return frozenset(value.name for value in values if isinstance(value, FromEnv))

    @property
    def queues(self) -> Queues:
        """The queues of this installation: of the name that was given, else of the one its database has."""
        given = self.environment.installation or self.broker.installation
        return Queues(given or installation.of_database(self.environment.used_database_url), public=given is None)


def load(config: Path | None = None, environ: Mapping[str, str] = os.environ, *, required: bool = True) -> Settings:
    """Reads and checks the settings. No secret is read: see :func:`check_secrets`.

    Args:
        config: the file; otherwise the one that ``REDRIVE_CONFIG`` names, otherwise ``redrive.toml``.
        environ: the environment.
        required: False: without a file, the defaults hold and there are no accounts.

    Raises:
        SettingsError: with everything that is wrong, each problem under its key.
    """
    findings = Findings()
    environment = read_environment(environ, findings)
    path = config or environment.config
    document = _read_file(path, findings, required=required)
    findings.refuse_unknown(document, {*SECTIONS, "accounts"})
    sections = _read_sections(document, findings)
    accounts = _read_accounts(document, path.absolute().parent, findings)
    settings = Settings(environment=environment, accounts=accounts, **sections)
    _look_around(settings, environ, findings)
    findings.raise_if_wrong()
    return settings.model_copy(update={"warnings": tuple(findings.warnings)})


def check_secrets(settings: Settings, environ: Mapping[str, str] = os.environ) -> list[str]:
    """What is wrong with the accounts' secrets, for those who need them: workers at their start, and the doctor."""
    return agreement.check_secrets(settings.accounts.values(), environ)


def doubtful_secrets(settings: Settings, environ: Mapping[str, str] = os.environ) -> list[str]:
    """Secrets that are there and look as if something stood around them: "key: what it is; the remedy"."""
    return agreement.doubtful_secrets(settings.accounts.values(), environ)


def unread_proxies(settings: Settings, environ: Mapping[str, str] = os.environ) -> str:
    """Proxies of the environment, which no call takes; '' where there are none or each account names its own."""
    direct = any(account.proxy is None for account in settings.accounts.values())
    return network.unread_proxies(environ) if direct else ""


def _read_file(path: Path, findings: Findings, *, required: bool) -> dict[str, Any]:
    try:
        # A byte-order mark is what some editors leave; it is not the owner's mistake.
        text = path.read_text("utf-8-sig")
        return tomllib.loads(text)
    except FileNotFoundError:
        if required:
            findings.wrong(str(path), "does not exist, so no account is configured; write it with: redrive init")
        else:
            words = "does not exist, so nothing is known here of the service's settings"
            findings.warn(str(path), f"{words}; run this where they are, or name them in REDRIVE_CONFIG")
    except OSError as error:
        findings.wrong(str(path), f"cannot be read ({error.strerror}); make it a file this user may read")
    except UnicodeDecodeError:
        findings.wrong(str(path), "is not UTF-8 text; save it as UTF-8")
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        line = found[1] if found else text.count("\n") + 1
        findings.wrong(f"{path}:{line}", f"is not TOML; {error}")
    return {}


def _read_sections(document: Mapping[str, Any], findings: Findings) -> dict[str, Any]:
    """The tables that are right; what is wrong with the others is noted."""
    sections: dict[str, Any] = {}
    for key, model in SECTIONS.items():
        below = findings.under(key)
        table = as_table(document.get(key, {}), below)
        if section := read_section(model, table, below):
            sections[key] = section
            if isinstance(section, Policy):
                warn_of_unused(table, section, below)
    return sections


def _read_accounts(document: Mapping[str, Any], folder: Path, findings: Findings) -> dict[str, AccountSettings]:
    table = document.get("policy")
    policy = GeneralPolicy(table if isinstance(table, dict) else {})
    shared = Shared(folder, policy, cache(capabilities_of))
    accounts = {}
    for name, own in as_table(document.get("accounts", {}), findings.under("accounts")).items():
        below = findings.under(f"accounts.{name}")
        if as_table(own, below) is own and (account := read_account(name, own, shared, below)):
            accounts[name] = account
    return accounts


def _look_around(settings: Settings, environ: Mapping[str, str], findings: Findings) -> None:
    """What only shows when everything is side by side."""
    accounts = settings.accounts
    agreement.check_groups(accounts.values(), findings)
    agreement.check_credentials(accounts.values(), {a.name: a.options for a in accounts.values()}, findings)
    settings.flower.warn(findings.under("flower"))
    warn_of_misspelled(environ, set(settings.secret_variables), findings)
