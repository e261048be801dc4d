"""Brokers as others run them: RabbitMQ, Redis behind sentinels, Redis by TLS."""

import base64
import socket
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import amqp
import pytest
import redis
import trustme
from kombu.connection import Connection

from redrive.cli.broker import answer
from redrive.models.states import ENDED_STATES
from redrive.sandbox.samples import sample_rows
from tests.infrastructure.conftest import NewWorld
from tests.support import forged
from tests.support.process_world import ProcessWorld
from tests.support.processes import Process, wait_until
from tests.support.servers import free_port

Spawn = Callable[..., Process]
Program = Callable[[str, str], Path]


def work(world: ProcessWorld, *, seed: int, workers: int = 1) -> list[Process]:
    """A scheduler and workers bring every task to its end."""
    running = [world.start("worker") for _ in range(workers)]
    running.append(world.start("scheduler"))
    finish(world, seed=seed)
    return running


def finish(world: ProcessWorld, *, seed: int) -> None:
    world.add(sample_rows(3, seed=seed))
    wait_until(lambda: all(task.status in ENDED_STATES for task in world.tasks()), 120, what="every task has ended")
    assert world.sandbox("stats")["violations"] == {}


# --- RabbitMQ --------------------------------------------------------------------------------------------------------


@pytest.fixture
def rabbitmq(program: Program, spawn: Spawn, tmp_path: Path) -> str:
    """A server of the test's own; its URL."""
    port = free_port()
    start_rabbitmq(program, spawn, tmp_path / "rabbitmq", f"listeners.tcp.1 = 127.0.0.1:{port}\n")
    return f"amqp://guest:guest@127.0.0.1:{port}//"


@pytest.fixture
def rabbitmq_by_tls(program: Program, spawn: Spawn, tmp_path: Path) -> str:
    """The same by TLS alone, with a certificate of a private authority for ``localhost``."""
    port, files = free_port(), certified(tmp_path, "localhost")
    start_rabbitmq(
        program,
        spawn,
        tmp_path / "rabbitmq",
        f"listeners.tcp = none\nlisteners.ssl.1 = 127.0.0.1:{port}\nssl_options.verify = verify_none\n"
        f"ssl_options.cacertfile = {files['ca']}\n"
        f"ssl_options.certfile = {files['server']}\nssl_options.keyfile = {files['server']}\n",
    )
    return f"amqps://guest:guest@localhost:{port}//?ssl_ca_certs={files['ca']}"


def start_rabbitmq(program: Program, spawn: Spawn, directory: Path, configuration: str) -> None:
    server = program("rabbitmq-server", "rabbitmq-server")
    directory.mkdir()
    (directory / "plugins").write_text("[].")
    (directory / "rabbitmq.conf").write_text(configuration)
    environment = {
        "HOME": str(directory),
        "RABBITMQ_NODENAME": f"redrive-{free_port()}@localhost",
        "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq"),
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_MNESIA_BASE": str(directory / "data"),
        "RABBITMQ_LOG_BASE": str(directory / "log"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_PID_FILE": str(directory / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "plugins"),
        "RABBITMQ_CONF_ENV_FILE": str(directory / "none"),
        "ERL_EPMD_PORT": str(free_port()),
    }
    # Erlang's own name server, which would otherwise be started as a daemon and stay.
    spawn([program("epmd", "rabbitmq-server"), "-address", "127.0.0.1"], environment)
    spawn([server], environment, ready="Server startup complete", timeout_seconds=90)


def test_all_works_over_rabbitmq_by_tls(rabbitmq_by_tls: str, new_world: NewWorld) -> None:
    """The certificate is verified, its name too, by everything that connects."""
    assert answer(rabbitmq_by_tls) == ""
    work(new_world(rabbitmq_by_tls), seed=6)
    bare = rabbitmq_by_tls.partition("?")[0]
    another_authority = rabbitmq_by_tls.replace("ca.pem", "other.pem")
    for wrong in (
        bare,
        bare.replace("amqps", "amqp"),
        another_authority,
        rabbitmq_by_tls.replace("localhost", "127.0.0.1"),
    ):
        assert answer(wrong).startswith("does not "), wrong
    assert answer(rabbitmq_by_tls.replace("localhost", "127.0.0.1") + "&ssl_check_hostname=false") == ""


def test_two_workers_of_one_machine_share_rabbitmq(rabbitmq: str, new_world: NewWorld, spawn: Spawn) -> None:
    """Each has a name of its own, which RabbitMQ insists on, and the health check finds both."""
    assert answer(rabbitmq) == ""
    world = new_world(rabbitmq)
    running = work(world, seed=1, workers=2)
    assert [process.returncode for process in running] == [None] * 3
    assert "RESOURCE_LOCKED" not in "".join(process.output() for process in running)
    asked = spawn([sys.executable, "-P", "-m", "redrive", "worker", "--check"], world.env)
    assert asked.wait(40) == 0, asked.output()


def test_forged_messages_end_no_worker_on_rabbitmq(rabbitmq: str, new_world: NewWorld) -> None:
    """Here the envelope is the protocol's; headers, types and bodies may still be anything."""
    world = new_world(rabbitmq)
    worker = world.start("worker")
    queues = [world.settings.queues.of("geelark"), world.settings.queues.requests]
    with Connection(rabbitmq) as connection, connection.channel() as channel:
        for queue in queues:
            for strange in forged.envelopes(queue):
                put(channel, queue, strange)
    work(world, seed=5)
    assert worker.returncode is None
    assert "Traceback" not in worker.output()
    assert worker.output().count("message.dropped") >= 3


def put(channel: Any, queue: str, strange: dict[str, Any]) -> None:
    """As much of a forged envelope as the protocol can carry."""
    body, headers = strange.get("body"), strange.get("headers")
    if not isinstance(headers, dict) or any(isinstance(value, int) and value > 2**62 for value in headers.values()):
        headers = {"task": ["x"], "id": {}}
    words = {name.replace("-", "_"): strange.get(name) for name in ("content-type", "content-encoding")}
    words = {name: value for name, value in words.items() if isinstance(value, str)}
    try:
        raw = base64.b64decode(str(body))
    except ValueError:
        raw = b"?"
    channel.basic_publish(amqp.Message(raw, application_headers=headers, **words), exchange="", routing_key=queue)


def test_a_wrong_password_of_rabbitmqs_is_said(rabbitmq: str) -> None:
    assert answer(rabbitmq.replace("guest:guest", "guest:wrong")).startswith("does not ")


# --- Sentinel --------------------------------------------------------------------------------------------------------


class Sentinels:
    """A master, its replica and a sentinel that watches both, by TLS where a certificate is given."""

    def __init__(self, server: Path, spawn: Spawn, directory: Path, tls: Mapping[str, Path] | None = None) -> None:
        self.ports = [free_port(), free_port()]
        self.sentinel = free_port()
        self.tls = tls
        common = ["--bind", "127.0.0.1", "--save", "", "--dir", directory]
        auth = ["--requirepass", "p@ss", "--masterauth", "p@ss"]
        replica = ["--replicaof", f"127.0.0.1 {self.ports[0]}"]
        where = [self._listening(port) for port in (*self.ports, self.sentinel)]
        self.master = spawn([server, *where[0], *common, *auth], ready="Ready to accept")
        spawn([server, *where[1], *common, *auth, *replica], ready="Finished with success")
        configuration = directory / "sentinel.conf"
        configuration.write_text(
            f"bind 127.0.0.1\ndir {directory}\nsentinel monitor ours 127.0.0.1 {self.ports[0]} 1\n"
            "sentinel auth-pass ours p@ss\n"
            "sentinel down-after-milliseconds ours 1000\nsentinel failover-timeout ours 5000\n"
        )
        self.watching = spawn([server, configuration, *where[2], "--sentinel"], ready="monitor master ours")

    def _listening(self, port: int) -> list[str | Path]:
        if self.tls is None:
            return ["--port", str(port)]
        server, authority = self.tls["server"], self.tls["ca"]
        files = ["--tls-cert-file", server, "--tls-key-file", server, "--tls-ca-cert-file", authority]
        return ["--port", "0", "--tls-port", str(port), *files, "--tls-auth-clients", "no", "--tls-replication", "yes"]

    @property
    def url(self) -> str:
        """One sentinel that is there and one that is not, as after a machine was lost."""
        return self.url_with("127.0.0.1:1")

    def url_with(self, first: str) -> str:
        """The address with another sentinel that is asked first."""
        scheme = "sentinel" if self.tls is None else "sentinels"
        authority = "" if self.tls is None else f"&ssl_ca_certs={self.tls['ca']}"
        there = f"{scheme}://:p%40ss@127.0.0.1:{self.sentinel}/3"
        return f"{scheme}://{first};{there}?master_name=ours{authority}"

    def knows_the_replica(self) -> bool:
        tls: dict[str, Any] = {} if self.tls is None else {"ssl": True, "ssl_ca_certs": str(self.tls["ca"])}
        with redis.Redis(host="127.0.0.1", port=self.sentinel, **tls) as client:
            return bool(client.execute_command("SENTINEL", "replicas", "ours"))


@pytest.fixture
def sentinels(program: Program, spawn: Spawn, tmp_path: Path, request: pytest.FixtureRequest) -> Sentinels:
    """In plain text, or by TLS where the parameter says so."""
    directory = tmp_path / "redis"
    directory.mkdir()
    tls = certified(directory, "localhost", "127.0.0.1") if getattr(request, "param", "") == "TLS" else None
    found = Sentinels(program("redis-server", "redis-server"), spawn, directory, tls)
    wait_until(found.knows_the_replica, 30, what="the sentinel knows the replica")
    return found


def certified(directory: Path, *names: str) -> dict[str, Path]:
    """A server's certificate, and that of its private authority and of another one."""
    authority = trustme.CA()
    files = {name: directory / f"{name}.pem" for name in ("server", "ca", "other")}
    certificate = authority.issue_cert(*names)
    certificate.private_key_and_cert_chain_pem.write_to_path(files["server"])
    authority.cert_pem.write_to_path(files["ca"])
    trustme.CA().cert_pem.write_to_path(files["other"])
    return files


@pytest.mark.parametrize("sentinels", ["plain", "TLS"], indirect=True)
def test_work_goes_on_after_sentinels_chose_another_master(sentinels: Sentinels, new_world: NewWorld) -> None:
    """The same scheduler and worker, with the address they were started with."""
    assert answer(sentinels.url) == ""
    world = new_world(sentinels.url)
    running = work(world, seed=2)
    sentinels.master.kill()
    finish(world, seed=3)
    assert [process.returncode for process in running] == [None, None]
    assert "Traceback" not in running[-1].output()
    wait_until(lambda: answer(sentinels.url) == "", 30, what="doctor agrees")


@pytest.mark.parametrize(("wrong", "words"), [("=ours", "=theirs"), ("p%40ss", "wrong")])
def test_a_wrong_master_or_password_is_said(sentinels: Sentinels, wrong: str, words: str) -> None:
    assert answer(sentinels.url.replace(wrong, words)).startswith("does not ")


@pytest.mark.parametrize("sentinels", ["TLS"], indirect=True)
def test_sentinels_are_verified_too(sentinels: Sentinels) -> None:
    assert answer(sentinels.url) == ""
    assert answer(sentinels.url.replace("ca.pem", "other.pem")).startswith("does not ")
    assert answer(sentinels.url.partition("&")[0]).startswith("does not ")
    assert answer(sentinels.url.replace("sentinels:", "sentinel:").partition("&")[0]).startswith("does not ")


def test_a_frozen_sentinel_costs_seconds(sentinels: Sentinels) -> None:
    """It takes the connection and never answers; the next one is asked by both libraries."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        began = time.monotonic()
        assert answer(sentinels.url_with(f"127.0.0.1:{frozen.getsockname()[1]}")) == ""
    assert time.monotonic() - began < 15


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def by_tls(program: Program, spawn: Spawn, tmp_path: Path) -> Callable[..., str]:
    """A server with a certificate of a private CA for ``localhost``; returns its URL with options."""
    server, port = program("redis-server", "redis-server"), free_port()
    certified(tmp_path, "localhost")
    files = ["--tls-cert-file", tmp_path / "server.pem", "--tls-key-file", tmp_path / "server.pem"]
    more = ["--tls-ca-cert-file", tmp_path / "ca.pem", "--tls-auth-clients", "no", "--save", "", "--dir", tmp_path]
    spawn([server, "--port", "0", "--tls-port", str(port), *files, *more], ready="Ready to accept")

    def url(scheme: str = "rediss", host: str = "localhost", **options: str) -> str:
        options = {name: value.replace("CA", str(tmp_path)) for name, value in options.items()}
        return f"{scheme}://{host}:{port}/0?{urlencode(options)}"

    return url


@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
def test_a_private_authority_is_named_and_all_works(
    by_tls: Callable[..., str], new_world: NewWorld, scheme: str
) -> None:
    url = by_tls(scheme, ssl_cert_reqs="CERT_REQUIRED", ssl_ca_certs="CA/ca.pem")
    assert answer(url) == ""
    running = work(new_world(url), seed=4)
    assert "insecure" not in "".join(process.output() for process in running)


@pytest.mark.parametrize(
    ("options", "works"),
    [
        ({}, False),
        ({"ssl_ca_certs": "CA/other.pem"}, False),
        ({"host": "127.0.0.1", "ssl_ca_certs": "CA/ca.pem"}, False),
        ({"host": "127.0.0.1", "ssl_ca_certs": "CA/ca.pem", "ssl_check_hostname": "false"}, True),
        ({"ssl_cert_reqs": "none"}, True),
        ({"scheme": "redis"}, False),
    ],
)
def test_a_server_is_verified_unless_the_address_says_otherwise(
    by_tls: Callable[..., str], options: dict[str, str], *, works: bool
) -> None:
    assert (answer(by_tls(**options)) == "") == works
