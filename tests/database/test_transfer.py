"""``redrive import`` and ``redrive export`` on both databases."""

import csv
import io
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import create_engine, text
from typer.testing import CliRunner, Result

from redrive.cli import app
from redrive.models.intake import COLUMNS
from tests.support.processes import Process

CONFIG = """
[accounts.phones]
provider = "geelark"
token = { env = "GEELARK_TOKEN" }
[accounts.reviews]
provider = "docflow"
app_id = { env = "TI_APP_ID" }
secret_code = { env = "TI_SECRET" }
"""
NOT_UTF8 = '-: is not UTF-8 text; save the file as UTF-8 (Excel: "CSV UTF-8"), or convert it with iconv -t UTF-8'
HEADER = "account,external_id,status,reason\n"
GOOD = "phones,{},failed,no network\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a settings file."""
    (tmp_path / "redrive.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def database(here: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:  # noqa: ARG001 - with settings
    monkeypatch.setenv("REDRIVE_DATABASE_URL", database_url)
    return database_url


def run(*arguments: str, given: str | bytes = "") -> Result:
    return CliRunner().invoke(app, arguments, input=given)


def rows(url: str, columns: str = "external_id, status") -> list[tuple[Any, ...]]:
    engine = create_engine(url)
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(text(f"SELECT {columns} FROM redrive_tasks ORDER BY id"))]
    engine.dispose()
    return found


def test_what_is_good_is_in_and_the_rest_is_said_by_line(database: str, here: Path) -> None:
    file = here / "tasks.csv"
    file.write_text(HEADER + GOOD.format(1) + "phones,5.91E+17,failed,\n" + 'phones,2,canceled,"a\nb"\nphones,3\n')
    result = run("import", str(file))
    assert result.exit_code == 1
    assert result.stdout == "added 2, known 0, refused 2\n"
    assert result.stderr == (
        "line 3: external_id '5.91E+17': a spreadsheet made a number of this id; "
        "format the column as text and export again\n"
        "line 6: has 2 columns where the header has 4\n"
    )
    assert rows(database) == [("1", "failed"), ("2", "canceled")]


def test_a_file_imported_twice_is_in_once(database: str, here: Path) -> None:
    (here / "tasks.csv").write_text(HEADER + "".join(GOOD.format(n) for n in range(2500)) + GOOD.format(7))
    assert run("import", "tasks.csv").stdout == "added 2500, known 1, refused 0\n"
    again = run("import", "tasks.csv")
    assert (again.exit_code, again.stdout) == (0, "added 0, known 2501, refused 0\n")
    assert len(rows(database)) == 2500


def test_a_nightly_file_moves_only_what_was_at_work(database: str) -> None:
    run("import", "-", given='{"account": "phones", "external_id": 1, "status": "running"}')
    run("import", "-", given='{"account": "phones", "external_id": 1, "status": "failed"}')
    assert rows(database) == [("1", "failed")]
    run("import", "-", given='{"account": "phones", "external_id": 1, "status": "running"}')
    assert rows(database) == [("1", "failed")]


def test_a_dry_run_checks_and_adds_nothing(here: Path) -> None:
    """Not even a database is there."""
    result = run("import", "-", "--dry-run", given=HEADER + GOOD.format(1) + "none,2,failed,\n")
    assert result.exit_code == 1
    assert result.stdout == "good 1, refused 1; nothing was added\n"
    assert result.stderr == "line 3: account 'none': is not configured; did you mean phones?\n"
    assert sorted(path.name for path in here.iterdir()) == ["redrive.toml"]


def test_the_summary_as_json(database: str) -> None:  # noqa: ARG001 - where it goes
    result = run("import", "-", "--json", given=HEADER + GOOD.format(1) + GOOD.format(1) + "x\n")
    assert json.loads(result.stdout) == {"good": 2, "added": 1, "known": 1, "refused": 1, "dry_run": False}


def test_a_hundred_refusals_are_said_and_all_are_written(database: str, here: Path) -> None:
    given = HEADER + "phones,x\n" * 1234
    result = run("import", "-", given=given)
    lines = result.stderr.splitlines()
    assert (len(lines), lines[-1]) == (101, "… and 1,134 more refused lines; --errors FILE writes all")
    result = run("import", "-", "--errors", "refused.csv", given=given)
    assert result.stderr.splitlines()[-1] == "… and 1,134 more refused lines"
    assert len((here / "refused.csv").read_text().splitlines()) == 1235
    assert rows(database) == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("", "-: is empty; its first line must name the columns, such as account,external_id,status"),
        ("account,externalid\n", "-: line 1: column 'externalid': is not known; did you mean external_id?"),
        (b"\xff\xff\xff", NOT_UTF8),
        (b"\0" * 9, "-: is not text; save it as CSV UTF-8 or as JSON lines"),
    ],
)
def test_an_unusable_file_is_exit_code_2(database: str, given: str | bytes, words: str) -> None:
    result = run("import", "-", given=given)
    assert (result.exit_code, result.stderr, result.stdout) == (2, words + "\n", "")
    assert rows(database) == []


@pytest.mark.usefixtures("here")
def test_a_file_that_is_not_there_is_exit_code_2() -> None:
    assert run("import", "none.csv").stderr == "none.csv: No such file or directory\n"
    assert run("import", "none.csv").exit_code == 2
    assert run("import", ".").exit_code == 2


def test_without_accounts_nothing_can_be_imported(here: Path) -> None:
    (here / "redrive.toml").write_text("")
    result = run("import", "-", given=HEADER)
    assert result.exit_code == 2
    assert result.stderr.startswith("accounts: none is configured")


def test_what_was_imported_wakes_the_schedulers(database: str, broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert database
    monkeypatch.setenv("REDRIVE_BROKER_URL", broker)
    with redis.Redis.from_url(broker) as client, client.pubsub() as listening:
        listening.subscribe("redrive.wake")
        assert listening.get_message(timeout=5)["type"] == "subscribe"
        assert run("import", "-", given=HEADER + GOOD.format(1)).exit_code == 0
        assert listening.get_message(timeout=5)["type"] == "message"


SAFE = "--safe-for-spreadsheets"
TASKS = [
    {
        "account": "phones",
        "external_id": "1",
        "reason": 'a "b",\r\nc',
        "priority": 1,
        "max_retries": 2,
        "origin": "api",
    },
    {"account": "reviews", "external_id": "2", "sub_id": "3", "status": "canceled", "params": {"workspace_id": "é"}},
    {
        "account": "phones",
        "external_id": "@4",
        "reason": "'=1+1",
        "origin": "-x",
        "status": "running",
        "failed_at": "2026-08-18T12:00:00.5+08:00",
    },
]


def pick(line: str) -> dict[str, Any]:
    task = json.loads(line)
    return {name: task[name] for name in COLUMNS}


@pytest.mark.parametrize("options", [["-o", "all.csv"], ["-o", "all.jsonl"], ["-o", "all.csv", SAFE]])
def test_what_was_exported_can_be_imported_again(
    database: str, options: list[str], here: Path, new_sqlite_database: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("import", "-", given="\n".join(json.dumps(task) for task in TASKS))
    assert run("export", *options).exit_code == 0
    assert [path.name for path in here.iterdir() if "all" in path.name] == [options[1]]
    other = new_sqlite_database()
    monkeypatch.setenv("REDRIVE_DATABASE_URL", other)
    assert run("import", options[1]).stdout == "added 3, known 0, refused 0\n"
    monkeypatch.setenv("REDRIVE_DATABASE_URL", database)
    exported = run("export", "--format", "jsonl").stdout
    monkeypatch.setenv("REDRIVE_DATABASE_URL", other)
    again = run("export", "--format", "jsonl").stdout
    first, second = ([pick(line) for line in one.splitlines()] for one in (exported, again))
    assert first == second
    by_id = {task["external_id"]: task for task in first}
    assert by_id["1"]["reason"] == 'a "b",\r\nc'
    assert by_id["@4"]["failed_at"] == "2026-08-18T04:00:00.500000Z"


def test_an_export_says_where_tasks_stand(database: str) -> None:
    assert database
    run("import", "-", given=HEADER + "".join(GOOD.format(n) for n in range(2345)) + "phones,x,pending,\n")
    (task,) = csv.DictReader(io.StringIO(run("export", "--status", "pending").stdout))
    assert (task["external_id"], task["status"], task["attempts"], task["spent"]) == ("x", "pending", "0", "0")
    assert task["dead_reason"] == task["params"] == ""
    found = csv.DictReader(io.StringIO(run("export", "-a", "phones", "-s", "failed", "-s", "dead").stdout))
    assert sorted(int(row["external_id"]) for row in found) == list(range(2345))
    assert len(run("export", "-a", "reviews").stdout.splitlines()) == 1


def test_an_exported_task_that_has_ended_is_refused_by_an_import(database: str) -> None:
    run("import", "-", given=HEADER + GOOD.format(1))
    run("stop", "1", "--yes")
    assert rows(database, "status") == [("dead",)]
    exported = run("export").stdout
    result = run("import", "-", given=exported)
    assert result.exit_code == 1
    assert result.stderr == (
        "line 2: status 'dead': is Redrive's own; a task is added as pending, running, failed, canceled\n"
    )


def test_a_failed_export_leaves_the_old_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "all.csv").write_text("old")
    monkeypatch.setenv("REDRIVE_DATABASE_URL", f"sqlite:///{here}")
    assert run("export", "-o", "all.csv").exit_code != 0
    assert (here / "all.csv").read_text() == "old"
    assert not (here / "all.csv.part").exists()


def test_no_cell_of_a_safe_export_is_run_by_a_spreadsheet(database: str) -> None:
    assert database
    run("import", "-", given="\n".join(json.dumps(task) for task in TASKS))
    exported = list(csv.reader(io.StringIO(run("export", SAFE).stdout)))
    cells = [cell for row in exported[1:] for cell in row]
    assert [cell for cell in cells if cell.startswith(("=", "+", "@", "\t", "\r"))] == []
    assert {"'@4", "''=1+1", "'-x"} <= set(cells)


def test_an_export_follows_no_symbolic_link(database: str, here: Path) -> None:
    assert database
    mine = here / "mine.txt"
    mine.write_text("mine")
    for name in ("out.csv", "out.csv.part"):
        (here / name).symlink_to(mine)
    (here / "dangling.csv").symlink_to(here / "new.txt")
    for name in ("out.csv", "dangling.csv"):
        result = run("export", "-o", name)
        assert (result.exit_code, result.stderr) == (
            1, f"{name}: is a symbolic link; name the file that it leads to\n",
        )  # fmt: skip
    assert run("import", "-", "--errors", "out.csv", given=HEADER).exit_code == 1
    (here / "out.csv").unlink()
    assert run("export", "-o", "out.csv").exit_code == 0
    assert mine.read_text() == "mine"
    assert (here / "out.csv").read_text().startswith("account,")
    assert not (here / "new.txt").exists()


def test_an_export_keeps_the_modes_of_the_file_it_replaces(database: str, here: Path) -> None:
    assert database
    (here / "all.csv").touch(mode=0o600)
    assert run("export", "-o", "all.csv").exit_code == 0
    assert (here / "all.csv").stat().st_mode & 0o777 == 0o600


def test_an_export_goes_into_devices_and_pipes_as_they_are(database: str, here: Path) -> None:
    assert database
    assert run("export", "-o", os.devnull).exit_code == 0
    os.mkfifo(here / "pipe")
    result = run("export", "-o", "pipe")
    assert (result.exit_code, result.stderr) == (1, "pipe: is a pipe that no program reads; start its reader first\n")
    assert run("import", "-", "--errors", "pipe", given=HEADER).stderr == result.stderr
    reader = os.open(here / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    assert run("export", "-o", "pipe").exit_code == 0
    assert os.read(reader, 1000).startswith(b"account,")
    os.close(reader)
    assert run("export", "-o", ".").exit_code == 1
    assert run("export", "-o", "none/all.csv").exit_code == 1


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("what", ["FIFO", "pipe"])
def test_a_pipe_that_says_nothing_is_said_and_then_read(database: str, here: Path, spawn: Any, what: str) -> None:
    os.mkfifo(here / "fifo")
    python = [sys.executable, "-P", "-m", "redrive", "import"]
    environment = {"REDRIVE_DATABASE_URL": database, "REDRIVE_CONFIG": str(here / "redrive.toml")}
    if what == "FIFO":
        process = spawn([*python, str(here / "fifo")], environment, ready=r"fifo: nothing has been written to it yet")
    else:
        command = ["sh", "-c", f"cat '{here}/fifo' | {' '.join(python)} -"]
        process = spawn(command, environment, ready="standard input: nothing has been written to it yet")
    (here / "fifo").write_text(HEADER + GOOD.format(1))
    assert process.wait(20) == 0
    assert rows(database) == [("1", "failed")]


def test_ids_follow_the_order_of_the_file(database: str, here: Path) -> None:
    """Whatever the accounts and ids are, and those before them."""
    order = [("reviews", "9"), ("phones", "7"), ("phones", "3"), ("reviews", "1"), ("phones", "5"), ("phones", "0")]
    (here / "a.csv").write_text("account,external_id\n" + "".join(f"{a},{i}\n" for a, i in order))
    assert run("import", "a.csv").exit_code == 0
    assert rows(database, "account, external_id") == order
    due = rows(database, "due_at")
    assert due == sorted(set(due)), "and so they are retried"


def test_ids_that_were_taken_by_hand_stop_no_import(
    new_postgres_database: Any, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = new_postgres_database()
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO redrive_tasks (id, account, external_id) VALUES (1, 'phones', 'mine')"))
    engine.dispose()
    monkeypatch.setenv("REDRIVE_DATABASE_URL", url)
    (here / "a.csv").write_text(HEADER + GOOD.format(1))
    result = run("import", "a.csv")
    assert (result.exit_code, result.stdout) == (0, "added 1, known 0, refused 0\n")


def test_what_makes_csv_safe_is_not_for_json(database: str) -> None:
    assert database
    result = run("export", "--format", "jsonl", SAFE)
    assert result.exit_code == 2
    assert "is for CSV" in result.stderr


def test_an_export_that_is_ended_leaves_nothing(tmp_path: Path, spawn: Any) -> None:
    """Neither a half of the file nor the one it was written to until then."""
    out = tmp_path / "out"
    out.mkdir()
    program = (
        "import signal, sys\nfrom pathlib import Path\nfrom redrive.transfer.files import destination\n"
        "with destination(Path(sys.argv[1])) as file:\n"
        "    print('half', file=file, flush=True)\n    print('begun', flush=True)\n    signal.pause()\n"
    )
    process = spawn([sys.executable, "-P", "-c", program, out / "all.csv"], ready="begun")
    assert len(list(out.iterdir())) == 1
    process.signal(signal.SIGTERM)
    assert process.wait(20) == 128 + signal.SIGTERM
    assert list(out.iterdir()) == []


def test_refused_rows_keep_a_separator_that_only_a_line_can_name(here: Path) -> None:
    given = "sep=^\naccount^external_id\nphone^1\n"
    assert run("import", "-", "--dry-run", "--errors", "refused.csv", given=given).exit_code == 1
    (here / "refused.csv").write_text((here / "refused.csv").read_text().replace("phone^", "phones^"))
    assert run("import", "refused.csv", "--dry-run").stdout == "good 1, refused 0; nothing was added\n"


def test_a_closed_stream_is_empty(database: str, here: Path, spawn: Any) -> None:
    environment = {"REDRIVE_DATABASE_URL": database, "REDRIVE_CONFIG": str(here / "redrive.toml")}
    process = spawn(["sh", "-c", '"$0" -P -m redrive import - <&-', sys.executable], environment)
    assert process.wait(30) == 2
    assert process.output().startswith("-: is empty; its first line must name the columns")


# --- refused rows ---


def test_refused_rows_are_repaired_in_their_file_and_imported_again(database: str, here: Path) -> None:
    """They keep their delimiter, their columns and their text; what is repaired needs no other change."""
    given = (
        "account;external_id;reason;attempts\n"
        "phones;1;fine;1\n"
        "phones;5.91E+17;rounded;2\n"
        'phone;3;"two\nlines";3\n'
        'phones;4;"open;4\n'
        "phones;5;too short\n"
        'phones;6;"a ""quote""";\n'
    )
    assert run("import", "-", "--errors", "refused.csv", given=given).stdout == "added 2, known 0, refused 4\n"
    text = (here / "refused.csv").read_text()
    assert text.splitlines()[0] == '"refusal";account;external_id;reason;attempts'
    assert "\"line 3: external_id '5.91E+17': a spreadsheet" in text
    assert run("import", "refused.csv", "--errors", "again.csv").stdout == "added 0, known 0, refused 4\n"
    again = (here / "again.csv").read_text()
    assert again.count("refusal") == 1
    repaired = (
        again.replace("5.91E+17", "2").replace("phone;", "phones;").replace('"open', "closed").replace("rt\n", "rt;\n")
    )
    (here / "again.csv").write_text(repaired)
    assert run("import", "again.csv").stdout == "added 4, known 0, refused 0\n"
    assert rows(database, "external_id, last_error") == [
        ("1", "fine"), ("6", 'a "quote"'), ("2", "rounded"), ("3", "two\nlines"), ("4", "closed"), ("5", "too short"),
    ]  # fmt: skip


def test_refused_json_is_repaired_in_its_file_and_imported_again(database: str, here: Path) -> None:
    tasks = [{"account": "phones", "external_id": n} for n in ("1", 5.91e17, "3")]
    given = json.dumps(tasks, indent=2) + '\n{"account": "phones", "external_id" "4"}\n'
    assert run("import", "-", "--errors", "refused", given=given).stdout == "added 2, known 0, refused 2\n"
    first, reason, broken = (here / "refused").read_text().splitlines()
    assert json.loads(first)["refusal"].startswith("line 6: external_id '5.91e+17': a number with a fraction")
    assert json.loads(reason) == {"refusal": "line 15: is not JSON: Expecting ':' delimiter at column 37"}
    assert broken == '{"account": "phones", "external_id" "4"}'
    assert run("import", "refused").stdout == "added 0, known 0, refused 2\n"
    repaired = (here / "refused").read_text().replace(": 5.91e+17", ': "2"').replace('" "', '": "')
    (here / "refused").write_text(repaired)
    assert run("import", "refused").stdout == "added 2, known 0, refused 0\n"
    assert [row[0] for row in rows(database)] == ["1", "3", "2", "4"]


def test_refused_rows_leave_with_the_bytes_they_came_with(here: Path) -> None:
    broken = "phones,1,任务失败\n".encode("gbk")
    given = b"account,external_id,reason\n" + broken
    assert run("import", "-", "--dry-run", "--errors", "refused.csv", given=given).exit_code == 1
    assert (here / "refused.csv").read_bytes().endswith(b'",' + broken)


def test_half_a_surrogate_leaves_as_it_came(here: Path) -> None:
    given = '{"account": "phones", "external_id": "5\\ud800"}'
    assert run("import", "-", "--dry-run", "--errors", "refused", given=given).exit_code == 1
    assert json.loads((here / "refused").read_text())["external_id"] == "5\ud800"


def test_the_file_of_refused_rows_is_another(here: Path) -> None:
    (here / "a.csv").write_text(HEADER)
    result = run("import", "a.csv", "--dry-run", "--errors", "./a.csv")
    assert (result.exit_code, result.stderr) == (
        1, "a.csv: is the file that is imported; name another for the refused rows\n",
    )  # fmt: skip
    assert (here / "a.csv").read_text() == HEADER


PEAK = """
import resource, sys
from redrive.models.intake import COLUMNS
from redrive.cli import app
try:
    app(sys.argv[1:])
except SystemExit:
    pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def test_memory_does_not_grow_with_the_file(here: Path, new_sqlite_database: Any, spawn: Any) -> None:
    """A file of 10 MB, most of it refused so that the test is quick, costs about what a small one does."""
    small, large = here / "small.csv", here / "large.csv"
    lines = [f"phones,{'9' * 150}{n},{'failed' if n % 100 == 0 else 'cancelled'},\n" for n in range(65_000)]
    small.write_text(HEADER + "".join(lines[:2000]))
    large.write_text(HEADER + "".join(lines))
    assert large.stat().st_size > 10_000_000
    environment = {"REDRIVE_DATABASE_URL": new_sqlite_database()}

    def peak(process: Process) -> int:
        process.wait(100)
        return int(process.output().splitlines()[-1])

    peaks = [
        peak(spawn([sys.executable, "-P", "-c", PEAK, "import", str(path), "--errors", os.devnull], environment))
        for path in (small, large)
    ]
    assert peaks[1] - peaks[0] < 5_000, f"{peaks} KiB"
    assert len(rows(environment["REDRIVE_DATABASE_URL"])) == 650
