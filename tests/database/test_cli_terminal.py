"""The command line on every sort of terminal, pipe and file: nothing is cut off, steered or ended by it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert

from redrive.models.sql.tables import tasks, totals
from redrive.models.states import Status
from tests.support.long import long
from tests.support.terminal import on_terminal
from tests.support.world import World

SETTINGS = '[accounts.phones]\nprovider = "geelark"\ntoken = { env = "GEELARK_TOKEN" }\n'
LONG = "phones-of-the-second-floor-in-the-warehouse-of-shanghai-pudong-1"
"""As long as an account's name may be."""
WIDE = "电话-上海"
EVIL = "phone\x1b]0;PWNED\x07\x1b[2J\x9b31m"
COUNTS = {"succeeded": 123_456_789, "calls:retry": 98_765_432, "attempts": 87_654_321, "outcome:accepted": 76_543_210}
REDRIVE = [sys.executable, "-m", "redrive"]

EVERYTHING = """
import sys
from redrive.cli import app, streams
streams.prepare()
for command in sys.argv[1:]:
    try: app(command.split())
    except SystemExit as end: assert not end.code, (command, end.code)
"""


@pytest.fixture
def house(tmp_path: Path, new_sqlite_database: Callable[[], str]) -> World:
    """Accounts with long, wide and evil names, and tasks of all of them."""
    (tmp_path / "redrive.toml").write_text(SETTINGS)
    world = World(new_sqlite_database())
    world.add("591234567890123456", reason="out of memory " * 20)
    with world.begin() as t:
        for account in (LONG, WIDE, EVIL):
            t.execute(insert(tasks).values(account=account, external_id="e" * 100, last_error="it \x1b[31mbroke"))
        for name, value in COUNTS.items():
            t.execute(insert(totals).values(account=LONG, name=name, value=value))
    world.pause()
    world.act("hold", 1)
    world.close()
    return world


def environment(world: World, **more: str) -> dict[str, str]:
    unwanted = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "PYTHONIOENCODING"}
    inherited = {name: value for name, value in os.environ.items() if name not in unwanted}
    mine = {"REDRIVE_DATABASE_URL": world.url, "GEELARK_TOKEN": "x", "TERM": "xterm-256color", "PYTHONUTF8": "1"}
    return inherited | mine | more


def run(world: World, args: Sequence[str], cwd: Path, *, shell: str = "", **more: str) -> Any:
    """The program on pipes, or in a shell that does something to its streams."""
    env = environment(world, **more)
    plain = [*REDRIVE, *args]
    command = ["bash", "-c", shell.replace("redrive", " ".join(plain))] if shell else plain
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize("columns", [60, long(80), long(120), 200])
def test_names_ids_and_numbers_are_whole_at_any_width(house: World, tmp_path: Path, columns: int) -> None:
    commands = ["status", "list", "accounts", "actions", "show 1", "explain 1", "show 2", "explain 2", "explain 3"]
    program = [sys.executable, "-P", "-c", EVERYTHING, *commands]
    told = on_terminal(program, columns=columns, cwd=tmp_path, env=environment(house, NO_COLOR="1"))
    for word in (LONG, WIDE, "591234567890123456", "e" * 100, *(f"{n:,}" for n in COUNTS.values())):
        assert word in told, word
    for screen in ("Next due", "Retries", "Provider", "Who", "been held for", "is not configured"):
        assert screen in told, screen


def test_stored_text_cannot_steer_a_terminal(house: World, tmp_path: Path) -> None:
    """Whatever it is stored in, and in every form of every command."""
    commands = [
        "status", "list", "accounts", "actions", "show 4", "explain 4", "status --check --json", "list --json",
        "show 4 --json", "explain 4 --json", "accounts --json", "retry 4 --dry-run --json", "export",
        "export --format jsonl",
    ]  # fmt: skip
    program = [sys.executable, "-P", "-c", EVERYTHING.replace("assert", "None and"), *commands]
    told = on_terminal(program, cwd=tmp_path, env=environment(house, NO_COLOR="1"))
    assert told.count("PWNED") >= len(commands) - 1  # nobody has done anything to it
    assert [character for character in told if not character.isprintable() and character != "\n"] == []


@pytest.mark.parametrize("rows", [["phones,591"], ["phones,591", "phones,5.91E+17", "phones,592"], ["phone,1"] * 150])
def test_an_import_shows_how_far_it_is(house: World, tmp_path: Path, rows: list[str]) -> None:
    """A bar that goes away again, and what is said meanwhile stays."""
    (tmp_path / "tasks.csv").write_text("\n".join(["account,external_id", *rows]) + "\n")
    told = on_terminal([*REDRIVE, "import", "tasks.csv"], cwd=tmp_path, env=environment(house))
    good = sum(row.startswith("phones,59") for row in rows)
    assert "importing" in told
    assert told.count("line ") == min(len(rows) - good, 100)
    assert f"added {good}, known 0, refused {len(rows) - good}" in told.splitlines()[-1]


LIVE = """
import sys
from rich.live import Live
from redrive.cli import console, streams
streams.prepare()
shown = getattr(console, sys.argv[1])
with Live("it moves", console=shown, transient=True):
    print("printed")
    print("an error", file=sys.stderr)
    shown.print("said")
console.print_json({"n": 1})
"""


@pytest.mark.parametrize("name", ["console", "errors"])
def test_what_moves_on_the_screen_leaves_room_for_what_is_said(house: World, tmp_path: Path, name: str) -> None:
    """On either stream: each line once, and an end."""
    told = on_terminal([sys.executable, "-P", "-c", LIVE, name], cwd=tmp_path, env=environment(house, NO_COLOR="1"))
    assert [told.count(words) for words in ("printed", "an error", "said", '"n": 1')] == [1, 1, 1, 1]
    assert "it moves" in told


@pytest.mark.parametrize("command", ["status", "show 1"])
def test_colors_are_for_terminals_that_want_them(house: World, tmp_path: Path, command: str) -> None:
    program = [*REDRIVE, *command.split()]
    assert "\x1b[" in on_terminal(program, cwd=tmp_path, env=environment(house))
    for unwanted in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in on_terminal(program, cwd=tmp_path, env=environment(house, **unwanted))
    assert b"\x1b" not in run(house, command.split(), tmp_path).stdout


@pytest.mark.parametrize("encoding", ["ascii", long("latin-1"), "gbk"])
def test_characters_that_the_encoding_lacks_are_replaced(house: World, tmp_path: Path, encoding: str) -> None:
    for args in (["status"], ["show", "3"], ["list", "-s", WIDE]):
        done = run(house, args, tmp_path, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
        assert b"Traceback" not in done.stderr
        assert done.returncode == (2 if WIDE in args else 0)
    answer = run(house, ["list", "-a", WIDE, "--json"], tmp_path, PYTHONIOENCODING=encoding, PYTHONUTF8="0")
    assert json.loads(answer.stdout.decode(encoding))[0]["account"] == WIDE, "JSON has another way to say it"


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_an_export_into_a_pipe_has_every_character(house: World, tmp_path: Path, form: str) -> None:
    """It is to be imported again, whatever it may do to a terminal."""
    written = run(house, ["export", "--format", form], tmp_path, PYTHONIOENCODING="ascii", PYTHONUTF8="0").stdout
    rows = written.decode().splitlines()
    evil = [json.loads(row)["account"] for row in rows] if form == "jsonl" else rows
    assert sum(EVIL in row for row in evil) == 1
    assert sum(WIDE in row for row in rows) == 1


def test_a_zero_is_a_dot_also_in_ascii(house: World, tmp_path: Path) -> None:
    told = run(house, ["status"], tmp_path, PYTHONIOENCODING="ascii", PYTHONUTF8="0").stdout.decode()
    assert next(line.split()[:4] for line in told.splitlines() if line.startswith("phones ")) == [
        "phones",
        ".",
        ".",
        ".",
    ]


@pytest.mark.parametrize(
    ("args", "shell", "code"),
    [
        (["status"], "redrive >&-", 0),
        (["status", "--check"], "redrive >&-", 1),
        (["status"], "redrive <&- >&- 2>&-", 0),
        (["list", "-s", "nonsense"], "redrive 2>&-", 2),
        (["explain", "999"], "redrive >&- 2>&-", 1),
        (["stop", "1"], "redrive <&- >&-", 0),
    ],
)
def test_a_closed_stream_leads_nowhere(house: World, tmp_path: Path, args: list[str], shell: str, code: int) -> None:
    done = run(house, args, tmp_path, shell=shell)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize(
    "args", [["list"], ["list", "--json"], ["status"], ["explain", "1"], ["--help"], ["list", "-h"]]
)
def test_a_reader_that_has_enough_is_no_error(house: World, tmp_path: Path, args: list[str]) -> None:
    """0 and not a word, be it in the middle or at the end of what is written."""
    done = run(house, args, tmp_path, shell="redrive | true; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_watch_ends_with_its_reader(house: World, tmp_path: Path) -> None:
    done = run(
        house, ["status", "--watch", "--interval", "0.2"], tmp_path, shell="redrive | head -n1; exit ${PIPESTATUS[0]}"
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_an_action_goes_on_unread(house: World, tmp_path: Path) -> None:
    """Ten pages of hints that nobody reads: every task is held all the same."""
    world = World(house.url)
    ids = world.add_many(map(str, range(2000)))
    world.report(ids[0], Status.SUCCEEDED)
    done = run(house, ["hold", "--all", "--yes"], tmp_path, shell="redrive | true; exit ${PIPESTATUS[0]}")
    assert (done.returncode, done.stderr) == (0, b"")
    assert {world.task(each).status for each in ids[1:]} == {Status.HELD}
    world.close()


@pytest.mark.parametrize("args", [["list"], ["list", "--json"]])
def test_a_full_disk_is_said_once(house: World, tmp_path: Path, args: list[str]) -> None:
    done = run(house, args, tmp_path, shell="redrive > /dev/full")
    assert (done.returncode, done.stderr) == (1, b"No space left on device\n")
