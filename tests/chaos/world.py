"""The installation under attack: servers of its own, a provider behind a wire, two schedulers and three workers."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from redrive.models.rules import rules_of
from redrive.models.settings import load
from redrive.sandbox.config import SandboxConfig
from redrive.sandbox.page import environment
from tests.chaos.pace import Pace
from tests.chaos.wire import Wire
from tests.support.process_world import ProcessWorld
from tests.support.processes import Janitor, Process, clean_environment
from tests.support.servers import Postgres, Valkey

PROVIDER_PER_MINUTE = 1200
"""Huawei's and DocFlow's limit in the sandbox. Ours stays so far below that two seconds of lateness, which are
allowed to a call, and a provider that stands still for one do not crowd its minute."""
PER_MINUTE = 1080

GENERAL = """
[policy]
base_seconds = 0.1
max_seconds = 1
check_after_seconds = {look}
check_max_seconds = 1
settle_seconds = {settle}
check_timeout_seconds = {followed}
max_errors = 1000
{policy}
[scheduler]
poll_seconds = 0.5
[breaker]
open_seconds = {breaker}
max_open_seconds = 8
"""
ACCOUNTS = {
    "phones": """
[accounts.phones]
provider = "geelark"
base_url = "{url}"
token = {{ env = "GEELARK_TOKEN" }}
[accounts.phones.limits]
timeout_seconds = {timeout}
lease_seconds = {lease}
{limits}
""",
    "desktops": """
[accounts.desktops]
provider = "huawei_workspace"
base_url = "{url}"
region = "ap-southeast-1"
project_id = "{project_id}"
access_key = {{ env = "HW_AK" }}
secret_key = {{ env = "HW_SK" }}
[accounts.desktops.limits]
calls_per_minute = {per_minute}
calls_per_hour = {per_hour}
timeout_seconds = {timeout}
lease_seconds = {lease}
{limits}
""",
    "reviews": """
[accounts.reviews]
provider = "docflow"
base_url = "{url}"
app_id = {{ env = "TI_APP_ID" }}
secret_code = {{ env = "TI_SECRET" }}
workspace_id = "{workspace_id}"
[accounts.reviews.limits]
calls_per_minute = {per_minute}
calls_per_hour = {per_hour}
timeout_seconds = {timeout}
lease_seconds = {lease}
{limits}
""",
}


@dataclass(slots=True)
class Member:
    """A scheduler's or a worker's place, and the process that fills it.

    Attributes:
        begins: where the process's own words begin in the place's log.
        frozen: stopped by SIGSTOP.
        away: ended on purpose, and not to be started before its time.
    """

    part: str
    number: int
    process: Process
    begins: int = 0
    frozen: bool = False
    away: bool = False

    @property
    def words(self) -> str:
        """What the process has written."""
        return self.process.output()[self.begins :]

    @property
    def started(self) -> bool:
        """Whether it ever got to work."""
        return f"{self.part}.started" in self.words

    @property
    def at_work(self) -> bool:
        """Whether it runs and nothing has been done to it yet."""
        return not self.frozen and not self.away and self.process.returncode is None


class ChaosWorld(ProcessWorld):
    """Everything one run needs. ``postgres`` is None where SQLite is attacked.

    Attributes:
        odd: ids of rows that nobody can read or count on.
        strange: external ids of tasks that were deleted at their provider, or shown in strange words for a while: of
            these no script says how they end.
    """

    def __init__(
        self,
        janitor: Janitor,
        postgres: Postgres | None,
        database_url: str,
        valkey: Valkey,
        directory: Path,
        pace: Pace,
    ) -> None:
        super().__init__(self._start, database_url, valkey.url, directory)
        self.pace = pace
        self.postgres = postgres
        self.valkey = valkey
        self.provider: Process
        self.wire: Wire
        self.crew: list[Member] = []
        self.odd: set[int] = set()
        self.strange: set[str] = set()
        self._janitor = janitor

    def _start(self, args: Sequence[str | Path], env: Mapping[str, str], name: str) -> Process:
        log = self.directory / f"{name}.log"
        return Process(args, log=log, janitor=self._janitor, env=clean_environment(env), cwd=self.directory)

    def open(self, *, schedulers: int, workers: int, seed: int) -> None:
        """Start the provider, its wire, and the processes under attack."""
        self._start_provider(seed)
        self._configure()
        parts = [("scheduler", number) for number in range(schedulers)] + [("worker", n) for n in range(workers)]
        self.crew = [Member(part, number, self._member(part, number)) for part, number in parts]
        for member in self.crew:
            member.process.wait_ready(f"{member.part}.started")

    def _start_provider(self, seed: int) -> None:
        port_file = self.directory / "sandbox.port"
        command = [sys.executable, "-P", "-m", "redrive.sandbox", "--port-file", str(port_file), "--seed", str(seed)]
        # A new id whose answer is lost leads nobody to its run: Huawei's new ids are left out, and nothing else.
        options = {
            "--run-seconds": self.pace.run,
            "--latency-seconds": self.pace.latency,
            "--settle-lag-seconds": self.pace.lag,
            "--huawei-per-minute": PROVIDER_PER_MINUTE,
            "--docflow-per-minute": PROVIDER_PER_MINUTE,
        }
        given = [str(each) for option in options.items() for each in option]
        self.provider = self._start([*command, *given, "--huawei-same-ids"], {}, "sandbox")
        self.provider.wait_ready(port_file.exists)
        port = int(port_file.read_text())
        self.sandbox_url = f"http://127.0.0.1:{port}"
        self.wire = Wire(port)

    def write(self, *, but: str = "", policy: str = "", limits: str = "") -> None:
        """Write the settings file, which processes read when they start: without one account, or with more lines."""
        sandbox, pace = SandboxConfig(), self.pace
        wanted = [text for name, text in ACCOUNTS.items() if name != but]
        part = self.directory / "redrive.toml.new"
        part.write_text(
            "".join([GENERAL, *wanted]).format(
                url=f"http://127.0.0.1:{self.wire.port}",
                look=pace.look,
                settle=pace.settle,
                followed=pace.followed,
                breaker=pace.breaker,
                timeout=pace.timeout,
                lease=pace.lease,
                per_minute=PER_MINUTE,
                per_hour=PER_MINUTE * 60,
                project_id=sandbox.huawei.project_id,
                workspace_id=sandbox.docflow.workspace_id,
                policy=policy,
                limits=limits,
            )
        )
        part.replace(self.directory / "redrive.toml")

    def _configure(self) -> None:
        sandbox = SandboxConfig()
        path = self.directory / "redrive.toml"
        self.write()
        home = {"REDRIVE_CONFIG": str(path), "REDRIVE_HOME": str(self.directory)}
        self.env = {**self.urls, **environment(sandbox), **home}
        self.settings = load(environ=self.env)
        self.rules = rules_of(self.settings)

    def _member(self, part: str, number: int) -> Process:
        return self._start([sys.executable, "-P", "-m", "redrive", part], self.env, f"{part}-{number}")

    def replace(self, member: Member) -> None:
        """Fill a place again, whatever is left of its last process."""
        member.process.kill()
        member.begins = len(member.process.output())
        member.process = self._member(member.part, member.number)
        member.frozen = member.away = False

    def change_task(self, external_id: str, **change: bool) -> None:
        """Delete a task at its provider, or have it shown in strange words."""
        httpx.post(f"{self.sandbox_url}/_sandbox/tasks/{external_id}", json=change).raise_for_status()

    def close(self) -> None:
        """End everything that was started here; the servers are their maker's."""
        for member in self.crew:
            member.process.kill()
        if self.sandbox_url:
            self.provider.stop()
            self.wire.close()
        super().close()
