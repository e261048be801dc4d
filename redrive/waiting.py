"""Waiting for what will be there in time."""

import time
from collections.abc import Callable
from typing import TypeVar

from redrive.models.errors import Unreachable, Unsuitable

from .supervisor import BACKOFF_SECONDS

T = TypeVar("T")


def once_there(attempt: Callable[[], T], say: Callable[[str], None]) -> T:
    """What the attempt returns, which is made again and again while the database is away, locked or forbidding.

    Args:
        attempt: asks the database.
        say: says why it has to wait.

    Raises:
        Unsuitable: the database answers, and waiting does not change what it is.
    """
    tries = 0
    while True:
        try:
            return attempt()
        except Unsuitable:
            raise
        except Unreachable as error:
            seconds = BACKOFF_SECONDS[min(tries, len(BACKOFF_SECONDS) - 1)]
            say(f"{error}; trying again in {seconds} s")
        tries += 1
        time.sleep(seconds)
