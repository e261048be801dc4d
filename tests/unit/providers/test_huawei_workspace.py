from dataclasses import replace
from typing import Any

import pytest

from redrive.models.outcome import (
    Accepted,
    Already,
    Blocked,
    Cause,
    CheckResult,
    Outcome,
    Reading,
    Refused,
    State,
    Throttled,
    Unknown,
    Unreadable,
)
from redrive.models.states import DeadReason
from redrive.worker.providers.base import CheckResults, Exchange
from redrive.worker.providers.huawei_workspace import MAX_PAGES, RECORDS_A_PAGE, STATES
from tests.unit.providers.exchanges import PROJECT, answered, checked, huawei, only, outcome, task

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


@pytest.mark.parametrize("status", [200, 201, 202, 203, 206, 299])
def test_any_success_names_the_task(status: int) -> None:
    """A job that was taken and not begun is a job that was taken."""
    assert outcome(huawei(), EXECUTION, answered({"task_id": "7"}, status)) == Accepted(http_status=status, ref="7")


def test_the_task_is_read_from_a_success_only() -> None:
    """No other status answers a retry, whatever its body says."""
    found = [outcome(huawei(), EXECUTION, answered({"task_id": "7"}, status)) for status in (100, 302, 400, 500)]
    assert [one.name for one in found] == ["unknown", "blocked", "already", "unknown"]


ERROR = {"error_code": "WKS.0001", "error_msg": "refused"}


@pytest.mark.parametrize(
    ("body", "ref"),
    [
        (ERROR, ""),
        ({**ERROR, "task_id": "7"}, "7"),
        ({"errorCode": "WKS.0001", "errorMsg": "refused", "task_id": 7}, "7"),
        ({"error": {"code": "WKS.0001", "message": "refused"}, "task_id": " 7 "}, "7"),
        ({**ERROR, "task_id": "x" * 256}, ""),
    ],
)
@pytest.mark.parametrize("status", [200, 202])
def test_a_success_that_speaks_of_an_error_is_unknown(status: int, body: dict[str, object], ref: str) -> None:
    """With Huawei's words, and with the task it named all the same: checks follow it."""
    expected = Unknown(answered=True, ref=ref, http_status=status, code="WKS.0001", message="refused")
    assert outcome(huawei(), EXECUTION, answered(body, status)) == expected


@pytest.mark.parametrize(
    "more",
    [
        {"error_code": None},
        {"error_code": "", "error_msg": ""},
        {"error_code": "0", "error_msg": "success"},
        {"errorCode": 0},
        {"code": 200, "message": "ok"},
        {"message": "ok"},
    ],
)
def test_a_success_may_speak_of_no_error(more: dict[str, object]) -> None:
    """Empty places are not errors, and neither are words alone."""
    assert isinstance(outcome(huawei(), EXECUTION, answered({"task_id": "7", **more})), Accepted)


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
def test_an_execution_is_checked_through_its_records(one: Any, followed: str) -> None:
    """Of the newest task the provider gave for it."""
    call = only(huawei().checks([one]))
    assert (call.request.method, call.request.path, call.request.json) == ("GET", RECORDS, None)
    assert call.request.query == query(script_task_id=followed, limit="100", offset="0")
    assert call.limit_path == "/script-execution-records"


def test_a_record_is_checked_by_itself() -> None:
    """As long as no retry gave it a task to follow."""
    call = only(huawei().checks([RECORD]))
    assert (call.request.method, call.request.path, call.request.query) == ("GET", f"{RECORDS}/r1", ())
    assert call.limit_path == "/script-execution-records"


@pytest.mark.parametrize("id_", ["r1", "0000000059071dbc01591661d3990019", "a-b_c~d.e", "...", ".a", "a..b"])
def test_ids_of_records_stand_in_the_path_as_they_are(id_: str) -> None:
    """So that the path that is signed is the path that is sent, even where a proxy decodes it."""
    assert only(huawei().checks([task(id_, "record")])).request.path == f"{RECORDS}/{id_}"


@pytest.mark.parametrize(
    "id_", [".", "..", "N/A", "a/../b", "a b", "a?b", "a#b", "%2e", "a%2Fb", "a\\b", "caf\u00e9", "a+b"]
)
def test_ids_that_no_path_can_hold_are_refused_here(id_: str) -> None:
    """Their answer would be about another address or about the signature, and stop the whole account."""
    why = "not the id of a record: those have letters, digits and - . _ ~ only; correct external_id"
    asked = [task(id_, "record", id=1), task(id_, "task", id=2), RECORD, task(id_, "record", id=3, ref="7")]
    plan = huawei().checks(asked)
    assert plan.refused == {1: Reading(state=State.GONE, reason=DeadReason.REFUSED, message=why)}
    assert [call.request.path for call in plan.calls] == [RECORDS, f"{RECORDS}/r1", RECORDS]
    plan = huawei().retries(asked)
    assert plan.refused == dict.fromkeys((1, 3), Refused(reason=DeadReason.REFUSED, message=why))
    assert [call.request.json for call in plan.calls] == [{"task_id": id_}, {"record_id": "r1"}]


def test_the_same_check_is_asked_once() -> None:
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
    assert checked(huawei(), EXECUTION, page(one)) == expected
    assert checked(huawei(), RECORD, answered(one)) == expected


@pytest.mark.parametrize("word", ["DONE", "FINISHED?", "", None, 1, True, ["SUCCESS"]])
def test_an_unknown_word_is_never_an_end(word: object) -> None:
    """Alone or beside others that have ended; nor is it an outage."""
    assert isinstance(checked(huawei(), EXECUTION, page(record(status=word))), Unreadable)
    assert isinstance(checked(huawei(), RECORD, answered(record(status=word))), Unreadable)
    assert isinstance(
        checked(huawei(), EXECUTION, page(record(), record("r2", word), record("r3", "FAILED"))), Unreadable
    )


def test_an_unknown_word_is_told() -> None:
    """In words for whoever wonders why nothing moves."""
    found = checked(huawei(), EXECUTION, page(record(status="DONE")))
    assert found == Unreadable(http_status=200, message="record status 'DONE' is not known")


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
    found = checked(huawei(), EXECUTION, page(*(record(f"r{n}", word) for n, word in enumerate(words))))
    assert isinstance(found, Reading)
    assert found.state is expected


@pytest.mark.parametrize(
    ("words", "expected", "message"),
    [
        (["FAILED", "SKIP"], State.FAILED, "1 of 2 desktops skipped"),
        (["SUCCESS", "SKIP"], State.SUCCEEDED, "1 of 2 desktops skipped"),
        (["SKIP", "SUCCESS", "skip", "FINISH"], State.SUCCEEDED, "2 of 4 desktops skipped"),
        (["RUNNING", "SKIP"], State.RUNNING, "1 of 2 desktops skipped"),
        (["SKIP", "WAITING", "FAILED"], State.RUNNING, "1 of 3 desktops skipped"),
        (["SKIP"], State.FAILED, "skipped: the script ran on no desktop"),
        (["SKIP", "Skip", " SKIP "], State.FAILED, "skipped: the script ran on no desktop"),
    ],
)
def test_a_skipped_desktop_has_ended_and_did_not_fail(words: list[str], expected: State, message: str) -> None:
    """The others decide; where there are none, nothing ran."""
    found = checked(huawei(), EXECUTION, page(*(record(f"r{n}", word) for n, word in enumerate(words))))
    assert isinstance(found, Reading)
    assert (found.state, found.message) == (expected, message)


def test_a_skipped_desktop_does_not_hide_a_word_nobody_knows() -> None:
    """Nor does the reason of a failure give way to the number of those that were skipped."""
    assert isinstance(checked(huawei(), EXECUTION, page(record("r1", "SKIP"), record("r2", "DONE"))), Unreadable)
    found = checked(huawei(), EXECUTION, page(record("r1", "SKIP"), record("r2", "FAILED", reason="exit 1")))
    assert isinstance(found, Reading)
    assert found.message == "exit 1"
    assert checked(huawei(), RECORD, answered(record(status="SKIP"))) == Reading(
        state=State.FAILED,
        mark="2026-02-10T00:00:00Z",
        code="SKIP",
        message="skipped: the script ran on no desktop",
    )


def test_the_failed_record_says_why() -> None:
    """The first one, whatever the order of the answer."""
    records = [
        record("r1"),
        record("r3", "FAILED", result_code="3", reason="third"),
        record("r2", "FAILED", result_code="2", reason="second"),
    ]
    for order in (records, records[::-1]):
        found = checked(huawei(), EXECUTION, page(*order))
        assert isinstance(found, Reading)
        assert (found.code, found.message) == ("2", "second")


def test_a_retried_record_is_found_in_its_new_task() -> None:
    """By its own id where it has kept it, else as whatever the new task holds."""
    retried = replace(RECORD, ref="new")
    kept = page(record("r0", "RUNNING"), record("r1", "FAILED", reason="own"), record("r2"))
    found = checked(huawei(), retried, kept)
    assert found == Reading(state=State.FAILED, mark="2026-02-10T00:00:00Z", message="own")
    renamed = checked(huawei(), retried, page(record("r8", "SUCCESS"), record("r9", "FAILED")))
    assert isinstance(renamed, Reading)
    assert renamed.state is State.FAILED


@pytest.mark.parametrize("id_", [None, "r2", ["r1"]])
def test_a_record_must_be_the_one_asked_for(id_: object) -> None:
    """Anything else is unreadable."""
    found = checked(huawei(), RECORD, answered(record(id_)))
    assert found == Unreadable(http_status=200, message="the answer is about another record")


def test_a_record_without_an_id_hides_no_other() -> None:
    """Nobody can tell which it is."""
    assert isinstance(checked(huawei(), EXECUTION, page(record(None, "FAILED"), record(None), record())), Unreadable)
    assert isinstance(checked(huawei(), EXECUTION, page(record("x" * 256, "FAILED"), record())), Unreadable)
    assert isinstance(checked(huawei(), EXECUTION, page("garbage", record())), Unreadable)


@pytest.mark.parametrize(
    "body", [{}, {"count": 0}, [], b"<html>", b'{"script_records": [', {"id": "r1"}, ERROR | {"a": 1}]
)
def test_a_success_that_is_not_huaweis_is_no_answer(body: object) -> None:
    """Unless it speaks of an error in Huawei's words; it never says that there are no records."""
    kind = Unreadable if isinstance(body, dict) and "error_code" in body else Unknown
    for one in (EXECUTION, RECORD):
        assert isinstance(checked(huawei(), one, answered(body)), kind)


@pytest.mark.parametrize("status", [200, 201, 202, 203])
def test_any_success_shows_records(status: int) -> None:
    """Of a task, and of a record by itself."""
    assert isinstance(checked(huawei(), EXECUTION, answered({"script_records": [record()]}, status)), Reading)
    assert isinstance(checked(huawei(), RECORD, answered(record(), status)), Reading)


@pytest.mark.parametrize("records", [None, {}, "none", 0])
def test_a_list_nobody_can_read_is_unreadable(records: object) -> None:
    """It does not say that there are no records."""
    assert isinstance(checked(huawei(), EXECUTION, answered({"count": 0, "script_records": records})), Unreadable)


def test_a_list_that_promises_records_and_has_none_is_unreadable() -> None:
    """Only one that counts none says that there are none."""
    assert isinstance(checked(huawei(), EXECUTION, page(count=1)), Unreadable)
    assert checked(huawei(), EXECUTION, page(count=0)) == Reading(state=State.MISSING)


def mark(*records: object) -> str:
    found = checked(huawei(), EXECUTION, page(*records))
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


def read(
    provider: Any, call: Any, records: list[Any], *, size: int = 100, count: object = None
) -> tuple[CheckResults, int]:
    """Play a provider that serves these records in pages; also how many calls that took."""
    looked, calls = CheckResults(more=call), 0
    while looked.more:
        asked = dict(looked.more.request.query)
        assert asked["script_task_id"] == EXECUTION.external_id
        part = records[int(asked["offset"]) :][:size]
        looked, calls = (
            provider.results(looked.more, page(*part, count=len(records) if count is None else count)),
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
    (found,) = looked.results.values()
    assert isinstance(found, Reading)
    assert (found.state, asked) == (expected, calls)


@pytest.mark.parametrize(("number", "calls"), [(99, 1), (100, 2), (150, 2), (200, 3)])
def test_without_a_count_a_short_page_is_the_last(number: int, calls: int) -> None:
    """A full one may be followed by another."""
    looked, asked = read(huawei(), only(huawei().checks([EXECUTION])), executions(number, at98="FAILED"), count="?")
    (found,) = looked.results.values()
    assert isinstance(found, Reading)
    assert (found.state, asked) == (State.FAILED, calls)


def test_a_count_that_promises_too_much_ends() -> None:
    """An empty page is the last one."""
    looked, asked = read(huawei(), only(huawei().checks([EXECUTION])), executions(150), count=1000)
    assert asked == 3
    assert isinstance(next(iter(looked.results.values())), Reading)


def test_pages_without_end_are_given_up() -> None:
    """And prove nothing."""
    provider, calls = huawei(), 0
    looked = CheckResults(more=only(provider.checks([EXECUTION])))
    while looked.more:
        looked, calls = (
            provider.results(looked.more, page(record(f"r{calls}"), count=RECORDS_A_PAGE * MAX_PAGES)),
            calls + 1,
        )
    assert calls == MAX_PAGES
    assert looked.results[EXECUTION.id] == Unreadable(http_status=200, message="more records than can be read: 10000")


def test_a_count_that_no_number_of_pages_can_reach_is_given_up_at_once() -> None:
    """Only one that runs settles it all the same."""
    found = checked(huawei(), EXECUTION, page(record(), count=RECORDS_A_PAGE * MAX_PAGES + 1))
    assert found == Unreadable(http_status=200, message="more records than can be read: 10001")
    running = checked(huawei(), EXECUTION, page(record(status="RUNNING"), count=99_999_999))
    assert isinstance(running, Reading)


@pytest.mark.parametrize("records", [executions(101), [0] * 5000, [{}] * 101, executions(101, at0="RUNNING")])
def test_a_page_longer_than_was_asked_for_is_not_read(records: list[Any]) -> None:
    """Its length alone says that it is not an answer to our call."""
    found = checked(huawei(), EXECUTION, page(*records))
    message = f"a page of {len(records)} records, where 100 were asked for"
    assert found == Unreadable(http_status=200, message=message)


def test_what_is_kept_between_pages_is_short() -> None:
    """However long the texts are that a page holds."""
    long = "x" * 100_000
    odd = record("r1", long, start_time=long, end_time=long, reason=long, result_code=long, script_name=long)
    more = huawei().results(only(huawei().checks([EXECUTION])), page(odd, count=200)).more
    assert more
    assert len(repr(more.carry)) < 1000


def test_a_retried_record_is_settled_where_it_is_found() -> None:
    """No further page is asked for."""
    call = only(huawei().checks([replace(RECORD, ref="new")]))
    looked = huawei().results(call, page(record("r1", "FAILED"), record("r0", "RUNNING"), count=500))
    found = looked.results[RECORD.id]
    assert isinstance(found, Reading)
    assert found.state is State.FAILED


def test_records_that_moved_between_pages_count_once() -> None:
    """The later word about a record is the one that holds."""
    provider = huawei()
    first = provider.results(only(provider.checks([EXECUTION])), page(record("r1", "FAILED"), count=3)).more
    assert first
    looked = provider.results(first, page(record("r1", "SUCCESS"), record("r2"), count=3))
    found = looked.results[EXECUTION.id]
    assert isinstance(found, Reading)
    assert found.state is State.SUCCEEDED


def test_a_page_that_cannot_be_read_ends_the_check() -> None:
    """For every task of the call."""
    provider = huawei()
    twins = [replace(EXECUTION, id=1), replace(EXECUTION, id=2)]
    second = provider.results(only(provider.checks(twins)), page(record(), count=2)).more
    assert second
    results = provider.results(second, answered({"error_msg": "slow down"}, 429)).results
    assert results == dict.fromkeys((1, 2), Throttled(http_status=429, message="slow down"))


# --- refusals ----------------------------------------------------------------------------------------------------

MAY_NOT_READ = "no permission to read (workspace:scripts:listRecords and workspace:scripts:getRecordDetail)"
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
            Unreadable(http_status=400, code="WKS.0001", message="bad"),
        ),
        (
            answered({"error_code": "WKS.0001", "error_msg": "bad"}, 403),
            None,
            Unreadable(forbidden=True, http_status=403, code="WKS.0001", message=f"{MAY_NOT_READ}: bad"),
        ),
        (
            answered(b"no", 401),
            Blocked(cause=Cause.CREDENTIALS, http_status=401, message="no"),
            Blocked(cause=Cause.CREDENTIALS, http_status=401, message="no"),
        ),
        (Exchange(sent=True, error="timed out"), Unknown(message="timed out"), Unknown(message="timed out")),
    ],
)
def test_a_check_is_refused_nothing(exchange: Exchange, of_retry: Outcome | None, of_look: CheckResult) -> None:
    """The same answers, read for a retry and for both kinds of look."""
    assert checked(huawei(), EXECUTION, exchange) == checked(huawei(), RECORD, exchange) == of_look
    found = outcome(huawei(), EXECUTION, exchange)
    assert isinstance(found, Already) if of_retry is None else found == of_retry
