"""The tables of docs/lifecycle.md, cell by cell, against the functions that decide."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from redrive.models import lifecycle
from redrive.models.ledger.check_step import wants_check
from redrive.models.lifecycle import Claimed, Context
from redrive.models.lifecycle.grid import rounded_up
from redrive.models.outcome import (
    Accepted,
    Already,
    Blocked,
    Cause,
    Deferred,
    Outcome,
    Reading,
    Refused,
    State,
    Throttled,
    Unknown,
    Unreadable,
    Unsent,
)
from redrive.models.rules import Rules
from redrive.models.settings.policy import FailureRule
from redrive.models.sql.migrations.row_rules_0002 import MOST
from redrive.models.states import FAILED_STATES, FOLLOWED_STATES, DeadReason, Operation, Status, Wish
from redrive.models.task import Seen, Task
from tests.support.samples import BATCH, BLIND, FAR, LONG_AGO, NOW, POLICY, RULES, task, with_policy

PAGE = Path(__file__).parents[3] / "docs" / "lifecycle.md"
COLUMNS = (
    "pending, running", "failed, canceled", "queued", "sending", "retrying", "unknown", "held", "succeeded", "dead",
)  # fmt: skip

NOTHING = "\N{EN DASH}"


def samples(column: str) -> Iterator[Task]:
    """Tasks of a column as the schema allows them."""
    match column:
        case "queued" | "sending":
            yield from (task(Status.IN_FLIGHT, batch_id=BATCH, held_from=word) for word in FAILED_STATES)
        case "failed, canceled":
            yield from (task(word, due_at=FAR) for word in FAILED_STATES)
        case "retrying" | "unknown":
            yield task(Status(column), due_at=FAR, next=Operation.CHECK)
        case "held":
            yield from (task(Status.HELD, held_from=word) for word in FAILED_STATES)
        case "dead":
            yield task(Status.DEAD, dead_reason="limit_reached")
        case _:
            yield from (task(Status(word.strip())) for word in column.split(","))


# --- the events ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Event:
    """How an event is brought about: what it does to a task, and what the task and the rules must be for it."""

    act: Callable[[Task, Context, bool], Task]
    rules: Rules = RULES
    given: Mapping[str, Any] = field(default_factory=dict)
    word: str = "failed"
    """What "as reported" and "as read" mean."""
    is_look: bool = False
    stood: timedelta = timedelta()
    """How long the account stood still."""
    only: tuple[Status, ...] = tuple(Status)
    """The statuses in which the event can happen, where a column holds others, too."""


def told(outcome: Outcome, *, probe: bool = False, **more: Any) -> Event:
    return Event(lambda x, context, _: lifecycle.answered(x, outcome, context, probe=probe), **more)


def look(state: State, *, asked_ago: float = 0, **more: Any) -> Event:
    """A check; where nothing else is said it is asked long after the status began."""
    reading = Reading(state=state, reason=DeadReason.RESOURCE_GONE if state is State.GONE else None)
    asked_at = NOW - timedelta(seconds=asked_ago)
    return Event(
        lambda x, context, _: lifecycle.read(x, reading, asked_at, context).task, is_look=True, word=state, **more
    )


def unread(*results: Outcome | Unreadable, probe: bool = False, **more: Any) -> Event:
    def act(x: Task, context: Context, _: bool) -> Task:  # noqa: FBT001 - the shape of an event
        first, *others = (lifecycle.unread(x, each, context, probe=probe) for each in results)
        assert all(each == first for each in others)
        return first

    return Event(act, is_look=True, **more)


def reported(status: Status, *, at: datetime | None = None, **more: Any) -> Event:
    def act(x: Task, context: Context, is_open: bool) -> Task:  # noqa: FBT001 - the shape of an event
        return lifecycle.report(x, status, context, at=at, reason="why", is_open=is_open).task

    return Event(act, word=status, **more)


def added(status: Status, *, own: int | None = 4, **more: Any) -> Event:
    new = task(status, origin="api", params={"a": 1}, max_retries=own)
    return Event(lambda x, context, _: lifecycle.add_again(x, new, context), word=status, **more)


def claimed(*, busy: bool = False, archived: bool = True, **more: Any) -> Event:
    def act(x: Task, context: Context, _: bool) -> Task:  # noqa: FBT001
        decision = lifecycle.consider(x, BATCH, context, busy=busy, archived=archived)
        assert isinstance(decision, Claimed) == (decision.task.status is Status.IN_FLIGHT)
        return decision.task

    return Event(act, **more)


def lost(x: Task, context: Context, is_open: bool) -> Task:  # noqa: FBT001
    return lifecycle.lost(x, was_open=is_open, lease_until=context.now, context=context)


def given_back(x: Task, context: Context, _: bool) -> Task:  # noqa: FBT001
    # The ledger gives back only what is still in the batch.
    return lifecycle.gave_back(x, context.now) if x.status is Status.IN_FLIGHT else x


OPERATORS: Mapping[str, Event] = {
    "hold": Event(lambda x, c, is_open: lifecycle.hold(x, c, is_open=is_open).task),
    "release": Event(lambda x, c, _: lifecycle.release(x, c).task),
    "stop": Event(lambda x, c, is_open: lifecycle.stop(x, c, is_open=is_open).task),
    "retry": Event(lambda x, c, _: lifecycle.retry_now(x, c).task),
    "redrive.request, a host's wish": Event(lambda x, c, _: lifecycle.retry_now(x, c, releases=False).task),
    "retry --force": Event(lambda x, c, _: lifecycle.force(x, c).task),
    "revive": Event(lambda x, c, _: lifecycle.revive(x, c).task),
}

SPENT = {"spent": 3, "attempts": 3}
RESTING: dict[str, Any] = {"given": {"due_at": None}, "only": (Status.CANCELED,)}
SEEN = Seen(state="failed", mark="", at=LONG_AGO.isoformat(), first_at=LONG_AGO.isoformat(), number=2)
CAPPED = {"spent": 5, "attempts": 5, "granted": 9}
FRESH = {"status_since": NOW - timedelta(seconds=10)}
OLD = {"status_since": NOW - timedelta(days=2)}
LAST = {"errors": POLICY.max_errors - 1}
PREVENTED = (Throttled(), Blocked(cause=Cause.CREDENTIALS), Unsent())
UNCHECKABLE = Event(lambda x, c, _: lifecycle.uncheckable(x, c), rules=BLIND, is_look=True)
READ_ONCE = {"attempts": 0, "spent": 0, "origin": "client_ui"} | FRESH

EVENTS: dict[str, Event] = {
    "added again: failed": added(Status.FAILED),
    "added again: failed, though it rests as canceled": added(Status.FAILED, own=None, **RESTING),
    "added again: running": added(Status.RUNNING),
    "reported failed": reported(Status.CANCELED),
    "reported failed, though it rests as canceled": reported(Status.FAILED, **RESTING),
    "reported running": reported(Status.RUNNING),
    "reported succeeded": reported(Status.SUCCEEDED),
    "reported, but older than status_since": reported(Status.SUCCEEDED, at=LONG_AGO - timedelta(seconds=1)),
    "claimed": claimed(),
    "claimed, its failure ruled out by on_failure": claimed(
        given={"failure": "20130"}, rules=with_policy(RULES, on_failure={"20130": FailureRule(never=True)})
    ),
    "claimed, all retries spent": claimed(given=SPENT),
    "claimed, to be checked before its first retry": claimed(given={"origin": "client_ui"}),
    "claimed, what its last attempt brought not archived yet": claimed(
        archived=False, rules=replace(RULES, archives=True), given={"seen": SEEN}
    ),
    "claimed, of a kind its provider does not know": claimed(given={"kind": "review_rule"}),
    "claimed, with as many attempts as a row can count": claimed(given={"attempts": MOST - 1}),
    "claimed, something else in its way": claimed(busy=True),
    "its batch gives it back": Event(given_back),
    "its batch's lease is over": Event(lost),
    "it rests as canceled, and retry_canceled is true again": Event(lambda x, c, _: lifecycle.woken(x, c), **RESTING),
    'it is held for on_unknown, which says "retry" by now': Event(
        lambda x, c, _: lifecycle.unheld(x, c), rules=with_policy(RULES, on_unknown="retry")
    ),
    "its next turn is a check, and the status call is gone": UNCHECKABLE,
    "its next turn is a check, the status call is gone, and check_timeout_seconds are over": replace(
        UNCHECKABLE, given=OLD
    ),
    "it is let out of the quarantine": Event(lambda x, c, _: lifecycle.readmitted(x, c)),
    "accepted": told(Accepted()),
    "accepted, results not tracked": told(Accepted(), rules=with_policy(RULES, track_results=False)),
    "already": told(Already()),
    "already, no status call": told(Already(), rules=BLIND),
    "already twice, no status call": told(Already(), rules=BLIND, given={"refusals": 1, "errors": 1}),
    "refused": told(Refused(reason=DeadReason.NOT_FOUND)),
    "deferred": told(Deferred()),
    "deferred, of a probe": told(Deferred(), probe=True),
    "deferred, there is no call for it": told(Deferred(of_task=True)),
    "deferred, there is no call for it, max_errors in a row": told(Deferred(of_task=True), given={"errors": 3}),
    "throttled": told(Throttled()),
    "blocked": told(Blocked(cause=Cause.CREDENTIALS)),
    "unsent": told(Unsent()),
    "unknown": told(Unknown()),
    'unknown, no status call, on_unknown = "hold"': told(Unknown(), rules=BLIND),
    'unknown, no status call, on_unknown = "retry"': told(Unknown(), rules=with_policy(BLIND, on_unknown="retry")),
    "running": look(State.RUNNING),
    "succeeded, or a verdict": look(State.SUCCEEDED),
    "failed, not believed yet": look(State.FAILED, given=READ_ONCE),
    "failed": look(State.CANCELED),
    "failed, wish to hold": look(State.FAILED, given={"wish": Wish.HOLD}),
    "failed, wish to stop": look(State.FAILED, given={"wish": Wish.STOP}),
    "failed, all retries spent": look(State.FAILED, given=SPENT),
    "failed, its round too old": look(State.FAILED, given={"round_at": NOW - timedelta(days=8)}),
    "failed, after already": look(State.FAILED, given={"refusals": 1}),
    "failed, after already twice in a row": look(State.FAILED, given={"refusals": 2}),
    "failed for good": look(State.GONE),
    "no such task, not settled yet": look(State.MISSING, given=FRESH),
    "no such task": look(State.MISSING),
    "no such task, after already": look(State.MISSING, given={"refusals": 1}),
    "no such task, after already twice in a row": look(State.MISSING, given={"refusals": 2}),
    "no answer": unread(Unknown()),
    "no answer, to a probe": unread(Unknown(), Deferred(), probe=True),
    "not understood": unread(Unreadable(), Deferred(of_task=True)),
    "not understood, max_errors in a row": unread(Unreadable(), Unknown(), given=LAST),
    'not understood, max_errors in a row, on_unknown = "retry"': unread(
        Unreadable(), Unknown(), given=LAST, rules=with_policy(RULES, on_unknown="retry")
    ),
    "not understood, after already": unread(Unreadable(), given={"refusals": 1}),
    "not understood, after already, again and settled": unread(Unreadable(), given={"refusals": 1, "errors": 1}),
    "a check that is deferred": unread(Deferred()),
    "a check that is throttled, blocked or unsent": unread(*PREVENTED),
    "the same, after check_timeout_seconds": unread(*PREVENTED, given=OLD),
    "not understood after check_timeout_seconds, the account stood still": unread(
        Unreadable(), Unknown(), given=OLD, stood=timedelta(days=1, seconds=1)
    ),
    "running, after check_timeout_seconds": look(State.RUNNING, given=OLD),
    "no answer, or not understood, after check_timeout_seconds": unread(Unknown(), Unreadable(), given=OLD),
    'no answer, or not understood, after check_timeout_seconds, on_unknown = "retry"': unread(
        Unknown(), Unreadable(), given=OLD, rules=with_policy(RULES, on_unknown="retry")
    ),
    **OPERATORS,
    "release, with a wish": replace(OPERATORS["release"], given={"wish": Wish.STOP}),
    "retry --force, the provider's cap is reached": replace(OPERATORS["retry --force"], given=CAPPED),
    "revive, the provider's cap is reached": replace(OPERATORS["revive"], given=CAPPED),
}


# --- what a cell says ----------------------------------------------------------------------------------------------

HELD = ("status", "dead_reason", "held_from", "wish", "spent", "granted", "due_at", "next", "round_at")
"""What must be exactly as the cell says, and as it was where the cell says nothing."""


def moved(was: Task, to: Status) -> dict[str, Any]:
    """What a move alone means."""
    wish = was.wish if to in FOLLOWED_STATES else None
    return {"status": to, "dead_reason": None, "held_from": None, "due_at": None, "wish": wish, "next": Operation.RETRY}


def part(words: str, was: Task, event: Event) -> dict[str, Any]:  # noqa: C901, PLR0911, PLR0912 - the page's vocabulary
    """The columns that one part of a cell sets."""
    policy = event.rules.policy
    if words == NOTHING:
        return {}
    match words:
        case "errors + 1":
            return {}
        case "→ back":
            assert was.held_from is not None
            return moved(was, was.held_from)
        case "→ where it was":
            assert was.held_from is not None
            return moved(was, was.held_from)
        case "→ as reported" | "→ as read":
            return moved(was, Status(event.word))
        case "→ `in_flight`":
            return moved(was, Status.IN_FLIGHT) | {"held_from": was.status}
        case "→ `held`":
            origin = was.held_from or (Status.FAILED if was.status in FOLLOWED_STATES else was.status)
            return moved(was, Status.HELD) | {"held_from": origin}
        case "→ `retrying`" | "→ `unknown`":
            return moved(was, Status(words[3:-1])) | {"next": Operation.CHECK}
        case "back as reported":
            return {"held_from": Status(event.word)}
        case "due now":
            return {"due_at": NOW}
        case "check first":
            return {"next": Operation.CHECK}
        case "retry next":
            return {"next": Operation.RETRY, "due_at": None}
        case "set aside":
            return {}
        case "due in an hour":
            return {"due_at": NOW + timedelta(hours=1)}
        case "spent":
            return {"spent": was.spent + 1}
        case "granted 1":
            return {"granted": was.granted + 1}
        case "granted a round":
            return {"granted": was.granted + policy.max_retries}
        case "new round":
            return {"round_at": NOW}
        case "wish to hold" | "wish to stop":
            return {"wish": Wish(words.removeprefix("wish to "))}
        case "no wish":
            return {"wish": None}
    if dead := re.fullmatch(r"→ `dead` \((\w+)\)", words):
        return moved(was, Status.DEAD) | {"dead_reason": dead[1]}
    if status := re.fullmatch(r"→ `(\w+)`", words):
        return moved(was, Status(status[1]))
    raise AssertionError(f"the page says {words!r}, which this test does not know")


MOMENTS = ("due after `check_after`", "due at settle", "due at its end", "due later", "backoff", "first backoff")


def checked(words: str, was: Task, now: Task, event: Event) -> bool:
    """Whether one part speaks of a moment, or of text, that is no fixed value; it is checked here."""
    policy = event.rules.policy
    match words:
        case "due at settle":
            begin = NOW if was.status in FAILED_STATES else was.status_since
            assert now.due_at == begin + timedelta(seconds=policy.settle_seconds)
        case "due at its end":
            assert now.due_at == was.status_since + timedelta(seconds=policy.check_timeout_seconds)
        case "first backoff":
            assert now.due_at == NOW + timedelta(seconds=30)
        case "due after `check_after`":
            seconds = policy.check_after_seconds
            alone = NOW + timedelta(seconds=seconds)
            assert now.due_at == (rounded_up(alone, seconds, was.account) if now.next is Operation.CHECK else alone)
        case "due later":
            assert now.due_at is not None
            later = (now.due_at - NOW).total_seconds()
            assert policy.check_after_seconds <= later <= 1.1 * policy.check_max_seconds
        case "backoff":
            # Base 30 s, doubled each time, by what is spent or by errors in a row.
            turns = now.errors if now.errors > was.errors else now.spent
            assert now.due_at == NOW + timedelta(seconds=30 * 2 ** (turns - 1))
        case "fills gaps":
            assert (now.origin, now.params, now.max_retries) == ("api", {"a": 1}, 4)
        case "text":
            assert (now.last_error, now.failed_at) == ("why", NOW)
        case _:
            return False
    return True


def cells() -> Iterator[tuple[str, str, str]]:
    """Every cell of the tables: event, column, words."""
    for line in PAGE.read_text().splitlines():
        fields = [words.strip() for words in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(fields) == len(COLUMNS) + 1 and fields[0] != "Event" and not fields[0].startswith("-"):
            event = fields[0].replace("`", "")
            yield from ((event, column, words) for column, words in zip(COLUMNS, fields[1:], strict=True))


CELLS = list(cells())


def test_the_page_and_this_test_know_the_same_events() -> None:
    """No event of the page goes untested, and no event that is tested is missing on the page."""
    assert {event for event, _, _ in CELLS} == set(EVENTS)
    assert len(CELLS) == len(EVENTS) * len(COLUMNS)
    header = next(line for line in PAGE.read_text().splitlines() if line.startswith("| Event |"))
    assert [words.strip() for words in header.split("|")[2:-1]] == list(COLUMNS)


@pytest.mark.parametrize(("name", "column", "words"), [cell for cell in CELLS if cell[2]])
def test_a_cell_says_what_the_code_does(name: str, column: str, words: str) -> None:
    """The task is as the cell says in every column that matters, and as it was in all others."""
    event = EVENTS[name]
    for sample in samples(column):
        if sample.status not in event.only:
            continue
        was = prepared(sample, event)
        context = Context(event.rules, NOW, Random(1), stood=lambda _: event.stood)
        now = event.act(was, context, column == "sending")
        expected = {one: getattr(was, one) for one in HELD}
        parts = words.split(" · ")
        for each in parts:
            if not checked(each, was, now, event):
                expected |= part(each, was, event)
            elif each in MOMENTS:
                expected["due_at"] = now.due_at
        assert {one: getattr(now, one) for one in HELD} == expected
        if "errors + 1" in parts:
            assert now.errors == was.errors + 1
        else:
            assert now.errors in (0, was.errors)
        if words == NOTHING:
            assert now == was


@pytest.mark.parametrize("name", [name for name, event in EVENTS.items() if event.is_look])
def test_columns_without_checks_want_none(name: str) -> None:
    """Where the page leaves a check's cell empty in a whole column, the ledger drops the check."""
    columns = {column for event, column, words in CELLS if EVENTS[event].is_look and words}
    for column in COLUMNS:
        for sample in samples(column):
            assert wants_check(prepared(sample, EVENTS[name])) == (column in columns)


def prepared(sample: Task, event: Event) -> Task:
    prepared = replace(sample, **event.given)
    if event.is_look and sample.status in (Status.PENDING, Status.RUNNING, *FAILED_STATES):
        return replace(prepared, next=Operation.CHECK, due_at=FAR)
    return prepared


def test_belief_rule() -> None:
    """Before it has settled, an end is believed only if it cannot be the one from before the retry."""
    since = NOW - timedelta(seconds=10)
    for before, ran, state, mark, believed in (
        ("failed/a", False, State.FAILED, "a", False),
        ("failed/a", False, State.FAILED, "", False),
        ("failed/", False, State.FAILED, "b", False),
        ("failed/a", False, State.FAILED, "b", True),
        ("failed/a", True, State.FAILED, "a", True),
        ("failed/a", False, State.CANCELED, "a", True),
        ("failed/a", False, State.SUCCEEDED, "a", True),
        ("succeeded/a", False, State.SUCCEEDED, "a", False),
        ("missing/", False, State.FAILED, "a", False),
        ("missing/", False, State.SUCCEEDED, "a", True),
        ("", False, State.FAILED, "a", False),
        ("", False, State.CANCELED, "a", False),
        ("", False, State.SUCCEEDED, "a", True),
    ):
        seen = Seen(state=State.RUNNING if ran else "failed", mark="", at=since.isoformat(), first_at=since.isoformat(),
                    number=2, ran=ran, before=before)  # fmt: skip
        if not ran:  # the memory is still of the attempt before
            state_before, _, mark_before = before.partition("/")
            seen = replace(seen, state=state_before, mark=mark_before, number=1, before="")
        memory = seen if before else None
        was = task(Status.RETRYING, due_at=NOW, next=Operation.CHECK, status_since=since, seen=memory)
        now = lifecycle.read(was, Reading(state=state, mark=mark), NOW, Context(RULES, NOW, Random(1))).task
        assert (now.status is not Status.RETRYING) == believed, (before, ran, state, mark)
