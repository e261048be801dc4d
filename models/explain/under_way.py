"""A task whose retry is under way: in a batch, running at the provider, or not known to be."""

from collections.abc import Iterator
from datetime import timedelta

from ..ledger import free_at
from ..lifecycle import settle_seconds, settles_at
from ..states import BatchStatus, Operation
from .facts import BatchFacts, Known
from .obstacles import api_path, missing
from .past import last_attempt, spent, wish
from .waiting import batch_words, check
from .words import ago, ahead, clock, duration, many, quoted

_UNBEGUN = timedelta(seconds=30)


def in_flight(known: Known) -> Iterator[str]:
    """In a batch."""
    batch = known.facts.batch
    if batch is None:
        yield "is in a batch that has just ended: ask again."
        return
    attempt = known.facts.attempt
    if attempt is not None and attempt.outcome is None:
        yield f"is being retried: attempt {attempt.number} was opened {ago(attempt.opened_at, known.now)}."
        yield from _open(known, batch)
    else:
        yield f"is about to be retried: it is in {batch_words(known, batch)}."
        yield from _unsent(known, batch)
    yield from wish(known)


def _open(known: Known, batch: BatchFacts) -> Iterator[str]:
    yield f"It is in {batch_words(known, batch)}. The call may have left and its answer is not recorded yet."
    if batch.lease_until is not None:
        yield (
            f"If it is still open when the lease ends, {ahead(batch.lease_until, known.now)}, it counts as spent, and "
            "its state at the provider is checked before anything else."
        )
    yield f"I{spent(known)[1:]}, this attempt not counted."


def _unsent(known: Known, batch: BatchFacts) -> Iterator[str]:
    yield f"Its call has not left, nothing is spent for it; {spent(known)}."
    if batch.status is BatchStatus.SENDING:
        path = api_path(known, Operation.RETRY)
        leaves_at = free_at(known.facts.paths, path, known.now)
        if leaves_at > known.now:
            yield f"The next call on {path} leaves {ahead(leaves_at, known.now)}."
        if batch.lease_until is not None:
            yield f"What is not sent when the lease ends, {ahead(batch.lease_until, known.now)}, goes back and is due."
        return
    if batch.publish_at is not None and batch.publish_at > known.now:
        yield f"Until a worker begins it, the batch is published again, next {ahead(batch.publish_at, known.now)}."
    elif batch.publish_at is not None:
        yield f"It was to be published again {ago(batch.publish_at, known.now)}, which schedulers do: does one run?"
    if found := missing(known):
        yield from found
    elif known.now - batch.created_at >= _UNBEGUN:
        yield f"No worker has begun it: does one run that takes the batches of {known.rules.provider}?"


def retrying(known: Known) -> Iterator[str]:
    """Accepted, and followed."""
    yield f"is running again: its retry was accepted {ago(known.task.status_since, known.now)}. {_number(known)}"
    yield from _checks(known)
    yield f"If no end shows {_until(known)}, it is dead (expired)."
    yield from wish(known)


def unknown(known: Known) -> Iterator[str]:
    """A call may have reached the provider."""
    yield f"may have been retried {ago(known.task.status_since, known.now)}: nobody knows yet. {_number(known)}"
    yield from last_attempt(known)
    yield "It is not retried before a check shows what became of it."
    yield from _checks(known)
    then = "held" if known.rules.policy.on_unknown == "hold" else "retried"
    most = many(known.rules.policy.max_errors, "check")
    yield f"If it says nothing {_until(known)}, or {most} in a row cannot be read, the task is {then} (on_unknown)."
    yield from wish(known)


def _number(known: Known) -> str:
    return f"I{spent(known)[1:]}."


def _until(known: Known) -> str:
    since, timeout = known.task.status_since, timedelta(seconds=known.rules.policy.check_timeout_seconds)
    ends_at = since + timeout + known.facts.stood(since)
    return f"until {clock(ends_at, known.now)}" if ends_at > known.now else "at the next check"


def _checks(known: Known) -> Iterator[str]:
    task = known.task
    if not known.rules.capabilities.can_check:
        yield f"{known.rules.capabilities.title} cannot be asked any more what became of it."
        return
    if task.seen is not None and task.seen.number == task.attempts:
        yield f"The last check, {ago(task.seen.asked_at, known.now)}, found {quoted(task.seen.state)}."
    yield from check(known)
    if task.errors:
        words = f": {quoted(task.last_error)}" if task.last_error else ""
        yield f"{many(task.errors, 'check')} in a row could not be read{words}."
    settled_at = settles_at(task, known.rules)
    if settled_at > known.now:
        settle = duration(settle_seconds(task, known.rules))
        yield f"For the first {settle}, until {clock(settled_at, known.now)}, an old state is not taken for a new one."
