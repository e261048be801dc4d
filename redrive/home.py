"""The directory of one installation's own files, and the lock that lets one `redrive up` at a time work in it."""

import fcntl
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from redrive.models.errors import SettingsError
from redrive.models.settings.environment import DATABASE_FILE

LOCK_FILE = "up.lock"
AUTH_FILE = "flower.auth"
BROKER_FILE = "broker.url"
"""The address of the broker that `redrive up` runs here, for as long as it runs."""
# A killed one's sweeper holds the lock until all of it is gone.
CLEARING_SECONDS = 10.0


OURS = frozenset({
    DATABASE_FILE, f"{DATABASE_FILE}-wal", f"{DATABASE_FILE}-shm", BROKER_FILE, AUTH_FILE, LOCK_FILE, "valkey"
})  # fmt: skip
"""What Redrive keeps in its home."""


def make_home(home: Path) -> Path:
    """The directory, made where it is missing, for this user alone; absolute.

    What others may read of it, because somebody else made it, is closed to them: the files that are ours, and the
    directory itself where nothing else lies in it.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(OSError):  # a home of somebody else's is theirs to close
        names = {path.name for path in home.iterdir()}
        for name in names & OURS:
            _close(home / name)
        if names <= OURS:
            _close(home)
    return home.absolute()


def running_broker(home: Path) -> str | None:
    """The address of the broker that runs in this home, or None."""
    try:
        return (home / BROKER_FILE).read_text().strip() or None
    except OSError:
        return None


def make_database_file(home: Path) -> None:
    """An SQLite file in the home for this user alone, before SQLite makes one that others may read.

    The two files that SQLite puts beside it get the same mode.
    """
    path = make_home(home) / DATABASE_FILE
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def _close(path: Path) -> None:
    """Take from others what they may do with it, where it is this user's and no link to something else."""
    found = path.lstat()
    if found.st_uid == os.geteuid() and not stat.S_ISLNK(found.st_mode) and found.st_mode & 0o077:
        path.chmod(stat.S_IMODE(found.st_mode) & 0o700)


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
