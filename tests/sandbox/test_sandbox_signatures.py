import httpx
import pytest

from redrive.sandbox import docflow, geelark
from redrive.sandbox import huawei_signatures as signatures

HUAWEI_DATE = "20260210T000000Z"


def test_geelarks_published_example() -> None:
    """The example of GeeLark's request instructions reproduces."""
    signed = geelark.sign(
        "eH6gQR4oHr3FsZpI36La01IW",
        "db6094ab-3797-4186-84d5-b0b58eebad56",
        "1716972892166",
        "db6094",
        "YjmFIUuq0oJgSDJ42fxLEb6R1qjjqf",
    )
    assert signed == "6280C080AF7C3CCE168F15C913E3444A00A618CB0E16038EED9811D6E3366BDD"


def test_docflows_signed_mode() -> None:
    """A signature made by the published algorithm."""
    signed = docflow.sign(
        "SECRETEXAMPLE",
        timestamp="1760000000",
        method="POST",
        path=docflow.RETRY,
        query="",
        body=b'{"workspace_id":"1234567890","task_id":"31415926"}',
    )
    assert signed == "467fc77d9adb403ade5b205ce139d53d98b44fb1db0aa08cfa8946ecf81d4937"


def test_huaweis_signer() -> None:
    """A signature made with the vendor's own signer."""
    project = "0123456789abcdef0123456789abcdef"
    headers = {
        "Content-Type": "application/json",
        "Host": "workspace.ap-southeast-1.myhuaweicloud.com",
        "X-Project-Id": project,
        "X-Sdk-Date": HUAWEI_DATE,
    }
    signed = signatures.sign(
        "SKEXAMPLE",
        method="POST",
        raw_path=f"/v2/{project}/script-executions/retry",
        query="",
        headers=httpx.Headers(headers),
        names=("content-type", "host", "x-project-id", "x-sdk-date"),
        body=b'{"task_id":"0000000059071dbc01591661d3990019"}',
    )
    assert signed == "7d496f617510b1c3349844165ee38f4bae60d8ee594a39d9b5ac78a88c8a777f"


def test_huaweis_query_is_sorted_and_encoded() -> None:
    """The order on the request line does not matter, and neither does how it is encoded."""
    signed = {
        signatures.sign("SK", method="GET", raw_path=path, query=query, headers={}, names=(), body=b"")
        for path, query in (("/a%20b", "y=2&x=a%20b&x="), ("/a b", "x=&y=2&x=a+b"))
    }
    assert len(signed) == 1


@pytest.mark.parametrize(
    "text", ["", "Basic abc", "SDK-HMAC-SHA256 Access=AK", "SDK-HMAC-SHA256 Access=A, Signature=1"]
)
def test_what_is_no_signature(text: str) -> None:
    """An Authorization of another scheme is none."""
    assert signatures.Signature.read(text) is None


def test_when_it_was_signed() -> None:
    """X-Sdk-Date is UTC; anything else is no moment."""
    assert signatures.signed_at(HUAWEI_DATE) == 1_770_681_600
    assert signatures.signed_at("2026-02-10") is None
