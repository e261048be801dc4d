"""What Redrive has set aside, and what keeps it from an account, is said by every command that people ask."""

from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from redrive import Client
from redrive.models import ledger
from redrive.models.ledger import Odd
from redrive.models.settings import Settings
from redrive.models.states import SetAside, Status
from redrive.scheduler.service import Scheduler
from tests.database.test_isolation import ODD, spoil
from tests.database.test_row_rules import drop_rules
from tests.database.test_scheduler import Broker
from tests.support.schemas import make_schema
from tests.support.shop import Run, runs, says
from tests.support.world import World


def put_aside(shop: World, *ids: int, cause: SetAside = SetAside.ROW, why: str = "numeric value out of range") -> None:
    with shop.begin() as t:
        ledger.set_aside(t, [Odd(task_id, "phones", cause, why) for task_id in ids])


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (SetAside.ROW, "its row cannot be read or written (numeric value out of range); fix the row"),
        (SetAside.KIND, "its provider does not have this kind of task (numeric value out of range); stop it"),
    ],
)
def test_tasks_set_aside_are_named_with_the_reason_and_the_way_back(
    run: Run, shop: World, cause: SetAside, words: str
) -> None:
    """A neighbour that is not set aside is not named."""
    odd, fine = shop.add("1"), shop.add("2")
    runs(shop, "scheduler", "worker")
    put_aside(shop, odd, cause=cause)
    for command in (["status"], ["doctor"], ["explain", odd]):
        said = " ".join(run(*command).stdout.split())
        assert words in said
        assert f"redrive release {odd}" in said
    assert "set aside" not in run("explain", fine).stdout
    (notice,) = (each for each in says(run("status", "--json"))["notices"] if "set aside" in each["words"])
    assert notice["about"] == "accounts.phones"
    assert run("status", "--check", code=1)


def test_many_for_one_reason_are_one_line(run: Run, shop: World) -> None:
    ids = [shop.add(str(n)) for n in range(8)]
    put_aside(shop, *ids)
    said = " ".join(run("status").stdout.split())
    assert f"8 tasks ({' '.join(map(str, ids[:5]))} and 3 more) set aside" in said


def test_a_held_one_is_named_while_it_is_held(run: Run, shop: World) -> None:
    """An owner's report may leave the row behind."""
    held = shop.add("1")
    shop.put(held, status="held", held_from="failed", due_at=None)
    put_aside(shop, held, cause=SetAside.UNKNOWN, why="")
    assert "nobody can tell whether its last retry ran" in run("status").stdout
    shop.put(held, status=str(Status.SUCCEEDED), held_from=None)
    assert "nobody can tell" not in run("status").stdout


@pytest.mark.parametrize(
    ("account", "kind", "cause"),
    [
        ("phnoes", "task", SetAside.ROW),
        ("reviews", "review_rule", SetAside.ROW),
        ("of another package", "wat", SetAside.KIND),
        ("plain", "", SetAside.ROW),
    ],
)
def test_one_of_an_account_without_settings_can_be_released(
    run: Run, shop: World, account: str, kind: str, cause: SetAside
) -> None:
    """Releasing needs no rules; explain says what is in its way, and afterwards that it is not any more."""
    with shop.begin() as t:
        odd = ledger.add(t, [ledger.NewTask(account=account, kind=kind, external_id="7")], shop.rules)[0].id
        ledger.set_aside(t, [Odd(odd, account, cause, "numeric value out of range")])
    assert "Redrive has set it aside" in " ".join(run("explain", odd).stdout.split())
    assert "1 task released" in run("release", odd).stdout
    assert "set it aside" not in " ".join(run("explain", odd).stdout.split())
    assert shop.task(odd).status is Status.FAILED


@pytest.fixture
def spoiled(shop: World) -> dict[int, bool]:
    """Rows that were there before the rules, set aside by a scheduler: id → whether it can be read."""
    drop_rules(shop)
    found = {}
    for n, how in enumerate(ODD[shop.database.engine.dialect.name]):
        task_id = shop.add(f"odd{n}")
        spoil(shop, task_id, how)
        found[task_id] = "[1, 2]" in how
    scheduler = Scheduler(shop.database, Broker(), Settings(), shop.rules, Random(1))
    while scheduler.run_once().more:
        pass
    return found


def test_rows_that_cannot_be_read_blind_nobody(run: Run, shop: World, spoiled: dict[int, bool], home: Path) -> None:
    """Every screen shows the others and names what it leaves out; a page of nothing else is not the end."""
    good = shop.add("good")
    unreadable = [task_id for task_id, readable in spoiled.items() if not readable]
    assert [each["id"] for each in says(run("status", "--json"))["set_aside"]] == unreadable
    assert f"redrive release {unreadable[0]}" in run("status").stdout
    result = run("list", "--json", code=1)
    assert [each["id"] for each in says(result)] == [i for i in (*spoiled, good) if i not in unreadable]
    assert f"{len(unreadable)} tasks left out, whose rows cannot be read: {unreadable[0]} " in result.stderr
    assert "There may be more: --after" in run("list", "--limit", "2", code=1).stdout
    assert "left out" in run("export", "-o", "all.csv", code=1).stderr
    assert len((home / "all.csv").read_text().splitlines()) == 1 + len(spoiled) + 1 - len(unreadable)
    for command in ("show", "explain"):
        told = run(command, unreadable[0], code=1).stderr
        assert f"task {unreadable[0]}: its row cannot be read" in told
        assert f"redrive release {unreadable[0]}" in told
    with Client(shop.url) as client:
        assert [each.id for each in client.find(limit=1000)] == [i for i in (*spoiled, good) if i not in unreadable]


def test_what_is_set_aside_is_listed_with_the_reason(run: Run, shop: World, spoiled: dict[int, bool]) -> None:
    """Its rows need not be readable for that; other filters hold, too, and its ids can be handed on."""
    held, kind = shop.add("held"), shop.add("kind", "desktops")
    shop.put(held, status="held", held_from="failed", due_at=None)
    put_aside(shop, held, cause=SetAside.UNKNOWN, why="")
    with shop.begin() as t:
        ledger.set_aside(t, [Odd(kind, "desktops", SetAside.KIND, "no such kind")])
    odd = [task_id for task_id, readable in spoiled.items() if not readable]
    listed = says(run("list", "--set-aside", "--json"))
    assert [each["id"] for each in listed] == [*odd, held, kind]
    assert {each["cause"] for each in listed} == {"row", "unknown", "kind"}
    told = " ".join(run("list", "--set-aside").stdout.split())
    assert "its row cannot be read or written" in told
    assert "nobody can tell whether its last retry ran" in told
    assert [each["id"] for each in says(run("list", "--set-aside", "-a", "desktops", "--json"))] == [kind]
    assert run("list", "--set-aside", "-s", "succeeded").stdout == "No task matches.\n"


def test_what_is_set_aside_can_be_released_together(run: Run, shop: World) -> None:
    """Whatever its status; its neighbours stay where they are."""
    odd, fine, operators = shop.add("1"), shop.add("2"), shop.add("3")
    shop.act("hold", operators)
    held = shop.add("4")
    shop.put(held, status="held", held_from="failed", due_at=None)
    put_aside(shop, odd)
    put_aside(shop, held, cause=SetAside.UNREADABLE)
    assert "2 tasks released" in run("release", "--set-aside", "--yes").stdout
    assert says(run("list", "--set-aside", "--json")) == []
    assert {shop.task(i).status for i in (odd, held, fine)} == {Status.FAILED}
    assert shop.task(operators).status is Status.HELD


def test_a_schema_from_before_has_nothing_set_aside(run: Run, new_sqlite_url: str) -> None:
    make_schema(new_sqlite_url, "0001")
    env = {"REDRIVE_DATABASE_URL": new_sqlite_url}
    assert run("list", "--set-aside", env=env).stdout == "No task matches.\n"


@pytest.fixture
def new_sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/before.db"


def test_a_task_set_aside_is_not_taken_for_late(run: Run, shop: World) -> None:
    """Nobody claims it, and that is said already."""
    runs(shop, "scheduler", "worker")
    odd = shop.add("1")
    shop.put(odd, due_at=shop.clock.now - timedelta(hours=1))
    put_aside(shop, odd)
    (account,) = (each for each in says(run("status", "--json"))["accounts"] if each["account"] == "phones")
    assert (account["due_retries"], account["due_since"], account["tasks"]) == (0, None, {"failed": 1})
    assert "have been due" not in run("status").stdout


@pytest.mark.parametrize("account", ["phones", ""])
def test_what_keeps_the_scheduler_from_an_account_is_said(run: Run, shop: World, account: str) -> None:
    """Of one, or of all; and no more when it is over."""
    task_id = shop.add("1")
    runs(shop, "scheduler", "worker")
    with shop.begin() as t:
        ledger.note_trouble(t, account, "claim.failed: locked by another transaction")
    words = "cannot be scheduled at the moment (claim.failed: locked by another transaction)"
    for command in (["status"], ["doctor"], ["explain", task_id]):
        assert words in " ".join(run(*command).stdout.split())
    with shop.begin() as t:
        ledger.clear_trouble(t, account)
    for command in (["status"], ["explain", task_id]):
        assert words not in " ".join(run(*command).stdout.split())
