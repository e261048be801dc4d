from typing import Any

import pytest

from redrive.sandbox.docflow import RETRY, sign
from redrive.sandbox.script import DOCFLOW, Detail, Refusal, Script, make_id
from tests.sandbox.conftest import STATIC_HEADERS, WORKSPACE, Caller, FakeClock, Open

BODY = b'{"workspace_id":"1234567890","task_id":"31415926"}'


def one(script: Script | None = None) -> str:
    return make_id(DOCFLOW, 1, script or Script())


def hmac_mode(**changed: str) -> dict[str, str]:
    signature = sign("sandbox-secret", timestamp="1760000000", method="POST", path=RETRY, query="", body=BODY)
    return {"x-ti-app-id": "sandbox-app", "x-ti-timestamp": "1760000000", "x-ti-signature": signature, **changed}


def result(caller: Caller, task: str) -> tuple[int, list[int]]:
    """The review's status and those of its rules."""
    told = caller.review("result", task_id=task).json()["result"]
    return told["status"], [rule["review_result"] for rule in told["groups"][0]["review_tasks"]]


@pytest.mark.parametrize("headers", [STATIC_HEADERS, hmac_mode()])
def test_both_modes_are_let_in(caller: Caller, headers: dict[str, str]) -> None:
    """Static headers, or a signature."""
    answer = caller.http.post(RETRY, content=BODY, headers=headers)
    assert answer.json() == {"code": 200, "msg": "success"}
    assert answer.headers["X-Sandbox-Doc"] == "DocFlow: Retry Review Task"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 40101),
        ({"x-ti-app-id": "sandbox-app"}, 40101),
        ({**STATIC_HEADERS, "x-ti-secret-code": "wrong"}, 40102),
        ({**STATIC_HEADERS, "x-ti-app-id": "wrong"}, 40102),
        (hmac_mode(**{"x-ti-timestamp": "1760000001"}), 40102),
        (hmac_mode(**{"x-ti-app-id": "wrong"}), 40102),
        (hmac_mode(**{"x-ti-signature": "0" * 64}), 40102),
    ],
)
def test_bad_credentials(caller: Caller, headers: dict[str, str], code: int) -> None:
    """401, with the platform's code."""
    answer = caller.http.post(RETRY, content=BODY, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert caller.sandbox.task("31415926") == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, 400),
        ({"workspace_id": WORKSPACE}, 400),
        ({"workspace_id": WORKSPACE, "task_id": 1}, 400),
        ({"workspace_id": WORKSPACE, "task_id": "x1"}, 400),
        ({"workspace_id": "1", "task_id": "1"}, 1005006000),
    ],
)
def test_bad_bodies(caller: Caller, body: Any, code: int) -> None:
    """Ids are strings of digits, in a workspace that exists."""
    answer = caller.http.post(RETRY, json=body, headers=STATIC_HEADERS)
    assert (answer.status_code, answer.json()["code"]) == (200, code)


@pytest.mark.parametrize("path", ["retry", "rule/retry"])
@pytest.mark.parametrize(
    ("refusal", "status", "code"),
    [(Refusal.RUNNING, 200, 1005006016), (Refusal.MISSING, 404, 404), (Refusal.NOT_ALLOWED, 200, 400)],
)
def test_every_refusal(caller: Caller, path: str, refusal: Refusal, status: int, code: int) -> None:
    """Of a whole review and of a rule."""
    task = one(Script(refusal=refusal))
    body = {"task_id": task, "rule_id": f"{task}1"} if path == "rule/retry" else {"task_id": task}
    answer = caller.review(path, **body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_a_deleted_review_has_no_result(caller: Caller) -> None:
    """It is not there."""
    assert caller.review("result", task_id=one(Script(refusal=Refusal.MISSING))).status_code == 404


def test_a_rule_of_another_review(caller: Caller) -> None:
    """It is neither shown nor retried."""
    for task, rule in ((one(), f"{one()}2"), (one(Script(refusal=Refusal.RULE_ELSEWHERE)), f"{one()}1")):
        answer = caller.review("rule/retry", task_id=task, rule_id=rule)
        assert (answer.status_code, answer.json()["code"]) == (200, 400)
        shown = caller.review("result", task_id=task).json()["result"]["groups"][0]["review_tasks"]
        assert shown
        assert rule not in [each["rule_id"] for each in shown]


def test_a_whole_review_runs_every_rule(caller: Caller, clock: FakeClock) -> None:
    """In queue, reviewing, failed; then the retry that succeeds."""
    task = one(Script(succeeds_on=2, parts=2))
    seen = [result(caller, task)]
    for _ in range(2):
        assert caller.review("retry", task_id=task).json()["code"] == 200
        for seconds in (0.2, 0.4, 0.4):
            clock.advance(seconds)
            seen.append(result(caller, task))
    assert seen == [(status, [status] * 2) for status in (2, 0, 3, 2, 0, 3, 1)]


def test_a_rule_runs_alone(caller: Caller, clock: FakeClock) -> None:
    """Neither the review's own status nor another rule's changes."""
    task = one(Script(parts=2))
    assert caller.review("rule/retry", task_id=task, rule_id=f"{task}2").json()["code"] == 200
    assert result(caller, task) == (2, [2, 0])
    clock.advance(1)
    assert result(caller, task) == (2, [2, 1])
    assert caller.violations == {}


def test_a_review_while_its_rule_runs(caller: Caller) -> None:
    """Already being processed, either way round, and neither should have been asked."""
    first, second = one(), make_id(DOCFLOW, 2, Script())
    caller.review("rule/retry", task_id=first, rule_id=f"{first}1")
    caller.review("retry", task_id=second)
    answers = [
        caller.review("retry", task_id=first),
        caller.review("rule/retry", task_id=second, rule_id=f"{second}1"),
    ]
    assert [each.json()["code"] for each in answers] == [1005006016] * 2
    assert caller.violations["retry_while_running"]["count"] == 2


@pytest.mark.parametrize(
    ("detail", "failed", "succeeded"), [(Detail.PLAIN, 2, 1), (Detail.RECOGNITION, 7, 1), (Detail.REJECTED, 2, 4)]
)
def test_how_runs_end(caller: Caller, clock: FakeClock, detail: Detail, failed: int, succeeded: int) -> None:
    """Review or recognition failed; approved, or rejected: a verdict."""
    task = one(Script(detail=detail))
    assert result(caller, task) == (failed, [failed])
    caller.review("retry", task_id=task)
    clock.advance(1)
    assert result(caller, task) == (succeeded, [succeeded])
    statistics = caller.review("result", task_id=task).json()["result"]["statistics"]
    assert statistics["failure_count" if succeeded == 4 else "pass_count"] == 1


def test_a_review_may_be_repeated(caller: Caller, clock: FakeClock) -> None:
    """One that succeeded runs again, which is recorded but no violation."""
    for _ in range(2):
        assert caller.review("retry", task_id=one()).json()["code"] == 200
        clock.advance(1)
    assert caller.sandbox.stats()["retries"]["docflow"]["retried_succeeded"] == 1
    assert caller.violations == {}


def test_too_fast(open_sandbox: Open, clock: FakeClock) -> None:
    """40306, until a minute has passed."""
    caller = open_sandbox(docflow_per_minute=2)
    codes = []
    for wait in (0, 0, 0, 60):
        clock.advance(wait)
        codes.append(caller.review("result", task_id="1").json()["code"])
    assert codes == [200, 200, 40306, 200]
    assert caller.http.get(RETRY).status_code == 404
