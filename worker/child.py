"""A process that reads what is too large for a thread of this one. It starts when it is first needed."""

import multiprocessing
import signal
import threading
from multiprocessing.connection import Connection
from pickle import PicklingError
from typing import TYPE_CHECKING, Final

from .reading import Found, Question, read

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

PATIENCE_SECONDS: Final = 30.0
"""An answer that takes longer to read is given up, and the process with it."""


class ChildFailedError(Exception):
    """The answer was not read: the process ended or took too long, or the provider cannot be handed to it."""


class Child:
    """Reads one answer at a time. One that ended, by whatever it read, is replaced at the next."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: BaseProcess | None = None
        self._line: Connection | None = None

    def read(self, question: Question) -> Found:
        """What the answer says.

        Raises:
            ChildFailedError: it was not read.
        """
        with self._lock:
            if self._process is not None and not self._process.is_alive():
                self.close()
            line = self._line or self._start()
            try:
                line.send(question)
                if line.poll(PATIENCE_SECONDS):
                    found: Found = line.recv()
                    return found
            except (PicklingError, TypeError, AttributeError) as error:
                raise ChildFailedError(
                    f"the provider cannot be handed to another process ({type(error).__name__})"
                ) from None
            except (OSError, EOFError):
                self.close()
                raise ChildFailedError("the process that read it ended") from None
            self.close()
            raise ChildFailedError(f"it took more than {PATIENCE_SECONDS:g} s to read")

    def close(self) -> None:
        """End the process."""
        process, line, self._process, self._line = self._process, self._line, None, None
        if process is not None and line is not None:
            process.kill()
            process.join()
            process.close()
            line.close()

    def _start(self) -> Connection:
        # Not forked: the other threads' locks would be copied as they are, for ever taken.
        context = multiprocessing.get_context("spawn")
        ours, its = context.Pipe()
        process = context.Process(target=_serve, args=(its,), name="redrive-reading", daemon=True)
        process.start()
        its.close()
        self._process, self._line = process, ours
        return ours


def _serve(line: Connection) -> None:
    """Read until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the worker, whose end ends this process
    while True:
        try:
            question = line.recv()
        except EOFError:
            return
        line.send(read(question))
