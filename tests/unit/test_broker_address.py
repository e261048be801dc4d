"""One address, one meaning: what kombu and redis-py make of it, what is refused, and what others' variables change."""

import ssl
from typing import TYPE_CHECKING, Any

import pytest
import redis
from celery import Celery

from redrive.models import jobs
from redrive.models.broker import Broker, refusal
from redrive.models.settings.urls import checked_broker_url, checked_database_url
from redrive.scheduler.publish import PUBLISH_SECONDS, Publisher
from redrive.worker import app as worker_app

if TYPE_CHECKING:
    from kombu.connection import Connection

THEIRS = {"host", "port", "path", "db", "username", "password", "ssl_cert_reqs", "ssl_check_hostname", "ssl_ca_certs"}


def of_redis_py(broker: Broker) -> dict[str, Any]:
    """How redis-py would connect."""
    assert broker.server is not None
    pool = broker.server.client(1).connection_pool
    kind = {redis.SSLConnection: "tls", redis.UnixDomainSocketConnection: "socket"}
    return {"by": kind.get(pool.connection_class, "tcp"), **meant(pool.connection_kwargs)}


def of_kombu(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """How kombu would connect, by the channel that workers use."""
    app = Celery("tests", **jobs.APP)
    jobs.connect_to(app, lambda: broker)
    connection: Connection = app.connection_for_read()
    channel_class = connection.transport.Channel
    channel = channel_class.__new__(channel_class)
    monkeypatch.setattr(channel, "connection", connection.transport, raising=False)
    given = channel._connparams()
    kind = {redis.SSLConnection: "tls", redis.UnixDomainSocketConnection: "socket"}
    app.close()
    return {"by": kind.get(given["connection_class"], "tcp"), **meant(given)}


def meant(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name in THEIRS and value is not None}


@pytest.mark.parametrize(
    ("url", "meaning"),
    [
        ("redis://h", {"by": "tcp", "host": "h", "port": 6379, "db": 0}),
        ("REDIS://h:7/3", {"by": "tcp", "host": "h", "port": 7, "db": 3}),
        ("redis://h?db=4", {"by": "tcp", "host": "h", "port": 6379, "db": 4}),
        ("redis://h/?virtual_host=4", {"by": "tcp", "host": "h", "port": 6379, "db": 4}),
        ("redis://:p%40%2F@h/1", {"by": "tcp", "host": "h", "port": 6379, "db": 1, "password": "p@/"}),
        ("valkey://u:p@h/1", {"by": "tcp", "host": "h", "port": 6379, "db": 1, "username": "u", "password": "p"}),
        ("redis://[::1]:7/0", {"by": "tcp", "host": "::1", "port": 7, "db": 0}),
        ("redis:///2", {"by": "tcp", "host": "127.0.0.1", "port": 6379, "db": 2}),
        ("unix:///run/v.sock?db=2", {"by": "socket", "path": "/run/v.sock", "db": 2}),
        ("redis+socket:///run/v.sock", {"by": "socket", "path": "/run/v.sock", "db": 0}),
        ("valkey+socket:///run/v.sock?virtual_host=5", {"by": "socket", "path": "/run/v.sock", "db": 5}),
        (
            "redis+socket://u:p%3A@/run/v.sock",
            {"by": "socket", "path": "/run/v.sock", "db": 0, "username": "u", "password": "p:"},
        ),
        (
            "rediss://h/1",
            {"by": "tls", "host": "h", "port": 6379, "db": 1, "ssl_cert_reqs": "required", "ssl_check_hostname": True},
        ),
        (
            "valkeys://h?ssl_cert_reqs=CERT_REQUIRED&ssl_ca_certs=/ca",
            {
                "by": "tls", "host": "h", "port": 6379, "db": 0, "ssl_cert_reqs": "required",
                "ssl_check_hostname": True, "ssl_ca_certs": "/ca",
            },
        ),
        (
            "rediss://h?ssl_cert_reqs=none",
            {"by": "tls", "host": "h", "port": 6379, "db": 0, "ssl_cert_reqs": "none", "ssl_check_hostname": False},
        ),
        (
            "rediss://h?ssl_check_hostname=false",
            {"by": "tls", "host": "h", "port": 6379, "db": 0, "ssl_cert_reqs": "required", "ssl_check_hostname": False},
        ),
    ],
)  # fmt: skip
def test_both_libraries_connect_alike(url: str, meaning: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker.at(checked_broker_url(url))
    assert of_redis_py(broker) == meaning
    assert of_kombu(broker, monkeypatch) == meaning


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://h?connect_timeout=3", "connect_timeout is not an option"),
        ("redis://h?socket_timeout=3", "socket_timeout is not an option"),
        ("redis://h?ssl_cert_reqs=none", "needs rediss://"),
        ("rediss://h?ssl_cert_reqs=zz", "ssl_cert_reqs is one of required, optional, none"),
        ("rediss://h?ssl_check_hostname=perhaps", "true or false"),
        ("rediss://h?ssl_ca_certs=/a&ssl_ca_certs=/b", "twice"),
        ("redis://h/1?db=2", "two databases"),
        ("redis://h/name", "not a number"),
        ("redis://h/0#x", "behind #, which nobody reads"),
        ("amqp://h//#x", "behind #"),
        ("redis://a,b/0", "comma"),
        ("redis://a:1,b:2/0", "port"),
        ("redis://h /0", "space"),
        ("amqp://a,b//", "comma"),
        ("memory://", "no other process can reach"),
        ("MEMORY://localhost/", "no other process can reach"),
        ("redis://h:99999/0", "port"),
        ("redis://h:x/0", "port"),
        ("redis://h:0/0", "port 0"),
        ("redis://a/0;redis://b/0", "several servers"),
        ("redis://a/0;rediss://b/0", "different kinds"),
        ("redis+socket://host/x", "whole path"),
        ("unix://", "whole path"),
        ("sentinel://a;sentinel://b", "master_name=NAME"),
        ("sentinel://a?master_name=", "master_name=NAME"),
        ("sentinel://a?master_name=m&ssl_cert_reqs=none", "ssl_cert_reqs is not an option .* needs sentinels://"),
        ("sentinels://a?master_name=m&ssl_cert_reqs=zz", "ssl_cert_reqs is one of"),
        ("sentinels://a;sentinel://b?master_name=m", "different kinds"),
        ("sentinel://a?master_name=m;sentinel://b?master_name=n", "two values of master_name"),
        ("sentinels://a?master_name=m&ssl_ca_certs=/x;sentinels://b?ssl_ca_certs=/y", "two values of ssl_ca_certs"),
        ("amqps://a//?ssl_ca_certs=/x;amqps://b//?ssl_ca_certs=/y", "two values of ssl_ca_certs"),
        ("amqps://a//;amqps://b//", "whose names Celery cannot check; name one, or ssl_check_hostname=false"),
        ("sentinel://u:p@a;sentinel://v:p@b?master_name=m", "two users"),
        ("amqp://h//?heartbeat=3", "heartbeat is not an option"),
        ("amqp://h//?ssl_ca_certs=/x", "needs amqps://"),
        ("bogus://h", "must be an address that Celery knows"),
        ("redis:h", "must be an address that Celery knows"),
        ('"redis://h/0"', "is in quotes; remove them"),
        ("'redis://h/0'", "is in quotes; remove them"),
        (" redis://h/0", "space"),
        ("redis://h/0\n", "space"),
    ],
)
def test_what_would_mean_two_things_is_refused_with_the_remedy(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        checked_broker_url(url)


@pytest.mark.parametrize("url", ['"postgresql://h/d"', "'sqlite:///x.db'", "postgresql://h/d "])
def test_a_databases_address_in_quotes_is_refused_as_such(url: str) -> None:
    with pytest.raises(ValueError, match=r"remove (them|it)"):
        checked_database_url(url)


def test_sentinels_share_the_masters_user_and_database() -> None:
    """Celery takes them from whichever sentinel it asks."""
    url = "sentinel://:p%40@[::1]:1;sentinel://b/2?master_name=m&sentinel_password=s"
    broker = Broker.at(url)
    assert broker.celery_url == "sentinel://:p%40@[::1]:1/2;sentinel://:p%40@b:26379/2"
    assert broker.options["master_name"] == "m"
    assert broker.options["sentinel_kwargs"].items() >= {"password": "s", "socket_timeout": 1.0}.items()
    assert broker.server is not None
    assert broker.server.sentinels == (("::1", 1), ("b", 26379))
    assert "p@" not in repr(broker)


@pytest.mark.parametrize(
    ("query", "tls"),
    [
        ("", {"ssl_cert_reqs": "required", "ssl_check_hostname": True}),
        ("&ssl_ca_certs=/ca", {"ssl_cert_reqs": "required", "ssl_check_hostname": True, "ssl_ca_certs": "/ca"}),
        ("&ssl_check_hostname=false", {"ssl_cert_reqs": "required", "ssl_check_hostname": False}),
        ("&ssl_cert_reqs=CERT_NONE", {"ssl_cert_reqs": "none", "ssl_check_hostname": False}),
    ],
)
def test_sentinels_and_their_master_are_verified_by_both_libraries(query: str, tls: dict[str, Any]) -> None:
    broker = Broker.at(f"sentinels://a;sentinels://b:7/2?master_name=m{query}")
    assert broker.celery_url == "sentinel://a:26379/2;sentinel://b:7/2"
    assert broker.tls == tls
    assert broker.options["sentinel_kwargs"].items() >= {"ssl": True, **tls}.items()
    assert broker.server is not None
    with broker.server.client(1) as client:
        pool: Any = client.connection_pool
        assert pool.connection_class is redis.sentinel.SentinelManagedSSLConnection
        assert pool.connection_kwargs.items() >= tls.items()
        for sentinel in pool.sentinel_manager.sentinels:
            assert sentinel.connection_pool.connection_class is redis.SSLConnection
            assert sentinel.connection_pool.connection_kwargs.items() >= tls.items()


@pytest.mark.parametrize(
    ("url", "tls"),
    [
        ("amqp://h//", False),
        ("amqps://h//", {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "h"}),
        ("amqps://h//?ssl_cert_reqs=CERT_NONE", {"cert_reqs": ssl.CERT_NONE}),
        (
            "amqps://h//?ssl_ca_certs=/ca",
            {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "h", "ca_certs": "/ca"},
        ),
        # kombu itself would look for the name 127.0.0.1
        ("amqps://localhost//", {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "localhost"}),
        ("amqps://a//;amqps://b//?ssl_check_hostname=false", {"cert_reqs": ssl.CERT_REQUIRED}),
        ("amqps://a//;amqps://b//?ssl_cert_reqs=none", {"cert_reqs": ssl.CERT_NONE}),
    ],
)
def test_rabbitmq_is_verified_too(url: str, tls: object) -> None:
    assert Broker.at(url).tls == tls


OTHERS = {
    "CELERY_BROKER_URL": "redis://elsewhere:1/9",
    "CELERY_BROKER_READ_URL": "redis://elsewhere:1/8",
    "CELERY_BROKER_WRITE_URL": "redis://elsewhere:1/7",
    "CELERY_RESULT_BACKEND": "redis://elsewhere:1/6",
    "CELERY_LOADER": "elsewhere.loader:Loader",
    "CELERY_CONFIG_MODULE": "elsewhere.config",
    "CELERY_CUSTOM_WORKER_POOL": "elsewhere.pool:Pool",
    "DJANGO_SETTINGS_MODULE": "elsewhere.settings",
}


@pytest.mark.parametrize("name", [*OTHERS, "all of them"])
def test_variables_of_a_hosts_own_celery_change_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for each, value in OTHERS.items():
        if name in {each, "all of them"}:
            monkeypatch.setenv(each, value)
    publisher = Publisher("redis://ours:7/3", jobs.Queues("tests"))
    monkeypatch.setattr(worker_app, "_named", ["redis://ours:7/3"])
    for app in (publisher._app, worker_app.app):
        for connection in (app.connection_for_read(), app.connection_for_write(), app.connection()):
            assert (connection.hostname, connection.port, connection.virtual_host) == ("ours", 7, "3")
        assert "elsewhere" not in f"{app.loader} {app.backend}"
    publisher.close()


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("redis://h", ("socket_timeout", "socket_connect_timeout")),
        ("sentinel://h?master_name=m", ("socket_timeout", "socket_connect_timeout")),
        ("sentinels://h?master_name=m", ("socket_timeout", "socket_connect_timeout")),
        ("amqp://h//", ("read_timeout", "write_timeout")),
        ("amqps://h//", ("read_timeout", "write_timeout")),
    ],
)
def test_a_publish_is_bounded_whatever_the_broker(url: str, names: tuple[str, ...]) -> None:
    """A server that takes nothing must not keep the scheduler from its next pass."""
    publisher = Publisher(url, jobs.Queues("tests"))
    options = publisher._app.connection_for_write().transport_options
    assert [options[name] for name in names] == [PUBLISH_SECONDS] * 2
    publisher.close()


def test_queues_carry_the_installation() -> None:
    """A named one takes wishes on a queue of its own; the others on the public one."""
    assert jobs.Queues("a").taken(["geelark", "docflow"]) == [
        "redrive.a.docflow",
        "redrive.a.geelark",
        "redrive.requests",
    ]
    assert jobs.Queues("b", public=False).taken(["geelark"]) == ["redrive.b.geelark", "redrive.b.requests"]


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (redis.exceptions.ReadOnlyError("You can't write"), "READONLY"),
        (redis.exceptions.OutOfMemoryError("command not allowed"), "OOM"),
        (redis.exceptions.NoPermissionError("no"), "NOPERM"),
        (redis.exceptions.ResponseError("WRONGTYPE Operation against"), "WRONGTYPE"),
        (redis.exceptions.ResponseError("MISCONF Redis is configured"), "MISCONF"),
        (redis.exceptions.ConnectionError("gone"), ""),
        (OSError("SECRET of a word"), ""),
        (ValueError("OOM of somebody else"), ""),
    ],
)
def test_a_refusal_is_named_by_its_class(error: Exception, word: str) -> None:
    """Whatever has wrapped it."""
    assert refusal(error) == word
    outer = RuntimeError("wrapped")
    outer.__cause__ = error
    assert refusal(outer) == word
