"""Waits that grow."""

import pytest

from redrive.models.doubling import doubled


@pytest.mark.parametrize(
    ("first", "times", "longest", "expected"),
    [
        (5.0, 0, 600.0, 5.0),
        (5.0, 3, 600.0, 40.0),
        (5.0, 7, 600.0, 600.0),
        (0.001, 20, 86_400.0, 1048.576),
        (30.0, 10**9, 600.0, 600.0),
        (0.0, 5, 600.0, 0.0),
    ],
)
def test_each_wait_is_twice_the_one_before_up_to_the_longest(
    first: float, times: int, longest: float, expected: float
) -> None:
    """However often: a counter that runs for years does not overflow."""
    assert doubled(first, times, longest) == expected
