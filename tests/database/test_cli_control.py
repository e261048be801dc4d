"""Taking back control: what stands in the way is said, and people can end it."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text

from redrive.models import ledger
from redrive.models.outcome import Accepted, Blocked, Cause, Throttled
from redrive.models.settings.services import RetentionSettings
from redrive.models.sql.tables import limits, tasks
from redrive.models.states import Operation, Status
from redrive.scheduler.prune import Pruner
from tests.support.long import long
from tests.support.shop import Run, lines, runs, says
from tests.support.world import World

RESTART = "/open/v1/task/restart"


def open_breaker(world: World, operation: str = "retry", account: str = "phones") -> None:
    until = world.clock.now + timedelta(minutes=9)
    row = {
        "group": account,
        "path": f"#{operation}",
        "failures": 7,
        "opens": 4,
        "open_until": until,
        "why": "timed out",
    }
    with world.begin() as t:
        t.execute(insert(limits).values(**row))


def penalty(world: World, path: str = RESTART) -> None:
    until = world.clock.now + timedelta(hours=2)
    with world.begin() as t:
        t.execute(insert(limits).values(group="phones", path=path, blocked_until=until, why="code 40014: locked"))


def at_work(world: World) -> World:
    runs(world, "scheduler", "worker")
    return world


# --- who runs ------------------------------------------------------------------------------------------------------


def test_missing_processes_are_said_at_once(run: Run, shop: World) -> None:
    """A second after a task was added, and by every command that people ask."""
    task_id = shop.add("1")
    words = "No scheduler runs, so nothing is claimed: start one with `redrive scheduler`"
    for command in (["status"], ["doctor"], ["explain", task_id], ["retry", task_id]):
        told = run(*command).stdout
        assert words in told
        assert "No worker runs, so nothing is sent: start one with `redrive worker`" in told
    runs(shop, "scheduler")
    for command in (["status"], ["explain", task_id]):
        told = run(*command).stdout
        assert "No scheduler" not in told
        assert "No worker" in told
    runs(shop, "worker")
    assert "Nothing is in its way" in run("explain", task_id).stdout
    assert "No worker" not in run("status").stdout


def test_a_process_that_is_not_seen_any_more_is_missed(run: Run, shop: World) -> None:
    task_id = shop.add("1")
    shop.clock.forward(-45)
    runs(shop, "scheduler", "worker")
    shop.clock.forward(45)
    assert "No scheduler runs (the last one was seen 4" in run("explain", task_id).stdout
    found = says(run("status", "--json"))
    assert [(each["role"], each["alive"]) for each in found["processes"]] == [("scheduler", False), ("worker", False)]
    runs(shop, "scheduler")
    assert "No scheduler" not in run("explain", task_id).stdout, "it is back"


@pytest.fixture
def host(shop: World) -> Iterator[sqlite3.Connection]:
    """A program of somebody else's with its own connection to the same file."""
    with closing(sqlite3.connect(str(shop.database.url.database), isolation_level=None)) as connection:
        yield connection


SILENCE = timedelta(minutes=2)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    "statements", ["BEGIN IMMEDIATE", long("BEGIN; DELETE FROM redrive_limits"), "BEGIN EXCLUSIVE"]
)
def test_who_keeps_sqlites_only_writers_place_is_said(
    run: Run, shop: World, host: sqlite3.Connection, statements: str
) -> None:
    """Whoever runs cannot say so: nobody is told to start a scheduler that is there."""
    task_id = shop.add("1")
    shop.clock.forward(-SILENCE.total_seconds())
    at_work(shop)
    host.executescript(statements)
    words = "Another program keeps a transaction open in the SQLite file"
    for command, code in ((["status"], 0), (["status", "--check"], 1), (["explain", task_id], 0)):
        told = " ".join(run(*command, code=code).stdout.split())
        assert f"{words}, so nobody else can write and nothing happens; the last line of ours is from 2 min" in told
        assert "No scheduler" not in told
    host.execute("ROLLBACK")
    told = run("status").stdout
    assert words not in told
    assert "No scheduler runs (the last one was seen 2 min" in told


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("statement", ["BEGIN", "PRAGMA user_version"])
def test_who_only_reads_sqlite_keeps_nobody_waiting(run: Run, host: sqlite3.Connection, statement: str) -> None:
    host.execute(statement)
    host.execute("SELECT * FROM redrive_tasks").fetchall()
    assert "Another program" not in run("status").stdout


def test_a_process_that_ends_as_it_should_is_off_the_list(run: Run, shop: World) -> None:
    """One of two may end; rows of processes that were killed are forgotten after a day."""
    shop.add("1")
    at_work(shop)
    with shop.begin() as t:
        ledger.beat(t, "worker", "host:second", version="0.1.0", started_at=t.now)
        ledger.sign_off(t, "worker", "host:second")
    assert "No worker" not in run("status").stdout
    with shop.begin() as t:
        ledger.sign_off(t, "worker", "host:worker")
    assert "No worker runs, so" in run("status").stdout
    shop.clock.forward(2 * 86_400)
    with shop.begin() as t:
        ledger.forget_processes(t)
    assert says(run("status", "--json"))["processes"] == []


def test_nobody_is_missed_before_there_is_anything_to_do(
    run: Run, home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDRIVE_DATABASE_URL", database_url)
    (home / "redrive.toml").write_text("")
    told = run("status").stdout
    assert "redrive.toml names no account and there is no task. Fill in an [accounts.NAME] table" in told
    assert "runs" not in told
    assert "warning redrive.toml: names no account, so nothing is retried" in run("doctor").stdout
    (home / "redrive.toml").unlink()
    assert "Start with: redrive init" in run("status").stdout


# --- settings that are elsewhere -----------------------------------------------------------------------------------


def test_without_the_services_settings_nothing_untrue_is_said(run: Run, shop: World, home: Path) -> None:
    first = shop.accepted("1")
    shop.add("2", "desktops", reason="out of memory")
    shop.pause("desktops")
    (home / "redrive.toml").unlink()
    for command in (["status"], ["accounts"], ["explain", first, first + 1]):
        told = run(*command).stdout
        assert "settings" in told
        assert "not configured" not in told
        assert "never claimed" not in told
    told = run("explain", first, first + 1).stdout
    assert "the provider accepted it." in told
    assert "tests paused account desktops" in told
    assert 'Its last error: "out of memory".' in told
    assert "The settings of the service are not here, so its limit and what happens next cannot be known." in told
    assert {each["configured"] for each in says(run("accounts", "--json"))} == {None}


def test_with_settings_an_account_that_they_lack_is_not_configured(run: Run, shop: World, home: Path) -> None:
    task_id = shop.add("1", "reviews")
    told = run("explain", task_id).stdout
    assert "failed just now" in told
    assert "Account reviews is not configured here" in told
    assert "reviews: is not configured: 1 task kept" in run("status").stdout
    assert (home / "redrive.toml").exists()


# --- the end of an outage ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", ["retry", "check"])
def test_resume_closes_breakers(run: Run, shop: World, operation: str) -> None:
    at_work(shop)
    task_id = shop.accepted("1")
    if operation == "retry":
        task_id = shop.add("2")
    shop.clock.forward(120)
    open_breaker(shop, operation)
    assert "The breaker for" in run("explain", task_id).stdout
    assert shop.claim(operation=Operation(operation)).batch is None
    told = run("resume", "phones").stdout
    assert "phones was not paused." in told
    assert f"Its breaker for {'retries' if operation == 'retry' else 'checks'} is closed." in told
    assert shop.claimed(operation=Operation(operation)).size == 1
    assert "breaker" not in run("status").stdout


def test_resume_lets_one_try_and_its_answer_decides(run: Run, shop: World) -> None:
    ids = shop.add_many("abcdef")
    open_breaker(shop)
    assert "One task of phones tries" in run("resume", "phones", "--try-one", "--reason", "is it back?").stdout
    shop.clock.forward(5)
    work = shop.opened()
    assert len(work.tasks) == 1
    assert shop.claim().batch is None, "nobody else before its answer"
    shop.advance(work, [shop.told(work, Accepted())])
    shop.finish(work)
    assert shop.claimed().size == len(ids) - 1
    actions = says(run("actions", "--json"))
    assert (actions[0]["what"], actions[0]["why"]) == ("try one", "is it back?")


def test_one_task_of_a_paused_account_can_try(run: Run, shop: World) -> None:
    """A fixed credential is tried by one, and still wrong pauses it again."""
    shop.add_many("abc")
    shop.retried(Blocked(cause=Cause.CREDENTIALS, http_status=200, code="40003", message="signature failed"))
    assert shop.claim().batch is None
    shop.clock.forward(1)
    run("resume", "phones", "--try-one")
    shop.clock.forward(5)
    work = shop.opened()
    assert len(work.tasks) == 1
    shop.answer(work, Blocked(cause=Cause.CREDENTIALS, http_status=401, message="no"))
    shop.finish(work)
    assert shop.account()["paused_cause"] == Cause.CREDENTIALS
    assert shop.account()["paused_reason"] == "HTTP 401: no"


def test_one_task_can_try_whether_the_balance_is_filled(run: Run, shop: World) -> None:
    shop.add_many("abc")
    shop.retried(Blocked(cause=Cause.BALANCE, http_status=200, code="41001", message="no balance"))
    assert shop.claim().batch is None
    run("resume", "phones", "--try-one")
    shop.clock.forward(5)
    work = shop.opened()
    assert (len(work.tasks), shop.account()["paused_cause"]) == (1, Cause.BALANCE)
    shop.answer(work, Accepted())
    shop.finish(work)
    assert shop.account()["paused_at"] is None


@pytest.mark.parametrize("path", [RESTART, ""])
def test_penalties_end_only_by_force(run: Run, shop: World, path: str) -> None:
    """The provider asked for them."""
    shop.add("1")
    penalty(shop, path)
    neighbour = {"group": "desktops", "path": "", "blocked_until": shop.clock.now + timedelta(hours=1), "why": "other"}
    with shop.begin() as t:
        t.execute(insert(limits).values(**neighbour))
    told = run("resume", "phones").stdout
    assert "code 40014: locked; redrive resume phones --force ends the wait" in told
    assert shop.claim().batch is None
    assert "The wait that the provider asked for is ended." in run("resume", "phones", "--force").stdout
    assert shop.claimed().size == 1
    assert shop.limit("", "desktops")["blocked_until"] is not None


@pytest.mark.parametrize(("group", "named"), [("phones", "phones"), ("desktops", "desktops"), ("farm", "ACCOUNT")])
def test_a_penalty_names_the_command_that_ends_it(run: Run, shop: World, group: str, named: str) -> None:
    """A group of several accounts has a name of its own: any of them will do."""
    row = {"group": group, "path": "", "blocked_until": shop.clock.now + timedelta(hours=1), "why": "busy"}
    with shop.begin() as t:
        t.execute(insert(limits).values(**row))
    assert f"redrive resume {named} --force ends the wait" in run("status").stdout


def test_resume_and_pause_in_json(run: Run, shop: World) -> None:
    open_breaker(shop)
    assert says(run("pause", "phones", "--json")) == {"account": "phones", "action": "pause"}
    told = says(run("resume", "phones", "--json"))
    before, after = told["before"]["accounts"][0], told["after"]["accounts"][0]
    assert (bool(before["paused"]), len(before["breakers"])) == (True, 1)
    assert (after["paused"], after["breakers"]) == (None, [])


# --- actions say what tasks wait for -------------------------------------------------------------------------------

OBSTACLES: list[tuple[Callable[[World], None], str]] = [
    (open_breaker, "the breaker for retries is open: 7 calls in a row had no usable answer"),
    (penalty, f"no call on {RESTART} for "),
    (lambda world: world.pause(), "paused "),
]


@pytest.mark.parametrize(("obstacle", "words"), OBSTACLES)
def test_actions_say_what_due_tasks_wait_for(
    run: Run, shop: World, obstacle: Callable[[World], None], words: str
) -> None:
    at_work(shop)
    shop.add_many("abc")
    free = shop.add("d", "desktops")
    obstacle(shop)
    told = run("retry", "--all", "--yes").stdout
    assert "4 tasks set due now." in told
    assert f"phones: 3 due tasks wait: {words}" in told
    assert "desktops:" not in told
    (waiting,) = says(run("retry", "-a", "phones", "--yes", "--json"))["waiting"]
    assert (waiting["accounts"], waiting["tasks"]) == (["phones"], 3)
    assert words in waiting["why"]
    assert says(run("retry", free, "--json"))["waiting"] == []
    assert says(run("hold", "-a", "phones", "--yes", "--json"))["waiting"] == [], "what is held waits for nothing else"


def test_a_stop_that_must_wait_is_not_said_to_be_done(run: Run, shop: World) -> None:
    now, later = shop.add("1", "desktops"), shop.accepted("2")
    told = run("stop", now, later, "--dry-run").stdout
    assert "1 task would be stopped, 1 task would be stopped once the retry under way has failed." in told
    assert "1 task will be held once the retry under way has failed." in run("hold", later).stdout
    assert "1 task stopped." in lines(run("stop", now).stdout)


# --- monitoring ----------------------------------------------------------------------------------------------------

STATES: list[tuple[str, Callable[[World], Any], int]] = [
    ("well", lambda _: None, 0),
    ("an operator's pause", lambda world: world.pause(), 1),
    ("a wrong credential", lambda world: world.retried(Blocked(cause=Cause.CREDENTIALS, http_status=401)), 1),
    ("an empty balance", lambda world: world.retried(Blocked(cause=Cause.BALANCE, code="41001")), 1),
    ("an open breaker", open_breaker, 3),
    ("a penalty", penalty, 3),
    ("throttled", lambda world: world.retried(Throttled(wait_seconds=600, code="47001")), 3),
]


@pytest.mark.parametrize(("state", "cause", "code"), STATES)
def test_the_exit_code_says_what_is_needed(
    run: Run, shop: World, state: str, cause: Callable[[World], Any], code: int
) -> None:
    at_work(shop)
    shop.add("1")
    cause(shop)
    told = run("status", "--check", code=code).stdout
    assert (told == "All is well.\n") is (code == 0), state
    notices = says(run("status", "--check", "--json", code=code))["notices"]
    assert {each["needs"] for each in notices} == {0: set(), 1: {"person"}, 3: {"time"}}[code]
    assert run("status").stdout, "without --check it is no judge"


def test_a_person_is_needed_where_nobody_works(run: Run, shop: World) -> None:
    open_breaker(shop)
    assert "No scheduler runs" in run("status", "--check", code=1).stdout
    run("status", "--check", "--watch", code=2)


def test_tasks_that_nothing_takes_need_a_person(run: Run, shop: World) -> None:
    shop.clock.forward(-600)
    shop.add("1")
    shop.clock.forward(600)
    at_work(shop)
    told = run("status", "--check", code=1).stdout
    assert "phones: tasks have been due for 10 min" in told


# --- what is said of a pause ---------------------------------------------------------------------------------------


def test_a_pause_for_credentials_says_what_to_do(run: Run, shop: World) -> None:
    task_id = shop.add("1")
    shop.retried(Blocked(cause=Cause.CREDENTIALS, http_status=200, code="40003", message="signature failed"))
    words = "by redrive: HTTP 200, code 40003: signature failed; fix the credentials and restart the workers, which"
    for command in (["status"], ["doctor"], ["retry", task_id]):
        assert words in run(*command).stdout
    told = run("explain", task_id).stdout
    assert "redrive paused account phones " in told
    assert '"HTTP 200, code 40003: signature failed".' in told
    assert "Fix the credentials and restart the workers, which read secrets when they start." in told


def test_status_says_how_long_the_due_retries_take(run: Run, shop: World) -> None:
    """At Huawei's pace; GeeLark takes a hundred in a call."""
    shop.add_many(map(str, range(30)), "desktops")
    shop.add_many(map(str, range(30)))
    found = {each["account"]: each["clearing_seconds"] for each in says(run("status", "--json"))["accounts"]}
    assert found["desktops"] == pytest.approx(30 * 62 / 10)
    assert found["phones"] < 1
    assert "3 min 6 s" in run("status").stdout


# --- what was done -------------------------------------------------------------------------------------------------


def test_what_people_did_is_listed_the_newest_first(run: Run, shop: World) -> None:
    task_id = shop.add("1")
    shop.act("hold", task_id)
    run("release", task_id, "--reason", "proxy replaced")
    run("pause", "desktops", "--reason", "maintenance")
    found = says(run("actions", "--json"))
    assert [(each["what"], each["account"], each["task_id"]) for each in found] == [
        ("pause", "desktops", None),
        ("release", "phones", task_id),
        ("hold", "phones", task_id),
    ]
    told = run("actions").stdout
    assert "proxy replaced" in told
    assert "maintenance" in told
    for args, number in (
        (["--who", "TESTS"], 1),
        (["--who", "%"], 0),
        (["--who", "@"], 2),
        (["-a", "desktops"], 1),
        (["--what", "hold", "--what", "release"], 2),
        (["--since", "1h"], 3),
        (["--until", "1h"], 0),
        (["--before", found[1]["id"]], 1),
        (["--limit", "2"], 2),
    ):
        assert len(says(run("actions", "--json", *args))) == number, args
    assert f"--before {found[1]['id']}" in run("actions", "--limit", "2").stdout
    assert run("actions", "--until", "1h").stdout == "No action matches.\n"


# --- tasks of accounts that are not configured ---------------------------------------------------------------------


@pytest.fixture
def strays(shop: World) -> dict[str, int]:
    """A task of a misspelt account, one of an account that was removed, and a neighbour of an account at work."""
    with shop.begin() as t:
        t.execute(insert(tasks).values(account="phone", external_id="1"))
    (stray,) = shop.tasks()
    return {"misspelt": stray, "removed": shop.add("2", "reviews"), "neighbour": shop.add("3")}


@pytest.mark.parametrize("which", ["misspelt", "removed"])
def test_strays_can_be_put_out_of_the_way(run: Run, shop: World, strays: dict[str, int], which: str) -> None:
    task_id = strays[which]
    assert "1 task held." in run("hold", task_id).stdout
    assert "1 task released." in run("release", task_id).stdout
    released = shop.task(task_id)
    assert (released.status, released.next) == ("failed", "check" if which == "removed" else "retry")
    told = run("retry", task_id, code=1).stdout
    assert "is not configured here, so its limit is not known" in told
    assert "1 task stopped." in run("stop", task_id).stdout
    assert "is not configured here" in run("revive", task_id, code=1).stdout
    assert shop.task(task_id).status == Status.DEAD
    assert shop.task(strays["neighbour"]).status == Status.FAILED


@pytest.mark.parametrize(("stray", "which"), [("phone", "misspelt"), ("reviews", "removed")])
def test_tasks_of_an_account_that_is_not_configured_go_only_by_its_name(
    run: Run, shop: World, strays: dict[str, int], stray: str, which: str
) -> None:
    """The command and the schedulers agree; retention is what the owner of an account has set for it."""
    run("stop", "-a", "phone", "-a", "reviews", "--yes")
    shop.act("stop", strays["neighbour"])
    shop.clock.forward(2)
    keep = RetentionSettings(succeeded_days=1e-5, dead_days=1e-5)
    Pruner(shop.database, ["phones"], keep).all()
    assert set(shop.tasks()) == {*strays.values()} - {strays["neighbour"]}
    told = run("prune", "--older-than", "0s", "--yes").stdout
    assert f"{stray}: is not configured here, so its tasks stay" in told
    assert set(shop.tasks()) == {*strays.values()} - {strays["neighbour"]}
    run("prune", "-a", stray, "--older-than", "0s", "--yes")
    assert strays[which] not in shop.tasks()


@pytest.mark.parametrize("action", ["", "ON DELETE RESTRICT"])
def test_prune_leaves_the_tasks_that_a_host_keeps(run: Run, shop: World, action: str) -> None:
    """What it counts is what it deletes; one kept task does not keep its page."""
    shop.clock.forward(-60)
    kept, gone = shop.add_many("ab")
    for task in (kept, gone):
        shop.act("stop", task)
    with shop.database.engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE jobs (task bigint REFERENCES redrive_tasks (id) {action})"))
        connection.execute(text("INSERT INTO jobs VALUES (:kept)"), {"kept": kept})
    assert "1 dead task older" in run("prune", "--older-than", "1s", "--dry-run").stdout
    assert "Deleted 1 task and 0 batches." in run("prune", "--older-than", "1s", "--yes").stdout
    assert set(shop.tasks()) == {kept}


def test_strays_can_be_stopped_by_name_exported_and_deleted(run: Run, shop: World, strays: dict[str, int]) -> None:
    neighbour = strays["neighbour"]
    shop.act("stop", neighbour)
    assert "phone," in run("export", "-a", "phone").stdout
    run("stop", "-a", "phone", "-a", "reviews", "--yes")
    assert "say --yes" in run("prune", "-a", "phone", "--older-than", "0s", code=2).stderr
    assert lines(run("prune", "-a", "phone", "--older-than", "0s", "--dry-run").stdout) == [
        "phone: 1 dead task older than 0 days"
    ]
    assert set(shop.tasks()) == {*strays.values()}
    assert "Deleted 1 task and 0 batches." in run("prune", "-a", "phone", "--older-than", "0s", "--yes").stdout
    assert says(run("prune", "-a", "reviews", "--older-than", "0s", "--yes", "--json")) == {
        "found": [{"account": "reviews", "status": "dead", "tasks": 1}],
        "batches": 0,
        "deleted": {"tasks": 1, "batches": 0},
    }
    assert set(shop.tasks()) == {neighbour}
    done = says(run("actions", "--what", "prune", "--json"))
    assert [(each["account"], each["why"]) for each in done] == [
        ("reviews", "1 dead task deleted"),
        ("phone", "1 dead task deleted"),
    ]
    assert "phone:" not in run("status").stdout


def test_a_doubtful_stray_is_checked_when_its_account_is_back(run: Run, shop: World) -> None:
    """Nobody may have it retried blindly: it was sent when its account was still there."""
    task_id = shop.accepted("1", "reviews", kind="review_task")
    assert "1 task will be held once" in run("hold", task_id).stdout
    assert run("release", task_id).stdout
    assert (shop.task(task_id).status, shop.task(task_id).next) == ("retrying", "check")
