"""The command line in a directory with settings, on a database that a small world uses, too."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from redrive.cli import app
from redrive.models import ledger
from tests.support.world import Clock, World

SETTINGS = """
[accounts.phones]
provider = "geelark"
token = { env = "GEELARK_TOKEN" }
[accounts.desktops]
provider = "huawei_workspace"
region = "ap-southeast-1"
project_id = "0123456789abcdef0123456789abcdef"
auth_token = { env = "HW_AUTH_TOKEN" }
"""

Run = Callable[..., Result]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory with settings in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GEELARK_TOKEN", "secret-1")
    monkeypatch.setenv("HW_AUTH_TOKEN", "secret-2")
    (tmp_path / "redrive.toml").write_text(SETTINGS)
    return tmp_path


@pytest.fixture
def run(home: Path) -> Run:  # noqa: ARG001 - where it runs
    """Run a command and expect an exit code; an exception that got out is a failure."""

    def run(*args: object, code: int = 0, **more: Any) -> Result:
        result = CliRunner().invoke(app, [str(each) for each in args], **more)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert result.exit_code == code, result.output
        return result

    return run


@pytest.fixture
def shop(database_url: str, run: Run, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:  # noqa: ARG001 - beside it
    """A world on the database that the command line uses too, at this machine's time."""
    monkeypatch.setenv("REDRIVE_DATABASE_URL", database_url)
    world = World(database_url, clock=Clock(datetime.now(UTC)))
    yield world
    world.close()


def runs(world: World, *roles: str) -> None:
    """Processes of these roles say that they run."""
    with world.begin() as t:
        for role in roles:
            ledger.beat(t, role, f"host:{role}", version="0.1.0", started_at=t.now)


def says(result: Result) -> Any:
    return json.loads(result.stdout)


def lines(text: str) -> list[str]:
    """Without the blanks that fill a table's last column."""
    return [line.rstrip() for line in text.splitlines() if line.strip()]
