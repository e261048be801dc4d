"""Faults of checks: a retry was accepted, and what the provider then shows of the task is odd, or is not shown.

The check is made 30 s after the retry; what shows before 60 s have passed may be the state from before.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from tests.faults.provider import (
    Reply,
    as_json,
    docflow,
    drop,
    flood,
    geelark,
    huawei,
    items,
    records,
    reset_in_body,
    result,
)
from tests.faults.rows import ONE, PAGE
from tests.support.peer import http


@dataclass(frozen=True)
class LookRow:
    """One fault.

    Attributes:
        fault: its name, which begins with the account it strikes.
        answer: what the provider does with the check.
        becomes: the task's status, with the reason where it is dead.
        again: after how many seconds it is checked again; None: not by itself.
        words: what `redrive explain` says, among other things.
        paused: why the account is, if it is.
        kind: the task's.
    """

    fault: str
    answer: Reply
    becomes: str
    again: float | None
    words: tuple[str, ...]
    paused: str | None = None
    kind: Mapping[str, str] | None = None

    @property
    def account(self) -> str:
        return self.fault.partition(":")[0]

    def __str__(self) -> str:
        return self.fault


def unread(fault: str, answer: Reply, *words: str, kind: Mapping[str, str] | None = None) -> LookRow:
    """It says nothing of the task, which is checked again."""
    said = ("1 check in a row could not be read", "Its check is due in 30 s (12:01:00 UTC).", *words)
    return LookRow(fault, answer, "retrying", 30, said, kind=kind)


def throttled(fault: str, answer: Reply, seconds: float, *words: str) -> LookRow:
    """Nor does this, and the next check comes when the path is free."""
    said = ("Its check has been due", "asked for patience", *words)
    return LookRow(fault, answer, "retrying", seconds, said)


def settling(fault: str, answer: Reply, state: str) -> LookRow:
    """It may be the state from before: not believed, asked again when it must be a new one."""
    said = (f'found "{state}"', "an old state is not taken for a new one")
    return LookRow(fault, answer, "retrying", 30, said)


def ended(fault: str, answer: Reply, becomes: str, *words: str) -> LookRow:
    return LookRow(fault, answer, becomes, None, words)


def pausing(fault: str, answer: Reply, cause: str, *words: str) -> LookRow:
    """Nobody looks while the account is paused."""
    return LookRow(fault, answer, "retrying", None, ("redrive paused account ", *words), cause)


def _failed(code: object) -> bytes:
    return items({}, {"id": ONE, "status": 4, "failCode": code, "failDesc": "phone deleted"})


RECORD = {"kind": "record"}

CHECK_RESULTS = [
    settling("phones: failed so soon", items({ONE: 4}), "failed"),
    settling("phones: failed so soon, as text", items({ONE: "4"}), "failed"),
    ended("phones: succeeded", items({ONE: 3}), "succeeded"),  # which it had not before
    settling("phones: an id twice", items({ONE: 4}, {"id": ONE, "status": 4}, total=1), "failed"),
    settling("desktops: failed so soon", records({"r1": "FAILED"}), "failed"),
    settling("reviews: failed so soon", result(2), "failed"),
    # A run of one of its rules may have changed a review since it was last seen to have failed.
    settling("reviews: a verdict so soon", result(4), "succeeded"),
    LookRow("phones: it runs", items({ONE: 2}), "retrying", 30, ('found "running"',)),
    LookRow("phones: it waits, as text", items({ONE: "1"}), "retrying", 30, ('found "running"',)),
    ended("phones: its phone was deleted", _failed(29998), "dead (resource_gone)", 'gone: 29998 phone deleted"'),
    ended("phones: its phone was deleted, as text", _failed("29998"), "dead (resource_gone)", "29998 phone deleted"),
    settling("phones: another failure", _failed(20003), "failed"),
    LookRow("phones: a whole list without it", items({"2": 4}), "retrying", 30, ('found "missing"',)),
    unread("phones: a list that is not whole", items({"2": 4}, total=2)),
    unread("phones: an item without an id", items({}, {"status": 4})),
    unread("phones: a status nobody knows", items({ONE: 5}), "task status 5 is not known"),
    unread("phones: a status true", items({ONE: True}), "task status missing is not known"),
    unread("phones: no list", geelark(0, data={"items": "none"}), "an answer without a list of tasks"),
    unread("phones: a list without end", items({}, *[{"id": ONE, "status": 4}] * 101), "a list of 101 tasks"),
    unread("phones: an unlisted code", geelark(49999, "what?"), "what?"),
    unread("phones: 40000", geelark(40000, "unknown error"), "unknown error"),
    throttled("phones: 40007", geelark(40007, "slow"), 60, "slow"),
    throttled("phones: 40014", geelark(40014, "locked"), 7200, "locked"),
    LookRow(
        "phones: 503, Retry-After", http(503, b"", "Retry-After: 90"), "retrying", 90, ("Its check is due", "HTTP 503")
    ),
    throttled("phones: 429, Retry-After in years", http(429, b"", "Retry-After: 99999999"), 86_400, "HTTP 429"),
    unread("phones: dropped", drop, "no complete answer: the server closed the connection"),
    unread("reviews: reset in the body", reset_in_body, "no complete answer"),
    unread("desktops: body without end", flood, "answer larger than 1048576 bytes"),
    unread("desktops: a page", http(200, PAGE), "It works!"),
    unread("reviews: not UTF-8", http(200, b"\xff\xfe\x00{")),
    unread("reviews: 500", http(500, b"oops"), "oops"),
    unread("desktops: 999", http(999, b"oops"), "oops"),
    unread("phones: 403", http(403, b"no"), "no"),
    unread("desktops: 403 in its own words", huawei(403, "WKS.00000403", "no"), "workspace:scripts:listRecords"),
    unread("desktops: 409", huawei(409, "WKS.00000409", "busy"), "busy"),
    throttled("desktops: one minute", huawei(429, "APIGW.0308", "limit:5,time:1 minute"), 60, "limit:5"),
    unread("desktops: a word nobody knows", records({"r1": "SKIPPED"}), "record status 'SKIPPED' is not known"),
    ended("desktops: one skipped", records({"r1": "SUCCESS", "r2": "SKIP"}), "succeeded"),
    settling("desktops: one failed, one skipped", records({"r1": "FAILED", "r2": "SKIP"}), "failed"),
    settling("desktops: all skipped", records({"r1": "SKIP", "r2": "skip"}), "failed"),
    LookRow(
        "desktops: one runs, one skipped", records({"r1": "RUNNING", "r2": "SKIP"}), "retrying", 30, ('"running"',)
    ),
    unread("desktops: more than a page", records({f"r{n}": "FAILED" for n in range(101)}), "a page of 101 records"),
    unread("desktops: an error in a success", huawei(200, "WKS.0001", "refused"), "refused"),
    unread("desktops: another record", as_json({"id": "2", "status": "FAILED"}), kind=RECORD),
    unread("reviews: another review", result(2, task_id="2")),
    unread("reviews: a refusal of the check", docflow(400, "no such review"), "no such review"),
    unread("reviews: forbidden", docflow(403, "not yours"), "not yours"),
    LookRow("reviews: not found in words", docflow(400, "review task not found"), "retrying", 30, ('found "missing"',)),
    unread("reviews: a status nobody knows", result(8), "status 8 is not known"),
    throttled("reviews: 40306", docflow(40306, "QPS"), 600, "QPS"),
    LookRow("reviews: 404 in its own words", docflow(404, "x", status=404), "retrying", 30, ('found "missing"',)),
    pausing("phones: 40003", geelark(40003, "bad token"), "credentials", "HTTP 200, code 40003: bad token"),
    pausing(
        "desktops: 401", huawei(401, "APIGW.0301", "bad signature"), "credentials", "code APIGW.0301: bad signature"
    ),
    pausing("reviews: 404 of another server", http(404, PAGE), "address", "check base_url"),
    pausing("phones: 302", http(302, b"", "Location: /elsewhere"), "address", "check base_url: /elsewhere"),
]
