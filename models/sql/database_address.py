"""A database's address in one spelling, understood alike by SQLAlchemy, psycopg and libpq."""

import re
from urllib.parse import unquote

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

SCHEMA = "schema"
"""Our own parameter: where the tables are, if not where the user's ``search_path`` leads."""

_POSTGRESQL = ("postgresql+psycopg://", "postgresql://", "postgres://")
_USE = "use postgresql+psycopg://USER:PASSWORD@HOST/NAME or sqlite:///PATH"
_UNREADABLE = f"cannot be read; {_USE}, with special characters of a password as %XX"
_SEVERAL = "names several hosts in a form that cannot be read; write HOST:PORT,HOST:PORT"

_PARTS = re.compile(r"(?P<scheme>[^:]*://)(?P<user>[^:/]*(:[^@]*)?@)?(?P<hosts>[^/?@]*)(?P<rest>([/?].*)?)", re.DOTALL)
_HOST = re.compile(r"(\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[^:\[\]]*))(:(?P<port>[0-9]*))?")
_OPTION = re.compile(r"(?:^|\s)(?:-c\s*|--)([A-Za-z_][\w.-]*)\s*=")
_FILE_MODES = {"ro", "rw", "rwc"}


def checked(text: str) -> str:
    """The address, naming the driver that is installed with Redrive.

    Raises:
        ValueError: it is neither PostgreSQL nor an SQLite file, or says what cannot be kept.
    """
    scheme = next((name for name in _POSTGRESQL if text.startswith(name)), None)
    if scheme is not None:
        return _checked_postgresql(_POSTGRESQL[0] + text.removeprefix(scheme))
    if not text.startswith("sqlite:///"):
        raise ValueError(f"must be PostgreSQL or SQLite{_instead_of(text)}; {_USE}")
    _check_sqlite(_read(text))
    return text


def _instead_of(text: str) -> str:
    """What it is, as far as that holds no secret."""
    name, separator, _ = text.partition("://")
    return f", not {name}" if separator and re.fullmatch(r"[a-z0-9+]{1,40}", name) else ""


def _read(text: str) -> URL:
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise ValueError(_UNREADABLE) from None
    if "@" in (url.host or ""):  # what an unescaped @ left of a password
        raise ValueError(_UNREADABLE)
    return url


def _checked_postgresql(text: str) -> str:
    text = _with_hosts_as_parameters(text)
    url = _read(text)
    if re.search(rf"[?&]{SCHEMA}=(&|$)", text):
        raise ValueError("schema is empty; name one or remove it")
    for name, value in url.query.items():
        if not isinstance(value, str) and name != "host":
            raise ValueError(f"says {name} twice; keep one of the two")
    _check_ports(url)
    if (schema := url.query.get(SCHEMA)) is not None:
        _check_schema(str(schema))
        if "search_path" in options(url):
            raise ValueError("says schema and, in its options, search_path; keep one of the two")
    return text


def _check_ports(url: URL) -> None:
    """Those before the path, and those among the parameters: one for all hosts, or one for each."""
    given = [] if url.port is None else [str(url.port)]
    given += [each for each in str(url.query.get("port", "")).split(",") if each]
    if not all(re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) < 2**16 for port in given):
        raise ValueError("has a port that is not a number from 1 to 65535; correct it")


def _with_hosts_as_parameters(text: str) -> str:
    """What SQLAlchemy cannot read before the path: ``h1:5432,h2:5432``, and a socket's ``%2Frun%2Fpostgresql``."""
    parts = _PARTS.fullmatch(text)
    if parts is None or not ("," in parts["hosts"] or "%" in parts["hosts"]):
        return text
    found = [_HOST.fullmatch(host) for host in parts["hosts"].split(",")]
    hosts = [host for host in found if host is not None]
    if len(hosts) < len(found):
        raise ValueError(_SEVERAL)
    url = _read(parts["scheme"] + (parts["user"] or "") + parts["rest"])
    if "host" in url.query or "port" in url.query:
        raise ValueError("says its hosts twice; keep those before the path or the parameters")
    query = {"host": ",".join(unquote(host["v6"] or host["name"]) for host in hosts)}
    if any(host["port"] for host in hosts):
        query["port"] = ",".join(host["port"] or "" for host in hosts)
    return url.update_query_dict(query).render_as_string(hide_password=False)


def _check_schema(name: str) -> None:
    if not 1 <= len(name.encode()) <= 63 or not name.isprintable():  # noqa: PLR2004 - PostgreSQL's longest name
        raise ValueError("schema must be a name of 1 to 63 bytes")
    if name.startswith("pg_") or name == "information_schema":
        raise ValueError(f"schema {name} is PostgreSQL's own; name another one")


def _check_sqlite(url: URL) -> None:
    path, query = url.database or "", dict(url.query)
    if not path or ":memory:" in path or query.get("mode") == "memory":
        raise ValueError(f"a database in memory cannot be shared between processes; {_USE}")
    known = {"timeout", "uri", "mode"} if path.startswith("file:") else {"timeout"}
    if unknown := sorted(set(query) - known):
        hint = "; PostgreSQL has schemas, SQLite has files" if SCHEMA in unknown else ""
        raise ValueError(f"an SQLite file is opened without the parameter {unknown[0]}; remove it{hint}")
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", str(query.get("timeout", "0"))):
        raise ValueError("timeout must be a number of seconds")
    if query.get("mode", "rwc") not in _FILE_MODES:
        raise ValueError("mode must be ro, rw or rwc")


def options(url: URL) -> set[str]:
    """The server's settings that the address names in its ``options``."""
    return {name.replace("-", "_").lower() for name in _OPTION.findall(str(url.query.get("options", "")))}


def schema_of(url: URL) -> str | None:
    """The schema it names, or None."""
    value = url.query.get(SCHEMA)
    return value if isinstance(value, str) else None


def for_libpq(url: URL) -> URL:
    """The address without what is ours alone."""
    return url.difference_update_query([SCHEMA])


def several_hosts(url: URL) -> bool:
    """Whether there is more than one server to choose from."""
    hosts = url.query.get("host", "")
    return not isinstance(hosts, str) or "," in hosts
