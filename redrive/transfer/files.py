"""The files of an import and an export: opened without a silent wait, written whole or not at all."""

import errno
import os
import secrets
import select
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from redrive.models.errors import BadInput

SILENT_SECONDS = 3.0
"""A pipe or terminal from which nothing comes for so long is worth a word."""


@contextmanager
def source(path: Path, say: Callable[[str], object]) -> Iterator[IO[bytes]]:
    """A file to read. Opening a pipe does not wait for its writer; ``say`` gets a word where reading has to.

    Raises:
        OSError: it cannot be read.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as stream:
        await_bytes(stream.fileno(), str(path), say)
        os.set_blocking(stream.fileno(), True)
        yield stream


def await_bytes(file: int, name: str, say: Callable[[str], object]) -> None:
    """Wait for the first bytes, and say so when they do not come; a regular file has them at once."""
    poll = select.poll()
    poll.register(file, select.POLLIN)
    if not poll.poll(SILENT_SECONDS * 1000):
        say(f"{name}: nothing has been written to it yet; waiting for it (Ctrl-C ends this)")
        poll.poll()


def refused_rows(path: Path, imported: Path) -> IO[str]:
    """The file of refused rows: bytes that were not UTF-8 leave as they came.

    Raises:
        BadInput: it is the file that is imported, a symbolic link, or a pipe without a reader.
        OSError: it cannot be written.
    """
    if path.exists() and imported.exists() and path.samefile(imported):
        raise BadInput(f"{path}: is the file that is imported; name another for the refused rows")
    _refuse_link(path)
    if path.exists() and not path.is_file():
        return _as_it_is(path)
    return _text(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o666))


@contextmanager
def destination(path: Path) -> Iterator[IO[str]]:
    """A file to write. It is there once it is whole, and until then as it was; a pipe or device is written as it is.

    Raises:
        BadInput: it is a symbolic link, or a pipe without a reader.
        OSError: it cannot be written.
    """
    _refuse_link(path)
    if path.exists() and not path.is_file():
        with _as_it_is(path) as file:
            yield file
        return
    # A name nobody can have guessed, and O_EXCL follows nothing that lies there: in a directory of many, too.
    part = path.with_name(f".{path.name[:200]}.{secrets.token_hex(8)}.part")
    try:
        with _ended_by_sigterm(), _text(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)) as file:
            if path.exists():
                os.fchmod(file.fileno(), stat.S_IMODE(path.stat().st_mode))
            yield file
        part.replace(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends this process as Ctrl-C does, so that it can tidy up."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _refuse_link(path: Path) -> None:
    if path.is_symlink():
        raise BadInput(f"{path}: is a symbolic link; name the file that it leads to")


def _as_it_is(path: Path) -> IO[str]:
    try:
        file = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        raise BadInput(f"{path}: is a pipe that no program reads; start its reader first") from None
    os.set_blocking(file, True)
    return _text(file)


def _text(file: int) -> IO[str]:
    return os.fdopen(file, "w", encoding="utf-8", errors="surrogateescape", newline="")
