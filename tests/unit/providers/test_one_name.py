"""A provider has one name on every floor and every page; what one still lacks is named all at once."""

import csv
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from redrive.models.capabilities import Capabilities
from redrive.models.providers import BUILT_IN, GEELARK

ROOT = Path(__file__).parents[3]
FILES = {
    "models/providers/{}.py": "what it can do",
    "worker/providers/{}.py": "how to speak to it",
    "redrive/sandbox/{}.py": "how it answers",
    "tests/unit/providers/test_{}.py": "its answers in tests",
}


def accounts_in(path: str) -> dict[str, str]:
    """The accounts of a settings file: name → provider."""
    found = tomllib.loads((ROOT / path).read_text())["accounts"]
    return {name: account["provider"] for name, account in found.items()}


def imported_accounts() -> set[str]:
    with (ROOT / "examples/demo_tasks.csv").open(newline="") as file:
        return {row["account"] for row in csv.DictReader(file)}


def missing(provider: Capabilities) -> Iterator[str]:
    """What is to be written before this provider is one of ours."""
    name = provider.provider
    for pattern, what in FILES.items():
        if not (ROOT / pattern.format(name)).exists():
            yield f"{pattern.format(name)}: {what}"
    if name not in BUILT_IN:
        yield "models/providers/__init__.py: its line in BUILT_IN"
    if not provider.account:
        yield "its capabilities: account, the name of its account in examples"
    if accounts_in("examples/sandbox.toml").get(provider.account) != name:
        yield "examples/sandbox.toml: its account"
    if provider.account not in imported_accounts():
        yield "examples/demo_tasks.csv: its tasks"
    yield from unwritten(provider)


def unwritten(provider: Capabilities) -> Iterator[str]:
    """What no page and no example says of it."""
    name = provider.provider
    if not any(line.startswith(f"| `{name}` |") for line in (ROOT / "README.md").read_text().splitlines()):
        yield "README.md: its line among the providers"
    if f"| `{name}` |" not in (ROOT / "docs/providers.md").read_text():
        yield "docs/providers.md: its column"
    known = (ROOT / ".env.example").read_text()
    for key, option in provider.options.items():
        if option.secret and f"#{option.example}=\n" not in known:
            yield f".env.example: {option.example or f'the variable of {key}, which its option has no example of'}"


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_provider_of_ours_is_everywhere(name: str) -> None:
    assert list(missing(BUILT_IN[name])) == []


def test_no_floor_has_a_provider_that_is_not_ours() -> None:
    files = {path.stem for path in (ROOT / "models/providers").glob("*.py")} - {"__init__"}
    assert files == set(BUILT_IN)


def test_accounts_and_secrets_have_names_of_their_own() -> None:
    """They stand side by side in one file of examples."""
    accounts = [each.account for each in BUILT_IN.values()]
    secrets = [option.example for each in BUILT_IN.values() for option in each.options.values() if option.secret]
    assert len(accounts) == len({*accounts})
    assert len(secrets) == len({*secrets})


def test_what_a_new_provider_lacks_is_named_all_at_once() -> None:
    options = {"key": replace(GEELARK.options["token"], example="ACME_KEY")}
    assert list(missing(replace(GEELARK, provider="acme", account="", options=options))) == [
        "models/providers/acme.py: what it can do",
        "worker/providers/acme.py: how to speak to it",
        "redrive/sandbox/acme.py: how it answers",
        "tests/unit/providers/test_acme.py: its answers in tests",
        "models/providers/__init__.py: its line in BUILT_IN",
        "its capabilities: account, the name of its account in examples",
        "examples/sandbox.toml: its account",
        "examples/demo_tasks.csv: its tasks",
        "README.md: its line among the providers",
        "docs/providers.md: its column",
        ".env.example: ACME_KEY",
    ]


def test_what_a_page_lacks_is_named() -> None:
    """One secret more, and the account under another name."""
    options = {**GEELARK.options, "pin": replace(GEELARK.options["token"], example="")}
    assert list(missing(replace(GEELARK, account="handsets", options=options))) == [
        "examples/sandbox.toml: its account",
        "examples/demo_tasks.csv: its tasks",
        ".env.example: the variable of pin, which its option has no example of",
    ]
