"""One address of the database has one meaning, whoever reads it."""

import pytest
from sqlalchemy import make_url

from redrive.models.errors import SettingsError, Unsuitable
from redrive.models.settings.urls import checked_database_url
from redrive.models.sql import postgresql, sqlite
from redrive.models.sql.database_address import checked
from redrive.models.sql.db import Database


def connect_arguments(url: str) -> dict[str, str]:
    """What libpq gets of the address itself."""
    engine = Database(checked(url)).engine
    return dict(engine.dialect.create_connect_args(engine.url)[1])


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("postgresql://h1:5432,h2:5433/d", "h1,h2", "5432,5433"),
        ("postgres://u:p%40x@h1:5432,h2:5432/d?target_session_attrs=read-write", "h1,h2", "5432,5432"),
        ("postgresql+psycopg://h1,h2/d", "h1,h2", ""),
        ("postgresql://h1,h2:5433/d", "h1,h2", ",5433"),
        ("postgresql://[::1]:5432,[fe80::2]/d", "::1,fe80::2", "5432,"),
        ("postgresql://u@%2Frun%2Fpostgresql/d", "/run/postgresql", ""),
        ("postgresql:///d?host=h1,h2&port=5432,5433", "h1,h2", "5432,5433"),
        ("postgresql:///d?host=h1:5432&host=h2:5433", "h1,h2", "5432,5433"),
    ],
)
def test_hosts_in_libpqs_form(url: str, host: str, port: str) -> None:
    found = connect_arguments(url)
    assert (found["host"], found.get("port", "").strip(",") and found["port"]) == (host, port)
    assert found["dbname"] == "d"
    assert found.get("password") == ("p@x" if "p%40x" in url else None)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql://h1:5432,h2:port/d", "HOST:PORT,HOST:PORT"),
        ("postgresql://[::1,h2/d", "HOST:PORT,HOST:PORT"),
        ("postgresql://h1,h2/d?host=h3", "hosts twice"),
        ("postgresql://h1:1,h2:2/d?port=3", "hosts twice"),
        ("postgresql://h/d?connect_timeout=1&connect_timeout=2", "says connect_timeout twice"),
        ("postgresql://h:0/d", "port"),
        ("postgresql://h:99999/d", "from 1 to 65535"),
        ("postgresql://h/d?port=x", "from 1 to 65535"),
        ("postgresql://h/d?host=a,b&port=1,70000", "from 1 to 65535"),
        ("postgresql://a:1,b:70000/d", "from 1 to 65535"),
        ("postgresql://h/d?port=-1", "from 1 to 65535"),
        ("postgresql://h/d?schema=", "schema is empty"),
        (f"postgresql://h/d?schema={'x' * 64}", "1 to 63 bytes"),
        ("postgresql://h/d?schema=pg_own", "PostgreSQL's own"),
        ("postgresql://h/d?schema=a&options=-csearch_path%3Db", "keep one of the two"),
        ("postgresql://h/d?schema=a&options=-cgeqo%3Doff%20--search-path%3Db", "keep one of the two"),
        ("mysql+pymysql://u:hunter2@h/d", "not mysql"),
        ("mariadb://u:hunter2@h/d", "not mariadb"),
        ("oracle://u:hunter2@h/d", "not oracle"),
        ("postgresql+psycopg2://u:hunter2@h/d", r"use postgresql\+psycopg://"),
        ('"postgresql://u:hunter2@h/d"', "is in quotes; remove them"),
        ("'sqlite:///x.db'", "is in quotes; remove them"),
        ("postgresql://h/d ", "ends with a space"),
        ("sqlite:///x.db?schema=a", "SQLite has files"),
        ("sqlite:///x.db?cache=shared", "without the parameter cache"),
        ("sqlite:///file:x.db?uri=true&nolock=1", "without the parameter nolock"),
        ("sqlite:///x.db?timeout=soon", "number of seconds"),
        ("sqlite:///file:x.db?uri=true&mode=write", "ro, rw or rwc"),
    ],
)
def test_what_cannot_be_kept_is_refused_in_words(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        checked_database_url(url)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("name", ["foo", "autocommit", "prepare_threshold", "ssl"])
def test_a_parameter_that_nobody_knows_is_named(name: str) -> None:
    with pytest.raises(SettingsError, match=f"REDRIVE_DATABASE_URL: PostgreSQL has no parameter {name}"):
        Database(checked(f"postgresql://h/d?{name}=1"))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("options=-csynchronous_commit%3Doff", ["synchronous_commit"]),
        ("options=-c%20timezone%3DAsia/Kathmandu%20--lock-timeout%3D0", ["lock_timeout", "timezone"]),
        ("client_encoding=latin1", ["client_encoding"]),
        ("options=-csearch_path%3Dx%20-cstatement_timeout%3D9&connect_timeout=3&application_name=me", []),
    ],
)
def test_what_does_not_hold_is_named(given: str, said: list[str]) -> None:
    words = list(postgresql.overridden(make_url(checked(f"postgresql://h/d?{given}"))))
    assert [each.split()[0] for each in words] == said


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0"), (0.1, "100ms"), (0.5, "500ms"), (5, "5s"), (90, "90s"), (60, "1min"), (7200, "2h"), (86400, "1d")],
)
def test_times_are_written_as_postgresql_shows_them(seconds: float, shown: str) -> None:
    assert postgresql.duration(seconds) == shown


@pytest.mark.parametrize("version", [(3, 26, 0), (3, 34, 1), (3, 8, 3)])
def test_an_old_sqlite_is_refused(monkeypatch: pytest.MonkeyPatch, version: tuple[int, int, int]) -> None:
    monkeypatch.setattr("sqlite3.dbapi2.sqlite_version_info", version)
    assert version < sqlite.OLDEST
    with pytest.raises(Unsuitable, match=r"Redrive needs 3\.35 or newer; use a newer Python, or PostgreSQL"):
        Database("sqlite:///x.db")
