"""What ``connection=`` takes, and how the database's refusals reach a host."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, make_url, text
from sqlalchemy.orm import Session, scoped_session, sessionmaker
from sqlalchemy.pool import NullPool

from redrive import BadInput, Client, DatabaseError, RedriveError, SchemaError, Unreachable
from tests.database.test_client import CONFIG, FAILED, rows


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
def engine_of() -> Iterator[Callable[..., Engine]]:
    """The host's own engine, closed at the end."""
    with ExitStack() as stack:

        def engine(url: str, **options: Any) -> Engine:
            made = create_engine(url, **options)
            stack.callback(made.dispose)
            return made

        yield engine


@pytest.fixture
def host(database_url: str, engine_of: Callable[..., Engine]) -> Engine:
    return engine_of(database_url)


def test_a_session_is_as_good_as_its_connection(client: Client, host: Engine) -> None:
    """The task comes and goes with the session's transaction."""
    makers: list[Callable[[], Any]] = [lambda: Session(host), sessionmaker(host), scoped_session(sessionmaker(host))]
    for number, make in enumerate(makers):
        with make() as session:
            client.add(account="phones", external_id=f"{number}", connection=session)
            session.rollback()
            assert not rows(host)
    with Session(host) as session, session.begin():
        client.add_many([FAILED], connection=session)
        client.report(**FAILED, status="succeeded", connection=session)
    assert [row.status for row in rows(host)] == ["succeeded"]


class Django:
    """Of Django's module, as its connections are."""

    __module__ = "django.utils.connection"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda host: host, "is an Engine; hand in a connection of it: with engine.begin() as connection"),
        (sessionmaker, "is a sessionmaker; it must be an SQLAlchemy Connection or Session"),
        (lambda host: host.raw_connection(), "is a _ConnectionFairy; it must be an SQLAlchemy Connection or Session"),
        (lambda host: host.raw_connection().driver_connection, "is a Connection; it must be an SQLAlchemy Connection"),
        (lambda _: Django(), "is a Django; docs/client.md shows how to add within a transaction of Django"),
        (lambda _: "postgresql://", "is a str; it must be an SQLAlchemy Connection or Session"),
        (lambda _: 7, "is an int; it must be an SQLAlchemy Connection or Session"),
    ],
)
def test_what_is_not_a_connection_is_refused(client: Client, host: Engine, make: Any, message: str) -> None:
    given = make(host)
    for act in (
        lambda: client.add(**FAILED, connection=given),
        lambda: client.add_many([FAILED], connection=given),
        lambda: client.report(**FAILED, status="failed", connection=given),
    ):
        with pytest.raises(BadInput) as caught:
            act()
        assert str(caught.value).startswith(f"connection: {message}")
    if hasattr(given, "rollback"):
        given.close()


@pytest.mark.parametrize("name", ["AsyncConnection", "AsyncSession", "AsyncEngine"])
def test_what_is_asynchronous_is_refused_with_the_way(client: Client, name: str) -> None:
    asyncio = pytest.importorskip("sqlalchemy.ext.asyncio")
    pytest.importorskip("greenlet")
    engine = asyncio.create_async_engine("postgresql+psycopg://nowhere/none")
    given = {"AsyncEngine": engine, "AsyncConnection": engine.connect(), "AsyncSession": asyncio.AsyncSession(engine)}
    with pytest.raises(BadInput, match=rf"connection: is an {name}; .*await it\.run_sync\(lambda sync: client\.add"):
        client.add(**FAILED, connection=given[name])


def test_a_connection_that_cannot_be_used_is_refused(client: Client, host: Engine) -> None:
    closed = host.connect()
    closed.close()
    with pytest.raises(BadInput, match="connection: is closed; hand in one whose transaction is open"):
        client.add(**FAILED, connection=closed)
    with pytest.raises(BadInput, match="connection: cannot be used"):
        client.add(**FAILED, connection=Session())
    with host.connect() as other:
        other.dialect.name = "mysql"
        with pytest.raises(BadInput, match="connection: leads to mysql; it must lead to the database of Redrive"):
            client.add(**FAILED, connection=other)


# --- what the database refuses ---


def test_a_read_only_database_is_said(client: Client, database_url: str, config: Path, engine_of: Any) -> None:
    client.add(**FAILED)
    read_only = make_url(database_url)
    if read_only.get_backend_name() == "sqlite":
        client._work.access.database.engine.dispose()

        @event.listens_for(client._work.access.database.engine, "connect")
        def refuse(raw: Any, _record: object) -> None:
            raw.execute("PRAGMA query_only = ON")

        other = client
    else:
        with engine_of(database_url, isolation_level="AUTOCOMMIT").connect() as connection:
            name = read_only.database
            connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
        other = Client(database_url, config=config)
    with pytest.raises((DatabaseError, Unreachable), match=r"takes no writes|(?i:read-?only)") as caught:
        other.add(account="phones", external_id="592")
    assert isinstance(caught.value, Unreachable)
    other.close()


def test_a_missing_right_is_said(new_postgres_database: Any, config: Path, engine_of: Any) -> None:
    url = new_postgres_database()
    name = f"redrive_reader_{os.getpid()}"
    with engine_of(url, isolation_level="AUTOCOMMIT").connect() as owner:
        owner.execute(text(f"CREATE ROLE {name} LOGIN"))
        owner.execute(text(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}"))
        try:
            with (
                Client(make_url(url).set(username=name).render_as_string(), config=config) as reader,
                pytest.raises(DatabaseError, match=r"^database .*: permission denied for table redrive_accounts"),
            ):
                reader.add(**FAILED)
        finally:
            owner.execute(text(f"DROP OWNED BY {name}"))
            owner.execute(text(f"DROP ROLE {name}"))


def test_an_error_on_the_hosts_connection_is_ours_too(client: Client, host: Engine) -> None:
    with host.connect() as connection:
        connection.execute(text("CREATE TEMPORARY TABLE redrive_accounts (id integer)"))
        with pytest.raises(RedriveError, match=r"^connection: .*name"):
            client.add(**FAILED, connection=connection)


def test_a_connection_to_another_database_is_refused(client: Client, engine_of: Any, postgres_databases: Any) -> None:
    """Which has none of our tables."""
    with postgres_databases.new() as url:
        for other in (url, "sqlite://"):
            with (
                engine_of(other, poolclass=NullPool).connect() as connection,
                pytest.raises(BadInput, match=r"^connection: .*; it must lead to the database of Redrive, with its"),
            ):
                client.add(**FAILED, connection=connection)


def test_a_connection_that_breaks_is_unreachable(new_postgres_database: Any, config: Path, engine_of: Any) -> None:
    url = new_postgres_database()
    with Client(url, config=config) as client, engine_of(url).connect() as connection:
        pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        with engine_of(url).connect() as other:
            other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        with pytest.raises(Unreachable, match=r"^connection: "):
            client.add(**FAILED, connection=connection)


def test_ids_that_were_taken_by_hand_are_gone_round(new_postgres_database: Any, config: Path, engine_of: Any) -> None:
    """The sequence knows nothing of rows that name their id."""
    url = new_postgres_database()
    with engine_of(url).begin() as connection:
        insert = (
            "INSERT INTO redrive_tasks (id, account, external_id) SELECT n, 'phones', n FROM generate_series(1, 9) n"
        )
        connection.execute(text(insert))
    with Client(url, config=config) as client:
        assert client.add(**FAILED) == 10


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path, config: Path) -> None:
    path = tmp_path / "none" / "redrive.db"
    for home in (path, tmp_path / "redrive.db"):
        with (
            Client(f"sqlite:///{home}", config=config) as client,
            pytest.raises(SchemaError, match=r"no such database yet; run `redrive migrate`, or name another"),
        ):
            client.find()
        assert not home.exists()


def test_a_driver_that_is_not_installed_is_named(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "psycopg", None)
    with (
        Client("postgresql://localhost/none", config=config) as client,
        pytest.raises(RedriveError, match="database_url: needs the module psycopg, which is not installed"),
    ):
        client.find()


def test_without_accounts_both_remedies_are_said(
    new_sqlite_database: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with (
        Client(new_sqlite_database()) as client,
        pytest.raises(BadInput, match=r"add \[accounts\.NAME\] to redrive\.toml .*, or start a scheduler once"),
    ):
        client.add(**FAILED)
