"""Names in filters and lists of ids: what does not exist is said, whatever form it comes in."""

import json
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import insert

from redrive.models.outcome import Accepted, Reading, State
from redrive.models.sql.tables import tasks
from redrive.models.states import Operation, Status
from tests.support.shop import Run, lines, says
from tests.support.world import World

FILTERED = ["list", "retry", "hold", "release", "stop", "revive"]


@pytest.mark.parametrize("command", FILTERED)
def test_a_misspelt_account_is_an_error_with_a_suggestion(run: Run, shop: World, command: str) -> None:
    task_id = shop.add("1", "desktops")
    told = run(command, "-a", "desktop", code=1).stderr
    assert "no account named 'desktop'; did you mean desktops?" in told
    assert shop.task(task_id).status == Status.FAILED


@pytest.mark.parametrize(
    "args",
    [
        ("actions", "-a", "phone"), ("pause", "phone"), ("resume", "phone"), ("prune", "-a", "phone", "--yes"),
        ("export", "-a", "phone", "-o", "phones.csv"), ("export", "-a", "phones", "-a", "phone", "--format", "jsonl"),
    ],
)  # fmt: skip
def test_commands_about_accounts_know_them(
    run: Run,
    shop: World,  # noqa: ARG001
    home: Path,
    args: tuple[str, ...],
) -> None:
    before = sorted(home.iterdir())
    assert "no account named 'phone'; did you mean phones?" in run(*args, code=1).stderr
    assert sorted(home.iterdir()) == before


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("review_task", ""),
        ("reviewrule", "did you mean review_rule?"),
        ("Record", "did you mean record?"),
        ("x", "known"),
    ],
)
def test_a_kind_that_no_provider_has_is_an_error(run: Run, shop: World, kind: str, words: str) -> None:  # noqa: ARG001
    """Of the accounts that are or were configured."""
    result = run("list", "--kind", kind, code=1 if words else 0)
    assert words in result.stderr


def test_a_name_is_known_by_its_tasks_alone(run: Run, shop: World) -> None:
    """What was inserted by SQL under a wrong name must be found, to be fixed."""
    with shop.begin() as t:
        t.execute(insert(tasks).values(account="phone", kind="wat", external_id="1"))
        t.execute(insert(tasks).values(account="phones", kind="odd", external_id="1"))
    assert len(says(run("list", "-a", "phone", "--json"))) == 1
    assert len(says(run("list", "--kind", "odd", "--json"))) == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("-s", "deed"), "'deed' is not known; did you mean dead?"),
        (("-s", "SUCCEEDED"), "did you mean succeeded?"),
        (("--dead-reason", "refuse"), "'refuse' is not known; did you mean refused?"),
        (("-s", "xyz"), "known here: canceled, dead, failed"),
        (("--batch", "4711"), "'4711' is not the id of a batch"),
        (("--since", "1x"), "must be a time such as 90s"),
        (("--until", "9999999999999999999d"), "must be a time such as 90s"),
        (("--priority", "2"), "less than or equal to 1"),
        (("--external-id", "a\x00b"), "is not UTF-8 text"),
        (("-a", "a\udcffb"), "is not UTF-8 text"),
    ],
)
def test_a_wrong_word_is_an_error_with_a_suggestion(
    run: Run,
    shop: World,  # noqa: ARG001 - a database
    args: tuple[str, ...],
    words: str,
) -> None:
    told = " ".join(run("list", *args, code=2).stderr.replace("│", " ").split())
    assert words in told
    assert "Value error" not in told


def test_a_reason_that_no_database_keeps_is_said(run: Run, shop: World, monkeypatch: pytest.MonkeyPatch) -> None:
    task_id = shop.add("1")
    assert "is not UTF-8 text" in run("hold", task_id, "--reason", "a\udcffb", code=2).stderr
    monkeypatch.setenv("LOGNAME", "ann\udcff\x1b[2J")
    run("hold", task_id)
    assert says(run("actions", "--json"))[0]["who"].startswith(r"ann\udcff\x1b[2J@")


def test_an_odd_name_in_the_database_can_be_named(run: Run, shop: World) -> None:
    with shop.begin() as t:
        t.execute(insert(tasks).values(account="phone\x1b[2J", external_id="1"))
    assert "1 task stopped." in run("stop", "-a", "phone\x1b[2J", "--yes").stdout


# --- filters -------------------------------------------------------------------------------------------------------


def test_a_batch_leads_to_its_tasks_also_to_those_that_have_left_it(run: Run, shop: World) -> None:
    neighbour = shop.add("0", "desktops")
    mine = shop.add_many("abc")
    batch = shop.claimed()
    shop.act("hold", mine[0])
    work = shop.begin_batch(batch.id)
    assert work is not None
    shop.open(work)
    shop.answer(work, Accepted())
    shop.finish(work)
    assert [each["id"] for each in says(run("list", "--batch", batch.id, "--json"))] == mine
    shop.clock.forward(120)
    looked = shop.claimed(operation=Operation.CHECK)
    assert [each["id"] for each in says(run("list", "--batch", looked.id, "--json"))] == mine[1:]
    both = says(run("list", "--batch", batch.id, "--batch", looked.id, "-s", "held", "--json"))
    assert [each["id"] for each in both] == mine[:1]
    assert "1 task stopped, 2 tasks will be stopped" in run("stop", "--batch", batch.id, "--yes").stdout
    assert shop.task(neighbour).status == Status.FAILED
    unknown = uuid4()
    assert f"there is no batch {unknown}; batches are kept" in run("list", "--batch", unknown, code=1).stderr


def test_tasks_of_an_outage_are_found_by_its_beginning_and_end(run: Run, shop: World) -> None:
    """Half open, as moments or as times before now."""
    shop.clock.forward(-7200)
    early = shop.add("1")
    begun = shop.clock.forward(3600)
    outage = shop.add("2")
    ended = shop.clock.forward(1800)
    late = shop.add("3")

    def found(*args: object) -> list[int]:
        return [each["id"] for each in says(run("list", "--json", *args))]

    assert found("--since", begun.isoformat(), "--until", ended.isoformat()) == [outage]
    assert found("--until", "100m") == [early]
    assert found("--until", ended.strftime("%Y-%m-%dT%H:%M:%S.%f")) == [early, outage]
    assert found("--since", "70m") == [outage, late]
    run("hold", "--since", "70m", "--until", "45m", "--yes")
    assert [shop.task(each).status for each in (early, outage, late)] == ["failed", "held", "failed"]


def test_origin_and_priority_are_filters(run: Run, shop: World) -> None:
    shop.add("1", origin="api")
    urgent = shop.add("2", origin="client_ui", priority=1)
    low = shop.add("3", origin="client_ui", priority=-1)
    for args, ids in (
        (("--origin", "client_ui"), [urgent, low]),
        (("--priority", "-1"), [low]),
        (("--priority", "1", "--priority", "-1", "--origin", "client_ui"), [urgent, low]),
        (("--origin", "nobody"), []),
    ):
        assert [each["id"] for each in says(run("list", "--json", *args))] == ids


# --- ids from standard input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form", ["{0}\n{1}\n", " {0},{1} ", "{0}\r\n{1}\r\n\r\n", "[{0}, {1}]", '["{0}",{{"id": {1}}}]']
)
def test_ids_are_read_from_standard_input(run: Run, shop: World, form: str) -> None:
    first, second, neighbour = shop.add_many("abc")
    assert "2 tasks held." in run("hold", "-", input=form.format(first, second)).stdout
    assert [shop.task(each).status for each in (first, second, neighbour)] == ["held", "held", "failed"]


def test_what_a_list_says_can_be_acted_on(run: Run, shop: World) -> None:
    ids = shop.add_many("abc")
    listed = run("list", "--until", "0s", "--json").stdout
    for command, status in (("hold", "held"), ("release", "failed"), ("stop", "dead"), ("revive", "failed")):
        done = says(run(command, "-", "--json", "--reason", "all of them", input=listed))
        assert (done["action"], done["changed"], done["left"], done["missing"]) == (command, 3, 0, [])
        assert [(each["id"], each["status"], each["changed"]) for each in done["tasks"]] == [
            (task_id, status, True) for task_id in ids
        ]
    assert len(json.loads(run("explain", "-", "--json", input=listed).stdout)) == 3


def test_no_ids_on_standard_input_are_no_tasks(run: Run, shop: World) -> None:
    """And never all of them."""
    task_id = shop.add("1")
    for empty in ("", "\n", "[]"):
        assert run("stop", "-", "--yes", input=empty).stdout == "No task matches.\n"
    assert shop.task(task_id).status == Status.FAILED


@pytest.mark.parametrize("text", ["abc", "1 2 x", "-5", "1.5", "[1, null]", '[{"no": 1}]', "[1,", "5.91E+17"])
def test_what_is_not_an_id_is_said_and_nothing_is_done(run: Run, shop: World, text: str) -> None:
    task_id = shop.add("1")
    assert run("stop", "-", input=text, code=2).stderr
    assert shop.task(task_id).status == Status.FAILED


def test_an_action_in_json_has_what_could_not_be_done(run: Run, shop: World) -> None:
    failed, done = shop.add_many("ab")
    shop.report(done, Status.SUCCEEDED)
    told = says(run("stop", failed, done, 999, "--json", "--dry-run", code=1))
    assert (told["dry_run"], told["changed"], told["left"], told["missing"]) == (True, 1, 1, [999])
    assert told["tasks"][1]["hint"].startswith("ended already")
    assert shop.task(failed).status == Status.FAILED
    assert says(run("retry", failed, "--force", "--json"))["action"] == "force"


# --- forms ---------------------------------------------------------------------------------------------------------


def test_all_moments_in_json_have_one_form(run: Run, shop: World) -> None:
    task_id = shop.accepted("1")
    shop.clock.forward(120)
    shop.looked(Reading(state=State.RUNNING))
    for args in (["list"], ["show", task_id], ["explain", task_id], ["status"], ["accounts"], ["actions"]):
        told = run(*args, "--json").stdout
        assert "+00:00" not in told
        assert says(run("show", task_id, "--json"))["task"]["seen"]["at"].endswith("Z")
    assert lines(run("show", task_id).stdout)[0] == f"Task {task_id} phones 1"
