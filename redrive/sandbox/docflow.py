"""TextIn DocFlow: retrying a review or one rule of it, and reading its result."""

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

from .behavior import DOCFLOW, Detail
from .behavior import Refusal as Scripted
from .exchange import Refusal, Reply, ServedCall
from .limits import Rate
from .script import rule_ids
from .task import RunState, SandboxTask, TaskView
from .world import World

PREFIX = "/api/app-api/sip/platform/v2"
RETRY = f"{PREFIX}/review/task/retry"
RETRY_RULE = f"{PREFIX}/review/task/rule/retry"
RESULT = f"{PREFIX}/review/task/result"

DOC_RETRY = "DocFlow: Retry Review Task"
DOC_RESULT = "DocFlow: Get Review Result"
DOC_AUTH = "DocFlow: Authentication"
DOC_CODES = "TextIn: Error Codes"
DOC_OLD_CODES = "DocFlow: Status Codes (withdrawn in 2024)"

TASK = "review_task"
RULE = "review_rule"

PENDING, APPROVED, FAILED, REVIEWING, REJECTED, RECOGNITION_FAILED = 0, 1, 2, 3, 4, 7
STATUS: Final[Mapping[RunState, int]] = {
    RunState.WAITING: PENDING,
    RunState.RUNNING: REVIEWING,
    RunState.SUCCEEDED: APPROVED,
    RunState.FAILED: FAILED,
    RunState.CANCELED: FAILED,
}
COUNTED: Final[Mapping[str, tuple[int, ...]]] = {
    "pass_count": (APPROVED,),
    "failure_count": (REJECTED,),
    "error_count": (FAILED, RECOGNITION_FAILED),
    "not_triggered_count": (),
}


class DocFlowSandbox:
    """The three calls. ``paths`` is what is served, all by POST."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._login = world.config.docflow
        self.paths = {RETRY: self.retry, RETRY_RULE: self.retry_rule, RESULT: self.result}
        self._rates = {path: Rate.of(world.config.docflow_per_minute) for path in self.paths}

    def retry(self, call: ServedCall) -> Reply:
        """The whole review: every rule of it runs again."""
        review, rules = self._review(call, self._admit(call, RETRY, "task_id"))
        refusal = self._refusal(call, review, *rules)
        self._world.retry(call, review, refused=refusal is not None, also=rules)
        if refusal is not None:
            raise refusal
        if call.applies:
            for rule in rules:
                rule.start(call.now)
        return _success(DOC_RETRY)

    def retry_rule(self, call: ServedCall) -> Reply:
        """One rule: the review's own status stays what it was."""
        body = self._admit(call, RETRY_RULE, "task_id", "rule_id")
        review, rules = self._review(call, body)
        for rule in rules:
            if rule.external_id == body["rule_id"]:
                refusal = self._refusal(call, rule)
                self._world.retry(call, rule, refused=refusal is not None, also=(review,))
                if refusal is not None:
                    raise refusal
                return _success(DOC_RETRY)
        raise _refusal(f"{DOC_RETRY}, note 3 (code not published)", 400, "the rule does not belong to the review task")

    def _refusal(self, call: ServedCall, asked: SandboxTask, *parts: SandboxTask) -> Refusal | None:
        if asked.script.refusal is Scripted.MISSING:
            return _refusal(f"{DOC_RETRY}, note 2 (code not published)", 404, "the review task was deleted", status=404)
        if any(self._world.under_way(each, call.now) for each in (asked, *parts)):
            return _refusal(DOC_OLD_CODES, 1005006016, "the task is already being processed")
        if asked.script.refusal is Scripted.NOT_ALLOWED:
            return _refusal(DOC_OLD_CODES, 400, "the task cannot be retried")
        return None

    def result(self, call: ServedCall) -> Reply:
        """The review's status and its rules, which have states of their own."""
        review, rules = self._review(call, self._admit(call, RESULT, "task_id"))
        if review.script.refusal is Scripted.MISSING:
            raise _refusal(f"{DOC_RESULT} (code not published)", 404, "the review task does not exist", status=404)
        written = [self._rule(call, rule) for rule in rules]
        results = [rule["review_result"] for rule in written]
        counts = {name: sum(each in counted for each in results) for name, counted in COUNTED.items()}
        view = self._world.view(call, review)
        return _success(
            DOC_RESULT,
            {
                "task_id": review.external_id,
                "task_name": "sandbox review",
                "status": _status(review, view),
                "rule_repo": {"repo_id": "1", "name": "sandbox"},
                "extract_task_ids": [f"8{review.external_id}"],
                "statistics": counts,
                "groups": [{"group_id": "1", "group_name": "sandbox", "review_tasks": written}],
            },
        )

    def _rule(self, call: ServedCall, rule: SandboxTask) -> dict[str, Any]:
        view = self._world.view(call, rule)
        return {
            "rule_task_id": f"{rule.external_id}{view.run}",
            "rule_id": rule.external_id,
            "rule_name": f"rule {rule.external_id[-1]}",
            "risk_level": 10,
            "review_result": _status(rule, view),
            "reasoning": f"run {view.run}",
            "anchors": [],
            "audit_result": 0,
            "audit_message": "",
        }

    def _review(self, call: ServedCall, body: Mapping[str, str]) -> tuple[SandboxTask, list[SandboxTask]]:
        """A review and its rules, made together so that they begin together.

        One that has none of the rules that are asked for has another: a review that failed before its rules shows none.
        """
        task_id = body["task_id"]
        review = self._world.task(DOCFLOW, TASK, task_id, call.now)
        ids = rule_ids(task_id) or (f"{task_id}0",)
        found = [self._world.task(DOCFLOW, RULE, each, call.now, script_of=task_id) for each in ids]
        return review, found

    def _admit(self, call: ServedCall, path: str, *ids: str) -> dict[str, str]:
        """The body of a call that passed every check."""
        self._authenticate(call)
        if self._world.count(path, self._rates[path], call.now) is not None:
            raise _refusal(DOC_CODES, 40306, "QPS limit exceeded")
        body = call.json_object() or {}
        wanted = {name: body.get(name) for name in ("workspace_id", *ids)}
        if not all(isinstance(each, str) and each.isdecimal() for each in wanted.values()):
            raise _refusal(DOC_OLD_CODES, 400, f"{', '.join(wanted)} must be strings of digits")
        if wanted["workspace_id"] != self._login.workspace_id:
            raise _refusal(DOC_OLD_CODES, 1005006000, "the workspace does not exist")
        return {name: str(each) for name, each in wanted.items()}

    def _authenticate(self, call: ServedCall) -> None:
        """HMAC where a signature is sent, else the two static headers."""
        app_id = call.headers.get("x-ti-app-id", "")
        signature, secret = call.headers.get("x-ti-signature"), call.headers.get("x-ti-secret-code", "")
        if not app_id or not (signature or secret):
            raise _refusal(DOC_CODES, 40101, "x-ti-app-id or x-ti-secret-code is empty", status=401)
        right = secret == self._login.secret_code if signature is None else signature == self._signature(call)
        if app_id != self._login.app_id or not right:
            raise _refusal(DOC_AUTH, 40102, "x-ti-app-id or x-ti-secret-code is wrong", status=401)

    def _signature(self, call: ServedCall) -> str:
        return sign(
            self._login.secret_code,
            timestamp=call.headers.get("x-ti-timestamp", ""),
            method=call.method,
            path=call.raw_path,
            query=call.query,
            body=call.body,
        )


def sign(secret: str, *, timestamp: str, method: str, path: str, query: str, body: bytes) -> str:
    """The signed mode's signature (DocFlow: Authentication); parameter values are signed unencoded."""
    parameters = "&".join(f"{key}={value}" for key, value in sorted(parse_qsl(query, keep_blank_values=True)))
    text = "\n".join([method, path, parameters, hashlib.sha256(body).hexdigest()])
    key = hmac.new(secret.encode(), timestamp.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _status(task: SandboxTask, view: TaskView) -> int:
    match view.state, task.script.detail:
        case RunState.SUCCEEDED, Detail.REJECTED:
            return REJECTED
        case ((RunState.FAILED | RunState.CANCELED), Detail.RECOGNITION):
            return RECOGNITION_FAILED
        case state, _:
            return STATUS[state]


def _success(doc: str, result: Mapping[str, Any] | None = None) -> Reply:
    body = {"code": 200, "msg": "success"}
    return Reply(doc, body if result is None else {**body, "result": result})


def _refusal(doc: str, code: int, message: str, *, status: int = 200) -> Refusal:
    return Refusal(Reply(doc, {"code": code, "msg": message}, status))
