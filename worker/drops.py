"""Log what was dropped, once and then rarely: a flood of messages must not flood the log."""

import threading
import time

import structlog

log = structlog.get_logger("redrive.worker")

QUIET_SECONDS = 60.0

_lock = threading.Lock()
_said: dict[tuple[str, str], tuple[float, int]] = {}
"""What and why → when it was last logged, and how often it has come since."""


def note(what: str, why: str) -> None:
    """Log that something was dropped; the same again at most once a minute, with how often it came.

    Args:
        what: a word of ours.
        why: words of ours, too: nothing of what was sent.
    """
    with _lock:
        last, times = _said.get((what, why), (-QUIET_SECONDS, 0))
        now = time.monotonic()
        loud = now - last >= QUIET_SECONDS
        _said[what, why] = (now, 0) if loud else (last, times + 1)
    if loud:
        log.warning("message.dropped", what=what, why=why, **({"times": times + 1} if times else {}))
