"""One installation within the test's own process: settings from a file, a worker's real dependencies, its database."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError

from redrive.models.clock import boottime, utc_now
from redrive.models.ledger import Batch
from redrive.models.outcome import CheckResult, Outcome
from redrive.models.rules import LATE_SECONDS
from redrive.models.settings import Settings, load
from redrive.models.states import Operation
from redrive.sandbox.config import SandboxConfig
from redrive.sandbox.page import environment
from redrive.sandbox.server import SandboxThread
from redrive.worker import deps, job
from redrive.worker.providers.base import TaskRef
from redrive.worker.sender import Sender
from redrive.worker.window import Window

from .world import Clock, World

CONFIG = SandboxConfig()
PASSWORD = CONFIG.huawei.iam_password
TOKENS, RETRY = "/v3/auth/tokens", "/script-executions/retry"

SETTINGS = f"""
[policy]
base_seconds = 1
jitter = "none"
check_after_seconds = 0.01
settle_seconds = 0.2
check_timeout_seconds = 100
[accounts.phones]
provider = "geelark"
base_url = "URL"
token = {{ env = "GEELARK_TOKEN" }}
[accounts.phones.limits]
calls_per_minute = 60000
calls_per_hour = 999999
timeout_seconds = 2
lease_seconds = 20
[accounts.desktops]
provider = "huawei_workspace"
base_url = "URL"
region = "ap-southeast-1"
project_id = "{CONFIG.huawei.project_id}"
iam_user = "{CONFIG.huawei.iam_user}"
iam_password = {{ env = "HW_IAM_PASSWORD" }}
iam_domain = "{CONFIG.huawei.iam_domain}"
iam_url = "URL"
[accounts.desktops.limits]
calls_per_minute = 60000
calls_per_hour = 999999
timeout_seconds = 2
lease_seconds = 20
[accounts.reviews]
provider = "docflow"
base_url = "URL"
app_id = {{ env = "TI_APP_ID" }}
secret_code = {{ env = "TI_SECRET" }}
workspace_id = "{CONFIG.docflow.workspace_id}"
[accounts.reviews.limits]
calls_per_minute = 60000
calls_per_hour = 999999
timeout_seconds = 5
lease_seconds = 20
"""


@dataclass
class Site:
    """The worker's side of an installation, and the ledger's words for the rest."""

    world: World
    deps: deps.Deps
    settings: Settings
    environ: Mapping[str, str]

    def sender(self, account: str) -> Sender:
        return self.deps.senders[account]

    def retry(
        self, account: str, tasks: list[TaskRef], window: Window | None = None
    ) -> dict[int, Outcome | CheckResult]:
        return self.deps.loop.submit(self.sender(account).retry(tasks, window or make_window())).result(30)

    def check(
        self, account: str, tasks: list[TaskRef], window: Window | None = None
    ) -> dict[int, Outcome | CheckResult]:
        return self.deps.loop.submit(self.sender(account).check(tasks, window or make_window())).result(30)

    def work(self, account: str = "phones", operation: Operation = Operation.RETRY) -> dict[str, int]:
        """Claim what is due, and run the job."""
        return self.run(self.world.claimed(account, operation))

    def run(self, batch: Batch) -> dict[str, int]:
        return job.run(self.deps, batch.id)

    def outcomes(self, task_id: int) -> list[str]:
        return [row["outcome"] for row in self.world.attempts(task_id)]


def make_window(
    *, leave_in: float = 0.0, seconds: float = 15.0, may_go_on: Callable[[], bool] = lambda: True
) -> Window:
    """A window of so many seconds from now, as a fresh lease gives it."""
    leave_after = boottime() + leave_in
    until = utc_now() + timedelta(seconds=seconds)
    return Window(leave_after, leave_after + LATE_SECONDS, boottime() + seconds, until, may_go_on)


def refs(*ids: str, kind: str = "task") -> list[TaskRef]:
    return [TaskRef(number, kind, each) for number, each in enumerate(ids, start=1)]


@contextmanager
def site(
    database_url: str,
    directory: Path,
    provider_url: str,
    *,
    change: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Iterator[Site]:
    """A worker's dependencies, built as the worker builds them; ``change`` replaces parts of the settings."""
    text = SETTINGS
    for old, new in (change or {}).items():
        assert old in text
        text = text.replace(old, new)
    path = directory / "redrive.toml"
    path.write_text(text.replace("URL", provider_url))
    env = {**environment(CONFIG), "HW_IAM_PASSWORD": PASSWORD, "REDRIVE_CONFIG": str(path), **(environ or {})}
    settings = load(environ=env)
    built = deps.build(settings, database_url=database_url, broker_url=None, environ=env)
    world = World(database_url, clock=cast("Clock", None), rules=dict(built.rules))  # the database's own moment
    try:
        yield Site(world, built, settings, env)
    finally:
        built.close()
        world.close()


@contextmanager
def losing(ours: Site, number: int, *, kept: bool) -> Iterator[None]:
    """The worker does not hear what became of that commit; ``kept``: it did happen."""
    commits = 0

    def commit(connection: Connection) -> None:
        nonlocal commits
        commits += 1
        if commits == number:
            if kept:
                connection.connection.commit()
            raise OperationalError("COMMIT", {}, ConnectionError("the line went dead"))

    event.listen(ours.deps.database.engine, "commit", commit)
    yield
    event.remove(ours.deps.database.engine, "commit", commit)
    assert commits >= number


@pytest.fixture
def sandbox() -> Iterator[SandboxThread]:
    with SandboxThread() as sandbox:
        yield sandbox


@pytest.fixture
def ours(database_url: str, tmp_path: Path, sandbox: SandboxThread) -> Iterator[Site]:
    with site(database_url, tmp_path, sandbox.url) as ours:
        yield ours


@pytest.fixture
def at(database_url: str, tmp_path: Path) -> Callable[..., Any]:
    """A site whose provider is one function."""
    return lambda url, **more: site(database_url, tmp_path, url, **more)
