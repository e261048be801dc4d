"""Every registered provider with every way to configure it, made from its capabilities alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

from redrive.models.capabilities import Capabilities, Option
from redrive.models.providers import capabilities_of, known_providers
from redrive.models.states import Operation
from redrive.worker.providers import load
from redrive.worker.providers.base import Account, Provider, TaskRef

TOKEN = "s3cret-token-of-a-login"


@dataclass(frozen=True)
class Case:
    """One way to configure one provider: a set of credentials, and a value for each option that has choices."""

    provider: str
    credentials: tuple[str, ...]
    choices: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return "-".join([self.provider, *self.credentials, *(value for _, value in self.choices)])

    @property
    def capabilities(self) -> Capabilities:
        capabilities = capabilities_of(self.provider)
        assert capabilities
        return capabilities

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be seen: every secret option's value, and a login's token."""
        return (*(_secret(name) for name, option in self.capabilities.options.items() if option.secret), TOKEN)

    def build(self, base_url: str) -> Provider:
        """The provider for an account whose servers are all at ``base_url``."""
        options = {
            name: base_url if name.endswith("_url") else self._value(name, option)
            for name, option in self.capabilities.options.items()
            if self._is_given(name)
        }
        return load(self.provider)(Account("contract", base_url, options))

    def tasks(self, per_kind: int = 3) -> list[TaskRef]:
        """Some tasks of every kind, each of an id of its own."""
        numbers = product(self.capabilities.kinds, range(per_kind))
        return [
            TaskRef(
                id=number,
                kind=kind.name,
                external_id=f"59120000{number:04d}",
                sub_id=f"8000{number:04d}" if kind.sub_id == "required" else "",
            )
            for number, (kind, _) in enumerate(numbers, 1)
        ]

    def _is_given(self, name: str) -> bool:
        """Whether it belongs to these credentials or to none."""
        owned = {name for names in self.capabilities.credentials for name in names}
        companions = self.capabilities.optional_with
        if name in owned:
            return name in self.credentials
        return all(name not in names or owner in self.credentials for owner, names in companions.items())

    def _value(self, name: str, option: Option) -> str | bool | None:
        if option.secret:
            return _secret(name)
        return option.default if option.type == "boolean" else dict(self.choices).get(name, option.example)


def all_cases() -> Iterator[Case]:
    """Every case of every provider that can be named in settings."""
    for provider in known_providers():
        capabilities = capabilities_of(provider)
        assert capabilities
        chosen = [
            [(name, choice) for choice in option.choices]
            for name, option in capabilities.options.items()
            if option.choices
        ]
        for credentials in capabilities.credentials or ((),):
            yield from (Case(provider, credentials, choices) for choices in product(*chosen))


def operations(case: Case) -> list[Operation]:
    """Retries, and checks where the provider has a status call."""
    return [Operation.RETRY, Operation.CHECK] if case.capabilities.can_check else [Operation.RETRY]


def _secret(name: str) -> str:
    return f"s3cret-of-{name}"
