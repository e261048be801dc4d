"""Tasks, rules and moments that the tests of the lifecycle share."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from redrive.models.providers import GEELARK
from redrive.models.rules import Rules
from redrive.models.settings.policy import Policy
from redrive.models.states import Operation, Status
from redrive.models.task import Task

LONG_AGO = datetime(2026, 3, 1, 11, tzinfo=UTC)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
FAR = NOW + timedelta(days=1)
BATCH = UUID(int=7)
POLICY = Policy(jitter="none", max_retries=3, max_errors=4)
RULES = Rules(account="phones", capabilities=GEELARK, policy=POLICY, group="phones", interval_seconds=1)
BLIND = replace(RULES, capabilities=replace(GEELARK, check_ids=0))


def with_policy(rules: Rules, **changes: Any) -> Rules:
    return replace(rules, policy=POLICY.model_copy(update=changes))


def task(status: Status, **values: Any) -> Task:
    columns: dict[str, Any] = {
        "id": 1, "account": "phones", "kind": "", "external_id": "1", "sub_id": "", "params": {}, "origin": "",
        "dead_reason": None, "next": Operation.RETRY, "due_at": None, "priority": 0, "attempts": 2, "spent": 1,
        "errors": 0, "refusals": 0, "max_retries": None, "granted": 0, "batch_id": None, "wish": None,
        "held_from": None, "trigger": "due", "provider_ref": "", "seen": None, "last_error": "", "failure": None,
        "traceparent": None, "failed_at": None,
        "status_since": LONG_AGO, "round_at": LONG_AGO, "created_at": LONG_AGO, "updated_at": LONG_AGO,
    }  # fmt: skip
    return Task(status=status, **(columns | values))
