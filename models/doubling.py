"""Waiting twice as long each time: one rule for breakers, penalties, republished batches, checks and trouble."""

_MOST = 32
"""Doubled so often, every first wait of ours is longer than every longest one; a float ends at a thousand."""


def doubled(first: float, times: int, longest: float) -> float:
    """``first`` seconds, doubled so many times, but never more than ``longest``."""
    return min(first * 2.0 ** min(times, _MOST), longest)
