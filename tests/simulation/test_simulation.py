"""The whole service in virtual time, over and over: nothing a provider may never see, and everything ends."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.simulation.many import Sum, simulated, simulated_over

ROOT = Path(__file__).parents[2]
SEEDS_ON_SQLITE, SEEDS_ON_POSTGRESQL = range(1, 15), range(41, 45)


def summed(sum_: Sum) -> Sum:
    assert not sum_.failed, str(sum_)
    assert sum_.calls > 10 * sum_.seeds, "hardly anything happened"
    assert len(sum_.faults) > 20, "hardly anything failed"
    return sum_


@pytest.mark.timeout(300)
def test_seeds_on_sqlite() -> None:
    """No violation, whatever fails; a seed that has one is printed and replays."""
    sum_ = Sum()
    for report in simulated(SEEDS_ON_SQLITE):
        sum_.add(report)
    assert summed(sum_).seeds == len(SEEDS_ON_SQLITE)


@pytest.mark.timeout(300)
def test_seeds_on_postgresql(new_postgres_database: Callable[[], str]) -> None:
    sum_ = Sum()
    for report in simulated_over([(seed, new_postgres_database()) for seed in SEEDS_ON_POSTGRESQL]):
        sum_.add(report)
    assert summed(sum_).seeds == len(SEEDS_ON_POSTGRESQL)


@pytest.mark.timeout(120)
def test_a_seed_replays_exactly() -> None:
    """Byte for byte, also in a process that orders its sets differently."""
    histories = {_history(seed=12, hash_seed=hash_seed) for hash_seed in ("1", "2")}
    assert len(histories) == 1
    assert histories.pop().count("\n") > 50


def _history(*, seed: int, hash_seed: str) -> str:
    command = [sys.executable, "-m", "tests.simulation", "--seed", str(seed)]
    environ = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(command, cwd=ROOT, env=environ, check=False, capture_output=True, text=True)
    assert done.returncode in {0, 1}, done.stderr
    return done.stdout
