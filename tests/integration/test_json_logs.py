"""A log that is read by programs: every line of a process, whatever happens to it, is JSON."""

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import NewDatabase, Spawn
from tests.support.processes import Process

SETTINGS = '[accounts.phones]\nprovider = "geelark"\ntoken = { env = "GEELARK_TOKEN" }\n'


def logged(process: Process) -> list[dict[str, Any]]:
    return [json.loads(line) for line in process.output().splitlines()]


def environment(home: Path, **more: str) -> dict[str, str]:
    (home / "redrive.toml").write_text(SETTINGS)
    return {"REDRIVE_CONFIG": str(home / "redrive.toml"), "GEELARK_TOKEN": "x", "REDRIVE_BROKR_URL": "misspelt", **more}


@pytest.mark.parametrize("part", ["scheduler", "worker"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_warnings_and_the_shutdown_are_json(
    spawn: Spawn, new_sqlite_database: NewDatabase, broker: str, tmp_path: Path, part: str, number: int
) -> None:
    env = environment(tmp_path, REDRIVE_DATABASE_URL=new_sqlite_database(), REDRIVE_BROKER_URL=broker)
    process = spawn([sys.executable, "-m", "redrive", part], env=env, ready=rf"{part}\.started")
    process.signal(number)
    process.wait()
    lines = logged(process)
    assert "did you mean REDRIVE_BROKER_URL?" in lines[0]["warning"]
    assert {"event", "level", "timestamp"} <= lines[0].keys()


@pytest.mark.parametrize("part", ["scheduler", "worker"])
@pytest.mark.parametrize(
    ("wrong", "code", "words"),
    [
        ({}, 2, "REDRIVE_BROKER_URL: is not set"),
        ({"REDRIVE_CONFIG": "nowhere.toml"}, 2, "nowhere.toml: does not exist"),
    ],
)
def test_what_keeps_it_from_starting_is_json(
    spawn: Spawn, tmp_path: Path, part: str, wrong: dict[str, str], code: int, words: str
) -> None:
    process = spawn([sys.executable, "-m", "redrive", part], env=environment(tmp_path) | wrong)
    assert process.wait() == code
    last = logged(process)[-1]
    assert (last["level"], last["event"]) == ("error", "failed")
    assert words in last["error"]
