"""The sandbox listens on everybody's machine, and a web page that is open there must not drive it."""

import httpx
import pytest

from redrive.sandbox.misbehave import REDIRECTED
from redrive.sandbox.script import GEELARK, Script, make_id
from tests.sandbox.conftest import Caller

RESTART = "/open/v1/task/restart"
TASK = make_id(GEELARK, 1, Script())
FAULT = '{"path": "*", "fault": "status", "status": 503}'
ORDERS = [
    ("POST", "/_sandbox/faults", FAULT),
    ("DELETE", "/_sandbox/faults", ""),
    ("POST", "/_sandbox/reset", ""),
    ("POST", f"/_sandbox/tasks/{TASK}", '{"deleted": true}'),
    ("GET", REDIRECTED, ""),
]


@pytest.fixture
def told(caller: Caller) -> Caller:
    """A sandbox with something to forget, to switch off and to delete."""
    caller.sandbox.fault("/nowhere", "status")
    caller.restart(TASK)
    return caller


@pytest.mark.parametrize(("method", "path", "body"), ORDERS)
@pytest.mark.parametrize(
    "page",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        # Whose name leads to this machine: to the browser it is the same site.
        {"Origin": "http://evil.example:8321", "Host": "evil.example:8321", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": ""},
    ],
)
def test_a_page_changes_nothing(told: Caller, method: str, path: str, body: str, page: dict[str, str]) -> None:
    """Neither a form nor a script, which needs nobody's leave for a body of plain text, nor a picture's address."""
    before = everything(told)
    answer = told.http.request(method, path, content=body, headers={"Content-Type": "text/plain", **page})
    assert (answer.status_code, "a web page asks" in answer.text) == (403, True)
    assert everything(told) == before


def everything(caller: Caller) -> list[httpx.Response]:
    paths = ("stats", "faults", f"tasks/{TASK}")
    return [caller.http.get(f"/_sandbox/{path}").json() for path in paths]


@pytest.mark.parametrize("headers", [{}, {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate"}])
def test_a_program_and_the_address_bar_ask(caller: Caller, headers: dict[str, str]) -> None:
    assert caller.http.get("/_sandbox/stats", headers=headers).status_code == 200
    assert caller.http.post("/_sandbox/faults", content=FAULT, headers=headers).status_code == 204


def test_the_providers_do_not_mind(caller: Caller) -> None:
    """What they serve wants credentials, which no page has."""
    headers = {"Authorization": "Bearer sandbox-token", "traceId": "1", "Origin": "https://console.example"}
    assert caller.http.post(RESTART, json={"ids": [TASK]}, headers=headers).status_code == 200
