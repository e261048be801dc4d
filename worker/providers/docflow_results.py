"""What the result of a DocFlow review says of the review, and of each of its rules.

Facts: "Get Review Results" and the OpenAPI of the DocFlow documents. Neither says what a review shows of its rules
before it has come to them, or when it failed before: then the review's own state stands for theirs.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from redrive.models.outcome import CheckResult, Reading, State, Unreadable
from redrive.models.providers import DOCFLOW
from redrive.models.states import DeadReason

from .base import TaskRef
from .http_answers import MAX_CODE, Words, fields, gone, items, line, number, short_mark, storable, text, unreadable

RULE: Final = DOCFLOW.kinds[1].name

STATES: Final[Mapping[int, tuple[State, str]]] = {
    0: (State.RUNNING, "pending"),
    1: (State.SUCCEEDED, "approved"),
    2: (State.FAILED, "review failed"),
    3: (State.RUNNING, "reviewing"),
    4: (State.SUCCEEDED, "rejected"),  # a verdict: the review ran
    5: (State.RUNNING, "recognizing"),
    6: (State.RUNNING, "in queue"),
    7: (State.FAILED, "recognition failed upstream"),
}
"""A review's ``status`` and a rule's ``review_result`` share these values."""

RECOGNITION_FAILED: Final = "7"

MAX_RULES: Final = 10_000
"""Groups, and rules, of one review that are read."""


@dataclass(frozen=True, slots=True)
class Result:
    """One review's result; ``keep`` archives it, as the next retry overwrites it."""

    shown: Mapping[str, Any]
    words: Words
    keep: bool = False

    def result(self, task: TaskRef) -> CheckResult:
        """Judge a review by its status, and a rule by its own result whatever the review's is."""
        try:
            return self._judged(task)
        except RecursionError:
            return unreadable(self.words, "a result that is nested too deeply")

    def _judged(self, task: TaskRef) -> CheckResult:
        if text(self.shown.get("task_id")) not in {"", task.external_id}:
            return unreadable(self.words, "the answer is about another review")
        rules = _rules(self.shown)
        if rules is None:
            return unreadable(self.words, f"more than {MAX_RULES} groups or rules")
        review = self._reading(self.shown, "status", _review_mark(self.shown, rules))
        return self._rule(task, rules, review) if task.kind == RULE else review

    def _rule(self, task: TaskRef, rules: Sequence[Mapping[str, Any]], review: Reading | Unreadable) -> CheckResult:
        by_id = {text(rule.get("rule_id")): rule for rule in rules}
        own = by_id.get(task.sub_id)
        result = self._reading(own, "review_result", _rule_mark(own)) if own else None
        if isinstance(result, Reading):
            return result
        if isinstance(review, Reading) and self._came_to_no_rules(review):
            return review
        if result or isinstance(review, Unreadable):
            return result or review
        if "" in by_id:
            return unreadable(self.words, "a rule of the review cannot be read")
        return gone(DeadReason.NOT_FOUND, f"rule {task.sub_id} is not part of review {task.external_id}")

    def _came_to_no_rules(self, review: Reading) -> bool:
        """Whether the review has not come as far as its rules yet, or failed before it did."""
        if review.state is State.RUNNING or review.code == RECOGNITION_FAILED:
            return True
        listed = any(fields(group).get("review_tasks") for group in items(self.shown.get("groups") or []))
        return review.state is State.FAILED and not listed

    def _reading(self, entry: Mapping[str, Any], name: str, mark: Sequence[object]) -> Reading | Unreadable:
        status = number(entry.get(name))
        if status is None or status not in STATES:
            return unreadable(self.words, f"{name} {line(entry.get(name), MAX_CODE) or 'missing'} is not known")
        state, message = STATES[status]
        result = fields(storable(entry)) if self.keep else None
        return Reading(state=state, mark=short_mark(json.dumps(mark)), code=str(status), message=message, result=result)


def _rules(shown: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """All rules of all groups, None when they are too many; one that is unreadable comes as a rule without an id."""
    groups = items(shown.get("groups"))
    listed = [items(fields(group).get("review_tasks")) for group in groups[: MAX_RULES + 1]]
    if max(len(groups), sum(map(len, listed))) > MAX_RULES:
        return None
    return [fields(rule) for part in listed for rule in part]


def _review_mark(shown: Mapping[str, Any], rules: Sequence[Mapping[str, Any]]) -> list[object]:
    marks = sorted(map(_rule_mark, rules), key=json.dumps)
    return [shown.get("extract_task_ids"), shown.get("statistics"), marks]


def _rule_mark(rule: Mapping[str, Any]) -> list[object]:
    """What a run writes; what people add when they audit it is left out."""
    return [rule.get(name) for name in ("rule_id", "rule_task_id", "review_result", "reasoning")]
