"""The pace of ten healthy accounts beside one in trouble, counted at the provider as calls arrive.

All are at one provider, in one installation of real processes. The pace is compared within one run: with the trouble,
and without it right before. What bounds it is the accounts' own rate, so that a busy machine slows neither.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import create_engine, delete, insert, text

from redrive.models.clock import boottime
from redrive.models.sql.db import Database
from redrive.models.sql.tables import tasks
from redrive.sandbox.behavior import Script
from redrive.sandbox.script import DOCFLOW, make_id
from tests.support.oddities import drop_rules, insert_odd, odd_values
from tests.support.processes import wait_until

from .house import SECRETS, toml
from .measured_world import MeasuredWorld
from .tiny import Answer, Asked, Tiny, tiny

HEALTHY = tuple(f"healthy{n}" for n in range(10))
PER_MINUTE = 120
LIMITS = {"calls_per_minute": PER_MINUTE, "batch_size": 10, "timeout_seconds": 5, "lease_seconds": 20, "concurrency": 8}
GENERAL = "[policy]\ntrack_results = false\n[scheduler]\npoll_seconds = 0.2\n"
ACCOUNT = """
provider = "docflow"
base_url = "{url}"
app_id = {{ env = "APP_{key}" }}
secret_code = {{ env = "TI_SECRET" }}
workspace_id = "1"
"""
FOLLOWED = """
[accounts.{name}.policy]
track_results = true
check_after_seconds = 0.1
check_max_seconds = 0.2
settle_seconds = 0.2
"""
SUCCESS: Answer = (200, {"code": 200, "msg": "success"})
HUGE = b'{"code": 200, "result": [' + b"0.1234567890123," * 200_000 + b"0]}"
SILENT_NAMES = """
import socket, time
_real = socket.getaddrinfo
def getaddrinfo(host, *args, **kwargs):
    if str(host).endswith(".example"):
        time.sleep(600)
    return _real(host, *args, **kwargs)
socket.getaddrinfo = getaddrinfo
"""
ENOUGH_SECONDS = 600
"""So much work has each healthy account."""
CROWD = range(400)

Meanwhile = Callable[[MeasuredWorld, str], AbstractContextManager[object]]


@dataclass(frozen=True)
class Trouble:
    """What befalls one account.

    Attributes:
        answers: what it is answered, by path, where that is not a success.
        url: its address, where that is not the provider's.
        followed: its retries are followed by checks.
        meanwhile: what else happens, for as long as the context is open.
    """

    answers: Callable[[str], Answer] = lambda _path: SUCCESS
    url: str = ""
    followed: bool = False
    meanwhile: Meanwhile = lambda _world, _name: nullcontext()


@contextmanager
def _odd_rows(world: MeasuredWorld, name: str) -> Iterator[None]:
    """Every oddity, again and again among the account's good rows."""
    engine = world.database.engine
    kinds = odd_values(engine.dialect.name)
    with engine.begin() as connection:
        drop_rules(connection)
        for n in range(2 * len(kinds)):
            plain = {"account": name, "kind": "review_task", "external_id": make_id(DOCFLOW, n, Script())}
            insert_odd(connection, plain | kinds[n % len(kinds)])
    yield


@contextmanager
def _host_transaction(world: MeasuredWorld, name: str) -> Iterator[None]:
    """A host changed the account's tasks and its row, and went to lunch."""
    engine = create_engine(world.database.url)
    try:
        with engine.connect() as connection:
            connection.execute(text("SET lock_timeout = '10s'"))
            connection.execute(text("UPDATE redrive_accounts SET refusals = refusals WHERE name = :n"), {"n": name})
            connection.execute(text("UPDATE redrive_tasks SET origin = 'host' WHERE account = :n"), {"n": name})
            yield
            connection.rollback()
    finally:
        engine.dispose()


def _unreadable(path: str) -> Answer:
    return (200, {"code": 200, "result": {"task_id": "?", "status": "melted"}}) if path.endswith("result") else SUCCESS


TROUBLES: Mapping[str, Trouble] = {
    "odd rows": Trouble(meanwhile=_odd_rows),
    "a host's open transaction": Trouble(meanwhile=_host_transaction),
    "unreadable checks": Trouble(_unreadable, followed=True),
    "huge answers": Trouble(lambda _: (200, HUGE), followed=True),
    "a silent name server": Trouble(url="https://silent.example"),
    "dead credentials": Trouble(lambda _: (200, {"code": 40102, "msg": "wrong secret"})),
}


def account_of(trouble: str) -> str:
    """The account that this befalls."""
    return trouble.replace(" ", "-").replace("'", "")


@dataclass
class Street:
    """The installation, its provider, and what is measured there."""

    world: MeasuredWorld
    server: Tiny
    names: Mapping[str, str] = field(default_factory=lambda: {account_of(each): each for each in TROUBLES})

    def share(self, trouble: str, seconds: float) -> float:
        """What is left of the healthy accounts' pace beside the trouble."""
        name, without = account_of(trouble), self._pace(seconds)
        _crowd(self.world.database, name, CROWD)
        with TROUBLES[trouble].meanwhile(self.world, name):
            beside = self._pace(seconds)
        self._clear(name)
        return beside / without

    def _pace(self, seconds: float) -> float:
        """Calls of the healthy accounts within so many seconds."""
        since = boottime()
        time.sleep(seconds)  # what is measured is what happens in this time
        healthy = {f"app-{name}" for name in HEALTHY}
        return sum(since <= asked.at < since + seconds and _app(asked) in healthy for asked in list(self.server.asked))

    def begin(self) -> None:
        """Give the healthy accounts work, and wait until it flows."""
        for name in HEALTHY:
            _crowd(self.world.database, name, range(PER_MINUTE * ENOUGH_SECONDS // 60))
        self.world.start_together("scheduler", "worker")
        for name in HEALTHY:
            wait_until(lambda name=name: self.calls(name) > 2, 60, what=f"calls of {name}")  # type: ignore[misc]

    def calls(self, name: str) -> int:
        """Calls of an account that arrived."""
        return sum(_app(asked) == f"app-{name}" for asked in list(self.server.asked))

    def _clear(self, name: str) -> None:
        with self.world.database.transaction() as t:
            t.connection.execute(delete(tasks).where(tasks.c.account == name, tasks.c.status.not_in(("in_flight",))))


def _app(asked: Asked) -> str:
    return str(asked.headers["x-ti-app-id"])


def _crowd(database: Database, account: str, serials: Sequence[int]) -> None:
    same = {"kind": "review_task", "status": "failed", "account": account}
    with database.transaction() as t:
        t.connection.execute(insert(tasks), [{**same, "external_id": str(10_000 + n)} for n in serials])


@contextmanager
def street(world: MeasuredWorld, directory: Path) -> Iterator[Street]:
    """Ten healthy accounts and one for each kind of trouble, at work at a provider in this process."""
    by_app = {f"app-{account_of(each)}": trouble for each, trouble in TROUBLES.items()}

    def answer(asked: Asked) -> Answer:
        trouble = by_app.get(_app(asked))
        return SUCCESS if trouble is None else trouble.answers(asked.path)

    with tiny(answer) as server:
        accounts = {name: ACCOUNT.format(url=server.url, key=_key(name)) for name in HEALTHY}
        more = ""
        for each, trouble in TROUBLES.items():
            name = account_of(each)
            accounts[name] = ACCOUNT.format(url=trouble.url or server.url, key=_key(name))
            more += FOLLOWED.format(name=name) if trouble.followed else ""
        apps = {f"APP_{_key(name)}": f"app-{name}" for name in accounts}
        world.configure(toml(accounts, general=GENERAL, limits=LIMITS) + more, {**SECRETS, **apps})
        world.env |= {"PYTHONPATH": _silent_names(directory)}
        ours = Street(world, server)
        ours.begin()
        yield ours


def _key(name: str) -> str:
    return name.upper().replace("-", "_")


def _silent_names(directory: Path) -> str:
    """A directory that makes every process of the installation wait for names that end in .example."""
    path = directory / "names"
    path.mkdir()
    (path / "sitecustomize.py").write_text(SILENT_NAMES)
    return str(path)
