"""GeeLark's task API: ``task/restart`` and ``task/query``, always HTTP 200 with the verdict in the body's code."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from .behavior import GEELARK, Detail
from .behavior import Refusal as Scripted
from .exchange import Refusal, Reply, ServedCall
from .limits import Over, Rate
from .task import RunState, SandboxTask, TaskView
from .watch import Violation
from .world import World

RESTART = "/open/v1/task/restart"
QUERY = "/open/v1/task/query"

DOC_RETRY = "GeeLark: Retry Task"
DOC_QUERY = "GeeLark: Query Task"
DOC_REQUESTS = "GeeLark: Request Instructions"
DOC_CODES = "GeeLark: Cloud Phone Error Codes"

MAX_IDS = 100
MAX_RETRIES = 5
LOCK_SECONDS = 7200
NONCE_LENGTH = 6

MESSAGES: Final[Mapping[int, str]] = {
    0: "success",
    40000: "unknown error",
    40001: "the request body could not be read",
    40002: "traceId is empty",
    40003: "signature verification failed",
    40004: "parameter validation failed",
    40005: "environment has been deleted",
    40006: "partially failed",
    40007: "rate limit exceeded, it is lifted in the next minute",
    40009: "all failed",
    40014: "hourly limit exceeded, locked for 2 hours",
    48000: "task retry limit reached",
    48001: "task status does not allow retry",
    48002: "task does not exist",
    48003: "task resource has expired",
    48004: "the app version does not support this task",
}

REFUSED: Final[Mapping[Scripted, int]] = {
    Scripted.LIMIT_REACHED: 48000,
    Scripted.MISSING: 48002,
    Scripted.GONE: 40005,
    Scripted.EXPIRED: 48003,
    Scripted.APP_VERSION: 48004,
    Scripted.NOT_ALLOWED: 48001,
}

STATUS: Final[Mapping[RunState, int]] = {
    RunState.WAITING: 1,
    RunState.RUNNING: 2,
    RunState.SUCCEEDED: 3,
    RunState.FAILED: 4,
    RunState.CANCELED: 7,
}

NO_FAILURE = (0, "")
CANCELED = (20005, "task canceled")
TIMED_OUT = (20003, "task timed out")
FAILURES: Final[Mapping[Detail, tuple[int, str]]] = {
    Detail.BUSY: (20002, "the machine is busy with another task"),
    Detail.NETWORK: (29994, "network unstable"),
    Detail.PHONE_DELETED: (29998, "the phone was deleted"),
}


class GeeLarkSandbox:
    """The two calls. ``paths`` is what is served, all by POST."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._login = world.config.geelark
        self.paths = {RESTART: self.restart, QUERY: self.query}
        limits = (world.config.geelark_per_minute, world.config.geelark_per_hour)
        self._rates = {path: Rate.of(*limits, lock_seconds=LOCK_SECONDS) for path in self.paths}

    def restart(self, call: ServedCall) -> Reply:
        """Each id is taken or refused on its own; the ids that were taken are not listed."""
        ids = self._admit(call, RESTART, DOC_RETRY)
        tasks = [self._world.task(GEELARK, "", task_id, call.now) for task_id in ids]
        codes = {task.external_id: self._restart_one(call, task) for task in tasks}
        failed = {task_id: code for task_id, code in codes.items() if code}
        code = 0 if not failed else 40006 if len(failed) < len(ids) else self._world.config.geelark_all_failed
        return _envelope(call, DOC_RETRY, code, None if code == 40000 else self._amounts(ids, failed))  # noqa: PLR2004 - a code of the table above

    def _restart_one(self, call: ServedCall, task: SandboxTask) -> int:
        code = self._refusal(task, call.now)
        self._world.retry(call, task, refused=bool(code), cap=MAX_RETRIES)
        return code

    def _refusal(self, task: SandboxTask, now: float) -> int:
        if task.script.refusal is not None and task.script.refusal in REFUSED:
            return REFUSED[task.script.refusal]
        state = self._world.state(task, now)
        if state not in {RunState.FAILED, RunState.CANCELED}:
            return 48001
        deleted = task.script.detail is Detail.PHONE_DELETED and task.runs > 0
        return 40005 if deleted else 48000 if task.runs >= MAX_RETRIES else 0

    def _amounts(self, ids: Sequence[str], failed: Mapping[str, int]) -> dict[str, Any]:
        amounts = {"totalAmount": len(ids), "successAmount": len(ids) - len(failed), "failAmount": len(failed)}
        return {**amounts, **self._details(failed)}

    def _details(self, failed: Mapping[str, int]) -> dict[str, Any]:
        """``failDetails`` in the form configured: the published page shows more than one."""
        form = self._world.config.geelark_details
        if not failed or form == "missing":
            return {}
        if form == "null":
            return {"failDetails": None}
        written = int if form == "numbers" else str
        details = [{"id": each, "code": written(code), "msg": MESSAGES[code]} for each, code in failed.items()]
        return {"failDetails": details[0] if form == "object" else details}

    def query(self, call: ServedCall) -> Reply:
        """Unknown ids are left out."""
        ids = self._admit(call, QUERY, DOC_QUERY)
        tasks = [self._world.task(GEELARK, "", task_id, call.now) for task_id in ids]
        items = [self._item(call, task) for task in tasks if task.script.refusal is not Scripted.MISSING]
        return _envelope(call, DOC_QUERY, 0, {"total": len(items), "items": items})

    def _item(self, call: ServedCall, task: SandboxTask) -> dict[str, Any]:
        view = self._world.view(call, task)
        fail_code, fail_desc = _failure(task, view)
        return {
            "id": task.external_id,
            "planName": "sandbox",
            "taskType": 1,
            "serialName": f"phone {task.external_id[:6]}",
            "envId": f"9{task.external_id}",
            "scheduleAt": int(view.started_at),
            "status": STATUS[view.state],
            "failCode": fail_code,
            "failDesc": fail_desc,
            "cost": int(self._world.config.run_seconds) if view.state in {RunState.SUCCEEDED, RunState.FAILED} else 0,
            "shareLink": "",
        }

    def _admit(self, call: ServedCall, path: str, doc: str) -> list[str]:
        """The ids asked for, each once, of a call that passed every check in the order a provider makes them."""
        self._authenticate(call)
        over = self._world.count(path, self._rates[path], call.now)
        if over is not None:
            raise _refusal(
                call, DOC_REQUESTS if over is Over.MINUTE else DOC_CODES, 40007 if over is Over.MINUTE else 40014
            )
        return self._ids(call, doc)

    def _authenticate(self, call: ServedCall) -> None:
        """Token mode where there is an Authorization header, else key mode."""
        trace_id = call.headers.get("traceId", "")
        if not trace_id:
            raise _refusal(call, DOC_REQUESTS, 40002)
        bearer = call.headers.get("Authorization")
        if not (self._signed(call, trace_id) if bearer is None else bearer == f"Bearer {self._login.token}"):
            raise _refusal(call, DOC_REQUESTS, 40003)

    def _signed(self, call: ServedCall, trace_id: str) -> bool:
        """``sign`` is the upper-case SHA-256 of appId, traceId, ts, nonce and key; the body is not signed."""
        app_id, ts, nonce = (call.headers.get(name, "") for name in ("appId", "ts", "nonce"))
        signature = sign(app_id, trace_id, ts, nonce, self._login.api_key)
        well_formed = app_id == self._login.app_id and ts.isdecimal() and nonce == trace_id[:NONCE_LENGTH]
        return well_formed and call.headers.get("sign") == signature

    def _ids(self, call: ServedCall, doc: str) -> list[str]:
        body = call.json_object() if call.headers.get("Content-Type", "").startswith("application/json") else None
        if body is None:
            raise _refusal(call, DOC_REQUESTS, 40001)
        ids = body.get("ids")
        if not isinstance(ids, list) or not ids or not all(isinstance(each, str) and each for each in ids):
            raise _refusal(call, doc, 40004)
        if len(ids) > MAX_IDS:
            self._world.watch.violation(Violation.TOO_MANY_IDS, f"{doc}: {len(ids)}")
            raise _refusal(call, doc, 40004)
        counts = Counter(ids)
        if len(counts) < len(ids):
            self._world.watch.violation(Violation.SAME_ID_TWICE, f"{doc}: {counts.most_common(1)[0][0]}")
        return list(counts)


def sign(app_id: str, trace_id: str, ts: str, nonce: str, api_key: str) -> str:
    """Key mode's signature (GeeLark: Request Instructions)."""
    return hashlib.sha256(f"{app_id}{trace_id}{ts}{nonce}{api_key}".encode()).hexdigest().upper()


def _failure(task: SandboxTask, view: TaskView) -> tuple[int, str]:
    if view.state is RunState.CANCELED:
        return CANCELED
    if view.state is not RunState.FAILED:
        return NO_FAILURE
    deleted_yet = view.run > 0 or task.script.detail is not Detail.PHONE_DELETED
    return FAILURES.get(task.script.detail, TIMED_OUT) if deleted_yet else TIMED_OUT


def _refusal(call: ServedCall, doc: str, code: int) -> Refusal:
    return Refusal(_envelope(call, doc, code))


def _envelope(call: ServedCall, doc: str, code: int, data: Any = None) -> Reply:  # noqa: ANN401 - any JSON
    body = {"traceId": call.headers.get("traceId", ""), "code": code, "msg": MESSAGES[code]}
    return Reply(doc, body if data is None else {**body, "data": data})
