"""What must hold of every call at the moment it leaves, from the provider's point of view and the rows'."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations, pairwise

from redrive.models.rules import LATE_SECONDS, Rules
from redrive.worker.window import MARGIN_SECONDS
from tests.interleaving.audit import Row, Rows, limit_of
from tests.interleaving.clock import seconds_of
from tests.interleaving.provider import RESTART, Flight, Provider

_ROUNDING = 1e-6


def leaving(flight: Flight, rows: Rows, provider: Provider, rules: Mapping[str, Rules]) -> Iterator[str]:
    """What is wrong with a call that leaves now."""
    now, batch = provider.clock.seconds, rows.batches[flight.batch]
    own = rules[batch["account"]]
    last = seconds_of(batch["lease_until"]) - own.timeout_seconds - MARGIN_SECONDS
    if now > last:
        yield f"it leaves {now - last:g} s too late for its lease"
    if flight.ask.request.path != RESTART:
        return
    for id_ in flight.ask.request.json["ids"]:
        row = next(row for row in rows.tasks.values() if row["external_id"] == id_)
        for words in (*_recorded(flight, row, rows), *_asked_before(row, provider, own)):
            yield f"task {id_}: {words}"


def _recorded(flight: Flight, row: Row, rows: Rows) -> Iterator[str]:
    """The record comes first."""
    open_ones = rows.open_attempts(row["id"])
    if not open_ones:
        yield "its retry leaves, and no attempt is open"
    elif open_ones[0]["batch_id"].int != flight.batch:
        yield f"its retry leaves, and the open attempt is that of batch {open_ones[0]['batch_id'].int}"


def _asked_before(row: Row, provider: Provider, rules: Rules) -> Iterator[str]:
    """One at a time, within the limit, and never without a check after a doubtful one."""
    job, now = provider.job(row["external_id"]), provider.clock.seconds
    if any(arrival.over_at > now for arrival in job.arrivals):
        yield "its retry leaves while an earlier one is unanswered"
    if any(arrival.doubtful and not arrival.examined for arrival in job.arrivals):
        yield "its retry leaves without a check since the last one that may have been taken"
    if any(run.going_on(now) for run in job.runs):
        yield "its retry leaves while it runs"
    if job.runs and job.runs[-1].succeeds and not job.runs[-1].going_on(now):
        yield "its retry leaves although it has succeeded"
    if (taken := sum(arrival.doubtful for arrival in job.arrivals) + 1) > limit_of(row, rules):
        yield f"{taken} retries of {limit_of(row, rules)} may have been taken"


def paced(permits: Iterable[list[float]], left: Iterable[list[float]], interval_seconds: float) -> Iterator[str]:
    """Permits of a path lie an interval apart; calls leave at their permits' moments or a little later."""
    for moments in permits:
        for one, other in pairwise(sorted(moments)):
            if other - one < interval_seconds - _ROUNDING:
                yield f"permits at {one:g} s and {other:g} s"
    for moments in left:
        for (i, first), (j, last) in combinations(enumerate(moments), 2):
            if last - first < (j - i) * interval_seconds - LATE_SECONDS - _ROUNDING:
                yield f"{j - i + 1} calls within {last - first:g} s"
