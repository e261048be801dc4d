"""Databases that many rows of the table share: each row has accounts of its own, and the others' tasks beside them."""

import ssl
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from pathlib import Path

import httpx
import pytest
import trustme

from redrive.models.sql.db import Database
from redrive.worker.loop import EventLoop
from tests.faults.provider import Provider, providing
from tests.support.servers import Databases, SqliteFiles


@pytest.fixture(scope="module")
def postgresql(postgres_databases: Databases, postgres_template: str) -> Iterator[Database]:
    """A PostgreSQL database of this module."""
    with postgres_databases.new(template=postgres_template) as url, closing(Database(url)) as database:
        yield database


@pytest.fixture(scope="module")
def sqlite(sqlite_files: SqliteFiles, sqlite_template: Path) -> Iterator[Database]:
    """A SQLite database of this module."""
    with sqlite_files.new(sqlite_template) as url, closing(Database(url)) as database:
        yield database


@pytest.fixture(autouse=True, scope="module")
def _one_trust_store() -> Iterator[None]:
    """Hundreds of clients, all of which trust the usual authorities: to read those takes longer than a call."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx, "create_ssl_context", cache(httpx.create_ssl_context))
        yield


@pytest.fixture(autouse=True)
def _exact_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks are due when the policy says, to the microsecond."""
    monkeypatch.setattr("redrive.models.lifecycle.grid.PART", 10**12)


@pytest.fixture(scope="module")
def loop() -> Iterator[EventLoop]:
    """Where the providers of this module run."""
    loop = EventLoop()
    yield loop
    loop.close()


@pytest.fixture
def provider(loop: EventLoop) -> Iterator[Provider]:
    """A provider in good health."""
    with providing(loop) as provider:
        yield provider


@pytest.fixture
def tls() -> ssl.SSLContext:
    """A server's side of TLS, signed by an authority that nobody trusts."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    return context
