"""Our own providers against the sandbox: every scripted task ends as its expectation says."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest

from redrive.models.outcome import Accepted, Already, CheckResult, Outcome, Reading, Refused, State
from redrive.models.providers import DOCFLOW, GEELARK, HUAWEI_WORKSPACE
from redrive.sandbox.samples import sample_rows
from redrive.sandbox.script import Expectation, expectation, parse
from redrive.worker.providers.base import Account, Answer, Call, Exchange, Provider, Split, TaskRef, Token
from redrive.worker.providers.docflow import DocFlow
from redrive.worker.providers.geelark import GeeLark
from redrive.worker.providers.huawei_workspace import HuaweiWorkspace
from tests.sandbox.conftest import PROJECT, WORKSPACE, Caller, FakeClock, Open

MAX_RETRIES = 3
PATIENCE = 20
PROJECT_OPTIONS = {"region": "ap-southeast-1", "project_id": PROJECT}
REVIEWS = {"app_id": "sandbox-app", "secret_code": "sandbox-secret", "workspace_id": WORKSPACE}
IAM_USER = {"iam_user": "sandbox-user", "iam_password": "sandbox-password", "iam_domain": "sandbox-domain"}

OPTIONS: Mapping[str, dict[str, Any]] = {
    "phones": {"token": "sandbox-token"},
    "desktops": {**PROJECT_OPTIONS, "auth_token": "sandbox-auth-token"},
    "reviews": {**REVIEWS, "auth": "headers"},
}
PROVIDERS: Mapping[str, type[Provider]] = {"phones": GeeLark, "desktops": HuaweiWorkspace, "reviews": DocFlow}


@dataclass
class Retrier:
    """The plainest worker: asks, looks until nothing runs, and gives up by the documented rules."""

    caller: Caller
    provider: Provider
    task: TaskRef
    token: str | None = None
    retries: int = 0

    def send(self, call: Call) -> Exchange:
        asked = call.request
        answer = self.caller.http.request(
            asked.method,
            (asked.base_url or "") + asked.path,
            params=list(asked.query) or None,
            content=None if asked.json is None else json.dumps(asked.json, separators=(",", ":")),
            headers={"Content-Type": "application/json"},
            auth=self.provider.auth(self.token) if asked.authenticated else None,
        )
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Exchange(sent=True, answer=Answer(answer.status_code, headers, answer.content))

    def ask(self) -> Outcome:
        (call,) = self.provider.retries([self.task]).calls
        outcomes = self.provider.outcomes(call, self.send(call))
        assert not isinstance(outcomes, Split)
        return outcomes[self.task.id]

    def look(self) -> CheckResult:
        (call,) = self.provider.checks([self.task]).calls
        looked = self.provider.results(call, self.send(call))
        assert looked.more is None
        return looked.results[self.task.id]

    def look_until_it_rests(self) -> CheckResult:
        while (seen := self.look()) and isinstance(seen, Reading) and seen.state is State.RUNNING:
            self.caller.clock.advance(1)
        return seen

    def to_its_end(self, *, check_first: bool) -> Expectation:
        seen: CheckResult | None = self.look_until_it_rests() if check_first else None
        unexplained = 0
        for _ in range(PATIENCE):
            match seen:
                case Reading(state=State.SUCCEEDED):
                    return Expectation("succeeded", None, self.retries)
                case Reading(state=State.GONE, reason=reason):
                    return Expectation("dead", reason, self.retries)
                case _ if self.retries == MAX_RETRIES:
                    return Expectation("dead", "limit_reached", self.retries)
                case _ if unexplained == 2:
                    return Expectation("dead", "refused", self.retries)
            match self.ask():
                case Accepted(ref=ref):
                    self.retries, unexplained = self.retries + 1, 0
                    self.task = replace(self.task, ref=ref)
                case Already():
                    unexplained += 1
                case Refused(reason=reason):
                    return Expectation("dead", reason, self.retries)
                case other:
                    pytest.fail(f"{self.task}: {other}")
            seen = self.look_until_it_rests()
        pytest.fail(f"{self.task} did not end")


def retrier(caller: Caller, account: str, row: Mapping[str, Any], **options: Any) -> Retrier:
    given = Account(account, caller.sandbox.url, {**OPTIONS[account], **options})
    task = TaskRef(1, row["kind"], row["external_id"], row["sub_id"], row["params"], row["origin"])
    return Retrier(caller, PROVIDERS[account](given), task)


@pytest.mark.parametrize(
    ("account", "provider"),
    [("phones", GEELARK.provider), ("desktops", HUAWEI_WORKSPACE.provider), ("reviews", DOCFLOW.provider)],
)
@pytest.mark.parametrize("new_ids", [True, False])
def test_every_script_ends_as_expected(open_sandbox: Open, account: str, provider: str, *, new_ids: bool) -> None:
    """No expectation is wishful: whoever follows the documented rules comes to it, and nothing goes wrong meanwhile."""
    caller = open_sandbox(huawei_new_ids=new_ids, geelark_per_minute=None)
    rows = {(row["kind"], parse(row["external_id"]), row["origin"]): row for row in sample_rows()}
    ours = [row for row in rows.values() if row["account"] == account]
    assert len(ours) > 20
    for row in ours:
        check_first = row["kind"] == "review_rule" or row["origin"] == "client_ui"
        ended = retrier(caller, account, row).to_its_end(check_first=check_first)
        assert ended == expectation(provider, row["kind"], parse(row["external_id"]), MAX_RETRIES), row
    assert caller.violations == {}


@pytest.mark.parametrize(
    ("account", "options"),
    [
        ("phones", {"token": None, "app_id": "sandbox-app", "api_key": "sandbox-key"}),
        ("desktops", {"auth_token": None, "access_key": "SANDBOXAK", "secret_key": "SANDBOXSK"}),
        ("desktops", {"auth_token": None, **IAM_USER}),
        ("reviews", {"auth": "hmac"}),
    ],
)
def test_every_way_to_log_in(clock: FakeClock, open_sandbox: Open, account: str, options: dict[str, Any]) -> None:
    """What our providers sign and fetch is let in, for a retry and for a check."""
    clock.now = time.time()
    caller = open_sandbox()
    row = next(row for row in sample_rows() if row["account"] == account and parse(row["external_id"]).refusal is None)
    worker = retrier(caller, account, row, iam_url=caller.sandbox.url, **options)
    if login := worker.provider.login():
        token = worker.provider.token(worker.send(login))
        assert isinstance(token, Token)
        assert token.valid_seconds <= 24 * 3600
        worker.token = token.value
    assert isinstance(worker.look(), Reading)
    assert isinstance(worker.ask(), Accepted)
