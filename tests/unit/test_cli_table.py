"""The table of commands: complete, true to what it points to, and all that `redrive --help` loads."""

import json
import pkgutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from inspect import getdoc, isfunction, signature
from typing import Any, get_args

import pytest
from typer.models import ParameterInfo
from typer.testing import CliRunner

from redrive import cli
from redrive.cli import app, group
from redrive.cli.group import loaded
from redrive.cli.table import COMMANDS, PANELS, Line

ONLY_A_COMMANDS = {"alembic", "celery", "httpx", "kombu", "redis", "sqlalchemy", "structlog"}
"""What no help needs. (Typer itself loads pydantic.)"""


def function_of(line: Line) -> Callable[..., None]:
    module, _, name = line.where.partition(":")
    function: Callable[..., None] = getattr(import_module(f"redrive.cli.{module}"), name)
    return function


@pytest.mark.parametrize("name", COMMANDS)
def test_a_line_says_what_the_commands_own_help_says_first(name: str) -> None:
    words = getdoc(function_of(COMMANDS[name])) or ""
    assert " ".join(words.partition("\n\n")[0].split()) == COMMANDS[name].words


def test_no_command_stands_in_two_panels() -> None:
    assert len(COMMANDS) == sum(map(len, PANELS.values()))


def functions(module: Any) -> Iterator[tuple[str, Callable[..., None]]]:
    """The public ones that take what is typed on a command line."""
    for name, value in vars(module).items():
        if isfunction(value) and not name.startswith("_") and value.__module__ == module.__name__:
            annotations = (each.annotation for each in signature(value).parameters.values())
            if any(isinstance(meant, ParameterInfo) for each in annotations for meant in get_args(each)):
                yield name, value


def without_a_panel(modules: list[str]) -> list[str]:
    known = {line.where for line in COMMANDS.values()}
    found = [f"{module}:{name}" for module in modules for name, _ in functions(import_module(f"redrive.cli.{module}"))]
    return [
        f"{each} is a command without a panel: give it a line in cli/table.py" for each in found if each not in known
    ]


def test_every_command_has_its_panel() -> None:
    modules = [each.name for each in pkgutil.iter_modules(cli.__path__)]
    assert without_a_panel(modules) == []


def test_a_command_without_a_panel_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The check above finds what somebody forgets."""
    monkeypatch.delitem(COMMANDS, "show")  # type: ignore[arg-type]
    monkeypatch.delitem(COMMANDS, "prune")  # type: ignore[arg-type]
    assert without_a_panel(["prune", "tasks"]) == [
        "prune:prune is a command without a panel: give it a line in cli/table.py",
        "tasks:show is a command without a panel: give it a line in cli/table.py",
    ]


def test_a_line_that_leads_nowhere_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "COMMANDS", {"look": Line("tasks:look", "Look.")})
    with pytest.raises(LookupError, match=r"command look: tasks.py has no function look; correct its line"):
        loaded("look")


RUN = """
import json, sys
sys.argv = ["redrive", *json.loads(sys.argv[1])]
from redrive.cli import main
try:
    main()
except SystemExit:
    pass
sys.stdout.flush()
print("\\n" + json.dumps([name for name in sys.modules]))
"""


def modules_after(*arguments: str) -> list[str]:
    command = [sys.executable, "-c", RUN, json.dumps(arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    names: list[str] = json.loads(done.stdout.splitlines()[-1])
    return names


@pytest.mark.parametrize("arguments", [("--help",), ("-h",), (), ("--version",), ("no-such-command",), ("--show-me",)])
def test_help_loads_no_command(arguments: tuple[str, ...]) -> None:
    names = modules_after(*arguments)
    assert ONLY_A_COMMANDS & {name.partition(".")[0] for name in names} == set()
    assert {f"redrive.cli.{line.where.partition(':')[0]}" for line in COMMANDS.values()} & {*names} == set()


@pytest.mark.parametrize(
    ("command", "others"),
    [
        ("sandbox", {"sqlalchemy", "celery", "kombu", "alembic"}),
        ("init", {"celery", "aiohttp", "flower"}),
        ("scheduler", {"aiohttp", "httpx", "flower", "tornado"}),
        ("list", {"aiohttp", "httpx", "flower", "celery"}),
    ],
)
def test_a_command_loads_nothing_of_the_others(command: str, others: set[str]) -> None:
    assert others & {*modules_after(command, "--help")} == set()


@pytest.mark.parametrize(("typed", "meant"), [("lst", "list"), ("doctr", "doctor"), ("acounts", "accounts")])
def test_a_mistyped_command_is_guessed(typed: str, meant: str) -> None:
    result = CliRunner().invoke(app, [typed])
    assert (result.exit_code, f"Did you mean '{meant}'?" in result.output) == (2, True), result.output


@pytest.mark.parametrize(("words", "wanted"), [("redrive re", {"release", "resume", "retry", "revive"})])
def test_a_shell_completes_names_of_commands(words: str, wanted: set[str]) -> None:
    result = CliRunner().invoke(
        app, prog_name="redrive", env={"_REDRIVE_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": words}
    )
    assert all(f'"{name}":' in result.output for name in wanted), result.output


def test_a_shell_completes_a_commands_own_options() -> None:
    words = "redrive retry --for"
    result = CliRunner().invoke(
        app,
        prog_name="redrive",
        env={
            "_REDRIVE_COMPLETE": "complete_bash",
            "_TYPER_COMPLETE_ARGS": words,
            "COMP_WORDS": words,
            "COMP_CWORD": "2",
        },
    )
    assert "--force" in result.output, result.output
