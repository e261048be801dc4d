"""A terminal for a program: as wide as a test wants, and what the program wrote on it."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path


def on_terminal(args: Sequence[str], *, columns: int = 80, cwd: Path, env: Mapping[str, str]) -> str:
    """What a program writes on a terminal, to its end."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with subprocess.Popen(
        args, cwd=cwd, env=dict(env), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as process:
        os.close(theirs)
        written = b""
        try:
            while piece := os.read(ours, 65_536):
                written += piece
        except OSError:  # the last one that had it open has closed it
            pass
        finally:
            os.close(ours)
            process.wait(timeout=30)
    return written.decode().replace("\r\n", "\n")
