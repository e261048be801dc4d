from typing import Any

import pytest

from redrive.sandbox.geelark import sign
from redrive.sandbox.script import GEELARK, Detail, Refusal, Script, make_id
from tests.sandbox.conftest import TOKEN_MODE, Caller, FakeClock, Open

RESTART = "/open/v1/task/restart"
TRACE = "D0C0FFEE"


def one(script: Script | None = None, serial: int = 1) -> str:
    return make_id(GEELARK, serial, script or Script())


def key_mode(**changed: str) -> dict[str, str]:
    headers = {"appId": "sandbox-app", "traceId": TRACE, "ts": "1716972892166", "nonce": TRACE[:6]}
    signed = sign(headers["appId"], TRACE, headers["ts"], headers["nonce"], "sandbox-key")
    return {**headers, "sign": signed, **changed}


@pytest.mark.parametrize("headers", [TOKEN_MODE, key_mode()])
def test_both_modes_are_let_in(caller: Caller, headers: dict[str, str]) -> None:
    """A token, or a signature of the key."""
    answer = caller.http.post(RESTART, json={"ids": [one()]}, headers=headers)
    assert answer.headers["X-Sandbox-Doc"] == "GeeLark: Retry Task"
    assert answer.json() == {
        "traceId": headers["traceId"],
        "code": 0,
        "msg": "success",
        "data": {"totalAmount": 1, "successAmount": 1, "failAmount": 0},
    }


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, 40002),
        ({"Authorization": "Bearer sandbox-token"}, 40002),
        ({"traceId": TRACE}, 40003),
        ({**TOKEN_MODE, "Authorization": "Bearer wrong"}, 40003),
        ({**TOKEN_MODE, "Authorization": "sandbox-token"}, 40003),
        (key_mode(sign=key_mode()["sign"].lower()), 40003),
        (key_mode(appId="other"), 40003),
        (key_mode(ts="1716972892167"), 40003),
        (key_mode(traceId="D0C0FFEF"), 40003),
        (key_mode(nonce="000000"), 40003),
    ],
)
def test_bad_credentials(caller: Caller, headers: dict[str, str], code: int) -> None:
    """Nobody gets in without a trace id and a right token or signature, and nothing is touched."""
    assert caller.http.post(RESTART, json={"ids": [one()]}, headers=headers).json()["code"] == code
    assert caller.sandbox.task(one()) == []


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 40001),
        (b"[]", 40001),
        (b"{", 40001),
        (b'{"taskIds":["1"]}', 40004),
        (b'{"ids":[]}', 40004),
        (b'{"ids":"1"}', 40004),
        (b'{"ids":[1]}', 40004),
    ],
)
def test_bad_bodies(caller: Caller, body: bytes, code: int) -> None:
    """A body that cannot be read, or whose ids are no list of strings."""
    headers = {**TOKEN_MODE, "Content-Type": "application/json"}
    assert caller.http.post(RESTART, content=body, headers=headers).json()["code"] == code


@pytest.mark.parametrize(
    ("refusal", "code"),
    [
        (Refusal.LIMIT_REACHED, "48000"),
        (Refusal.RUNNING, "48001"),
        (Refusal.SUCCEEDED, "48001"),
        (Refusal.NOT_ALLOWED, "48001"),
        (Refusal.MISSING, "48002"),
        (Refusal.GONE, "40005"),
        (Refusal.EXPIRED, "48003"),
        (Refusal.APP_VERSION, "48004"),
    ],
)
def test_every_refusal(caller: Caller, refusal: Refusal, code: str) -> None:
    """A refused id has its own code, next to one that is taken."""
    refused, taken = one(Script(refusal=refusal)), one(serial=2)
    answer = caller.restart(refused, taken)
    assert answer["code"] == 40006
    assert [(each["id"], each["code"]) for each in answer["data"]["failDetails"]] == [(refused, code)]
    assert caller.sandbox.task(taken)[0]["accepted"] == 1
    assert caller.restart(refused)["code"] == 40009


def test_a_run_takes_its_time(caller: Caller, clock: FakeClock) -> None:
    """Failed, then waiting, in progress, failed again; then the retry that succeeds."""
    task = one(Script(succeeds_on=2))
    seen = [caller.query(task)[0]["status"]]
    for _ in range(2):
        caller.restart(task)
        for seconds in (0.2, 0.7, 0.2):
            clock.advance(seconds)
            seen.append(caller.query(task)[0]["status"])
    assert seen == [4, 1, 2, 4, 1, 2, 3]
    assert caller.violations == {}


def test_a_restart_of_what_runs_or_succeeded(caller: Caller, clock: FakeClock) -> None:
    """Both are refused with 48001."""
    caller.restart(one())
    assert caller.restart(one())["data"]["failDetails"][0]["code"] == "48001"
    clock.advance(1)
    assert caller.restart(one())["data"]["failDetails"][0]["code"] == "48001"
    assert caller.query(one())[0]["status"] == 3


def test_the_sixth_restart(caller: Caller, clock: FakeClock) -> None:
    """A task can be retried five times."""
    never = one(Script(succeeds_on=None))
    codes = []
    for _ in range(6):
        codes.append(caller.restart(never)["code"])
        clock.advance(1)
    assert codes == [0, 0, 0, 0, 0, 40009]


@pytest.mark.parametrize(
    ("script", "before", "after"),
    [
        (Script(succeeds_on=None), (4, 20003), (4, 20003)),
        (Script("canceled", None), (7, 20005), (4, 20003)),
        (Script(succeeds_on=None, detail=Detail.BUSY), (4, 20002), (4, 20002)),
        (Script(succeeds_on=None, detail=Detail.NETWORK), (4, 29994), (4, 29994)),
        (Script(succeeds_on=None, detail=Detail.PHONE_DELETED), (4, 20003), (4, 29998)),
    ],
)
def test_how_runs_fail(caller: Caller, script: Script, before: tuple[int, int], after: tuple[int, int]) -> None:
    """Status and failCode, before the first retry and after it."""
    shown = []
    for _ in range(2):
        item = caller.query(one(script))[0]
        shown.append((item["status"], item["failCode"]))
        caller.restart(one(script))
        caller.clock.advance(1)
    assert shown == [before, after]


def test_a_deleted_phone_is_restarted_no_more(caller: Caller, clock: FakeClock) -> None:
    """Once the phone is gone, so is the environment."""
    task = one(Script(succeeds_on=None, detail=Detail.PHONE_DELETED))
    caller.restart(task)
    clock.advance(1)
    assert caller.restart(task)["data"]["failDetails"][0]["code"] == "40005"


def test_unknown_ids_are_left_out_of_a_query(caller: Caller) -> None:
    """A query answers for the tasks it knows."""
    assert [item["id"] for item in caller.query(one(Script(refusal=Refusal.MISSING)), one())] == [one()]


@pytest.mark.parametrize(
    ("form", "details"),
    [
        ("strings", {"failDetails": [{"code": "48002"}]}),
        ("numbers", {"failDetails": [{"code": 48002}]}),
        ("object", {"failDetails": {"code": "48002"}}),
        ("null", {"failDetails": None}),
        ("missing", {}),
    ],
)
def test_forms_of_a_partial_refusal(open_sandbox: Open, form: str, details: dict[str, Any]) -> None:
    """Details come in every form that the published page allows."""
    missing = one(Script(refusal=Refusal.MISSING))
    data = open_sandbox(geelark_details=form).restart(missing, one())["data"]
    assert (data.pop("totalAmount"), data.pop("successAmount"), data.pop("failAmount")) == (2, 1, 1)
    written = {"id": missing, "msg": "task does not exist"}
    match details:
        case {"failDetails": [code]}:
            assert data == {"failDetails": [{**written, **code}]}
        case {"failDetails": dict(code)}:
            assert data == {"failDetails": {**written, **code}}
        case _:
            assert data == details


def test_all_refused_without_details(open_sandbox: Open) -> None:
    """The published alternative to 40009 is a bare 40000."""
    answer = open_sandbox(geelark_all_failed=40000).restart(one(Script(refusal=Refusal.MISSING)))
    assert (answer["code"], "data" in answer) == (40000, False)


def test_the_published_minute(caller: Caller, clock: FakeClock) -> None:
    """200 calls a minute and API: the next is refused with 40007, other paths are not, and a minute later it passes."""
    for serial in range(200):
        caller.restart(one(serial=serial))
    assert caller.restart(one(serial=200))["code"] == 40007
    assert len(caller.query(one())) == 1
    assert caller.violations == {"over_rate": {"count": 1, "examples": [f"{RESTART}: minute"]}}
    clock.advance(60)
    assert caller.restart(one(serial=200))["code"] == 0


def test_over_the_hour(open_sandbox: Open, clock: FakeClock) -> None:
    """One call too many in an hour locks the API for two hours with 40014."""
    caller = open_sandbox(geelark_per_hour=2)
    codes = []
    for wait in (0, 1, 1, 7199, 1):
        clock.advance(wait)
        codes.append(caller.restart(one())["code"])
    assert codes == [0, 40009, 40014, 40014, 40009]
    assert caller.violations["over_rate"]["examples"] == [f"{RESTART}: hour"]
    assert caller.violations["call_while_locked"]["count"] == 1


def test_a_lagging_status(open_sandbox: Open, clock: FakeClock) -> None:
    """While the provider lags, a query shows the old end, its start included."""
    caller = open_sandbox(settle_lag_seconds=3.0)
    before = caller.query(one())
    caller.restart(one())
    clock.advance(2)
    assert caller.query(one()) == before
    clock.advance(1)
    assert caller.query(one())[0]["status"] == 3
