"""Accounts: what pauses one, what does not, and who pays for it."""

from datetime import timedelta

import pytest
from sqlalchemy import select

from redrive.models import ledger
from redrive.models.errors import BadInput, SettingsError
from redrive.models.ledger import CallResult, Who, breaker, permits
from redrive.models.ledger.texts import LONGEST, storable
from redrive.models.outcome import (
    Accepted,
    Already,
    Blocked,
    Cause,
    CheckResult,
    Outcome,
    Reading,
    Refused,
    State,
    Throttled,
    Unknown,
    Unreadable,
)
from redrive.models.rules import BreakerRules
from redrive.models.sql.tables import actions
from redrive.models.states import DeadReason, Operation, Status
from tests.support.world import ME, World

FORBIDDEN = Already(http_status=403, code="WKS.0403", message="no permission", forbidden=True)
REFUSED = Refused(reason=DeadReason.REFUSED, code="48004")
PATH = "/script-executions/retry"


def answers(world: World, *told: Outcome) -> list[Status]:
    """One call after the other, each about a task of its own, all recorded; the statuses in the end."""
    world.clock.forward(1)
    ids = [world.add(f"{world.clock.now}-{n}", "desktops") for n in range(len(told))]
    work = world.opened("desktops")
    for task_id, outcome in zip(ids, told, strict=True):
        world.advance(work, [CallResult(PATH, world.clock.now, {task_id: outcome})])
    world.finish(work)
    return [world.task(task_id).status for task_id in ids]


def results(world: World, *told: CheckResult) -> list[int]:
    """One check after the other, each about a task of its own whose retry was accepted; the tasks."""
    world.clock.forward(1)
    ids = world.add_many([f"{world.clock.now} {n}" for n in range(len(told))], "desktops")
    for task_id in ids:
        world.put(task_id, status="retrying", next="check", status_since=world.clock.now)
    looks_again(world, dict(zip(ids, told, strict=True)))
    return ids


def looks_again(world: World, told: dict[int, CheckResult]) -> None:
    for task_id in told:
        world.put(task_id, due_at=world.clock.now)
    work = world.begun("desktops", Operation.CHECK)
    for task_id, look in told.items():
        world.look(work, {task_id: look})
    world.finish(work)


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
    world.advance(work, [CallResult(PATH, world.clock.now, {task_id: FORBIDDEN}) for task_id in ids])
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
        work,
        [CallResult(PATH, world.clock.now, {first.ids[0]: Blocked(cause=Cause.ADDRESS, http_status=404)})],
        [second],
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
    world.advance(work, [CallResult(PATH, opened_at, {1: Blocked(cause=Cause.CREDENTIALS)})])
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
        world.advance(work, [CallResult(PATH, opened_at, {task_id: FORBIDDEN})])
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
    world.advance(work, [CallResult(PATH, world.clock.now, {1: Blocked(cause=Cause.BALANCE)})])
    row = world.account("desktops")
    assert (row["paused_cause"], row["paused_by"], row["paused_reason"]) == ("operator", ME.who, ME.why)
    assert row["probe_at"] is None


def test_a_blocked_check_pauses_too(world: World) -> None:
    world.accepted("1", "desktops")
    world.clock.forward(30)
    world.looked(Blocked(cause=Cause.CREDENTIALS, http_status=401), "desktops")
    assert paused(world) == "credentials"
    assert world.tasks()[1].status is Status.RETRYING


def test_a_good_check_says_nothing_about_a_balance(world: World) -> None:
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


NOT_READABLE = Unreadable(http_status=403, code="WKS.00000403", message="no permission", forbidden=True)


def test_three_forbidden_checks_in_a_row_pause(world: World) -> None:
    """What is retried and can never be checked would be spent for nothing. The words say what is missing."""
    results(world, NOT_READABLE, NOT_READABLE)
    assert paused(world) is None
    results(world, NOT_READABLE)
    assert paused(world) == "credentials"
    reason = world.account("desktops")["paused_reason"]
    assert "code WKS.00000403: no permission" in reason
    assert "permission to read" in reason


@pytest.mark.parametrize("readable", [Reading(state=State.RUNNING), Reading(state=State.MISSING), Unreadable(code="7")])
def test_a_check_that_is_allowed_ends_the_row(world: World, readable: CheckResult) -> None:
    results(world, NOT_READABLE, NOT_READABLE, readable, NOT_READABLE, NOT_READABLE)
    assert paused(world) is None


@pytest.mark.parametrize("neutral", [Unknown(), Throttled(wait_seconds=0.001)], ids=lambda each: each.name)
def test_what_says_nothing_of_permissions_does_not_end_the_row(world: World, neutral: CheckResult) -> None:
    results(world, NOT_READABLE, NOT_READABLE, neutral)
    world.clock.forward(10)
    results(world, NOT_READABLE)
    assert paused(world) == "credentials"


def test_one_task_that_is_forbidden_again_and_again_pauses_nothing(world: World) -> None:
    """It may be somebody else's; three tasks are the account's."""
    (task_id,) = results(world, NOT_READABLE)
    for _ in range(5):
        looks_again(world, {task_id: NOT_READABLE})
    assert paused(world) is None
    results(world, NOT_READABLE)
    assert paused(world) is None
    results(world, NOT_READABLE)
    assert paused(world) == "credentials"


def test_accepted_retries_do_not_hide_forbidden_checks(world: World) -> None:
    for _ in range(2):
        results(world, NOT_READABLE)
        answers(world, Accepted())
    results(world, NOT_READABLE)
    assert paused(world) == "credentials"


def test_good_checks_do_not_hide_forbidden_retries(world: World) -> None:
    for _ in range(2):
        answers(world, FORBIDDEN)
        results(world, Reading(state=State.RUNNING))
    answers(world, FORBIDDEN)
    assert paused(world) == "credentials"
    assert "no permission" in world.account("desktops")["paused_reason"]


def test_rows_of_retries_and_checks_do_not_add_up(world: World) -> None:
    answers(world, FORBIDDEN, FORBIDDEN)
    results(world, NOT_READABLE, NOT_READABLE)
    assert paused(world) is None


@pytest.mark.parametrize("level", [1, 2])
def test_resuming_forgets_forbidden_checks(world: World, level: int) -> None:
    """On the schema before, too."""
    world.database.level = level
    for _ in range(2):
        results(world, NOT_READABLE, NOT_READABLE)
        world.resume("desktops")
    results(world, NOT_READABLE, NOT_READABLE, NOT_READABLE)
    assert paused(world) == "credentials"
    world.resume("desktops")
    results(world, NOT_READABLE, NOT_READABLE)
    assert paused(world) is None


BALANCE = Blocked(cause=Cause.BALANCE, code="41001", message="balance insufficient")
REVOKED = Blocked(cause=Cause.CREDENTIALS, http_status=401, message="key was revoked")
MOVED = Blocked(cause=Cause.ADDRESS, http_status=301, message="check base_url")


def probed(world: World, outcome: Outcome) -> None:
    """The half hour is over: one task tries."""
    world.clock.forward(1800)
    work = world.opened("desktops")
    world.answer(work, outcome)
    world.finish(work)


@pytest.mark.parametrize("newer", [REVOKED, MOVED], ids=lambda each: each.cause.value)
def test_a_newer_cause_replaces_an_older_one(world: World, newer: Blocked) -> None:
    """The operator is not sent to pay when the key was revoked, and nobody tries every half hour."""
    answers(world, BALANCE)
    probed(world, newer)
    row = world.account("desktops")
    assert (row["paused_cause"], row["probe_at"]) == (newer.cause.value, None)
    assert newer.message in row["paused_reason"]
    assert row["paused_at"] == world.clock.now
    world.clock.forward(86_400)
    assert world.claim("desktops").batch is None


def test_and_back(world: World) -> None:
    """Two calls under way: the last answer's cause stands, and with a balance the tries begin."""
    world.ruled("desktops", batch_size=1)
    world.add_many("abc", "desktops")
    works = [world.opened("desktops") for _ in range(3)]
    for work, blocked in zip(works, (BALANCE, REVOKED, BALANCE), strict=True):
        world.answer(work, blocked)
        assert paused(world) == blocked.cause
    assert world.account("desktops")["probe_at"] == world.clock.now + timedelta(seconds=1800)
    assert [row["what"] for row in done(world)] == ["pause"] * 3


@pytest.mark.parametrize("told", [(BALANCE, REVOKED), (REVOKED, BALANCE), (MOVED, REVOKED)])
def test_of_causes_that_are_recorded_together_the_last_stands(world: World, told: tuple[Blocked, Blocked]) -> None:
    world.add_many("ab", "desktops")
    work = world.opened("desktops")
    calls = [CallResult(PATH, world.clock.now, {i: blocked}) for i, blocked in enumerate(told, start=1)]
    world.advance(work, calls)
    assert paused(world) == told[-1].cause


def test_the_same_cause_keeps_its_moment(world: World) -> None:
    """It says since when the account has been paused."""
    answers(world, REVOKED)
    since = world.account("desktops")["paused_at"]
    world.add("1", "desktops")
    world.clock.forward(5)
    with world.begin() as t:
        account = ledger.accounts.locked(t, "desktops")
        assert account is not None
        calls = [(world.clock.now, {1: REVOKED})]
        ledger.accounts.learn(t, account, world.rules["desktops"], Operation.RETRY, calls, probe=False)
    assert world.account("desktops")["paused_at"] == since


def done(world: World) -> list[dict[str, object]]:
    with world.database.reading() as t:
        return t.mappings(select(actions).order_by(actions.c.id))


def opened_breakers(world: World) -> None:
    with world.begin() as t:
        for operation in Operation:
            state = breaker.Breaker(5, 3, world.clock.now + timedelta(seconds=240), None, "broken", (1, 2))
            breaker.store(t, "desktops", operation, state)


def states(world: World) -> list[breaker.Breaker]:
    with world.database.reading() as t:
        return [breaker.load(t, "desktops", operation) for operation in Operation]


def test_resuming_closes_the_breakers(world: World) -> None:
    """Whoever fixed it does not wait ten minutes more; another account's stay as they are."""
    opened_breakers(world)
    world.add("1", "desktops")
    world.resume("phones")
    assert world.claim("desktops").batch is None
    world.resume("desktops")
    assert states(world) == [breaker.Breaker(), breaker.Breaker()]
    assert world.claim("desktops").batch is not None
    assert [row["what"] for row in done(world)] == ["resume", "resume"]


@pytest.mark.parametrize("group", ["", "team"])
def test_penalties_end_by_force_only(world: World, group: str) -> None:
    """Of every path of its limit group; the pace stays."""
    rules = world.ruled("desktops", group=group or "desktops")
    with world.begin() as t:
        ledger.ensure(t, {"desktops": "huawei_workspace"}, {"desktops": group})
        permits.take(t, rules, {PATH: 1}, t.now)
        permits.penalize(t, rules, [(PATH, Throttled(wait_seconds=7200)), ("", Throttled(whole_account=True))])
        permits.penalize(t, world.rules["phones"], [(PATH, Throttled(wait_seconds=7200))])
    world.resume("desktops")
    assert world.limit(PATH, group or "desktops")["blocked_until"] is not None
    with world.begin() as t:
        ledger.resume(t, "desktops", ME, force=True)
        found = permits.paths_of(t, rules)[PATH]
    assert (found.blocked_until, found.throttles, found.why) == (None, 0, "")
    assert found.next_at is not None
    assert world.limit(PATH)["blocked_until"] is not None
    assert done(world)[-1]["detail"] == "penalties ended"


@pytest.mark.parametrize("operation", Operation)
def test_one_may_try_now(world: World, operation: Operation) -> None:
    """Of the operation that is asked for; its answer decides as a probe's always does."""
    opened_breakers(world)
    with world.begin() as t:
        assert ledger.try_one(t, "desktops", operation, ME)
    for each, state in zip(Operation, states(world), strict=True):
        assert state.half_open
        assert state.lets_through(world.clock.now) == (each is operation)
        assert (state.opens, state.why) == (3, "broken")
    assert (done(world)[-1]["what"], done(world)[-1]["detail"]) == ("try one", operation.value)


def test_nobody_tries_where_nothing_is_in_the_way(world: World) -> None:
    """Or where one tries already: two probes would be no probe."""
    with world.begin() as t:
        assert not ledger.try_one(t, "desktops", Operation.RETRY, ME)
    opened_breakers(world)
    world.add_many("ab", "desktops")
    with world.begin() as t:
        assert ledger.try_one(t, "desktops", Operation.RETRY, ME)
    world.claimed("desktops")
    with world.begin() as t:
        assert not ledger.try_one(t, "desktops", Operation.RETRY, ME)
    assert world.claim("desktops").batch is None
    with pytest.raises(BadInput, match="no account named 'nobody'"), world.begin() as t:
        ledger.try_one(t, "nobody", Operation.RETRY, ME)


@pytest.mark.parametrize("cause", [Cause.CREDENTIALS, Cause.BALANCE])
def test_resuming_with_one_task_first(world: World, cause: Cause) -> None:
    """The pause ends, or its probe is due now; one task goes, and the others follow its good answer."""
    world.add_many("abc", "desktops")
    world.retried(Blocked(cause=cause), "desktops")
    with world.begin() as t:
        assert ledger.resume(t, "desktops", ME, one=True)
    world.clock.forward(1)
    work = world.opened("desktops")
    assert len(work.tasks) == 1
    assert world.claim("desktops").batch is None
    world.answer(work, Accepted())
    world.finish(work)
    assert paused(world) is None
    assert world.claimed("desktops").size == 2


HOSTILE = "code \0 \ud800 " + "x" * 5000


def test_what_a_providers_code_returns_can_be_stored(world: World) -> None:
    """NUL, half a surrogate pair, megabytes: pause, penalty, breaker and actions are recorded all the same."""
    world.add_many("ab", "desktops")
    world.retried(Throttled(wait_seconds=0.5, code="\0", message=HOSTILE), "desktops")
    stored = [world.limit(PATH, "desktops")["why"]]
    world.clock.forward(1)
    world.retried(Unknown(message=HOSTILE), "desktops")
    stored.append(states(world)[0].why)
    world.add("c", "desktops")
    world.retried(Blocked(cause=Cause.CREDENTIALS, message=HOSTILE), "desktops")
    stored.append(world.account("desktops")["paused_reason"])
    stored += [str(row["why"]) for row in done(world)]
    assert len(stored) == 4
    assert all("xxx" in words and len(words) <= LONGEST and words.isprintable() for words in stored)


def test_what_people_say_can_be_stored(world: World) -> None:
    who = Who("\0me" + "e" * 300, HOSTILE)
    world.add("1", "desktops")
    with world.begin() as t:
        ledger.pause(t, "desktops", who)
        ledger.act(t, "hold", [1], world.rules, who)
    assert all(len(str(row["who"])) <= 255 and "xxx" in str(row["why"]) for row in done(world))
    assert len(done(world)) == 2
    assert len(world.account("desktops")["paused_by"]) <= 255


@pytest.mark.parametrize(
    ("text", "stored"),
    [(None, ""), (b"\0", "b'\\x00'"), (7, "7"), ("a\0b\udfffc", "ab?c"), ("ä\U0001f600", "ä\U0001f600")],
)
def test_storable(text: object, stored: str) -> None:
    assert storable(text) == stored
