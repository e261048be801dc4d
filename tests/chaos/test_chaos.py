"""Half a minute of chaos; minutes of it are ``make chaos``."""

import os
import random
from pathlib import Path

import pytest

from tests.chaos.pace import QUICK
from tests.chaos.run import Options, run
from tests.support.processes import Janitor

SEED = int(os.environ.get("REDRIVE_TEST_SEED") or random.randrange(10**6))


@pytest.mark.timeout(150)
@pytest.mark.services
@pytest.mark.processes
def test_whatever_breaks_every_task_ends_as_it_must(janitor: Janitor, tmp_path: Path) -> None:
    """Processes, broker, database, network and provider fail at random: no violation, and no task lost."""
    database = ("postgresql", "sqlite")[SEED % 2]
    options = Options(
        database=database, seconds=8, tasks=120, seed=SEED, pace=QUICK, workers=2, directory=tmp_path, least=10
    )
    report = run(options, janitor)
    assert report.verdict.good, "\n".join([f"REDRIVE_TEST_SEED={SEED}", *report.offences])
    assert sum(report.faults.values()) >= 5
