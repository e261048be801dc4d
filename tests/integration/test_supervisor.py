"""The supervisor with small programs in place of the parts: what dies is started again, what must end ends."""

import asyncio
import errno
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from redrive.orphans import Sweeper
from redrive.supervisor import Part, Supervisor
from tests.conftest import Spawn
from tests.support.processes import runs, wait_until

pytestmark = pytest.mark.processes

LIVES = "import signal; print('up', flush=True); signal.pause()"
STUBBORN = "import signal; signal.signal(15, signal.SIG_IGN); print('up', flush=True); signal.pause(); signal.pause()"


def part(name: str, program: str, **more: float) -> Part:
    return Part(name=name, command=[sys.executable, "-I", "-c", program], **more)


class Told:
    """What the supervisor said, and a way to wait for a line."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self._more = asyncio.Event()

    def __call__(self, name: str, line: str) -> None:
        self.lines.append((name, line))
        self._more.set()

    def by(self, name: str) -> list[str]:
        return [line for who, line in self.lines if who == name]

    async def until(self, name: str, words: str, times: int = 1) -> None:
        async with asyncio.timeout(20):
            while sum(words in line for line in self.by(name)) < times:
                self._more.clear()
                await self._more.wait()


@pytest.fixture
def sweeper() -> Iterator[Sweeper]:
    with Sweeper() as sweeper:
        yield sweeper


def test_stops_in_the_opposite_order_of_starting(sweeper: Sweeper) -> None:
    async def scene() -> list[tuple[str, str]]:
        told = Told()
        ends = (
            "import signal,sys; signal.signal(15, lambda *_: sys.exit(print('end')));print('up',flush=1);signal.pause()"
        )
        async with Supervisor(sweeper, told) as supervisor:
            for name in ("first", "second", "third"):
                await supervisor.start(part(name, ends))
                await told.until(name, "up")
            os.kill(os.getpid(), signal.SIGTERM)
            assert await supervisor.wait() == 0
        return told.lines

    ends = [name for name, line in asyncio.run(scene()) if line == "end"]
    assert ends == ["third", "second", "first"]


def test_what_dies_is_started_again_ever_later(sweeper: Sweeper) -> None:
    async def scene() -> Told:
        told = Told()
        async with Supervisor(sweeper, told, backoff=(0.01, 0.02)) as supervisor:
            await supervisor.start(part("neighbour", LIVES))
            await told.until("neighbour", "up")
            await supervisor.start(part("worker", "import os; os.kill(os.getpid(), 9)"))
            await told.until("worker", "again", 12)
            os.kill(os.getpid(), signal.SIGTERM)
            assert await supervisor.wait() == 0
        return told

    told = asyncio.run(scene())
    assert told.by("worker")[:12] == [
        "was killed by SIGKILL; starting it again in 0.01 s",
        *["was killed by SIGKILL; starting it again in 0.02 s"] * 11,
    ]
    assert told.by("neighbour") == ["up"]


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM, errno.EMFILE])
def test_a_machine_that_is_short_of_something_is_tried_again(
    sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A fork that fails is no reason to stop the neighbours."""
    short, start = [number] * 3, asyncio.create_subprocess_exec

    async def starved(*command: Any, **options: Any) -> Any:
        if "again" in command[-1] and short:
            raise OSError(short.pop(), "short")
        return await start(*command, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", starved)

    async def scene() -> Told:
        told = Told()
        async with Supervisor(sweeper, told, backoff=(0.01,)) as supervisor:
            await supervisor.start(part("neighbour", LIVES))
            await told.until("neighbour", "up")
            await supervisor.start(part("worker", f"{LIVES} # again"))
            await told.until("worker", "up")
        return told

    told = asyncio.run(scene())
    assert told.by("worker") == [*[f"cannot be started: [Errno {number}] short; starting it again in 0.01 s"] * 3, "up"]
    assert told.by("neighbour") == ["up"]


def test_a_part_does_not_get_what_it_need_not_have(sweeper: Sweeper, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEELARK_TOKEN", "secret")

    async def scene() -> Told:
        told = Told()
        show = "import os; print(sorted({'GEELARK_TOKEN', 'PATH', 'OWN'} & os.environ.keys())); raise SystemExit(2)"
        own = part("flower", show)
        async with Supervisor(sweeper, told) as supervisor:
            await supervisor.start(replace(own, environment={"OWN": "1"}, without={"GEELARK_TOKEN"}))
            await supervisor.wait()
        return told

    assert asyncio.run(scene()).by("flower")[0] == "['OWN', 'PATH']"


def test_wrong_settings_are_not_tried_twice(sweeper: Sweeper) -> None:
    async def scene() -> Told:
        told = Told()
        async with Supervisor(sweeper, told) as supervisor:
            await supervisor.start(part("worker", "print('token: not set'); raise SystemExit(2)"))
            assert await supervisor.wait() == 2
        return told

    assert asyncio.run(scene()).by("worker") == ["token: not set", "ended with exit code 2; given up"]


def test_a_program_that_is_not_there_is_told(sweeper: Sweeper) -> None:
    async def scene() -> Told:
        told = Told()
        async with Supervisor(sweeper, told) as supervisor:
            await supervisor.start(Part(name="broker", command=["/nonexistent/valkey-server"]))
            assert await supervisor.wait() == 1
        return told

    (line,) = asyncio.run(scene()).by("broker")
    assert line.startswith("cannot be started: [Errno 2]")


@pytest.mark.parametrize("patience_seconds", [0.2, 60.0])
def test_what_does_not_end_is_killed(sweeper: Sweeper, patience_seconds: float) -> None:
    """After its patience, or at once when the signal comes a second time."""

    async def scene() -> Told:
        told = Told()
        async with Supervisor(sweeper, told) as supervisor:
            await supervisor.start(part("worker", STUBBORN, patience_seconds=patience_seconds))
            await told.until("worker", "up")
            os.kill(os.getpid(), signal.SIGINT)
            await told.until("redrive", "stopping")
            if patience_seconds > 1:
                os.kill(os.getpid(), signal.SIGINT)
        return told

    assert asyncio.run(scene()).by("worker") == ["up", "does not end; killed"]


def test_lines_are_passed_on_however_long(sweeper: Sweeper) -> None:
    async def scene() -> Told:
        told = Told()
        async with Supervisor(sweeper, told) as supervisor:
            await supervisor.start(part("worker", "print('x' * 300_000); print('last', end='', flush=True)"))
            await told.until("worker", "ended")
        return told

    assert asyncio.run(scene()).by("worker")[:2] == ["x" * 300_000, "last"]


def test_ends_when_nobody_reads_any_more(sweeper: Sweeper) -> None:
    """``redrive up | head`` leaves nothing running."""

    def closed(_name: str, _line: str) -> None:
        raise BrokenPipeError

    async def scene() -> None:
        async with Supervisor(sweeper, closed) as supervisor:
            await supervisor.start(part("worker", LIVES))
            assert await supervisor.wait() == 0

    asyncio.run(scene())


def test_a_part_that_does_not_become_ready_ends_all(sweeper: Sweeper) -> None:
    async def scene() -> None:
        told = Told()

        def never() -> None:
            raise TimeoutError("not ready")

        broken = Part(name="broker", command=[sys.executable, "-I", "-c", LIVES], ready=never)
        async with Supervisor(sweeper, told) as supervisor:
            await supervisor.start(broken)

    with pytest.raises(TimeoutError, match="not ready"):
        asyncio.run(scene())


KILLED = """
import asyncio, sys
from pathlib import Path
from redrive.supervisor import Part, Supervisor
from redrive.orphans import Sweeper

async def main(sweeper):
    async with Supervisor(sweeper, lambda name, line: print(line, flush=True)) as supervisor:
        program = "import os, signal; print('child', os.getpid(), flush=True); signal.pause()"
        await supervisor.start(Part(name="part", command=[sys.executable, "-I", "-c", program]))
        await supervisor.wait()

with Sweeper() as sweeper:
    Path("file").touch()
    Path("directory/below").mkdir(parents=True)
    for name in ("file", "directory", "never-made"):
        sweeper.remove(Path(name))
    asyncio.run(main(sweeper))
"""


def test_nothing_is_left_of_a_killed_one(spawn: Spawn, tmp_path: Path) -> None:
    supervisor = spawn([sys.executable, "-P", "-c", KILLED], ready=r"^child \d+$")
    child = int(supervisor.output().split()[-1])
    os.kill(child, 0)
    supervisor.signal(signal.SIGKILL)
    wait_until(lambda: not runs(child) and not (tmp_path / "directory").exists(), what="all is swept")
    assert not (tmp_path / "file").exists()
