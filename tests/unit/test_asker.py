"""Who is asking is written alike wherever it is recorded."""

import getpass
import socket

import pytest

from redrive import arguments, asker
from redrive.cli import context


@pytest.mark.parametrize("error", [KeyError("uid not found: 10001"), OSError("No username set"), ImportError("pwd")])
def test_a_user_without_a_name_is_recorded_alike_by_commands_and_clients(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """A container's user has a number only."""

    def nameless() -> str:
        raise error

    monkeypatch.setattr(getpass, "getuser", nameless)
    monkeypatch.setattr("os.getuid", lambda: 10001)
    monkeypatch.setattr(socket, "gethostname", lambda: "box")
    assert asker.this_user() == context.who() == arguments.who("", "").who == "uid 10001@box"


def test_a_user_with_a_name_is_recorded_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    monkeypatch.setattr(socket, "gethostname", lambda: "box")
    assert context.who() == arguments.who("", "").who == "ada@box"
    assert arguments.who("grace", "").who == "grace"
