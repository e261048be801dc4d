import time
from typing import Any

import httpx
import pytest

from redrive.sandbox import huawei_signatures as signatures
from redrive.sandbox.config import HuaweiLogin
from redrive.sandbox.script import HUAWEI_WORKSPACE, Refusal, Script, make_id
from tests.sandbox.conftest import HUAWEI_TOKEN, PROJECT, Caller, FakeClock, Open

RETRY = f"/v2/{PROJECT}/script-executions/retry"
RECORDS = f"/v2/{PROJECT}/script-execution-records"
NAMES = ("content-type", "host", "x-sdk-date")


def one(script: Script | None = None) -> str:
    return make_id(HUAWEI_WORKSPACE, 1, script or Script())


def statuses(answer: httpx.Response) -> list[str]:
    return [record["status"] for record in answer.json()["script_records"]]


def signed(caller: Caller, *, age: float = 0, access: str = "SANDBOXAK", secret: str = "SANDBOXSK") -> httpx.Request:
    """A retry signed as the vendor's SDK does it."""
    date = time.strftime(signatures.DATE_FORMAT, time.gmtime(caller.clock.now - age))
    request = caller.http.build_request("POST", RETRY, json={"task_id": one()}, headers={"X-Sdk-Date": date})
    value = signatures.sign(
        secret, method="POST", raw_path=RETRY, query="", headers=request.headers, names=NAMES, body=request.content
    )
    listed = f"SignedHeaders={';'.join(NAMES)}"
    request.headers["Authorization"] = f"SDK-HMAC-SHA256 Access={access}, {listed}, Signature={value}"
    return request


def login(caller: Caller, **changed: Any) -> httpx.Response:
    user = {"name": "sandbox-user", "password": "sandbox-password", "domain": {"name": "sandbox-domain"}}
    identity = {"methods": ["password"], "password": {"user": {**user, **changed}}}
    body = {"auth": {"identity": identity, "scope": {"project": {"id": PROJECT}}}}
    return caller.http.post("/v3/auth/tokens", json=body)


def test_a_signed_request(caller: Caller) -> None:
    """A right signature is let in, whatever the clock's difference within a quarter of an hour."""
    assert caller.http.send(signed(caller)).status_code == 200
    assert caller.http.send(signed(caller, age=-900)).status_code == 409


def test_bad_signatures(caller: Caller) -> None:
    """A wrong key, an old date, a body or date that was not the one signed."""
    other_body = signed(caller)
    other_body.stream, other_body.headers["Content-Length"] = httpx.ByteStream(b"{}"), "2"
    other_date = signed(caller)
    other_date.headers["X-Sdk-Date"] = time.strftime(signatures.DATE_FORMAT, time.gmtime(caller.clock.now - 1))
    unsigned_host = signed(caller)
    unsigned_host.headers["Authorization"] = unsigned_host.headers["Authorization"].replace("host;", "")
    requests = [
        signed(caller, secret="wrong"),
        signed(caller, access="wrong"),
        other_body,
        other_date,
        unsigned_host,
        signed(caller, age=901),
    ]
    answers = [caller.http.send(request) for request in requests]
    assert [each.json()["error_code"] for each in answers] == ["APIGW.0301"] * 5 + ["APIGW.0303"]
    assert {each.status_code for each in answers} == {401}


def test_a_temporary_key_needs_its_token(open_sandbox: Open) -> None:
    """A pair of keys that came with a security token is refused without it."""
    caller = open_sandbox(huawei=HuaweiLogin(security_token="sandbox-security"))
    assert caller.http.send(signed(caller)).status_code == 401
    request = signed(caller)
    request.headers["X-Security-Token"] = "sandbox-security"
    assert caller.http.send(request).status_code == 200


def test_a_login_lasts_a_day(caller: Caller, clock: FakeClock) -> None:
    """The token of a password login opens the door for 24 hours."""
    answer = login(caller)
    token = {"X-Auth-Token": answer.headers["X-Subject-Token"]}
    assert (answer.status_code, answer.json()["token"]["methods"]) == (201, ["password"])
    clock.advance(24 * 3600 - 1)
    assert caller.http.get(f"{RECORDS}?script_task_id=1", headers=token).status_code == 200
    clock.advance(1)
    expired = caller.http.get(f"{RECORDS}?script_task_id=1", headers=token)
    assert (expired.status_code, expired.json()["error_code"]) == (401, "APIGW.0307")


@pytest.mark.parametrize("changed", [{"password": "wrong"}, {"name": "wrong"}, {"domain": {"name": "wrong"}}])
def test_a_wrong_login(caller: Caller, changed: Any) -> None:
    """401 in IAM's own format, and no token."""
    answer = login(caller, **changed)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, 401)
    assert "X-Subject-Token" not in answer.headers


def test_a_login_that_cannot_be_read(caller: Caller) -> None:
    """400 in IAM's own format."""
    answer = caller.http.post("/v3/auth/tokens", json={"auth": {}})
    assert (answer.status_code, answer.json()["error"]["title"]) == (400, "Bad Request")


@pytest.mark.parametrize("headers", [{}, {"X-Auth-Token": "wrong"}, {"Authorization": "Bearer x"}])
def test_nobody_in_particular(caller: Caller, headers: dict[str, str]) -> None:
    """401 in the gateway's format."""
    answer = caller.http.post(RETRY, json={"task_id": one()}, headers=headers)
    assert (answer.status_code, answer.json()["error_code"]) == (401, "APIGW.0301")


def test_where_nothing_is(caller: Caller) -> None:
    """Another project, another method, another path: 403, 405 and the gateway's 404."""
    answers = [
        caller.http.post("/v2/other/script-executions/retry", json={"task_id": one()}, headers=HUAWEI_TOKEN),
        caller.http.get(RETRY, headers=HUAWEI_TOKEN),
        caller.http.get(f"/v2/{PROJECT}/elsewhere", headers=HUAWEI_TOKEN),
    ]
    assert [(each.status_code, each.json()["error_code"]) for each in answers] == [
        (403, "WKS.00081102"),
        (405, "WKS.00000405"),
        (404, "APIGW.0101"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"task_id": one(), "record_id": one()},
        {"record_id": [{"record_id": one()}]},
        {"task_id": ""},
        {"task_id": 1},
    ],
)
def test_bodies_that_name_no_one_thing(caller: Caller, body: Any) -> None:
    """Exactly one id, and as the table says: a string. The example's list is refused."""
    answer = caller.execute(**body)
    assert (answer.status_code, answer.json()["error_code"]) == (400, "WKS.00211102")


@pytest.mark.parametrize("kind", ["task_id", "record_id"])
@pytest.mark.parametrize(
    ("refusal", "status"),
    [(Refusal.MISSING, 404), (Refusal.RUNNING, 409), (Refusal.SUCCEEDED, 400), (Refusal.NOT_ALLOWED, 400)],
)
def test_every_refusal(caller: Caller, kind: str, refusal: Refusal, status: int) -> None:
    """By HTTP status, in the page's format."""
    answer = caller.execute(**{kind: one(Script(refusal=refusal))})
    assert (answer.status_code, set(answer.json())) == (status, {"error_code", "error_msg"})
    assert answer.headers["X-Sandbox-Doc"].startswith("Huawei Cloud Workspace: Retrying")


def test_a_retry_under_a_new_id(caller: Caller, clock: FakeClock) -> None:
    """The new task holds records of what had failed; the old ones stay as history."""
    task = one(Script(succeeds_on=1, parts=3))
    before = caller.records(task)
    assert statuses(before) == ["FAILED", "FAILED", "SUCCESS"]
    newer = caller.execute(task_id=task).json()["task_id"]
    assert newer != task
    seen = [statuses(caller.records(newer))]
    for seconds in (0.5, 0.5):
        clock.advance(seconds)
        seen.append(statuses(caller.records(newer)))
    assert seen == [["WAITING"] * 2, ["RUNNING"] * 2, ["SUCCESS"] * 2]
    assert caller.records(task).json() == before.json()


def test_a_retry_under_the_old_id(open_sandbox: Open, clock: FakeClock) -> None:
    """The same records, the failed ones running again."""
    caller = open_sandbox(huawei_new_ids=False)
    task = one(Script(succeeds_on=2, parts=2))
    seen = []
    for _ in range(2):
        assert caller.execute(task_id=task).json() == {"task_id": task}
        seen.append(statuses(caller.records(task)))
        clock.advance(1)
        seen.append(statuses(caller.records(task)))
    assert seen == [["WAITING", "SUCCESS"], ["FAILED", "SUCCESS"], ["WAITING", "SUCCESS"], ["SUCCESS", "SUCCESS"]]


def test_old_and_new_ids_lead_to_one_task(caller: Caller, clock: FakeClock) -> None:
    """A newer id is retried, counted and refused as the task it belongs to."""
    task = one(Script(succeeds_on=None))
    newer = caller.execute(task_id=task).json()["task_id"]
    assert caller.execute(task_id=newer).status_code == 409
    clock.advance(1)
    newest = caller.execute(task_id=newer).json()["task_id"]
    assert len({task, newer, newest}) == 3
    assert caller.sandbox.task(task)[0]["accepted"] == 2
    assert caller.records("t9-" + task).json() == {"count": 0, "script_records": []}


@pytest.mark.parametrize("new_ids", [True, False])
def test_a_record_of_its_own(open_sandbox: Open, clock: FakeClock, *, new_ids: bool) -> None:
    """A record is followed by the task id its retry answered, whichever that is."""
    caller = open_sandbox(huawei_new_ids=new_ids)
    assert caller.record(one()).json()["status"] == "FAILED"
    task_id = caller.execute(record_id=one()).json()["task_id"]
    assert statuses(caller.records(task_id)) == ["WAITING"]
    clock.advance(1)
    (record,) = caller.records(task_id).json()["script_records"]
    assert (record["status"], record["result_code"], record["script_task_id"]) == ("SUCCESS", "0", task_id)
    assert (record["id"] == one()) is not new_ids
    assert caller.record(record["id"]).json()["output"] == "sandbox output"


def test_a_run_that_somebody_else_began(caller: Caller, clock: FakeClock) -> None:
    """It goes under the task's own id and ends there."""
    task = one(Script(refusal=Refusal.RUNNING))
    assert caller.execute(task_id=task).status_code == 409
    assert statuses(caller.records(task)) == ["WAITING"]
    clock.advance(1)
    assert statuses(caller.records(task)) == ["SUCCESS"]
    assert caller.violations == {}


def test_pages(caller: Caller) -> None:
    """offset, limit and status choose; the count is of all that match."""
    task = one(Script(parts=9))
    assert caller.records(task, limit=4, offset=3).json()["count"] == 9
    assert statuses(caller.records(task, limit=4, offset=3)) == ["FAILED", "FAILED", "SUCCESS", "SUCCESS"]
    assert statuses(caller.records(task, status="SUCCESS")) == ["SUCCESS"] * 4
    assert [caller.records(task, limit=limit).status_code for limit in (0, 101, "x")] == [400] * 3


def test_unknown_records(caller: Caller) -> None:
    """A task that is not there has no records, and its record is a 404."""
    missing = one(Script(refusal=Refusal.MISSING))
    assert caller.records(missing).json() == {"count": 0, "script_records": []}
    assert caller.record(missing).status_code == 404


def test_the_gateways_limit(open_sandbox: Open, clock: FakeClock) -> None:
    """429 with the words that tell how long to wait, and every path for itself."""
    caller = open_sandbox(huawei_per_minute=5)
    answers = [caller.execute(task_id=one()) for _ in range(6)]
    assert [each.status_code for each in answers] == [200, 409, 409, 409, 409, 429]
    assert answers[5].json()["error_code"] == "APIGW.0308"
    assert answers[5].json()["error_msg"].endswith("policy user over ratelimit,limit:5,time:1 minute")
    assert caller.records(one()).status_code == 200
    clock.advance(60)
    assert caller.execute(task_id=one()).status_code == 400
