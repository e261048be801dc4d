"""A database that refuses is said in its own words, with what to do about it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from redrive.cli.remedies import with_remedy
from tests.support.shop import Run


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("must be owner of table redrive_tasks", "let the owner of the tables run `redrive migrate`"),
        ("cannot execute UPDATE in a read-only transaction", "name the primary"),
        ("database sqlite:////x: attempt to write a readonly database", "give this user write access to the file"),
        ("database or disk is full", "free space on the disk"),
        ('FATAL: database "nowhere" does not exist', "create it, or fix REDRIVE_DATABASE_URL"),
    ],
)
def test_words_have_their_remedy(words: str, told: str) -> None:
    assert told in with_remedy(words)
    assert "\n" not in with_remedy(words)


def test_words_without_a_known_remedy_stay_as_they_are() -> None:
    assert with_remedy("something\n odd") == "something odd"
    assert with_remedy("permission denied for schema x; ask ann") == "permission denied for schema x; ask ann"


@pytest.fixture
def owner(new_postgres_database: Callable[[], str]) -> str:
    """The URL of a database by its owner."""
    return new_postgres_database()


@pytest.fixture
def stranger(owner: str) -> Iterator[str]:
    """The URL of a database by a user who owns nothing in it."""
    url = make_url(owner)
    name = f"redrive_stranger_{url.database}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE ROLE {name} LOGIN PASSWORD 'x'"))
        connection.execute(text("REVOKE CREATE ON SCHEMA public FROM PUBLIC"))
    yield url.set(username=name, password="x").render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"DROP OWNED BY {name}"))
        connection.execute(text(f"DROP ROLE {name}"))
    engine.dispose()


def test_a_user_without_grants_is_said_how_to_get_them(
    run: Run, stranger: str, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDRIVE_DATABASE_URL", stranger)
    for command in (["status"], ["list"], ["hold", "1"], ["migrate"]):
        told = run(*command, code=1).stderr
        assert "permission denied for table redrive_schema; run: GRANT SELECT" in told
        assert "Traceback" not in told
    assert "permission denied" in run("doctor", code=1).stdout
    assert home.exists()


def test_an_empty_database_of_somebody_else_is_said_too(
    run: Run, stranger: str, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = create_engine(owner, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for table in connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars():
            connection.execute(text(f"DROP TABLE {table} CASCADE"))
    engine.dispose()
    monkeypatch.setenv("REDRIVE_DATABASE_URL", stranger)
    told = run("migrate", code=1).stderr
    assert "GRANT USAGE, CREATE ON SCHEMA public TO redrive_stranger_" in told
    assert "LINE" not in told
