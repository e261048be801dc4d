from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from redrive.models.outcome import Blocked, Cause, Deferred, Outcome, Throttled, Unsent
from redrive.worker.providers.base import Exchange, Token
from tests.unit.providers.exchanges import PROJECT, answered, huawei

USER = {"iam_user": "redrive", "iam_password": "PASSWORD", "iam_domain": "example"}


def test_a_login_asks_for_a_token_of_the_project() -> None:
    """Without any authentication of its own, at the region's IAM, on a path of its own."""
    call = huawei(**USER).login()
    assert call
    assert (call.request.method, call.request.base_url, call.request.path) == (
        "POST",
        "https://iam.ap-southeast-1.myhuaweicloud.com",
        "/v3/auth/tokens",
    )
    assert call.request.query == (("nocatalog", "true"),)
    assert call.limit_path == "/v3/auth/tokens"
    assert not call.request.authenticated
    assert not call.tasks
    assert call.request.json == {
        "auth": {
            "identity": {
                "methods": ["password"],
                "password": {"user": {"name": "redrive", "password": "PASSWORD", "domain": {"name": "example"}}},
            },
            "scope": {"project": {"id": PROJECT}},
        }
    }


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-west-101", "iam.eu-west-101.myhuaweicloud.eu"),
        ("af-north-1", "iam.myhuaweicloud.com"),
        ("cn-north-11", "iam.myhuaweicloud.com"),
        ("cn-north-4", "iam.cn-north-4.myhuaweicloud.com"),
        ("tr-west-1", "iam.tr-west-1.myhuaweicloud.com"),
        ("xx-new-9", "iam.xx-new-9.myhuaweicloud.com"),
    ],
)
def test_where_a_regions_iam_is(region: str, host: str) -> None:
    """Some regions have it under another name; ``iam_url`` wins everywhere."""
    call = huawei(**USER, region=region).login()
    assert call
    assert call.request.base_url == f"https://{host}"
    elsewhere = huawei(**USER, region=region, iam_url="https://iam.example").login()
    assert elsewhere
    assert elsewhere.request.base_url == "https://iam.example"


def test_iam_may_be_elsewhere() -> None:
    """In a private cloud."""
    call = huawei(**USER, iam_url="https://iam.example").login()
    assert call
    assert call.request.base_url == "https://iam.example"


def token(body: object = b"", status: int = 201, **headers: str) -> Token | Outcome:
    return huawei(**USER).token(answered(body, status, **headers))


def valid(**moments: object) -> float:
    found = token({"token": moments}, x_subject_token="T")
    assert isinstance(found, Token)
    assert found.value == "T"
    return found.valid_seconds


@pytest.mark.parametrize("status", [200, 201])
def test_the_token_is_a_header(status: int) -> None:
    """Good for 24 hours where the body does not say, less a margin."""
    assert token(status=status, x_subject_token=" T ") == Token("T", 0.95 * 86_400)


@pytest.mark.parametrize(
    ("moments", "seconds"),
    [
        ({"issued_at": "2026-01-01T00:00:00.000000Z", "expires_at": "2026-01-01T01:00:00.000000Z"}, 3600),
        ({"issued_at": "2026-01-01T00:00:00", "expires_at": "2026-01-01T01:00:00Z"}, 3600),
        ({"issued_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-03T00:00:00Z"}, 86_400),
        ({"issued_at": "2026-01-02T00:00:00Z", "expires_at": "2026-01-01T00:00:00Z"}, 0),
        ({"issued_at": "2026-01-01T00:00:00Z", "expires_at": "soon"}, 86_400),
        ({"issued_at": "2026-01-01T00:00:00Z", "expires_at": None}, 86_400),
        ({}, 86_400),
    ],
)
def test_how_long_a_token_is_good(moments: dict[str, object], seconds: float) -> None:
    """Counted on IAM's clock, at most a day, and always a little less."""
    assert valid(**moments) == pytest.approx(0.95 * seconds)


def test_without_its_issue_our_clock_counts() -> None:
    """There is no other."""
    expires_at = (datetime.now(UTC) + timedelta(hours=2)).isoformat()
    assert valid(expires_at=expires_at) == pytest.approx(0.95 * 7200, abs=5)


NO_TOKEN: list[tuple[Exchange, type[Outcome], Cause | None]] = [
    (answered(status=201), Deferred, None),
    (answered(status=201, x_subject_token=" "), Deferred, None),
    (answered(status=204, x_subject_token="T"), Deferred, None),
    (answered({"error": {"code": 401, "message": "wrong"}}, 401), Blocked, Cause.CREDENTIALS),
    (answered({"error": {"code": 403, "message": "no"}}, 403), Blocked, Cause.CREDENTIALS),
    (answered({"error": {"code": 400, "message": "bad"}}, 400), Blocked, Cause.CREDENTIALS),
    (answered({"error_code": "WKS.0001"}, 404), Blocked, Cause.CREDENTIALS),
    (answered(b"<html>", 404), Blocked, Cause.ADDRESS),
    (answered(b"", 302), Blocked, Cause.ADDRESS),
    (answered(b"", 408), Deferred, None),
    (answered(b"", 429, retry_after="7"), Throttled, None),
    (answered(b"", 503), Throttled, None),
    (answered(b"", 500), Deferred, None),
    (answered(b"", 999), Deferred, None),
    (Exchange(sent=True, error="timed out"), Deferred, None),
    (Exchange(sent=False, error="refused"), Deferred, None),
    (Exchange(sent=False, withheld=True), Unsent, None),
    (replace(answered(status=201, x_subject_token="T"), sent=False), Deferred, None),
]


@pytest.mark.parametrize(("exchange", "expected", "cause"), NO_TOKEN)
def test_a_failed_login_costs_no_task_an_attempt(
    exchange: Exchange, expected: type[Outcome], cause: Cause | None
) -> None:
    """It asked nothing about them: they wait, or the account is paused."""
    found: Any = huawei(**USER).token(exchange)
    assert type(found) is expected
    assert getattr(found, "cause", None) is cause


def test_a_failed_login_says_why() -> None:
    """In IAM's words."""
    found = token({"error": {"code": 401, "message": "The username or password is wrong."}}, 401)
    message = "The username or password is wrong."
    assert found == Blocked(cause=Cause.CREDENTIALS, http_status=401, code="401", message=message)
