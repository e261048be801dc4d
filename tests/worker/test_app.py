"""The Celery doors, called as Celery calls them, and the dependencies they work with."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from celery.signals import worker_process_shutdown, worker_shutdown, worker_shutting_down
from sqlalchemy import Pool, event, select

from redrive.models import jobs, ledger
from redrive.models.errors import BadInput, SchemaError, SettingsError
from redrive.models.settings import load
from redrive.models.sql.tables import actions
from redrive.models.states import Operation
from redrive.sandbox.server import SandboxThread
from redrive.worker import app as worker_app
from redrive.worker import deps
from redrive.worker.app import app
from tests.support.site import Site, site

FAR = datetime(2099, 1, 1, tzinfo=UTC)


@pytest.fixture
def ours(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A worker process: the doors find its dependencies by themselves."""
    with SandboxThread() as sandbox, site(database_url, tmp_path, sandbox.url) as ours:
        for name, value in ours.environ.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(deps, "_configured", None)
        deps.configure(ours.settings, database_url=database_url, broker_url=None)
        yield ours
        deps.close()


def door(name: str, *args: object, **kwargs: object) -> object:
    """Through JSON, as a message comes."""
    sent = json.loads(json.dumps([args, kwargs]))
    return app.tasks[name](*sent[0], **sent[1])


def test_the_doors_hand_a_batch_to_its_job(ours: Site) -> None:
    """The extra words of the message are for people; a batch nobody has is no error."""
    task_id = ours.world.add()
    retry = ours.world.claimed()
    assert door(jobs.RETRY, str(retry.id), account="phones", operation="retry", size=1) == {"accepted": 1}
    ours.world.put(task_id, due_at=ours.world.task(task_id).status_since)
    look = ours.world.claimed("phones", Operation.CHECK)
    assert door(jobs.CHECK, str(look.id), size=9) in ({"running": 1}, {"succeeded": 1}, {"failed": 1})
    assert door(jobs.RETRY, str(uuid4())) == {"not_mine": 1}


def test_a_hosts_wish_makes_tasks_due_now(ours: Site) -> None:
    """Recorded with who and why, as claimed; ids that do not exist change nothing."""
    waiting = ours.world.add()
    ours.world.put(waiting, due_at=FAR)
    assert door(jobs.REQUEST, [waiting, 99999], who="host", reason="rules updated") == {"asked": 2, "due": 1}
    assert ours.world.task(waiting).due_at < FAR
    assert recorded(ours) == [("request", "request: host", "rules updated")]


def test_a_hosts_wish_never_releases_what_an_operator_holds(ours: Site) -> None:
    """Anybody who can write to the broker can send one; the neighbours are made due all the same."""
    held, waiting = ours.world.add("591"), ours.world.add("592")
    ours.world.act("hold", held)
    before = ours.world.task(held)
    ours.world.put(waiting, due_at=FAR)
    assert door(jobs.REQUEST, [held, waiting], who="operator@host") == {"asked": 2, "due": 1}
    assert ours.world.task(held) == before
    assert [who for _, who, _ in recorded(ours)][-1] == "request: operator@host"


def test_a_wish_of_many_is_carried_out_in_pages(ours: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_app, "TASKS_A_TRANSACTION", 2)
    ids = [ours.world.add(str(number)) for number in range(591, 596)]
    for each in ids:
        ours.world.put(each, due_at=FAR)
    asked: list[list[int]] = []
    act = ledger.act

    def spied(t: Any, what: str, page: Any, *rest: Any) -> Any:
        asked.append(list(page))
        return act(t, what, page, *rest)

    monkeypatch.setattr(worker_app.ledger, "act", spied)
    assert door(jobs.REQUEST, [*ids, ids[0]]) == {"asked": 5, "due": 5}
    assert asked == [ids[:2], ids[2:4], ids[4:]]


def recorded(ours: Site) -> list[tuple[str, str, str]]:
    """What was done, by whom, and why."""
    with ours.world.database.reading() as t:
        return [(row.what, row.who, row.why) for row in t.rows(select(actions).order_by(actions.c.id))]


@pytest.mark.parametrize(
    "ids", [["1"], ["x"], [None], "12", [1.5], [True], [0], [-1], [2**63], {"1": 1}, list(range(1, 10_002))]
)
def test_a_wish_that_names_no_ids_is_refused(ours: Site, ids: object) -> None:
    with pytest.raises(BadInput):
        door(jobs.REQUEST, ids)
    assert ours.world.tasks() == {}


def test_signals_drain_and_close_once(ours: Site) -> None:
    """Before anything was built they do nothing; a process that is told to close twice closes once."""
    for signal in (worker_shutting_down, worker_process_shutdown, worker_shutdown):
        assert all(not isinstance(answer, Exception) for _, answer in signal.send(None))
    own = deps.get()
    assert deps.get() is own
    worker_shutting_down.send(None)
    assert own.draining.is_set()
    for signal in (worker_process_shutdown, worker_shutdown):
        assert all(not isinstance(answer, Exception) for _, answer in signal.send(None))
    assert deps.built() is None
    assert ours.world.tasks() == {}


def test_a_worker_needs_its_secrets_and_its_schema(ours: Site, tmp_path: Path) -> None:
    """Both show when the dependencies are built, and not at the first batch."""
    without = {name: value for name, value in ours.environ.items() if name != "GEELARK_TOKEN"}
    settings = load(environ=ours.environ)
    with pytest.raises(SettingsError, match="GEELARK_TOKEN"):
        deps.build(settings, database_url=str(ours.world.url), broker_url=None, environ=without)
    with pytest.raises(SchemaError):
        deps.build(settings, database_url=f"sqlite:///{tmp_path}/empty.db", broker_url=None, environ=ours.environ)


def test_a_schema_that_is_not_ours_leaves_no_connection_open(ours: Site, tmp_path: Path) -> None:
    opened: list[object] = []
    closed: list[object] = []
    event.listen(Pool, "connect", took := lambda raw, _: opened.append(raw))
    event.listen(Pool, "close", gave := lambda raw, _: closed.append(raw))
    try:
        with pytest.raises(SchemaError):
            deps.build(
                ours.settings, database_url=f"sqlite:///{tmp_path}/empty.db", broker_url=None, environ=ours.environ
            )
    finally:
        event.remove(Pool, "connect", took)
        event.remove(Pool, "close", gave)
    assert opened
    assert closed == opened


def test_a_worker_without_a_database_url_says_what_to_set(ours: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Started as ``celery -A redrive.worker.app worker`` it has only the environment."""
    monkeypatch.setattr(deps, "_configured", None)
    with pytest.raises(SettingsError, match="REDRIVE_DATABASE_URL"):
        deps.get()
    monkeypatch.setenv("REDRIVE_DATABASE_URL", ours.world.url)
    assert deps.get().rules.keys() == ours.settings.accounts.keys()
