"""The recipes of docs/client.md, run as they stand there."""

import asyncio
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from textwrap import indent
from types import SimpleNamespace
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    make_url,
    text,
)

from redrive import Client
from redrive.models.sql.migrate import upgrade
from tests.database.test_client import CONFIG, rows
from tests.database.test_transfer import run

PAGE = (Path(__file__).parents[2] / "docs" / "client.md").read_text()


def recipe(heading: str, language: str, number: int = 0) -> str:
    """A code block under a heading."""
    section = re.search(rf"^#+ {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert section is not None, heading
    return re.findall(rf"^```{language}\n(.*?)^```", section[1], re.MULTILINE | re.DOTALL)[number]


@pytest.fixture
def client(database_url: str, tmp_path: Path) -> Iterator[Client]:
    (tmp_path / "redrive.toml").write_text(CONFIG)
    with Client(database_url, config=tmp_path / "redrive.toml") as client:
        yield client


@pytest.fixture
def engine_of() -> Iterator[Callable[..., Engine]]:
    with ExitStack() as stack:

        def engine(url: str, **options: Any) -> Engine:
            made = create_engine(url, **options)
            stack.callback(made.dispose)
            return made

        yield engine


@pytest.fixture
def host(database_url: str, engine_of: Callable[..., Engine]) -> Engine:
    return engine_of(database_url)


def test_within_the_hosts_transaction(client: Client, host: Engine) -> None:
    orders = Table("orders", MetaData(), Column("id", Integer, primary_key=True), Column("state", String))
    orders.create(host)
    from sqlalchemy import update  # noqa: PLC0415 - the recipe's

    exec(
        recipe("In your own transaction", "python"),
        {"engine": host, "client": client, "orders": orders, "update": update},
    )
    assert [row.external_id for row in rows(host)] == ["591234567890123456"]


def test_a_bare_insert(client: Client, host: Engine) -> None:
    """Also of a task that is there already."""
    for _ in range(2):
        with host.begin() as connection:
            connection.execute(text(recipe("In your own transaction", "sql")))
    (task,) = client.find()
    assert (task.status, task.due_at is not None) == ("failed", True)


@pytest.mark.usefixtures("client")
def test_a_hosts_autogenerate_leaves_our_tables_alone(host: Engine) -> None:
    """Also where the host's metadata knows redrive_tasks, for a foreign key."""
    metadata = MetaData()
    Table("redrive_tasks", metadata, Column("id", BigInteger, primary_key=True))
    Table("jobs", metadata, Column("id", Integer, primary_key=True), Column("task_id", ForeignKey("redrive_tasks.id")))

    def differences(**options: Any) -> list[tuple[str, str]]:
        with host.connect() as connection:
            context = MigrationContext.configure(connection, opts=options)
            found = [each for each in compare_metadata(context, metadata) if isinstance(each, tuple)]
            return [(each[0], str(getattr(each[1], "name", each[1:]))) for each in found]

    assert ("remove_table", "redrive_accounts") in differences(), "the recipe is needed"
    given: dict[str, Any] = {}
    context = SimpleNamespace(configure=lambda **options: given.update(options))
    names = {"context": context, "connection": None, "target_metadata": metadata}
    exec(recipe("Alembic", "python"), names)
    assert differences(**{name: given[name] for name in ("include_name", "include_object")}) == [("add_table", "jobs")]


def test_a_schema_of_its_own(postgres_databases: Any, engine_of: Any, tmp_path: Path) -> None:
    role = f"redrive_{os.getpid()}"
    (tmp_path / "redrive.toml").write_text(CONFIG)
    with postgres_databases.new() as url:
        owner = engine_of(url, isolation_level="AUTOCOMMIT")
        with owner.connect() as connection:
            connection.execute(text(re.sub(r"\bredrive\b", role, recipe("A schema of its own", "sql"))))
            try:
                own = make_url(url).set(username=role).render_as_string(hide_password=False)
                upgrade(own)
                with Client(own, config=tmp_path / "redrive.toml") as client:
                    assert client.add(account="phones", external_id="1") == 1
                tables = "SELECT DISTINCT schemaname FROM pg_tables WHERE tablename LIKE 'redrive_%'"
                assert list(connection.execute(text(tables)).scalars()) == [role]
            finally:
                connection.execute(text(f"DROP OWNED BY {role} CASCADE"))
                connection.execute(text(f"DROP ROLE {role}"))


def test_a_foreign_key(client: Client, host: Engine, database_url: str, tmp_path: Path, monkeypatch: Any) -> None:
    """What is pruned is forgotten in the host's row, which stays."""
    (tmp_path / "redrive.toml").write_text(f"{CONFIG}[retention]\nsucceeded_days = 1e-9\n")
    monkeypatch.setenv("REDRIVE_CONFIG", str(tmp_path / "redrive.toml"))
    monkeypatch.setenv("REDRIVE_DATABASE_URL", database_url)
    with host.begin() as connection:
        connection.execute(text("CREATE TABLE jobs (id integer)"))
        connection.execute(text(recipe("Foreign keys", "sql").rstrip().rstrip(";")))
        task_id = client.add(account="phones", external_id="1", connection=connection)
        client.report(account="phones", external_id="1", status="succeeded", connection=connection)
        connection.execute(text("INSERT INTO jobs (id, task_id) VALUES (17, :id)"), {"id": task_id})
    assert run("prune", "--yes").exit_code == 0
    assert rows(host) == []
    with host.connect() as connection:
        assert connection.execute(text("SELECT id, task_id FROM jobs")).all() == [(17, None)]


def test_beside_an_event_loop(client: Client, host: Engine) -> None:
    names: dict[str, Any] = {"client": client, "asyncio": asyncio}
    exec(f"async def main():\n{indent(recipe('asyncio', 'python'), '    ')}    return task_id", names)
    assert asyncio.run(names["main"]()) == client.find(external_id="591")[0].id
    assert len(rows(host)) == 1


def test_within_an_asynchronous_transaction(new_postgres_database: Any, engine_of: Any, tmp_path: Path) -> None:
    """Of a connection and of a session: it comes and goes with theirs."""
    pytest.importorskip("greenlet")
    from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine  # noqa: PLC0415 - needs greenlet

    url = new_postgres_database()
    (tmp_path / "redrive.toml").write_text(CONFIG)
    host = engine_of(url)
    with host.begin() as connection:
        connection.execute(text("CREATE TABLE jobs (state text)"))

    async def play(client: Client) -> int:
        engine = create_async_engine(url)
        names: dict[str, Any] = {"client": client, "engine": engine, "text": text}
        exec(f"async def main():\n{indent(recipe('asyncio', 'python', 1), '    ')}    return task_id", names)
        task_id: int = await names["main"]()
        async with AsyncSession(engine) as session:
            await session.run_sync(lambda sync: client.add(account="phones", external_id="593", connection=sync))
            await session.rollback()
        await engine.dispose()
        return task_id

    with Client(url, config=tmp_path / "redrive.toml") as client:
        assert asyncio.run(play(client)) == client.find()[0].id
    assert [row.external_id for row in rows(host)] == ["592"]


def test_within_a_transaction_of_django(client: Client, host: Engine, database_url: str) -> None:
    """By SQL, in the transaction; by the client, when it is committed and only then."""
    django = pytest.importorskip("django")
    from django.conf import settings  # type: ignore[import-untyped]  # noqa: PLC0415 - not at every desk

    url = make_url(database_url)
    sqlite = url.get_backend_name() == "sqlite"
    backend = {"ENGINE": f"django.db.backends.{'sqlite3' if sqlite else 'postgresql'}", "NAME": url.database}
    backend |= {} if sqlite else {"HOST": url.query["host"], "USER": url.username}
    if not settings.configured:
        settings.configure(DATABASES={"default": {}}, USE_TZ=True)
        django.setup()
    from django.db import transaction  # type: ignore[import-untyped]  # noqa: PLC0415 - needs the settings
    from django.db.utils import ConnectionHandler  # type: ignore[import-untyped]  # noqa: PLC0415 - as above

    connection = ConnectionHandler({"default": backend})["default"]
    transaction_of = SimpleNamespace(
        atomic=lambda: transaction.Atomic(None, savepoint=True, durable=False), on_commit=connection.on_commit
    )
    monkey = pytest.MonkeyPatch()
    monkey.setattr(transaction, "get_connection", lambda _using=None: connection)
    names = {"client": client, "connection": connection, "transaction": transaction_of}
    try:
        with transaction_of.atomic():
            exec(recipe("Django", "python"), names)
            connection.set_rollback(True)
        assert rows(host) == []
        exec(recipe("Django", "python"), names)
        exec(recipe("Django", "python", 1), names)
    finally:
        connection.close()
        monkey.undo()
    assert [row.external_id for row in rows(host)] == ["591", "592"]
