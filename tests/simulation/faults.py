"""What a call can meet at each provider: every refusal, throttle and block it documents, and some it does not."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Literal

from redrive.sandbox.exchange import Reply
from redrive.sandbox.script import DOCFLOW, GEELARK, HUAWEI_WORKSPACE

TOO_LARGE = 17 << 20

How = Literal["answer", "refuse", "slow connect", "drop", "cut", "late", "slow", "limbo"]


@dataclass(frozen=True)
class Fault:
    """What happens to a call.

    Attributes:
        how: answered (with ``reply``, or with the true answer where there is none), not connected to, connected to
            slowly, dropped before any byte of the answer, cut in its middle, answered after the caller gave up,
            answered slowly, or dropped at once although it arrives and is carried out later.
        applies: the call is carried out.
        doubtful: no answer comes that tells its caller what happened, so that it must count.
        penalty: seconds for which this API path must be left alone.
        blocks: the account is told to stop altogether.
        refuses: the reason for which the tasks of the call are refused for good.
        spoils: changes the body of the true answer.
        retries, checks: of which calls.
    """

    name: str
    how: How = "answer"
    reply: Reply | None = None
    applies: bool = False
    doubtful: bool = False
    penalty: float | None = None
    blocks: str = ""
    refuses: str = ""
    doubts: bool = False
    forbids: bool = False
    spoils: Callable[[Any, Random], Any] | None = None
    retries: bool = True
    checks: bool = True
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def hides(self) -> bool:
        """Whether its caller may never know that the call was carried out."""
        return self.applies and (self.doubtful or self.how == "slow")


def _drop(name: str, how: How, *, applies: bool) -> Fault:
    return Fault(name, how, applies=applies, doubtful=True)


SLOW = Fault("slow answer", "slow", applies=True)

NETWORK: Sequence[Fault] = (
    SLOW,
    Fault("connection refused", "refuse"),
    Fault("slow to connect", "slow connect"),
    _drop("dropped before it was applied", "drop", applies=False),
    _drop("dropped after it was applied", "drop", applies=True),
    _drop("answer cut", "cut", applies=True),
    _drop("answer dripped", "late", applies=True),
    _drop("timed out, not applied", "late", applies=False),
    _drop("applied after the connection broke", "limbo", applies=True),
)


def _text(status: int, body: str = "", **headers: str) -> Reply:
    return Reply("simulation", body, status, {name.replace("_", "-"): value for name, value in headers.items()})


def _json(status: int, body: Any) -> Reply:
    return Reply("simulation", body, status)


HTTP: Sequence[Fault] = (
    Fault("500", reply=_text(500, "oops"), doubtful=True),
    Fault("500 after it was applied", reply=_text(500, "oops"), doubtful=True, applies=True),
    Fault("502 in HTML", reply=_text(502, "<html>bad gateway</html>"), doubtful=True),
    Fault("504", reply=_text(504), doubtful=True, applies=True),
    Fault("garbage", reply=_text(200, "\x00\xff{not json"), doubtful=True),
    Fault("garbage after it was applied", reply=_text(200, "{}{"), doubtful=True, applies=True),
    Fault("nothing, applied", reply=_text(200), doubtful=True, applies=True),
    Fault("half a JSON", how="answer", doubtful=True, applies=True, reply=_text(200, '{"code": 0, "data')),
    Fault("status 799", reply=_text(799, "what"), doubtful=True),
    Fault("huge list", reply=_text(200, "[" + "0," * 90_000 + "0]"), doubtful=True),
    Fault("huge nesting, applied", reply=_text(200, "[" * 60_000 + "]" * 60_000), doubtful=True, applies=True),
    Fault("huge number", reply=_text(200, "9" * 120_000), doubtful=True),
    Fault("larger than anybody reads", reply=_text(200, " " * TOO_LARGE), doubtful=True, applies=True),
    Fault("429 with Retry-After", reply=_text(429, "", Retry_After="37"), penalty=37),
    Fault("429 with a long Retry-After", reply=_text(429, "slow down", Retry_After="300"), penalty=300),
    Fault(
        "429 until a date",
        reply=_text(429, "", Retry_After="Sun, 01 Mar 2026 12:01:30 GMT", Date="Sun, 01 Mar 2026 12:00:00 GMT"),
        penalty=90,
    ),
    Fault("429 without a word", reply=_text(429), penalty=5),
    Fault("401", reply=_text(401, "who are you"), blocks="401"),
    Fault("redirect", reply=_text(307, "", Location="https://elsewhere.test/"), blocks="307"),
    Fault("404 page", reply=_text(404, "404 page not found"), blocks="404"),
    Fault("405", reply=_text(405), blocks="405"),
    Fault("403", reply=_text(403, "forbidden"), forbids=True, doubts=True),
    Fault("418", reply=_text(418, "teapot"), doubts=True),
)


def _geelark(code: int, **more: Any) -> Fault:
    return Fault(f"code {code}", reply=_json(200, {"traceId": "x", "code": code, "msg": f"simulated {code}"}), **more)


def _with_data(change: Callable[[dict[str, Any], Random], None]) -> Callable[[Any, Random], Any]:
    def spoil(body: Any, rng: Random) -> Any:
        if isinstance(body, dict) and isinstance(body.get("data"), dict):
            change(body["data"], rng)
        return body

    return spoil


def _amounts_lie(data: dict[str, Any], rng: Random) -> None:
    if "totalAmount" in data:
        data[rng.choice(("totalAmount", "successAmount", "failAmount"))] += rng.choice((-1, 1, 7))


def _ids_not_asked(data: dict[str, Any], _: Random) -> None:
    if "totalAmount" in data:
        data["failDetails"] = [*(data.get("failDetails") or []), {"id": "1234", "code": 48002, "msg": "not asked"}]
    if "items" in data:
        data["items"] = [{"id": "1234", "status": 3}, *data["items"]]
        data["total"] += 1


def _items_left_out(data: dict[str, Any], rng: Random) -> None:
    """The total tells that the list is not whole."""
    if data.get("items"):
        del data["items"][rng.randrange(len(data["items"])) :]


def _unknown_status(data: dict[str, Any], rng: Random) -> None:
    for item in data.get("items") or []:
        item["status"] = rng.choice((9, None, "2.5"))


OF_GEELARK: Sequence[Fault] = (
    *(_geelark(code, doubtful=True) for code in (40000, 50000)),
    _geelark(40001, refuses="refused"),
    _geelark(40004, refuses="refused"),
    _geelark(48001, doubts=True),
    _geelark(49999, doubts=True),
    *(_geelark(code, blocks=str(code)) for code in (40003, 40011, 40012, 40013, 40015, 40016, 41000, 41001)),
    _geelark(40007, penalty=60),
    _geelark(40014, penalty=7200),
    _geelark(40017, penalty=5),
    _geelark(47001, penalty=600),
    _geelark(47002, penalty=600),
    Fault("amounts lie", applies=True, spoils=_with_data(_amounts_lie), checks=False),
    Fault("ids not asked", applies=True, spoils=_with_data(_ids_not_asked)),
    Fault("items left out", applies=True, spoils=_with_data(_items_left_out), retries=False),
    Fault("status not documented", applies=True, spoils=_with_data(_unknown_status), retries=False),
)


def _huawei(status: int, code: str, message: str, **more: Any) -> Fault:
    return Fault(f"{status} {code}", reply=_json(status, {"error_code": code, "error_msg": message}), **more)


_RATE = "The throttling threshold has been reached: policy user over ratelimit,limit:5,time:1 minute"
_DAILY = "The throttling threshold has been reached: daily quota"


def _count_lies(body: Any, rng: Random) -> Any:
    if isinstance(body, dict) and "count" in body:
        body["count"] += rng.choice((-1, 1, 3))
    return body


def _records_left_out(body: Any, _: Random) -> Any:
    if isinstance(body, dict) and body.get("script_records"):
        body["script_records"] = []
    return body


def _record_words(body: Any, rng: Random) -> Any:
    for record in body.get("script_records") or [body] if isinstance(body, dict) else []:
        record["status"] = rng.choice(("PAUSED", "", None))
    return body


OF_HUAWEI: Sequence[Fault] = (
    _huawei(429, "APIGW.0308", _RATE, penalty=60),
    _huawei(429, "APIG.0308", _DAILY, blocks="0308"),
    _huawei(503, "WKS.00000503", "Service unavailable.", penalty=5),
    _huawei(401, "APIGW.0301", "Incorrect IAM authentication information", blocks="0301"),
    _huawei(401, "APIGW.0303", "Incorrect app authentication information", blocks="0303"),
    _huawei(404, "APIGW.0101", "The API does not exist", blocks="0101"),
    _huawei(400, "WKS.00211102", "simulated", doubts=True),
    _huawei(409, "WKS.00000409", "simulated", doubts=True),
    _huawei(403, "WKS.00081102", "simulated", forbids=True, doubts=True),
    _huawei(500, "WKS.00000500", "simulated", doubtful=True, applies=True),
    Fault("no task_id in the answer", doubtful=True, applies=True, reply=_json(200, {"task": "?"}), checks=False),
    Fault("count lies", applies=True, spoils=_count_lies, retries=False),
    Fault("records left out", applies=True, spoils=_records_left_out, retries=False),
    Fault("record words", applies=True, spoils=_record_words, retries=False),
)


def _docflow(code: int, status: int = 200, **more: Any) -> Fault:
    name = f"code {code}" if status == 200 else f"{status} code {code}"
    return Fault(name, reply=_json(status, {"code": code, "msg": f"simulated {code}"}), **more)


def _verdict_words(body: Any, rng: Random) -> Any:
    if isinstance(body, dict) and isinstance(body.get("result"), dict):
        body["result"]["status"] = rng.choice((9, None, "done"))
        for group in body["result"].get("groups") or []:
            for rule in group.get("review_tasks") or []:
                rule["review_result"] = 12
    return body


def _of_another(body: Any, _: Random) -> Any:
    if isinstance(body, dict) and isinstance(body.get("result"), dict):
        body["result"]["task_id"] = "777"
    return body


OF_DOCFLOW: Sequence[Fault] = (
    _docflow(40306, penalty=600),
    _docflow(429, penalty=5),
    *(_docflow(code, 401, blocks=str(code)) for code in (40101, 40102)),
    *(_docflow(code, blocks=str(code)) for code in (40103, 40003, 40400)),
    _docflow(400, doubts=True),
    _docflow(1005006016, doubts=True),
    _docflow(1005006999, doubts=True),
    *(_docflow(code, doubtful=True) for code in (500, 30203, 50011, 50012, 900)),
    _docflow(50207, doubtful=True, applies=True),
    Fault("words for a status", applies=True, spoils=_verdict_words, retries=False),
    Fault("a review not asked", applies=True, spoils=_of_another, retries=False),
)

OF: Mapping[str, Sequence[Fault]] = {
    GEELARK: (*NETWORK, *HTTP, *OF_GEELARK),
    # What Huawei's 503 means is written in its own table, and a bare 401 may only mean that a token grew old.
    HUAWEI_WORKSPACE: (*NETWORK, *HTTP, *OF_HUAWEI),
    DOCFLOW: (*NETWORK, *HTTP, *OF_DOCFLOW),
}


def spoiled(fault: Fault, reply: Reply, rng: Random) -> Reply:
    """The true answer as the fault leaves it."""
    if fault.spoils is None:
        return reply
    return replace(reply, body=fault.spoils(json.loads(reply.content or b"null"), rng))
