"""Lines for a stream that may not take them: a terminal on hold, a full disk, a reader that is gone.

A writer never waits. A thread hands the lines on, in order; what it cannot keep is dropped, and a line reports it.
"""

import atexit
import os
import re
import threading
from collections import deque
from collections.abc import Callable
from typing import TextIO

MOST_WAITING = 10_000
END_SECONDS = 1.0
"""How long the end of a process waits for a stream that takes nothing."""

_UNPRINTABLE = re.compile(r"\x1b\[[0-9;]*m|[^\x20-\x7e]")


class Lines:
    """Lines on their way to a stream.

    Args:
        stream: where they go.
        closed: called, in the thread that writes, when nobody can read any more.
    """

    def __init__(self, stream: TextIO | None, closed: Callable[[], None] | None = None) -> None:
        self._send = _sender(stream)
        self._closed = closed
        self._waiting: deque[str] = deque()
        self._dropped = 0
        self._changed = threading.Condition()
        self._ended = False
        self._thread: threading.Thread | None = None

    def put(self, text: str) -> None:
        """Write a line some time soon; returns at once."""
        with self._changed:
            if self._ended:
                return
            if len(self._waiting) >= MOST_WAITING:
                self._dropped += 1
                return
            self._waiting.append(text)
            if self._thread is None:
                self._thread = threading.Thread(target=self._write, name="lines", daemon=True)
                self._thread.start()
                atexit.register(self.close)
            self._changed.notify()

    def close(self) -> None:
        """Write what waits, as far as the stream takes it within a second."""
        with self._changed:
            self._ended = True
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(END_SECONDS)
            atexit.unregister(self.close)

    def _write(self) -> None:
        while (text := self._next()) is not None:
            try:
                self._send(text + "\n")
            except BrokenPipeError:
                self._end()
                return
            except (OSError, ValueError):  # a full disk, a stream that was closed: the work goes on
                continue

    def _next(self) -> str | None:
        with self._changed:
            while not self._waiting and not self._ended:
                self._changed.wait()
            lines = [*self._waiting]
            self._waiting.clear()
            if self._dropped:
                lines.append(f"({self._dropped} lines were not written: nobody took them)")
                self._dropped = 0
            return "\n".join(lines) if lines else None

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            self._waiting.clear()
        if self._closed is not None:
            self._closed()


def _sender(stream: TextIO | None) -> Callable[[str], None]:
    """How a stream is written to: past its buffer, whose lock a blocked thread would keep from the process's end."""
    if stream is None:  # it was closed before we were started
        return lambda _text: None
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return lambda text: print(text, end="", file=stream, flush=True)
    encoding = stream.encoding or "utf-8"

    def send(text: str) -> None:
        rest = memoryview(text.encode(encoding, "backslashreplace"))
        while rest:
            rest = rest[os.write(descriptor, rest) :]

    return send


class Logger:
    """What structlog writes with."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines

    def msg(self, message: str) -> None:
        """Write a line."""
        self._lines.put(message)

    log = debug = info = warn = warning = msg
    fatal = failure = err = error = critical = exception = msg


def printable(text: str) -> str:
    """Text that moves no cursor and forges no line: what cannot be seen is written as its escape. Colours stay."""
    return text if text.isprintable() else _UNPRINTABLE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    text = found[0]
    return text if len(text) > 1 or text.isprintable() else ascii(text)[1:-1]
