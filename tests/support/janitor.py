"""Clears up after a test session, however it ended: a process beside it that reads from a pipe what there is to clear.

The pipe closes when the session's process is gone, even by SIGKILL. Lines: ``group PID SIGNAL`` (a process group and
the signal that ends it), ``ended PID``, ``directory PATH``. Standard library only; run as a script.
"""

import os
import shutil
import sys
import time

PATIENCE_SECONDS = 5.0


def signal_group(group: int, number: int) -> bool:
    """Signal a process group; whether there was one."""
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        return False
    return True


def clear(groups: dict[int, int], directories: list[str]) -> None:
    """End the groups, newest first, and remove the directories."""
    for group, number in reversed(groups.items()):
        signal_group(group, number)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(signal_group(group, 0) for group in groups) and time.monotonic() < deadline:
        time.sleep(0.02)
    for group in groups:
        signal_group(group, 9)
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)


def main() -> None:
    """Remember until the pipe closes, then clear."""
    groups: dict[int, int] = {}
    directories: list[str] = []
    for line in sys.stdin:
        match line.rstrip("\n").split(" ", 1):
            case ["group", rest]:
                group, number = rest.split()
                groups[int(group)] = int(number)
            case ["ended", group]:
                groups.pop(int(group), None)
            case ["directory", path]:
                directories.append(path)
    clear(groups, directories)


if __name__ == "__main__":
    main()
