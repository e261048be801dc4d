"""A task for which nobody at Redrive has anything to do: at work, held, or at one of its two ends."""

from collections.abc import Iterator, Mapping

from ..lifecycle import release, revive
from ..states import NEVER_CLAIMED, DeadReason, Operation, SetAside
from .facts import Known
from .obstacles import set_aside_words
from .past import by, last_attempt, spent
from .waiting import check
from .words import ago, duration, many


def at_work(known: Known) -> Iterator[str]:
    """Pending or running, its owner says."""
    task = known.task
    yield f"is {task.status}: its owner reported that {ago(task.status_since, known.now)}."
    if task.next is Operation.CHECK and task.due_at is not None:
        yield "Somebody asked for a check of its state at the provider."
        yield from check(known)
        return
    yield "Nothing happens until its owner reports how it ended, or writes that it failed."
    if known.rules.capabilities.can_check:
        yield f"`redrive retry {task.id}` checks it now."


def held(known: Known) -> Iterator[str]:
    """Held by somebody, or because nobody could tell what became of its retry."""
    task = known.task
    yield f"has been held for {_time(known)}; {spent(known)}."
    yield by(known, "hold", "held it") or _set_aside(known)
    yield from last_attempt(known)
    back = release(task, known.context).task
    first = ", and checks its state at the provider first" if back.next is Operation.CHECK else ""
    yield f"`redrive release {task.id}` sets it back to {back.status}{first}."


def set_aside(known: Known) -> Iterator[str]:
    """Neither claimed nor checked, whatever its status."""
    status = known.task.status.value.replace("_", " ")
    yield f"has been {status} for {_time(known)}; {spent(known)}."
    yield from last_attempt(known)
    yield from never_claimed(known)


def never_claimed(known: Known) -> Iterator[str]:
    """Why Redrive has set it aside, and what ends that; nothing where it is claimed like all others."""
    odd = known.facts.set_aside
    if odd is not None and odd.cause in NEVER_CLAIMED:
        words = set_aside_words(odd.cause, odd.why)
        yield f"Redrive has set it aside and neither retries nor checks it: {words}."
        yield f"`redrive release {known.task.id}` lets it go on."


def _set_aside(known: Known) -> str:
    odd = known.facts.set_aside
    if odd is not None and odd.cause is SetAside.UNREADABLE:
        return "Its checks were answered with something that Redrive does not understand, so a person must decide."
    if known.rules.policy.on_unknown == "retry":
        return 'Nobody could tell whether its last retry ran. on_unknown is "retry" now: its turn comes soon.'
    return 'Nobody could tell whether its last retry ran, and on_unknown = "hold" leaves that to a person.'


def succeeded(known: Known) -> Iterator[str]:
    """The end everybody wants."""
    task = known.task
    how = f"after {many(task.spent, 'retry')}" if task.spent else "without a retry by Redrive"
    yield f"succeeded {ago(task.status_since, known.now)}, {how}."
    if known.facts.attempt is not None and known.facts.attempt.result:
        yield from last_attempt(known)
    yield f"Nothing more happens. A newer failure, reported by its owner, grants {_round(known)} more."


def dead(known: Known) -> Iterator[str]:
    """The other end: why, and what would bring it back."""
    task = known.task
    yield f"has been dead ({task.dead_reason}) for {_time(known)}: {_why(known)}."
    yield f"I{spent(known)[1:]}."
    yield from last_attempt(known)
    said = revive(task, known.context)
    if said.hint:
        yield f"It cannot be brought back: {said.hint}."
        return
    first = " after a check" if said.task.next is Operation.CHECK else ""
    times = said.task.limit(known.rules) - task.spent
    yield f"`redrive revive {task.id}` retries it{first}, {many(times, 'time')} at most."
    yield f"`redrive retry --force {task.id}` retries it once."


def _time(known: Known) -> str:
    return duration((known.now - known.task.status_since).total_seconds())


def _round(known: Known) -> str:
    return many(known.task.round_of_retries(known.rules), "retry")


def _why(known: Known) -> str:
    policy = known.rules.policy
    stopped = by(known, "stop", "stopped it").rstrip(".")
    words: Mapping[DeadReason, str] = {
        DeadReason.LIMIT_REACHED: "as many retries as allowed have failed",
        DeadReason.NOT_FOUND: "the provider does not know this task",
        DeadReason.RESOURCE_GONE: "what it needs at the provider is gone, and no retry can fix that",
        DeadReason.REFUSED: "the provider refuses to retry it",
        DeadReason.UNDELIVERABLE: f"there was no call for it, {policy.max_errors} times in a row",
        DeadReason.TOO_OLD: f"it still failed {duration(policy.give_up_after_seconds)} after its first failure here",
        DeadReason.EXPIRED: f"its retry was accepted and did not end within {duration(policy.check_timeout_seconds)}",
        DeadReason.STOPPED: stopped or "an operator stopped it",
        DeadReason.RULED_OUT: f'on_failure says "never" of its failure, {known.task.failure}',
    }
    return words[DeadReason(known.task.dead_reason or "")]
