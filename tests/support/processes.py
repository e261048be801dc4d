"""Real processes in tests: started in a group of their own, waited for by what they do, never left behind."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tests.support import janitor as janitor_script

T = TypeVar("T")


def wait_until(predicate: Callable[[], T], timeout_seconds: float = 10, *, what: str = "") -> T:
    """The predicate's first true value. Only for what other processes do: within one there is an event to await.

    Raises:
        AssertionError: it was not true in time.
    """
    deadline = time.monotonic() + timeout_seconds
    while not (value := predicate()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_seconds:g} s: {what or predicate}")
        time.sleep(0.01)
    return value


class Janitor:
    """The session's end of the pipe to ``janitor.py``."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", janitor_script.__file__], stdin=subprocess.PIPE, text=True, start_new_session=True
        )

    def clear_group(self, group: int, number: int = signal.SIGKILL) -> None:
        """Should the session die, end this process group by that signal."""
        self._tell(f"group {group} {int(number)}")

    def group_ended(self, group: int) -> None:
        """The group is gone; its number may soon be somebody else's."""
        self._tell(f"ended {group}")

    def clear_directory(self, path: Path) -> None:
        """Remove this directory when the session is over."""
        self._tell(f"directory {path}")

    def close(self) -> None:
        """Clear now, and wait until it is done."""
        self._process.communicate()

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()


class Process:
    """A child in its own process group, its output in a file.

    Attributes:
        log: the file with its standard output and error.
        pid: of the child, which leads its group.
    """

    def __init__(
        self,
        args: Sequence[str | Path],
        *,
        log: Path,
        janitor: Janitor,
        stop_signal: int = signal.SIGTERM,
        **options: Any,
    ) -> None:
        self.args = [str(arg) for arg in args]
        self.log = log
        self._janitor = janitor
        self._stop_signal = stop_signal
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                self.args,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **options,
            )
        self.pid = self._popen.pid
        janitor.clear_group(self.pid, stop_signal)

    def __repr__(self) -> str:
        return f"<{' '.join(self.args[:4])} … pid {self.pid}>"

    @property
    def returncode(self) -> int | None:
        """None while it runs."""
        return self._popen.poll()

    def output(self) -> str:
        """What it has written so far."""
        return self.log.read_text(errors="replace")

    def wait_ready(self, ready: str | Callable[[], Any], timeout_seconds: float = 30) -> None:
        """Wait until its output matches the expression, or the callable is true.

        Raises:
            AssertionError: it ended first, or was not ready in time; with the end of its output.
        """

        def matched() -> Any:
            return re.search(ready, self.output(), re.MULTILINE) if isinstance(ready, str) else ready()

        try:
            wait_until(lambda: matched() or self.returncode is not None, timeout_seconds, what=f"{self} ready: {ready}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output()[-4000:]}") from None
        if not matched():
            raise AssertionError(f"{self} ended with {self.returncode} first\n{self.output()[-4000:]}")

    def wait(self, timeout_seconds: float = 30) -> int:
        """Wait for its end; the exit code, negative for a signal.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """
        return self._popen.wait(timeout_seconds)

    def signal(self, number: int) -> None:
        """Signal the child alone, as an operator or the kernel would."""
        self._popen.send_signal(number)

    def kill(self) -> None:
        """SIGKILL the whole group, and wait: what a power cut leaves."""
        janitor_script.signal_group(self.pid, signal.SIGKILL)
        self._popen.wait()
        self._janitor.group_ended(self.pid)

    def stop(self, timeout_seconds: float = 10) -> None:
        """End it by its own signal, then whatever is left of its group by SIGKILL."""
        self._popen.send_signal(self._stop_signal)
        try:
            self._popen.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill()


def descendants(pid: int) -> dict[int, str]:
    """The processes below one, with their arguments, as every user of the machine can see them."""
    listed = subprocess.run(["ps", "-axwwo", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    found: dict[int, str] = {}
    parents = {pid}
    while parents:
        below = {int(child): args for child, parent, args in rows if int(parent) in parents}
        found |= below
        parents = set(below)
    return found


def runs(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def clean_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment without Redrive's settings, with these; output unbuffered, so that it can be waited for."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("REDRIVE_", "FLOWER_"))}
    return {**inherited, "PYTHONUNBUFFERED": "1", **extra}


def commit() -> str:
    """What is checked out here, for reports; empty where that is not known."""
    git = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    return subprocess.run(git, capture_output=True, text=True, check=False).stdout.strip()
