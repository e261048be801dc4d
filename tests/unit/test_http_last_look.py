"""The last check, and the clock it looks at."""

import time

import pytest

from redrive.models.clock import boottime
from redrive.worker.session import Departure, NotSentError


def test_a_call_in_time_goes_once() -> None:
    """The second sending of the same call has no permit."""
    call = Departure(boottime() + 60, lambda: True)
    call.last_look()
    assert call.sent
    with pytest.raises(NotSentError):
        call.last_look()
    assert (call.sent, call.withheld) == (True, False)


@pytest.mark.parametrize(("seconds_left", "may_send"), [(-0.001, True), (60, False)])
def test_a_call_that_is_late_or_stopped_stays(*, seconds_left: float, may_send: bool) -> None:
    """It is withheld: nothing went wrong, and nothing was sent."""
    call = Departure(boottime() + seconds_left, lambda: may_send)
    with pytest.raises(NotSentError):
        call.last_look()
    assert (call.sent, call.withheld) == (False, True)


@pytest.mark.parametrize(
    ("connecting_seconds", "seconds_left", "may_send", "late"),
    [
        (2.1, -0.001, True, True),
        (1.9, -0.001, True, False),  # it waited for a free connection before: nobody else's fault
        (2.1, 60, False, False),
        (2.1, -0.001, False, True),
    ],
)
def test_only_a_provider_that_no_permit_waits_for_is_slow(
    *, connecting_seconds: float, seconds_left: float, may_send: bool, late: bool
) -> None:
    call = Departure(boottime() + seconds_left, lambda: may_send, began=boottime() - connecting_seconds)
    with pytest.raises(NotSentError):
        call.last_look()
    assert (call.withheld, call.late) == (True, late)


def test_the_clock_is_the_one_that_counts_suspend() -> None:
    """On Linux that is CLOCK_BOOTTIME; elsewhere the monotonic clock has to do."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    before = time.clock_gettime(clock)
    assert before <= boottime() <= time.clock_gettime(clock)
