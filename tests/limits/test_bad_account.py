"""One account that cannot work, with a crowd of due tasks: what it costs itself, and that it costs others nothing."""

import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import pytest
from sqlalchemy import ColumnElement, Connection, event, func, insert, select

from redrive.models.sql.db import Database
from redrive.models.sql.tables import tasks
from redrive.models.states import Status
from tests.support.house import SECRETS, House, toml
from tests.support.measured_world import MeasuredWorld
from tests.support.processes import Process, wait_until
from tests.support.servers import Valkey
from tests.support.tiny import Answer, Asked, Tiny, tiny

At = Callable[..., AbstractContextManager[House]]

OTHERS = [f"other{n}" for n in range(10)]

ACCOUNT = """
provider = "docflow"
base_url = "{url}"
app_id = {{ env = "APP_{name}" }}
secret_code = {{ env = "TI_SECRET" }}
workspace_id = "1"
"""
GENERAL = "[policy]\ntrack_results = false\n"
BATCH, CONCURRENCY, FAILURES = 3, 2, 5
LIMITS = {
    "batch_size": BATCH,
    "max_in_flight": 2,
    "concurrency": CONCURRENCY,
    "timeout_seconds": 60,
    "lease_seconds": 130,
}
CLAIM_STATEMENTS = 16
"""More than a claim takes that makes a batch; what a pass may take more for one more account."""

FAILURE = pytest.mark.parametrize("failure", ["wrong credentials", "connection refused", "hanging"])
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@dataclass
class Town:
    """A provider with many customers, and one who is told no, is told nothing, or finds nobody there."""

    failure: str
    released: threading.Event = field(default_factory=threading.Event)
    server: Tiny = field(init=False)
    nowhere: str = ""

    def answer(self, asked: Asked) -> Answer:
        if asked.headers["x-ti-app-id"] != "dead":
            return 200, {"code": 200, "msg": "success"}
        if self.failure == "hanging":
            self.released.wait(30)
        return 200, {"code": 40102, "msg": "wrong secret"}

    def calls(self, account: str) -> int:
        return sum(asked.headers["x-ti-app-id"] == account for asked in self.server.asked)

    def accounts(self, names: list[str]) -> dict[str, str]:
        refused = {"dead"} if self.failure == "connection refused" else set()
        urls = {name: self.nowhere if name in refused else self.server.url for name in names}
        return {name: ACCOUNT.format(url=url, name=name.upper()) for name, url in urls.items()}


@contextmanager
def town(failure: str) -> Iterator[Town]:
    made = Town(failure)
    with tiny(made.answer) as made.server, closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))  # not listening: whoever connects is refused
        made.nowhere = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        try:
            yield made
        finally:
            made.released.set()


def secrets(names: list[str]) -> dict[str, str]:
    return {**SECRETS, **{f"APP_{name.upper()}": name for name in names}}


def crowd(database: Database, accounts: Sequence[str], serials: range) -> None:
    """Due tasks put in as a host does, by SQL."""
    same = {"kind": "review_task", "status": "failed"}
    rows = [{**same, "account": account, "external_id": str(n)} for account in accounts for n in serials]
    with database.transaction() as t:
        for start in range(0, len(rows), 1000):
            t.connection.execute(insert(tasks), rows[start : start + 1000])


def costs(database: Database, account: str) -> int:
    """Attempts opened about the account's tasks."""
    return _sum(database, account, tasks.c.attempts)


def spent(database: Database, account: str) -> int:
    """Attempts that count against the limit of the account's tasks."""
    return _sum(database, account, tasks.c.spent)


def _sum(database: Database, account: str, column: ColumnElement[int]) -> int:
    with database.reading() as t:
        return int(t.rows(select(func.sum(column)).where(tasks.c.account == account))[0][0] or 0)


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_c: Connection, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    yield seen
    event.remove(database.engine, "before_cursor_execute", note)


Claims = list[tuple[str, int]]


def passes(ours: House, count: int, jobs: list[Future[Counter[str]]]) -> list[tuple[Claims, int]]:
    """What so many passes claim for the others, and the statements each takes. Their work is waited for.

    That of the bad account is not: ``jobs`` get what is done for it.
    """
    found = []
    for _ in range(count):
        with statements(ours.schedulers[0].database) as seen:
            batches = ours.run_pass()
        others = [batch for batch in batches if batch.account != "dead"]
        found.append(([(batch.account, batch.size) for batch in others], len(seen)))
        jobs += [ours.pool.submit(ours.work, [batch]) for batch in batches if batch.account == "dead"]
        ours.work(others)
    return found


@FAILURE
@on_postgresql
def test_a_crowd_that_cannot_work_takes_nothing_from_others(at: At, failure: str) -> None:
    """Pass by pass the others get the same as without it, in hardly more statements, though it is served first.

    It costs itself no more than the calls that were under way when it was noticed.
    """
    names = ["dead", *OTHERS]
    with (
        town(failure) as made,
        at("", made.accounts(names), general=GENERAL, limits=LIMITS, secrets=secrets(names)) as ours,
    ):
        database = ours.world.database
        crowd(database, OTHERS, range(2 * BATCH))
        bad: list[Future[Counter[str]]] = []
        without = passes(ours, 3, bad)
        assert [claims for claims, _ in without] == [[(name, BATCH) for name in OTHERS]] * 2 + [[]]
        crowd(database, ["dead"], range(5000))
        crowd(database, OTHERS, range(100, 100 + 2 * BATCH))
        beside = passes(ours, 3, bad)
        assert [claims for claims, _ in beside] == [claims for claims, _ in without]
        more = [here - there for (_, here), (_, there) in zip(beside, without, strict=True)]
        assert max(more) <= CLAIM_STATEMENTS
        assert {made.calls(name) for name in OTHERS} == {4 * BATCH}
        assert bad
        assert failure != "hanging" or not any(each.done() for each in bad), "nobody waited for it"
        made.released.set()
        wait(bad)
        assert made.calls("dead") <= 2 * CONCURRENCY
        assert costs(database, "dead") <= FAILURES + 2 * CONCURRENCY
        assert spent(database, "dead") == 0


@pytest.fixture
def alone(
    spawn: Callable[..., Process],
    new_postgres_database: Callable[[], str],
    new_broker_server: Callable[[], Valkey],
    tmp_path: Path,
) -> Iterator[MeasuredWorld]:
    """A second installation, with nothing in common with the first."""
    broker, directory = new_broker_server(), tmp_path / "alone"
    directory.mkdir()
    world = MeasuredWorld(spawn, new_postgres_database(), broker.url, directory)
    yield world
    world.close()
    broker.close()


@pytest.mark.long
@pytest.mark.timeout(900)
@FAILURE
@on_postgresql
def test_a_hundred_thousand_that_cannot_work_delay_nobody(
    world: MeasuredWorld, alone: MeasuredWorld, failure: str
) -> None:
    """Real processes: ten accounts take as long beside it as ten take at the same time in a house without it."""
    names = ["dead", *OTHERS]
    limits = LIMITS | {"batch_size": 20, "timeout_seconds": 5, "lease_seconds": 20}
    with town(failure) as made:
        for each in (world, alone):
            each.configure(toml(made.accounts(names), general=GENERAL, limits=limits), secrets(names))
            each.start_together("scheduler", "worker")
        crowd(world.database, ["dead"], range(100_000))
        wait_until(lambda: costs(world.database, "dead"), 60, what="the crowd was noticed")
        took = [seconds_for(world, alone, range(start, start + 100)) for start in range(0, 5000, 1000)]
    sys.stdout.write(f"{failure}: seconds beside it and without it {took}\n")
    # Both houses run at the same time, so that a busy machine is busy for both.
    assert median(beside / without for beside, without in took) < 1.1


def seconds_for(world: MeasuredWorld, alone: MeasuredWorld, serials: range) -> tuple[float, float]:
    """How long the others take in the one house and in the other, for so many tasks each, at the same time."""
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda each: _seconds_for(each, serials), (world, alone))
    return first, second


def _seconds_for(world: MeasuredWorld, serials: range) -> float:
    open_ones = select(func.count()).where(tasks.c.account.in_(OTHERS), tasks.c.status != Status.SUCCEEDED.value)

    def done() -> bool:
        with world.database.reading() as t:
            return t.rows(open_ones)[0][0] == 0

    began = time.monotonic()
    crowd(world.database, OTHERS, serials)
    wait_until(done, 200, what="all of the others are done")
    return round(time.monotonic() - began, 2)
