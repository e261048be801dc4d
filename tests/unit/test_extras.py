"""What is said where something that an extra brings is missing."""

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from typer.testing import CliRunner

from redrive import Client, SettingsError
from redrive.cli import app
from redrive.cli.context import driver_installed
from redrive.extras import install_command

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
URL = "postgresql://somebody:hunter2@127.0.0.1:9/redrive"
NO_LIBPQ = 'raise ImportError("no pq wrapper available.\\nAttempts made:\\n- couldn\'t import psycopg c: nothing")\n'


@pytest.mark.parametrize("extra", ["postgres", "embedded"])
def test_the_command_installs_what_the_extra_brings(extra: str) -> None:
    """And not Redrive, which somebody else may have put on an index."""
    (wanted,) = PROJECT["optional-dependencies"][extra]
    command, _, named = install_command(extra).partition(" '")
    assert command == "pip install"
    assert Requirement(named.rstrip("'")) == Requirement(wanted)


def test_an_extra_that_nobody_knows_is_named() -> None:
    assert install_command("extra") == "install Redrive with its extra extra"


@pytest.fixture(params=["missing", "without libpq"])
def no_driver(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A machine without psycopg, or with one that finds no libpq; yields what is said of it."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("psycopg", "psycopg_binary")]:
        monkeypatch.delitem(sys.modules, name)
    if request.param == "missing":
        monkeypatch.setitem(sys.modules, "psycopg", None)
        yield "which is not installed; pip install 'psycopg[binary]"
        return
    (tmp_path / "psycopg.py").write_text(NO_LIBPQ)
    monkeypatch.syspath_prepend(tmp_path)
    yield "which does not run: no pq wrapper available; pip install 'psycopg[binary]"
    sys.modules.pop("psycopg", None)


@pytest.mark.parametrize("command", [["status"], ["doctor"], ["migrate"], ["list"]])
def test_a_command_says_how_to_get_the_driver(
    no_driver: str, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "redrive.toml").touch()
    result = CliRunner().invoke(app, command, env={"REDRIVE_DATABASE_URL": URL})
    assert (result.exit_code, f"REDRIVE_DATABASE_URL: needs the module psycopg, {no_driver}" in result.output) == (
        2,
        True,
    ), result.output


def test_so_does_a_client(no_driver: str) -> None:
    with pytest.raises(SettingsError) as caught, Client(URL) as client:
        client.find()
    assert str(caught.value).startswith(f"database_url: needs the module psycopg, {no_driver}")


@pytest.mark.parametrize("error", [ModuleNotFoundError("no", name="acme.provider"), ImportError("no", name="kombu")])
def test_what_else_cannot_be_imported_is_not_the_drivers(error: ImportError) -> None:
    with pytest.raises(ImportError) as caught, driver_installed():
        raise error
    assert caught.value is error
