"""What is written about settings, held against the settings: the template, .env.example and docs/settings.md."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from redrive.models.errors import BadInput
from redrive.models.providers import BUILT_IN
from redrive.models.settings import SECTIONS, Limits, Settings
from redrive.models.settings.accounts import OWN_KEYS, SUBTABLES
from redrive.models.settings.environment import NAMES, Environment
from redrive.models.settings.limits import default_limits
from redrive.template import render
from tests.unit.settings.conftest import Read

ROOT = Path(__file__).parents[3]
NAMES_OF = {"geelark": "phones", "huawei_workspace": "desktops", "docflow": "reviews"}


def uncommented(text: str) -> dict[str, Any]:
    """The file with every ``#key = value`` switched on."""
    return tomllib.loads(re.sub(r"(?m)^#(?=[a-z\[])", "", text))


def as_toml(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else f"{value}"


# --- The template ------------------------------------------------------------------------------------------------


def test_every_key_stands_in_the_template_at_its_default() -> None:
    document = uncommented(render())
    assert set(document) == {*SECTIONS, "accounts"}
    for section, model in SECTIONS.items():
        defaults = {key: field.default for key, field in model.model_fields.items()}
        shown = document[section] | {key: None for key, default in defaults.items() if default is None}
        assert shown == defaults, section
        assert document[section].keys() == defaults.keys()


@pytest.mark.parametrize("provider", BUILT_IN)
def test_every_key_of_an_account_stands_in_the_template(provider: str) -> None:
    text, capabilities, name = render(), BUILT_IN[provider], NAMES_OF[provider]
    account = uncommented(text)["accounts"][name]
    start = text.index(f"[accounts.{name}]")
    written = text[start : text.index(f"[accounts.{name}.limits]")]
    for key in {*OWN_KEYS, *capabilities.options} - {*SUBTABLES}:
        assert re.search(rf"\b{key} = ", written), key
    defaults = {key: field.default for key, field in Limits.model_fields.items()} | default_limits(name, capabilities)
    assert account["limits"] == defaults
    for key, option in capabilities.options.items():
        if option.default is not None:
            assert account[key] == option.default
        assert " | ".join(option.choices) in written


def test_as_written_it_loads_and_changes_nothing(read: Read) -> None:
    assert read(render()) == Settings()


@pytest.mark.parametrize(
    "providers", [["geelark"], ["docflow", "huawei_workspace"], list(BUILT_IN), ["geelark", "geelark"]]
)
def test_the_accounts_asked_for_load(read: Read, providers: list[str]) -> None:
    settings = read(render(providers))
    assert [account.provider for account in settings.accounts.values()] == [p for p in BUILT_IN if p in providers]
    for name, account in settings.accounts.items():
        assert account.policy == settings.policy
        assert account.limits.model_dump() == Limits(**default_limits(name, account.capabilities)).model_dump()
        assert account.resolve(dict.fromkeys(re.findall(r'env = "(\w+)"', render()), "x"))
    assert settings.warnings == ()


def test_with_every_key_switched_on_it_loads_too(read: Read) -> None:
    assert set(read(re.sub(r"(?m)^#(?=[a-z\[])", "", render())).accounts) == set(NAMES_OF.values())


def test_a_provider_that_nobody_provides_is_refused() -> None:
    with pytest.raises(BadInput, match="geelrk is not a provider; use one of docflow, geelark, huawei_workspace"):
        render(["geelrk"])


# --- .env.example ------------------------------------------------------------------------------------------------


OF_THE_PARTS = {"FLOWER_BASIC_AUTH", "REDRIVE_LOG_LEVEL", "REDRIVE_LOG_FORMAT"}
"""Read by the parts themselves, and no settings."""


def test_the_env_example_lists_every_variable() -> None:
    listed = re.findall(r"(?m)^#?([A-Z][A-Z0-9_]*)=", (ROOT / ".env.example").read_text())
    assert len(listed) == len(set(listed))
    assert set(listed) == {*NAMES, *OF_THE_PARTS, *re.findall(r'env = "(?!NAME)(\w+)"', render())}


def test_the_env_example_shows_the_defaults_and_sets_nothing() -> None:
    text = (ROOT / ".env.example").read_text()
    for name in ("config", "home"):
        assert f"\n#REDRIVE_{name.upper()}={Environment.model_fields[name].default}\n" in text
    assert all(not line or line.startswith("#") for line in text.splitlines())


# --- docs/settings.md --------------------------------------------------------------------------------------------


def rows(heading: str) -> dict[str, list[str]]:
    """Key → the other cells, for the first table under a heading of the page."""
    page = (ROOT / "docs/settings.md").read_text()
    _, _, rest = page.partition(f"\n{heading}\n")
    section = re.split(r"(?m)^#", rest, maxsplit=1)[0]
    found = {}
    for line in section.splitlines():
        keys, *cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if line.startswith("| `"):
            found.update({key: cells for key in re.findall(r"`(\w+)`", keys) if key not in found})
    return found


@pytest.mark.parametrize("section", SECTIONS)
def test_the_page_has_every_key_of_a_section_with_its_default(section: str) -> None:
    found = rows(f"## [{section}]")
    fields = SECTIONS[section].model_fields
    assert list(found) == list(fields)
    for key, field in fields.items():
        assert found[key][0] == ("not set" if field.default is None else f"`{as_toml(field.default)}`"), key


def test_the_page_has_every_limit() -> None:
    found = rows("### [accounts.NAME.limits]")
    assert list(found) == list(Limits.model_fields)
    for key in ("max_in_flight", "timeout_seconds", "lease_seconds"):
        assert found[key][0] == f"`{Limits.model_fields[key].default}`"


@pytest.mark.parametrize("key", ["calls_per_minute", "calls_per_hour", "concurrency"])
def test_the_page_has_each_providers_own_default(key: str) -> None:
    wanted = [default_limits("x", capabilities)[key] for capabilities in BUILT_IN.values()]
    assert f"| `{key}` | {' | '.join(map(str, wanted))} |" in (ROOT / "docs/settings.md").read_text()


def test_the_page_has_every_key_of_an_account() -> None:
    assert set(rows("## [accounts.NAME]")) == set(OWN_KEYS) - {*SUBTABLES}


@pytest.mark.parametrize("provider", BUILT_IN)
def test_the_page_has_every_key_of_a_provider(provider: str) -> None:
    found = rows(f"### {provider}")
    assert set(found) == set(BUILT_IN[provider].options)
    for key, option in BUILT_IN[provider].options.items():
        if option.default is not None:
            assert found[key][0] == f"`{as_toml(option.default)}`"
        assert (found[key][0] == "needed") == option.required


def test_the_page_has_every_variable() -> None:
    assert set(rows("## Environment variables")) == {*NAMES, *OF_THE_PARTS}
