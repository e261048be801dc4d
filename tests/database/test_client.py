"""The client on both databases: what it writes, what it leaves alone, and what it says when it cannot."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import IntegrityError

import redrive
from redrive import BadInput, Client, SchemaError, SettingsError, TaskInfo, Unreachable

CONFIG = """
[accounts.phones]
provider = "geelark"
token = { env = "GEELARK_TOKEN" }
[accounts.reviews]
provider = "docflow"
app_id = { env = "TI_APP_ID" }
secret_code = { env = "TI_SECRET" }
"""
FAILED = {"account": "phones", "external_id": "591"}


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "redrive.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def client(database_url: str, config: Path) -> Iterator[Client]:
    with Client(database_url, config=config) as client:
        yield client


@pytest.fixture
def host(database_url: str) -> Iterator[Engine]:
    """The host's own engine, which knows nothing of ours."""
    engine = create_engine(database_url)
    yield engine
    engine.dispose()


def rows(host: Engine) -> list[Any]:
    with host.connect() as connection:
        return list(connection.execute(text("SELECT account, external_id, status FROM redrive_tasks ORDER BY id")))


def test_a_task_is_added_once(client: Client, host: Engine) -> None:
    first = client.add(account="phones", external_id="591", status="failed", origin="api", reason="no network")
    again = client.add(account="phones", external_id=" 591 ")
    other = client.add(account="reviews", external_id=591, sub_id="7")
    assert (first, other) == (again, again + 1)
    assert rows(host) == [("phones", "591", "failed"), ("reviews", "591", "failed")]


def test_many_are_added_in_pages_and_answered_in_order(client: Client, host: Engine) -> None:
    """Known and doubled ones too: the ids are those of the rows, whatever order the database took them in."""
    known = client.add(account="phones", external_id="1500")
    order = [*range(2100, 0, -1), 7, 1500]
    ids = client.add_many({"account": "phones", "external_id": str(number)} for number in order)
    assert len(ids) == 2102
    assert ids[600] == ids[-1] == known
    assert ids[-2] == ids[2093]
    with host.connect() as connection:
        found = connection.execute(text("SELECT id, external_id FROM redrive_tasks"))
        external = {row.id: int(row.external_id) for row in found}
    assert [external[each] for each in ids] == order


def test_a_bad_row_is_named_and_costs_its_thousand_only(client: Client, host: Engine) -> None:
    given = [{"account": "phones", "external_id": f"{number}"} for number in range(1500)]
    given[1200] = {"account": "phones", "external_id": "5.91E+17"}
    with pytest.raises(BadInput, match=r"row 1201: external_id '5.91E\+17': a spreadsheet"):
        client.add_many(given)
    assert len(rows(host)) == 1000


def test_an_added_task_comes_and_goes_with_the_hosts_transaction(client: Client, host: Engine) -> None:
    with host.connect() as connection:
        client.add(**FAILED, connection=connection)
        client.add_many([{"account": "phones", "external_id": "592"}], connection=connection)
        assert connection.in_transaction()
        connection.rollback()
        assert rows(host) == []
        task_id = client.add(**FAILED, connection=connection)
        client.report(**FAILED, status="succeeded", connection=connection)
        connection.commit()
    assert client.get(task_id).status == "succeeded"


def test_within_the_hosts_transaction_nobody_is_woken(
    database_url: str, config: Path, host: Engine, broker: str
) -> None:
    """The poll finds the task once the host has committed; a wake-up before would find nothing."""
    with (
        Client(database_url, broker, config) as client,
        redis.Redis.from_url(broker) as other,
        other.pubsub() as listening,
        host.connect() as connection,
    ):
        listening.subscribe("redrive.wake")
        assert listening.get_message(timeout=5)["type"] == "subscribe"
        client.add(**FAILED, connection=connection)
        connection.rollback()
        other.publish("redrive.wake", "the first")
        assert listening.get_message(timeout=5)["data"] == b"the first"
        client.add(**FAILED)
        assert listening.get_message(timeout=5)["type"] == "message"


def test_a_frozen_broker_costs_one_timeout(new_sqlite_database: Any, config: Path) -> None:
    """It takes connections and never answers; after the first wait it is left alone."""
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        broker_url = f"redis://127.0.0.1:{frozen.getsockname()[1]}/0"
        with Client(new_sqlite_database(), broker_url, config) as client:
            started = time.monotonic()
            for number in range(20):
                client.add(account="phones", external_id=f"{number}")
            assert time.monotonic() - started < 10
        frozen.setblocking(False)
        frozen.accept()[0].close()
        with pytest.raises(BlockingIOError):
            frozen.accept()


@pytest.mark.parametrize("broker_url", ["redis://127.0.0.1:1/0", "amqp://localhost//", "redis+socket:///no"])
def test_a_broker_that_is_not_there_costs_nothing(new_sqlite_database: Any, config: Path, broker_url: str) -> None:
    with Client(new_sqlite_database(), broker_url, config) as client:
        assert client.add(**FAILED) == 1


def test_a_broker_url_that_cannot_be_read_is_refused(new_sqlite_database: Any, config: Path) -> None:
    with pytest.raises(SettingsError, match=r"^broker_url: cannot be read"):
        Client(new_sqlite_database(), "rediss://[", config)


def test_a_report_moves_the_task(client: Client) -> None:
    task_id = client.add(**FAILED, status="running")
    told = client.report(**FAILED, status="failed", reason="no network")
    assert (told.id, told.status, told.last_error, told.hint) == (task_id, "failed", "no network", "")
    assert client.report(**FAILED, status="succeeded").status == "succeeded"
    assert client.report(**FAILED, status="succeeded").hint == "known already"
    assert client.report(**FAILED, status="failed", at="2020-01-01T00:00:00").hint.startswith("ignored: older than")


def test_a_report_of_an_unknown_task_is_refused(client: Client) -> None:
    with pytest.raises(BadInput, match="external_id '591': phones has no such task; add it first"):
        client.report(**FAILED, status="failed")
    with pytest.raises(BadInput, match="status 'dead'"):
        client.report(**FAILED, status="dead")


def test_a_task_is_shown_in_plain_words(client: Client) -> None:
    task = client.get(client.add(**FAILED, params={"a": 1}, failed_at=datetime(2026, 8, 18, 12)))  # noqa: DTZ001
    assert type(task.status) is str
    assert type(task.next) is str
    assert task == TaskInfo(
        id=task.id, account="phones", kind="", external_id="591", sub_id="", params={"a": 1}, origin="", priority=0,
        status="failed", dead_reason=None, next="retry", due_at=task.created_at, attempts=0, spent=0, limit=5,
        wish=None, provider_ref="", last_error="", failure="", failed_at=datetime(2026, 8, 18, 12, tzinfo=UTC),
        status_since=task.created_at, created_at=task.created_at, updated_at=task.created_at,
    )  # fmt: skip


def test_an_id_that_does_not_exist_is_said(client: Client) -> None:
    for wrong in (4711, 0, -1, 2**63, "4711", True):
        with pytest.raises(BadInput, match=r"^id "):
            client.get(wrong)  # type: ignore[arg-type]
    assert client.retry([4711]) == []


def test_tasks_are_found_by_what_is_known_of_them(client: Client) -> None:
    ids = client.add_many(
        {**FAILED, "external_id": f"{n}", "status": "pending" if n % 2 else "failed"} for n in range(6)
    )
    review = client.add(account="reviews", external_id="4")
    assert [task.id for task in client.find()] == [*ids, review]
    assert [task.id for task in client.find(account="phones", status="pending")] == ids[1::2]
    assert [task.id for task in client.find(external_id="4")] == [ids[4], review]
    assert [task.id for task in client.find(limit=2, after=ids[1])] == ids[2:4]
    with pytest.raises(BadInput, match="status 'cancelled': did you mean canceled"):
        client.find(status="cancelled")


def test_operators_words_are_recorded(client: Client, host: Engine) -> None:
    task_id = client.add(**FAILED)
    assert [task.status for task in client.hold(task_id, "wait\0ing")] == ["held"]
    assert [task.hint for task in client.hold([task_id])] == ["held already"]
    assert [(task.status, task.next) for task in client.release([task_id])] == [("failed", "check")]
    assert [task.status for task in client.stop(iter([task_id]))] == ["dead"]
    assert [task.hint for task in client.retry([task_id])] == ["it is dead (stopped): only --force retries it"]
    (forced,) = client.retry([task_id], reason="rules updated", force=True)
    assert (forced.status, forced.limit, forced.dead_reason) == ("failed", 5, None)
    with host.connect() as connection:
        found = list(connection.execute(text("SELECT who, what, why FROM redrive_actions ORDER BY id")))
    assert [(row.what, row.why) for row in found] == [
        ("hold", "waiting"), ("release", ""), ("stop", ""), ("force", "rules updated"),
    ]  # fmt: skip
    assert all("@" in row.who for row in found)


def test_thousands_are_operated_on_at_once(client: Client) -> None:
    ids = client.add_many({**FAILED, "external_id": f"{n}"} for n in range(2500))
    assert [task.id for task in client.hold(reversed(ids))] == sorted(ids)
    assert client.find(status="failed") == []


def test_without_a_settings_file_the_database_knows_the_accounts(
    client: Client, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.add(**FAILED)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with Client(database_url) as bare:
        task_id = bare.add(account="phones", external_id="592")
        assert bare.get(task_id).limit == 5
        assert bare.report(account="phones", external_id="592", status="succeeded").status == "succeeded"
        assert [task.status for task in bare.hold(bare.add(**FAILED))] == ["held"]
        with pytest.raises(BadInput, match="account 'desktops': is not configured"):
            bare.add(account="desktops", external_id="1")


def test_everything_may_come_from_the_environment(
    database_url: str, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDRIVE_DATABASE_URL", database_url)
    monkeypatch.setenv("REDRIVE_CONFIG", str(config))
    with Client() as client:
        assert client.get(client.add(**FAILED)).account == "phones"


def test_the_embedded_database_is_under_home(
    new_sqlite_database: Any, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Path(new_sqlite_database().removeprefix("sqlite:///")).parent
    monkeypatch.setenv("REDRIVE_HOME", os.path.relpath(home, tmp_path))
    monkeypatch.chdir(tmp_path)
    client = Client(config=config)
    monkeypatch.chdir("/")
    assert client.add(**FAILED) == 1
    client.close()


def test_wrong_settings_are_told_at_once(tmp_path: Path) -> None:
    for arguments in ({"database_url": "mysql://a:pass@b/c"}, {"broker_url": "here"}, {"config": tmp_path / "none"}):
        with pytest.raises(SettingsError) as caught:
            Client(**arguments)
        assert "pass@" not in str(caught.value)


def test_a_database_without_our_tables_is_refused(tmp_path: Path, config: Path) -> None:
    with (
        Client(f"sqlite:///{tmp_path / 'empty.db'}", config=config) as client,
        pytest.raises(SchemaError, match="migrate"),
    ):
        client.add(**FAILED)


def test_a_database_that_does_not_answer_is_named_without_its_password(tmp_path: Path, config: Path) -> None:
    url = f"postgresql://me:pass@/none?host={tmp_path}"
    with Client(url, config=config) as client, pytest.raises(Unreachable) as caught:
        client.find()
    assert "me:***@" in str(caught.value)
    assert "pass" not in repr(client)


def test_a_provider_that_changed_is_refused(client: Client, database_url: str, tmp_path: Path) -> None:
    client.add(**FAILED)
    other = tmp_path / "other.toml"
    other.write_text(CONFIG.replace("phones", "first").replace("reviews", "phones"))
    with (
        Client(database_url, config=other) as changed,
        pytest.raises(SettingsError, match=r"accounts\.phones\.provider"),
    ):
        changed.add(account="first", external_id="1")


def test_threads_share_a_client(client: Client, host: Engine) -> None:
    """They add the same tasks at the same time: each is in once, and everybody learns the same ids."""
    answers: list[list[int]] = []
    start = threading.Barrier(4)

    def add() -> None:
        start.wait(10)
        answers.append(client.add_many({**FAILED, "external_id": f"{n}"} for n in range(50)))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(answers) == 4
    assert answers.count(answers[0]) == 4
    assert len(rows(host)) == 50


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_fork_opens_its_own_connections(client: Client, host: Engine) -> None:
    """The child adds, the parent goes on with connections nobody else has spoken on."""
    client.add(**FAILED)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            client.add(account="phones", external_id="of the child")
            client.close()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    client.add(account="phones", external_id="of the parent")
    assert [row.external_id for row in rows(host)] == ["591", "of the child", "of the parent"]


@pytest.mark.parametrize("status", ["pending", "running", "failed", "canceled"])
def test_a_bare_insert_is_enough(client: Client, host: Engine, status: str) -> None:
    insert(host, status)
    (task,) = client.find(status=status)
    assert (task.kind, task.external_id, task.next, task.spent, task.params) == ("", "591", "retry", 0, {})
    assert task.due_at is not None


@pytest.mark.parametrize("status", ["in_flight", "retrying", "unknown", "held", "succeeded", "dead", "nonsense"])
def test_a_bare_insert_of_a_status_of_ours_is_refused(client: Client, host: Engine, status: str) -> None:
    with pytest.raises(IntegrityError):
        insert(host, status)
    assert client.find() == []


def insert(host: Engine, status: str) -> None:
    statement = "INSERT INTO redrive_tasks (account, kind, external_id, status) VALUES ('phones', '', '591', :status)"
    with host.begin() as connection:
        connection.execute(text(statement), {"status": status})


def test_the_package_shows_what_it_has() -> None:
    assert {"Client", "BadInput"} <= set(dir(redrive))
    with pytest.raises(AttributeError, match="no attribute 'client_'"):
        redrive.client_  # noqa: B018
