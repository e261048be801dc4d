"""``python -m tests.simulation``: one seed with its whole history, or many with what they came to."""

import argparse
import sys

from tests.simulation.many import Sum, simulated


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.simulation", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--seed", type=int, help="show the history of this seed")
    which.add_argument("--seeds", metavar="A..B", help="run these, show those that fail")
    parser.add_argument("--first", action="store_true", help="stop at the first that fails")
    given = parser.parse_args()
    if given.seed is not None:
        return _one(given.seed)
    first, _, last = given.seeds.partition("..")
    return _many(range(int(first), int(last) + 1), first=given.first)


def _one(seed: int) -> int:
    [report] = simulated([seed])
    sys.stdout.write("\n".join((*report.lines, str(report))) + "\n")
    return int(bool(report.violations))


def _many(seeds: range, *, first: bool) -> int:
    sum_ = Sum()
    for report in simulated(seeds):
        sum_.add(report)
        if report.violations:
            sys.stdout.write(f"{report}\n")
            sys.stdout.flush()
            if first:
                break
    sys.stdout.write(f"{sum_}\n")
    return int(bool(sum_.failed))


if __name__ == "__main__":
    sys.exit(main())
