"""What the session of a transaction is, whatever server, user, address or neighbour it has."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event

import pytest
from sqlalchemy import NullPool, create_engine, event, make_url, text
from sqlalchemy.exc import ProgrammingError
from typer.testing import CliRunner

from redrive import Client
from redrive.cli import app
from redrive.models.errors import SchemaBehind, SchemaError, Unreachable, Unsuitable
from redrive.models.sql import migrate
from redrive.models.sql.db import Database
from tests.conftest import NewDatabase
from tests.support.processes import Process
from tests.support.servers import Databases

Spawn = Callable[..., Process]


@pytest.fixture
def url(new_postgres_database: NewDatabase) -> str:
    """A migrated PostgreSQL database of the test's own."""
    return new_postgres_database()


@pytest.fixture
def empty(postgres_databases: Databases) -> Iterator[str]:
    """One without tables."""
    with postgres_databases.new() as url:
        yield url


@pytest.fixture
def user(url: str) -> Iterator[str]:
    """The address of a user without any rights."""
    name = f"{make_url(url).database}_u"
    run(url, f"CREATE ROLE {name} LOGIN")
    yield make_url(url).set(username=name).render_as_string(hide_password=False)
    run(url, f"DROP OWNED BY {name}; DROP ROLE {name}")


def run(url: str, *statements: str) -> None:
    with closing(Database(url)) as database, database.transaction() as t:
        for statement in statements:
            t.execute(text(statement))


def shown(url: str, *names: str) -> list[str]:
    with closing(Database(url)) as database, database.transaction() as t:
        return [t.execute(text(f"SHOW {name}")).scalar_one() for name in names]


def doctor(url: str, home: Path, code: int) -> str:
    environment = {name: value for name, value in configured(url, "", home).items() if value}
    result = CliRunner().invoke(app, ["doctor"], env=environment)
    assert result.exit_code == code, result.output
    return result.output


# --- the address ------------------------------------------------------------------------------------------------


def test_parameters_of_the_address_hold(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that weaken nothing; what the environment says to libpq for other programs does not."""
    monkeypatch.setenv("PGOPTIONS", "-csearch_path=nowhere -cgeqo=off")
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    assert shown(url, "geqo", "search_path", "client_encoding") == ["on", '"$user", public', "UTF8"]
    more = "&options=-cstatement_timeout%3D60s%20-csearch_path%3Dpublic&application_name=billing&connect_timeout=3"
    names = ("statement_timeout", "search_path", "application_name")
    assert shown(url + more, *names) == ["1min", "public", "billing"]


OTHERS = {
    "PGHOSTADDR": "127.0.0.9", "PGPORT": "1", "PGSSLMODE": "verify-full", "PGSSLNEGOTIATION": "direct",
    "PGSSLCERT": "/none", "PGSSLKEY": "/none", "PGSSLCERTMODE": "require", "PGSSLROOTCERT": "/none",
    "PGREQUIREPEER": "somebody", "PGREQUIREAUTH": "md5", "PGMINPROTOCOLVERSION": "3.2", "PGMAXPROTOCOLVERSION": "x",
    "PGSSLMINPROTOCOLVERSION": "x", "PGSSLMAXPROTOCOLVERSION": "x", "PGGSSENCMODE": "require", "PGGSSLIB": "x",
    "PGCHANNELBINDING": "require", "PGCONNECT_TIMEOUT": "x", "PGTARGETSESSIONATTRS": "standby",
    "PGLOADBALANCEHOSTS": "x", "PGAPPNAME": "theirs", "PGOPTIONS": "-cgeqo=off", "PGCLIENTENCODING": "LATIN1",
}  # fmt: skip


@pytest.mark.parametrize("name", [*OTHERS, "all of them"])
def test_variables_of_other_programs_change_nothing(url: str, name: str) -> None:
    """Nor lead elsewhere: what the address leaves out is as libpq has it built in."""
    with variables({each: value for each, value in OTHERS.items() if name in {each, "all of them"}}):
        assert shown(url, "transaction_read_only", "application_name", "geqo") == ["off", "redrive", "on"]


@contextmanager
def variables(values: Mapping[str, str]) -> Iterator[None]:
    """Set them here alone: the fixtures have connections of their own to make."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            patch.setenv(name, value)
        yield


@pytest.mark.parametrize("line", ["hostaddr=127.0.0.9", "port=1", "sslmode=verify-full", "options=-cgeqo=off"])
def test_a_service_of_other_programs_leads_nowhere_else(url: str, line: str, tmp_path: Path) -> None:
    (tmp_path / "services").write_text(f"[theirs]\n{line}\n")
    with variables({"PGSERVICEFILE": str(tmp_path / "services"), "PGSERVICE": "theirs"}):
        assert shown(url, "transaction_read_only", "geqo") == ["off", "on"]


def test_variables_fill_in_what_the_address_leaves_out(url: str) -> None:
    parts = make_url(url)
    with variables({"PGHOST": str(parts.query["host"]), "PGUSER": "postgres", "PGDATABASE": str(parts.database)}):
        assert shown("postgresql+psycopg://", "transaction_read_only") == ["off"]


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        ("-csynchronous_commit%3Doff", "synchronous_commit", "on"),
        ("-csynchronous_commit%3Dremote_apply", "synchronous_commit", "remote_apply"),
        ("-cdefault_transaction_isolation%3Dserializable", "transaction_isolation", "read committed"),
        ("-cdatestyle%3DGerman", "datestyle", "ISO, YMD"),
        ("-cidle_in_transaction_session_timeout%3D0", "idle_in_transaction_session_timeout", "1min"),
    ],
)
def test_parameters_that_would_weaken_a_promise_do_not(url: str, options: str, name: str, value: str) -> None:
    assert shown(f"{url}&options={options}", name) == [value]


def test_the_doctor_says_which_parameters_do_not_hold(url: str, tmp_path: Path) -> None:
    told = doctor(f"{url}&options=-csynchronous_commit%3Doff", tmp_path, 0)
    assert "warning database: synchronous_commit of the address does not hold" in told
    assert "warning database: fsync is off" in told


def test_several_hosts_are_tried(url: str) -> None:
    """The first does not answer; libpq takes the second."""
    there = make_url(url).query["host"]
    address = f"postgresql+psycopg://postgres@/{make_url(url).database}?host=/nowhere,{there}"
    assert shown(address, "transaction_read_only") == ["off"]


# --- the schema -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["retries", "Retries of us", 'a"b:c', "élan"])
def test_a_schema_of_its_own(empty: str, tmp_path: Path, name: str) -> None:
    """For migrate, service, client, also on a host's connection, and doctor."""
    address = make_url(empty).update_query_dict({"schema": name}).render_as_string(hide_password=False)
    with closing(Database(address)) as database, pytest.raises(SchemaBehind, match="in schema"):
        migrate.check(database)
    assert migrate.upgrade(address) == (None, migrate.HEAD)
    assert migrate.upgrade(address) == (migrate.HEAD, migrate.HEAD)
    with closing(Database(empty)) as database, database.reading() as t:
        where = text("SELECT DISTINCT schemaname FROM pg_tables WHERE tablename LIKE 'redrive%'")
        assert t.execute(where).scalars().all() == [name]
    configuration = configured(address, "", tmp_path)["REDRIVE_CONFIG"]
    with (
        closing(Client(address, config=configuration)) as client,
        create_engine(empty, poolclass=NullPool).begin() as host,
    ):
        client.add(account="phones", external_id="1", connection=host)
        assert host.execute(text("SHOW search_path")).scalar_one() == '"$user", public'
        assert host.execute(text("SHOW lock_timeout")).scalar_one() == "0"
    assert "its schema is right" in doctor(address, tmp_path, 0)
    with closing(Database(empty)) as database, pytest.raises(SchemaBehind, match=r"\?schema=NAME"):
        migrate.check(database)


def test_options_may_name_the_schema_too(empty: str) -> None:
    run(empty, "CREATE SCHEMA retries")
    migrate.upgrade(f"{empty}&options=-csearch_path%3Dretries")
    with closing(Database(f"{empty}&schema=retries")) as database:
        migrate.check(database)


# --- what the server cannot give --------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1", "EUC_JP"])
def test_a_database_that_is_not_utf_8_is_refused(postgres_url: str, tmp_path: Path, encoding: str) -> None:
    name = f"redrive_test_{encoding.lower()}"
    engine = create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as server:
        server.execute(text(f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'"))
        address = make_url(postgres_url).set(database=name).render_as_string(hide_password=False)
        with pytest.raises(Unsuitable, match=f"its encoding is {encoding} and must be UTF8; .*: createdb"):
            migrate.upgrade(address)
        assert f"error   database: {address}: its encoding is {encoding}" in doctor(address, tmp_path, 2)
        server.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()


@pytest.mark.parametrize("isolation", ["SERIALIZABLE", "REPEATABLE READ"])
def test_what_was_set_is_read_back(url: str, isolation: str) -> None:
    """Whatever stands in between, a session that is not what Redrive set is refused and given up."""
    with closing(Database(url)) as database:
        engine, given_up = database.engine, Event()
        event.listen(engine.pool, "invalidate", lambda *_: given_up.set())
        database.engine = engine.execution_options(isolation_level=isolation)
        said = f"transaction_isolation is {isolation.lower()} although Redrive set read committed"
        with pytest.raises(Unsuitable, match=said), database.transaction():
            raise AssertionError
        assert given_up.is_set()
        database.engine = engine
        migrate.check(database)


@pytest.mark.parametrize("version", [(13, 22), (9, 6, 24), (10,)])
def test_an_old_server_is_refused(url: str, version: tuple[int, ...]) -> None:
    """CockroachDB calls itself PostgreSQL 13, too."""
    with closing(Database(url)) as database:
        migrate.check(database)
        database.engine.dialect.server_version_info = version
        with pytest.raises(Unsuitable, match=r"Redrive needs 14 or newer"):
            migrate.check(database)


def test_a_server_that_takes_no_writes_costs_the_session_and_not_the_process(url: str, tmp_path: Path) -> None:
    """Reading goes on; a new session finds out when writes are taken again."""
    name = make_url(url).database
    run(url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    with closing(Database(url)) as database:
        for _ in range(2):
            with pytest.raises(Unreachable, match="it takes no writes at the moment"), database.transaction():
                raise AssertionError
        with database.reading() as t:
            assert t.execute(text("SHOW transaction_read_only")).scalar_one() == "on"
        assert "takes no writes at the moment" in doctor(url, tmp_path, 1)
        with database.engine.connect() as session:
            session.execute(text("SET default_transaction_read_only = off"))
            session.commit()
            session.execute(text(f"ALTER DATABASE {name} RESET default_transaction_read_only"))
            session.commit()
        with database.transaction() as t:
            assert t.execute(text("SHOW transaction_read_only")).scalar_one() == "off"


# --- rights -----------------------------------------------------------------------------------------------------


def test_a_user_who_may_not_make_tables_gets_the_grant(empty: str, user: str) -> None:
    name = make_url(user).username
    address = make_url(user).set(database=make_url(empty).database).render_as_string(hide_password=False)
    with pytest.raises(Unreachable, match=f"run: GRANT USAGE, CREATE ON SCHEMA public TO {name};"):
        migrate.upgrade(address)
    with pytest.raises(Unreachable, match=f"run: GRANT CREATE ON DATABASE .* TO {name};"):
        migrate.upgrade(f"{address}&schema=other")


def test_every_right_that_is_missing_is_named_with_its_grant(url: str, user: str, tmp_path: Path) -> None:
    """The doctor names all at once, any other command the first."""
    name = make_url(user).username
    with closing(Database(user)) as database:
        with pytest.raises(Unreachable, match=f"GRANT SELECT, INSERT, UPDATE, DELETE ON redrive_schema TO {name};"):
            migrate.check(database)
        run(url, f"GRANT SELECT ON redrive_schema, redrive_tasks TO {name}")
        migrate.check(database)
    told = doctor(user, tmp_path, 1)
    assert f"{name} may not INSERT, UPDATE, DELETE redrive_tasks; run: GRANT INSERT, UPDATE, DELETE ON" in told
    assert f"GRANT USAGE ON SEQUENCE public.redrive_tasks_id_seq TO {name};" in told
    for line in told.splitlines():
        if "run: " in line:
            run(url, line.partition("run: ")[2])
    assert "takes writes" in doctor(user, tmp_path, 0)


# --- waiting ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["scheduler", "worker"])
def test_a_service_waits_for_its_schema(empty: str, broker: str, spawn: Spawn, tmp_path: Path, part: str) -> None:
    """Loudly; `redrive migrate` lets it begin, and a signal ends the waiting."""
    environment = configured(empty, broker, tmp_path)
    command = [sys.executable, "-P", "-m", "redrive", part]
    stopped = spawn(command, environment, ready="run `redrive migrate`.*database.unreachable")
    stopped.stop()
    assert stopped.wait() == 0
    waiting = spawn(command, environment, ready="run `redrive migrate`.*database.unreachable")
    migrate.upgrade(empty)
    waiting.wait_ready(f"{part}.started")


@pytest.mark.parametrize("part", ["scheduler", "worker"])
def test_a_service_waits_for_its_database_and_its_rights(
    url: str, user: str, broker: str, spawn: Spawn, tmp_path: Path, part: str
) -> None:
    name, database = make_url(user).username, make_url(url).database
    run(url, f"REVOKE CONNECT ON DATABASE {database} FROM PUBLIC")
    waiting = spawn(
        [sys.executable, "-P", "-m", "redrive", part],
        configured(user, broker, tmp_path),
        ready="permission denied for database.*GRANT CONNECT ON DATABASE.*database.unreachable",
    )
    run(url, f"GRANT CONNECT ON DATABASE {database} TO {name}")
    waiting.wait_ready("permission denied for table.*database.unreachable")
    run(url, *(f"GRANT ALL ON ALL {each} IN SCHEMA public TO {name}" for each in ("TABLES", "SEQUENCES")))
    waiting.wait_ready(f"{part}.started")


@pytest.mark.parametrize("part", ["scheduler", "worker"])
def test_a_service_ends_where_waiting_is_in_vain(
    url: str, broker: str, spawn: Spawn, tmp_path: Path, part: str
) -> None:
    run(url, "UPDATE redrive_schema SET version_num = '9999', works_from = '9999'")
    ended = spawn([sys.executable, "-P", "-m", "redrive", part], configured(url, broker, tmp_path))
    assert ended.wait() == 2
    assert "install a newer Redrive" in ended.output()
    assert "Traceback" not in ended.output()


def configured(url: str, broker: str, directory: Path) -> dict[str, str]:
    path = directory / "redrive.toml"
    path.write_text('[accounts.phones]\nprovider = "geelark"\ntoken = { env = "TOKEN" }\n')
    where = {"REDRIVE_DATABASE_URL": url, "REDRIVE_BROKER_URL": broker, "REDRIVE_CONFIG": str(path)}
    return {**where, "REDRIVE_HOME": str(directory), "TOKEN": "tok"}


# --- SQLite -----------------------------------------------------------------------------------------------------


def test_a_file_that_may_only_be_read_is_read(new_sqlite_database: NewDatabase) -> None:
    """Be its journal a write-ahead log or not; writing names the remedy."""
    path = make_url(new_sqlite_database()).database
    for mode in ("wal", "delete"):
        with closing(Database(f"sqlite:///{path}")) as database, database.engine.connect() as connection:
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql(f"PRAGMA journal_mode = {mode}")
        with closing(Database(f"sqlite:///file:{path}?mode=ro&uri=true")) as database:
            migrate.check(database)
            with pytest.raises(Unreachable, match="give it write access"), database.transaction() as t:
                t.execute(text("DELETE FROM redrive_tasks"))


def test_errors_of_the_database_itself_are_no_outage(url: str) -> None:
    with closing(Database(url)) as database, pytest.raises(ProgrammingError), database.transaction() as t:
        t.execute(text("SELECT nonsense FROM"))
    assert issubclass(Unsuitable, SchemaError)
