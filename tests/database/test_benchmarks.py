"""What the benchmark reads from databases: permits and their attempts, claims, and the hand-written solution's scan."""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from benchmarks.moments import watched
from benchmarks.naive.tables import CHECKS, PACED, RETRIES
from benchmarks.paced_systems import Pace, PacedRedrive

Connect = Callable[[], psycopg.Connection[Any]]


@pytest.fixture
def connect(new_postgres_database: Callable[[], str]) -> Connect:
    """Connections to a fresh database."""
    url = make_url(new_postgres_database())
    conninfo = f"host={url.query['host']} user={url.username} dbname={url.database}"
    return lambda: psycopg.connect(conninfo, autocommit=True)


def add_tasks(connection: psycopg.Connection[Any], *accounts: str) -> None:
    """One task of each, numbered from 1, with external ids from 11, all added at second 100."""
    for name in sorted({*accounts}):
        connection.execute("INSERT INTO redrive_accounts (name, provider) VALUES (%s, 'docflow')", [name])
    add = """
    INSERT INTO redrive_tasks (id, account, kind, external_id, created_at) OVERRIDING SYSTEM VALUE
    VALUES (%s, %s, 'review_task', %s, to_timestamp(100))
    """
    for id_, name in enumerate(accounts, start=1):
        connection.execute(add, [id_, name, str(id_ + 10)])


def open_attempts(connection: psycopg.Connection[Any], *tasks: int) -> None:
    add = """
    INSERT INTO redrive_attempts (task_id, number, batch_id, trigger, opened_at)
    SELECT unnest(%s::bigint[]), 1, gen_random_uuid(), 'due', clock_timestamp()
    """
    connection.execute(add, [list(tasks)])


def test_permits_are_seen_with_the_attempts_opened_beside_them(connect: Connect) -> None:
    """What one transaction takes and opens is put together, per account; other paths and other times are left out."""
    with connect() as service, connect() as watcher:
        add_tasks(service, "a", "a", "b")
        for name, path in [("a", "/retry"), ("b", "/retry"), ("b", "/other")]:
            service.execute('INSERT INTO redrive_limits ("group", path) VALUES (%s, %s)', [name, path])
        with watched(watcher, "/retry") as granted, service.transaction():
            service.execute("UPDATE redrive_limits SET next_at = to_timestamp(100) WHERE path = '/retry'")
            service.execute("UPDATE redrive_limits SET next_at = to_timestamp(900) WHERE path = '/other'")
            open_attempts(service, 1, 2, 3)
        service.execute("UPDATE redrive_limits SET next_at = to_timestamp(500)")
    assert sorted(granted) == [(100.0, ["11", "12"]), (100.0, ["13"])]


def test_claims_are_counted_from_the_due_moment(connect: Connect) -> None:
    """The quiet account's retries from when they came, the others' checks from their retry and the wait after it."""
    system = PacedRedrive(Pace("docflow", 1, check_after_seconds=10.0), 1)
    claims = [
        ("quiet", "retry", "[1]", 101.5), ("busy1", "retry", "[2, 3]", 105), ("busy1", "check", "[2]", 122.25),
        ("busy1", "check", "[2]", 150), ("quiet", "check", "[1]", 190),
    ]  # fmt: skip
    claim = """
    INSERT INTO redrive_batches (id, account, provider, operation, task_ids, size, publish_at, created_at)
    VALUES (gen_random_uuid(), %s, 'docflow', %s, %s, 1, now(), to_timestamp(%s))
    """
    accept = "UPDATE redrive_attempts SET closed_at = to_timestamp(110), outcome = 'accepted', spent = true"
    with connect() as system.connection, system.connection.cursor() as cursor:
        add_tasks(system.connection, "quiet", "busy1", "busy1", "quiet")
        open_attempts(system.connection, 1, 2, 3)
        cursor.execute(f"{accept} WHERE task_id < 3")
        cursor.executemany(claim, claims)
        assert (system.claims(), system.check_claims()) == ([1.5], [2.25])


def test_the_hand_written_scan_lets_three_of_an_account_wait(connect: Connect) -> None:
    """It takes the oldest of each account up to three under way, and of checks only what is due."""
    tasks = [
        ("a", "1", "queued", 0), ("a", "2", "queued", 0), ("a", "3", "failed", 0), ("a", "4", "failed", -1),
        ("b", "5", "failed", 1), ("b", "6", "retrying", 0), ("b", "7", "retrying", 1),
    ]  # fmt: skip
    add = "INSERT INTO tasks (account, external_id, status, due_at) VALUES (%s, %s, %s, now() + %s * interval '1 day')"
    with connect() as connection, connection.cursor() as cursor:
        connection.execute(PACED)
        connection.execute("INSERT INTO accounts VALUES ('a'), ('b')")
        cursor.executemany(add, tasks)
        assert [external_id for _, _, external_id in connection.execute(RETRIES)] == ["4"]
        assert [external_id for _, _, external_id in connection.execute(CHECKS)] == ["6"]
