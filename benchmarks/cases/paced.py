"""Many accounts at their providers' usual pace: with an id a call and a call a second, nothing can be done in bulk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.ground import Ground
from benchmarks.options import Options
from benchmarks.paced_systems import Pace, PacedNaive, PacedRedrive, PacedSystem
from benchmarks.steadily import Seen, medians, note, seen, spans
from benchmarks.tables import Cell, Table, Target

PROCESSES = 4
QUICK_CHECK_SECONDS = 1.0
CPU, OF_NAIVE, KEPT, LATE_SECONDS = 4.0, 0.8, 0.95, 0.5
QUIET_MEDIAN, QUIET_LONGEST = 1.0, 5.0


@dataclass(frozen=True, slots=True)
class Field:
    """Who takes part.

    Attributes:
        provider: of all accounts.
        title: its accounts and their pace.
        accounts: busy ones.
        workers: of Redrive, a contestant each.
        naive: whether the hand-written solution takes part.
    """

    provider: str
    title: str
    accounts: int
    workers: Sequence[int]
    naive: bool = False


SECOND, SLOW = "DocFlow accounts at a call a second", "Huawei Workspace accounts at ten calls a minute"
FIELDS: Mapping[str, Field] = {
    "paced": Field("docflow", SECOND, 50, (1,), naive=True),
    "paced-200": Field("docflow", SECOND, 200, (1,), naive=True),
    "paced-500": Field("docflow", SECOND, 500, (1, 2), naive=True),
    "paced-1000": Field("docflow", SECOND, 1000, (2,)),
    "paced-slow": Field("huawei_workspace", SLOW, 2000, (1,)),
}

CALLS = (
    "", "retries/s", "checks/s", "of allowed retries", "of allowed checks", "slowest account's",
    "CPU s per 1,000 followed", "of it its own processes", "quiet tasks called", "due → call, median s", "longest s",
)  # fmt: skip
COSTS = (
    "", "statements per task followed", "transactions", "threads", "connections", "worker MB",
    "moment → call, median s", "p99 s", "quiet tasks: due → claim, median s", "p99 s",
    "checks: due → claim, median s", "p99 s", "checks overdue, s",
)  # fmt: skip
NOT_CLAIMED = "From due to claim: of what was claimed. What waits still shows in the checks overdue, and in the calls."


def paced(ground: Ground, options: Options, *, name: str) -> list[Table]:
    """Every account has a backlog; each task is retried, and checked until it has succeeded."""
    field = FIELDS[name]
    pace = Pace(field.provider, min(field.accounts, options.busy), QUICK_CHECK_SECONDS if options.quick else None)
    systems, found = contestants(field, pace, options), dict[str, list[Seen]]()
    times = spans(options, pace)
    with ground.provider(journal=True) as provider:
        for number in range(1, options.runs + 1):
            for system in systems:
                note(found, system.name, seen(ground, system, provider, times), number)
    runs = {who: medians(each) for who, each in found.items()}
    title = f"{pace.accounts:,} {field.title}, followed"
    notes = [
        "A task followed is a retry and a check, one id each. Redrive has its default settings.",
        f"Measured for {times.window:.0f} s, statements counted, moments watched for {times.counted:.0f} s more.",
        *(f"{system.name}: {system.settings}" for system in systems),
    ]
    calls = [calls_of(who, run) for who, run in runs.items()]
    costs = [costs_of(who, run) for who, run in runs.items()]
    return [
        Table(name, f"{title}: calls", CALLS, calls, targets(name, runs, systems), notes, bars=6),
        Table(f"{name}-costs", f"{title}: what they cost", COSTS, costs, notes=[NOT_CLAIMED]),
    ]


def contestants(field: Field, pace: Pace, options: Options) -> list[PacedSystem]:
    """The quick run has one Redrive, and the hand-written solution once."""
    redrives: list[PacedSystem] = [PacedRedrive(pace, n) for n in field.workers[: 1 if options.quick else None]]
    naive = field.naive and not (options.quick and field is not FIELDS["paced"])
    return [*redrives, PacedNaive(pace, PROCESSES)] if naive else redrives


def calls_of(who: str, run: Seen) -> Sequence[Cell]:
    return (
        who, run.retries, run.checks, run.retries_kept, run.checks_kept, run.least, run.cpu, run.own, run.quiet_called,
        run.quiet_median, run.quiet_longest,
    )  # fmt: skip


def costs_of(who: str, run: Seen) -> Sequence[Cell]:
    return (
        who, run.statements, run.transactions, run.threads, run.connections, run.memory, run.late_median, run.late_p99,
        run.claim_median, run.claim_p99, run.check_median, run.check_p99, run.overdue,
    )  # fmt: skip


def targets(name: str, runs: Mapping[str, Seen], systems: Sequence[PacedSystem]) -> list[Target]:
    """Of Redrive with the most workers that take part."""
    redrive = [runs[system.name] for system in systems if isinstance(system, PacedRedrive)][-1]
    naives = [runs[system.name] for system in systems if isinstance(system, PacedNaive)]
    found = [
        Target("retries, of those allowed", redrive.retries_kept, KEPT),
        Target("checks, of those allowed", redrive.checks_kept, KEPT),
        Target("a quiet account's task, due → call, median", redrive.quiet_median, QUIET_MEDIAN, True, " s"),
        Target("... the longest", redrive.quiet_longest, QUIET_LONGEST, True, " s"),
    ]
    if name == "paced":
        found.append(Target("CPU s per 1,000 followed", redrive.cpu, CPU, at_most=True))
    if name == "paced-200":
        found.append(Target("moment → call, p99", redrive.late_p99, LATE_SECONDS, True, " s"))
    return found + [
        Target("CPU: Redrive ÷ hand-written", redrive.cpu / naive.cpu, OF_NAIVE, True, "x") for naive in naives
    ]


__all__ = ["FIELDS", "paced"]
