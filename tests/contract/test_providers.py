"""What every provider must do, whatever its server does: one right outcome per task, no exception, no secret."""

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.models.outcome import (
    Already,
    Blocked,
    CheckResult,
    Deferred,
    Outcome,
    Reading,
    Throttled,
    Unknown,
    Unreadable,
    Unsent,
)
from redrive.models.states import Operation
from redrive.worker.providers.base import Answer, Call, Exchange, TaskRef, Token
from redrive.worker.scrub import scrubbed
from tests.contract.asking import ask, plan_of, read
from tests.contract.cases import Case, all_cases, operations
from tests.contract.misbehaviour import SENT_WITHOUT_ANSWER, Misbehaviour
from tests.support.calls import client, exchange
from tests.support.long import LONG
from tests.support.peer import Peer, answering, http, serving
from tests.support.servers import free_port

CASES = list(all_cases())
ONE_OF_EACH = list({case.provider: case for case in CASES}.values())
LOGINS = [case for case in CASES if case.build("https://127.0.0.1").login()]


def asking(cases: list[Case]) -> pytest.MarkDecorator:
    """The test runs for each case and operation."""
    pairs = ((case, operation) for case in cases for operation in operations(case))
    return pytest.mark.parametrize(
        ("case", "operation"), [pytest.param(*pair, id="-".join(map(str, pair))) for pair in pairs]
    )


asked = asking(ONE_OF_EACH)
asked_by_all = asking(CASES)
logins = pytest.mark.parametrize("case", LOGINS, ids=str)


# --- plans -------------------------------------------------------------------------------------------------------


@asked_by_all
def test_every_id_is_asked_about_once(case: Case, operation: Operation) -> None:
    """Each task is in one call, no call takes more than the provider does, and each counts against a known path."""
    most = case.capabilities.ids_per_call(operation)
    tasks = case.tasks(2 * most + 1)
    plan = plan_of(case.build("https://127.0.0.1"), operation, tasks)
    assert sorted([*(task.id for call in plan.calls for task in call.tasks), *plan.refused]) == [t.id for t in tasks]
    assert all(len(call.tasks) <= most for call in plan.calls)
    assert {call.limit_path for call in plan.calls} <= case.capabilities.paths(operation).keys()
    requests = repr([call.request for call in plan.calls])
    assert all(requests.count(task.external_id) <= 1 for task in tasks)


@asked_by_all
def test_plans_hold_no_secret(case: Case, operation: Operation) -> None:
    """Calls are values that may be logged; secrets enter with the signature only."""
    provider = case.build("https://127.0.0.1")
    shown = repr(provider) + repr(plan_of(provider, operation, case.tasks()))
    assert not [secret for secret in case.secrets if secret in shown]


@asked_by_all
@pytest.mark.parametrize("kind", ["no such kind", "TASK", " ", "'; --", "\N{SNOWMAN}"])
def test_a_kind_nobody_knows_is_never_asked_about(case: Case, operation: Operation, kind: str) -> None:
    """A row may come past our client: it says what is wrong with it, and its neighbours are asked about."""
    good = case.tasks()
    strange = [
        TaskRef(id=-n, kind=kind, external_id=f"59120{n}", sub_id=sub_id) for n, sub_id in enumerate(("", "7"), 1)
    ]
    plan = plan_of(case.build("https://127.0.0.1"), operation, [*good, *strange])
    assert plan.refused.keys() == {task.id for task in strange}
    assert sorted(task.id for call in plan.calls for task in call.tasks) == [task.id for task in good]
    for refused in plan.refused.values():
        assert isinstance(refused, Deferred)
        assert refused.of_task
        assert f"kind {kind!r} is not known" in refused.message


# --- nothing left, or nothing came back --------------------------------------------------------------------------


@asked
async def test_what_was_not_sent_is_deferred(case: Case, operation: Operation) -> None:
    """A host that refuses costs no attempt."""
    base_url = f"https://127.0.0.1:{free_port()}"
    async with client(base_url, secrets=case.secrets) as http_client:
        results = await ask(case, operation, http_client, base_url)
    assert {type(result) for result in results.values()} == {Deferred}


@asked
async def test_an_untrusted_certificate_defers(case: Case, operation: Operation, server_tls: Any) -> None:
    """Nor does TLS that fails."""
    async with serving(answering(http(200)), tls=server_tls) as server, client(server.https) as http_client:
        results = await ask(case, operation, http_client, server.https)
    assert {type(result) for result in results.values()} == {Deferred}
    assert server.received == b""


@asked
def test_what_we_withheld_is_unsent(case: Case, operation: Operation) -> None:
    """It is nobody's fault and counts for nothing."""
    provider = case.build("https://127.0.0.1")
    for call in plan_of(provider, operation, case.tasks()).calls:
        results = read(provider, operation, call, Exchange(sent=False, withheld=True))
        assert not isinstance(results, Call)
        assert {type(result) for result in results.values()} == {Unsent}


@asked
@pytest.mark.parametrize("misbehaviour", SENT_WITHOUT_ANSWER, ids=str)
async def test_what_was_sent_without_an_answer_is_unknown(
    case: Case, operation: Operation, misbehaviour: Misbehaviour
) -> None:
    """It may have been applied; and each id was asked about once, whatever happened."""
    timeout = misbehaviour.timeout_seconds
    async with serving(misbehaviour.behaviour) as server, client(server.http, timeout_seconds=timeout) as http_client:
        results = await ask(case, operation, http_client, server.http)
        await server.quiet()
    assert {type(result) for result in results.values()} == {Unknown}
    assert all(server.received.count(task.external_id.encode()) <= 1 for task in case.tasks())


# --- answers -----------------------------------------------------------------------------------------------------

PAGE = b"<html>nginx</html>"
NOT_THE_ANSWER = [b"", PAGE, b"null", b"[]", b'"ok"', b"7", b'{"code":', b"\xff\xfe", b"{}", b"[" * 100_000, b"1e999"]


@asked
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *((status, Blocked) for status in (301, 302, 303, 307, 308, 401, 404, 405)),
        *((status, Throttled) for status in (429,)),
        *((status, Unknown) for status in (101, 408, 500, 502, 504, 599)),
        *((status, Already) for status in (400, 403, 409)),
    ],
)
async def test_statuses_of_somebody_in_between(
    case: Case, operation: Operation, status: int, expected: type[Outcome]
) -> None:
    """A gateway's page is no answer of the provider: its status decides, and a check never finds a task refused."""
    answer = http(status, b"" if status == 101 else PAGE, "Location: https://example.com/", "Retry-After: 7")
    async with serving(answering(answer)) as server, client(server.http) as http_client:
        results = await ask(case, operation, http_client, server.http)
    if operation is Operation.CHECK and expected is Already:
        expected = Unreadable if status == 403 else Unknown
    assert {type(result) for result in results.values()} == {expected}
    for result in results.values():
        assert not isinstance(result, Reading)
        assert result.http_status == status
        assert not isinstance(result, Throttled) or result.wait_seconds == 7
        assert not isinstance(result, Already | Unreadable) or result.forbidden == (status == 403)
        assert not isinstance(result, Unknown) or not result.answered


@asked
@pytest.mark.parametrize("body", NOT_THE_ANSWER, ids=lambda body: repr(body[:10]))
async def test_a_success_nobody_can_read_is_unknown(case: Case, operation: Operation, body: bytes) -> None:
    """200 alone proves nothing."""
    async with serving(answering(http(200, body))) as server, client(server.http) as http_client:
        results = await ask(case, operation, http_client, server.http)
    for result in results.values():
        assert isinstance(result, Unknown)
        assert not result.answered


@asked
def test_every_status_with_any_body_is_an_outcome(case: Case, operation: Operation) -> None:
    """100 to 999: one outcome or look per task, and never an exception."""
    provider = case.build("https://127.0.0.1")
    calls = plan_of(provider, operation, case.tasks()).calls
    for status in range(100, 1000):
        for body in (b"", PAGE, b"{}", b'{"code":0}', b'{"code":200}', b'{"task_id":"7"}', b'{"error_code":"X.1"}'):
            for call in calls:
                read(provider, operation, call, Exchange(sent=True, answer=Answer(status, {}, body)))


NAMES = (
    *("code", "msg", "message", "data", "result", "items", "id", "status", "total", "count", "tasks", "reason"),
    *("failDetails", "failAmount", "successAmount", "totalAmount", "failCode", "failDesc", "cost", "scheduleAt"),
    *("error_code", "error_msg", "errorCode", "errorMsg", "error", "task_id", "script_records", "script_task_id"),
    *("groups", "review_tasks", "rule_id", "review_result", "task_status", "token", "start_time", "end_time"),
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["591200000001", "80000004", "0", "200", "40006", "48000", "FAILED", "2021-10-01T12:00:00Z"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=30,
)


@asked
@settings(max_examples=500 if LONG else 75, deadline=None, database=None)
@given(status=st.sampled_from([200, 200, 200, 400, 403, 404, 429, 500, 503, 900]), value=VALUES, retry_after=st.text())
def test_any_json_is_an_outcome(case: Case, operation: Operation, status: int, value: Any, retry_after: str) -> None:
    """Whatever stands under the names it reads, of whatever type: one outcome per task, which the database can keep."""
    provider = case.build("https://127.0.0.1")
    answer = Answer(status, {"retry-after": retry_after, "date": retry_after}, json.dumps(value).encode())
    for call in plan_of(provider, operation, case.tasks()).calls:
        results = read(provider, operation, call, Exchange(sent=True, answer=answer))
        for result in () if isinstance(results, Call) else results.values():
            assert_storable(result)


def assert_storable(result: Outcome | CheckResult) -> None:
    """Text without NUL or half surrogates, a wait that can be added to a moment."""
    for words in (result.code, result.message):
        assert isinstance(words, str)
        assert "\0" not in words
        words.encode()
        assert len(words) <= 500
    if isinstance(result, Throttled) and result.wait_seconds is not None:
        assert 0 <= result.wait_seconds <= 366 * 86_400


# --- secrets -----------------------------------------------------------------------------------------------------


async def echo(peer: Peer, status: int, *, as_json: bool) -> None:
    """Give the request back, as servers do that mean to be helpful."""
    while True:
        request = (await peer.request()).decode()
        told = {name: request for name in NAMES if name != "code"} | {"code": 40003}
        body = json.dumps(told) if as_json else request
        await peer.send(http(status, body.encode(), f"Location: /{request.splitlines()[0]}"))


@asked_by_all
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize("status", [200, 302, 400, 401, 403, 404, 429, 500, 503])
async def test_no_outcome_holds_a_secret(case: Case, operation: Operation, status: int, *, as_json: bool) -> None:
    """A server that repeats the credentials it was sent does not get them into the record."""
    async with serving(partial(echo, status=status, as_json=as_json)) as server, client(server.http) as http_client:
        results = await ask(case, operation, http_client, server.http)
    shown = repr(results)
    assert not [secret for secret in case.secrets if secret in shown]


# --- logins ------------------------------------------------------------------------------------------------------


@logins
@pytest.mark.parametrize("misbehaviour", SENT_WITHOUT_ANSWER, ids=str)
async def test_a_login_without_an_answer_defers(case: Case, misbehaviour: Misbehaviour) -> None:
    """The login was sent, but not the retry behind it: that costs no attempt."""
    timeout = misbehaviour.timeout_seconds
    async with serving(misbehaviour.behaviour) as server, client(server.http, timeout_seconds=timeout) as http_client:
        provider = case.build(server.http)
        call = provider.login()
        assert call
        assert not call.request.authenticated
        result = provider.token(await exchange(http_client, call.request))
        await server.quiet()
    assert isinstance(result, Deferred)
    assert server.connections == 1


@logins
def test_no_answer_to_a_login_costs_an_attempt(case: Case) -> None:
    """Whatever the status: no exception, no token without one, and nothing that counts as a retry sent."""
    provider = case.build("https://127.0.0.1")
    for status in range(100, 1000):
        for body in NOT_THE_ANSWER:
            result = provider.token(Exchange(sent=True, answer=Answer(status, {}, body)))
            assert isinstance(result, Deferred | Throttled | Blocked), (status, body, result)


@logins
async def test_a_failed_login_holds_no_secret(case: Case) -> None:
    """Its body is the password."""
    async with serving(partial(echo, status=401, as_json=True)) as server, client(server.http) as http_client:
        provider = case.build(server.http)
        call = provider.login()
        assert call
        result = provider.token(await exchange(http_client, call.request))
    assert not isinstance(result, Token)
    shown = repr(scrubbed(result, case.secrets))
    assert not [secret for secret in case.secrets if secret in shown]
