"""The races: tasks retried and recorded per second, and what they cost."""

from collections.abc import Sequence

from benchmarks.ground import Ground
from benchmarks.limits import http_alone, ledger_alone
from benchmarks.naive.system import Naive, NaiveBatched
from benchmarks.options import Options
from benchmarks.peers.systems import Dramatiq, Procrastinate, Taskiq
from benchmarks.race import Run, medians, note, one_run
from benchmarks.redrive_system import ADD, KINDS, Redrive, redrive_name
from benchmarks.systems import System
from benchmarks.tables import Table, Target

COLUMNS = ("", "tasks", "tasks/s", "x hand-written", "CPU s per 1,000", "of it its own processes")

BATCHED_RATE, BATCHED_RATIO, BATCHED_CPU = 3000.0, 15.0, 25.0
SINGLE_RATIO, SINGLE_OF_HTTP, SINGLE_CPU = 4.0, 0.6, 6.0
SLOW_RATIO = 10.0


def batched(ground: Ground, options: Options) -> Table:
    """GeeLark: a hundred ids a call."""
    redrives, naives = redrive_and_naive(options)
    systems = [*redrives, *naives, NaiveBatched(2)]
    runs = compare(ground, systems, "geelark", options)
    best, naive = best_of(redrives, runs), best_of(naives, runs)
    return table(
        "batched", "GeeLark, 100 ids a call, answered at once", runs, naive, systems,
        targets=[
            Target("Redrive, tasks/s", best.rate, BATCHED_RATE),
            Target("Redrive ÷ hand-written", best.rate / naive.rate, BATCHED_RATIO, unit="x"),
            Target("CPU: hand-written ÷ Redrive", thriftiest(naives, runs) / best.cpu, BATCHED_CPU, unit="x"),
        ],
        notes=[
            "The hand-written solution sends one id a call, as such programs do.",
            "The batched one records nothing before a call: what a dying process had sent, nobody knows.",
        ],
    )  # fmt: skip


def single(ground: Ground, options: Options) -> Table:
    """DocFlow: one id a call, answered at once."""
    redrives, naives = redrive_and_naive(options)
    systems = [*redrives, *naives, *peers(options, threads=8)]
    runs = compare(ground, systems, "docflow", options, http=True)
    best, naive = best_of(redrives, runs), best_of(naives, runs)
    of_http = {n: runs[redrive_name(n)].rate / runs[http_name(n)].rate for n in (1, 2) if http_name(n) in runs}
    return table(
        "single", "DocFlow, one id a call, answered at once", runs, naive, systems,
        targets=[
            Target("Redrive ÷ hand-written", best.rate / naive.rate, SINGLE_RATIO, unit="x"),
            *(
                Target(f"Redrive ÷ bare HTTP loop, {n} each", ratio, SINGLE_OF_HTTP, unit="x")
                for n, ratio in of_http.items()
            ),
            Target("CPU: hand-written ÷ Redrive", thriftiest(naives, runs) / best.cpu, SINGLE_CPU, unit="x"),
        ],
        notes=["The bare loops call and read the answer; they record nothing and use neither database nor broker."],
    )  # fmt: skip


def slow(ground: Ground, options: Options, *, milliseconds: int) -> Table:
    """DocFlow: one id a call, answered after a while."""
    redrives, naives = redrive_and_naive(options)
    systems = [*redrives, naives[-1], *([] if options.quick else peers(options, threads=50))]
    runs = compare(ground, systems, "docflow", options, latency_seconds=milliseconds / 1000, http=True)
    best, naive = best_of(redrives, runs), runs[naives[-1].name]
    return table(
        f"slow-{milliseconds}", f"DocFlow, one id a call, answered after {milliseconds} ms", runs, naive, systems,
        targets=[
            Target("Redrive ÷ hand-written", best.rate / naive.rate, SLOW_RATIO, unit="x"),
            Target("CPU: hand-written ÷ Redrive", naive.cpu / best.cpu, SINGLE_CPU, unit="x"),
        ],
    )  # fmt: skip


def share(options: Options) -> float:
    """The hand-written solution gets fewer tasks: its rate does not depend on how many, and minutes are saved."""
    return 0.5 if options.quick else 0.2


def redrive_and_naive(options: Options) -> tuple[list[System], list[System]]:
    """With as few and as many processes as make sense on two cores; the quick run has one of each."""
    redrives: list[System] = [Redrive(1), Redrive(2)]
    naives: list[System] = [Naive(2, share=share(options)), Naive(8, share=share(options))]
    return (redrives[:1], naives[:1]) if options.quick else (redrives, naives)


def peers(options: Options, *, threads: int) -> list[System]:
    """Threads, where a peer has them: its default where answers come at once, and more where they are waited for."""
    part = share(options)
    return [Procrastinate(share=part), Dramatiq(threads, share=part), Taskiq(share=part)]


def compare(
    ground: Ground,
    systems: Sequence[System],
    kind: str,
    options: Options,
    *,
    latency_seconds: float = 0.0,
    http: bool = False,
) -> dict[str, Run]:
    """Contestants and limits, interleaved; the median of each."""
    found: dict[str, list[Run]] = {}
    with ground.provider(latency_seconds) as provider:
        for number in range(1, options.runs + 1):
            for system in systems:
                run = one_run(ground, system, provider, kind, max(100, round(options.tasks * system.share)))
                note(found, system.name, run, number)
            if http:
                for processes in (1,) if options.quick else (1, 2):
                    run = http_alone(ground, provider, kind, options.tasks, processes=processes, concurrency=100)
                    note(found, http_name(processes), run, number)
            note(found, LEDGER, ledger_run(ground, kind, options.tasks), number)
    return medians(found)


def http_name(processes: int) -> str:
    return f"limit: bare HTTP loop, {processes} process{'es' * (processes > 1)}"


LEDGER = "limit: bare claim and record loop"


def ledger_run(ground: Ground, kind: str, tasks: int) -> Run:
    """Claim and record the same tasks without scheduler, broker, worker and calls."""
    redrive = Redrive()
    redrive.kind = kind
    with ground.database() as url, redrive.stack:
        redrive.prepare(ground, url)
        redrive.connection.execute(ADD, ["bench", KINDS[kind], 1, tasks])
        ground.settle()
        return ledger_alone(ground, url, kind, tasks, threads=4)


def best_of(systems: Sequence[System], runs: dict[str, Run]) -> Run:
    """The fastest of some contestants."""
    return max((runs[system.name] for system in systems), key=lambda run: run.rate)


def thriftiest(systems: Sequence[System], runs: dict[str, Run]) -> float:
    """The least CPU seconds per 1,000 tasks of some contestants."""
    return min(runs[system.name].cpu for system in systems)


def table(
    name: str,
    title: str,
    runs: dict[str, Run],
    naive: Run,
    systems: Sequence[System],
    *,
    targets: Sequence[Target],
    notes: Sequence[str] = (),
) -> Table:
    rows = [(who, run.tasks, run.rate, run.rate / naive.rate, run.cpu, run.own) for who, run in runs.items()]
    settings = [f"{system.name}: {system.settings}" for system in systems]
    return Table(name, title, COLUMNS, rows, targets, [*notes, *settings], bars=2)


__all__ = ["batched", "single", "slow"]
