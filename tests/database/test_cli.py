"""The command line: what each command does, says and returns, on both databases."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from redrive.cli import asking
from redrive.home import BROKER_FILE
from redrive.models.outcome import Cause, Deferred, Refused
from redrive.models.sql.tables import actions, tasks
from redrive.models.states import DeadReason, Status
from tests.support.processes import wait_until
from tests.support.shop import SETTINGS, Run, lines, runs, says
from tests.support.world import World

# --- looking -------------------------------------------------------------------------------------------------------


def test_status_counts_tasks_by_account(run: Run, shop: World) -> None:
    shop.add_many("abc")
    shop.report(shop.add("d"), Status.SUCCEEDED)
    phones = next(line.split() for line in lines(run("status").stdout) if line.startswith("phones"))
    assert phones[:4] == ["phones", "·", "3", "3"]
    counted = {each["account"]: each["tasks"] for each in says(run("status", "--json"))["accounts"]}
    assert counted["phones"] == {"failed": 3, "succeeded": 1}


def test_status_says_what_somebody_should_know(run: Run, shop: World) -> None:
    shop.pause()
    with shop.begin() as t:
        t.execute(insert(tasks).values(account="forgotten", external_id="1"))
    told = run("status").stdout
    assert "phones: paused just now by tests: to see what happens; redrive resume phones ends it" in told
    assert "forgotten: is not configured: 1 task kept, never claimed" in told


def test_list_shows_pages_of_what_matches(run: Run, shop: World) -> None:
    ids = shop.add_many([f"59{n}" for n in range(3)])
    dead = shop.add("7", "desktops")
    shop.retried(Refused(reason=DeadReason.NOT_FOUND, message="no such [task]"), "desktops")
    told = run("list", "--limit", 2).stdout
    assert "phones 590" in told
    assert f"--after {ids[1]}" in told
    assert [each["id"] for each in says(run("list", "--after", ids[1], "--json"))] == [ids[2], dead]
    told = run("list", "-s", "dead", "--dead-reason", "not_found", "-a", "desktops", "--since", "1h").stdout
    assert "dead (not_found)" in told
    assert "no such [task]" in told, "what a provider says is no markup"
    assert run("list", "-a", "reviews").stdout == "No task matches.\n"
    assert says(run("list", "-a", "reviews", "--json")) == []


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_list_that_waits_for_its_reader_holds_no_transaction(shop: World, home: Path) -> None:
    shop.add_many([str(n) for n in range(200)])
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "redrive", "list", "--limit", "200", "--json"]
    with subprocess.Popen(command, cwd=home, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.read(1) == "["  # and there it stands: more than a pipe takes is still to come
        with shop.begin() as t:
            held = "state = 'idle in transaction' AND datname = current_database() AND pid <> pg_backend_pid()"
            assert not t.connection.exec_driver_sql(f"SELECT pid FROM pg_stat_activity WHERE {held}").all()
        assert len(json.loads("[" + process.stdout.read())) == 200


def test_text_from_outside_cannot_steer_a_terminal(run: Run, shop: World) -> None:
    task_id = shop.add("1", reason="red \x1b[31malert\x07\nnext")
    for command in ("list",), ("show", task_id), ("explain", task_id):
        told = run(*command).stdout
        assert "alert" in told
        assert "\x1b" not in told
        assert "\x07" not in told


def test_show_has_attempts_and_actions(run: Run, shop: World) -> None:
    task_id = shop.add("5912")
    shop.retried(Deferred(message="no route"))
    run("hold", task_id, "--reason", "in repair")
    told = run("show", task_id).stdout
    assert "no route" in told
    assert "in repair" in told
    found = says(run("show", task_id, "--json"))
    assert found["task"]["status"] == "held"
    assert [each["outcome"] for each in found["attempts"]] == ["deferred"]
    assert found["actions"][0]["why"] == "in repair"


def test_explain_answers_for_several_and_misses_none(run: Run, shop: World) -> None:
    first, second = shop.add_many("ab")
    result = run("explain", first, second, 999, code=1)
    assert f"Task {first} (phones, a) failed just now" in result.stdout
    assert f"Task {second} (phones, b)" in result.stdout
    assert "There is no task 999." in result.stderr
    answers = says(run("explain", first, "--json"))
    assert answers[0]["id"] == first
    assert answers[0]["next_at"].endswith("Z")


def test_looking_needs_no_settings_file(run: Run, shop: World, home: Path) -> None:
    task_id = shop.add("1")
    (home / "redrive.toml").unlink()
    for command in ("status",), ("list",), ("show", task_id), ("explain", task_id), ("accounts",):
        assert "does not exist" in run(*command).stderr


def test_accounts_are_shown_with_pace_and_state(run: Run, shop: World) -> None:
    shop.pause("desktops")
    found = {each["account"]: each for each in says(run("accounts", "--json"))}
    assert set(found) == {"phones", "desktops"}
    assert found["phones"]["calls_per_minute"] == 180
    assert found["desktops"]["paused"]["reason"] == "to see what happens"
    told = run("accounts").stdout
    assert "ready" in told
    assert "paused" in told


@pytest.mark.parametrize("command", ["show", "explain", "hold", "release", "stop", "retry", "revive"])
def test_an_id_that_does_not_exist_is_said(run: Run, shop: World, command: str) -> None:  # noqa: ARG001 - a database
    result = run(command, 4711, code=1)
    assert "There is no task 4711." in result.stderr


# --- acting --------------------------------------------------------------------------------------------------------


def test_each_action_does_what_it_says_and_is_recorded(run: Run, shop: World) -> None:
    task_id = shop.add("1")
    for command, status in ("hold", "held"), ("release", "failed"), ("stop", "dead"), ("revive", "failed"):
        run(command, task_id, "--reason", f"why {command}")
        assert shop.task(task_id).status == status
    run("retry", task_id)
    assert shop.task(task_id).trigger == "manual"
    with shop.begin() as t:
        rows = t.rows(select(actions).where(actions.c.task_id == task_id).order_by(actions.c.id))
    assert [row.what for row in rows] == ["hold", "release", "stop", "revive", "retry"]
    assert rows[0].why == "why hold"
    assert "@" in rows[0].who


def test_what_cannot_be_done_is_said_and_the_rest_is_done(run: Run, shop: World) -> None:
    failed, succeeded = shop.add_many("ab")
    shop.report(succeeded, Status.SUCCEEDED)
    result = run("hold", failed, succeeded, code=1)
    assert f"Task {succeeded}: nothing to hold: it has succeeded" in result.stdout
    assert "1 task held, 1 left alone." in result.stdout
    assert shop.task(failed).status == "held"


def test_force_retries_what_has_ended(run: Run, shop: World) -> None:
    task_id = shop.add("1")
    shop.act("stop", task_id)
    assert "only --force" in run("retry", task_id, code=1).stdout
    run("retry", "--force", task_id)
    assert (shop.task(task_id).status, shop.task(task_id).granted) == ("failed", 1)


def test_a_filter_means_only_tasks_with_something_to_do(run: Run, shop: World) -> None:
    """Neighbours that must not move: other accounts, and successes that nobody named."""
    mine = shop.add_many("abc")
    neighbour = shop.add("d", "desktops")
    succeeded = shop.add("e")
    shop.report(succeeded, Status.SUCCEEDED)
    assert "3 tasks held." in run("hold", "-a", "phones", "--yes").stdout
    assert {shop.task(each).status for each in mine} == {"held"}
    assert shop.task(neighbour).status == "failed"
    assert "4 tasks stopped." in run("stop", "--all", "--yes").stdout
    assert "4 tasks set due now." in run("retry", "--force", "--all", "--yes").stdout
    assert shop.task(succeeded).status == "succeeded"


def test_many_pages_are_all_done(run: Run, shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("redrive.cli.act.TASKS_A_PAGE", 3)
    monkeypatch.setattr("redrive.cli.report.HINTS", 2)
    ids = shop.add_many([str(n) for n in range(10)])
    assert "10 tasks held." in run("hold", "--all", "--yes").stdout
    assert {shop.task(each).status for each in ids} == {"held"}
    told = run("hold", "-s", "held", "--yes", code=1).stdout
    assert lines(told) == [
        f"Task {ids[0]}: held already",
        f"Task {ids[1]}: held already",
        "8 more tasks: held already",
        "0 tasks held, 10 left alone.",
    ]


def test_a_dry_run_says_the_same_and_changes_nothing(run: Run, shop: World) -> None:
    first, ended = shop.add_many("ab")
    shop.act("stop", ended)
    result = run("hold", first, ended, "--dry-run", code=1)
    assert "nothing to hold" in result.stdout
    assert "1 task would be held, 1 left alone." in result.stdout
    assert "1 task would be stopped." in run("stop", "--all", "--dry-run").stdout
    assert shop.task(first).status == "failed"


def test_nobody_to_ask_means_no_for_filters(run: Run, shop: World) -> None:
    task_id = shop.add("1")
    assert "say --yes" in run("stop", "--all", code=2).stderr
    assert shop.task(task_id).status == "failed"
    run("stop", task_id)
    assert shop.task(task_id).status == "dead"


def test_at_a_terminal_many_tasks_are_asked_for(run: Run, shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "at_terminal", lambda: True)
    ids = shop.add_many("abc")
    result = run("hold", "-a", "phones", input="n\n", code=1)
    assert "Hold 3 tasks?" in result.stderr
    assert {shop.task(each).status for each in ids} == {"failed"}
    run("hold", *ids, input="y\n")
    assert {shop.task(each).status for each in ids} == {"held"}
    run("release", ids[0])
    run("release", *ids[1:], "--yes")
    assert {shop.task(each).status for each in ids} == {"failed"}


@pytest.mark.parametrize("args", [(), (1, "--all"), (1, "-s", "failed")])
def test_which_tasks_must_be_said_in_one_way(run: Run, args: tuple[object, ...]) -> None:
    assert run("stop", *args, code=2).stderr


def test_no_match_is_no_error(run: Run, shop: World) -> None:
    shop.add("1", "desktops")
    assert run("stop", "-a", "phones").stdout == "No task matches.\n"


def test_actions_wake_the_schedulers(run: Run, shop: World, broker: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import redis  # noqa: PLC0415 - one test needs it

    from redrive.models import jobs  # noqa: PLC0415 - the same

    monkeypatch.setenv("REDRIVE_BROKER_URL", broker)
    with redis.Redis.from_url(broker) as client, client.pubsub() as heard:
        heard.subscribe(jobs.WAKE_CHANNEL)
        assert heard.get_message(timeout=5)
        run("retry", shop.add("1"))
        assert heard.get_message(timeout=5)


# --- accounts ------------------------------------------------------------------------------------------------------


def test_pause_and_resume_by_whom_and_why(run: Run, shop: World) -> None:
    run("pause", "phones", "--reason", "restored from backup")
    assert shop.account()["paused_cause"] == Cause.OPERATOR
    assert shop.account()["paused_reason"] == "restored from backup"
    assert "@" in shop.account()["paused_by"]
    assert "at work again" in run("resume", "phones").stdout
    assert shop.account()["paused_at"] is None
    assert "was not paused" in run("resume", "phones").stdout


def test_an_account_can_be_paused_before_anything_ran(
    run: Run, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDRIVE_DATABASE_URL", database_url)
    run("pause", "phones")
    assert says(run("accounts", "--json"))[1]["paused"]["cause"] == "operator"


def test_an_unknown_account_is_said(run: Run, shop: World) -> None:  # noqa: ARG001 - a database
    assert "no account named 'nobody'" in run("pause", "nobody", code=1).stderr


# --- setting up ----------------------------------------------------------------------------------------------------


def test_the_doctor_says_which_proxies_are_not_heeded(
    run: Run,
    shop: World,  # noqa: ARG001 - a database
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("https_proxy", "http://user:secret-9@proxy:3128")
    told = run("doctor").stdout
    assert "https_proxy: calls to the providers ignore it; where they need a proxy, set proxy" in told
    assert "secret-9" not in told


def test_from_nothing_to_a_healthy_installation(
    run: Run, home: Path, broker: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """init, migrate, doctor: with the embedded database."""
    (home / "redrive.toml").unlink()
    run("init", "--provider", "geelark")
    assert "[accounts.phones]" in (home / "redrive.toml").read_text().splitlines()
    assert "run `redrive migrate`" in run("doctor", code=2).stdout
    assert "from schema none" in run("migrate").stdout
    assert "already" in run("migrate").stdout
    assert (home / ".redrive" / "redrive.db").is_file()
    assert "warning broker: none is configured" in run("doctor").stdout
    monkeypatch.setenv("REDRIVE_BROKER_URL", broker)
    found = says(run("doctor", "--json"))
    assert {each["key"] for each in found if each["level"] == "ok"} == {
        "redrive.toml", "credentials", "broker", "database",
    }  # fmt: skip
    assert {each["key"] for each in found if each["level"] != "ok"} <= {"scheduler", "worker"}, "which do not run"


def test_init_overwrites_only_when_told_to(run: Run, home: Path) -> None:
    assert "--force" in run("init", code=1).stderr
    assert (home / "redrive.toml").read_text() == SETTINGS
    run("init", "--force")
    assert (home / "redrive.toml").read_text() != SETTINGS
    assert "nobody is not a provider" in run("init", "--force", "--provider", "nobody", code=1).stderr


def test_init_writes_the_file_that_is_read(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDRIVE_CONFIG", "other.toml")
    run("init")
    assert (home / "other.toml").is_file()


def test_the_doctor_tells_wrong_settings_from_unhealthy_parts(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("migrate")
    monkeypatch.setenv("REDRIVE_BROKER_URL", "redis://:hunter2@127.0.0.1:1/0")
    told = run("doctor", code=1).stdout
    assert "error   broker: redis://:***@127.0.0.1:1/0 does not answer: Error 111" in told
    assert "hunter2" not in told
    monkeypatch.delenv("GEELARK_TOKEN")
    assert (
        "error   accounts.phones.token: environment variable GEELARK_TOKEN is not set" in run("doctor", code=2).stdout
    )
    (home / "redrive.toml").write_text("[polcy]\n[scheduler]\npoll_seconds = 0\n")
    assert [each["key"] for each in says(run("doctor", "--json", code=2))] == ["polcy", "scheduler.poll_seconds"]


@pytest.mark.parametrize(
    ("url", "code", "words"),
    [
        ("redis://h:not-a-port/0", 2, "REDRIVE_BROKER_URL: has a port that is not a number"),
        ("nonsense://x", 2, "REDRIVE_BROKER_URL: must be an address that Celery knows"),
        ("amqp://guest:guest@127.0.0.1:1//", 1, "broker: amqp://guest:***@127.0.0.1:1// does not answer: "),
        ("redis+socket:///none.sock", 1, "broker: redis+socket:///none.sock does not answer: "),
        ("sentinel://127.0.0.1:1?master_name=m", 1, "broker: sentinel://127.0.0.1:1?master_name=m does not answer: "),
        ("rediss://127.0.0.1:1", 1, "broker: rediss://127.0.0.1:1 does not answer: "),
    ],
)
def test_the_doctor_survives_any_broker_address(
    run: Run, monkeypatch: pytest.MonkeyPatch, url: str, code: int, words: str
) -> None:
    monkeypatch.setenv("REDRIVE_BROKER_URL", "redis://127.0.0.1:1/0")
    run("migrate")
    monkeypatch.setenv("REDRIVE_BROKER_URL", url)
    assert f"error   {words}" in run("doctor", code=code).stdout


def test_the_doctor_sees_what_rows_say(run: Run, shop: World, home: Path) -> None:
    runs(shop, "scheduler", "worker")
    shop.clock.forward(-600)
    with shop.begin() as t:
        t.execute(insert(tasks).values(account="forgotten", external_id="1"))
    shop.add("1")
    shop.put(shop.add("2", "desktops"), due_at=shop.clock.now)
    told = run("doctor").stdout
    assert "warning accounts.forgotten: is not configured: 1 task kept, never claimed" in told
    assert re.search("warning accounts.phones: tasks have been due for 10 min .*and nothing claims them", told)
    (home / "redrive.toml").write_text(SETTINGS.replace("accounts.desktops", "accounts.reviews"))
    assert (
        "error   accounts.reviews.provider: is huawei_workspace, but its tasks are docflow's"
        in run("doctor", code=2).stdout
    )


def test_the_broker_that_up_runs_is_found(run: Run, home: Path, broker: str) -> None:
    run("migrate")
    (home / ".redrive" / BROKER_FILE).write_text(f"{broker}\n")
    assert "ok      broker:" in run("doctor").stdout


def test_prune_deletes_what_the_settings_do_not_keep(run: Run, shop: World, home: Path) -> None:
    shop.clock.forward(-40 * 86_400)
    old, dead = shop.add_many("ab")
    shop.report(old, Status.SUCCEEDED)
    shop.act("stop", dead)
    shop.clock.forward(40 * 86_400 - 60)
    young = shop.add("c")
    shop.report(young, Status.SUCCEEDED)
    assert lines(run("prune", "--dry-run").stdout) == ["phones: 1 succeeded task older than 30 days"]
    assert "say --yes" in run("prune", code=2).stderr
    assert old in shop.tasks()
    assert "Deleted 1 task and 0 batches." in run("prune", "--yes").stdout
    assert set(shop.tasks()) == {dead, young}
    assert run("prune").stdout == "Nothing is past its retention.\n"
    (home / "redrive.toml").write_text(SETTINGS + "[retention]\ndead_days = 1\n")
    run("prune", "--yes")
    assert set(shop.tasks()) == {young}


# --- whatever a user can cause -------------------------------------------------------------------------------------


def test_wrong_settings_are_told_line_by_line(run: Run, home: Path) -> None:
    (home / "redrive.toml").write_text("[policy]\nmax_retries = -1\nbase = 3\n")
    told = lines(run("status", code=2).stderr)
    assert [line.partition(":")[0] for line in told] == ["policy.max_retries", "policy.base"]


def test_a_database_without_tables_is_told_with_the_remedy(run: Run) -> None:
    assert "run `redrive migrate`" in run("status", code=2).stderr


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:hunter2@127.0.0.1:1/x", "sqlite:////nowhere/at/all/redrive.db", "sqlite:///redrive.toml"],
)
def test_a_database_that_does_not_answer_is_told(run: Run, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("REDRIVE_DATABASE_URL", url)
    for command in "status", "migrate":
        told = run(command, code=1).stderr
        assert "database" in told
        assert "hunter2" not in told
    assert "error   database:" in run("doctor", code=1).stdout


def test_a_home_that_cannot_be_made_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDRIVE_HOME", "redrive.toml")
    assert "redrive.toml" in run("migrate", code=1).stderr


@pytest.mark.parametrize(
    "args",
    [
        ("show", "abc"),
        ("show", "0"),
        ("show", str(2**63)),
        ("show",),
        ("list", "--status", "asleep"),
        ("list", "--since", "yesterday"),
        ("list", "--since", "9" * 400 + "d"),
        ("list", "--limit", "0"),
        ("nonsense",),
        ("status", "--interval", "0"),
    ],
)
def test_wrong_usage_is_told(run: Run, args: tuple[str, ...]) -> None:
    assert run(*args, code=2).stderr


def command_line(*args: object, **more: Any) -> "subprocess.CompletedProcess[str]":
    """The program as its users start it."""
    command = [sys.executable, "-m", "redrive", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **more)


def test_a_hosts_own_modules_are_not_taken_for_ours(home: Path) -> None:
    """`python -m redrive` in a directory that has a module named models of its own."""
    (home / "models.py").write_text("raise SystemExit('the host was imported')")
    done = command_line("migrate", cwd=home)
    assert (done.returncode, done.stderr) == (0, "")


def test_help_loads_nothing_heavy(home: Path) -> None:
    """What makes `redrive --help` wait is not loaded for it."""
    script = """
import sys
from redrive.cli import app
try: app(["--help"])
except SystemExit: pass
heavy = {"sqlalchemy", "alembic", "pydantic", "celery", "kombu", "redis", "aiohttp"}
print("loaded:", sorted({name.partition(".")[0] for name in sys.modules} & heavy))
"""
    done = subprocess.run([sys.executable, "-P", "-c", script], cwd=home, capture_output=True, text=True, check=True)
    assert "explain" in done.stdout
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_a_reader_that_has_enough_ends_it_quietly(home: Path, new_sqlite_database: Callable[[], str]) -> None:
    world = World(new_sqlite_database())
    world.add_many([f"{n:0200}" for n in range(1000)])
    world.close()
    environment = {**os.environ, "REDRIVE_DATABASE_URL": world.url}
    command = f"{sys.executable} -m redrive list --limit 1000 --json | head -c 1"
    done = subprocess.run(command, shell=True, cwd=home, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[", "")


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C ends programs that the test starts: children of a shell's background job would ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_ctrl_c_ends_a_watch_quietly(home: Path, new_sqlite_database: Callable[[], str]) -> None:
    environment = {**os.environ, "REDRIVE_DATABASE_URL": new_sqlite_database(), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "redrive", "status", "--watch", "--json", "--interval", "0.2"]
    with subprocess.Popen(
        command, cwd=home, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["accounts"]
        assert json.loads(process.stdout.readline())["accounts"]
        process.send_signal(signal.SIGINT)
        assert wait_until(lambda: process.poll() is not None)
        assert (process.returncode, process.stderr.read()) == (130, "")


def test_the_version_is_said(run: Run) -> None:
    assert run("--version").stdout.startswith("redrive ")
