"""A sandbox over real HTTP, with a clock that only moves when told to, and somebody who calls it."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from redrive.sandbox.config import SandboxConfig
from redrive.sandbox.server import SandboxThread

PROJECT = SandboxConfig().huawei.project_id
WORKSPACE = SandboxConfig().docflow.workspace_id
REVIEWS = "/api/app-api/sip/platform/v2/review/task"

TOKEN_MODE = {"traceId": "F0E1", "Authorization": "Bearer sandbox-token"}
HUAWEI_TOKEN = {"X-Auth-Token": "sandbox-auth-token"}
STATIC_HEADERS = {"x-ti-app-id": "sandbox-app", "x-ti-secret-code": "sandbox-secret"}


@dataclass
class FakeClock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Caller:
    """Calls the three providers with good credentials."""

    sandbox: SandboxThread
    http: httpx.Client
    clock: FakeClock

    @property
    def violations(self) -> dict[str, Any]:
        return self.sandbox.stats()["violations"]

    def restart(self, *ids: str, **headers: str) -> dict[str, Any]:
        body = {"ids": list(ids)}
        return self.http.post("/open/v1/task/restart", json=body, headers={**TOKEN_MODE, **headers}).json()

    def query(self, *ids: str) -> list[dict[str, Any]]:
        body = {"ids": list(ids)}
        return self.http.post("/open/v1/task/query", json=body, headers=TOKEN_MODE).json()["data"]["items"]

    def execute(self, **body: Any) -> httpx.Response:
        return self.http.post(f"/v2/{PROJECT}/script-executions/retry", json=body, headers=HUAWEI_TOKEN)

    def records(self, task_id: str, **query: Any) -> httpx.Response:
        path = f"/v2/{PROJECT}/script-execution-records"
        return self.http.get(path, params={"script_task_id": task_id, "limit": 100, **query}, headers=HUAWEI_TOKEN)

    def record(self, record_id: str) -> httpx.Response:
        return self.http.get(f"/v2/{PROJECT}/script-execution-records/{record_id}", headers=HUAWEI_TOKEN)

    def review(self, path: str, **body: str) -> httpx.Response:
        body = {"workspace_id": WORKSPACE, **body}
        return self.http.post(f"{REVIEWS}/{path}", json=body, headers=STATIC_HEADERS)


Open = Callable[..., Caller]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def open_sandbox(clock: FakeClock) -> Iterator[Open]:
    """Opens a sandbox with the settings given."""
    with ExitStack() as stack:

        def opened(**settings: Any) -> Caller:
            sandbox = stack.enter_context(SandboxThread(SandboxConfig(**settings), clock))
            http = stack.enter_context(httpx.Client(base_url=sandbox.url, trust_env=False, timeout=10))
            return Caller(sandbox, http, clock)

        yield opened


@pytest.fixture
def caller(open_sandbox: Open) -> Caller:
    return open_sandbox()


@pytest.fixture
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Asks again and again, each time waiting for the sandbox's answer, until it is so."""

    def wait(condition: Callable[[], bool]) -> None:
        give_up_at = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < give_up_at, "it never came to be"

    return wait
