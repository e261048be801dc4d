"""Accounts, tasks and exchanges as values, with only what a test cares about."""

import json
from collections.abc import Mapping
from typing import Any
from zlib import crc32

import httpx

from redrive.models.outcome import CheckResult, Outcome
from redrive.worker.providers.base import Account, Answer, Call, Exchange, Plan, Provider, Split, TaskRef
from redrive.worker.providers.docflow import DocFlow
from redrive.worker.providers.geelark import GeeLark
from redrive.worker.providers.huawei_workspace import HuaweiWorkspace

PROJECT = "0123456789abcdef0123456789abcdef"


def geelark(**options: Any) -> GeeLark:
    return GeeLark(Account("phones", "https://openapi.geelark.com", {"token": "TOKEN", **options}))


def huawei(**options: Any) -> HuaweiWorkspace:
    options = {"region": "ap-southeast-1", "project_id": PROJECT, **(options or {"auth_token": "TOKEN"})}
    return HuaweiWorkspace(Account("desktops", "https://workspace.ap-southeast-1.myhuaweicloud.com", options))


def docflow(base_url: str = "https://docflow.textin.ai", **options: Any) -> DocFlow:
    options = {"app_id": "APP", "secret_code": "SECRET", "auth": "headers", "workspace_id": "1234567890", **options}
    return DocFlow(Account("reviews", base_url, options))


def task(external_id: str, kind: str = "", id: int | None = None, **more: Any) -> TaskRef:  # noqa: A002
    """A task whose own id is made from its external one, unless given."""
    return TaskRef(id=crc32(external_id.encode()) if id is None else id, kind=kind, external_id=external_id, **more)


def tasks(*external_ids: str, kind: str = "") -> list[TaskRef]:
    return [task(external_id, kind) for external_id in external_ids]


def answered(body: object = b"", status: int = 200, **headers: str) -> Exchange:
    """A complete answer; anything but bytes is sent as JSON, ``retry_after`` as the header ``retry-after``."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Exchange(
        sent=True, answer=Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)
    )


def only(plan: Plan) -> Call:
    """The one call of a plan that refuses nothing."""
    (call,) = plan.calls
    assert not plan.refused
    return call


def outcome(provider: Provider, one: TaskRef, exchange: Exchange) -> Outcome:
    """What becomes of a single task's retry."""
    outcomes = provider.outcomes(only(provider.retries([one])), exchange)
    if isinstance(outcomes, Split):
        return outcomes.outcome
    (found,) = outcomes.values()
    return found


def checked(provider: Provider, one: TaskRef, exchange: Exchange) -> CheckResult:
    """What a single task's check says."""
    (found,) = provider.results(only(provider.checks([one])), exchange).results.values()
    return found


def signed(auth: httpx.Auth, request: httpx.Request) -> httpx.Headers:
    """The headers with which a request leaves."""
    return next(auth.sync_auth_flow(request)).headers


def keyed(call: Call, found: Mapping[int, Any]) -> dict[str, Any]:
    """Results by external id."""
    return {one.external_id: found[one.id] for one in call.tasks}
