"""When checks of an account come together."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.models.lifecycle.grid import rounded_up

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@given(
    seconds=st.floats(1e-6, 90 * 86_400),
    ago=st.timedeltas(timedelta(), timedelta(days=900)),
    account=st.text(max_size=20),
)
def test_a_check_is_at_most_a_tenth_of_its_wait_late_and_never_early(
    seconds: float, ago: timedelta, account: str
) -> None:
    moment = NOW - ago + timedelta(seconds=seconds)
    late = rounded_up(moment, seconds, account) - moment
    assert timedelta() <= late
    assert late < timedelta(seconds=seconds / 10) or late <= timedelta(microseconds=1)


@pytest.mark.parametrize(("seconds", "most"), [(5, 250), (30, 65), (60, 33), (300, 8), (3600, 2)])
def test_a_minute_of_tasks_with_one_wait_shares_few_moments(seconds: float, most: int) -> None:
    """The longer the wait, the more come together."""
    accepted = [NOW + timedelta(seconds=n / 10) for n in range(600)]
    checked = {rounded_up(each + timedelta(seconds=seconds), seconds, "phones") for each in accepted}
    assert len(checked) <= most


@given(seconds=st.floats(0.001, 86_400), part=st.floats(0.5, 1))
def test_a_common_moment_of_a_longer_wait_is_one_of_a_shorter(seconds: float, part: float) -> None:
    """So that tasks of different ages come together too, half as often."""
    common = rounded_up(NOW, seconds, "phones")
    assert rounded_up(common, seconds * part, "phones") == common


def test_accounts_have_moments_of_their_own() -> None:
    """A thousand accounts that were all served at once are not looked at all at once."""
    moments = {rounded_up(NOW, 300, f"account{n}") for n in range(100)}
    assert len(moments) > 90
