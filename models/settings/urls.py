"""Addresses: what may stand in them, and how they are shown."""

import re
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from ..broker import ADDRESSES, Broker

_QUOTES = ("'", '"', "\u201c", "\u201d", "`")
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?|[0-9a-f:.]*:[0-9a-f:.]*")
_POSTGRESQL = ("postgresql+psycopg://", "postgresql://", "postgres://")
_DATABASES = "use postgresql+psycopg://USER:PASSWORD@HOST/NAME or sqlite:///PATH"
_ESCAPED = "with special characters of a password as %XX"


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, reachable from nowhere else."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def api_url(text: object, *, allow_http: bool) -> str:
    """A provider's address, in one spelling: lower-case host, no default port, no slash at the end.

    Raises:
        ValueError: it is no such address, or would send secrets over the network in clear text.
    """
    parts = _split(text)
    if parts.scheme == "http" and not (allow_http or is_loopback(parts.hostname or "")):
        raise ValueError("http:// would send secrets in clear text; use https://, or set allow_http = true")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    port = "" if parts.port in {None, default} else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"


def _split(text: object) -> SplitResult:
    try:
        parts = urlsplit(text if isinstance(text, str) and text.isprintable() and " " not in text else "")
        known = parts.scheme in {"http", "https"} and parts.port != 0 and _HOST.fullmatch(parts.hostname or "")
    except ValueError:
        known = None
    if not known:
        raise ValueError("must be an address such as https://api.example.com")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be a plain address, without a user, a query or a fragment")
    return parts


def host_and_port(text: str) -> tuple[str, int]:
    """The two halves of ``127.0.0.1:5555`` or ``[::1]:5555``.

    Raises:
        ValueError: it is something else.
    """
    host, _, port = text.rpartition(":")
    bare = host.lower().removeprefix("[").removesuffix("]")
    whole = f"[{bare}]" if ":" in bare else bare
    if whole == host.lower() and _HOST.fullmatch(bare) and re.fullmatch(r"[0-9]{1,5}", port) and 0 < int(port) < 2**16:
        return bare, int(port)
    raise ValueError('must be "HOST:PORT", such as "127.0.0.1:5555"')


def checked_database_url(text: str) -> str:
    """A database's address, naming the driver that is installed with Redrive.

    Raises:
        ValueError: it is neither PostgreSQL nor an SQLite file.
    """
    _without_wrapping(text)
    scheme = next((name for name in _POSTGRESQL if text.startswith(name)), None)
    url = _POSTGRESQL[0] + text.removeprefix(scheme) if scheme else text
    if not url.startswith((_POSTGRESQL[0], "sqlite:///")):
        raise ValueError(f"must be PostgreSQL or SQLite; {_DATABASES}")
    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        parts = None
    if parts is None or "@" in (parts.host or ""):  # the host has what an unescaped @ left of a password
        raise ValueError(f"cannot be read; {_DATABASES}, {_ESCAPED}")
    database = parts.database
    if not scheme and (not database or ":memory:" in database or "mode=memory" in url):
        raise ValueError("a database in memory cannot be shared between processes; use sqlite:///PATH")
    return url


def checked_broker_url(text: str) -> str:
    """A broker's address, understood by every library that connects to it.

    Raises:
        ValueError: it is not one, or would mean different things to different libraries.
    """
    _without_wrapping(text)
    Broker.at(text)
    return text


def _without_wrapping(text: str) -> None:
    """Say what an ``.env`` file or a copy left around the address.

    Raises:
        ValueError: there are quotes or blanks.
    """
    if text[:1] in _QUOTES or text[-1:] in _QUOTES:
        raise ValueError("is in quotes; take them off")
    if text != text.strip():
        raise ValueError("begins or ends with a blank; take it off")


def hide_password(url: str) -> str:
    """The address fit for printing: every password in it is ``***``.

    Hides too much rather than too little: an unescaped ``@`` in a password takes what stands before it along.
    Several addresses (``sentinel://…;sentinel://…``) are taken one by one.
    """
    return ";".join(map(_hide_one, ADDRESSES.split(url)))


def _hide_one(url: str) -> str:
    shown = re.sub(r"(://[^:@/?#]*):.*@", r"\1:***@", url, flags=re.DOTALL)
    return re.sub(r"([?&][^=&]*(?:pass|pwd|secret|token|key)[^=&]*)=[^&]*", r"\1=***", shown, flags=re.IGNORECASE)
