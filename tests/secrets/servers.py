"""A PostgreSQL and a Valkey with passwords, and a record of everything the broker is told."""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self
from urllib.parse import quote, unquote, urlsplit

import redis
from sqlalchemy import NullPool, create_engine, make_url, text

from tests.support.servers import Postgres, Valkey


class ClosedPostgres:
    """A server that lets nobody in without a password; ``url`` is that of a database of its own."""

    def __init__(self, server: Postgres, password: str) -> None:
        self._server = server
        self._admin = create_engine(server.url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        for statement in ("CREATE ROLE redrive LOGIN", "CREATE DATABASE redrive OWNER redrive"):
            self._execute(statement)
        self.set_password(password)
        rules = server.directory / "data" / "pg_hba.conf"
        rules.write_text("local all postgres trust\nlocal all redrive scram-sha-256\n")
        self._execute("SELECT pg_reload_conf()")
        whole = make_url(server.url).set(username="redrive", password=password, database="redrive")
        self.url = whole.render_as_string(hide_password=False)

    @property
    def log(self) -> str:
        """What the server wrote."""
        return (self._server.directory / "log").read_text(errors="replace")

    def set_password(self, password: str) -> None:
        """Another one, for whoever connects from now on."""
        self._execute("ALTER ROLE redrive PASSWORD '{}'".format(password.replace("'", "''").replace("%", "%%")))

    def hang_up(self) -> None:
        """End all of its connections."""
        self._execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'redrive'")

    def close(self) -> None:
        """Stop it."""
        self._admin.dispose()
        self._server.close()

    def _execute(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.exec_driver_sql(statement)


def close_broker(server: Valkey, password: str, before: str = "") -> str:
    """Let nobody in without this password from now on, and hang up on those who are in; the address with it."""
    with redis.Redis.from_url(server.url, password=before or None) as client:
        client.config_set("requirepass", password)
        for each in client.client_list():
            if "O" not in each["flags"]:  # who monitors goes on listening
                client.client_kill_filter(_id=each["id"], skipme=True)
    return f"redis://:{quote(password, safe='')}@127.0.0.1:{server.port}/0"


def dump(url: str) -> str:
    """Every value of every row of a database, as text."""
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "sqlite":
                raw = connection.connection.dbapi_connection
                assert raw is not None
                return "\n".join(raw.iterdump())
            names = (
                connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars().all()
            )
            rows = (f"SELECT '{name} ' || each::text FROM {name} each" for name in names)
            return "\n".join(line for query in rows for line in connection.execute(text(query)).scalars())
    finally:
        engine.dispose()


class Overheard:
    """Every command a broker is given, from when it lets us in, as MONITOR shows them."""

    def __init__(self, find_url: Callable[[], str]) -> None:
        self._find_url = find_url
        self._heard = bytearray()
        self._stop = threading.Event()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def text(self) -> bytes:
        """What was heard so far, and nothing was missed."""
        assert self._thread.is_alive()
        return bytes(self._heard)

    def wait(self) -> None:
        """Until it listens."""
        assert self._started.wait(20)

    def _listen(self) -> None:
        with self._connected() as connection:
            connection.settimeout(0.1)
            self._started.set()
            while not self._stop.is_set():
                with suppress(TimeoutError):
                    chunk = connection.recv(1 << 16)
                    if not chunk:  # the broker has ended
                        return
                    self._heard += chunk

    def _connected(self) -> socket.socket:
        """The broker may not be up yet."""
        while not self._stop.wait(0.01):
            with suppress(OSError):
                url = urlsplit(self._find_url())
                connection = socket.create_connection(("127.0.0.1", url.port or 6379), timeout=2)
                for command in (["AUTH", unquote(url.password or "")], ["MONITOR"]):
                    words = [each.encode() for each in command]
                    lines = [b"*%d" % len(words), *(line for each in words for line in (b"$%d" % len(each), each)), b""]
                    connection.sendall(b"\r\n".join(lines))
                    if not connection.recv(100).startswith(b"+OK"):
                        connection.close()
                        break
                else:
                    return connection
        raise AssertionError("never let in")


def stored(url: str) -> str:
    """Every key of a broker with its value, as the broker itself would write it to a disk."""
    with redis.Redis.from_url(url) as client:
        found = [(key, client.type(key)) for key in client.scan_iter()]
        return "\n".join(f"{key!r} {_value(client, key, kind.decode())!r}" for key, kind in found)


def _value(client: "redis.Redis", key: bytes, kind: str) -> object:
    readers: dict[str, Callable[[bytes], object]] = {
        "string": client.get,
        "list": lambda key: client.lrange(key, 0, -1),
        "set": client.smembers,
        "hash": client.hgetall,
        "zset": lambda key: client.zrange(key, 0, -1),
        "none": lambda _: None,  # a job was done since the keys were listed
    }
    return readers[kind](key)
