"""Whatever comes back: exactly one outcome or look per task, and never an exception."""

import json
from collections.abc import Mapping
from dataclasses import astuple
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from redrive.models.outcome import CheckResult, Deferred, Outcome, Unknown, Unsent
from redrive.models.states import Operation
from redrive.worker.providers.base import Answer, Exchange, Provider, Split, TaskRef
from tests.unit.providers.exchanges import docflow, geelark, huawei, task

GEELARK = [task(str(number), id=number) for number in range(1, 6)]
HUAWEI = [
    task(str(n), kind, id=i, ref=ref)
    for i, (n, kind, ref) in enumerate([(1, "task", ""), (1, "record", ""), (2, "task", "9"), (3, "record", "9")])
]
DOCFLOW = [
    task("1", "review_task", id=1),
    task("2", "review_task", id=2),
    task("2", "review_rule", id=3, sub_id="3"),
    task("2", "review_rule", id=4, sub_id="4"),
]
PROVIDERS: list[tuple[Provider, list[TaskRef]]] = [
    (geelark(), GEELARK),
    (huawei(), HUAWEI),
    (docflow(archive_results=True), DOCFLOW),
]
every_provider = pytest.mark.parametrize(("provider", "asked"), PROVIDERS, ids=["geelark", "huawei", "docflow"])

NAMES = st.sampled_from(
    [
        "code",
        "msg",
        "message",
        "data",
        "totalAmount",
        "successAmount",
        "failAmount",
        "failDetails",
        "id",
        "items",
        "total",
        "status",
        "failCode",
        "failDesc",
        "cost",
        "scheduleAt",
        "error_code",
        "error_msg",
        "errorCode",
        "task_id",
        "count",
        "script_records",
        "start_time",
        "end_time",
        "result_code",
        "reason",
        "result",
        "groups",
        "review_tasks",
        "rule_id",
        "rule_task_id",
        "review_result",
        "reasoning",
        "statistics",
        "extract_task_ids",
        "token",
        "expires_at",
    ]
)
WORDS = st.sampled_from(
    [
        0,
        1,
        2,
        3,
        4,
        7,
        200,
        40004,
        40006,
        40009,
        48001,
        29998,
        40306,
        "0",
        "1",
        "2",
        "200",
        "40006",
        "SUCCESS",
        "FAIL",
        "WKS.1",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=8), max_leaves=40
)
BODIES = st.binary(max_size=64) | VALUES.map(lambda value: json.dumps(value).encode())
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            "retry-after",
            "date",
            "location",
            "x-subject-token",
            "ratelimit",
            "x-ratelimit-remaining",
            "x-ratelimit-reset",
        ]
    ),
    st.text(max_size=40) | st.sampled_from(["0", "7", '"a";r=0;t=9']),
)
ANSWERS = st.builds(Answer, st.sampled_from([200] * 900 + list(range(100, 1000))), HEADERS, BODIES)
EXCHANGES = ANSWERS.map(lambda answer: Exchange(sent=True, answer=answer)) | st.builds(
    Exchange, sent=st.booleans(), withheld=st.booleans(), error=st.text(max_size=20)
)


def retry(provider: Provider, asked: list[TaskRef], exchange: Exchange) -> dict[int, Any]:
    plan = provider.retries(asked)
    found = dict(plan.refused)
    for call in plan.calls:
        outcomes = provider.outcomes(call, exchange)
        own: Mapping[int, Outcome] = (
            {one.id: outcomes.outcome for one in call.tasks} if isinstance(outcomes, Split) else outcomes
        )
        assert not found.keys() & own.keys()
        found |= own
    return found


def check(provider: Provider, asked: list[TaskRef], exchange: Exchange) -> dict[int, Any]:
    """Every page gets the same answer."""
    plan = provider.checks(asked)
    found = dict(plan.refused)
    for call in plan.calls:
        looked = provider.results(call, exchange)
        while looked.more:
            assert looked.more.tasks == call.tasks
            looked = provider.results(looked.more, exchange)
        assert not found.keys() & looked.results.keys()
        found |= looked.results
    return found


def assert_whole(found: Mapping[int, Any], asked: list[TaskRef], kinds: tuple[type, ...]) -> None:
    assert found.keys() == {one.id for one in asked}
    for one in found.values():
        assert isinstance(one, kinds)
        assert len(one.message) <= 500
        assert one.message.isprintable()
        assert len(one.code) <= 64
        assert len(getattr(one, "mark", "")) <= 64
        assert 0 <= (getattr(one, "wait_seconds", None) or 0) <= 86_400
        assert 0 <= (one.pace or 0) <= 86_400
        assert len(getattr(one, "ref", "")) <= 255
        json.dumps(getattr(one, "result", None), allow_nan=False).encode()


@every_provider
@pytest.mark.parametrize(
    ("exchange", "expected"),
    [
        (Exchange(sent=False, error="refused"), Deferred(message="refused")),
        (Exchange(sent=False, withheld=True), Unsent()),
        (Exchange(sent=True, error="timed out"), Unknown(message="timed out")),
        (Exchange(sent=False, answer=Answer(200, {}, b'{"code":0}')), Deferred()),
    ],
)
def test_without_an_answer_only_bytes_count(
    provider: Provider, asked: list[TaskRef], exchange: Exchange, expected: Outcome
) -> None:
    """What never left cannot have happened, what left may have: for retries and checks alike."""
    for found in (retry(provider, asked, exchange), check(provider, asked, exchange)):
        assert found == {one.id: expected for one in asked}


@every_provider
@settings(max_examples=400, deadline=None, database=None)
@given(exchange=EXCHANGES)
def test_any_exchange_is_one_outcome_and_one_check_per_task(
    provider: Provider, asked: list[TaskRef], exchange: Exchange
) -> None:
    """With words that can be stored and waits that end."""
    assert_whole(retry(provider, asked, exchange), asked, get_args(Outcome))
    assert_whole(check(provider, asked, exchange), asked, get_args(CheckResult))
    provider.token(exchange)


@every_provider
@pytest.mark.parametrize("body", [b"", b"{}", b'{"code":0}', b'{"code":200}'])
def test_every_status_there_is(provider: Provider, asked: list[TaskRef], body: bytes) -> None:
    """From 100 to 999, some of which no standard knows."""
    for status in range(100, 1000):
        exchange = Exchange(sent=True, answer=Answer(status, {}, body))
        assert_whole(retry(provider, asked, exchange), asked, get_args(Outcome))
        assert_whole(check(provider, asked, exchange), asked, get_args(CheckResult))


@every_provider
@pytest.mark.parametrize("depth", [0, 200, 400, 500, 900, 1000, 100_000])
def test_nesting_ends_where_it_must(provider: Provider, asked: list[TaskRef], depth: int) -> None:
    """However deep a body goes under the names that are read."""
    deep = b"[" * depth + b"]" * depth or b"null"
    for name in (b"data", b"result", b"script_records", b"error"):
        for inner in (deep, b'{"task_id":"2","status":2,"statistics":' + deep + b',"groups":[]}'):
            body = b'{"code":200,"' + name + b'":' + inner + b"}"
            exchange = Exchange(sent=True, answer=Answer(200, {}, body))
            assert_whole(retry(provider, asked, exchange), asked, get_args(Outcome))
            assert_whole(check(provider, asked, exchange), asked, get_args(CheckResult))


IDS = st.sampled_from("123") | st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6)
PARAMS = st.dictionaries(st.just("workspace_id"), LEAVES)


@st.composite
def rows(draw: st.DrawFn, provider: Provider) -> list[TaskRef]:
    """Tasks of the provider's kinds, many of the same id."""
    kinds = st.sampled_from([kind.name for kind in provider.capabilities.kinds])
    none = st.just("")
    one = st.builds(TaskRef, st.integers(), kinds, IDS, none | IDS, PARAMS, none, none | IDS)
    return draw(st.lists(one, max_size=30, unique_by=lambda ref: ref.id))


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("provider", [provider for provider, _ in PROVIDERS], ids=["geelark", "huawei", "docflow"])
@settings(max_examples=100, deadline=None, database=None)
@given(data=st.data())
def test_plans_ask_for_everything_once(provider: Provider, operation: Operation, data: st.DataObject) -> None:
    """Every task is in one call or refused, and no retry is asked for twice."""
    asked = data.draw(rows(provider))
    plan = provider.retries(asked) if operation is Operation.RETRY else provider.checks(asked)
    planned = [*(one.id for call in plan.calls for one in call.tasks), *plan.refused]
    assert sorted(planned) == sorted(one.id for one in asked)
    assert {call.limit_path for call in plan.calls} <= provider.capabilities.paths(operation).keys()
    requests = [repr(astuple(call.request)) for call in plan.calls]
    assert operation is Operation.CHECK or len(requests) == len(set(requests))
    bodies = [call.request.json for call in plan.calls if call.request.json]
    assert all(len(set(body["ids"])) == len(body["ids"]) for body in bodies if "ids" in body)
    assert all(len({"ids", "task_id", "record_id"} & set(body)) == 1 for body in bodies)
