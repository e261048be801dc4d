"""What comes in the way of accounts and goes again is a line of the log, once."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert
from structlog.testing import capture_logs

from redrive.models import ledger
from redrive.models.ledger import permits
from redrive.models.outcome import Accepted, Blocked, Cause, Throttled
from redrive.models.sql.tables import limits
from redrive.models.states import Operation
from redrive.scheduler.news import Newspaper
from tests.support.world import ME, World


def seen(world: World, paper: Newspaper) -> list[dict[str, Any]]:
    with capture_logs() as lines, world.database.reading() as t:
        paper.log_changes(t)
    return [{**line, "event": f"{line['log_level']} {line['event']}"} for line in lines]


def test_a_quiet_installation_says_nothing(world: World) -> None:
    world.add("1")
    world.retried(Accepted())
    assert seen(world, Newspaper()) == []


def test_a_pause_is_said_once_and_so_is_its_end(world: World) -> None:
    paper = Newspaper()
    world.add("1")
    world.retried(Blocked(cause=Cause.CREDENTIALS, http_status=401, message="bad token"))
    assert seen(world, paper) == [
        {
            "event": "warning account.paused",
            "log_level": "warning",
            "account": "phones",
            "why": "redrive: HTTP 401: bad token",
        }
    ]
    assert seen(world, paper) == []
    world.resume()
    (line,) = seen(world, paper)
    assert (line["event"], line["account"]) == ("info account.resumed", "phones")


@pytest.mark.parametrize("operation", list(Operation))
def test_a_breaker_that_opens_and_closes_is_said(world: World, operation: Operation) -> None:
    paper = Newspaper()
    row = {"group": "phones", "path": f"#{operation}", "failures": 5, "opens": 1, "why": "timed out"}
    with world.begin() as t:
        t.execute(insert(limits).values(**row, open_until=t.now + timedelta(seconds=30)))
    (line,) = seen(world, paper)
    assert (line["event"], line["where"], line["why"]) == ("warning breaker.opened", operation, "timed out")
    world.clock.forward(60)
    assert seen(world, paper) == [], "half open is open still"
    with world.begin() as t:
        ledger.resume(t, "phones", ME)
    (line,) = seen(world, paper)
    assert (line["event"], line["where"]) == ("info breaker.closed", operation)


@pytest.mark.parametrize(("whole", "where"), [(True, ""), (False, "/open/v1/task/restart")])
def test_a_penalty_is_said_and_ends_by_itself(world: World, *, whole: bool, where: str) -> None:
    paper = Newspaper()
    world.add("1")
    world.opened()
    with world.begin() as t:
        answer = Throttled(wait_seconds=60, code="47001", whole_account=whole)
        permits.penalize(t, world.rules["phones"], [("/open/v1/task/restart", answer)])
    (line,) = seen(world, paper)
    assert (line["event"], line["group"], line.get("where", "")) == ("warning penalty.began", "phones", where)
    assert line["why"] == "code 47001"
    assert line["until"] == "2026-03-01T12:01:00Z"
    world.clock.forward(61)
    (line,) = seen(world, paper)
    assert line["event"] == "info penalty.ended"


PEOPLE: Sequence[Callable[[World], None]] = [World.pause, lambda world: world.pause("desktops")]


@pytest.mark.parametrize("does", PEOPLE)
def test_what_is_so_at_the_start_is_news_too(world: World, does: Callable[[World], None]) -> None:
    """A log that begins during an outage says that there is one."""
    does(world)
    (line,) = seen(world, Newspaper())
    assert (line["event"], line["why"]) == ("warning account.paused", "tests: to see what happens")
