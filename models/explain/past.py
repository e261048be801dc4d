"""Sentences about what has been: the last attempt, retries spent, what people wished."""

from collections.abc import Iterator

from ..outcome import Accepted, Already, Blocked, Deferred, Refused, Throttled, Unknown, Unsent
from ..states import Status, Wish
from .facts import Known
from .words import ago, many, quoted

_OUTCOMES = {
    Accepted.name: "the provider accepted it",
    Already.name: "the provider would not retry it and did not prove why",
    Refused.name: "the provider refused it for good",
    Deferred.name: "it could not be delivered",
    Throttled.name: "the provider asked for patience",
    Blocked.name: "the provider would take nothing from this account",
    Unknown.name: "it may have reached the provider, but no readable answer came back",
    Unsent.name: "it was opened and then not sent",
}


def spent(known: Known) -> str:
    """``it has spent 2 of its 5 retries``, with a word where the limit is not simply the policy's."""
    own, granted, note = known.task.round_of_retries(known.rules), known.task.granted, ""
    if known.limit < own + granted:
        note = " (the provider's own cap)"
    elif granted:
        note = f" ({granted} of them granted)"
    return f"it has spent {known.task.spent} of its {many(known.limit, 'retry')}{note}"


def last_attempt(known: Known) -> Iterator[str]:
    """What the last attempt came to, and the last words about the task if they are others."""
    attempt, said = known.facts.attempt, ""
    if attempt is not None and attempt.outcome is not None:
        said = " ".join(filter(None, (attempt.code, attempt.message)))
        words = f": {quoted(said)}" if said else ""
        yield f"Attempt {attempt.number}, {ago(attempt.opened_at, known.now)}: {_OUTCOMES[attempt.outcome]}{words}."
        if attempt.result:
            yield f"What became of it: {quoted(attempt.result)}."
            said += attempt.result
    over = known.task.status is Status.SUCCEEDED
    if known.task.last_error and known.task.last_error not in said and not over:
        yield f"The last words about it: {quoted(known.task.last_error)}."


def wish(known: Known) -> Iterator[str]:
    """What an operator wants of a task whose call cannot be taken back."""
    if known.task.wish is None:
        return
    then = "held" if known.task.wish is Wish.HOLD else "dead (stopped)"
    who = by(known, known.task.wish) or "An operator"
    yield f"{who} asked to {known.task.wish} it: when this retry has failed it is {then}; success wins."


def by(known: Known, what: str) -> str:
    """Who did that last, when and why; '' when the last thing done was another."""
    action = known.facts.action
    if action is None or action.what != what:
        return ""
    why = f" ({quoted(action.why)})" if action.why else ""
    return f"{action.who}{why}, {ago(action.at, known.now)},"
