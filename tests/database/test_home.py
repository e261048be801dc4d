"""What Redrive keeps in its home is its user's alone, whichever command made it."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from redrive.cli import app
from redrive.home import make_home


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    """The usual one, under which everybody may read."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_command_makes_it_private(tmp_path: Path) -> None:
    """Of the commands, `migrate` makes the database; those that only read make none."""
    (tmp_path / "redrive.toml").touch()
    home = tmp_path / "deep" / "home"
    environment = {"REDRIVE_HOME": str(home), "REDRIVE_CONFIG": str(tmp_path / "redrive.toml")}
    CliRunner().invoke(app, ["migrate"], env=environment)
    assert mode(home) == 0o700
    assert {path.name: mode(path) for path in home.iterdir()} == {path.name: 0o600 for path in home.iterdir()}, (
        "the database and what SQLite puts beside it"
    )
    assert (home / "redrive.db").exists()


def test_what_is_open_is_closed(tmp_path: Path) -> None:
    """Of an earlier release, or made by hand."""
    home = tmp_path / "home"
    (home / "valkey").mkdir(parents=True)
    for name in ("redrive.db", "redrive.db-wal", "flower.auth", "broker.url"):
        (home / name).touch(0o644)
    make_home(home)
    assert {mode(path) for path in home.iterdir() if path.is_file()} == {0o600}
    assert (mode(home), mode(home / "valkey")) == (0o700, 0o700)


def test_a_directory_that_others_use_too_stays_open(tmp_path: Path) -> None:
    """REDRIVE_HOME=/srv must not close /srv; our own file in it is closed all the same."""
    (tmp_path / "others").touch(0o644)
    (tmp_path / "redrive.db").touch(0o644)
    tmp_path.chmod(0o755)
    make_home(tmp_path)
    assert (mode(tmp_path), mode(tmp_path / "others"), mode(tmp_path / "redrive.db")) == (0o755, 0o644, 0o600)


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.touch(0o644)
    home = tmp_path / "home"
    home.mkdir()
    (home / "redrive.db").symlink_to(target)
    make_home(home)
    assert mode(target) == 0o644
