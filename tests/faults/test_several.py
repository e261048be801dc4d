"""Faults that show only with several tasks, calls or accounts: groups, halves, rows of refusals, outages, lies."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from redrive.models.states import Status
from redrive.worker.loop import EventLoop
from tests.faults.everybodys import THOROUGH
from tests.faults.house import House, house
from tests.faults.provider import (
    EXECUTE,
    QUERY,
    RECORDS,
    RESTART,
    RESULT,
    REVIEW,
    RULE,
    Asked,
    Provider,
    Reply,
    details,
    docflow,
    drop,
    geelark,
    huawei,
    items,
    providing,
    records,
    reset_unread,
    result,
)
from tests.faults.test_table import DATABASES, calls_after, quiet_for, stands, waits_on
from tests.support.peer import http
from tests.support.servers import free_port

Build = Callable[..., House]


@pytest.fixture(params=DATABASES if THOROUGH else ["postgresql"])
def build(request: pytest.FixtureRequest, loop: EventLoop, tmp_path: Path) -> Iterator[Build]:
    """Build a house: ``build({"phones": url}, limits={"phones": "concurrency = 1"})``."""
    database = request.getfixturevalue(request.param)
    with ExitStack() as stack:
        yield lambda urls, **more: stack.enter_context(house(database, loop, tmp_path, urls, **more))


@pytest.fixture
def phones(build: Build, provider: Provider) -> House:
    return build({"phones": provider.server.http})


def add(ours: House, account: str, *external_ids: str, **more: Any) -> list[int]:
    return ours.world.add_many(external_ids, ours.names[account], **more)


def statuses(ours: House, ids: list[int]) -> list[str]:
    return [stands(ours, task_id)[0] for task_id in ids]


# --- Nothing left ----------------------------------------------------------------------------------------------------


def unlistened() -> str:
    return f"http://127.0.0.1:{free_port()}"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        pytest.param(unlistened, "not sent: ", id="refused"),
        pytest.param(lambda: "https://redrive.invalid", "not sent: ", id="no such host"),
    ],
)
def test_what_could_not_leave_costs_no_retry(build: Build, url: Callable[[], str], words: str) -> None:
    """Deferred by the first backoff, again and again, past ``max_errors``: nothing is wrong with the task."""
    ours = build({"phones": url()}, policy="max_errors = 3")
    (task_id,) = add(ours, "phones", "1")
    ours.step()
    assert stands(ours, task_id) == ("failed", ["deferred"], 0)
    told = ours.words(task_id)
    assert "it could not be delivered" in told
    assert words in told
    assert "It is due again in 30 s (12:00:30 UTC)" in told
    assert "undeliverable" not in told
    for seconds, attempts in ((27, 1), (3, 2), (27, 2), (3, 3), (27, 3), (3, 4)):
        ours.forward(seconds)
        ours.step()
        assert len(ours.outcomes(task_id)) == attempts
    assert stands(ours, task_id) == ("failed", ["deferred"] * 4, 0)


def test_a_certificate_nobody_knows_lets_nothing_leave(build: Build, loop: EventLoop, tls: Any) -> None:
    with providing(loop, tls=tls) as provider:
        ours = build({"reviews": provider.server.https})
        (task_id,) = add(ours, "reviews", "1")
        ours.step()
        assert stands(ours, task_id) == ("failed", ["deferred"], 0)
        assert "certificate" in ours.words(task_id)
        ours.forward(30)
        ours.step()
        assert ours.outcomes(task_id) == ["deferred", "deferred"]
        assert (provider.server.received, provider.asked) == (b"", [])


def test_a_connection_reset_before_the_request_was_read_is_no_proof(phones: House, provider: Provider) -> None:
    """Bytes had left: whether they were read is not ours to know."""
    provider.unread = reset_unread
    (task_id,) = add(phones, "phones", "1")
    phones.step()
    assert stands(phones, task_id) == ("unknown", ["unknown"], 1)
    provider.unread = None
    assert calls_after(phones, provider, 30) == [QUERY]


# --- Groups ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (geelark(40014, "locked"), 7200),
        (geelark(40007, "slow"), 60),
        (http(429, b"", "Retry-After: 17"), 17),
        (http(503, b"", "Retry-After: 90"), 90),
    ],
    ids=["40014", "40007", "429", "503"],
)
def test_a_penalty_is_the_whole_groups_and_one_paths(
    build: Build, loop: EventLoop, provider: Provider, answer: bytes, seconds: float
) -> None:
    """Two accounts share a quota: neither calls that API. The group's other API and other groups go on."""
    with providing(loop) as second, providing(loop) as third:
        servers = {"phones_a": provider, "phones_b": second, "phones_c": third}
        urls = {account: each.server.http for account, each in servers.items()}
        group = dict.fromkeys(("phones_a", "phones_b"), 'group = "fleet-{phones_a}"')
        ours = build(urls, limits=group)
        provider.next.append(answer)
        add(ours, "phones_a", "1")
        ours.step()
        assert waits_on(ours, RESTART, f"fleet-{ours.names['phones_a']}") == seconds
        (blocked,) = add(ours, "phones_b", "2")
        add(ours, "phones_c", "3")
        (asked_about,) = add(ours, "phones_b", "4", status=Status.RUNNING)
        ours.world.act("retry", asked_about)
        ours.settle()
        assert (second.calls(), third.calls()) == ([QUERY], [RESTART])
        assert f"The provider asked for patience on {RESTART}" in ours.words(blocked)
        assert calls_after(ours, second, seconds) == [RESTART]


def test_a_penalty_on_one_kinds_api_leaves_the_others(build: Build, provider: Provider) -> None:
    """DocFlow retries reviews and rules over two APIs."""
    ours = build({"reviews": provider.server.http})
    provider.always = lambda asked: docflow(40306, "QPS") if asked.path.endswith(RULE) else None
    (rule,) = add(ours, "reviews", "1", sub_id="7")
    at = "2026-03-01T11:00:00+00:00"
    ours.world.put(rule, seen={"state": "failed", "mark": "", "at": at, "first_at": at, "number": 0})
    ours.step()
    assert provider.calls() == [RULE]
    add(ours, "reviews", "2")
    ours.settle()
    assert provider.calls() == [RULE, REVIEW]
    assert waits_on(ours, RULE, ours.names["reviews"]) == 600


def test_waits_that_nobody_names_grow_and_start_again(phones: House, provider: Provider) -> None:
    """5, 10, 20 s; after a call that went through, 5 s."""
    add(phones, "phones", "1")
    provider.next.extend([http(429, b"", "Retry-After: 0"), geelark(40017), http(429, b""), geelark(0), geelark(40017)])
    phones.step()
    for seconds in (5, 10, 20):
        assert calls_after(phones, provider, seconds) == [RESTART]
    add(phones, "phones", "2")
    phones.settle()
    assert len(provider.asked) == 5
    assert calls_after(phones, provider, 5) == [RESTART]


# --- Halves ----------------------------------------------------------------------------------------------------------


def poisoned(bad: str, code: int) -> Callable[[Asked], bytes | None]:
    """GeeLark that refuses a call as a whole for one bad id."""

    def answer(asked: Asked) -> bytes | None:
        return geelark(code, "bad parameter") if bad in asked.body["ids"] else None

    return answer


@pytest.fixture
def patient(build: Build, provider: Provider) -> House:
    """With a lease that leaves room for further calls."""
    return build({"phones": provider.server.http}, lease_seconds=15)


@pytest.mark.parametrize("code", [40001, 40004])
def test_one_bad_id_of_several_dies_alone(patient: House, provider: Provider, code: int) -> None:
    """Halved until it stands alone. Each call takes a permit: the path's next moment is five intervals on."""
    provider.always = poisoned("3", code)
    ids = add(patient, "phones", "1", "2", "3", "4")
    patient.step()
    assert [" ".join(asked.body["ids"]) for asked in provider.asked] == ["1 2 3 4", "1 2", "3 4", "3", "4"]
    assert statuses(patient, ids) == ["retrying", "retrying", "dead (refused)", "retrying"]
    assert [patient.world.task(task_id).spent for task_id in ids] == [1, 1, 0, 1]
    assert f'the provider refused it for good: "HTTP 200, code {code}: bad parameter"' in patient.words(ids[2])
    name = patient.names["phones"]
    interval = patient.deps.rules[name].interval_seconds
    next_at = patient.world.limit(RESTART, name)["next_at"]
    assert (next_at - patient.world.clock.now).total_seconds() == pytest.approx(5 * interval)
    assert patient.world.totals(name)["calls:retry"] == 5


@pytest.mark.parametrize(
    ("answer", "becomes"),
    [
        (geelark(40007, "slow"), "failed"),
        (http(503, b"", "Retry-After: 60"), "unknown"),
    ],
    ids=["40007", "503"],
)
def test_no_half_is_asked_for_once_the_provider_wants_patience(
    patient: House, provider: Provider, answer: bytes, becomes: str
) -> None:
    """The half that met it is what the answer says; the other was not sent, and leaves when the path is free."""
    provider.next.extend([geelark(40004), answer])
    ids = add(patient, "phones", "1", "2", "3", "4")
    patient.step()
    assert [asked.body["ids"] for asked in provider.asked] == [["1", "2", "3", "4"], ["1", "2"]]
    assert statuses(patient, ids) == [becomes, becomes, "failed", "failed"]
    assert patient.outcomes(ids[3]) == ["unsent"]
    patient.forward(50)
    patient.settle()
    assert provider.calls().count(RESTART) == 2, "too early"
    patient.forward(10)
    patient.step()
    assert provider.calls().count(RESTART) == 3


# --- Rows of refusals ------------------------------------------------------------------------------------------------

FORBIDDEN = huawei(403, "WKS.00081102", "no permission")
ONE_CALL = {"desktops": "concurrency = 1", "reviews": "concurrency = 1"}


def test_three_forbidden_tasks_in_a_row_pause_their_account(build: Build, provider: Provider) -> None:
    """The fourth is not asked for; a look at the three is not made either; a resume lets all go on."""
    ours = build({"desktops": provider.server.http}, limits=ONE_CALL)
    provider.next.extend([FORBIDDEN] * 3)
    ids = add(ours, "desktops", "1", "2", "3", "4")
    ours.settle()
    assert provider.calls() == [EXECUTE] * 3
    assert statuses(ours, ids) == ["unknown"] * 3 + ["failed"]
    assert [ours.world.task(task_id).spent for task_id in ids] == [0, 0, 0, 0]
    assert '"HTTP 403: 3 tasks in a row forbidden: HTTP 403, code WKS.00081102: no permission"' in ours.words(ids[3])
    assert quiet_for(ours, provider)
    ours.world.resume(ours.names["desktops"])
    ours.step()
    assert EXECUTE in provider.calls()[3:]


def test_a_success_between_them_shows_that_the_credentials_are_good(build: Build, provider: Provider) -> None:
    ours = build({"desktops": provider.server.http}, limits=ONE_CALL)
    provider.next.extend([FORBIDDEN, FORBIDDEN, provider.well(Asked("POST", EXECUTE, {})), FORBIDDEN])
    ids = add(ours, "desktops", "1", "2", "3", "4")
    ours.step()
    assert statuses(ours, ids) == ["unknown", "unknown", "retrying", "unknown"]
    assert ours.world.account(ours.names["desktops"])["paused_at"] is None


REFUSALS = {"403": FORBIDDEN, "409": huawei(409, "WKS.00000409", "state"), "400": http(400, b"no")}


@pytest.mark.parametrize("answer", REFUSALS.values(), ids=REFUSALS)
def test_a_task_refused_twice_and_found_failed_is_dead_alone(build: Build, provider: Provider, answer: bytes) -> None:
    """Looked at after each refusal; the account goes on."""
    ours = build({"desktops": provider.server.http})
    provider.always = lambda asked: answer if EXECUTE in asked.path else None
    (task_id,) = add(ours, "desktops", "1")
    ours.settle()
    ours.forward(60)  # the state may be an old one until it has settled
    ours.settle()
    assert stands(ours, task_id)[0] == "failed"
    ours.forward(30)
    ours.settle()
    ours.forward(60)
    ours.settle()
    assert stands(ours, task_id) == ("dead (refused)", ["already", "already"], 0)
    assert ours.world.account(ours.names["desktops"])["paused_at"] is None


@pytest.mark.parametrize("sub_id", ["", "7"], ids=["review", "rule"])
@pytest.mark.parametrize("status", [200, 400])
def test_a_review_that_neither_call_finds_ends_within_minutes(
    build: Build, provider: Provider, status: int, sub_id: str
) -> None:
    """Without a retry spent, in the provider's words; a neighbour of the account goes on."""
    ours = build({"reviews": provider.server.http})
    gone = docflow(400, "review task not found", status=status)
    provider.always = lambda asked: gone if asked.body["task_id"] == "1" else None
    (task_id,) = add(ours, "reviews", "1", sub_id=sub_id)
    for _ in range(6):
        ours.settle()
        ours.forward(60)
    task = ours.world.task(task_id)
    assert (str(task.status), str(task.dead_reason), task.spent) == ("dead", "not_found", 0)
    assert "review task not found" in ours.words(task_id)
    assert ours.world.account(ours.names["reviews"])["paused_at"] is None
    (beside,) = add(ours, "reviews", "2")
    ours.settle()
    assert statuses(ours, [beside]) == ["retrying"]


def test_a_refused_retry_that_runs_already_is_followed(phones: House, provider: Provider) -> None:
    """48001 and the check says running: somebody else restarted it."""
    provider.next.append(details(("1", "48001"), code=40009))
    provider.state = "running"
    (task_id,) = add(phones, "phones", "1")
    phones.settle()
    assert provider.calls() == [RESTART, QUERY]
    assert stands(phones, task_id) == ("retrying", ["already"], 0)


# --- Outages ---------------------------------------------------------------------------------------------------------


def test_a_burst_of_server_errors_opens_the_breaker(build: Build, provider: Provider) -> None:
    """Five in a row: the rest waits, one tries after 30 s, then after 60 s; once it is well all go."""
    ours = build({"reviews": provider.server.http}, limits=ONE_CALL)
    provider.always = lambda asked: http(502, b"bad gateway") if asked.path.endswith(REVIEW) else None
    ids = add(ours, "reviews", *map(str, range(1, 10)))
    ours.settle()
    assert provider.calls() == [REVIEW] * 5
    assert statuses(ours, ids) == ["unknown"] * 5 + ["failed"] * 4
    told = ours.words(ids[8])
    assert 'had no usable answer, the last one: "bad gateway"' in told
    assert "One task tries in 30 s (12:00:30 UTC) whether it works again." in told
    ours.forward(27)
    ours.settle()
    assert retries(provider) == 5
    ours.forward(3)
    ours.step()
    assert retries(provider) == 6
    assert "One task tries in 1 min (12:01:30 UTC)" in ours.words(ids[8])
    provider.always = lambda _: None
    ours.forward(60)
    ours.settle()
    assert set(statuses(ours, ids[6:])) == {"retrying"}


STRANGE = {
    "a record's word": ("desktops", records({"r1": "SOMETHING_NEW", "r2": "SUCCESS"})),
    "a refusal of the check": ("desktops", huawei(409, "WKS.00000409", "not now")),
    "a page without end": ("desktops", records({f"r{n}": "SUCCESS" for n in range(101)})),
    "a review's status": ("reviews", result(8)),
    "a bad parameter": ("reviews", docflow(400, "no such review")),
}


@pytest.mark.parametrize(("account", "answer"), STRANGE.values(), ids=STRANGE)
def test_checks_that_nobody_understands_are_not_an_outage(
    build: Build, provider: Provider, account: str, answer: bytes
) -> None:
    """Account and address work: every task has its look, and tasks that come later have theirs."""
    ours = build({account: provider.server.http}, limits={account: "concurrency = 1"})
    ids = add(ours, account, *map(str, range(1, 9)))
    ours.settle()
    provider.always = lambda asked: answer if is_look(asked) else None
    ours.forward(30)
    ours.settle()
    assert sum(map(is_look, provider.asked)) == 8
    provider.always, provider.state = (lambda _: None), "succeeded"
    later = add(ours, account, *map(str, range(11, 14)))
    ours.settle()
    ours.forward(90)
    ours.settle()
    assert set(statuses(ours, [*ids, *later])) == {"succeeded"}


@pytest.mark.parametrize("answer", [http(502, b"<html>"), http(200, b"<html>"), drop], ids=["502", "a page", "dropped"])
@pytest.mark.parametrize("account", ["desktops", "reviews"])
def test_checks_without_a_usable_answer_are_an_outage(
    build: Build, provider: Provider, account: str, answer: Reply
) -> None:
    """Five in a row open the breaker of checks."""
    ours = build({account: provider.server.http}, limits={account: "concurrency = 1"})
    add(ours, account, *map(str, range(1, 9)))
    ours.settle()
    provider.always = lambda asked: answer if is_look(asked) else None
    ours.forward(30)
    ours.settle()
    assert sum(map(is_look, provider.asked)) == 5


def is_look(asked: Asked) -> bool:
    return any(path in asked.path for path in (QUERY, RECORDS, RESULT))


def retries(provider: Provider) -> int:
    return provider.calls().count(REVIEW)


def test_calls_that_were_dropped_are_not_made_again_before_a_check(build: Build, provider: Provider) -> None:
    """The check shows the end of a run that nobody answered for: nothing is retried."""
    ours = build({"reviews": provider.server.http})
    provider.next.append(drop)
    provider.state = "succeeded"
    (task_id,) = add(ours, "reviews", "1")
    ours.step()
    ours.forward(60)  # a review's end is believed once it has settled
    ours.settle()
    assert provider.calls() == [REVIEW, RESULT]
    assert stands(ours, task_id) == ("succeeded", ["unknown"], 1)


# --- Old states ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("then", "becomes"), [("succeeded", "succeeded"), ("failed", "failed")])
def test_an_old_state_is_not_believed_before_it_has_settled(
    phones: House, provider: Provider, then: str, becomes: str
) -> None:
    """Accepted, and "failed" shows on: only what a check asked after ``settle_seconds`` says is the new run's end."""
    (task_id,) = add(phones, "phones", "1")
    phones.step()
    assert calls_after(phones, provider, 30) == [QUERY]
    assert stands(phones, task_id) == ("retrying", ["accepted"], 1)
    provider.state = then
    assert calls_after(phones, provider, 30) == [QUERY]
    assert stands(phones, task_id) == (becomes, ["accepted"], 1)
    if becomes == "failed":
        assert calls_after(phones, provider, 30) == [RESTART]


def test_an_old_success_is_not_believed_either(phones: House, provider: Provider) -> None:
    """It had succeeded, its owner says that it failed since, and the success shows on after the new retry."""
    provider.state = "succeeded"
    (task_id,) = add(phones, "phones", "1")
    phones.step()
    assert calls_after(phones, provider, 30) == [QUERY]
    assert stands(phones, task_id) == ("succeeded", ["accepted"], 1)
    phones.forward(60)
    phones.world.report(task_id, Status.FAILED)
    phones.step()
    assert calls_after(phones, provider, 30) == [QUERY]
    assert stands(phones, task_id) == ("retrying", ["accepted", "accepted"], 2)
    provider.state = "failed"
    assert calls_after(phones, provider, 30) == [QUERY]
    assert stands(phones, task_id)[0] == "failed"


# --- Answers about several -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "becomes"),
    [
        pytest.param(details(("1", 48002)), ["dead (not_found)", "retrying"], id="one failed"),
        pytest.param(
            details(("1", 48002), totalAmount=2, successAmount=1, failAmount=1),
            ["dead (not_found)", "retrying"],
            id="amounts that agree",
        ),
        pytest.param(details(("1", 48002), successAmount=2), ["dead (not_found)", "unknown"], id="two taken"),
        pytest.param(details(("1", 48002), failAmount=2), ["dead (not_found)", "unknown"], id="two failed"),
        pytest.param(details(("1", 48002), totalAmount=3), ["dead (not_found)", "unknown"], id="three asked for"),
        pytest.param(details(("1", 48002), code=40009), ["dead (not_found)", "unknown"], id="all failed, one named"),
        pytest.param(details(("9", 48002)), ["unknown", "unknown"], id="an id not asked for"),
        pytest.param(details(("9", 48002), code=0), ["retrying", "retrying"], id="taken, and an id not asked for"),
        pytest.param(details(("1", 48002), ("1", 48002)), ["dead (not_found)", "retrying"], id="an id twice"),
        pytest.param(
            details(("1", 48002), ("1", 48002), failAmount=2), ["dead (not_found)", "unknown"], id="an id counted twice"
        ),
        pytest.param(details(("1", 48002), (None, 48002)), ["dead (not_found)", "unknown"], id="one without an id"),
    ],
)
def test_an_answer_about_two_tasks(phones: House, provider: Provider, answer: bytes, becomes: list[str]) -> None:
    """What it says of an id stands; who is not named was accepted only if no other reading is left."""
    provider.next.append(answer)
    ids = add(phones, "phones", "1", "2")
    phones.step()
    assert statuses(phones, ids) == becomes


@pytest.mark.parametrize(
    ("answer", "becomes"),
    [
        pytest.param(items({"2": 2}), ["failed", "retrying"], id="a whole list without one"),
        pytest.param(items({"2": 2}, total=2), ["unknown", "retrying"], id="a list that is not whole"),
        pytest.param(items({"9": 3, "2": 2}), ["failed", "retrying"], id="an id not asked for in its place"),
    ],
)
def test_a_check_at_two_tasks_that_shows_one(
    phones: House, provider: Provider, answer: bytes, becomes: list[str]
) -> None:
    """After settling, a task that a whole list does not show was not retried: the retry call is asked again."""
    provider.next.append(drop)
    ids = add(phones, "phones", "1", "2")
    phones.step()
    phones.forward(60)
    provider.next.append(answer)
    phones.step()
    assert statuses(phones, ids) == becomes
