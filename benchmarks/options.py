"""How much is measured."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """The knobs of a whole run; the command line sets them.

    Attributes:
        runs: of each contestant, interleaved; figures are their medians.
        tasks: due tasks of a race; contestants that would take minutes get a share of them.
        rows: stored tasks where the cost of many is asked about.
        accounts: configured accounts where the cost of many is asked about.
        busy: accounts that a paced measurement has at most.
        seconds: for which a paced measurement looks.
        minutes: of steady state.
        arrive: tasks per second of steady state.
        quick: a smoke test: shares shrink and long parts are left out.
    """

    runs: int = 3
    tasks: int = 20_000
    rows: int = 10_000_000
    accounts: int = 1000
    busy: int = 2000
    seconds: float = 60.0
    minutes: float = 60.0
    arrive: int = 500
    quick: bool = False


QUICK = Options(runs=1, tasks=600, rows=20_000, accounts=20, busy=20, minutes=0.2, quick=True)
