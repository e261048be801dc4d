"""Two schedulers, three workers and an operator, interleaved statement by statement, on both databases."""

import os

import pytest
from hypothesis import HealthCheck, given, settings

from tests.interleaving.house import House
from tests.interleaving.play import Plan, Play
from tests.interleaving.twists import plans

EXAMPLES = int(os.environ.get("REDRIVE_TEST_EXAMPLES", "10"))
"""``REDRIVE_TEST_EXAMPLES=5000``: so many plays on each database instead of seconds' worth."""


# No timeout: a failure is shrunk first, which takes its time.
@pytest.mark.timeout(0)
def test_every_promise_holds_between_any_two_statements(house: House) -> None:
    """Whoever stands between which statements, crashes, hears nothing or comes late: every promise holds."""

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(plan=plans)
    def play(plan: Plan) -> None:
        Play(house, plan).run()

    play()
