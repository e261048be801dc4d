"""Flower: nobody without its password, and batches as people want to see them."""

import re
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from celery import Celery

from redrive.flower import credentials, url
from redrive.models.errors import SettingsError
from redrive.models.settings import FlowerSettings
from redrive.sandbox.samples import sample_rows
from tests.support.process_world import ProcessWorld
from tests.support.processes import Process, wait_until
from tests.support.servers import Valkey, free_port

AUTH = ("operator", "pass:word")


NewFlower = Callable[[str], httpx.Client]


@pytest.fixture
def new_flower(spawn: Callable[..., Process], tmp_path: Path) -> Iterator[NewFlower]:
    """Flower alone on this broker; somebody who asks it."""
    asking: list[httpx.Client] = []

    def new(broker_url: str) -> httpx.Client:
        address = f"127.0.0.1:{free_port()}"
        (tmp_path / "redrive.toml").write_text(f'[flower]\naddress = "{address}"\n')
        environment = {
            "REDRIVE_BROKER_URL": broker_url,
            "REDRIVE_HOME": str(tmp_path),
            "FLOWER_BASIC_AUTH": ":".join(AUTH),
            # A setting of Flower's that could lead past its address.
            "FLOWER_UNIX_SOCKET": str(tmp_path / "flower.sock"),
        }
        spawn([sys.executable, "-P", "-m", "redrive", "flower"], environment)
        http = httpx.Client(base_url=f"http://{address}", trust_env=False)
        asking.append(http)
        wait_until(lambda: is_up(http), 30, what="Flower")
        return http

    yield new
    for http in asking:
        http.close()


@pytest.fixture
def flower(new_flower: NewFlower, broker: str) -> httpx.Client:
    return new_flower(broker)


@pytest.mark.parametrize("by", ["TCP", "a socket"])
def test_the_queues_are_those_of_the_address(
    new_flower: NewFlower, new_broker_server: Callable[[], Valkey], by: str
) -> None:
    """Of its database, by its way, as its user: Flower's own code knows fewer addresses."""
    with closing(new_broker_server()) as server:
        with redis.Redis(port=server.port, db=3) as client:
            client.acl_setuser(
                "guest", enabled=True, passwords=["+p@ss/w"], keys=["*"], channels=["*"], commands=["+@all"]
            )
            client.rpush("redrive.requests", "one", "two")
        where = f"127.0.0.1:{server.port}/3" if by == "TCP" else f"{server.socket}?virtual_host=3"
        http = new_flower(f"{'redis' if by == 'TCP' else 'redis+socket'}://guest:p%40ss%2Fw@{where}")
        queues = http.get("/api/queues/length", auth=AUTH).raise_for_status().json()["active_queues"]
        assert queues == [{"name": "redrive.requests", "messages": 2}]
        page = http.get("/broker", auth=AUTH).raise_for_status().text
        assert "redrive.requests" in page
        assert not any(word in page for word in ("p@ss", "p%40ss"))
        server.kill()
        refused = http.get("/api/queues/length", auth=AUTH)
        assert (refused.status_code, "Traceback" in refused.text) == (503, False)
        assert http.get("/broker", auth=AUTH).status_code == 200


def test_wrong_passwords_come_to_an_end(flower: httpx.Client) -> None:
    """From then on not even the right one is checked, so that nobody can find it out by trying."""
    guesses = [flower.get("/api/workers", auth=("operator", f"guess-{number}")) for number in range(13)]
    assert [guess.status_code for guess in guesses] == [401] * 10 + [429] * 3
    assert guesses[-1].headers["Retry-After"] == "60"
    for path in ("/", "/tasks", "/api/task/send-task/redrive.request"):
        assert flower.request("POST" if "send" in path else "GET", path, auth=AUTH).status_code == 429
    assert flower.get("/").status_code == 401
    assert flower.get("/healthcheck").text == "OK"


def test_what_is_no_sign_in_is_refused(flower: httpx.Client) -> None:
    """In words: an error page would show the inside of the program to somebody who has no password."""
    for strange in ("Basic", "Basic x", "Basic !!!", "Bearer abc", "Basic b3A6cMOkc3M=", "bäsic", ""):
        answer = flower.get("/api/workers", headers={"Authorization": strange.encode()})
        assert (answer.status_code, answer.text) == (401, "User or password is wrong."), strange
        assert answer.headers["WWW-Authenticate"].startswith("Basic ")
    assert flower.get("/api/workers", auth=AUTH).status_code == 200


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_shows_batches_to_those_who_sign_in(world: ProcessWorld, spawn: Callable[..., Process]) -> None:
    """Account, operation and size of each batch, and what came of it."""
    address = f"127.0.0.1:{free_port()}"
    world.start_sandbox(limits=f'[flower]\naddress = "{address}"\n')
    world.env["FLOWER_BASIC_AUTH"] = ":".join(AUTH)
    # As in a namespace of Kubernetes with a Service of the name "flower", and beside a Celery of somebody else's.
    world.env |= {"FLOWER_PORT": "tcp://10.0.0.1:5555", "FLOWER_SERVICE_HOST": "10.0.0.1", "FLOWER_ADDRESS": "0.0.0.0"}
    world.env["CELERY_BROKER_URL"] = "redis://127.0.0.1:1/0"
    flower = start_flower(world, spawn)
    with httpx.Client(base_url=f"http://{address}", trust_env=False) as http:
        wait_until(lambda: is_up(http), 30, what="Flower")
        for path in ("/", "/tasks", "/api/tasks", "/api/workers"):
            assert http.get(path).status_code == 401
            assert http.get(path, auth=("operator", "wrong")).status_code == 401
            assert http.get(path, auth=AUTH).status_code == 200
        world.add(sample_rows(3))
        world.start("scheduler")
        wait_until(lambda: has_a_queue(http, ".geelark"), 30, what="a queue that no worker takes")
        world.start("worker")
        world.wait_for_the_end()
        wait_until(lambda: ended(http, "redrive.retry") and ended(http, "redrive.check"), what="the batches' ends")
        batch = ended(http, "redrive.retry")[0]
        assert batch["routing_key"].startswith("redrive.")
        assert all(f"'{name}': " in batch["kwargs"] for name in ("account", "operation", "size"))
        assert "'operation': 'retry'" in batch["kwargs"]
        assert batch["result"].startswith("{'")
        for path in ("task/send-task/redrive.request", "task/async-apply/x", "worker/shutdown/x", "task/revoke/x"):
            refused = http.post(f"/api/{path}", auth=AUTH, json={"args": [[1]]})
            assert refused.status_code == 403, path
        forge(world)
        assert http.get("/workers", auth=AUTH).status_code == 200
    assert "pass:word" not in flower.output()


def forge(world: ProcessWorld) -> None:
    """Events that break Flower's pages when they are believed."""
    with (
        Celery("forger", broker=world.urls["REDRIVE_BROKER_URL"], set_as_current=False) as app,
        app.events.default_dispatcher() as send,
    ):
        for strange in ("x", [], {}, -1e300):
            send.send("worker-heartbeat", active=strange, freq=strange, loadavg=strange)
        send.send("task-received", uuid=["x"], name={})


def start_flower(world: ProcessWorld, spawn: Callable[..., Process]) -> Process:
    return spawn([sys.executable, "-P", "-m", "redrive", "flower"], world.env)


def is_up(http: httpx.Client) -> bool:
    try:
        return http.get("/healthcheck").text == "OK"
    except httpx.TransportError:
        return False


def has_a_queue(http: httpx.Client, ending: str) -> bool:
    page = http.get("/broker", auth=AUTH).raise_for_status().text
    return re.search(rf"redrive\.[a-z0-9-]+{re.escape(ending)}\b", page) is not None


def ended(http: httpx.Client, name: str) -> list[dict[str, Any]]:
    answer = http.get("/api/tasks", auth=AUTH, params={"taskname": name, "state": "SUCCESS"})
    return list(answer.raise_for_status().json().values())


def test_a_password_is_made_once_per_home(tmp_path: Path) -> None:
    """Shown when it is made, then kept where only its owner can read it."""
    made = credentials(tmp_path / "home", {})
    (pair,) = made.pairs
    user, _, password = pair.partition(":")
    assert (user, made.made, made.words().count(password)) == ("redrive", True, 1)
    assert stat.S_IMODE((tmp_path / "home" / "flower.auth").stat().st_mode) == 0o600
    again = credentials(tmp_path / "home", {})
    assert (again.pairs, again.made) == (made.pairs, False)
    assert password not in again.words()
    assert credentials(tmp_path / "other", {}).pairs != made.pairs


def test_the_environments_password_wins(tmp_path: Path) -> None:
    given = credentials(tmp_path / "home", {"FLOWER_BASIC_AUTH": "a:1,b:2"})
    assert given.pairs == ("a:1", "b:2")
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "operator",
        ":password",
        "operator:",
        "a:1,",
        "a b:1",
        '"a:1"',
        "'a:1'",
        'a:1"',
        "op:pässwört",
        "op:密码",
        "\ufeffa:1",
    ],
)
def test_what_is_no_user_and_password_is_refused(tmp_path: Path, wrong: str) -> None:
    """Never a page without a password because of a slip."""
    with pytest.raises(SettingsError, match="FLOWER_BASIC_AUTH: must be USER:PASSWORD"):
        credentials(tmp_path, {"FLOWER_BASIC_AUTH": wrong})
    (tmp_path / "flower.auth").write_text(wrong)
    with pytest.raises(SettingsError, match=r"flower.auth: must be USER:PASSWORD"):
        credentials(tmp_path, {})


@pytest.mark.parametrize(
    ("variables", "shown"),
    [
        ({}, "http://127.0.0.1:5555/"),
        ({"FLOWER_URL_PREFIX": "flower"}, "http://127.0.0.1:5555/flower/"),
        ({"FLOWER_URL_PREFIX": "/a/b/"}, "http://127.0.0.1:5555/a/b/"),
        ({"FLOWER_CERTFILE": "/x"}, "https://127.0.0.1:5555/"),
    ],
)
def test_the_address_that_is_shown_is_the_pages(variables: dict[str, str], shown: str) -> None:
    assert url(FlowerSettings(), variables) == shown


@pytest.mark.parametrize(
    ("name", "value"), [("MAX_TASKS", "many"), ("READ_ONLY", "perhaps"), ("INSPECT_TIMEOUT", "tcp://1")]
)
def test_a_variable_of_flowers_own_that_cannot_be_is_said(
    spawn: Callable[..., Process], broker: str, tmp_path: Path, name: str, value: str
) -> None:
    (tmp_path / "redrive.toml").write_text(f'[flower]\naddress = "127.0.0.1:{free_port()}"\n')
    environment = {"REDRIVE_BROKER_URL": broker, "REDRIVE_HOME": str(tmp_path), f"FLOWER_{name}": value}
    flower = spawn([sys.executable, "-P", "-m", "redrive", "flower"], environment)
    assert flower.wait(30) == 2
    assert "FLOWER_…: one of Flower's own variables has a value that it cannot have" in flower.output()
    assert "Traceback" not in flower.output()
