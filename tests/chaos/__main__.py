"""``python -m tests.chaos --minutes 30 --tasks 20000``: exit code 1 when any promise was broken."""

import argparse
import random
import shutil
import signal
import sys
import tempfile
import threading
from pathlib import Path

from rich.console import Console

from tests.chaos.pace import STEADY
from tests.chaos.run import Options, run
from tests.support.processes import Janitor


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5, help="how long things break")
    parser.add_argument("--tasks", type=int, default=None, help="added steadily meanwhile; default: 11 a second")
    parser.add_argument("--database", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--seed", type=int, default=None, help="of the monkey's dice, the tasks and the provider's")
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="and the same as markdown beside it")
    return parser.parse_args()


def _set_at_ctrl_c(enough: threading.Event) -> None:
    """Not an exception, which could come while something is broken and about to be fixed. A second Ctrl-C is one."""

    def once(*_: object) -> None:
        enough.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, once)


def main() -> int:
    """Run, show, write."""
    given, console = _options(), Console()
    options = Options(
        database=given.database,
        seconds=given.minutes * 60,
        tasks=given.tasks if given.tasks is not None else round(given.minutes * 667),
        seed=given.seed if given.seed is not None else random.randrange(10**6),
        pace=STEADY,
        directory=Path(tempfile.mkdtemp(prefix="redrive-chaos-")),
    )
    console.print(f"{options.database}, {options.tasks} tasks, {given.minutes:g} minutes, --seed {options.seed}")
    janitor, enough = Janitor(), threading.Event()
    _set_at_ctrl_c(enough)
    try:
        report = run(options, janitor, lambda words: console.print(words, style="dim"), enough)
    finally:
        janitor.close()
    report.show(console)
    if given.json is not None:
        report.write(given.json)
    if not report.verdict.good:
        console.print(f"The processes' logs are in {options.directory}")
        return 1
    shutil.rmtree(options.directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
