"""An installation whose schedulers and workers run in the test's own process, over real sockets and a real database.

Only the broker is missing: what a scheduler publishes is handed to a worker's door. Time can be moved ahead; whoever
is built anew knows nothing but what the database kept, as a process that was just started.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, cast

from sqlalchemy import select

from redrive.models.clock import utc_now
from redrive.models.ledger import Batch
from redrive.models.rules import rules_of
from redrive.models.settings import Settings, load
from redrive.models.sql import tables
from redrive.models.sql.db import Database
from redrive.models.states import Operation, Status
from redrive.sandbox.config import SandboxConfig
from redrive.sandbox.page import environment
from redrive.sandbox.server import SandboxThread
from redrive.scheduler.publish import Publisher
from redrive.scheduler.service import Scheduler
from redrive.worker import deps, job

from .world import Clock, World

CONFIG = SandboxConfig()

PHONES = """
provider = "geelark"
base_url = "URL"
token = { env = "GEELARK_TOKEN" }
"""
TABLETS = f"""
provider = "geelark"
base_url = "URL"
app_id = "{CONFIG.geelark.app_id}"
api_key = {{ env = "GEELARK_API_KEY" }}
"""
DESKTOPS = f"""
provider = "huawei_workspace"
base_url = "URL"
region = "ap-southeast-1"
project_id = "{CONFIG.huawei.project_id}"
iam_user = "{CONFIG.huawei.iam_user}"
iam_password = {{ env = "HW_IAM_PASSWORD" }}
iam_domain = "{CONFIG.huawei.iam_domain}"
iam_url = "URL"
"""
REVIEWS = f"""
provider = "docflow"
base_url = "URL"
app_id = {{ env = "TI_APP_ID" }}
secret_code = {{ env = "TI_SECRET" }}
workspace_id = "{CONFIG.docflow.workspace_id}"
"""
SECRETS = {
    **environment(CONFIG),
    "GEELARK_API_KEY": CONFIG.geelark.api_key,
    "HW_IAM_PASSWORD": CONFIG.huawei.iam_password,
}

GENERAL = """
[policy]
base_seconds = 1
jitter = "none"
check_after_seconds = 5
settle_seconds = 0.2
"""
FAST = {
    "calls_per_minute": 600_000,
    "calls_per_hour": 1_000_000,
    "timeout_seconds": 2,
    "lease_seconds": 20,
    "concurrency": 1,
}


@dataclass
class Ahead:
    """The machine's time, and a while ahead of it."""

    by: timedelta = timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self.by

    def forward(self, seconds: float) -> None:
        self.by += timedelta(seconds=seconds)


class Hand(Publisher):
    """Takes batches as a broker would, and holds them until somebody comes for them."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    @property
    def silent(self) -> bool:
        return False

    def send(self, batch: Batch) -> bool:
        self.batches.append(batch)
        return True

    def taken(self) -> list[Batch]:
        """What it holds, which it holds no longer."""
        taken, self.batches = self.batches, []
        return taken

    def close(self) -> None:
        """Nothing to close."""


@dataclass
class House:
    """Schedulers and workers of one installation, and words for what they do."""

    url: str
    settings: Settings
    environ: Mapping[str, str]
    clock: Ahead = field(default_factory=Ahead)
    workers: list[deps.Deps] = field(default_factory=list)
    _databases: list[Database] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world = World(self.url, clock=cast("Clock", self.clock), rules=rules_of(self.settings))
        self.pool = ThreadPoolExecutor(64)
        self.restart()

    def restart(self, environ: Mapping[str, str] | None = None) -> None:
        """Everybody ends, and others begin who know only the database; perhaps with other secrets."""
        self.environ = {**self.environ, **(environ or {})}
        self.end()
        self.worker = self.new_worker()
        self.hands = [Hand(), Hand()]
        self.schedulers = [self.new_scheduler(hand) for hand in self.hands]

    def new_worker(self) -> deps.Deps:
        built = deps.build(self.settings, database_url=self.url, broker_url=None, environ=self.environ)
        built.database.clock = self.clock
        self.workers.append(built)
        return built

    def new_scheduler(self, publisher: Publisher) -> Scheduler:
        database = Database(self.url, clock=self.clock)
        self._databases.append(database)
        return Scheduler(database, publisher, self.settings, rules_of(self.settings), Random(1))

    def end(self) -> None:
        """The end of every scheduler and worker."""
        while self.workers:
            self.workers.pop().close()
        while self._databases:
            self._databases.pop().close()

    def close(self) -> None:
        self.pool.shutdown()
        self.end()
        self.world.close()

    # --- what happens ---

    def run_pass(self) -> list[Batch]:
        """A scheduler's pass; the batches it published."""
        self.schedulers[0].run_once()
        return self.hands[0].taken()

    def work(self, batches: Sequence[Batch]) -> Counter[str]:
        """Workers take these batches side by side; what came of their tasks."""
        jobs = [self.pool.submit(job.run, self.worker, batch.id) for batch in batches]
        wait(jobs)
        told = sum((Counter(each.result()) for each in jobs), Counter[str]())
        del told["unsent"]  # opened ahead and kept here: nobody was asked, and nothing is spent
        return told

    def turn(self) -> Counter[str]:
        """One pass, and the work it makes."""
        return self.work(self.run_pass())

    def turns(self, most: int = 50) -> Counter[str]:
        """Turns until nothing is to be done at this moment."""
        done: Counter[str] = Counter()
        for _ in range(most):
            if not (batches := self.run_pass()):
                return done
            done += self.work(batches)
        raise AssertionError(f"still something to do after {most} turns: {done}")

    def retries_of_two(self) -> list[Batch]:
        """Two schedulers make a pass at the same moment: the retries they published. What they look at is worked."""
        for each in [self.pool.submit(scheduler.run_once) for scheduler in self.schedulers]:
            each.result()
        found = [batch for hand in self.hands for batch in hand.taken()]
        self.work([batch for batch in found if batch.operation is Operation.CHECK])
        return [batch for batch in found if batch.operation is Operation.RETRY]

    def lose(self, batch: Batch) -> None:
        """A worker begins a batch, opens its attempts, and is no more; its lease ends."""
        work = self.world.begin_batch(batch.id)
        assert work is not None
        assert self.world.open(work).permits
        self.clock.forward(self.world.rules[batch.account].lease_seconds + 0.1)

    # --- what there is ---

    def paused(self, account: str) -> tuple[str | None, str]:
        row = self.world.account(account)
        return row["paused_cause"], row["paused_reason"]

    def breaker(self, account: str, operation: Operation = Operation.RETRY) -> dict[str, Any]:
        rows = tables.limits
        with self.world.database.reading() as t:
            found = t.mapping(select(rows).where(rows.c.group == account, rows.c.path == f"#{operation}"))
        return found or {"failures": 0, "opens": 0, "open_until": None, "probe": None}

    def statuses(self, account: str) -> Counter[Status]:
        return Counter(task.status for task in self.world.tasks().values() if task.account == account)


def calls(sandbox: SandboxThread, ending: str) -> int:
    """Calls the provider saw on paths that end so."""
    return sum(n for path, n in sandbox.stats()["calls"].items() if path.endswith(ending))


def toml(
    accounts: Mapping[str, str],
    *,
    limits: Mapping[str, float] | None = None,
    own: Mapping[str, str] | None = None,
    general: str = GENERAL,
) -> str:
    """A configuration of these accounts, each with the same limits and lines of its own about them."""
    rates = "".join(f"{key} = {value}\n" for key, value in {**FAST, **(limits or {})}.items())
    for name, body in accounts.items():
        general += f"[accounts.{name}]{body}[accounts.{name}.limits]\n{rates}{(own or {}).get(name, '')}\n"
    return general


@contextmanager
def house(
    database_url: str,
    directory: Path,
    provider_url: str,
    accounts: Mapping[str, str],
    *,
    secrets: Mapping[str, str] | None = None,
    **more: Any,
) -> Iterator[House]:
    """An installation with these accounts; ``more`` is what :func:`toml` takes."""
    path = directory / "redrive.toml"
    path.write_text(toml(accounts, **more).replace("URL", provider_url))
    environ = {**SECRETS, **(secrets or {}), "REDRIVE_CONFIG": str(path)}
    built = House(database_url, load(environ=environ), environ)
    try:
        yield built
    finally:
        built.close()
