"""Addresses: what may stand in them, and how they are shown."""

import re
from functools import lru_cache
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from ..broker import ADDRESSES, Broker
from ..sql import database_address

_QUOTES = ("'", '"', "\u201c", "\u201d", "`")
_HOST = re.compile(r"[a-z0-9]([a-z0-9._-]*[a-z0-9])?|[0-9a-f:.]*:[0-9a-f:.]*")


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, reachable from nowhere else."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def api_url(text: object, *, allow_http: bool) -> str:
    """A provider's address, in one spelling: lower-case host, no default port, no slash at the end.

    Raises:
        ValueError: it is not such an address, or would send secrets over the network in clear text.
    """
    return _spelled(text if isinstance(text, str) else "", allow_http)


@lru_cache(maxsize=256)
def _spelled(text: str, allow_http: bool) -> str:  # noqa: FBT001 - of one use, and cached
    """The address: thousands of accounts name the same few."""
    parts = _split(text)
    if parts.scheme == "http" and not (allow_http or is_loopback(parts.hostname or "")):
        raise ValueError("http:// would send secrets in clear text; use https://, or set allow_http = true")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    port = "" if parts.port in {None, default} else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text if text.isprintable() and " " not in text else "")
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
    """A database's address, in one spelling for everything that connects to it.

    Raises:
        ValueError: it is neither PostgreSQL nor an SQLite file, or says what cannot be kept.
    """
    unwrapped(text)
    return database_address.checked(text)


def checked_broker_url(text: str) -> str:
    """A broker's address, understood by every library that connects to it.

    Raises:
        ValueError: it is not one, or would mean different things to different libraries.
    """
    unwrapped(text)
    if text.lower().startswith("memory:"):
        raise ValueError("is a broker that no other process can reach; use one such as redis://HOST:6379/0")
    Broker.at(text)
    return text


def unwrapped(text: str) -> str:
    """What an ``.env`` file or a copy has left nothing around: an address or a path.

    Raises:
        ValueError: there are quotes or spaces.
    """
    if text[:1] in _QUOTES or text[-1:] in _QUOTES:
        raise ValueError("is in quotes; remove them")
    if text != text.strip():
        raise ValueError("begins or ends with a space or line break; remove it")
    return text


def hide_password(url: str) -> str:
    """The address fit for printing: every password in it is ``***``.

    Hides too much rather than too little: an unescaped ``@`` in a password takes what stands before it along.
    Several addresses (``sentinel://…;sentinel://…``) are taken one by one.
    """
    return ";".join(map(_hide_one, ADDRESSES.split(url)))


def _hide_one(url: str) -> str:
    shown = re.sub(r"(://[^:@/?#]*):.*@", r"\1:***@", url, flags=re.DOTALL)
    return re.sub(r"([?&][^=&]*(?:pass|pwd|secret|token|key)[^=&]*)=[^&]*", r"\1=***", shown, flags=re.IGNORECASE)
