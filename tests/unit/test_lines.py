"""Lines for a stream that may not take them: a writer never waits."""

import errno
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import TextIO

import pytest

from redrive import lines
from redrive.lines import Lines, printable


@pytest.fixture
def pipe() -> Iterator[tuple[TextIO, TextIO]]:
    """A stream and its reader, who reads when the test wants it."""
    read, write = os.pipe()
    with os.fdopen(read) as reader, os.fdopen(write, "w") as writer:
        yield reader, writer


def test_a_stream_that_takes_nothing_holds_nobody_up(
    pipe: tuple[TextIO, TextIO], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A terminal on hold: what cannot be kept is dropped and counted, and the rest comes when it goes on."""
    monkeypatch.setattr(lines, "MOST_WAITING", 1000)
    reader, writer = pipe
    to = Lines(writer)
    for number in range(5000):
        to.put(f"{number} {'x' * 1000}")
    kept, dropped = list[int](), 0
    while len(kept) + dropped < 5000:
        word, _, rest = reader.readline().strip("(").partition(" ")
        if "lines were not written" in rest:
            dropped += int(word)
        else:
            kept.append(int(word))
    to.close()
    assert kept[:1000] == list(range(1000))
    assert kept == sorted(kept)
    assert dropped >= 1000


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_a_full_disk_is_survived(monkeypatch: pytest.MonkeyPatch, pipe: tuple[TextIO, TextIO], number: int) -> None:
    reader, writer = pipe
    write, failed = os.write, threading.Event()

    def full(descriptor: int, text: bytes) -> int:
        if not failed.is_set():
            failed.set()
            raise OSError(number, "no room")
        return write(descriptor, text)

    monkeypatch.setattr(os, "write", full)
    to = Lines(writer)
    to.put("lost")
    assert failed.wait(5)
    to.put("kept")
    assert reader.readline() == "kept\n"
    to.close()


def test_nobody_who_reads_is_noticed(pipe: tuple[TextIO, TextIO]) -> None:
    reader, writer = pipe
    reader.close()
    noticed = threading.Event()
    Lines(writer, closed=noticed.set).put("x")
    assert noticed.wait(5)


def test_a_stream_that_is_not_there_is_no_error() -> None:
    to = Lines(None)
    to.put("x")
    to.close()
    other = io.StringIO()
    to = Lines(other)
    to.put("y")
    to.close()
    assert other.getvalue() == "y\n"


FLOOD = """
import sys, threading, signal
from redrive.lines import Lines
lines = Lines(sys.stdout)
for _ in range(20_000): lines.put("x" * 100)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("up", file=sys.stderr, flush=True)
signal.pause()
"""


def test_a_process_ends_at_sigterm_though_nobody_reads() -> None:
    """Not even the end of the interpreter waits for a lock that the blocked writer holds."""
    process = subprocess.Popen([sys.executable, "-c", FLOOD], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert process.stdout is not None
    assert process.stderr.readline() == b"up\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    process.stderr.close()
    process.stdout.close()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, größer, 任务", "plain, größer, 任务"),
        ("\x1b]0;PWNED\x07", r"\x1b]0;PWNED\x07"),
        ("a\n2026-01-01 [info] forged", r"a\n2026-01-01 [info] forged"),
        ("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"),
        ("\x1b[2J\r\x9b1A\u202e", r"\x1b[2J\r\x9b1A\u202e"),
    ],
)
def test_text_moves_no_cursor_and_forges_no_line(text: str, shown: str) -> None:
    assert printable(text) == shown


FORGED = """
import logging
from redrive.logs import configure
import structlog
configure()
evil = "x]\\n2026-01-01T00:00:00Z [info     ] batch.done accepted=100\\x1b]0;PWNED\\x07\\x1b[2J"
structlog.get_logger().warning("event " + evil, task=evil, many=[evil], size=3)
logging.getLogger("library").error("it was %s", evil)
try:
    raise ValueError(evil)
except ValueError:
    logging.getLogger("library").exception("went wrong")
"""


@pytest.mark.parametrize("form", ["text", "json"])
def test_nobody_forges_a_line_of_the_log(form: str) -> None:
    """Whatever a message from the broker or a provider holds."""
    environment = {**os.environ, "REDRIVE_LOG_FORMAT": form}
    ran = subprocess.run([sys.executable, "-c", FORGED], capture_output=True, text=True, check=True, env=environment)
    colourless = ran.stderr.replace("\x1b[", "").replace("\x1b", "ESC")
    assert "ESC" not in colourless
    assert "\x1b[2J" not in ran.stderr
    assert "\x07" not in ran.stderr
    assert not [line for line in ran.stderr.splitlines() if line.startswith("2026-01-01")]
    assert ran.stderr.count("batch.done") >= 5
