"""How often a worker looks for garbage."""

import gc

THRESHOLDS = (20_000, 20, 50)
"""Python's own (700, 10, 10) are for programs that hold little. A batch of a thousand is tens of thousands of objects
that all live for a second, and its collections took a quarter of a worker's time."""


def settle() -> None:
    """What was loaded stays for good, and is not searched again and again; what comes is, more rarely."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
