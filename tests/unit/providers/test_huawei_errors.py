from dataclasses import replace
from typing import Any

import pytest

from redrive.models.outcome import Already, Blocked, Cause, Outcome, Refused, Throttled, Unknown, Unreadable
from redrive.models.states import DeadReason
from redrive.worker.providers.huawei_errors import GATEWAY_CODES, failed_check, failure, read_error
from tests.unit.providers.exchanges import answered

WINDOW = "The throttling threshold has been reached: policy user over ratelimit,limit:5,time:1 minute"


def of(status: int, code: str = "", message: str = "words", **headers: str) -> Outcome:
    """What an answer with Huawei's error body means."""
    answer = answered({"error_code": code, "error_msg": message}, status, **headers).answer
    assert answer
    return failure(answer)


def said(status: int, code: str = "", message: str = "words") -> dict[str, Any]:
    return {"http_status": status, "code": code, "message": message}


ADDRESS = "check base_url: words"
ROWS: list[tuple[int, str, Outcome]] = [
    (400, "WKS.0001", Already(**said(400, "WKS.0001"))),
    (409, "WKS.0001", Already(**said(409, "WKS.0001"))),
    (403, "WKS.00081102", Already(forbidden=True, **said(403, "WKS.00081102"))),
    (401, "WKS.0001", Blocked(cause=Cause.CREDENTIALS, **said(401, "WKS.0001"))),
    (404, "WKS.0001", Refused(reason=DeadReason.NOT_FOUND, **said(404, "WKS.0001"))),
    (404, "wks.0001", Refused(reason=DeadReason.NOT_FOUND, **said(404, "wks.0001"))),
    (404, "APIGW.0106", Blocked(cause=Cause.ADDRESS, **said(404, "APIGW.0106", ADDRESS))),
    (404, "Ecs.0114", Blocked(cause=Cause.ADDRESS, **said(404, "Ecs.0114", ADDRESS))),
    (404, "", Blocked(cause=Cause.ADDRESS, **said(404, "", ADDRESS))),
    (405, "WKS.00000405", Blocked(cause=Cause.ADDRESS, **said(405, "WKS.00000405", ADDRESS))),
    (302, "WKS.0001", Blocked(cause=Cause.ADDRESS)),
    (429, "", Throttled(**said(429))),
    (503, "", Throttled(**said(503))),
    (503, "WKS.0001", Throttled(**said(503, "WKS.0001"))),
    (500, "WKS.00211401", Unknown(answered=True, **said(500, "WKS.00211401"))),
    (502, "", Unknown(answered=True, **said(502))),
    (504, "", Unknown(answered=True, **said(504))),
    (400, "APIGW.0201", Already(**said(400, "APIGW.0201"))),
    (403, "APIGW.0801", Already(forbidden=True, **said(403, "APIGW.0801"))),
    (494, "APIGW.0201", Already(**said(494, "APIGW.0201"))),
    (500, "APIGW.0103", Unknown(answered=True, **said(500, "APIGW.0103"))),
    (403, "XAPIG.0301", Already(forbidden=True, **said(403, "XAPIG.0301"))),
]


@pytest.mark.parametrize(("status", "code", "expected"), ROWS)
def test_status_decides(status: int, code: str, expected: Outcome) -> None:
    """Codes only refine it: the same one occurs with different meanings."""
    found = of(status, code)
    assert type(found) is type(expected) if status == 302 else found == expected


CREDENTIALS, BALANCE = Blocked(cause=Cause.CREDENTIALS), Blocked(cause=Cause.BALANCE)
GATEWAY: dict[str, tuple[Outcome, str]] = {
    "0101": (Blocked(cause=Cause.ADDRESS), "check base_url: words"),
    "0303": (CREDENTIALS, "check this machine's clock: words"),
    "0307": (CREDENTIALS, "check the token and the region of base_url: words"),
    "0308": (Throttled(), "words"),
    "0404": (Unknown(answered=True), "words"),
    "0607": (Blocked(cause=Cause.ADDRESS), "check base_url: words"),
    "0613": (Throttled(), "words"),
    **dict.fromkeys(("0301", "0302", "0304", "0305", "0306", "0310", "0311", "0401", "0402"), (CREDENTIALS, "words")),
    "0802": (CREDENTIALS, "words"),
    **dict.fromkeys(("0501", "0502"), (BALANCE, "words")),
}


def test_every_gateway_code_is_tested() -> None:
    """A new row needs a new expectation."""
    assert GATEWAY.keys() == GATEWAY_CODES.keys()


@pytest.mark.parametrize("prefix", ["APIG.", "APIGW.", "apigw."])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 429, 500, 503])
@pytest.mark.parametrize("number", GATEWAY)
def test_the_gateways_own_codes_prove_more(number: str, status: int, prefix: str) -> None:
    """Both prefixes occur, and it is the gateway that speaks, whatever the status."""
    expected, message = GATEWAY[number]
    found = of(status, prefix + number)
    assert found == replace(expected, **said(status, prefix + number, message))


@pytest.mark.parametrize(("status", "code"), [(429, ""), (429, "APIGW.0308"), (403, "APIG.0308")])
@pytest.mark.parametrize(
    ("message", "wait"),
    [
        (WINDOW, 60),
        ("limit:5,time:10 second", 10),
        ("limit:5,time:2 minutes", 120),
        ("LIMIT:5,TIME: 3 HOUR", 10_800),
        ("limit:5,time:1 day", 86_400),
        ("limit:5,time:2 day", 86_400),
        ("limit:0,time:0 second", None),
        ("limit:5,time:00 minute", None),
        ("limit:2000, time:1 minute", 60),
        ("limit:5,time:1 fortnight", None),
        ("limit:5,time:many minutes", None),
        ("slow down", None),
    ],
)
def test_throttling_names_its_window(status: int, code: str, message: str, wait: float | None) -> None:
    """That long, and at most a day."""
    assert of(status, code, message) == Throttled(wait_seconds=wait, **said(status, code, message))


def test_retry_after_wins_over_the_window() -> None:
    """It is the exacter of the two."""
    assert of(429, "APIG.0308", WINDOW, retry_after="7") == Throttled(wait_seconds=7, **said(429, "APIG.0308", WINDOW))
    assert of(503, retry_after="7") == Throttled(wait_seconds=7, **said(503))


@pytest.mark.parametrize(
    "message",
    ["Daily quota used up,limit:1000,time:1 day", "over 1000 calls per day", "1000 calls each day", "1000 a day"],
)
def test_a_daily_quota_is_a_matter_of_money(message: str) -> None:
    """Waiting for a window would loop: the account stops, says so, and is probed."""
    assert of(429, "APIG.0308", message) == Blocked(cause=Cause.BALANCE, **said(429, "APIG.0308", message))


@pytest.mark.parametrize("message", ["daylight saving", "one holiday a week", "Tuesday"])
def test_not_every_day_is_a_daily_quota(message: str) -> None:
    """Only words that mean it."""
    assert isinstance(of(429, "", message), Throttled)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ({"error_code": "C", "error_msg": "M"}, "C", "M"),
        ({"errorCode": "C", "errorMsg": "M"}, "C", "M"),
        ({"code": "C", "message": "M"}, "C", "M"),
        ({"error": {"error_code": "C", "error_msg": "M"}}, "C", "M"),
        ({"error": {"code": 401, "message": "M", "title": "T"}}, "401", "M"),
        ({"request_id": "R", "error": {"errorCode": "C", "errorMsg": "M"}}, "C", "M"),
        ({"error_code": "C"}, "C", '{"error_code": "C"}'),
        ({"error_msg": "M"}, "", "M"),
        ({"error_code": None, "error_msg": None, "code": "C", "message": "M"}, "C", "M"),
        ({"badRequest": {"code": 400, "message": "M"}}, "400", "M"),
        ({"errors": [{"request_id": "R"}, {"error_code": "C", "error_msg": "M"}]}, "C", "M"),
        ({"a": {"b": {"code": "C"}}}, "", '{"a": {"b": {"code": "C"}}}'),
        (b"<h1>Nginx</h1>", "", "<h1>Nginx</h1>"),
        (b"", "", "HTTP 400"),
        ([], "", "[]"),
    ],
)
def test_errors_are_read_in_any_spelling(body: object, code: str, message: str) -> None:
    """At the top or one level down; without any, the raw text stands in."""
    answer = answered(body, 400).answer
    assert answer
    assert failure(answer) == Already(**said(400, code, message))


def test_a_success_is_no_error() -> None:
    """A code in its body proves nothing, not even throttling."""
    assert of(200, "APIGW.0308", WINDOW) == Unknown(answered=True, **said(200, "APIGW.0308", WINDOW))
    assert isinstance(of(200, "APIGW.0301"), Unknown)


@pytest.mark.parametrize("body", [{f"k{n}": {} for n in range(50_000)}, {"errors": [{}] * 50_000}])
def test_an_error_is_not_looked_for_without_end(body: dict[str, object]) -> None:
    """Only the first few places can hold it."""
    body["error"] = {"error_code": "C", "error_msg": "M"}
    answer = answered(body, 400).answer
    assert answer
    assert isinstance(failure(answer), Already)
    assert failure(answer).code == ""


@pytest.mark.parametrize(
    ("body", "own"),
    [
        ({"error_code": "WKS.0001", "error_msg": "M"}, True),
        ({"errorCode": "X", "errorMsg": "M"}, True),
        ({"error_msg": "M"}, True),
        ({"code": "WKS.0001", "message": "M"}, True),
        ({"error": {"code": "APIGW.0201", "message": "M"}}, True),
        ({"error": {"error_code": "X"}}, True),
        ({"code": 400, "message": "M"}, False),
        ({"message": "limit"}, False),
        ({"badRequest": {"code": 400, "message": "x"}}, False),
        (b"<html>", False),
        (b"", False),
    ],
)
def test_whose_words_they_are(body: object, own: bool) -> None:  # noqa: FBT001
    """A fault in Huawei's own words is an answer, and a refusal in them is not a sign of an outage."""
    fault, refusal = answered(body, 500).answer, answered(body, 400).answer
    assert fault
    assert refusal
    for found in (failure(fault), failed_check(fault, *read_error(fault))):
        assert isinstance(found, Unknown)
        assert found.answered is own
    assert isinstance(failed_check(refusal, *read_error(refusal)), Unreadable if own else Unknown)


@pytest.mark.parametrize("body", [{"error_code": "WKS.00000403", "error_msg": "no permission"}, b"<html>"])
def test_a_forbidden_check_says_so(body: object) -> None:
    """Three of them mean that the permission to read is missing."""
    answer = answered(body, 403).answer
    assert answer
    found = failed_check(answer, *read_error(answer))
    assert isinstance(found, Unreadable)
    assert found.forbidden
