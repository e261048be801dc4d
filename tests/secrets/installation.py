"""One installation in small: an account for every way to hold a credential, real processes, the command line."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from redrive.cli import app
from redrive.models.sql.db import Database
from redrive.models.sql.tables import accounts as account_rows
from redrive.models.sql.tables import tasks
from redrive.sandbox.config import DocFlowLogin, GeeLarkLogin, HuaweiLogin, SandboxConfig
from redrive.sandbox.script import Script, make_id
from tests.secrets.echo import Echo
from tests.support.marks import MARK, Search, secret
from tests.support.processes import Process

LOUD = Path(__file__).parent / "loud"
CLOSED = "http://127.0.0.1:9"

CONFIG = SandboxConfig(
    geelark=GeeLarkLogin(token=secret("GEELARK_TOKEN"), app_id="public-app", api_key=secret("GEELARK_API_KEY")),
    huawei=HuaweiLogin(
        access_key=secret("HW_AK"),
        secret_key=secret("HW_SK"),
        security_token=secret("HW_SECURITY_TOKEN"),
        auth_token=secret("HW_AUTH_TOKEN"),
        iam_password=secret("HW_IAM_PASSWORD"),
    ),
    docflow=DocFlowLogin(app_id=secret("TI_APP_ID"), secret_code=secret("TI_SECRET")),
    run_seconds=0.1,
)
ACCOUNTS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "token": ("geelark", ("GEELARK_TOKEN",), 'token = {{ env = "GEELARK_TOKEN" }}'),
    "key": ("geelark", ("GEELARK_API_KEY",), 'app_id = "public-app"\napi_key = {{ file = "GEELARK_API_KEY" }}'),
    "signed": (
        "huawei_workspace",
        ("HW_AK", "HW_SK", "HW_SECURITY_TOKEN"),
        """
access_key = {{ file = "HW_AK" }}
secret_key = {{ env = "HW_SK" }}
security_token = {{ env = "HW_SECURITY_TOKEN" }}""",
    ),
    "ready": ("huawei_workspace", ("HW_AUTH_TOKEN",), 'auth_token = {{ file = "HW_AUTH_TOKEN" }}'),
    "login": (
        "huawei_workspace",
        ("HW_IAM_PASSWORD",),
        """
iam_user = "sandbox-user"
iam_domain = "sandbox-domain"
iam_url = "{url}"
iam_password = {{ env = "HW_IAM_PASSWORD" }}""",
    ),
    "headers": (
        "docflow",
        ("TI_APP_ID", "TI_SECRET"),
        'app_id = {{ env = "TI_APP_ID" }}\nsecret_code = {{ file = "TI_SECRET" }}\narchive_results = true',
    ),
    "hmac": (
        "docflow",
        ("TI_APP_ID", "TI_SECRET"),
        'app_id = {{ file = "TI_APP_ID" }}\nsecret_code = {{ env = "TI_SECRET" }}\nauth = "hmac"',
    ),
    "wrong": ("geelark", ("WRONG_TOKEN",), 'token = {{ env = "WRONG_TOKEN" }}'),
}
"""Name → provider, its secrets, what its table says of them: every secret option, from variables and from files."""

UNREACHABLE = {"tls": "https://127.0.0.1:{port}", "dns": "https://nobody.invalid", "closed": CLOSED}

SETTINGS = """
[policy]
base_seconds = 0.05
max_seconds = 0.2
max_retries = 5
max_errors = 1000
check_after_seconds = 0.1
check_max_seconds = 0.2
settle_seconds = 0.2
[scheduler]
poll_seconds = 0.3
[breaker]
failures = 500
open_seconds = 0.1
max_open_seconds = 0.2
[flower]
address = "{flower}"
"""
LIMITS = """
[accounts.{name}.limits]
calls_per_minute = {minute}
calls_per_hour = 20000
batch_size = {size}
timeout_seconds = 2
lease_seconds = 8
"""
TASKS = 6


class Installation:
    """Settings, secrets and processes in a directory.

    Attributes:
        env: what every process of it is started with.
        secrets: name → value, of everything that must show nowhere.
    """

    def __init__(
        self, spawn: Callable[..., Process], directory: Path, echo: Echo, flower: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self._spawn, self._monkeypatch = spawn, monkeypatch
        self.directory, self.flower = directory, flower
        self.processes: dict[str, Process] = {}
        names = {name for _, names, _ in ACCOUNTS.values() for name in names}
        self.secrets = {name: secret(name) for name in names | {f"{name.upper()}_TOKEN" for name in UNREACHABLE}}
        self.secrets["FLOWER_PASSWORD"] = secret("FLOWER_PASSWORD")
        for name, value in self.secrets.items():
            (directory / name).write_text(value + "\n")
        (directory / "redrive.toml").write_text(_settings(echo, flower))
        paths = [str(LOUD), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.env = {
            **self.secrets,
            "FLOWER_BASIC_AUTH": f"operator:{self.secrets['FLOWER_PASSWORD']}",
            "REDRIVE_CONFIG": str(directory / "redrive.toml"),
            "REDRIVE_HOME": str(directory / "home"),
            "REDRIVE_LOG_LEVEL": "debug",
            "PYTHONPATH": ":".join(paths),
        }

    @property
    def database_url(self) -> str:
        """The one that is configured, or the embedded one."""
        return self.env.get("REDRIVE_DATABASE_URL") or f"sqlite:///{self.env['REDRIVE_HOME']}/redrive.db"

    @contextmanager
    def database(self) -> Iterator[Database]:
        """Connections of the test itself."""
        database = Database(self.database_url)
        try:
            yield database
        finally:
            database.close()

    def start(self, command: str, *, ready: str | None) -> None:
        """Start ``redrive COMMAND`` at its loudest, as one of the installation's processes."""
        self.processes[command] = self.spawn(command, ready=ready)

    def spawn(self, command: str, *, ready: str | None) -> Process:
        """Start ``redrive COMMAND`` beside them."""
        return self._spawn([sys.executable, "-P", "-m", "redrive", command], self.env, ready=ready)

    def expected_arguments(self) -> list[str]:
        """What the list of all processes must show, if it is a list of these processes."""
        return [f"{process.pid} " for process in self.processes.values()] + [
            f"redrive {name}" for name in self.processes
        ]

    def import_tasks(self, tasks: int = TASKS, start: int = 1) -> str:
        """Import tasks of every account that succeed at once; what the command said."""
        path = self.directory / "tasks.jsonl"
        providers = {name: provider for name, (provider, _, _) in ACCOUNTS.items()} | dict.fromkeys(
            UNREACHABLE, "geelark"
        )
        rows = [
            {"account": account(name), "external_id": make_id(provider, serial, Script()), "reason": MARK}
            for number, (name, provider) in enumerate(providers.items())
            for serial in range(1000 * number + start, 1000 * number + start + tasks)  # no two accounts share a task
        ]
        path.write_text("\n".join(map(json.dumps, rows)))
        return self.run("import", path)

    def run(self, *args: object, **env: str) -> str:
        """One command in this process: what it said on both streams, and what stopped it."""
        with self._monkeypatch.context() as patch:
            for name, value in {**self.env, **env}.items():
                patch.setenv(name, value)
            patch.chdir(self.directory)
            result = CliRunner().invoke(app, [str(each) for each in args])
        known = result.exception is None or isinstance(result.exception, SystemExit)
        return result.output if known else f"{result.output}\n{result.exception!r}"

    def look(self, search: Search, command: Sequence[object], *, expects: str | Sequence[str]) -> None:
        """Run a command and take down what it said."""
        search.look(f"redrive {' '.join(map(str, command))}", self.run(*command), expects=expects)


def account(name: str) -> str:
    """Its name in the settings, which everybody may read."""
    return f"{MARK}-{name}"


def _settings(echo: Echo, flower: str) -> str:
    tables = [SETTINGS.format(flower=flower)]
    for name, (provider, _, text) in ACCOUNTS.items():
        tables.append(_table(name, provider, echo.urls[name], text.format(url=echo.urls[name])))
    port = echo.urls["token"].rpartition(":")[2]
    for name, url in UNREACHABLE.items():
        token = f'token = {{ env = "{name.upper()}_TOKEN" }}'
        policy = f"[accounts.{account(name)}.policy]\nmax_errors = 1"
        tables += [_table(name, "geelark", url.format(port=port), token), policy]
    return "\n".join(tables)


def _table(name: str, provider: str, url: str, text: str) -> str:
    more = {
        "geelark": "",
        "docflow": 'workspace_id = "1234567890"\n',
        "huawei_workspace": f'region = "ap-southeast-1"\nproject_id = "{CONFIG.huawei.project_id}"\n',
    }[provider]
    head = f'[accounts.{account(name)}]\nprovider = "{provider}"\nbase_url = "{url}"\n{more}{text}\n'
    minute, size = (190, 2) if provider == "geelark" else (1200, 4)
    return head + LIMITS.format(name=account(name), minute=minute, size=size)


def paused(database: Database) -> list[str]:
    """Accounts that something or somebody has paused."""
    with database.reading() as t:
        return [row.name for row in t.rows(select(account_rows.c.name).where(account_rows.c.paused_at.is_not(None)))]


def counted(database: Database, status: str) -> set[str]:
    """Accounts with tasks in that status."""
    with database.reading() as t:
        return {row.account for row in t.rows(select(tasks.c.account).where(tasks.c.status == status).distinct())}


def task_ids(database: Database) -> dict[str, list[int]]:
    """Account → its tasks."""
    found: dict[str, list[int]] = {}
    with database.reading() as t:
        for row in t.rows(select(tasks.c.id, tasks.c.account).order_by(tasks.c.id)):
            found.setdefault(row.account, []).append(row.id)
    return found


def command_lines() -> str:
    """The arguments of all processes, as every user of the machine can see them."""
    return subprocess.run(["ps", "-axwwo", "pid=,args="], capture_output=True, text=True, check=True).stdout


@contextmanager
def listening() -> Iterator[StringIO]:
    """What this process logs, at its loudest. It goes nowhere else: a failed test would show all of it."""
    said, root = StringIO(), logging.getLogger()
    loggers, handlers = [root, logging.getLogger("sqlalchemy")], root.handlers
    levels = [logger.level for logger in loggers]
    root.handlers = [logging.StreamHandler(said)]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    try:
        yield said
    finally:
        root.handlers = handlers
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
