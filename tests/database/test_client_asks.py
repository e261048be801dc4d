"""What a client asks for and operates, and who is recorded."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import pytest
from sqlalchemy import event, text

from redrive import BadInput, Client, TaskInfo, TaskRow, words
from redrive.models.ledger import claim
from redrive.models.outcome import Accepted
from redrive.models.queries import TaskFilter
from redrive.models.states import FAILED_STATES, OWNER_STATES, DeadReason, Operation, Status, Wish
from tests.database.test_client import CONFIG, FAILED
from tests.support.world import World


@pytest.fixture
def client(database_url: str, tmp_path: Path) -> Iterator[Client]:
    (tmp_path / "redrive.toml").write_text(CONFIG)
    with Client(database_url, config=tmp_path / "redrive.toml") as client:
        yield client


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    """The same database, seen by a scheduler and a worker."""
    world = World(database_url)
    yield world
    world.close()


def test_type_checkers_know_every_word() -> None:
    """No more and no fewer than there are."""
    assert set(get_args(words.TaskStatus)) == set(Status)
    assert set(get_args(words.DeadReason)) == set(DeadReason)
    assert set(get_args(words.OwnerStatus)) == set(OWNER_STATES)
    assert set(get_args(words.ReportedStatus)) == {*OWNER_STATES, Status.SUCCEEDED}
    assert set(get_args(words.NextStep)) == set(Operation)
    assert set(get_args(words.Wish)) == set(Wish)
    assert TaskRow.__annotations__["status"] == words.OwnerStatus
    assert Client.report.__annotations__["status"] == words.ReportedStatus
    assert TaskInfo.__annotations__["status"] == words.TaskStatus


def test_many_tasks_are_got_in_one_query(client: Client) -> None:
    ids = client.add_many({**FAILED, "external_id": f"{n}"} for n in range(30))
    seen: list[str] = []
    engine = client._work.access.database.engine

    def note(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    assert [task.id for task in client.get([*reversed(ids), 4711])] == ids
    assert len([statement for statement in seen if "redrive_tasks" in statement]) == 1
    assert client.get([]) == []
    assert client.get(ids[3]).external_id == "3"
    with pytest.raises(BadInput, match="id 4711: there is no such task"):
        client.get(4711)
    with pytest.raises(BadInput, match=r"^id '1': must be"):
        client.get([ids[0], "1"])  # type: ignore[list-item]


def test_every_filter_of_the_command_line_is_one_of_find() -> None:
    plural = {"accounts": "account", "statuses": "status", "dead_reasons": "dead_reason", "kinds": "kind"}
    plural |= {"external_ids": "external_id", "origins": "origin", "priorities": "priority"}
    fields = {plural.get(name, name) for name in TaskFilter.__slots__}
    assert fields <= set(Client.find.__kwdefaults__ or {})


def test_tasks_are_found_by_everything_a_filter_has(client: Client) -> None:
    phone, other = client.add_many([FAILED, {**FAILED, "external_id": "592", "status": "canceled"}])
    rule = client.add(account="reviews", external_id="7", sub_id="1")
    client.stop([other])

    def found(**wanted: Any) -> list[int]:
        return [task.id for task in client.find(**wanted)]

    assert found(account=["phones", "reviews"]) == [phone, other, rule]
    assert found(status=["failed", "dead"]) == [phone, other, rule]
    assert found(status="dead", dead_reason="stopped") == found(dead_reason=["stopped", "refused"]) == [other]
    assert found(kind="") == [phone, other]
    assert found(kind="review_rule") == [rule]
    assert found(external_id=("592", "7")) == [other, rule]
    assert found(due=True) == [phone, rule]
    assert found(since=timedelta(hours=1)) == [phone, other, rule]
    assert found(since=datetime.now(UTC) + timedelta(hours=1)) == found(since="2100-01-01") == []
    assert found(limit=1) == [phone]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"status": "faild"}, "status 'faild': did you mean failed?"),
        ({"status": ["failed", "ded"]}, "status 'ded': did you mean dead?"),
        ({"dead_reason": "refuse"}, "dead_reason 'refuse': did you mean refused?"),
        ({"account": "phone"}, "no account named 'phone'; did you mean phones?"),
        ({"account": ["phones", "Reviews"]}, "no account named 'Reviews'; did you mean reviews?"),
        ({"kind": "review-rule"}, "no task is of kind 'review-rule'; did you mean review_rule?"),
        ({"account": [5]}, "account 5: must be text, or a list of texts"),
        ({"since": "yesterday"}, "since 'yesterday': must be an ISO 8601 moment, such as 2026-08-18T12:00:00Z"),
        ({"since": timedelta(-1)}, "since '-1 day, 0:00:00': must be how long ago, which is not negative"),
        ({"limit": 0}, "limit 0: must be a whole number from 1 to 10000"),
        ({"limit": 10**9}, "limit 1000000000: must be a whole number from 1 to 10000"),
        ({"after": "x"}, f"after 'x': must be a whole number from 0 to {2**63 - 1}"),
        ({"after": None}, f"after: must be a whole number from 0 to {2**63 - 1}"),
    ],
)
def test_a_wrong_filter_is_refused(client: Client, wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput) as caught:
        client.find(**wanted)
    assert str(caught.value) == message


def test_a_task_is_explained_in_words(client: Client) -> None:
    task_id = client.add(**FAILED, reason="no network")
    told = client.explain(task_id)
    assert (told.id, told.status) == (task_id, "failed")
    assert type(told.status) is str
    assert str(told).startswith(f"Task {task_id} (phones, 591) ")
    assert str(told).splitlines() == list(told.lines)
    with pytest.raises(BadInput, match="id 4711: there is no such task"):
        client.explain(4711)


def test_attempts_and_actions_are_told(client: Client, world: World) -> None:
    task_id = client.add(**FAILED)
    assert client.attempts(task_id) == client.actions(task_id) == []
    world.clock.now = datetime.now(UTC) + timedelta(seconds=5)
    world.retried(Accepted(ref="r-1"))
    (attempt,) = client.attempts(task_id)
    assert (attempt.number, attempt.outcome, attempt.spent, attempt.provider_ref) == (1, "accepted", True, "r-1")
    assert len(attempt.batch_id) == 36
    client.hold(task_id, "wait", who="anna@shop")
    (action,) = client.actions(task_id)
    assert (action.who, action.what, action.why) == ("anna@shop", "hold", "wait")
    for ask in (client.attempts, client.actions):
        with pytest.raises(BadInput, match="there is no such task"):
            ask(4711)


def test_a_dead_task_is_revived(client: Client) -> None:
    task_id = client.add(**FAILED)
    assert [task.status for task in client.stop(task_id)] == ["dead"]
    (revived,) = client.revive([task_id], "fixed")
    assert revived.status in FAILED_STATES
    assert [task.hint != "" for task in client.revive(task_id)] == [True]


def test_an_account_is_paused_and_resumed(client: Client, world: World) -> None:
    client.add(**FAILED)
    client.pause("phones", "proxy broken", who="anna@shop")
    row = world.account("phones")
    assert (row["paused_reason"], row["paused_by"]) == ("proxy broken", "anna@shop")
    with world.begin() as t:
        assert claim(t, world.rules["phones"], Operation.RETRY, world.rng).batch is None
    assert client.resume("phones") is True
    assert client.resume("phones") is False
    for act in (client.pause, client.resume):
        with pytest.raises(BadInput, match="no account named 'phone'"):
            act("phone")


@pytest.mark.parametrize("what", ["retry", "hold", "release", "stop", "revive"])
def test_who_asked_is_recorded(client: Client, what: str) -> None:
    """The one that is named, otherwise this process's user and host."""
    task_id = client.add(**FAILED)
    prepare = {"release": client.hold, "revive": client.stop}.get(what)
    if prepare:
        prepare(task_id, who="before")
    getattr(client, what)(task_id, "why", who="anna@shop")
    recorded = [(each.who, each.what) for each in client.actions(task_id) if each.who != "before"]
    assert recorded in ([("anna@shop", what)], [])
    with client._work.access.reading() as (t, _):
        names = {row.who for row in t.rows(text("SELECT who FROM redrive_actions"))}
    assert names <= {"anna@shop", "before"}
    with pytest.raises(BadInput, match="who "):
        client.hold(task_id, who="an\nna")
