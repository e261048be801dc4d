"""What keeps a claim from taking a due task, in the order in which a claim asks."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from ..ledger import SCHEDULER, WRITING, Path, claim_seconds, fitting, free_at
from ..outcome import Cause
from ..rules import GROUP_WIDE
from ..states import Operation, SetAside
from .facts import Known
from .words import ago, ahead, duration, many, quoted


def obstacles(known: Known, operation: Operation) -> list[str]:
    """A sentence for each thing in the way of the task's next retry or check; none: the next pass takes it."""
    return [*missing(known), *_at_a_claim(known, operation)]


def missing(known: Known) -> list[str]:
    """The processes that do not run."""
    return [f"{missing_words(role, seen_at, known.now)}." for role, seen_at in known.facts.missing.items()]


def missing_words(role: str, seen_at: datetime | None, now: datetime) -> str:
    """What it means that no process of a role runs, or that none can write."""
    if role == WRITING:
        last = f"; the last line of ours is from {ago(seen_at, now)}" if seen_at is not None else ""
        return (
            "Another program keeps a transaction open in the SQLite file, so nobody else can write and nothing happens"
            f"{last}: end it (`fuser` on the file names who has it open)"
        )
    then = "nothing is claimed" if role == SCHEDULER else "nothing is sent"
    last = f" (the last one was seen {ago(seen_at, now)})" if seen_at is not None else ""
    return f"No {role} runs{last}, so {then}: start one with `redrive {role}`"


def trouble_words(why: str) -> str:
    """What keeps the scheduler from an account's work."""
    return f"its work cannot be scheduled at the moment ({why}); the log of the scheduler says more"


def set_aside_words(cause: SetAside, why: str) -> str:
    """Why Redrive has set a task aside, and what to do about it."""
    reason = f"{_WHY_SET_ASIDE[cause]} ({why})" if why else _WHY_SET_ASIDE[cause]
    return f"{reason}; {_MENDS[cause]}"


_WHY_SET_ASIDE: Mapping[SetAside, str] = {
    SetAside.ROW: "its row cannot be read or written",
    SetAside.KIND: "its provider does not have this kind of task",
    SetAside.UNKNOWN: "nobody can tell whether its last retry ran",
    SetAside.UNREADABLE: "its checks were answered with something that Redrive does not understand",
}
_MENDS: Mapping[SetAside, str] = {
    SetAside.ROW: "fix the row",
    SetAside.KIND: "stop it, or install the provider's release that knows the kind",
    SetAside.UNKNOWN: "see at the provider what became of it",
    SetAside.UNREADABLE: "see at the provider what became of it",
}


def _at_a_claim(known: Known, operation: Operation) -> list[str]:
    account, rules = known.facts.account, known.rules
    if account is None:
        return [f"No scheduler has run since account {rules.account} was configured."]
    if account.provider != rules.provider:
        words = f"Account {rules.account} is configured for {rules.provider}, but its tasks are {account.provider}'s"
        return [f"{words}: give the new account another name."]
    return [*_trouble(known), *at_the_account(known, operation), *_window(known), *_path(known, operation)]


def _trouble(known: Known) -> Iterator[str]:
    if known.facts.trouble:
        words = trouble_words(known.facts.trouble)
        yield f"{words[0].upper()}{words[1:]}."


def at_the_account(known: Known, operation: Operation) -> list[str]:
    """What is in the way of all its tasks."""
    return [*_pause(known, operation), *_breaker(known, operation)]


def lasting(known: Known, operation: Operation, due_at: datetime) -> list[str]:
    """What will still be in its way when it is due, as far as that is known already."""
    open_until = known.facts.breaker.open_until
    blocked_until = _state(known, operation).blocked_until
    return [
        *missing(known),
        *_pause(known, operation),
        *(_breaker(known, operation) if open_until is not None and open_until > due_at else ()),
        *(_path(known, operation) if blocked_until is not None and blocked_until > due_at else ()),
    ]


def _pause(known: Known, operation: Operation) -> Iterator[str]:
    account, now = known.facts.account, known.now
    if account is None or account.paused_at is None:
        return
    why = f": {quoted(account.paused_reason)}" if account.paused_reason else ""
    yield f"{account.paused_by} paused account {account.name} {ago(account.paused_at, now)}{why}."
    if account.paused_cause == Cause.BALANCE and account.probe_at is not None and operation is Operation.RETRY:
        yield f"One of its tasks tries {ahead(account.probe_at, now)} whether the balance was topped up."
    if remedy := remedies(account.paused_cause):
        yield f"{remedy[0].upper()}{remedy[1:]}."
    yield f"`redrive resume {account.name}` ends the pause."


def remedies(cause: str | None) -> str:
    """What a person must do before a pause of this cause may end."""
    return _REMEDIES.get(cause or "", "")


_REMEDIES: Mapping[str, str] = {
    Cause.CREDENTIALS: "fix the credentials and restart the workers, which read secrets when they start",
    Cause.BALANCE: "top up the balance at the provider",
    Cause.REFUSALS: "see with `redrive list` what the provider refuses, and why",
}


def _breaker(known: Known, operation: Operation) -> Iterator[str]:
    breaker = known.facts.breaker
    if breaker.open_until is None:
        return
    yield f"{breaker_words(operation, breaker.failures, breaker.why)}."
    if breaker.probe is not None:
        yield "One task is trying now whether it works again."
    else:
        yield f"One task tries {ahead(breaker.open_until, known.now)} whether it works again."
    yield f"`redrive resume {known.rules.account}` lets all of them go on now, with `--try-one` one of them."


def breaker_words(operation: Operation, failures: int, why: str) -> str:
    """Why an operation of an account is left alone."""
    what = "retries" if operation is Operation.RETRY else "checks"
    if not failures:
        return f"The breaker for {what} lets one task through at a time{f': {why}' if why else ''}"
    last = f", the last one: {quoted(why)}" if why else ""
    return f"The breaker for {what} is open: {many(failures, 'call')} in a row had no usable answer{last}"


def _window(known: Known) -> Iterator[str]:
    facts, rules = known.facts, known.rules
    if len(facts.under_way) >= rules.max_in_flight:
        yield f"{many(len(facts.under_way), 'batch')} of this account are under way, as many as max_in_flight allows."


def _path(known: Known, operation: Operation) -> Iterator[str]:
    """A claim takes what can be sent soon, on paths that are free within half a lease."""
    path, state = api_path(known, operation), _state(known, operation)
    leaves_at = free_at(known.facts.paths, path, known.now)
    half = known.rules.lease_seconds / 2
    if state.blocked_until is not None and state.blocked_until > known.now:
        why = f": {quoted(state.why)}" if state.why else ""
        yield f"The provider asked for patience on {path}{why}."
        yield f"The next call there leaves {ahead(leaves_at, known.now)}."
        yield f"`redrive resume {known.rules.account} --force` ends the wait."
    elif leaves_at > known.now + timedelta(seconds=half):
        yield f"{path} is taken by earlier calls; the next one leaves {ahead(leaves_at, known.now)}."
    else:
        yield from _pace(known, operation)


def _state(known: Known, operation: Operation) -> Path:
    """The API path of the task's next call, or what stands for the whole group."""
    return known.facts.paths.get(api_path(known, operation)) or known.facts.paths.get(GROUP_WIDE) or Path()


def _pace(known: Known, operation: Operation) -> Iterator[str]:
    """The pace of all paths that are free leaves no room beside what is claimed already."""
    fits = fitting(known.rules, operation, known.facts.paths, known.now, known.facts.under_way)
    if fits.soon < 1:
        soon = duration(claim_seconds(known.rules, operation))
        yield f"{many(fits.waiting, 'task')} are claimed already: all that can be sent in {soon}."
    elif fits.half_lease < 1:
        half = duration(known.rules.lease_seconds / 2)
        yield f"{many(fits.claimed, 'task')} are claimed already: all that can be sent in half a lease, {half}."


def api_path(known: Known, operation: Operation) -> str:
    """The API path on which the task's next call goes."""
    kind = known.rules.capabilities.kind(known.task.kind) or known.rules.capabilities.kinds[0]
    return kind.retry_path if operation is Operation.RETRY else kind.check_path
