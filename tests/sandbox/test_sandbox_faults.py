import json
import socket
from collections.abc import Callable
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from redrive.sandbox.faults import Fault, FaultKind, Faults
from redrive.sandbox.script import GEELARK, Script, make_id
from tests.sandbox.conftest import TOKEN_MODE, Caller, FakeClock

RESTART = "/open/v1/task/restart"
TASK = make_id(GEELARK, 1, Script())
BODY = json.dumps({"ids": [TASK]}).encode()


def send(caller: Caller, path: str = RESTART) -> socket.socket:
    """A restart on a bare socket, whose answer is not read."""
    address = urlsplit(caller.sandbox.url)
    connection = socket.create_connection((address.hostname, address.port), timeout=10)
    headers = {**TOKEN_MODE, "Host": address.netloc, "Content-Type": "application/json", "Content-Length": len(BODY)}
    lines = [f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    connection.sendall("\r\n".join(lines).encode() + BODY)
    return connection


def receive(connection: socket.socket) -> bytes:
    """Everything until the other side closes."""
    with closing(connection):
        return b"".join(iter(lambda: connection.recv(65536), b""))


def told(caller: Caller) -> tuple[int, int]:
    """How often the task was accepted, and how often asked for as far as its caller can know."""
    (task,) = caller.sandbox.task(TASK)
    return task["accepted"], task["asked"]


@pytest.mark.parametrize(
    ("fault", "status", "asked"),
    [
        ({"fault": "status"}, 503, 1),
        ({"fault": "status", "status": 900}, 900, 1),
        ({"fault": "status", "status": 401}, 401, 0),
        ({"fault": "retry_after", "seconds": 9}, 429, 0),
        ({"fault": "redirect"}, 307, 0),
        ({"fault": "garbage"}, 200, 1),
    ],
)
def test_answers_in_the_providers_place(caller: Caller, fault: dict[str, Any], status: int, asked: int) -> None:
    """Nothing is applied; what leaves the caller in doubt counts as asked."""
    caller.sandbox.fault(RESTART, **fault, headers={"X-Extra": "1"})
    answer = caller.http.post(RESTART, json={"ids": [TASK]}, headers=TOKEN_MODE)
    assert (answer.status_code, told(caller)) == (status, (0, asked))
    assert answer.headers["X-Sandbox-Doc"] == f"sandbox: fault {fault['fault']}"
    assert caller.sandbox.stats()["faults"] == {fault["fault"]: 1}


def test_what_such_answers_carry(caller: Caller) -> None:
    """A body, headers, Retry-After, a place to go, bytes that are no JSON."""
    caller.sandbox.fault(RESTART, "status", status=200, body={"code": 41001}, headers={"content-type": "a/b"}, count=1)
    caller.sandbox.fault(RESTART, "retry_after", seconds=9, body="slow down", count=1)
    caller.sandbox.fault(RESTART, "redirect", count=1)
    caller.sandbox.fault(RESTART, "garbage", count=1)
    broke, slow, moved, garbage = (
        caller.http.post(RESTART, json={"ids": [TASK]}, headers=TOKEN_MODE) for _ in range(4)
    )
    assert (broke.json(), broke.headers["Content-Type"]) == ({"code": 41001}, "a/b")
    assert (slow.headers["Retry-After"], slow.text) == ("9", "slow down")
    with pytest.raises(UnicodeDecodeError):
        garbage.json()
    assert caller.violations == {}
    caller.http.get(moved.headers["Location"])
    assert caller.violations["followed_redirect"]["count"] == 1


@pytest.mark.parametrize(("fault", "accepted", "asked"), [("drop_before", 0, 1), ("apply_then_drop", 1, 1)])
def test_dropped_without_an_answer(caller: Caller, fault: str, accepted: int, asked: int) -> None:
    """The connection ends before a byte of the answer; only one of the two was applied."""
    caller.sandbox.fault(RESTART, fault)
    assert receive(send(caller)) == b""
    assert told(caller) == (accepted, asked)


def test_a_reset(caller: Caller) -> None:
    """The caller sees the connection reset, and nothing was applied."""
    caller.sandbox.fault(RESTART, "reset")
    with pytest.raises(ConnectionResetError):
        receive(send(caller))
    assert told(caller) == (0, 1)


def test_dropped_within_the_answer(caller: Caller) -> None:
    """Applied, and half of the body arrives."""
    caller.sandbox.fault(RESTART, "drop_after")
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        caller.restart(TASK)
    assert told(caller) == (1, 1)


def test_a_call_that_hangs_is_over_when_its_caller_hangs_up(
    caller: Caller, eventually: Callable[[Callable[[], bool]], None]
) -> None:
    """Until then the task is unanswered, and a second retry of it overlaps."""
    caller.sandbox.fault(RESTART, "hang", count=1)
    connection = send(caller)
    eventually(lambda: any(task["unanswered"] for task in caller.sandbox.task(TASK)))
    assert caller.restart(TASK)["code"] == 0
    assert caller.violations == {"overlapping_retries": {"count": 1, "examples": [f"geelark {TASK}"]}}
    connection.close()
    eventually(lambda: not caller.sandbox.task(TASK)[0]["unanswered"])


def test_an_answer_that_drips(caller: Caller) -> None:
    """Applied, and all of it arrives in the end."""
    caller.sandbox.fault(RESTART, "drip", seconds=1e-6)
    assert caller.restart(TASK)["code"] == 0
    assert told(caller) == (1, 1)


def test_an_answer_that_is_too_long(caller: Caller) -> None:
    """As many bytes as were asked for."""
    caller.sandbox.fault(RESTART, "oversize", bytes=1 << 20)
    assert len(caller.http.post(RESTART, json={"ids": [TASK]}, headers=TOKEN_MODE).content) == 1 << 20
    assert told(caller) == (0, 1)


def test_a_stale_status(caller: Caller, clock: FakeClock) -> None:
    """Struck calls see what was before the retry, the others what is."""
    before = caller.query(TASK)
    caller.restart(TASK)
    clock.advance(1)
    caller.sandbox.fault("*/query", "stale", count=1)
    assert caller.query(TASK) == before
    assert caller.query(TASK)[0]["status"] == 3


def test_applied_and_denied(caller: Caller) -> None:
    """Any fault can be told to apply the call after all."""
    caller.sandbox.fault(RESTART, "status", status=500, apply=True)
    caller.http.post(RESTART, json={"ids": [TASK]}, headers=TOKEN_MODE)
    assert told(caller) == (1, 1)


def test_faults_over_http(caller: Caller) -> None:
    """Switched on, listed, used up, switched off."""
    for count in (1, None):
        answer = caller.http.post("/_sandbox/faults", json={"path": "/open/*", "fault": "status", "count": count})
        assert answer.status_code == 204
    assert [fault.get("count") for fault in caller.http.get("/_sandbox/faults").json()] == [1, None]
    statuses = [caller.http.post(RESTART).status_code for _ in range(2)]
    assert statuses == [503, 503]
    assert caller.http.get("/_sandbox/faults").json() == [{"path": "/open/*", "fault": "status"}]
    caller.http.delete("/_sandbox/faults")
    assert caller.http.post(RESTART).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        {},
        {"path": "*", "fault": "explode"},
        {"path": "*", "fault": "status", "often": 1},
        {"path": "*", "fault": "drip", "seconds": 0},
    ],
)
def test_faults_that_are_none(caller: Caller, wrong: Any) -> None:
    """Refused with a word on what is wrong, and which there are."""
    answer = caller.http.post("/_sandbox/faults", json=wrong)
    assert (answer.status_code, "drop_before" in answer.json()["faults"]) == (400, True)


def test_a_probability_is_thrown_with_seeded_dice() -> None:
    """The same seed strikes the same calls."""

    def struck(seed: int) -> list[bool]:
        faults = Faults(seed)
        faults.add(Fault(path="/a", fault=FaultKind.STATUS, probability=0.5))
        assert faults.strike("/b") is None
        return [faults.strike("/a") is not None for _ in range(100)]

    assert struck(1) == struck(1) != struck(2)
    assert 20 < sum(struck(1)) < 80
