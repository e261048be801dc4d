"""Clears up behind a process that was killed: a process beside it, at the other end of a pipe.

The pipe closes when its owner is gone, even by SIGKILL; then every process group that was named is ended and every
path removed. It works wherever there are pipes, and the processes it watches need to know nothing of it.
Standard library only: the file is run as a script.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

PATIENCE_SECONDS = 3.0


class Sweeper:
    """The owner's end of the pipe.

    Args:
        keep_open: file descriptors it shares with the owner, such as that of a lock: it is let go when all is swept.
    """

    def __init__(self, keep_open: Iterable[int] = ()) -> None:
        self._process = subprocess.Popen(  # noqa: S603 - our own file, without arguments from outside
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            pass_fds=tuple(keep_open),
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def watch(self, group: int) -> None:
        """End this process group, should the owner not come to it."""
        self._tell(f"group {group}")

    def ended(self, group: int) -> None:
        """The group is gone; its number may soon be somebody else's."""
        self._tell(f"ended {group}")

    def remove(self, path: Path) -> None:
        """Remove this file or directory at the end, however it comes."""
        self._tell(f"path {path.absolute()}")

    def _tell(self, line: str) -> None:
        if self._process.stdin is not None and self._process.poll() is None:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()


def signal_group(group: int, number: int) -> bool:
    """Signal a process group; whether there was one."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS says the second of a group of zombies
        return False
    return True


def _sweep(groups: set[int], paths: list[str]) -> None:
    for group in groups:
        signal_group(group, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(signal_group(group, 0) for group in groups) and time.monotonic() < deadline:
        time.sleep(0.02)
    for group in groups:
        signal_group(group, signal.SIGKILL)
    for path in paths:
        if os.path.isdir(path):  # noqa: PTH112 - pathlib would double the time it takes to start
            shutil.rmtree(path, ignore_errors=True)
        elif os.path.exists(path):  # noqa: PTH110 - as above
            os.remove(path)  # noqa: PTH107 - as above


def _main() -> None:
    # A signal to a whole group of processes stops the owner too: this one is still needed then.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    paths: list[str] = []
    for line in sys.stdin:
        what, _, value = line.rstrip("\n").partition(" ")
        match what:
            case "group":
                groups.add(int(value))
            case "ended":
                groups.discard(int(value))
            case _:
                paths.append(value)
    _sweep(groups, paths)


if __name__ == "__main__":
    _main()
