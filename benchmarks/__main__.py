"""``python -m benchmarks``: run the measurements, print their tables, write them beside this package."""

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.cases import CASES, SMOKE_TEST
from benchmarks.ground import Ground, machine
from benchmarks.measure import Cores, cpu_seconds, machine_busy_seconds
from benchmarks.options import QUICK, Options
from benchmarks.plots import draw
from benchmarks.race import say
from benchmarks.tables import Table

RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    options = _options(given)
    names = given.only or (SMOKE_TEST if given.quick else list(CASES))
    if unknown := sorted(set(names) - set(CASES)):
        sys.exit(f"no measurement is called {', '.join(unknown)}; there are {', '.join(CASES)}")
    began = datetime.now(UTC)
    head = f"# Measured on {began:%Y-%m-%d %H:%M} UTC\n\n{machine()}. {options}\n"
    tables: list[Table] = []
    with Ground() as ground:
        head += f"\n{ground.versions()}.\n"
        print(head)
        for name in names:
            say(f"{name} …")
            others = Cores(by_others)
            measured = CASES[name](ground, options)
            found = judged(measured if isinstance(measured, list) else [measured], options)
            for table in noted(found, others.average()):
                print(table.markdown(), flush=True)
                tables.append(table)
            if given.write:  # each time: hours of figures must not hang on the last of them
                _write("-".join([f"{began:%Y-%m-%d}", *(given.only or [])]), head, tables, given.results)
    if given.write:
        print(f"written to {given.results}")


def judged(tables: Sequence[Table], options: Options) -> Sequence[Table]:
    """A smoke test has no figures that could meet a target."""
    return [replace(table, targets=()) for table in tables] if options.quick else tables


def by_others() -> float:
    """CPU seconds that other programs used of the machine: figures beside a busy one mean less."""
    return machine_busy_seconds() - cpu_seconds([os.getpid()])


def noted(tables: Sequence[Table], cores: float) -> list[Table]:
    words = f"Meanwhile other programs of this machine used {cores:.2f} of its {os.cpu_count()} cores."
    return [replace(table, notes=[*table.notes, words]) for table in tables]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Redrive, its peers and limits.")
    parser.add_argument("--only", action="append", metavar="NAME", help=f"repeatable: {', '.join(CASES)}")
    parser.add_argument("--quick", action="store_true", help="a smoke test of everything in three minutes")
    parser.add_argument("--runs", type=int, help="of each contestant; medians are shown")
    parser.add_argument("--tasks", type=int, help="due tasks of a race")
    parser.add_argument("--rows", type=int, help="stored tasks where many are asked about")
    parser.add_argument("--accounts", type=int, help="accounts where many are asked about")
    parser.add_argument("--busy", type=int, help="accounts that a paced measurement has at most")
    parser.add_argument("--seconds", type=float, help="for which a paced measurement looks")
    parser.add_argument("--minutes", type=float, help="of steady state")
    parser.add_argument("--arrive", type=int, help="tasks per second of steady state")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where files are written")
    parser.add_argument("--no-write", dest="write", action="store_false", help="print only")
    return parser


def _options(given: argparse.Namespace) -> Options:
    options = QUICK if given.quick else Options()
    names = ("runs", "tasks", "rows", "accounts", "busy", "seconds", "minutes", "arrive")
    return replace(options, **{name: getattr(given, name) for name in names if getattr(given, name) is not None})


def _write(name: str, head: str, tables: Sequence[Table], directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    parts = [head]
    for table in tables:
        picture = draw(table, directory / f"{name}-{table.name}.png")
        parts.append(f"{table.markdown()}\n![{table.title}]({picture.name})\n")
    (directory / f"{name}.md").write_text("\n".join(parts))


if __name__ == "__main__":
    main()
