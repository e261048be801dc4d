"""What proves that an end is a new run's: fresh looks do, what somebody may have run since does not."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.models import lifecycle
from redrive.models.lifecycle import Context
from redrive.models.outcome import Accepted, Reading, State
from redrive.models.states import Operation, Status
from redrive.models.task import STALE, Seen, Task
from tests.support.samples import BATCH, FAR, LONG_AGO, NOW, RULES, task

SETTLE = timedelta(seconds=RULES.policy.settle_seconds)
SOON = timedelta(seconds=30)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.datetimes().map(str),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
SEEN = Seen(state="failed", mark="A", at=LONG_AGO.isoformat(), first_at=LONG_AGO.isoformat(), number=1)
STORED: dict[str, Any] = {
    "state": "failed", "mark": "A", "at": LONG_AGO.isoformat(), "first_at": LONG_AGO.isoformat(), "number": 1,
    "ran": False, "before": "",
}  # fmt: skip


def accepted(seen: Seen | None, *, spent: int = 1) -> Task:
    """A task whose second retry the provider takes now."""
    sent = task(
        Status.IN_FLIGHT, batch_id=BATCH, held_from=Status.FAILED, attempts=spent + 1, spent=spent, seen=seen,
    )  # fmt: skip
    return lifecycle.answered(sent, Accepted(), Context(RULES, NOW))


def examined(was: Task, state: State, mark: str, after: timedelta = SOON) -> Task:
    now = NOW + after
    return lifecycle.read(was, Reading(state=state, mark=mark), now, Context(RULES, now)).task


def look_before(age: timedelta, state: str = "failed", mark: str = "A") -> Seen:
    moment = (NOW - age).isoformat()
    return Seen(state=state, mark=mark, at=moment, first_at=moment, number=1)


@pytest.mark.parametrize(
    ("state", "mark"), [(State.FAILED, "B"), (State.CANCELED, "A"), (State.SUCCEEDED, "A"), (State.SUCCEEDED, "B")]
)
def test_a_check_proves_something_only_if_it_was_right_before_the_retry(state: State, mark: str) -> None:
    """Between an older look and the retry somebody else may have run the task: its end is not this retry's."""
    fresh, stale = (accepted(look_before(age)) for age in (SETTLE, SETTLE + timedelta(microseconds=1)))
    assert examined(fresh, state, mark).status is not Status.RETRYING
    doubted = examined(stale, state, mark)
    assert (doubted.status, doubted.due_at) == (Status.RETRYING, NOW + SETTLE)
    assert doubted.seen is not None
    assert doubted.seen.before == STALE
    assert examined(doubted, state, mark, SETTLE).status is not Status.RETRYING


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELED, State.SUCCEEDED])
@pytest.mark.parametrize("age", [timedelta(seconds=61), timedelta(hours=1), timedelta(days=9)], ids=str)
def test_a_run_that_was_seen_proves_itself_however_old_the_check_before(state: State, age: timedelta) -> None:
    """A running state was seen since the retry: what ends afterwards is that run."""
    running = examined(accepted(look_before(age)), State.RUNNING, "", timedelta(seconds=5))
    assert examined(running, state, "A").status is not Status.RETRYING


def test_a_memory_ahead_of_the_clock_proves_nothing() -> None:
    """The clock went back: nobody knows what was between that check and the retry."""
    was = accepted(look_before(-timedelta(hours=1)))
    assert was.seen_at(NOW) is None
    assert examined(was, State.FAILED, "B").status is Status.RETRYING


@pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELED, Status.HELD])
@pytest.mark.parametrize("word", [Status.FAILED, Status.CANCELED])
def test_a_reported_failure_forgets_what_was_seen(status: Status, word: Status) -> None:
    """Its owner knows of a run that no check has seen."""
    values: dict[str, Any] = {"held_from": Status.FAILED} if status is Status.HELD else {"due_at": FAR}
    told = lifecycle.report(task(status, seen=SEEN, **values), word, Context(RULES, NOW), at=None, reason="why").task
    assert told.seen is None
    assert examined(accepted(told.seen), State.FAILED, "B").status is Status.RETRYING


@pytest.mark.parametrize("status", [Status.RETRYING, Status.UNKNOWN])
def test_a_report_about_a_retry_keeps_what_was_seen_of_it(status: Status) -> None:
    """Without the check before, an old success would look new."""
    was = task(status, seen=SEEN, due_at=FAR, next=Operation.CHECK)
    assert lifecycle.report(was, Status.FAILED, Context(RULES, NOW), at=None).task.seen == SEEN


# --- the stored memory ---------------------------------------------------------------------------------------------


def read_back(stored: Any) -> Seen | None:
    row = task(Status.FAILED, due_at=NOW).row() | {"seen": stored}
    return Task.of(list(row.values())).seen


def test_a_memory_is_read_as_it_was_stored() -> None:
    """Whatever else the row holds."""
    assert read_back(STORED) == SEEN
    assert read_back(task(Status.FAILED, seen=SEEN).row()["seen"]) == SEEN


@pytest.mark.parametrize("more", [{"by": "another release"}, {"at_": 1, "": None}, {"state2": {}}])
def test_keys_of_another_release_are_left_out(more: dict[str, Any]) -> None:
    """Two releases work on the same rows while one is replaced by the other."""
    assert read_back(STORED | more) == SEEN


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": None}, {"mark": 7}, {"number": "1"}, {"number": True}, {"number": 1.0}, {"ran": "no"}, {"before": []},
        {"at": ""}, {"at": "yesterday"}, {"at": "2026-02-30T10:00:00+00:00"}, {"first_at": "2026-03-01T10:00:00"},
        {"at": "0001-01-01T00:00:00+14:00"}, {"first_at": "9999-12-31T23:59:59-14:00"}, {"at": 1772359200},
    ],
    ids=str,
)  # fmt: skip
def test_a_memory_that_cannot_be_read_is_forgotten(wrong: dict[str, Any]) -> None:
    """A host can write it, and one row must not stop its account."""
    assert read_back(STORED | wrong) is None


@given(JSON, st.dictionaries(st.sampled_from([*STORED, "more"]), JSON, max_size=4))
def test_no_memory_raises(anything: Any, parts: dict[str, Any]) -> None:
    """Not when it is read, and not when the next check is added to it."""
    for stored in (anything, parts, STORED | parts):
        was = replace(task(Status.RETRYING, due_at=NOW, next=Operation.CHECK), seen=read_back(stored))
        assert (at := was.seen_at(NOW)) is None or at <= NOW
        assert examined(was, State.FAILED, "A").seen is not None


@pytest.mark.parametrize("first_at", ["9999-12-31T23:59:59+00:00", "2026-03-01T13:00:00+00:00", "2300-01-01T00:00Z"])
def test_a_state_seen_since_a_time_to_come_settles_all_the_same(first_at: str) -> None:
    """Two looks apart decide, whatever an older memory says of the time between."""
    was = task(
        Status.FAILED, attempts=0, spent=0, origin="client_ui", next=Operation.CHECK, due_at=NOW,
        seen=replace(SEEN, number=0, mark="", first_at=first_at),
    )  # fmt: skip
    was = examined(was, State.FAILED, "", timedelta())
    assert (was.next, was.due_at) == (Operation.CHECK, NOW + SETTLE)
    assert examined(was, State.FAILED, "", SETTLE).next is Operation.RETRY


def test_the_moment_of_a_check() -> None:
    """Only one that is not ahead of now."""
    moments: list[datetime | None] = [task(Status.FAILED, seen=SEEN).seen_at(now) for now in (LONG_AGO, NOW)]
    assert moments == [LONG_AGO, LONG_AGO]
    assert task(Status.FAILED, seen=SEEN).seen_at(LONG_AGO - timedelta(microseconds=1)) is None
    assert task(Status.FAILED).seen_at(NOW) is None
