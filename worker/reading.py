"""What a provider makes of an answer: asked of its code, checked and cleaned. Plain functions that run anywhere.

A fault of the provider's code with one task stays with that task: what raises for a call is read again, task by task.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, cast, get_args

from redrive.models.outcome import CheckResult, Deferred, Outcome, Unknown, Unsent
from redrive.models.states import Operation

from .fit import MisfitError, fit
from .guard import ProviderFailedError, guarded
from .providers.base import Answer, Call, CheckResults, Exchange, Provider, Split

RETRY_OUTCOMES: Final[frozenset[type]] = frozenset(get_args(Outcome))
CHECK_RESULTS: Final[frozenset[type]] = frozenset(get_args(CheckResult))
UNSENT: Final = frozenset({Deferred, Unsent})
"""Whether bytes left is the transport's word alone: no provider says so of what was sent."""

MAX_REREAD_BYTES: Final = 4 * 1024 * 1024
"""How much is read in all where an answer is read once more for each of its tasks."""

_FAULTS = (ProviderFailedError, MisfitError)


@dataclass(frozen=True, slots=True)
class Question:
    """An answer, and what reading it takes. It holds secrets, and is handed to no process but a child of our own.

    Attributes:
        exchange: with an answer, where it is about retries.
        archives: whether the account keeps results.
        most_items: values that an answer may hold; one with more is not read.
    """

    provider: Provider
    operation: Operation
    call: Call
    exchange: Exchange
    secrets: tuple[str, ...] = field(repr=False)
    archives: bool
    most_items: int

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return len(self.exchange.answer.body) if self.exchange.answer else 0


@dataclass(slots=True)
class Found:
    """What an answer says.

    Attributes:
        answers: one for every task of the call, unless there is ``more``.
        more: the next page to ask for.
        split: the call was refused as a whole; what that means where it has only one task.
        defects: what went wrong in the provider's code. These words may hold secrets.
    """

    answers: dict[int, Outcome | CheckResult] = field(default_factory=dict)
    more: Call | None = None
    split: Outcome | None = None
    defects: list[str] = field(default_factory=list)


def read(question: Question) -> Found:
    """What the answer says of the tasks of its call. Never raises."""
    answer = question.exchange.answer
    if answer is not None and _items(answer) > question.most_items:
        words = f"the answer holds more than {question.most_items} values and was not read"
        return _the_same(question, Unknown(http_status=answer.status, message=words))
    try:
        return _asked(question)
    except _FAULTS as error:
        return _one_by_one(question, str(error))


def unread(exchange: Exchange) -> Outcome:
    """What an exchange proves of a task without anybody reading its answer."""
    if exchange.withheld:
        return Unsent(message=exchange.error)
    if not exchange.sent:
        return Deferred(message=exchange.error)
    return Unknown(message=exchange.error or "the answer could not be read")


def _items(answer: Answer) -> int:
    """No fewer than the values in the JSON: each but the first of a list or object follows a comma."""
    return sum(map(answer.body.count, (b",", b"[", b"{")))


def _asked(question: Question) -> Found:
    """What the provider's code says.

    Raises:
        ProviderFailedError, MisfitError: it says nothing usable of any task.
    """
    if question.operation is Operation.CHECK:
        return _results_of(question, guarded(question.provider.results, question.call, question.exchange))
    outcomes: object = guarded(question.provider.outcomes, question.call, question.exchange)
    if isinstance(outcomes, Split):
        return Found(split=cast("Outcome", fit(outcomes.outcome, RETRY_OUTCOMES - UNSENT, question.secrets)))
    return _complete(question, _fitted(question, outcomes, RETRY_OUTCOMES - UNSENT))


def _results_of(question: Question, shown: object) -> Found:
    if not isinstance(shown, CheckResults):
        raise MisfitError(f"{type(shown).__name__} in place of checks")
    found = _fitted(question, shown.results, CHECK_RESULTS - UNSENT if question.exchange.sent else CHECK_RESULTS)
    more: object = shown.more
    if more is None:
        return _complete(question, found)
    if not isinstance(more, Call) or more.tasks != question.call.tasks:
        raise MisfitError("a further page that is not about the same tasks")
    return replace(found, more=more)


def _fitted(question: Question, answers: object, kinds: Collection[type]) -> Found:
    """The answers about what was asked, each as it may be recorded. Many tasks share one, which is checked once."""
    if not isinstance(answers, Mapping):
        raise MisfitError(f"{type(answers).__name__} in place of answers")
    given: dict[int, Outcome | CheckResult] = guarded(dict, answers)
    fitted: dict[int, Outcome | CheckResult | None] = {}
    found = Found()
    for task in question.call.tasks:
        if (answer := given.get(task.id)) is None:
            continue
        if id(answer) not in fitted:
            fitted[id(answer)] = _fit(question, answer, kinds, found.defects)
        if (fit_one := fitted[id(answer)]) is not None:
            found.answers[task.id] = fit_one
    return found


def _fit(
    question: Question, answer: Outcome | CheckResult, kinds: Collection[type], defects: list[str]
) -> Outcome | CheckResult | None:
    try:
        return guarded(fit, answer, kinds, question.secrets, archives=question.archives)
    except _FAULTS as error:
        defects.append(str(error))
        return None


def _complete(question: Question, found: Found) -> Found:
    """What was not answered is unread."""
    left = {task.id: unread(question.exchange) for task in question.call.tasks if task.id not in found.answers}
    found.answers |= left
    return found


def _the_same(question: Question, answer: Outcome) -> Found:
    return Found({task.id: answer for task in question.call.tasks})


def _one_by_one(question: Question, defect: str) -> Found:
    """The same answer, read for each task alone: the one that the provider's code stumbles over is left unread."""
    found = Found(defects=[defect])
    tasks = question.call.tasks
    if len(tasks) > 1 and question.call.carry is None and question.size * len(tasks) <= MAX_REREAD_BYTES:
        for task in tasks:
            alone = replace(question, call=replace(question.call, tasks=(task,)))
            try:
                one = _asked(alone)
            except _FAULTS:
                continue
            # A page proves nothing, nor does a refusal of the whole call, perhaps for another task.
            if one.more is None and one.split is None:
                found.answers |= one.answers
    return _complete(question, found)
