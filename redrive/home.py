"""The directory of one installation's own files, and the lock that lets one `redrive up` at a time work in it."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.errors import SettingsError

LOCK_FILE = "up.lock"
# A killed one's sweeper holds the lock until all of it is gone.
CLEARING_SECONDS = 10.0


def make_home(home: Path) -> Path:
    """The directory, made where it is missing, for this user alone; absolute."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return home.absolute()


@contextmanager
def only_one(home: Path) -> Iterator[int]:
    """Hold the home's lock while the context is open; yields its file descriptor.

    The kernel lets go of it when the last process that holds the descriptor is gone, so a killed one never leaves a
    lock behind.

    Raises:
        SettingsError: another one runs in this home.
    """
    file = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(file, home)
        os.ftruncate(file, 0)
        os.pwrite(file, str(os.getpid()).encode(), 0)
        yield file
    finally:
        os.close(file)


def _lock(file: int, home: Path) -> None:
    deadline = time.monotonic() + CLEARING_SECONDS
    while True:
        try:
            return fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(file, 20, 0).decode()
            if _runs(holder) or time.monotonic() > deadline:
                raise SettingsError(
                    f"REDRIVE_HOME: another redrive (process {holder}) runs in {home}; "
                    "stop it, or name another directory for this one"
                ) from None
            time.sleep(0.05)


def _runs(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        pass
    return True
