"""The job over a real database and real sockets: begun once, recorded first, never lost, never sent twice."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Connection, event, select, update

from redrive.models import ledger
from redrive.models.clock import boottime, utc_now
from redrive.models.ledger import Batch, permits
from redrive.models.sql.tables import archives, batches
from redrive.models.states import Operation, Status
from redrive.sandbox.script import Refusal, Script, make_id
from redrive.sandbox.server import SandboxThread
from redrive.worker import job
from redrive.worker.app import request
from redrive.worker.deps import Deps
from redrive.worker.desk import MOST_THREADS
from redrive.worker.providers.base import Plan, TaskRef
from redrive.worker.providers.geelark import GeeLark
from tests.support.processes import wait_until
from tests.support.site import Site, losing, site
from tests.support.tiny import Answer, Asked, tiny

if TYPE_CHECKING:
    from concurrent.futures import Future

RESTART, QUERY = "/open/v1/task/restart", "/open/v1/task/query"
API = "/api/app-api/sip/platform/v2"
ONE_AT_A_TIME = {"calls_per_hour = 999999": "calls_per_hour = 999999\nconcurrency = 1"}


def accepting(then: Callable[[], Any] = lambda: None) -> Callable[[Asked], Answer]:
    """A provider that takes every retry, and something that happens before it answers."""

    def answer(asked: Asked) -> Answer:
        then()
        return 200, {"code": 200 if "docflow" in asked.path or API in asked.path else 0, "msg": "", "data": {}}

    return answer


def shall_stop(ours: Site) -> None:
    ours.deps.draining.set()


def free_slots(ours: Site, account: str) -> bool:
    """Whether every slot of the account is free again."""
    return ours.sender(account).slots.taken == 0


# --- Once ------------------------------------------------------------------------------------------------------------


def test_a_batch_is_worked_on_once(ours: Site, sandbox: SandboxThread) -> None:
    """A message that comes twice is harmless, during the batch and after it."""
    task_id = ours.world.add()
    batch = ours.world.claimed()
    assert ours.run(batch) == {"accepted": 1}
    assert ours.run(batch) == {"not_mine": 1}
    assert ours.outcomes(task_id) == ["accepted"]
    assert sandbox.stats()["calls"] == {RESTART: 1}
    assert ours.world.batch(batch.id)["counts"] == {"accepted": 1}


def test_a_message_that_comes_during_the_batch_is_not_worked_on(at: Callable[..., Any]) -> None:
    again: list[dict[str, int]] = []
    with tiny(accepting(lambda: again.append(ours.run(batch)))) as server, at(server.url) as ours:
        ours.world.add()
        batch = ours.world.claimed()
        assert ours.run(batch) == {"accepted": 1}
    assert again == [{"not_mine": 1}]
    assert len(server.asked) == 1


def test_an_account_this_worker_does_not_know_stays_queued(ours: Site, sandbox: SandboxThread) -> None:
    """Another worker may know it."""
    task_id = ours.world.add()
    batch = ours.world.claimed()
    stranger = replace(ours, deps=replace(ours.deps, rules={}))
    assert stranger.run(batch) == {"not_mine": 1}
    assert ours.world.batch(batch.id)["status"] == "queued"
    assert sandbox.stats()["calls"] == {}
    assert ours.run(batch) == {"accepted": 1}
    assert ours.world.task(task_id).status is Status.RETRYING


# --- Given back -----------------------------------------------------------------------------------------------------


def assert_given_back(ours: Site, ids: list[int], batch: Batch) -> None:
    for task_id in ids:
        task = ours.world.task(task_id)
        assert (task.status, task.spent, task.batch_id) == (Status.FAILED, 0, None)
        assert task.due_at is not None
        assert task.due_at <= utc_now()
    assert ours.world.batch(batch.id)["status"] == "done"


def test_a_worker_that_shall_stop_gives_a_whole_batch_back(ours: Site, sandbox: SandboxThread) -> None:
    ids = ours.world.add_many("123")
    batch = ours.world.claimed()
    ours.deps.draining.set()
    assert ours.run(batch) == {}
    assert_given_back(ours, ids, batch)
    assert sum(len(ours.world.attempts(task_id)) for task_id in ids) == 0
    assert sandbox.stats()["calls"] == {}


def test_checks_that_were_not_made_are_due_at_once(ours: Site, sandbox: SandboxThread) -> None:
    """Another worker makes them now, and not when the claim would have run out."""
    ids = ours.world.add_many("12")
    assert ours.run(ours.world.claimed()) == {"accepted": 2}
    for task_id in ids:
        ours.world.put(task_id, due_at=utc_now())
    batch = ours.world.claimed(operation=Operation.CHECK)
    ours.world.report(ids[1], Status.SUCCEEDED)
    ours.deps.draining.set()
    assert ours.run(batch) == {}
    assert ours.world.batch(batch.id)["status"] == "done"
    waits, ended = map(ours.world.task, ids)
    assert waits.due_at is not None
    assert waits.due_at <= utc_now()
    assert (ended.status, ended.due_at) == (Status.SUCCEEDED, None)
    assert sandbox.stats()["calls"] == {RESTART: 1}


def test_a_worker_told_to_stop_at_work_records_what_is_open_and_gives_back_the_rest(at: Callable[..., Any]) -> None:
    """The first call's answer is kept; nothing else was sent, nothing else is spent."""
    with tiny(accepting(lambda: shall_stop(ours))) as server, at(server.url, change=ONE_AT_A_TIME) as ours:
        ids = ours.world.add_many(["1", "2", "3"], account="reviews")
        batch = ours.world.claimed("reviews")
        assert ours.run(batch)["accepted"] == 1
        done = [task_id for task_id in ids if ours.outcomes(task_id)[:1] == ["accepted"]]
        assert ours.world.task(done[0]).status is Status.RETRYING
        assert_given_back(ours, [task_id for task_id in ids if task_id not in done], batch)
    assert len(server.asked) == len(done) == 1


def test_what_is_open_is_finished_by_a_worker_that_shall_stop(at: Callable[..., Any]) -> None:
    """Opened for a moment a little ahead, it is sent at that moment; what was not opened goes back."""
    pace = {"[accounts.reviews.limits]\ncalls_per_minute = 60000": "[accounts.reviews.limits]\ncalls_per_minute = 124"}
    with tiny(accepting(lambda: shall_stop(ours))) as server, at(server.url, change=pace) as ours:
        ids = ours.world.add_many("12345", account="reviews")
        batch = ours.world.claimed("reviews")
        assert ours.run(batch) == {"accepted": 3}, "a second's worth: now, after half a second and after a whole one"
        unsent = [task_id for task_id in ids if not ours.outcomes(task_id)]
        assert_given_back(ours, unsent, batch)
    assert (len(server.asked), len(unsent)) == (3, 2)


def test_a_batch_of_an_account_paused_meanwhile_goes_back(ours: Site, sandbox: SandboxThread) -> None:
    """The pause came between its claim and its begin."""
    ids = ours.world.add_many("12")
    batch = ours.world.claimed()
    ours.world.pause()
    assert ours.run(batch) == {}
    assert_given_back(ours, ids, batch)
    assert sandbox.stats()["calls"] == {}


def test_a_call_that_pauses_the_account_is_its_last(at: Callable[..., Any]) -> None:
    """Wrong credentials cost the calls under way and no task an attempt of its limit."""
    refusing = lambda _: (200, {"code": 40102, "msg": "wrong secret"})  # noqa: E731 - a provider in one line
    with tiny(refusing) as server, at(server.url, change=ONE_AT_A_TIME) as ours:
        ids = ours.world.add_many("12345", account="reviews")
        batch, began = ours.world.claimed("reviews"), boottime()
        ours.run(batch)
        assert boottime() - began < 8, "the rest goes back at once, not when the lease ends"
        assert_given_back(ours, ids, batch)
        assert ours.world.account("reviews")["paused_cause"] == "credentials"
    assert len(server.asked) == 1


# --- Leases ---------------------------------------------------------------------------------------------------------


def lease_over(ours: Site, batch: Batch) -> None:
    with ours.world.begin() as t:
        ended = update(batches).where(batches.c.id == batch.id).values(lease_until=t.now - timedelta(seconds=1))
        t.execute(ended)


def test_an_answer_after_the_rescue_is_dropped_quietly(at: Callable[..., Any]) -> None:
    """The rescue's word stands: unknown, spent; and the late worker keeps no slot."""

    def rescue() -> None:
        lease_over(ours, batch)
        ours.world.rescue(batch.id)

    with tiny(accepting(rescue)) as server, at(server.url) as ours:
        task_id = ours.world.add()
        batch = ours.world.claimed()
        assert ours.run(batch) == {"accepted": 1, "stale": 1}
        task = ours.world.task(task_id)
        assert (task.status, task.spent, task.attempts) == (Status.UNKNOWN, 1, 1)
        assert ours.outcomes(task_id) == ["unknown"]
        assert ours.world.batch(batch.id)["status"] == "lost"
        wait_until(lambda: free_slots(ours, "phones"))
    assert len(server.asked) == 1


@pytest.mark.parametrize("change", [{}, ONE_AT_A_TIME], ids=["in the air", "reserved"])
def test_a_batch_rescued_at_work_keeps_no_slot(at: Callable[..., Any], change: dict[str, str]) -> None:
    """Its job ends at the next step: slots reserved for that one come free, those of open calls when they end."""
    asked: list[int] = []

    def rescue() -> None:
        asked.append(1)
        if len(asked) == 1:
            lease_over(ours, batch)
            ours.world.rescue(batch.id, "reviews")

    with tiny(accepting(rescue)) as server, at(server.url, change=change) as ours:
        ours.world.add_many("12345678", account="reviews")
        batch = ours.world.claimed("reviews")
        assert ours.run(batch)["stale"] == 1
        wait_until(lambda: free_slots(ours, "reviews"))


def test_an_answer_after_the_lease_and_before_the_rescue_counts(at: Callable[..., Any]) -> None:
    """Nobody took the batch: what is known is better than what is not."""
    with tiny(accepting(lambda: lease_over(ours, batch))) as server, at(server.url) as ours:
        task_id = ours.world.add()
        batch = ours.world.claimed()
        assert ours.run(batch) == {"accepted": 1}
        assert ours.outcomes(task_id) == ["accepted"]


# --- A database that goes away --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [True, False])
def test_an_opening_in_doubt_is_never_sent(ours: Site, sandbox: SandboxThread, kept: bool) -> None:  # noqa: FBT001 - a case
    """If it happened, its attempts are closed unsent and the tasks go back; if not, the batch waits to be begun."""
    ids = ours.world.add_many("12")
    batch = ours.world.claimed()
    with losing(ours, 1, kept=kept):
        told = ours.run(batch)
    assert sandbox.stats()["calls"] == {}
    assert free_slots(ours, "phones")
    assert [ours.outcomes(task_id) for task_id in ids] == [["unsent"] if kept else []] * 2
    if kept:
        assert_given_back(ours, ids, batch)
    else:
        assert told == {"not_begun": 1}
        assert ours.run(batch) == {"accepted": 2}


def test_a_wish_is_written_down_once_the_database_is_back(ours: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """It came through the broker, and nobody sends it twice."""
    monkeypatch.setattr("redrive.worker.app.deps.get", lambda: ours.deps)
    monkeypatch.setattr("redrive.worker.app.ASK_AGAIN_SECONDS", 0.01)
    task_id = ours.world.add()
    later = ours.world.task(task_id).created_at + timedelta(days=1)
    ours.world.put(task_id, due_at=later)
    with losing(ours, 1, kept=False):
        assert request([task_id], who="ann") == {"asked": 1, "due": 1}
    due_at = ours.world.task(task_id).due_at
    assert due_at is not None
    assert due_at < later


def test_a_begin_in_doubt_leaves_alone_what_another_has_begun(
    ours: Site, sandbox: SandboxThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message came twice: while one asks what became of its begin, the other works on the batch.

    The other has the same process number on a host of the same name, as containers may.
    """
    task_id = ours.world.add()
    batch = ours.world.claimed()
    begun: list[str] = []
    mine = ours.deps
    other = Deps(mine.database, mine.rules, mine.senders, mine.loop, mine.waker, mine.name)

    async def meanwhile(_: float) -> None:
        with ours.world.begin() as t:
            work = ledger.begin(t, batch.id, mine.rules, other.next_name())
            assert work is not None
            begun.append(work.worker)
            ledger.advance_retries(t, work, [], ours.world.groups(work), ours.deps.rng, begun=True)

    monkeypatch.setattr("redrive.worker.recording.sleep", meanwhile)
    with losing(ours, 1, kept=False):
        assert ours.run(batch) == {"not_begun": 1}
    assert (ours.world.batch(batch.id)["status"], [ours.world.batch(batch.id)["worker"]]) == ("sending", begun)
    assert ours.outcomes(task_id) == [None], "the other's attempt is still open"
    assert sandbox.stats()["calls"] == {}


@pytest.mark.parametrize("kept", [True, False])
def test_a_record_in_doubt_is_written_again_and_counts_once(ours: Site, sandbox: SandboxThread, kept: bool) -> None:  # noqa: FBT001 - a case
    """Recording twice is harmless: one attempt, one unit of its limit, one acceptance in the totals."""
    task_id = ours.world.add()
    batch = ours.world.claimed()
    with losing(ours, 2, kept=kept):
        assert ours.run(batch) == {"accepted": 1}
    assert sandbox.stats()["calls"] == {RESTART: 1}
    assert ours.outcomes(task_id) == ["accepted"]
    task = ours.world.task(task_id)
    assert (task.status, task.spent) == (Status.RETRYING, 1)
    assert {name: n for name, n in ours.world.totals().items() if n} == {
        "attempts": 1,
        "calls:retry": 1,
        "outcome:accepted": 1,
        "spent": 1,
    }
    assert ours.world.batch(batch.id)["status"] == "done"


@pytest.mark.parametrize("kept", [True, False])
def test_a_step_in_doubt_is_recorded_and_opens_nothing(at: Callable[..., Any], kept: bool) -> None:  # noqa: FBT001 - a case
    """One commit records the first answer and opens the next attempt: the answer is kept, the attempt not sent."""
    with tiny(accepting()) as server, at(server.url, change=ONE_AT_A_TIME) as ours:
        ours.world.add_many("12", account="reviews")
        with losing(ours, 2, kept=kept):
            ours.work("reviews")
        first, second = server.asked[0].body["task_id"], {"1": "2", "2": "1"}[server.asked[0].body["task_id"]]
        outcomes = {task.external_id: ours.outcomes(task.id) for task in ours.world.tasks().values()}
        assert outcomes == {first: ["accepted"], second: ["unsent"] if kept else []}
        assert {task.external_id: task.spent for task in ours.world.tasks().values()} == {first: 1, second: 0}
        assert ours.world.totals("reviews")["calls:retry"] == 1
    assert len(server.asked) == 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_connection_cut_before_the_opening_is_committed_sends_nothing(ours: Site, sandbox: SandboxThread) -> None:
    """The server ends the worker's connection between the last statement and the COMMIT."""
    ids, batch = ours.world.add_many("12"), ours.world.claimed()
    cut: list[int] = []
    commits = 0

    def commit(connection: Connection) -> None:
        nonlocal commits
        commits += 1
        if commits == 1:
            pid = connection.connection.dbapi_connection.info.backend_pid  # type: ignore[union-attr]
            cut.append(pid)
            with ours.world.begin() as t:
                t.connection.exec_driver_sql(f"SELECT pg_terminate_backend({pid}, 5000)")

    event.listen(ours.deps.database.engine, "commit", commit)
    assert ours.run(batch) == {"not_begun": 1}
    assert len(cut) == 1
    assert sandbox.stats()["calls"] == {}
    assert ours.run(batch) == {"accepted": len(ids)}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_an_answer_is_recorded_over_a_fresh_connection(at: Callable[..., Any]) -> None:
    """Every connection of the worker is cut while its call is under way."""

    def cut() -> None:
        url = ours.world.database.url
        with psycopg.connect(host=url.query["host"], user=url.username, dbname=url.database) as other:
            others = "datname = current_database() AND pid <> pg_backend_pid()"
            other.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {others}")

    with tiny(accepting(cut)) as server, at(server.url) as ours:
        task_id = ours.world.add()
        assert ours.work() == {"accepted": 1}
        assert ours.outcomes(task_id) == ["accepted"]
    assert len(server.asked) == 1


# --- Calls ----------------------------------------------------------------------------------------------------------


def test_a_login_is_counted_as_a_call(ours: Site) -> None:
    ours.world.add_many("12", account="desktops")
    assert ours.work("desktops") == {"accepted": 2}
    assert ours.world.totals("desktops")["calls:retry"] == 3


@pytest.mark.parametrize(
    ("status", "headers", "came"),
    [(401, {}, "blocked"), (429, {"Retry-After": "9"}, "throttled"), (500, {}, "deferred")],
)
def test_a_login_that_fails_is_the_only_call(
    at: Callable[..., Any], status: int, headers: dict[str, str], came: str
) -> None:
    """What stood behind it never left, whatever the login's answer makes of it."""
    with tiny(lambda _: (status, {}, headers)) as server, at(server.url) as ours:
        ours.world.add(account="desktops")
        assert ours.work("desktops") == {came: 1}
        assert len(server.asked) == 1
        assert ours.world.totals("desktops")["calls:retry"] == 1


def test_slow_answers_do_not_hold_up_the_next_calls(at: Callable[..., Any]) -> None:
    """While no answer has come at all, calls go on leaving at the account's pace: here none comes before the sixth."""
    sixth = Barrier(6)
    pace = {"[accounts.reviews.limits]\ncalls_per_minute = 60000": "[accounts.reviews.limits]\ncalls_per_minute = 220"}
    with tiny(accepting(lambda: sixth.wait(4.5))) as server, at(server.url, change=pace) as ours:
        ours.world.add_many("123456", account="reviews")
        assert ours.work("reviews") == {"accepted": 6}
    assert len(server.asked) == 6


def test_a_task_the_providers_own_rules_refuse_costs_no_call(at: Callable[..., Any]) -> None:
    """DocFlow without a workspace: refused here, recorded as an attempt, dead; its neighbour goes on."""
    with tiny(accepting()) as server, at(server.url, change={'workspace_id = "1234567890"': ""}) as ours:
        lost = ours.world.add("1", account="reviews")
        good = ours.world.add("2", account="reviews", params={"workspace_id": "7"})
        assert ours.work("reviews") == {"accepted": 1, "refused": 1}
        task = ours.world.task(lost)
        assert (task.status, task.dead_reason, task.attempts, task.spent) == (Status.DEAD, "refused", 1, 0)
        assert "workspace_id" in ours.world.attempts(lost)[0]["message"]
        assert ours.world.task(good).status is Status.RETRYING
    assert [asked.body["task_id"] for asked in server.asked] == ["2"]


def test_a_provider_that_cannot_plan_puts_its_tasks_off(ours: Site, sandbox: SandboxThread) -> None:
    """A defect in somebody else's code: deferred with a backoff, said, and the batch ends like any other."""

    class Broken(GeeLark):
        def retries(self, tasks: Sequence[TaskRef]) -> Plan:
            raise KeyError(tasks[0].kind)

    sender = ours.sender("phones")
    broken = object.__new__(Broken)
    broken.__dict__.update(vars(sender.provider))
    sender.provider = broken
    ids = ours.world.add_many("12")
    batch = ours.world.claimed()
    assert ours.run(batch) == {"deferred": 2}
    for task_id in ids:
        task = ours.world.task(task_id)
        assert (task.status, task.errors, task.spent) == (Status.FAILED, 1, 0)
        assert task.due_at is not None
        assert task.due_at > task.status_since
    assert ours.world.batch(batch.id)["status"] == "done"
    assert sandbox.stats()["calls"] == {}


# --- Looks before retries --------------------------------------------------------------------------------------------


def looked(ours: Site, account: str, task_id: int) -> None:
    """The claim leaves the task for a check, which is then made."""
    assert ours.world.claim(account).batch is None
    assert ours.world.task(task_id).next is Operation.CHECK
    ours.work(account, Operation.CHECK)


def test_a_result_is_kept_before_a_retry_overwrites_it(at: Callable[..., Any], sandbox: SandboxThread) -> None:
    """archive_results: the check comes first, and what it showed is in the archive when the retry leaves."""
    keep = {'workspace_id = "1234567890"': 'workspace_id = "1234567890"\narchive_results = true'}
    with at(sandbox.url, change=keep) as ours:
        task_id = ours.world.add(make_id("docflow", 1, Script()), account="reviews")
        looked(ours, "reviews", task_id)
        with ours.world.begin() as t:
            kept = t.mappings(select(archives))
        assert [(row["task_id"], row["number"], row["result"]["status"]) for row in kept] == [(task_id, 0, 2)]
        assert sandbox.stats()["calls"] == {f"{API}/review/task/result": 1}
        assert ours.work("reviews") == {"accepted": 1}


@pytest.mark.parametrize(
    ("refusal", "ends"), [(None, Status.RETRYING), (Refusal.RULE_ELSEWHERE, Status.DEAD)], ids=["own", "elsewhere"]
)
def test_a_rules_membership_is_read_before_its_first_retry(
    ours: Site, sandbox: SandboxThread, refusal: Refusal | None, ends: Status
) -> None:
    """A rule of another review is dead (not_found) without a retry; one of this review is retried after the check."""
    review = make_id("docflow", 1, Script(refusal=refusal))
    task_id = ours.world.add(review, account="reviews", sub_id=f"{review}1")
    looked(ours, "reviews", task_id)
    if ends is Status.RETRYING:
        assert ours.work("reviews") == {"accepted": 1}
    assert ours.world.task(task_id).status is ends
    retries = sandbox.stats()["calls"].get(f"{API}/review/task/rule/retry", 0)
    assert retries == (ends is Status.RETRYING)


def test_a_task_that_the_provider_retries_by_itself_is_checked_twice(ours: Site, sandbox: SandboxThread) -> None:
    """GeeLark retries client_ui tasks: failed once may be between two of its runs."""
    task_id = ours.world.add(make_id("geelark", 1, Script()), origin="client_ui")
    looked(ours, "phones", task_id)
    task = ours.world.task(task_id)
    assert task.next is Operation.CHECK, "one check does not settle it"
    assert ours.world.claim().batch is None
    settled = wait_until(lambda: ours.world.claim("phones", Operation.CHECK).batch)
    ours.run(settled)
    assert sandbox.stats()["calls"] == {QUERY: 2}
    assert ours.work() == {"accepted": 1}


def test_while_trouble_may_not_be_recorded_yet_steps_wait_for_the_account(
    new_postgres_database: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who records it holds the account: what is opened after it was noticed must learn of it first."""
    answers = iter([{"code": 41001, "msg": "no balance"}] + [{"code": 0, "msg": "", "data": {}}] * 3)
    locks: list[str] = []

    def seen(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "FROM redrive_accounts" in statement and "FOR UPDATE" in statement:
            locks.append(statement)

    def waits() -> bool:
        ours.world.add(f"{uuid4()}")
        batch = ours.world.claimed()
        locks.clear()
        assert ours.run(batch) == {"accepted": 1}
        return bool(locks)

    with tiny(lambda _: (200, next(answers))) as server, site(new_postgres_database(), tmp_path, server.url) as ours:
        event.listen(ours.deps.database.engine, "before_cursor_execute", seen)
        assert ours.retry("phones", [TaskRef(99, "", "x")])[99].name == "blocked"
        assert waits()
        monkeypatch.setattr("redrive.worker.trouble.RECORDED_SECONDS", 0.0)
        assert not waits()


# --- Many that wait --------------------------------------------------------------------------------------------------

SLOW = {"[accounts.desktops.limits]\ncalls_per_minute = 60000": "[accounts.desktops.limits]\ncalls_per_minute = 2"}
LONG = {"lease_seconds = 20\n[accounts.reviews]": "lease_seconds = 900\n[accounts.reviews]"}


def waiting(ours: Site, number: int) -> tuple[list[Batch], list["Future[dict[str, int]]"]]:
    """So many batches of an account that may make no call for half a minute, all begun."""
    ours.world.ruled("desktops", interval_seconds=0.001, batch_size=1, max_in_flight=1000)
    ours.world.add_many([str(n) for n in range(number)], account="desktops")
    with ours.world.begin() as t:
        permits.take(t, ours.deps.rules["desktops"], {"/script-executions/retry": 1}, t.now)
    claimed = [ours.world.claimed("desktops") for _ in range(number)]
    begun = [job.start(ours.deps, batch.id) for batch in claimed]
    wait_until(lambda: all(ours.world.batch(batch.id)["status"] == "sending" for batch in claimed), 60)
    return claimed, begun


def test_batches_that_wait_hold_neither_thread_nor_connection(at: Callable[..., Any], sandbox: SandboxThread) -> None:
    """A hundred and more wait, and a batch that could call is begun, sent and recorded at once."""
    with at(sandbox.url, change=SLOW | LONG) as ours:
        before = threading.active_count()
        _, begun = waiting(ours, 120)
        wait_until(lambda: ours.deps.database.engine.pool.checkedout() == 0)  # type: ignore[attr-defined]
        assert threading.active_count() - before <= MOST_THREADS
        ours.world.add("quick")
        assert ours.work("phones")["accepted"] == 1
        assert not any(each.done() for each in begun)
        shall_stop(ours)


def test_many_that_wait_are_given_back_together(at: Callable[..., Any], sandbox: SandboxThread) -> None:
    """In a few transactions; what was lost meanwhile is the loss of its own batch."""
    commits: list[object] = []
    with at(sandbox.url, change=SLOW | LONG) as ours:
        claimed, begun = waiting(ours, 120)
        lost, *others = claimed
        lease_over(ours, lost)
        ours.world.rescue(lost.id, "desktops")
        event.listen(ours.deps.database.engine, "commit", commits.append)
        shall_stop(ours)
        assert [each.result(30) for each in begun] == [{"stale": 1}, *[{}] * len(others)]
        assert len(commits) <= 10
        assert {task.status for task in ours.world.tasks().values()} == {Status.FAILED}
        assert {(task.spent, task.attempts, task.batch_id) for task in ours.world.tasks().values()} == {(0, 0, None)}
        assert {ours.world.batch(batch.id)["status"] for batch in others} == {"done"}
        assert ours.world.batch(lost.id)["status"] == "lost"
    assert sandbox.stats()["calls"] == {}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_row_that_a_host_holds_keeps_no_other_batch_from_being_given_back(
    at: Callable[..., Any], sandbox: SandboxThread
) -> None:
    with at(sandbox.url, change=SLOW | LONG) as ours:
        claimed, begun = waiting(ours, 20)
        held = ours.world.batch(claimed[3].id)["task_ids"][0]
        with ours.world.begin() as t:
            t.connection.exec_driver_sql(f"SELECT id FROM redrive_tasks WHERE id = {held} FOR UPDATE")
            shall_stop(ours)
            for each in begun:
                assert each.result(30) in ({}, {"stale": 1})
        waits = [task.id for task in ours.world.tasks().values() if task.status is not Status.FAILED]
        assert waits == [held], "its lease ends, and the rescue finds it"


PACED = {"[accounts.reviews.limits]\ncalls_per_minute = 60000": "[accounts.reviews.limits]\ncalls_per_minute = 124"}


def test_batches_that_wait_for_one_path_ask_one_after_the_other(at: Callable[..., Any]) -> None:
    """A moment of the path costs one transaction, however many batches wait for it; the first to come goes first."""
    commits: list[object] = []
    with tiny(accepting()) as server, at(server.url, change=PACED) as ours:
        ours.world.ruled("reviews", interval_seconds=0.001, batch_size=1, max_in_flight=20)
        ours.world.add_many([str(n) for n in range(14)], account="reviews")
        claimed = [ours.world.claimed("reviews") for _ in range(14)]
        event.listen(ours.deps.database.engine, "commit", commits.append)
        assert sum(each.result(60)["accepted"] for each in [job.start(ours.deps, x.id) for x in claimed]) == 14
        ends = [ours.world.batch(batch.id)["ended_at"] for batch in claimed]
    assert len(server.asked) == 14
    assert len(commits) <= 4 * len(claimed)
    assert max(ends) - min(ends) > timedelta(seconds=3), "they did not end all at once"
