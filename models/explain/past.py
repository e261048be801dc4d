"""Sentences about what has been: the last attempt, retries spent, what people asked for."""

from collections.abc import Iterator

from ..outcome import Accepted, Already, Blocked, Deferred, Refused, Throttled, Unknown, Unsent, answer_words
from ..states import Status, Wish
from .facts import Known
from .words import ago, many, quoted

_OUTCOMES = {
    Accepted.name: "the provider accepted it",
    Already.name: "the provider did not retry it and gave no clear reason",
    Refused.name: "the provider refused it for good",
    Deferred.name: "it could not be delivered",
    Throttled.name: "the provider asked for patience",
    Blocked.name: "the provider took nothing from this account",
    Unknown.name: "it may have reached the provider, but no readable answer came back",
    Unsent.name: "it was recorded and then not sent",
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
    """What the last attempt came to, and the last error of the task if it is another."""
    attempt, said = known.facts.attempt, ""
    if attempt is not None and attempt.outcome is not None:
        said = answer_words(attempt.http_status, attempt.code, attempt.message)
        words = f": {quoted(said)}" if said else ""
        yield f"Attempt {attempt.number}, {ago(attempt.opened_at, known.now)}: {_OUTCOMES[attempt.outcome]}{words}."
        if attempt.result:
            yield f"Its run ended: {quoted(attempt.result)}."
            said += attempt.result
    over = known.task.status is Status.SUCCEEDED
    if known.task.last_error and known.task.last_error not in said and not over:
        yield f"Its last error: {quoted(known.task.last_error)}."


def wish(known: Known) -> Iterator[str]:
    """What an operator wants of a task whose call cannot be taken back."""
    if known.task.wish is None:
        return
    then = "held" if known.task.wish is Wish.HOLD else "dead (stopped)"
    yield by(known, known.task.wish, f"asked to {known.task.wish} it") or f"An operator asked to {known.task.wish} it."
    yield f"Once the retry under way has failed, it is {then}; if that succeeds, it has succeeded."


def by(known: Known, what: str, did: str) -> str:
    """``ann@ops did it 3 s ago: "why".``; '' when the last thing that was done is another."""
    action = known.facts.action
    if action is None or action.what != what:
        return ""
    why = f": {quoted(action.why)}" if action.why else ""
    return f"{action.who} {did} {ago(action.at, known.now)}{why}."
