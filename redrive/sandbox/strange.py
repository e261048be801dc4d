"""Tasks that a provider has deleted, or shows in words that it documents nowhere."""

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from .behavior import Refusal
from .task import SandboxTask

UNKNOWN_NUMBER: Final = 77
UNKNOWN_WORD: Final = "MELTED"
LONG_AGO_SECONDS: Final = 10_000


def delete(task: SandboxTask) -> None:
    """From now on nobody knows it; a run of it is over."""
    task.script = replace(task.script, refusal=Refusal.MISSING)
    task.starts[-1] -= LONG_AGO_SECONDS


def in_strange_words(body: object, ids: Collection[str]) -> object:
    """The answer to a status call with states that nobody documents, of these tasks and of no other."""
    if not isinstance(body, dict):
        return body
    for item in (body.get("data") or {}).get("items") or []:
        if item["id"] in ids:
            item["status"] = UNKNOWN_NUMBER
    for record in (*(body.get("script_records") or []), body):
        if {record.get("script_task_id"), record.get("id")} & {*ids}:
            record["status"] = UNKNOWN_WORD
    if (result := body.get("result")) and result.get("task_id") in ids:
        result["status"] = UNKNOWN_NUMBER
        for rule in (rule for group in result["groups"] for rule in group["review_tasks"]):
            rule["review_result"] = UNKNOWN_NUMBER
    return body
