"""docs/cli.md has every command and every option, and no other."""

import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from redrive.cli import app, table
from redrive.cli.group import loaded

PAGE = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
COMMANDS = {name: loaded(name) for name in table.COMMANDS}
OPTION = r"`(--?[a-z][a-z-]*)`"


def sections() -> dict[str, str]:
    """Command → its section."""
    parts = re.split(r"^### `redrive ([a-z]+)`$", PAGE, flags=re.MULTILINE)
    return {name: text.partition("\n## ")[0] for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def options(command: Any) -> set[str]:
    return {name for each in command.params for name in (*each.opts, *each.secondary_opts) if name.startswith("-")}


COMMON = set(re.findall(OPTION, PAGE.partition("## Run")[0]))


def test_every_command_has_its_section() -> None:
    assert set(sections()) == set(COMMANDS)


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_is_explained(name: str) -> None:
    explained = set(re.findall(OPTION, sections()[name]))
    own = options(COMMANDS[name]) - {"--help", "-h"}
    assert own - explained - COMMON == set()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_no_option_is_explained_that_does_not_exist(name: str) -> None:
    explained = set(re.findall(r"^\| (`-.*?`) \|", sections()[name], flags=re.MULTILINE))
    named = {option for cell in explained for option in re.findall(OPTION, cell)}
    assert named - options(COMMANDS[name]) == set()


def test_common_options_exist() -> None:
    known = set[str]().union(*(options(command) for command in COMMANDS.values()))
    assert COMMON - known - {"--help", "-h"} == set()


def test_the_programs_own_options_are_explained() -> None:
    own = {name for each in get_command(app).params for name in each.opts}
    assert own - set(re.findall(OPTION, PAGE)) == set()
