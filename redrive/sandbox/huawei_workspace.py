"""Huawei Cloud Workspace: retrying a script execution and reading its records."""

import time
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qs, unquote

from .behavior import HUAWEI_WORKSPACE
from .behavior import Refusal as Scripted
from .exchange import Refusal, Reply, ServedCall
from .huawei_executions import Address, Execution, Sort
from .huawei_iam import DOC_GATEWAY, LOGIN, Iam, gateway_error
from .limits import Rate
from .task import RunState, SandboxTask, TaskView
from .world import World

RETRY = "/v2/{project_id}/script-executions/retry"
RECORDS = "/v2/{project_id}/script-execution-records"
RECORD = "/v2/{project_id}/script-execution-records/{record_id}"

DOC_RETRY = "Huawei Cloud Workspace: Retrying a (Failed) Script Execution Task"
DOC_RECORDS = "Huawei Cloud Workspace: ListScriptRecords"
DOC_RECORD = "Huawei Cloud Workspace: ShowScriptRecordDetail"

BAD_REQUEST = "WKS.00211102"  # the page's own example of a 400
LIMITS = range(1, 101)
DEFAULT_LIMIT = 10

STATUS: Final[Mapping[RunState, str]] = {
    RunState.WAITING: "WAITING",
    RunState.RUNNING: "RUNNING",
    RunState.SUCCEEDED: "SUCCESS",
    RunState.FAILED: "FAILED",
    RunState.CANCELED: "FAILED",
}
ENDED = ("SUCCESS", "FAILED")


class HuaweiWorkspaceSandbox:
    """The retry call, the two record calls, and the login of their users."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._config = world.config
        self._iam = Iam(world.config.huawei)
        self.paths = {
            ("POST", LOGIN): self._iam.login,
            ("POST", RETRY): self.retry,
            ("GET", RECORDS): self.records,
            ("GET", RECORD): self.record,
        }
        self._rates = {path: Rate.of(self._config.huawei_per_minute) for path in (RETRY, RECORDS, RECORD)}

    def retry(self, call: ServedCall) -> Reply:
        """Exactly one id, as a plain string; the failed records of a task run again together."""
        self._admit(call, RETRY)
        address = _retried(call)
        task = self._world.task(HUAWEI_WORKSPACE, address.sort, address.root, call.now)
        refusal = self._refusal(task, call.now)
        self._world.retry(call, task, refused=refusal is not None)
        if refusal is not None:
            raise _refusal(DOC_RETRY, *refusal)
        return Reply(DOC_RETRY, {"task_id": self._newest(address.sort, task).task_id})

    def _refusal(self, task: SandboxTask, now: float) -> tuple[int, str, str] | None:
        """The page gives 400 and 404 without their codes, and no 409, which the text of the last is worth."""
        if task.script.refusal is Scripted.MISSING:
            return 404, "WKS.00000404", "The script execution task does not exist."
        if self._world.under_way(task, now):
            return 409, "WKS.00000409", "The script execution task is running."
        if task.script.refusal is Scripted.NOT_ALLOWED or self._world.state(task, now) is RunState.SUCCEEDED:
            return 400, BAD_REQUEST, "The script execution task cannot be retried in its state."
        return None

    def _newest(self, sort: Sort, task: SandboxTask) -> Execution:
        return Execution(sort, task, task.runs if self._config.huawei_new_ids else task.first_run)

    def records(self, call: ServedCall) -> Reply:
        """One page of the records of one task."""
        self._admit(call, RECORDS)
        query = {key: values[0] for key, values in parse_qs(call.query).items()}
        offset, limit = int(_number(query, "offset", 0)), int(_number(query, "limit", DEFAULT_LIMIT))
        if limit not in LIMITS or not query.get("script_task_id"):
            raise _refusal(
                DOC_RECORDS, 400, BAD_REQUEST, "Give a script_task_id (the sandbox lists no others) and limit 1-100."
            )
        found = self._records_of(call, Address.read(query["script_task_id"], "task"))
        wanted = [each for each in found if query.get("status", each["status"]) == each["status"]]
        return Reply(DOC_RECORDS, {"count": len(wanted), "script_records": wanted[offset : offset + limit]})

    def record(self, call: ServedCall) -> Reply:
        """One record, with its output."""
        self._admit(call, RECORD)
        record_id = unquote(call.raw_path.rpartition("/")[2])
        for each in self._records_of(call, Address.read(record_id, "record")):
            if each["id"] == record_id:
                return Reply(DOC_RECORD, {**each, "output": "sandbox output"})
        raise _refusal(DOC_RECORD, 404, "WKS.00000404", "The script execution record does not exist.")

    def _records_of(self, call: ServedCall, address: Address) -> list[dict[str, Any]]:
        task = self._world.task(HUAWEI_WORKSPACE, address.sort, address.root, call.now)
        execution = Execution(address.sort, task, max(address.run, task.first_run))
        newest = self._newest(address.sort, task)
        if task.script.refusal is Scripted.MISSING or execution.run > newest.run:
            return []
        view = self._world.view(call, task) if execution == newest else task.past(execution.run)
        untouched = TaskView(RunState.SUCCEEDED, 0, task.starts[0])
        return [
            self._written(execution, record_id, view if index < execution.failing else untouched)
            for index, record_id in enumerate(execution.record_ids)
        ]

    def _written(self, execution: Execution, record_id: str, view: TaskView) -> dict[str, Any]:
        status = STATUS[view.state]
        ended = status in ENDED
        failed = status == "FAILED"
        return {
            "id": record_id,
            "script_id": "sandbox-script",
            "script_name": "sandbox",
            "script_task_id": execution.task_id,
            "resource_id": f"desktop-{record_id}",
            "resource_name": "sandbox desktop",
            "resource_type": "DESKTOP",
            "start_time": _stamp(view.started_at),
            "end_time": _stamp(view.started_at + self._config.run_seconds) if ended else None,
            "status": status,
            "execute_order": 0,
            "result_code": str(int(failed)) if ended else None,
            "reason": "The script ended with exit code 1." if failed else "",
        }

    def _admit(self, call: ServedCall, path: str) -> None:
        self._iam.authenticate(call)
        if call.raw_path.split("/")[2] != self._config.huawei.project_id:
            raise _refusal(DOC_RETRY, 403, "WKS.00081102", "No operation permissions in this project.")
        if self._world.count(path, self._rates[path], call.now) is not None:
            limit = f"limit:{self._config.huawei_per_minute},time:1 minute"
            text = f"The throttling threshold has been reached: policy user over ratelimit,{limit}"
            raise _refusal(DOC_GATEWAY, 429, "APIGW.0308", text)


def _retried(call: ServedCall) -> Address:
    """What the body asks to retry. The list of objects in the page's example contradicts its table: 400."""
    match call.json_object():
        case {"task_id": str(task_id), **rest} if task_id and rest.get("record_id") is None:
            return Address.read(task_id, "task")
        case {"record_id": str(record_id), **rest} if record_id and rest.get("task_id") is None:
            return Address.read(record_id, "record")
        case _:
            raise _refusal(DOC_RETRY, 400, BAD_REQUEST, "Give exactly one of record_id and task_id, as a string.")


def _number(query: Mapping[str, str], name: str, default: int) -> int:
    text = query.get(name, str(default))
    if not text.isdecimal():
        raise _refusal(DOC_RECORDS, 400, BAD_REQUEST, f"{name} is not a number.")
    return int(text)


def _stamp(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def _refusal(doc: str, status: int, code: str, message: str) -> Refusal:
    return Refusal(gateway_error(doc, status, code, message))
