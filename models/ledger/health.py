"""What one call says of its account: whether the provider is there and at work."""

from collections.abc import Mapping
from dataclasses import dataclass

from ..outcome import CheckResult, Deferred, Outcome, Unknown, Unsent


@dataclass(frozen=True, slots=True)
class CallHealth:
    """What a call says.

    Attributes:
        why: why there was no usable answer; ``""`` where there was one.
        suspects: the tasks that a complete answer was about which names a fault of the provider's own. It may be a
            fault with these tasks alone. None of them: nobody answered at all.
    """

    why: str = ""
    suspects: frozenset[int] = frozenset()


def call_of(answers: Mapping[int, Outcome | CheckResult]) -> CallHealth | None:
    """What the answers to one call say; None where they say nothing: it never left, or there is no call for its tasks.

    An answer that is complete and not understood is as good as any other: account and address work.
    """
    telling = {task_id: answer for task_id, answer in answers.items() if not _says_nothing(answer)}
    if not telling:
        return None
    if not all(isinstance(answer, Deferred | Unknown) for answer in telling.values()):
        return CallHealth()
    answered = {i: answer for i, answer in telling.items() if isinstance(answer, Unknown) and answer.answered}
    first = next(iter((answered or telling).values()))
    return CallHealth(first.message or first.code or first.name, frozenset(answered))


def _says_nothing(answer: Outcome | CheckResult) -> bool:
    return isinstance(answer, Unsent) or (isinstance(answer, Deferred) and answer.of_task)
