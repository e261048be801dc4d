"""What Redrive has set aside, and what keeps it from an account, is said by every command that people ask."""

import pytest

from models import ledger
from models.ledger import Odd
from models.states import SetAside, Status

from .shop import Run, runs, says
from .world import World


def put_aside(shop: World, *ids: int, cause: SetAside = SetAside.ROW, why: str = "numeric value out of range") -> None:
    with shop.begin() as t:
        ledger.set_aside(t, [Odd(task_id, "phones", cause, why) for task_id in ids])


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (SetAside.ROW, "its row cannot be read or written (numeric value out of range); mend the row"),
        (SetAside.KIND, "its provider knows no such kind of task (numeric value out of range); stop it"),
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


@pytest.mark.parametrize("account", ["phones", ""])
def test_what_keeps_the_scheduler_from_an_account_is_said(run: Run, shop: World, account: str) -> None:
    """Of one, or of all; and no more when it is over."""
    task_id = shop.add("1")
    runs(shop, "scheduler", "worker")
    with shop.begin() as t:
        ledger.trouble(t, account, "claim.failed: locked by another transaction")
    words = "cannot be scheduled at the moment (claim.failed: locked by another transaction)"
    for command in (["status"], ["doctor"], ["explain", task_id]):
        assert words in " ".join(run(*command).stdout.split())
    with shop.begin() as t:
        ledger.trouble_over(t, account)
    for command in (["status"], ["explain", task_id]):
        assert words not in " ".join(run(*command).stdout.split())
