"""The published and computed check values of the three signature schemes."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from redrive.worker.providers.docflow import docflow_headers
from redrive.worker.providers.geelark import geelark_headers
from redrive.worker.providers.huawei_workspace import huawei_headers
from tests.unit.providers.exchanges import PROJECT, docflow, geelark, huawei, signed

RETRY = "https://workspace.ap-southeast-1.myhuaweicloud.com/v2/{}/script-executions/retry"
REVIEW = "https://docflow.textin.ai/api/app-api/sip/platform/v2/review/task/retry"


def post(url: str, body: bytes = b"", method: str = "POST") -> httpx.Request:
    return httpx.Request(method, url, content=body, headers={"Content-Type": "application/json"})


def test_geelark_key() -> None:
    """The example of GeeLark's Request Instructions."""
    headers = geelark_headers(
        "eH6gQR4oHr3FsZpI36La01IW",
        "YjmFIUuq0oJgSDJ42fxLEb6R1qjjqf",
        trace_id="db6094ab-3797-4186-84d5-b0b58eebad56",
        at=datetime.fromtimestamp(1716972892.166, UTC),
    )
    assert headers == {
        "appId": "eH6gQR4oHr3FsZpI36La01IW",
        "traceId": "db6094ab-3797-4186-84d5-b0b58eebad56",
        "ts": "1716972892166",
        "nonce": "db6094",
        "sign": "6280C080AF7C3CCE168F15C913E3444A00A618CB0E16038EED9811D6E3366BDD",
    }


HUAWEI: dict[str, Any] = {
    "access_key": "AKEXAMPLE",
    "secret_key": "SKEXAMPLE",
    "project_id": PROJECT,
    "security_token": None,
    "at": datetime(2026, 2, 10, tzinfo=UTC),
}


def test_huawei_access_key() -> None:
    """A value computed with Huawei's own signer."""
    request = post(RETRY.format(PROJECT), b'{"task_id":"0000000059071dbc01591661d3990019"}')
    headers = huawei_headers(request, **HUAWEI)
    assert headers == {
        "X-Project-Id": PROJECT,
        "X-Sdk-Date": "20260210T000000Z",
        "Authorization": "SDK-HMAC-SHA256 Access=AKEXAMPLE, "
        "SignedHeaders=content-type;host;x-project-id;x-sdk-date, "
        "Signature=7d496f617510b1c3349844165ee38f4bae60d8ee594a39d9b5ac78a88c8a777f",
    }


@pytest.mark.parametrize(
    ("path", "signature"),
    [
        (
            "/a~b%2Fc%20d?script_task_id=a%2Fb~c%20d&limit=100&offset=0",
            "61bdc45441abde2b7b46d89cb6dde3302d64a04096eba84fb8743867515d1afd",
        ),
        ("/a%2F", "0491efd223b89338bcb5d91c551e67cc406bfa1e8493b9b079ae46430b34ea44"),
    ],
)
def test_huawei_path_and_query(path: str, signature: str) -> None:
    """Values computed with Huawei's own signer, of a GET without content type."""
    base = f"https://workspace.ap-southeast-1.myhuaweicloud.com/v2/{PROJECT}/script-execution-records"
    headers = huawei_headers(httpx.Request("GET", base + path), **HUAWEI)
    assert headers["Authorization"] == (
        f"SDK-HMAC-SHA256 Access=AKEXAMPLE, SignedHeaders=host;x-project-id;x-sdk-date, Signature={signature}"
    )


def test_huawei_temporary_key_is_sent_and_signed() -> None:
    """A temporary access key is worth nothing without its token."""
    headers = huawei_headers(post(RETRY.format(PROJECT)), **{**HUAWEI, "security_token": "TEMP"})
    assert headers["X-Security-Token"] == "TEMP"
    assert "x-project-id;x-sdk-date;x-security-token" in headers["Authorization"]


def test_huawei_signs_nothing_a_proxy_may_change() -> None:
    """Only the host, the content type and our own headers are signed."""
    request = post(RETRY.format(PROJECT))
    before = huawei_headers(request, **HUAWEI)
    request.headers["User-Agent"] = "something else"
    assert huawei_headers(request, **HUAWEI) == before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/records?limit=100&offset=0", "/records?offset=0&limit=100"),
        ("/records?script_task_id=a%2Fb", "/records?script_task_id=a/b"),
        ("/records/a%20b%7E", "/records/a%20b~"),
        ("/records?id=a%20b", "/records?id=a+b"),
        ("/records", "/records/"),
    ],
)
def test_huawei_signatures_do_not_depend_on_spelling(one: str, other: str) -> None:
    """Whatever rewrites a URL on the way, one that means the same has the same signature."""
    found = {
        huawei_headers(post(f"https://example.com{url}", method="GET"), **HUAWEI)["Authorization"]
        for url in (one, other)
    }
    assert len(found) == 1


@pytest.mark.parametrize("other", ["/records?limit=99", "/records?limit=100&offset=", "/record?limit=100"])
def test_huawei_signatures_cover_path_and_query(other: str) -> None:
    """And one that means something else has another, also where a value is empty."""
    found = {
        huawei_headers(post(f"https://example.com{url}"), **HUAWEI)["Authorization"]
        for url in ("/records?limit=100", other)
    }
    assert len(found) == 2


def test_docflow_hmac() -> None:
    """A value computed from the documents' description."""
    request = post(REVIEW, b'{"workspace_id":"1234567890","task_id":"31415926"}')
    assert docflow_headers(request, "APP", "SECRETEXAMPLE", at=datetime.fromtimestamp(1760000000, UTC)) == {
        "x-ti-app-id": "APP",
        "x-ti-timestamp": "1760000000",
        "x-ti-signature": "467fc77d9adb403ade5b205ce139d53d98b44fb1db0aa08cfa8946ecf81d4937",
    }


@pytest.mark.parametrize(
    "query",
    ["workspace_id=1871454238893576192&category=采购订单", "category=采购订单&workspace_id=1871454238893576192"],
)
def test_docflow_signs_sorted_parameters_unencoded(query: str) -> None:
    """A value computed with the documents' own example code."""
    request = httpx.Request("GET", f"https://docflow.textin.ai/api/app-api/sip/platform/v2/file/fetch?{query}")
    headers = docflow_headers(request, "APP", "SECRETEXAMPLE", at=datetime.fromtimestamp(1760000000, UTC))
    assert headers["x-ti-signature"] == "bf4c103b34e5d86064e5d9c23d805c99ff1340fa811307b17ae6384be940c83a"


# --- the providers use them --------------------------------------------------------------------------------------


def test_geelark_token_sends_two_headers() -> None:
    """The bearer token and a trace id of 32 upper-case hex digits, and nothing of the key scheme."""
    headers = signed(geelark().auth(None), post("https://openapi.geelark.com/open/v1/task/restart"))
    assert headers["Authorization"] == "Bearer TOKEN"
    assert len(headers["traceId"]) == 32
    assert headers["traceId"] == headers["traceId"].upper()
    assert not headers.keys() & {"appid", "ts", "nonce", "sign"}


@pytest.mark.parametrize(
    "provider", [geelark(), geelark(token=None, app_id="APP", api_key="KEY")], ids=["token", "key"]
)
def test_geelark_trace_ids_are_new_for_every_request(provider: Any) -> None:
    """Nothing says that the provider takes a repeated one for the same request."""
    auth = provider.auth(None)
    traces = {signed(auth, post("https://openapi.geelark.com/open/v1/task/query"))["traceId"] for _ in range(50)}
    assert len(traces) == 50


def test_geelark_key_signs_what_it_sends() -> None:
    """The signature is that of the trace id and the moment in the same headers."""
    headers = signed(geelark(token=None, app_id="APP", api_key="KEY").auth(None), post("https://example.com"))
    at = datetime.fromtimestamp(int(headers["ts"]) / 1000, UTC)
    assert headers["sign"] == geelark_headers("APP", "KEY", trace_id=headers["traceId"], at=at)["sign"]
    assert abs((datetime.now(UTC) - at).total_seconds()) < 60
    assert "authorization" not in headers


def test_huawei_signs_with_the_access_key() -> None:
    """With the account's keys, its project, and the moment of sending."""
    provider = huawei(access_key="AK", secret_key="SK", security_token="TEMP")
    request = post(RETRY.format(PROJECT), b"{}")
    headers = signed(provider.auth(None), request)
    at = datetime.strptime(headers["X-Sdk-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    expected = huawei_headers(request, "AK", "SK", project_id=PROJECT, security_token="TEMP", at=at)
    assert headers["Authorization"] == expected["Authorization"]
    assert abs((datetime.now(UTC) - at).total_seconds()) < 60


def test_huawei_sends_a_ready_token() -> None:
    """As it is, and without any signature."""
    headers = signed(huawei(auth_token="READY").auth(None), post(RETRY.format(PROJECT)))
    assert headers["X-Auth-Token"] == "READY"
    assert "authorization" not in headers


def test_huawei_sends_the_token_of_its_login() -> None:
    """And nothing where there is none yet."""
    provider = huawei(iam_user="user", iam_password="password", iam_domain="domain")
    assert signed(provider.auth("FRESH"), post(RETRY.format(PROJECT)))["X-Auth-Token"] == "FRESH"
    assert "x-auth-token" not in signed(provider.auth(None), post(RETRY.format(PROJECT)))


def test_docflow_sends_id_and_secret() -> None:
    """The simple scheme, without an enterprise."""
    headers = signed(docflow().auth(None), post(REVIEW))
    assert (headers["x-ti-app-id"], headers["x-ti-secret-code"]) == ("APP", "SECRET")
    assert not headers.keys() & {"x-ti-signature", "x-ti-enterprise-id"}


def test_docflow_signs_instead_of_sending_the_secret() -> None:
    """The signature is that of the body and the moment in the same headers."""
    request = post(REVIEW, b'{"task_id":"1"}')
    headers = signed(docflow(auth="hmac").auth(None), request)
    at = datetime.fromtimestamp(int(headers["x-ti-timestamp"]), UTC)
    assert headers["x-ti-signature"] == docflow_headers(request, "APP", "SECRET", at=at)["x-ti-signature"]
    assert "x-ti-secret-code" not in headers


@pytest.mark.parametrize("scheme", ["headers", "hmac"])
def test_docflow_names_the_enterprise(scheme: str) -> None:
    """For accounts that belong to several."""
    headers = signed(docflow(auth=scheme, enterprise_id="77").auth(None), post(REVIEW))
    assert headers["x-ti-enterprise-id"] == "77"


@pytest.mark.parametrize(
    "provider",
    [geelark(), docflow(), huawei(auth_token="READY"), huawei(access_key="AK")],
    ids=["geelark", "docflow", "huawei with a token", "huawei with a key"],
)
def test_only_iam_users_log_in(provider: Any) -> None:
    """All other credentials sign by themselves."""
    assert provider.login() is None
