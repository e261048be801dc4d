"""Files of tests in memory: what is waited for is the work, and not the disk."""

import os
import shutil
from pathlib import Path

MEMORY = Path("/dev/shm")
ROOM_BYTES = 2 << 30


def memory() -> Path | None:
    """Where files are kept in memory, if there is such a place with room; None is where temporary files usually go.

    A database copies some hundred files when it is made, and SQLite waits for the disk at every commit. That Redrive
    asks for this is tested; to wait for it a hundred thousand times proves nothing more.
    """
    roomy = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM_BYTES
    return MEMORY if roomy else None
