from dataclasses import replace
from typing import Any

import pytest

from models.outcome import Accepted, Blocked, Cause, Look, Outcome, Reading, Refused, State, Throttled, Unknown
from models.states import DeadReason
from worker.providers.base import Exchange, Looked
from worker.providers.huawei_workspace import MAX_PAGES, STATES

from .exchanges import PROJECT, answered, huawei, look, only, outcome, task

ROOT = f"/v2/{PROJECT}"
RECORDS = f"{ROOT}/script-execution-records"
EXECUTION = task("0000000059071dbc01591661d3990019", "task")
RECORD = task("r1", "record")


# --- retries -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("one", "key"), [(EXECUTION, "task_id"), (RECORD, "record_id")])
def test_a_retry_names_exactly_one_id_as_a_plain_string(one: Any, key: str) -> None:
    """Also for a task that runs on under another id: the failed one is what is retried."""
    for ref in ("", "other"):
        call = only(huawei().retries([replace(one, ref=ref)]))
        assert (call.request.method, call.request.path) == ("POST", f"{ROOT}/script-executions/retry")
        assert call.request.json == {key: one.external_id}
        assert call.limit_path == "/script-executions/retry"


def test_each_id_is_retried_in_a_call_of_its_own() -> None:
    """A task and a record may have the same id; two of the same share a call."""
    asked = [task("7", "task", id=1), task("7", "record", id=2), task("8", "task", id=3), task("7", "task", id=4)]
    calls = huawei().retries(asked).calls
    assert [call.request.json for call in calls] == [{"task_id": "7"}, {"record_id": "7"}, {"task_id": "8"}]
    assert [[one.id for one in call.tasks] for call in calls] == [[1, 4], [2], [3]]


@pytest.mark.parametrize("task_id", ["0000000059071dbc01591661d3990019", " 7 ", 7, "x" * 255])
def test_an_accepted_retry_names_the_task_to_follow(task_id: object) -> None:
    """New or the same: it is kept."""
    found = outcome(huawei(), EXECUTION, answered({"task_id": task_id}))
    assert found == Accepted(http_status=200, ref=str(task_id).strip())


@pytest.mark.parametrize("task_id", [None, "", " ", True, ["7"], {"id": "7"}, "x" * 256, "a\nb"])
def test_a_success_without_a_readable_task_is_unknown(task_id: object) -> None:
    """It was probably done, and there is nothing to follow."""
    assert isinstance(outcome(huawei(), EXECUTION, answered({"task_id": task_id})), Unknown)


def test_the_task_is_read_from_a_success_only() -> None:
    """No other status answers a retry, whatever its body says."""
    found = [outcome(huawei(), EXECUTION, answered({"task_id": "7"}, status)) for status in (201, 202, 302, 400, 500)]
    assert [one.name for one in found] == ["unknown", "unknown", "blocked", "already", "unknown"]


# --- looks: what is asked ----------------------------------------------------------------------------------------


def query(**more: str) -> tuple[tuple[str, str], ...]:
    return tuple(more.items())


@pytest.mark.parametrize(
    ("one", "followed"),
    [
        (EXECUTION, EXECUTION.external_id),
        (replace(EXECUTION, ref="new"), "new"),
        (replace(RECORD, ref="new"), "new"),
    ],
)
def test_an_execution_is_looked_at_through_its_records(one: Any, followed: str) -> None:
    """Of the newest task the provider gave for it."""
    call = only(huawei().checks([one]))
    assert (call.request.method, call.request.path, call.request.json) == ("GET", RECORDS, None)
    assert call.request.query == query(script_task_id=followed, limit="100", offset="0")
    assert call.limit_path == "/script-execution-records"


def test_a_record_is_looked_at_by_itself() -> None:
    """As long as no retry gave it a task to follow."""
    call = only(huawei().checks([RECORD]))
    assert (call.request.method, call.request.path, call.request.query) == ("GET", f"{RECORDS}/r1", ())
    assert call.limit_path == "/script-execution-records"


@pytest.mark.parametrize(("id_", "quoted"), [("a/b", "a%2Fb"), ("a b?c#d", "a%20b%3Fc%23d"), ("%2e", "%252e")])
def test_ids_in_a_path_are_quoted(id_: str, quoted: str) -> None:
    """An id cannot lead anywhere else."""
    assert only(huawei().checks([task(id_, "record")])).request.path == f"{RECORDS}/{quoted}"


@pytest.mark.parametrize("id_", [".", ".."])
def test_ids_that_no_path_can_hold_are_missing(id_: str) -> None:
    """Quoting does not help them: the answer would be about another address and stop the account."""
    plan = huawei().checks([task(id_, "record", id=1), task(id_, "task", id=2), RECORD])
    assert plan.refused == {1: Reading(state=State.MISSING)}
    assert [call.request.path for call in plan.calls] == [RECORDS, f"{RECORDS}/r1"]


def test_the_same_look_is_asked_once() -> None:
    """But not for another task of the same id that is followed elsewhere."""
    asked = [replace(EXECUTION, id=1), replace(EXECUTION, id=2), replace(EXECUTION, id=3, ref="new")]
    assert [[one.id for one in call.tasks] for call in huawei().checks(asked).calls] == [[1, 2], [3]]


# --- looks: what is read -----------------------------------------------------------------------------------------


def record(id_: object = "r1", status: object = "SUCCESS", **more: object) -> dict[str, object]:
    return {"id": id_, "status": status, "start_time": "2026-02-10T00:00:00Z", "end_time": None, **more}


def page(*records: object, count: object = None) -> Exchange:
    return answered({"count": len(records) if count is None else count, "script_records": list(records)})


WORDS = {
    "INIT": State.RUNNING,
    "WAITING": State.RUNNING,
    "RUNNING": State.RUNNING,
    "SUCCESS": State.SUCCEEDED,
    "FINISH": State.SUCCEEDED,
    "FAILED": State.FAILED,
    "FAIL": State.FAILED,
}


def test_every_state_is_tested() -> None:
    """A new row needs a new expectation."""
    assert WORDS.keys() == STATES.keys()


@pytest.mark.parametrize("spelling", [str.upper, str.lower, str.title, " {} ".format])
@pytest.mark.parametrize(("word", "state"), WORDS.items())
def test_states(word: str, state: State, spelling: Any) -> None:
    """In any case, in a list and alone, with code and reason."""
    one = record(status=spelling(word), result_code=1, reason="exit 1")
    expected = Reading(state=state, mark="2026-02-10T00:00:00Z", code="1", message="exit 1")
    assert look(huawei(), EXECUTION, page(one)) == expected
    assert look(huawei(), RECORD, answered(one)) == expected


@pytest.mark.parametrize("word", ["DONE", "FINISHED?", "", None, 1, True, ["SUCCESS"]])
def test_an_unknown_word_is_never_an_end(word: object) -> None:
    """Alone or beside others that have ended."""
    assert isinstance(look(huawei(), EXECUTION, page(record(status=word))), Unknown)
    assert isinstance(look(huawei(), RECORD, answered(record(status=word))), Unknown)
    assert isinstance(look(huawei(), EXECUTION, page(record(), record("r2", word), record("r3", "FAILED"))), Unknown)


def test_an_unknown_word_is_told() -> None:
    """In words for whoever wonders why nothing moves."""
    found = look(huawei(), EXECUTION, page(record(status="DONE")))
    assert found == Unknown(http_status=200, message="record status 'DONE' is not known")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["SUCCESS", "SUCCESS"], State.SUCCEEDED),
        (["SUCCESS", "FAILED", "SUCCESS"], State.FAILED),
        (["SUCCESS", "FAILED", "WAITING"], State.RUNNING),
        (["what", "RUNNING", "FAILED"], State.RUNNING),
        ([], State.MISSING),
    ],
)
def test_an_execution_is_what_its_records_are(words: list[str], expected: State) -> None:
    """Running while one runs, failed when one failed, succeeded when all did; without any it is missing."""
    found = look(huawei(), EXECUTION, page(*(record(f"r{n}", word) for n, word in enumerate(words))))
    assert isinstance(found, Reading)
    assert found.state is expected


def test_the_failed_record_says_why() -> None:
    """The first one, whatever the order of the answer."""
    records = [
        record("r1"),
        record("r3", "FAILED", result_code="3", reason="third"),
        record("r2", "FAILED", result_code="2", reason="second"),
    ]
    for order in (records, records[::-1]):
        found = look(huawei(), EXECUTION, page(*order))
        assert isinstance(found, Reading)
        assert (found.code, found.message) == ("2", "second")


def test_a_retried_record_is_found_in_its_new_task() -> None:
    """By its own id where it has kept it, else as whatever the new task holds."""
    retried = replace(RECORD, ref="new")
    kept = page(record("r0", "RUNNING"), record("r1", "FAILED", reason="own"), record("r2"))
    found = look(huawei(), retried, kept)
    assert found == Reading(state=State.FAILED, mark="2026-02-10T00:00:00Z", message="own")
    renamed = look(huawei(), retried, page(record("r8", "SUCCESS"), record("r9", "FAILED")))
    assert isinstance(renamed, Reading)
    assert renamed.state is State.FAILED


@pytest.mark.parametrize("id_", [None, "r2", ["r1"]])
def test_a_record_must_be_the_one_asked_for(id_: object) -> None:
    """Anything else is unreadable."""
    assert isinstance(look(huawei(), RECORD, answered(record(id_))), Unknown)


def test_a_record_without_an_id_hides_no_other() -> None:
    """Nobody can tell which it is."""
    assert isinstance(look(huawei(), EXECUTION, page(record(None, "FAILED"), record(None), record())), Unknown)
    assert isinstance(look(huawei(), EXECUTION, page("garbage", record())), Unknown)


@pytest.mark.parametrize("body", [{}, {"count": 0}, {"script_records": None}, {"script_records": {}}, [], b"<html>"])
def test_a_list_nobody_can_read_is_unknown(body: object) -> None:
    """It does not say that there are no records."""
    assert isinstance(look(huawei(), EXECUTION, answered(body)), Unknown)


def test_a_list_that_promises_records_and_has_none_is_unknown() -> None:
    """Only one that counts none says that there are none."""
    assert isinstance(look(huawei(), EXECUTION, page(count=1)), Unknown)
    assert look(huawei(), EXECUTION, page(count=0)) == Reading(state=State.MISSING)


def mark(*records: object) -> str:
    found = look(huawei(), EXECUTION, page(*records))
    assert isinstance(found, Reading)
    assert len(found.mark) <= 64
    return found.mark


def test_marks_show_a_new_run() -> None:
    """Other times are another run; the order of records is not."""
    one, two = record("r1", "FAILED"), record("r2", end_time="2026-02-10T00:01:00Z")
    assert mark(one, two) == mark(two, one)
    assert mark(one, two) != mark({**one, "start_time": "2026-02-10T00:02:00Z"}, two)
    assert mark(one, two) != mark(one, {**two, "end_time": "2026-02-10T00:03:00Z"})
    assert mark(one, two) != mark(one)


# --- pages -------------------------------------------------------------------------------------------------------


def read(provider: Any, call: Any, records: list[Any], *, size: int = 100, count: object = None) -> tuple[Looked, int]:
    """Play a provider that serves these records in pages; also how many calls that took."""
    looked, calls = Looked(more=call), 0
    while looked.more:
        asked = dict(looked.more.request.query)
        assert asked["script_task_id"] == EXECUTION.external_id
        part = records[int(asked["offset"]) :][:size]
        looked, calls = (
            provider.looks(looked.more, page(*part, count=len(records) if count is None else count)),
            calls + 1,
        )
    return looked, calls


def executions(count: int, **words: str) -> list[dict[str, object]]:
    return [record(f"r{n:05d}", words.get(f"at{n}", "SUCCESS")) for n in range(count)]


@pytest.mark.parametrize(
    ("records", "size", "expected", "calls"),
    [
        (executions(100), 100, State.SUCCEEDED, 1),
        (executions(101), 100, State.SUCCEEDED, 2),
        (executions(250, at249="FAILED"), 100, State.FAILED, 3),
        (executions(250, at0="FAILED"), 100, State.FAILED, 3),
        (executions(250, at0="RUNNING"), 100, State.RUNNING, 1),
        (executions(250, at150="RUNNING", at0="FAILED"), 100, State.RUNNING, 2),
        (executions(250, at249="FAILED"), 50, State.FAILED, 5),
    ],
)
def test_all_pages_are_read(records: list[Any], size: int, expected: State, calls: int) -> None:
    """Until the end, or until one that runs settles it; a page may be shorter than asked for."""
    looked, asked = read(huawei(), only(huawei().checks([EXECUTION])), records, size=size)
    (found,) = looked.looks.values()
    assert isinstance(found, Reading)
    assert (found.state, asked) == (expected, calls)


@pytest.mark.parametrize(("number", "calls"), [(99, 1), (100, 2), (150, 2), (200, 3)])
def test_without_a_count_a_short_page_is_the_last(number: int, calls: int) -> None:
    """A full one may be followed by another."""
    looked, asked = read(huawei(), only(huawei().checks([EXECUTION])), executions(number, at98="FAILED"), count="?")
    (found,) = looked.looks.values()
    assert isinstance(found, Reading)
    assert (found.state, asked) == (State.FAILED, calls)


def test_a_count_that_promises_too_much_ends() -> None:
    """An empty page is the last one."""
    looked, asked = read(huawei(), only(huawei().checks([EXECUTION])), executions(150), count=1000)
    assert asked == 3
    assert isinstance(next(iter(looked.looks.values())), Reading)


def test_pages_without_end_are_given_up() -> None:
    """And prove nothing."""
    provider, calls = huawei(), 0
    looked = Looked(more=only(provider.checks([EXECUTION])))
    while looked.more:
        looked, calls = provider.looks(looked.more, page(record(f"r{calls}"), count=10**9)), calls + 1
    assert calls == MAX_PAGES
    assert isinstance(looked.looks[EXECUTION.id], Unknown)


def test_records_that_moved_between_pages_count_once() -> None:
    """The later word about a record is the one that holds."""
    provider = huawei()
    first = provider.looks(only(provider.checks([EXECUTION])), page(record("r1", "FAILED"), count=3)).more
    assert first
    looked = provider.looks(first, page(record("r1", "SUCCESS"), record("r2"), count=3))
    found = looked.looks[EXECUTION.id]
    assert isinstance(found, Reading)
    assert found.state is State.SUCCEEDED


def test_a_page_that_cannot_be_read_ends_the_look() -> None:
    """For every task of the call."""
    provider = huawei()
    twins = [replace(EXECUTION, id=1), replace(EXECUTION, id=2)]
    second = provider.looks(only(provider.checks(twins)), page(record(), count=2)).more
    assert second
    looks = provider.looks(second, answered({"error_msg": "slow down"}, 429)).looks
    assert looks == dict.fromkeys((1, 2), Throttled(http_status=429, message="slow down"))


# --- refusals ----------------------------------------------------------------------------------------------------

MISSING = {"error_code": "WKS.00170003", "error_msg": "no such record"}


@pytest.mark.parametrize(
    ("exchange", "of_retry", "of_look"),
    [
        (
            answered(MISSING, 404),
            Refused(reason=DeadReason.NOT_FOUND, http_status=404, code="WKS.00170003", message="no such record"),
            Reading(state=State.MISSING, code="WKS.00170003", message="no such record"),
        ),
        (
            answered({"error_code": "WKS.0001", "error_msg": "bad"}, 400),
            None,
            Unknown(http_status=400, code="WKS.0001", message="bad"),
        ),
        (
            answered({"error_code": "WKS.0001", "error_msg": "bad"}, 403),
            None,
            Unknown(http_status=403, code="WKS.0001", message="bad"),
        ),
        (
            answered(b"no", 401),
            Blocked(cause=Cause.CREDENTIALS, http_status=401, message="no"),
            Blocked(cause=Cause.CREDENTIALS, http_status=401, message="no"),
        ),
        (Exchange(sent=True, error="timed out"), Unknown(message="timed out"), Unknown(message="timed out")),
    ],
)
def test_a_look_is_refused_nothing(exchange: Exchange, of_retry: Outcome | None, of_look: Look) -> None:
    """The same answers, read for a retry and for both kinds of look."""
    assert look(huawei(), EXECUTION, exchange) == look(huawei(), RECORD, exchange) == of_look
    found = outcome(huawei(), EXECUTION, exchange)
    assert found.name == "already" if of_retry is None else found == of_retry
