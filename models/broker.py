"""The broker's address, read once, and translated for each library.

kombu carries the jobs, redis-py the wake-ups. An address means the same to both, or is refused with the remedy.
"""

import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

if TYPE_CHECKING:
    import redis

ADDRESSES = re.compile(r";(?=[A-Za-z][A-Za-z0-9+.-]*://)")
"""Between several addresses of one broker."""

REDIS_PORT, SENTINEL_PORT = 6379, 26379

_TCP = {"redis": False, "valkey": False, "rediss": True, "valkeys": True}
"""Schemes of a server reached by TCP → whether by TLS."""
_SOCKETS = frozenset({"unix", "redis+socket", "valkey+socket"})
_SENTINELS = {"sentinel": False, "sentinels": True}
_AMQP = {"amqp": False, "pyamqp": False, "amqps": True}
_OTHERS = frozenset((
    "azureservicebus", "azurestoragequeues", "confluentkafka", "consul", "etcd", "filesystem", "gcpubsub", "kafka",
    "librabbitmq", "memory", "mongodb", "pgmq", "pyro", "qpid", "slmq", "sqla", "sqlalchemy", "sqs", "zookeeper",
))  # fmt: skip
"""Celery knows them, and Redrive nothing of them: the address goes to Celery as it is."""

_DATABASE = ("db", "virtual_host")
_TLS = ("ssl_cert_reqs", "ssl_check_hostname", "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile")
_AMQP_NAMES = {"ssl_ca_certs": "ca_certs", "ssl_certfile": "certfile", "ssl_keyfile": "keyfile"}
_OF_SENTINEL = ("master_name", "sentinel_username", "sentinel_password")
_SENTINEL_SECONDS = 1.0
"""What a sentinel's answer may take; then the next one is asked."""
_VERIFY = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}
_SWITCH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}

_EXAMPLES = "redis://HOST:6379/0, redis+socket:///PATH, amqp://USER:PASSWORD@HOST//"


def _bounds(seconds: float) -> dict[str, Any]:
    """What an answer may take, for redis-py. Its own retries would multiply it, by eleven as it comes."""
    from redis.backoff import NoBackoff  # noqa: PLC0415 - most commands read settings and never connect
    from redis.retry import Retry  # noqa: PLC0415 - as above

    return {"socket_timeout": seconds, "retry": Retry(NoBackoff(), 0)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A Redis or Valkey server as redis-py connects to it.

    Attributes:
        where: host and port, or the path of a socket, as redis-py names them.
        access: database, user and password.
        tls: how the server is verified; empty: no TLS.
        sentinels: those that know where the server is.
        master: its name among them.
    """

    where: Mapping[str, Any] = field(default_factory=dict)
    access: Mapping[str, Any] = field(default_factory=dict, repr=False)
    tls: Mapping[str, Any] = field(default_factory=dict)
    sentinels: tuple[tuple[str, int], ...] = ()
    master: str = ""
    sentinel_access: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def client(self, seconds: float) -> "redis.Redis":
        """A client that connects at its first command. Connecting and each answer take ``seconds`` at most."""
        import redis  # noqa: PLC0415 - most commands read settings and never connect
        from redis.sentinel import Sentinel  # noqa: PLC0415 - as above

        bounds = _bounds(seconds)
        if "unix_socket_path" not in self.where:
            bounds |= {"socket_connect_timeout": seconds, "socket_keepalive": True}
        if self.sentinels:
            asked = Sentinel(  # type: ignore[no-untyped-call]
                self.sentinels, sentinel_kwargs={**bounds, **self.tls, **self.sentinel_access}, **self.tls, **bounds
            )
            found: redis.Redis = asked.master_for(self.master, **self.access)  # type: ignore[no-untyped-call]
            return found
        return redis.Redis(**self.where, **self.access, **self.tls, **bounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """A broker as each library understands it.

    Attributes:
        celery_url: for Celery; it holds the password.
        tls: Celery's ``broker_use_ssl``.
        options: transport options that only this address needs.
        server: for redis-py; None where the broker is not Redis or Valkey.
    """

    celery_url: str = field(repr=False)
    tls: Mapping[str, Any] | bool = False
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    server: Server | None = None

    @classmethod
    def at(cls, url: str) -> Self:
        """The broker at an address.

        Raises:
            ValueError: it cannot be understood, or would mean different things to different libraries.
        """
        scheme = url.partition("://")[0].lower()
        urls = ADDRESSES.split(url)
        if not all(map(_is_whole, urls)):
            raise ValueError("cannot be read; write it with special characters of a password as %XX")
        if any(each.partition("://")[0].lower() != scheme for each in urls):
            raise ValueError("has addresses of different kinds; write the same scheme before each")
        for schemes, read in _READERS:
            if scheme in schemes:
                return cls(**read(scheme, [_Address.of(each) for each in urls]))
        if scheme.partition("+")[0] in _OTHERS:
            return cls(celery_url=url)
        raise ValueError(f"must be an address that Celery knows, such as {_EXAMPLES}")


def _is_whole(url: str) -> bool:
    """Whether the password ends where its writer meant it to: an unescaped /, ? or # in it begins the path."""
    try:
        return "@" in urlsplit(url).netloc or "@" not in url
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class _Address:
    parts: SplitResult
    query: dict[str, str]

    @classmethod
    def of(cls, url: str) -> Self:
        try:
            parts = urlsplit(url)
            _ = parts.port  # raises when it is not one
            query = parse_qsl(parts.query, keep_blank_values=True)
        except ValueError:
            raise ValueError("has a port that is not a number from 1 to 65535; correct it") from None
        if parts.fragment:
            raise ValueError("has a part behind #, which nobody reads; remove it")
        if re.search(r"[\s,]", parts.netloc.rpartition("@")[2]):
            raise ValueError("has a host with a space or a comma in it; name one server, or use sentinel://")
        if parts.port == 0:
            raise ValueError("has port 0; write the port on which the broker listens")
        if len(dict(query)) < len(query):
            raise ValueError("names an option twice; keep one of the two")
        return cls(parts, dict(query))

    @property
    def host(self) -> str:
        return unquote(self.parts.hostname or "") or "127.0.0.1"

    def access(self) -> dict[str, Any]:
        user, password = (unquote(each or "") or None for each in (self.parts.username, self.parts.password))
        return {"username": user, "password": password}

    def user_info(self) -> str:
        user, password = (quote(unquote(each or ""), safe="") for each in (self.parts.username, self.parts.password))
        return f"{user}:{password}@" if password else f"{user}@" if user else ""

    @classmethod
    def options_of(cls, addresses: list[Self]) -> Self:
        """The first address with the options of all: they belong to the broker, so they stand once."""
        query: dict[str, str] = {}
        for name, value in (item for each in addresses for item in each.query.items()):
            if query.setdefault(name, value) != value:
                raise ValueError(f"names two values of {name}; keep one of the two")
        return cls(addresses[0].parts, query)

    def without(self, names: tuple[str, ...]) -> Self:
        """The same without some options."""
        return replace(self, query={name: value for name, value in self.query.items() if name not in names})

    def only(self, known: tuple[str, ...], hint: str = "") -> None:
        """Refuse options that one of the libraries would not see."""
        for name in self.query:
            if name not in known:
                shown = name if re.fullmatch(r"[a-z_]{1,40}", name) else "one of its options"
                what = f"; known here: {', '.join(known)}" if known else "; leave it out"
                raise ValueError(f"{shown} is not an option of this address{hint}{what}")

    def database(self) -> int:
        """The number of the database, by path or option."""
        path = "" if self.parts.scheme in _SOCKETS else self.parts.path.strip("/")
        given = {self.query[name] for name in _DATABASE if name in self.query} | ({path} if path else set())
        if len(given) > 1:
            raise ValueError("names two databases; keep one of the two")
        number = given.pop() if given else "0"
        if not re.fullmatch(r"[0-9]{1,5}", number):
            raise ValueError("names a database that is not a number; write redis://HOST:6379/0")
        return int(number)

    def verification(self) -> dict[str, Any]:
        """How the server's certificate is checked: always, unless the address says otherwise."""
        asked = self.query.get("ssl_cert_reqs", "required").lower().removeprefix("cert_")
        host = self.query.get("ssl_check_hostname", "true").lower()
        if asked not in _VERIFY or host not in _SWITCH:
            words = f"ssl_cert_reqs is one of {', '.join(_VERIFY)}, ssl_check_hostname is true or false"
            raise ValueError(f"has an option with a value that it cannot have; {words}")
        files = {name: self.query[name] for name in _TLS[2:] if name in self.query}
        return {"ssl_cert_reqs": asked, "ssl_check_hostname": _SWITCH[host] and asked != "none", **files}


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _single(addresses: list[_Address]) -> _Address:
    if len(addresses) > 1:
        raise ValueError("names several servers; keep one, or use sentinel://")
    return addresses[0]


def _tcp(scheme: str, addresses: list[_Address]) -> dict[str, Any]:
    address, by_tls = _single(addresses), _TCP[scheme]
    address.only((*_DATABASE, *_TLS) if by_tls else _DATABASE, "" if by_tls else " (ssl_… needs rediss://)")
    tls = address.verification() if by_tls else {}
    host, port, database = address.host, address.parts.port or REDIS_PORT, address.database()
    return {
        "celery_url": f"{'rediss' if by_tls else 'redis'}://{address.user_info()}{_bracketed(host)}:{port}/{database}",
        "tls": tls or False,
        "server": Server(
            where={"host": host, "port": port},
            access={"db": database, **address.access()},
            tls={"ssl": True, **tls} if by_tls else {},
        ),
    }


def _socket(_scheme: str, addresses: list[_Address]) -> dict[str, Any]:
    address = _single(addresses)
    address.only(_DATABASE)
    path = unquote(address.parts.path)
    if address.parts.hostname or not path.strip("/"):
        raise ValueError("must name the socket by its whole path, such as redis+socket:///run/valkey.sock")
    database = address.database()
    return {
        "celery_url": f"redis+socket://{address.user_info()}{quote(path)}?virtual_host={database}",
        "server": Server(where={"unix_socket_path": path}, access={"db": database, **address.access()}),
    }


def _sentinel(scheme: str, addresses: list[_Address]) -> dict[str, Any]:
    by_tls = _SENTINELS[scheme]
    for address in addresses:
        known = (*_OF_SENTINEL, *_DATABASE, *_TLS) if by_tls else (*_OF_SENTINEL, *_DATABASE)
        address.only(known, "" if by_tls else " (ssl_… needs sentinels://)")
    options = _Address.options_of([each.without(_DATABASE) for each in addresses])
    if not (master := options.query.get("master_name")):
        raise ValueError("must name the master; add ?master_name=NAME, as the sentinels know it")
    databases = {address.database() for address in addresses} - {0} or {0}
    users = {address.user_info() for address in addresses} - {""} or {""}
    if len(databases) > 1 or len(users) > 1:
        raise ValueError("names two databases or two users; write them once, they are those of the master")
    with_user = next((address for address in addresses if address.user_info()), addresses[0])
    database, user = databases.pop(), users.pop()
    sentinels = tuple((address.host, address.parts.port or SENTINEL_PORT) for address in addresses)
    own = {name.removeprefix("sentinel_"): options.query[name] for name in _OF_SENTINEL[1:] if name in options.query}
    tls = options.verification() if by_tls else {}
    by_redis_py = {"ssl": True, **tls} if by_tls else {}
    return {
        "celery_url": ";".join(f"sentinel://{user}{_bracketed(host)}:{port}/{database}" for host, port in sentinels),
        "tls": tls or False,
        "options": {"master_name": master, "sentinel_kwargs": {**own, **by_redis_py, **_bounds(_SENTINEL_SECONDS)}},
        "server": Server(
            access={"db": database, **with_user.access()},
            tls=by_redis_py,
            sentinels=sentinels,
            master=master,
            sentinel_access=own,
        ),
    }


def _amqp(scheme: str, addresses: list[_Address]) -> dict[str, Any]:
    by_tls = _AMQP[scheme]
    for address in addresses:
        address.only(
            ("ssl_cert_reqs", "ssl_check_hostname", *_AMQP_NAMES) if by_tls else (),
            "" if by_tls else " (ssl_… needs amqps://)",
        )
    url = ";".join(each.parts._replace(query="").geturl() for each in addresses)
    if not by_tls:
        return {"celery_url": url}
    asked = _Address.options_of(addresses).verification()
    tls = {_AMQP_NAMES[name]: value for name, value in asked.items() if name in _AMQP_NAMES}
    tls["cert_reqs"] = _VERIFY[asked["ssl_cert_reqs"]]
    if asked["ssl_check_hostname"]:
        if len(addresses) > 1:  # kombu checks all certificates for one name
            raise ValueError(
                "names several servers, whose names Celery cannot check; name one, or ssl_check_hostname=false"
            )
        tls["server_hostname"] = addresses[0].host
    return {"celery_url": url, "tls": tls}


_Reader = Callable[[str, list[_Address]], dict[str, Any]]
_READERS: tuple[tuple[Mapping[str, bool] | frozenset[str], _Reader], ...] = (
    (_TCP, _tcp),
    (_SOCKETS, _socket),
    (_SENTINELS, _sentinel),
    (_AMQP, _amqp),
)

_REFUSAL = re.compile(r"[A-Z]{2,20}(?= )")
_CLASSES = {
    "ReadOnlyError": "READONLY", "OutOfMemoryError": "OOM", "NoPermissionError": "NOPERM", "NoScriptError": "NOSCRIPT",
    "AuthenticationError": "WRONGPASS", "AuthorizationError": "NOAUTH", "ClusterCrossSlotError": "CROSSSLOT",
    "MovedError": "MOVED", "AskError": "ASK", "BusyLoadingError": "LOADING", "ClusterDownError": "CLUSTERDOWN",
    "MasterDownError": "MASTERDOWN", "AuthenticationWrongNumberOfArgsError": "NOAUTH",
}  # fmt: skip
"""What redis-py makes of a refusal, whose first word it drops."""


def refusal(error: BaseException | None) -> str:
    """The class of a server's refusal, such as READONLY or OOM; '' where none answered. It never holds a secret."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        for kind in type(error).__mro__:
            if kind.__name__ in _CLASSES:
                return _CLASSES[kind.__name__]
        if type(error).__name__ == "ResponseError" and (found := _REFUSAL.match(str(error))):
            return "NOPERM" if found[0] == "ACL" else found[0]  # of a script: "ACL failure"
        error = error.__cause__ or error.__context__
    return ""
