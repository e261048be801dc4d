import pytest


@pytest.fixture(autouse=True)
def _logs_of_this_process_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands that start a service set up logs on the stream of the moment, for ever: not while tests capture it."""
    monkeypatch.setattr("redrive.cli.process.configure", lambda: None)
