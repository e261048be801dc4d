"""The servers under the tests are real, answer, forget what they should, and leave nothing behind."""

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
import redis
from sqlalchemy import create_engine, text

from tests.conftest import NewDatabase, Spawn
from tests.support.processes import wait_until
from tests.support.servers import Postgres, Valkey, unavailable

ROOT = Path(__file__).parents[2]

SESSION = """
import os, signal

def test_that_dies(postgres_url, new_broker_server, janitor):
    from tests.support.servers import Postgres
    for server in (Postgres(janitor), new_broker_server()):
        print("\\nstarted", server.process.pid, server.directory, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def query(url: str, statement: str) -> object:
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            return connection.execute(text(statement)).scalar_one()
    finally:
        engine.dispose()


def alive(pid: int) -> bool:
    """Whether the process runs; one that merely waits for somebody to collect its exit code does not."""
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


def test_postgres_answers_and_is_recent_enough(postgres_url: str) -> None:
    assert int(str(query(postgres_url, "SHOW server_version_num"))) >= 140_000
    assert int(str(query(postgres_url, "SHOW max_connections"))) >= 100


def test_every_postgres_database_is_fresh(new_postgres_database: NewDatabase) -> None:
    first, second = new_postgres_database(), new_postgres_database()
    engine = create_engine(first)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE only_here (id int)"))
    engine.dispose()
    assert query(first, "SELECT count(*) FROM pg_tables WHERE tablename = 'only_here'") == 1
    assert query(second, "SELECT count(*) FROM pg_tables WHERE tablename = 'only_here'") == 0


def test_a_database_is_migrated(database_url: str) -> None:
    assert query(database_url, "SELECT count(*) FROM redrive_tasks") == 0


def test_valkey_answers_and_starts_empty(broker: str) -> None:
    with redis.Redis.from_url(broker) as client:
        assert client.ping()
        assert client.dbsize() == 0
        client.set("left", "behind")


def test_the_next_test_finds_the_broker_empty(broker: str) -> None:
    with redis.Redis.from_url(broker) as client:
        assert client.dbsize() == 0


def test_a_killed_broker_comes_back_on_its_port_with_nothing(new_broker_server: Callable[[], Valkey]) -> None:
    with closing(new_broker_server()) as server, redis.Redis.from_url(server.url) as client:
        client.set("job", "1")
        server.kill()
        with pytest.raises(redis.ConnectionError):
            client.ping()
        server.start()
        assert client.get("job") is None
    assert not server.directory.exists()


def test_a_killed_durable_postgres_keeps_what_was_committed(new_postgres_server: Callable[..., Postgres]) -> None:
    with closing(new_postgres_server(durable=True)) as server:
        with psycopg.connect(host=str(server.directory), user="postgres") as connection:
            connection.execute("CREATE TABLE kept AS SELECT 1 AS id")
        server.kill()
        server.start()
        assert query(server.url, "SELECT id FROM kept") == 1
        assert query(server.url, "SHOW fsync") == "on"
    assert not server.directory.exists()


@pytest.mark.usefixtures("new_postgres_server", "new_broker_server")  # only where there are servers to leave behind
def test_a_killed_session_leaves_no_process_and_no_directory(tmp_path: Path) -> None:
    """SIGKILL gives no fixture a chance; the janitor beside the session clears up."""
    test = tmp_path / "test_killed.py"
    test.write_text(SESSION)
    options = ("-s", "-c", ROOT / "pyproject.toml", "-p", "tests.conftest", "-p", "no:cacheprovider")
    command: list[str | Path] = [sys.executable, "-m", "pytest", *options, test]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL, done.stdout
    started = [line.split() for line in done.stdout.splitlines() if line.startswith("started")]
    assert len(started) == 2
    for _, pid, directory in started:
        wait_until(lambda pid=pid: not alive(int(pid)), what=f"{pid} gone")  # type: ignore[misc]
        wait_until(lambda directory=directory: not Path(directory).exists(), what=f"{directory} gone")  # type: ignore[misc]


def test_a_process_is_waited_for_and_its_whole_group_ends(spawn: Spawn) -> None:
    process = spawn(["sh", "-c", "sleep 600 & echo child $!; wait"], ready=r"^child \d+$")
    child = int(process.output().split()[1])
    assert alive(child)
    process.stop()
    assert process.returncode == -signal.SIGTERM
    wait_until(lambda: not alive(child))


def test_a_process_that_ends_early_is_told_with_its_output(spawn: Spawn) -> None:
    with pytest.raises(AssertionError, match=r"ended with 3 first\nno settings"):
        spawn(["sh", "-c", "echo no settings >&2; exit 3"], ready="listening")


def test_a_process_sees_no_settings_of_ours(spawn: Spawn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDRIVE_DATABASE_URL", "postgresql://production")
    process = spawn(["env"], {"REDRIVE_HOME": "here"})
    assert process.wait() == 0
    assert "production" not in process.output()
    assert "REDRIVE_HOME=here" in process.output()


@pytest.mark.parametrize(("ci", "outcome"), [("", "Skipped"), ("true", "Failed")])
def test_a_missing_service_skips_at_the_desk_and_fails_in_ci(
    ci: str, outcome: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", ci)
    with pytest.raises(BaseException, match="pip install wheel, or set NAME") as caught:
        unavailable("service", wheel="wheel", variable="NAME")
    assert type(caught.value).__name__ == outcome
