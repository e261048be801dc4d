"""How fast everything goes: what a run of minutes and one of seconds differ in."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Times of one run, in seconds.

    A batch whose message was lost often enough comes again within ten minutes: so long may a whole run's end take. That
    of a short one, which has no batch as old as that, takes less.

    Attributes:
        every: between two faults, on average.
        run: how long a re-run takes at the provider.
        latency: of the provider, between carrying a call out and answering it: a good moment for a worker to die.
        lag: how long the provider's status calls go on showing the state from before a retry.
        look: from a retry to the first check, shorter than ``lag``: it sees the old state.
        provider_freeze: the longest the provider stands still. With ``lag`` it stays well below ``settle``: a provider
            slower than that to show a new run is one that nothing is promised for.
        settle: the policy's ``settle_seconds``.
        timeout: of a call.
        lease: of a batch.
        breaker: the breaker's first opening.
        stall: the longest that work which could be done may lie about: some lost messages of one batch.
        peace: how long everything may take to end once nothing is broken.
        host: how long a host leaves its transaction open.
        followed: the policy's ``check_timeout_seconds``: what was deleted while it ran is given up after it.
        beside: how long the pace of healthy accounts is measured; 0: not at all.
    """

    every: float
    run: float
    latency: float
    lag: float
    look: float
    provider_freeze: float
    settle: float
    timeout: float
    lease: float
    breaker: float
    stall: float
    peace: float
    host: float
    followed: float
    beside: float


STEADY = Pace(
    every=2.3,
    run=2.0,
    latency=0.15,
    lag=1.5,
    look=0.5,
    provider_freeze=0.8,
    settle=3.0,
    timeout=3.0,
    lease=8.0,
    breaker=2.0,
    stall=120.0,
    peace=660,
    host=60.0,
    followed=180.0,
    beside=20.0,
)
QUICK = Pace(
    every=0.6,
    run=1.2,
    latency=0.1,
    lag=0.9,
    look=0.2,
    provider_freeze=0.3,
    settle=1.6,
    timeout=1.5,
    lease=4.5,
    breaker=0.5,
    stall=60.0,
    peace=80,
    host=3.0,
    followed=30.0,
    beside=0.0,
)
