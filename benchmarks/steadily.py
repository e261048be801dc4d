"""What a contestant does while it works steadily: seen by the provider, the database and the kernel, not by itself."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import nan
from statistics import median

from benchmarks import statements
from benchmarks.ground import Call, Ground, Provider
from benchmarks.measure import cpu_seconds, memory_mb, p99, threads
from benchmarks.moments import Granted, lateness, watched
from benchmarks.options import Options
from benchmarks.paced_systems import FIRST_QUIET, QUIET, Pace, PacedRedrive, PacedSystem
from benchmarks.race import pause, say

CONNECTIONS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
SPARE_SECONDS = 15.0
"""Beyond the first checks, until everything flows; and as much again in the backlog."""
GRACE_SECONDS = 4.0
"""From a permit to its call: opened a little ahead, and too late two seconds after its moment."""
SAMPLE_SECONDS = 2.0
"""Between two questions to the provider for its calls, too: a long list would keep it from answering others."""
LEAST_CALLS = 20
"""Of each account in a window, so that one more or less is not much."""


@dataclass(frozen=True, slots=True)
class Spans:
    """How long what takes, in seconds.

    Attributes:
        warm_up: until retries and checks flow.
        window: in which rates, CPU time and waits are measured.
        counted: in which, after it, statements are counted and moments watched, which costs CPU time.
        grace: until the last permit and the last task of the quiet account have had their calls.
        quiet_every: between two tasks of the quiet account.
    """

    warm_up: float
    window: float
    counted: float
    grace: float
    quiet_every: float

    @property
    def all(self) -> float:
        return self.warm_up + self.window + self.counted + self.grace + SPARE_SECONDS


def spans(options: Options, pace: Pace) -> Spans:
    """A window of whole intervals: where all accounts call at once, a part of one would be a call too many or none."""
    interval, every = pace.interval, max(2.0, 2 * pace.interval)
    if options.quick:
        warm_up, calls = pace.check_seconds + max(2.0, interval), max(1, round(3.0 / interval))
        return Spans(warm_up, calls * interval, counted=1.0, grace=1.0, quiet_every=every)
    calls = max(LEAST_CALLS, round(options.seconds / interval))
    counted = max(15.0, 2 * interval)
    return Spans(pace.check_seconds + SPARE_SECONDS, calls * interval, counted, GRACE_SECONDS, every)


@dataclass(frozen=True, slots=True)
class Seen:
    """One run. What a contestant does not have is not a number.

    Attributes:
        retries: calls per second of the busy accounts.
        checks: the same.
        retries_kept: of the calls that the rates allow, the share that was made.
        checks_kept: the same.
        least: the share of the account that made the fewest retries.
        cpu: CPU seconds per 1,000 tasks followed: a retry and a check each. With database and broker.
        own: the part of it that its own processes used.
        statements: per task followed; transactions, too.
        threads: of all its processes, at most; connections to the database, too.
        memory: of the worker that has most, in MB.
        quiet_called: of the quiet account's tasks, the share that was called.
        quiet_median: seconds from due to call, those not called counted as long as they have waited; the longest, too.
        claim_median: seconds from due to claim, of those; the 99th percentile, too.
        check_median: the same of checks.
        late_median: seconds from a retry's moment to its arrival; the 99th percentile, too.
        overdue: seconds since the oldest check that waits was due.
    """

    retries: float
    checks: float
    retries_kept: float
    checks_kept: float
    least: float
    cpu: float
    own: float
    statements: float
    transactions: float
    threads: float
    connections: float
    memory: float
    quiet_called: float
    quiet_median: float
    quiet_longest: float
    claim_median: float
    claim_p99: float
    check_median: float
    check_p99: float
    late_median: float
    late_p99: float
    overdue: float


def medians(runs: Sequence[Seen]) -> Seen:
    """Figure by figure."""
    return Seen(*(median(getattr(run, field.name) for run in runs) for field in fields(Seen)))


def seen(ground: Ground, system: PacedSystem, provider: Provider, spans: Spans) -> Seen:
    """Start a contestant, wait until all flows, and look at it for a while."""
    try:
        system.start(ground, provider, system.pace.provider)
        system.add_backlog(round(spans.all / system.pace.interval))
        return Watch(ground, system, provider, spans).run()
    finally:
        system.close()


class Watch:
    """Feeds the quiet account, and checks."""

    def __init__(self, ground: Ground, system: PacedSystem, provider: Provider, spans: Spans) -> None:
        self._ground = ground
        self._system = system
        self._provider = provider
        self._spans = spans
        self._calls: list[Call] = []
        self._due: dict[str, float] = {}
        self._next_quiet = self._next_sample = 0.0
        self._threads = self._connections = self._memory = 0.0

    def run(self) -> Seen:
        self._pass(self._spans.warm_up, feed=False)
        self._calls_since()
        before, began = self._used(), time.monotonic()
        self._pass(self._spans.window)
        calls, seconds = self._calls_since(), time.monotonic() - began
        own, servers, transacted = (after - was for after, was in zip(self._used(), before, strict=True))
        retries, checks = self._by_account(calls)
        followed = max(1, retries.total() + checks.total()) / 2
        asked, late, more = self._counted()
        waits, called = self._waits([*calls, *more])
        claims, checked = self._claims()
        allowed = seconds / self._system.pace.interval
        accounts = self._system.pace.accounts
        return Seen(
            retries=retries.total() / seconds,
            checks=checks.total() / seconds,
            retries_kept=retries.total() / accounts / allowed,
            checks_kept=checks.total() / accounts / allowed,
            least=min(retries[f"busy{n}"] for n in range(1, accounts + 1)) / allowed,
            cpu=(own + servers) / followed * 1000,
            own=own / followed * 1000,
            statements=asked,
            transactions=transacted / followed,
            threads=self._threads,
            connections=self._connections,
            memory=self._memory,
            quiet_called=called,
            quiet_median=median(waits),
            quiet_longest=max(waits),
            claim_median=median(claims),
            claim_p99=p99(claims),
            check_median=median(checked),
            check_p99=p99(checked),
            late_median=median(late),
            late_p99=p99(late),
            overdue=self._system.overdue(),
        )

    def _pass(self, seconds: float, *, feed: bool = True) -> None:
        deadline = time.monotonic() + seconds
        while (now := time.monotonic()) < deadline:
            if feed and now >= self._next_quiet:
                number = len(self._due)
                self._due[str(FIRST_QUIET + number)] = self._system.add_quiet(number)
                self._next_quiet = now + self._spans.quiet_every
            if now >= self._next_sample:
                self._sample()
                self._next_sample = now + SAMPLE_SECONDS
            pause(self._system, deadline + 60, 0.05)

    def _calls_since(self) -> list[Call]:
        """The calls since it was last asked for them."""
        calls, self._calls = [*self._calls, *self._provider.calls()], []
        return calls

    def _sample(self) -> None:
        self._calls += self._provider.calls()
        row = self._system.connection.execute(CONNECTIONS).fetchone()
        self._connections = max(self._connections, float(row[0]) if row else 0.0)
        self._threads = max(self._threads, threads(self._system.roots))
        self._memory = max(self._memory, *(memory_mb(worker.pid) for worker in self._system.workers))

    def _used(self) -> tuple[float, float, int]:
        """CPU seconds of its own processes and of the servers, and transactions."""
        connection = self._system.connection
        return cpu_seconds(self._system.roots), cpu_seconds(self._ground.servers), statements.transactions(connection)

    def _by_account(self, calls: Sequence[Call]) -> tuple[Counter[str], Counter[str]]:
        """Retries and checks of the busy accounts."""
        busy = [call for call in calls if call.account != QUIET]
        retries, checks = (
            Counter(call.account for call in busy if call.path.endswith(path)) for path in self._system.pace.paths
        )
        return retries, checks

    def _counted(self) -> tuple[float, list[float], list[Call]]:
        """Statements per task followed, how late retries were, and the calls meanwhile."""
        granted: list[Granted] = []
        if isinstance(self._system, PacedRedrive):
            with watched(self._system.connection, self._system.pace.paths[0]) as granted:
                asked, calls = self._statements()
        else:
            asked, calls = self._statements()
        return asked, lateness(granted, self._retried(calls), self._system.pace.interval) or [nan], calls

    def _statements(self) -> tuple[float, list[Call]]:
        with statements.counted(self._ground) as count:
            before = self._calls_since()
            self._pass(self._spans.counted, feed=False)
            calls = self._calls_since()
        followed = sum(counts.total() for counts in self._by_account(calls)) / 2
        self._pass(self._spans.grace, feed=False)
        return count.statements / max(1.0, followed), [*before, *calls, *self._calls_since()]

    def _retried(self, calls: Sequence[Call]) -> Mapping[str, float]:
        return {call.ids[0]: call.at for call in calls if call.path.endswith(self._system.pace.paths[0])}

    def _claims(self) -> tuple[list[float], list[float]]:
        """From due to claim: of the quiet account's tasks, and of checks."""
        if not isinstance(self._system, PacedRedrive):
            return [nan], [nan]
        return self._system.claims() or [nan], self._system.check_claims() or [nan]

    def _waits(self, calls: Sequence[Call]) -> tuple[list[float], float]:
        """Of each task of the quiet account, how long it waited for its call; and the share that was called."""
        arrived, now = self._retried(calls), time.time()
        waits = [arrived.get(id_, now) - due for id_, due in self._due.items()]
        return waits, sum(id_ in arrived for id_ in self._due) / len(self._due)


def note(found: dict[str, list[Seen]], name: str, run: Seen, number: int) -> None:
    """Keep one run of a contestant, and say what it was."""
    found.setdefault(name, []).append(run)
    say(
        f"  run {number}: {name}: {run.retries:,.0f} retries/s, {run.checks:,.0f} checks/s, {run.cpu:.2f} CPU s per "
        f"1,000, quiet {run.quiet_median:.2f} s"
    )
