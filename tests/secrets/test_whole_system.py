"""The whole system at work among servers that repeat everything they are told, and no secret in anything it leaves."""

import stat
import traceback
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from celery import Celery

from redrive import Client
from redrive.flower import credentials
from redrive.models import jobs
from redrive.models.providers import BUILT_IN
from redrive.models.settings import load
from redrive.models.sql.db import Database
from tests.secrets.echo import Echo, scripts
from tests.secrets.installation import (
    ACCOUNTS,
    CONFIG,
    Installation,
    account,
    command_lines,
    counted,
    listening,
    paused,
    task_ids,
)
from tests.secrets.servers import ClosedPostgres, Overheard, close_broker, dump, stored
from tests.support.marks import MARK, Search, secret
from tests.support.processes import Process, wait_until
from tests.support.servers import Postgres, Valkey, free_port

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def echo() -> Iterator[Echo]:
    """Providers that repeat what they are told, and the secrets behind it."""
    secrets = {name: [secret(each) for each in names] for name, (_, names, _) in ACCOUNTS.items()}
    groups = [[name for name in ACCOUNTS if ACCOUNTS[name][0] == provider and name != "wrong"] for provider in BUILT_IN]
    with Echo(CONFIG, secrets, {name: script for group in groups for name, script in scripts(group).items()}) as echo:
        yield echo


@pytest.fixture
def here(spawn: Callable[..., Process], tmp_path: Path, echo: Echo, monkeypatch: pytest.MonkeyPatch) -> Installation:
    """An installation that calls these providers, nothing of it started yet."""
    return Installation(spawn, tmp_path, echo, f"127.0.0.1:{free_port()}", monkeypatch)


def test_no_secret_shows_where_everything_has_a_password(
    here: Installation, echo: Echo, new_postgres_server: Callable[[], Postgres], new_broker_server: Callable[[], Valkey]
) -> None:
    """PostgreSQL, Valkey, scheduler, worker and Flower each on its own; and passwords that suddenly are wrong."""
    here.secrets |= {name: secret(name) for name in ("DATABASE_PASSWORD", "BROKER_PASSWORD")}
    with ExitStack() as stack:
        server = ClosedPostgres(new_postgres_server(), here.secrets["DATABASE_PASSWORD"])
        stack.callback(server.close)
        broker = new_broker_server()
        stack.callback(broker.close)
        broker_url = close_broker(broker, here.secrets["BROKER_PASSWORD"])
        here.env |= {"REDRIVE_DATABASE_URL": server.url, "REDRIVE_BROKER_URL": broker_url}
        overheard = stack.enter_context(Overheard(lambda: broker_url))
        overheard.wait()
        search = Search(here.secrets)
        search.look("redrive migrate", here.run("migrate"), expects="redrive")
        here.start("flower", ready=None)
        here.start("worker", ready="worker.started")
        here.start("scheduler", ready="scheduler.started")
        _work(here, echo, search, broker_url)
        _change_passwords(here, search, server, broker)
        _commands(here, search)
        _look_around(here, search)
        here.processes["worker"].stop()
        here.import_tasks(1, start=500)
        wait_until(lambda: MARK in stored(broker_url), what="a batch that no worker takes")
        search.look("the broker's keys and values", stored(broker_url))
        _lose_a_table(here)
        _end(here, echo, search, overheard)
        search.look("log of PostgreSQL", server.log, expects="password authentication failed")
        search.look("log of Valkey", (broker.directory / "log").read_text(), expects="Ready to accept")
    search.conclude()


def test_no_secret_shows_where_everything_is_embedded(here: Installation, echo: Echo) -> None:
    """``redrive up`` with SQLite, and passwords that Redrive made itself. Less is said and asked than above."""
    echo.shorten(2)
    home = Path(here.env["REDRIVE_HOME"])
    del here.env["FLOWER_BASIC_AUTH"]
    here.secrets["FLOWER_PASSWORD"] = credentials(home, {}).pairs[0].partition(":")[2]
    with ExitStack() as stack:
        overheard = stack.enter_context(Overheard((home / "broker.url").read_text))
        here.start("up", ready="worker.started")
        overheard.wait()
        broker_url = (home / "broker.url").read_text()
        here.secrets["BROKER_PASSWORD"] = urlsplit(broker_url).password or ""
        search = Search(here.secrets)
        _work(here, echo, search, broker_url)
        with listening():
            for command in (["doctor"], ["export"], ["show", 1]):
                here.look(search, command, expects="credentials" if command == ["doctor"] else MARK)
        _look_around(here, search)
        search.look("the broker's keys and values", stored(broker_url), expects="redrive")
        _end(here, echo, search, overheard)
        for path in sorted(each for each in home.rglob("*") if each.is_file()):
            if path.name in {"broker.url", "valkey.conf", "flower.auth"}:  # what they are for
                assert stat.S_IMODE(path.stat().st_mode) == 0o600
            else:
                search.look(str(path.relative_to(home)), path.read_bytes(), expects=MARK if ".db" in path.name else ())
    search.conclude()


# --- What is done ----------------------------------------------------------------------------------------------------


def _work(here: Installation, echo: Echo, search: Search, broker_url: str) -> None:
    """Tasks of all accounts through every misbehaviour and on to success, and jobs that fail."""
    search.look("redrive import", here.import_tasks(), expects="added")
    with here.database() as database:
        wait_until(lambda: _resumed(here, database) and not echo.left(), 120, what="everything was said")
        here.import_tasks(3, start=300)
        good = {account(name) for name in ACCOUNTS if name != "wrong"}
        wait_until(lambda: _resumed(here, database) and good <= counted(database, "succeeded"), 60, what="successes")
    assert echo.tokens
    search.secrets |= {f"token {number} of a login": token for number, token in enumerate(echo.tokens)}
    with Celery("tests", broker=broker_url, set_as_current=False) as celery:
        celery.conf.update(jobs.CELERY)
        queue = load(environ=here.env).queues.of("geelark")
        celery.send_task(jobs.RETRY, args=[f"{MARK} is no batch"], queue=queue, task_id="fails")
        celery.send_task(jobs.REQUEST, args=["x"], queue=jobs.REQUESTS_QUEUE)
    log = here.processes.get("worker") or here.processes["up"]
    wait_until(lambda: "message.dropped" in log.output(), 30, what="a job that was dropped")
    search.look("arguments of all processes", command_lines(), expects=here.expected_arguments())


def _resumed(here: Installation, database: Database) -> bool:
    for name in paused(database):
        here.run("resume", name)
    return True


def _change_passwords(here: Installation, search: Search, server: ClosedPostgres, broker: Valkey) -> None:
    """Every connection ends and no password is right any more, and then all are again."""
    right = here.secrets["DATABASE_PASSWORD"], here.secrets["BROKER_PASSWORD"]
    server.set_password("another")
    server.hang_up()
    close_broker(broker, "another", here.secrets["BROKER_PASSWORD"])
    for name, words in (("worker", "Cannot connect to"), ("scheduler", "database.unreachable")):
        wait_until(lambda name=name, words=words: words in here.processes[name].output(), 20, what=f"{name}: {words}")
    for command in (["status"], ["doctor"], ["list", "--json"], ["scheduler", "--once"], ["export"]):
        expects = "authentication failed"
        search.look(f"redrive {' '.join(command)}, refused", here.run(*command), expects=expects)
    waiting = here.spawn("worker", ready="authentication failed")  # until the password is right
    waiting.stop()
    search.look("log of a worker that waits", waiting.output(), expects="database.unreachable")
    _exceptions(search, "refused", here.env["REDRIVE_DATABASE_URL"])
    server.set_password(right[0])
    close_broker(broker, right[1], "another")


def _lose_a_table(here: Installation) -> None:
    """A table is gone: the scheduler says so, and goes on when it is back."""
    scheduler, words = here.processes["scheduler"], 'redrive_limits\\" does not exist'
    with here.database() as database:
        with database.transaction() as t:
            t.connection.exec_driver_sql("ALTER TABLE redrive_limits RENAME TO redrive_elsewhere")
        wait_until(lambda: words in scheduler.output(), 30, what=f"scheduler: {words}")
        with database.transaction() as t:
            t.connection.exec_driver_sql("ALTER TABLE redrive_elsewhere RENAME TO redrive_limits")


def _exceptions(search: Search, why: str, url: str) -> None:
    client = Client(database_url=url)
    with pytest.raises(Exception) as raised:  # noqa: PT011 - whatever a host may print
        client.find(status="failed")
    client.close()
    error = raised.value
    told = [str(error), repr(error), *traceback.format_exception(error), repr(client), str(error.__cause__)]
    search.look(f"the client's exception, {why}", "\n".join(told), expects=["Unreachable", "Client(", "***"])


# --- Where it is looked for ------------------------------------------------------------------------------------------


def _look_around(here: Installation, search: Search) -> None:
    """While everything runs."""
    _objects(here, search)
    _flower(here, search)


def _end(here: Installation, echo: Echo, search: Search, overheard: Overheard) -> None:
    """What is left when everything has stopped."""
    search.look("what the broker was told", overheard.text, expects=[MARK, jobs.WAKE_CHANNEL, '"LPUSH"'])
    for name, process in here.processes.items():
        process.stop()
        expects = "flower.inspector" if name == "flower" else MARK
        search.look(f"log of {name}", process.output(), expects=["DEBUG", expects])
    whole = dump(here.database_url)
    search.look("the database", whole, expects=[account(name) for name in ACCOUNTS])
    assert {*echo.said, "wrong"} == {*ACCOUNTS}


def _commands(here: Installation, search: Search) -> None:
    """Every command, in the forms it has."""
    with here.database() as database:
        ids = [own[0] for own in task_ids(database).values()]
    here.run("stop", *ids[-4:], "--yes")  # so that some are dead, with what their provider answered
    wait_until(lambda: MARK in here.run("list", "-s", "dead"), 60, what="a task that is dead, when its batch has ended")
    bad = here.directory / "bad.csv"
    bad.write_text(f"account,external_id\n{account('token')},5.9E+17\nnobody,1\n")
    one = account("token")
    listings: list[list[Any]] = [
        ["status"], ["list"], ["list", "-s", "dead"], ["accounts"], ["import", bad],
        *(["show", each] for each in ids[::2]), ["explain", *ids],
    ]  # fmt: skip
    changes: list[list[Any]] = [
        ["export"], ["export", "-o", "out.jsonl"],
        ["pause", one], ["status"], ["resume", one], ["hold", *ids[:4], "--yes"], ["release", *ids[:4], "--yes"],
        ["retry", *ids, "--yes"], ["retry", ids[0], "--force", "--yes"], ["stop", ids[1]], ["revive", ids[1]],
        ["prune", "--dry-run"], ["init"], ["migrate"], ["show", 10**9],
    ]  # fmt: skip
    with listening() as said:
        for command in (["doctor"], ["doctor", "--json"]):
            here.look(search, command, expects=["database", "credentials"])
        for command in listings:
            here.look(search, command, expects=MARK)
            here.look(search, [*command, "--json"], expects=MARK)
        for command in changes:
            here.look(search, command, expects=())
    search.look("out.jsonl", (here.directory / "out.jsonl").read_text())
    search.look("what the commands log", said.getvalue(), expects="redrive_tasks")


def _objects(here: Installation, search: Search) -> None:
    """What a program that uses Redrive may print."""
    settings = load(environ=here.env)
    with Client(here.database_url, here.env.get("REDRIVE_BROKER_URL"), here.env["REDRIVE_CONFIG"]) as client:
        shown = [*client.find(account=account("token")), client, settings, *settings.accounts.values()]
        search.look(
            "objects", "\n".join(f"{each!r} {each!s}" for each in shown), expects=[MARK, "Client(", "Settings("]
        )


def _flower(here: Installation, search: Search) -> None:
    with _asking_flower(here) as http:
        workers = wait_until(lambda: _workers(http), 30, what="what Flower knows of the worker")
        paths = ["/", "/workers", "/tasks", "/broker", "/metrics", "/api/tasks", "/api/queues/length", "/task/fails"]
        paths += [f"/worker/{quote(name)}" for name in workers.json()]
        search.look("Flower /api/workers", workers.text, expects=["redrive.requests", "broker"])
        expects = {
            "/api/tasks": MARK,
            "/task/fails": MARK,
            "/metrics": "flower_",
            "/api/queues/length": "redrive.",
        }
        for path in paths:
            answer = http.get(path).raise_for_status()
            search.look(f"Flower {path}", answer.text, expects=expects.get(path, "Flower"))


def _asking_flower(here: Installation) -> httpx.Client:
    user = "operator" if "FLOWER_BASIC_AUTH" in here.env else "redrive"
    auth = (user, here.secrets["FLOWER_PASSWORD"])
    return httpx.Client(base_url=f"http://{here.flower}", auth=auth, trust_env=False, timeout=20)


def _workers(http: httpx.Client) -> httpx.Response | None:
    """All that workers tell of themselves; a worker that is busy answers late."""
    answer = http.get("/api/workers", params={"refresh": 1}).raise_for_status()
    return answer if '"broker"' in answer.text and '"conf"' in answer.text else None
