"""Accounts: what pauses one, what does not, and who pays for it."""

from datetime import timedelta

import pytest

from models import ledger
from models.errors import BadInput, SettingsError
from models.ledger import Answered
from models.outcome import Accepted, Already, Blocked, Cause, Reading, Refused, State
from models.rules import BreakerRules
from models.states import DeadReason, Status

from .world import ME, World

FORBIDDEN = Already(http_status=403, code="WKS.0403", message="no permission", forbidden=True)
REFUSED = Refused(reason=DeadReason.REFUSED, code="48004")
PATH = "/script-executions/retry"


def answers(world: World, *told: Accepted | Already | Refused | Blocked) -> list[Status]:
    """One call after the other, each about a task of its own, all recorded; the statuses in the end."""
    world.clock.forward(1)
    ids = [world.add(f"{world.clock.now}-{n}", "desktops") for n in range(len(told))]
    work = world.opened("desktops")
    for task_id, outcome in zip(ids, told, strict=True):
        world.advance(work, [Answered(PATH, world.clock.now, {task_id: outcome})])
    world.finish(work)
    return [world.task(task_id).status for task_id in ids]


def paused(world: World) -> str | None:
    cause: str | None = world.account("desktops")["paused_cause"]
    return cause


def test_three_forbidden_in_a_row_pause(world: World) -> None:
    """One 403 may be that task's own; three tasks in a row are the account's."""
    answers(world, FORBIDDEN, FORBIDDEN)
    assert paused(world) is None
    answers(world, FORBIDDEN)
    assert paused(world) == "credentials"
    assert "403" in world.account("desktops")["paused_reason"]
    assert "no permission" in world.account("desktops")["paused_reason"]


@pytest.mark.parametrize("between", [Accepted(), Already(code="409"), REFUSED], ids=lambda a: a.name)
def test_anything_else_breaks_the_row(world: World, between: Accepted | Already | Refused) -> None:
    answers(world, FORBIDDEN, FORBIDDEN, between, FORBIDDEN, FORBIDDEN)
    assert paused(world) is None


def test_three_forbidden_in_one_answer_pause(world: World) -> None:
    """Recorded together or one by one, the row is the same."""
    ids = world.add_many("abc", "desktops")
    work = world.opened("desktops")
    world.advance(work, [Answered(PATH, world.clock.now, {task_id: FORBIDDEN}) for task_id in ids])
    assert paused(world) == "credentials"


def test_a_hundred_refusals_in_a_row_pause(world: World) -> None:
    """Something is wrong with what we ask, not with a hundred tasks; one acceptance ends the row."""
    answers(world, *[REFUSED] * 60, Accepted(), *[REFUSED] * 39)
    assert paused(world) is None
    answers(world, *[REFUSED] * 60)
    assert paused(world) is None
    answers(world, REFUSED)
    assert paused(world) == "refusals"


def test_the_number_of_refusals_is_a_setting(world: World) -> None:
    world.ruled("desktops", breaker=BreakerRules(max_refusals=3))
    answers(world, REFUSED, REFUSED)
    assert paused(world) is None
    answers(world, REFUSED)
    assert paused(world) == "refusals"


def test_blocked_pauses_and_says_why(world: World) -> None:
    """The provider's code and words, who paused, and a record of it; the tasks are due and nothing is spent."""
    statuses = answers(
        world, Blocked(cause=Cause.CREDENTIALS, http_status=401, code="APIGW.0301", message="bad signature")
    )
    row = world.account("desktops")
    assert (row["paused_cause"], row["paused_reason"], row["paused_by"]) == (
        "credentials", "HTTP 401, code APIGW.0301: bad signature", "redrive",
    )  # fmt: skip
    assert statuses == [Status.FAILED]
    task = world.tasks()[1]
    assert (task.spent, task.due_at) == (0, world.clock.now)
    assert world.account()["paused_at"] is None


def test_a_pause_stops_the_batch_under_way(world: World) -> None:
    """The step that records it allows no further call, nor does any other batch of the account."""
    world.ruled("desktops", batch_size=2)
    world.add_many("abcd", "desktops")
    work, other = world.begun("desktops"), world.begun("desktops")
    first, second = world.groups(work)
    world.advance(work, groups=[first])
    step = world.advance(
        work, [Answered(PATH, world.clock.now, {first.ids[0]: Blocked(cause=Cause.ADDRESS, http_status=404)})], [second]
    )
    assert (step.stop, step.permits) == (True, ())
    assert world.open(other).stop
    for each in (work, other):
        world.finish(each)
    assert {task.status for task in world.tasks().values()} == {Status.FAILED}
    assert {len(world.attempts(i)) for i in world.tasks()} == {0, 1}


def test_old_news_pauses_nothing_after_a_resume(world: World) -> None:
    """An answer to what was opened before the operator resumed speaks of the credentials from before."""
    world.add("1", "desktops")
    work = world.opened("desktops")
    opened_at = world.clock.now
    world.pause("desktops")
    world.clock.forward(5)
    world.resume("desktops")
    world.clock.forward(1)
    world.advance(work, [Answered(PATH, opened_at, {1: Blocked(cause=Cause.CREDENTIALS)})])
    assert paused(world) is None
    answers(world, Blocked(cause=Cause.CREDENTIALS))
    assert paused(world) == "credentials"


def test_old_news_does_not_count_towards_a_row(world: World) -> None:
    ids = world.add_many("abc", "desktops")
    work = world.opened("desktops")
    opened_at = world.clock.now
    world.clock.forward(1)
    world.resume("desktops")
    for task_id in ids[:2]:
        world.advance(work, [Answered(PATH, opened_at, {task_id: FORBIDDEN})])
    world.finish(work)
    answers(world, FORBIDDEN)
    assert paused(world) is None


def test_resuming_forgets_the_row(world: World) -> None:
    answers(world, FORBIDDEN, FORBIDDEN)
    world.resume("desktops")
    world.clock.forward(1)
    answers(world, FORBIDDEN, FORBIDDEN)
    assert paused(world) is None


def test_an_operators_pause_is_not_overwritten(world: World) -> None:
    """What the provider says afterwards neither changes the reason nor ends it by a probe."""
    world.add("1", "desktops")
    work = world.opened("desktops")
    world.pause("desktops")
    world.advance(work, [Answered(PATH, world.clock.now, {1: Blocked(cause=Cause.BALANCE)})])
    row = world.account("desktops")
    assert (row["paused_cause"], row["paused_by"], row["paused_reason"]) == ("operator", ME.who, ME.why)
    assert row["probe_at"] is None


def test_a_blocked_look_pauses_too(world: World) -> None:
    world.accepted("1", "desktops")
    world.clock.forward(30)
    world.looked(Blocked(cause=Cause.CREDENTIALS, http_status=401), "desktops")
    assert paused(world) == "credentials"
    assert world.tasks()[1].status is Status.RETRYING


def test_a_good_look_says_nothing_about_a_balance(world: World) -> None:
    """Reading is free; only a retry that goes through proves that the balance is back."""
    world.accepted("1", "desktops")
    world.add("2", "desktops")
    world.retried(Blocked(cause=Cause.BALANCE), "desktops")
    world.clock.forward(1800)
    world.looked(Reading(state=State.RUNNING), "desktops")
    assert paused(world) == "balance"


def test_an_account_keeps_its_provider(world: World) -> None:
    """Its tasks' ids mean something at one provider only."""
    with pytest.raises(SettingsError, match=r"accounts\.phones\.provider: was geelark"), world.begin() as t:
        ledger.ensure(t, {"phones": "docflow"})


def test_an_unknown_account_cannot_be_paused(world: World) -> None:
    with pytest.raises(BadInput, match="no account named 'nobody'"), world.begin() as t:
        ledger.pause(t, "nobody", ME)


def test_what_was_asked_before_a_pause_still_counts(world: World) -> None:
    """Answers under way are recorded while the account is paused."""
    world.add("1", "desktops")
    work = world.opened("desktops")
    world.pause("desktops")
    world.answer(work, Accepted())
    world.finish(work)
    task = world.task(1)
    assert (task.status, task.spent) == (Status.RETRYING, 1)
    assert task.due_at == world.clock.now + timedelta(seconds=30)
