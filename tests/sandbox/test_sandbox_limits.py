from redrive.sandbox.config import SandboxConfig
from redrive.sandbox.limits import Over, Rate, RateWindow


def test_a_window_slides() -> None:
    """The call that would be one too many is allowed again exactly when the oldest is a window away."""
    window = RateWindow(limit=3, seconds=60)
    assert [window.over(now) for now in (0, 30, 59, 59.9)] == [False, False, False, True]
    assert not RateWindow(3, 60).over(0)


def test_no_burst_across_the_turn_of_a_minute() -> None:
    """A fixed window would let 400 calls pass within a second of the turn."""
    window = RateWindow(limit=200, seconds=60)
    assert not any(window.over(59.5) for _ in range(200))
    assert window.over(60.5)


def test_refused_calls_count_too() -> None:
    """Hammering does not get through."""
    rate = Rate.of(1)
    assert [rate.count(now) for now in (0, 40, 80, 120, 180)] == [None, Over.MINUTE, Over.MINUTE, Over.MINUTE, None]


def test_geelarks_hour_as_published() -> None:
    """24,000 calls of an hour count, refused ones included; one more locks the path for two hours."""
    config = SandboxConfig()
    rate = Rate.of(config.geelark_per_minute, config.geelark_per_hour, lock_seconds=7200)
    hammered = [rate.count(second / 10) for second in range(24_001)]
    assert hammered[:200] == [None] * 200
    assert set(hammered[200:24_000]) == {Over.MINUTE}
    assert hammered[24_000] is Over.HOUR
    locked_at = 2400.0
    assert rate.count(locked_at + 7199) is Over.LOCK
    assert rate.count(locked_at + 7200) is None
