"""A provider's code may raise and return anything: its own tasks get an answer that can be recorded, and no others."""

import asyncio
import os
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from http import HTTPStatus
from math import inf, nan
from random import Random
from typing import Any

import pytest

from redrive.models import ledger
from redrive.models.outcome import (
    Accepted,
    Already,
    Blocked,
    Cause,
    CheckResult,
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
from redrive.models.policy import Policy
from redrive.models.providers import GEELARK
from redrive.models.rules import BreakerRules, Rules
from redrive.models.states import DeadReason, Operation
from redrive.worker.crew import INLINE_BYTES, THREAD_BYTES, Crew
from redrive.worker.fit import MAX_RESULT_BYTES, MisfitError, fit
from redrive.worker.loop import EventLoop
from redrive.worker.providers.base import Account, Call, CheckResults, Exchange, Plan, Request, Split, TaskRef
from redrive.worker.providers.geelark import GeeLark
from redrive.worker.reading import CHECK_RESULTS, RETRY_OUTCOMES
from redrive.worker.sender import Sender
from redrive.worker.trouble import Trouble
from tests.support.site import make_window
from tests.support.tiny import tiny

SECRET = "gl-secret-0123456789"
BAD = "bad"


def rules(**more: Any) -> Rules:
    return Rules("phones", GEELARK, Policy(), "phones", interval_seconds=0.001, timeout_seconds=5, **more)


def refs(*ids: str) -> list[TaskRef]:
    return [TaskRef(number, "", each) for number, each in enumerate(ids, start=1)]


@pytest.fixture(scope="module")
def loop() -> Iterator[EventLoop]:
    with closing(EventLoop()) as loop:
        yield loop


class House:
    """One account's sender, against a provider's API of a few lines."""

    def __init__(self, loop: EventLoop, url: str, provider: type[GeeLark], **more: Any) -> None:
        account = Account("phones", url, {"token": SECRET})
        self.loop = loop
        self.sender = Sender(
            provider=provider(account), rules=rules(**more), base_url=url, concurrency=4, secrets=[SECRET]
        )

    def retry(self, *ids: str) -> dict[int, Outcome | CheckResult]:
        return self.loop.submit(self.sender.retry(refs(*ids), make_window())).result(60)

    def check(self, *ids: str) -> dict[int, Outcome | CheckResult]:
        return self.loop.submit(self.sender.check(refs(*ids), make_window())).result(60)


def provider(**methods: Callable[..., Any]) -> type[GeeLark]:
    """GeeLark, some of whose methods are these."""
    return type("Somebodys", (GeeLark,), methods)


@pytest.fixture
def house(loop: EventLoop) -> Iterator[Callable[..., House]]:
    """A house over a server that says yes to everything, or ``says``."""
    opened: list[Any] = []

    def build(somebodys: type[GeeLark] = GeeLark, says: Any = None, **more: Any) -> House:
        answer = says if says is not None else {"code": 0, "msg": "success", "data": {}}
        context = tiny(lambda _: (200, answer))
        server = context.__enter__()
        built = House(loop, server.url, somebodys, **more)
        opened.append((context, built))
        return built

    yield build
    for context, built in opened:
        loop.submit(built.sender.aclose()).result(10)
        context.__exit__(None, None, None)


def raises(error: BaseException) -> Callable[..., Any]:
    def method(*_: object) -> Any:
        raise error

    return method


ENDINGS = [
    SystemExit(3),
    KeyboardInterrupt(),
    GeneratorExit(),
    asyncio.CancelledError(),
    MemoryError(),
    RecursionError("deep"),
    Exception(),
    StopIteration(),
]


# --- What it raises ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["retries", "outcomes", "auth", "login"])
@pytest.mark.parametrize("error", ENDINGS, ids=repr)
def test_nothing_it_raises_ends_the_loop(house: Callable[..., House], method: str, error: BaseException) -> None:
    """Its tasks get an answer, and the next account's call is made."""
    ours, next_one = house(provider(**{method: raises(error)})), house()
    found = ours.retry("1", "2")
    assert {type(each) for each in found.values()} <= {Deferred, Unknown}
    assert found.keys() == {1, 2}
    assert type(next_one.retry("1")[1]) is Accepted
    assert ours.loop.alive


@pytest.mark.parametrize("method", ["checks", "results"])
@pytest.mark.parametrize("error", ENDINGS, ids=repr)
def test_nor_does_a_check(house: Callable[..., House], method: str, error: BaseException) -> None:
    ours = house(provider(**{method: raises(error)}))
    assert {type(each) for each in ours.check("1", "2").values()} <= {Deferred, Unknown}
    assert ours.loop.alive


class HostileError(Exception):
    """An exception whose words fail, too."""

    def __str__(self) -> str:
        raise SystemExit(1)


def test_words_that_fail_are_left_out(house: Callable[..., House]) -> None:
    ours = house(provider(outcomes=raises(HostileError())))
    assert type(ours.retry("1")[1]) is Unknown


def test_a_fault_with_one_task_stays_with_that_task_when_it_is_planned(house: Callable[..., House]) -> None:
    """The others are planned together, as they would be without it; nothing was sent about the one."""

    def retries(self: GeeLark, tasks: list[TaskRef]) -> Plan:
        if any(task.external_id == BAD for task in tasks):
            raise AttributeError(f"'list' has no 'get' near {SECRET}")
        return GeeLark.retries(self, tasks)

    ours = house(provider(retries=retries))
    plan = ours.sender.plan(Operation.RETRY, refs("1", BAD, "3", "4"))
    assert [tuple(task.id for task in call.tasks) for call in plan.calls] == [(1, 3, 4)]
    deferred = plan.refused[2]
    assert isinstance(deferred, Deferred)
    assert deferred.of_task
    assert "AttributeError" in deferred.message
    assert SECRET not in deferred.message


@pytest.mark.parametrize(
    "json", [{"ids": object()}, {"ids": nan}, {"ids": "\ud800"}, {1: {2, 3}}], ids=["object", "nan", "half", "set"]
)
def test_a_task_whose_request_cannot_be_built_is_deferred_alone(house: Callable[..., House], json: Any) -> None:
    def retries(_: GeeLark, tasks: list[TaskRef]) -> Plan:
        bad = any(task.external_id == BAD for task in tasks)
        request = Request("POST", "/open/v1/task/restart", json=json if bad else {"ids": []})
        return Plan((Call(request, tuple(tasks), "/open/v1/task/restart"),))

    found = house(provider(retries=retries)).retry("1", BAD, "3")
    assert type(found[1]) is type(found[3]) is Accepted
    assert isinstance(found[2], Deferred)
    assert found[2].of_task
    assert "cannot be built" in found[2].message


def test_a_plan_about_other_tasks_or_one_task_twice_is_made_again_for_each(house: Callable[..., House]) -> None:
    """No task is asked for twice, and none that is not ours."""

    def retries(_: GeeLark, tasks: list[TaskRef]) -> Plan:
        request = Request("POST", "/open/v1/task/restart", json={"ids": []})
        stranger = TaskRef(99, "", "stranger")
        calls = (Call(request, (tasks[0],), "/p"), Call(request, (*tasks, stranger), "/p"), Call(request, (), "/p"))
        return Plan(calls, {99: Deferred(), tasks[-1].id: "no answer"})  # type: ignore[dict-item]

    plan = house(provider(retries=retries)).sender.plan(Operation.RETRY, refs("1", "2", "3"))
    asked = [task.id for call in plan.calls for task in call.tasks]
    assert sorted([*asked, *plan.refused]) == [1, 2, 3]


@pytest.mark.parametrize("nonsense", [None, 5, "plan", Plan(None), Plan((None,)), Plan((5, 6), {1: None}), Plan((), 7)])  # type: ignore[arg-type]
def test_a_plan_of_any_form_leaves_no_task_without_an_answer(house: Callable[..., House], nonsense: Any) -> None:
    plan = house(provider(retries=lambda *_: nonsense)).sender.plan(Operation.RETRY, refs("1", "2"))
    assert plan.calls == ()
    assert {type(each) for each in plan.refused.values()} == {Deferred}
    assert plan.refused.keys() == {1, 2}


def test_a_fault_with_one_task_stays_with_that_task_when_it_is_read(house: Callable[..., House]) -> None:
    """The answer is read once more for each; only the one is unknown, and spent."""

    def outcomes(self: GeeLark, call: Call, exchange: Exchange) -> Mapping[int, Outcome] | Split:
        if any(task.external_id == BAD for task in call.tasks):
            raise ValueError(BAD)
        return GeeLark.outcomes(self, call, exchange)

    found = house(provider(outcomes=outcomes)).retry(*("1", BAD, "3"))
    assert [type(found[n]) for n in (1, 2, 3)] == [Accepted, Unknown, Accepted]


def test_the_same_when_it_is_checked(house: Callable[..., House]) -> None:
    def results(self: GeeLark, call: Call, exchange: Exchange) -> CheckResults:
        if any(task.external_id == BAD for task in call.tasks):
            raise ValueError(BAD)
        return GeeLark.results(self, call, exchange)

    says = {"code": 0, "data": {"total": 2, "items": [{"id": "1", "status": 4}, {"id": "3", "status": 3}]}}
    found = house(provider(results=results), says=says).check(*("1", BAD, "3"))
    assert [getattr(found[n], "state", None) for n in (1, 2, 3)] == [State.FAILED, None, State.SUCCEEDED]
    assert isinstance(found[2], Unknown)


def test_halves_are_planned_within_the_guard(house: Callable[..., House]) -> None:
    """One id spoils the call, and the provider's code stumbles when it is asked for halves."""

    def retries(self: GeeLark, tasks: list[TaskRef]) -> Plan:
        if len(tasks) == 2:
            raise SystemExit(1)
        return GeeLark.retries(self, tasks)

    found = house(provider(retries=retries), says={"code": 40004, "msg": "bad"}).retry("1", "2", "3", "4")
    assert {type(each) for each in found.values()} == {Refused}


# --- What it says ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", [Deferred(), Unsent(), Reading(state=State.FAILED), Unreadable(), None, 7, Accepted])
def test_whether_anything_was_sent_is_not_its_to_say(house: Callable[..., House], claim: Any) -> None:
    """A call that was answered was sent: a provider that says otherwise would have it sent again, unspent."""
    found = house(provider(outcomes=lambda *_: {1: claim, 2: Accepted()})).retry("1", "2")
    assert [type(found[n]) for n in (1, 2)] == [Unknown, Accepted]


def test_answers_about_other_tasks_are_dropped(house: Callable[..., House]) -> None:
    found = house(provider(outcomes=lambda *_: {1: Accepted(), 99: Accepted(), None: 5, "x": Accepted()})).retry("1")
    assert found == {1: Accepted()}


@pytest.mark.parametrize(
    "nonsense", [None, [], "x", 5, CheckResults(5), CheckResults({1: "x"}), CheckResults({}, more=5)]
)  # type: ignore[arg-type,dict-item]
def test_checks_of_any_form_are_unknown(house: Callable[..., House], nonsense: Any) -> None:
    assert type(house(provider(results=lambda *_: nonsense)).check("1")[1]) is Unknown


def test_a_further_page_about_other_tasks_is_not_asked_for(house: Callable[..., House]) -> None:
    def results(_: GeeLark, call: Call, __: Exchange) -> CheckResults:
        return CheckResults({}, more=Call(call.request, (TaskRef(7, "", "7"),), call.limit_path))

    assert house(provider(results=results)).check("1").keys() == {1}


@pytest.mark.parametrize(
    ("wait", "expected"),
    [
        (5, 5.0),
        (0.5, 0.5),
        (nan, None),
        (inf, 86_400.0),
        (-inf, None),
        (1e15, 86_400.0),
        (10**400, 86_400.0),
        (-3, None),
        (0, None),
        ("60", None),
        (True, None),
        (None, None),
        ([], None),
    ],
)
def test_a_wait_is_a_day_at_most_or_none(wait: Any, expected: float | None) -> None:
    """What it means stays: a throttled path waits all the same."""
    assert fit(Throttled(wait_seconds=wait), RETRY_OUTCOMES, []) == Throttled(wait_seconds=expected)
    assert fit(Unknown(wait_seconds=wait), CHECK_RESULTS, []) == Unknown(wait_seconds=expected)


@pytest.mark.parametrize(
    ("status", "expected"),
    [(200, 200), (HTTPStatus.CONFLICT, 409), (900, 900), (70_000, None), (-1, None), ("200", None), (True, None)],
)
def test_a_status_has_three_digits_or_none(status: Any, expected: int | None) -> None:
    fitted = fit(Already(http_status=status), RETRY_OUTCOMES, [])
    assert isinstance(fitted, Already)
    assert fitted.http_status == expected
    assert type(fitted.http_status) in {int, type(None)}


@pytest.mark.parametrize("kind", [Accepted, Already, Throttled, Unknown, Unsent, Deferred])
def test_text_is_one_line_that_every_database_keeps(kind: Any) -> None:
    """NUL, half a surrogate pair, a terminal's own language; and no longer than its column."""
    fitted = fit(kind(code="a\0b" + "c" * 99, message="x\0y\ud800z\x1b[31m\n\u202e" + "w" * 999), RETRY_OUTCOMES, [])
    assert (fitted.code[:3], len(fitted.code)) == ("abc", 64)
    assert fitted.message.isprintable()
    assert fitted.message.startswith("xy?z [31m")
    assert len(fitted.message) == 500


def test_marks_and_ids_fit_their_columns() -> None:
    assert len(fit(Accepted(ref="r" * 999), RETRY_OUTCOMES, []).ref) == 255  # type: ignore[union-attr]
    assert len(fit(Unknown(ref="r" * 999), RETRY_OUTCOMES, []).ref) == 255  # type: ignore[union-attr]
    assert len(fit(Reading(state=State.RUNNING, mark="m" * 999), CHECK_RESULTS, []).mark) == 64  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "answer",
    [
        Already(message=None),  # type: ignore[arg-type]
        Already(code=5),  # type: ignore[arg-type]
        Refused(reason="because"),  # type: ignore[arg-type]
        Blocked(cause="money"),  # type: ignore[arg-type]
        Accepted(ref=b"bytes"),  # type: ignore[arg-type]
        "accepted",
        Accepted,
        object(),
    ],
)
def test_what_cannot_be_mended_is_no_answer(answer: Any) -> None:
    with pytest.raises(MisfitError):
        fit(answer, RETRY_OUTCOMES, [])


def test_words_of_an_enumeration_are_taken_for_its_members() -> None:
    assert fit(Refused(reason="refused"), RETRY_OUTCOMES, []) == Refused(reason=DeadReason.REFUSED)  # type: ignore[arg-type]
    assert fit(Blocked(cause="balance"), RETRY_OUTCOMES, []) == Blocked(cause=Cause.BALANCE)  # type: ignore[arg-type]


def test_a_task_that_is_gone_always_has_a_reason() -> None:
    """And no other has one: the schema would refuse the row."""
    gone, failed = Reading(state=State.GONE), Reading(state=State.FAILED, reason=DeadReason.REFUSED)
    assert fit(gone, CHECK_RESULTS, []) == Reading(state=State.GONE, reason=DeadReason.REFUSED)
    assert fit(failed, CHECK_RESULTS, []) == Reading(state=State.FAILED)


def test_a_result_is_kept_as_json_where_it_is_archived() -> None:
    result = {"a\0": ["x\ud800", nan, 1, None, (True, {"b": inf})], 5: "number"}
    fitted = fit(Reading(state=State.FAILED, result=result), CHECK_RESULTS, [], archives=True)  # type: ignore[arg-type]
    assert fitted == Reading(
        state=State.FAILED, result={"a": ["x?", None, 1, None, [True, {"b": None}]], "5": "number"}
    )
    assert fit(Reading(state=State.FAILED, result=result), CHECK_RESULTS, []) == Reading(state=State.FAILED)  # type: ignore[arg-type]


@pytest.mark.parametrize("result", [{"a": object()}, {"a": {1, 2}}, ["list"], "text", {"n": 10**5000}])
def test_a_result_that_is_no_json_is_no_answer(result: Any) -> None:
    with pytest.raises(MisfitError):
        fit(Reading(state=State.FAILED, result=result), CHECK_RESULTS, [], archives=True)


def test_a_result_too_deep_to_be_written_is_no_answer() -> None:
    deep: dict[str, Any] = {}
    inner = deep
    for _ in range(5000):
        inner["a"] = inner = {}
    with pytest.raises(MisfitError):
        fit(Reading(state=State.FAILED, result=deep), CHECK_RESULTS, [], archives=True)


def test_a_result_too_large_to_be_archived_is_not_lost_by_a_retry() -> None:
    """The task is not taken for one whose result was saved."""
    result = {"text": "x" * (MAX_RESULT_BYTES + 1)}
    assert isinstance(fit(Reading(state=State.FAILED, result=result), CHECK_RESULTS, [], archives=True), Unreadable)


# --- How large it is ---------------------------------------------------------------------------------------------


def padded(size: int) -> dict[str, Any]:
    items = [{"id": "1", "status": 4}]
    return {"code": 0, "data": {"total": 1, "items": items}, "padding": "x" * size}


@pytest.mark.parametrize("size", [0, INLINE_BYTES * 2, THREAD_BYTES + 1])
def test_an_answer_of_any_size_within_the_cap_is_read(house: Callable[..., House], size: int) -> None:
    """In the loop, in a thread, in a process: the same comes of it."""
    found = house(says=padded(size)).check("1")[1]
    assert isinstance(found, Reading)
    assert found.state is State.FAILED


def test_a_larger_one_is_not_received(house: Callable[..., House]) -> None:
    found = house(says=padded(GEELARK.read_bytes)).check("1")[1]
    assert isinstance(found, Unknown)
    assert f"answer larger than {GEELARK.read_bytes} bytes" in found.message


def test_one_with_more_values_than_any_page_has_is_not_read(house: Callable[..., House]) -> None:
    found = house(says=[0] * (GEELARK.read_items + 1)).check("1")[1]
    assert isinstance(found, Unknown)
    assert f"more than {GEELARK.read_items} values" in found.message


class Dying(GeeLark):
    """It ends the process that reads its large answers, once."""

    def results(self, call: Call, exchange: Exchange) -> CheckResults:
        if exchange.answer is not None and b"die" in exchange.answer.body:
            assert threading.current_thread() is threading.main_thread(), "not in the process of the test"
            os._exit(1)
        return super().results(call, exchange)


def test_a_process_that_ends_while_it_reads_is_replaced(loop: EventLoop) -> None:
    """Its one answer is unknown; the next is read."""
    say: list[Any] = [padded(THREAD_BYTES) | {"msg": "die"}, padded(THREAD_BYTES)]
    with tiny(lambda _: (200, say.pop(0))) as server:
        ours = House(loop, server.url, Dying)
        first, second = ours.check("1")[1], ours.check("1")[1]
        loop.submit(ours.sender.aclose()).result(10)
        ours.sender._crew.close()
    assert isinstance(first, Unknown)
    assert first.message == "the answer could not be read: the process that read it ended"
    assert isinstance(second, Reading)


def test_a_provider_that_cannot_be_handed_over_says_so(house: Callable[..., House]) -> None:
    """A class made within a function is not found elsewhere."""
    found = house(provider(), says=padded(THREAD_BYTES)).check("1")[1]
    assert isinstance(found, Unknown)
    assert found.message.startswith("the answer could not be read: the provider cannot be handed to another process")


def test_pages_without_end_are_left(house: Callable[..., House], monkeypatch: pytest.MonkeyPatch) -> None:
    """All pages of a check share one allowance."""
    monkeypatch.setattr("redrive.worker.sender.MAX_PAGES_BYTES", 10)
    asked: list[int] = []

    def results(_: GeeLark, call: Call, __: Exchange) -> CheckResults:
        asked.append(1)
        return CheckResults(more=call)

    found = house(provider(results=results), says=padded(100_000)).check("1")[1]
    assert isinstance(found, Unreadable)
    assert len(asked) <= 11


# --- Whose fault it is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("token", ["\u201cgl-4711-secret\u201d", "gl-secret\n", "schlüssel-0123", "gl\0secret"])
@pytest.mark.parametrize("operation", ["retry", "check"])
def test_a_credential_that_cannot_be_sent_pauses_the_account(loop: EventLoop, token: str, operation: str) -> None:
    """No task is blamed, and the words say what to check."""
    with tiny(lambda _: (200, {})) as server:
        ours = House(loop, server.url, GeeLark)
        ours.sender.provider = GeeLark(Account("phones", server.url, {"token": token}))
        found = getattr(ours, operation)("1")[1]
        loop.submit(ours.sender.aclose()).result(10)
    assert isinstance(found, Blocked)
    assert found.cause is Cause.CREDENTIALS
    assert "check the account's credentials" in found.message
    assert token not in found.message
    assert server.asked == []


@pytest.mark.parametrize("error", [UnicodeEncodeError("ascii", "x", 0, 1, "no"), ValueError("no"), UnicodeError()])
def test_a_signature_that_cannot_be_made_of_the_credentials_pauses_it_too(
    house: Callable[..., House], error: Exception
) -> None:
    found = house(provider(auth=raises(error))).retry("1")[1]
    assert isinstance(found, Blocked)
    assert found.cause is Cause.CREDENTIALS


def test_a_page_that_cannot_be_asked_for_is_the_tasks_matter(house: Callable[..., House]) -> None:
    def results(_: GeeLark, call: Call, __: Exchange) -> CheckResults:
        return CheckResults(more=Call(Request("GET", "/\x00"), call.tasks, call.limit_path))

    found = house(provider(results=results)).check("1")[1]
    assert isinstance(found, Deferred)
    assert found.of_task


# --- Trouble that is noticed before it is recorded -----------------------------------------------------------------

ANSWERED, SILENT = Unknown(answered=True), Unknown()
FORBIDDEN = Already(forbidden=True)
BREAKER = BreakerRules(failures=3)


def noticed(answers: list[Mapping[int, Any]]) -> bool:
    trouble = Trouble(BREAKER)
    for each in answers:
        trouble.hear(each)
    return trouble.pending


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ([{1: SILENT}, {1: SILENT}, {1: SILENT}], True),
        ([{n: Unreadable()} for n in range(9)], False),
        ([{1: SILENT}, {2: SILENT}, {3: Unreadable()}, {4: SILENT}], False),
        ([{1: ANSWERED}] * 9, False),
        ([{1: ANSWERED}, {2: ANSWERED}, {3: ANSWERED}], True),
        ([{1: ANSWERED}, {1: ANSWERED}, {2: ANSWERED}, {2: ANSWERED}], False),
        ([{1: ANSWERED}, {2: ANSWERED}, {3: Accepted()}, {4: ANSWERED}], False),
        ([{n: Deferred(of_task=True)} for n in range(9)], False),
        ([{1: SILENT}, {2: Deferred(of_task=True)}, {3: SILENT}, {4: SILENT}], True),
        ([{n: Deferred()} for n in range(3)], True),
        ([{n: Unsent()} for n in range(9)], False),
        ([{1: ANSWERED, 2: ANSWERED, 3: ANSWERED}], True),
        ([{1: SILENT, 2: Deferred(of_task=True)}] * 3, True),
        ([{n: FORBIDDEN} for n in range(3)], True),
        ([{n: Unreadable(forbidden=True)} for n in range(3)], True),
        ([{1: FORBIDDEN}] * 9, False),
        (
            [{1: FORBIDDEN}, {2: FORBIDDEN}, {3: Refused(reason=DeadReason.NOT_FOUND)}, {4: FORBIDDEN}],
            False,
        ),
        ([{1: FORBIDDEN}, {2: SILENT}, {3: FORBIDDEN}, {4: FORBIDDEN}], True),
    ],
)
def test_an_outage_is_what_nobody_answers(answers: list[Mapping[int, Any]], *, expected: bool) -> None:
    """A task that is answered and not understood says nothing of the account, however often it is asked for."""
    assert noticed(answers) is expected


@pytest.mark.parametrize("seed", range(40))
def test_what_the_ledger_will_stop_for_is_noticed_at_once(seed: int) -> None:
    """Random answers: the worker holds calls back exactly from the answer on that opens the ledger's breaker."""
    dice, trouble, state = Random(seed), Trouble(BREAKER), ledger.Breaker()
    for _ in range(12):
        kinds = (SILENT, ANSWERED, Deferred(), Deferred(of_task=True), Unsent(), Unreadable())
        answers = {dice.randrange(4): dice.choice(kinds) for _ in range(dice.randint(1, 3))}
        trouble.hear(answers)
        call = ledger.call_of(answers)
        state = state.after(call) if call is not None else state
        assert trouble.pending == (state.failures >= BREAKER.failures)
        if trouble.pending:
            return


# --- What an account costs ------------------------------------------------------------------------------------------


def test_a_thousand_accounts_that_never_call_cost_little() -> None:
    """No connection, no trust store, no thread: these are made at an account's first call."""
    crew, provider_ = Crew(), GeeLark(Account("phones", "https://api.example", {"token": SECRET}))
    before = threading.active_count()
    tracemalloc.start()
    senders = [
        Sender(
            provider=provider_,
            rules=rules(),
            base_url="https://api.example",
            concurrency=16,
            secrets=[SECRET],
            crew=crew,
        )
        for _ in range(1000)
    ]
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 20 * 1024 * 1024
    assert threading.active_count() <= before  # those of other tests may end meanwhile
    assert all(sender._client._transport is None for sender in senders)
