"""How an account's calls leave this machine: through which proxy, and whose certificates are trusted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from .findings import Findings
from .secrets import Reference, reference
from .urls import api_url

_PROXY = 'must be an address such as "http://proxy.example.com:3128"'


_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY")


def unread_proxies(environ: Mapping[str, str]) -> str:
    """What the environment says in vain: "variables: what they do not do; the remedy"; '' where it says nothing."""
    found = [name for each in _PROXIES for name in (each, each.lower()) if environ.get(name)]
    words = "calls to the providers ignore it; where they need a proxy, set proxy in [accounts.NAME]"
    return f"{', '.join(found)}: {words}" if found else ""


def read_ca_file(table: Mapping[str, Any], folder: Path, findings: Findings) -> Path | None:
    """The file of further authorities; a relative path starts at the settings file. Only workers need to have it."""
    path = table.get("ca_file")
    if path is None:
        return None
    if isinstance(path, str) and path and path.isprintable():
        return folder / path
    findings.wrong("ca_file", 'must be the path of a PEM file, such as "/etc/redrive/ca.pem"')
    return None


def read_proxy(table: Mapping[str, Any], folder: Path, findings: Findings) -> str | Reference | None:
    """The proxy's address. One with a user and a password is a secret, and kept outside the file as they are."""
    given = table.get("proxy")
    try:
        if isinstance(given, dict):
            return reference(given, folder)
        if given is not None and "@" in checked_proxy(given):
            findings.wrong("proxy", 'holds a password; write { env = "NAME" } or { file = "PATH" } instead')
            return None
    except ValueError as error:
        findings.wrong("proxy", str(error))
        return None
    return given


def checked_proxy(value: object) -> str:
    """The address of a proxy, perhaps with a user and a password.

    Raises:
        ValueError: it is not one. The words do not repeat it.
    """
    if not isinstance(value, str):
        raise ValueError(_PROXY)  # noqa: TRY004 - for people, one kind of mistake
    credentials, at, host = value.rpartition("@")
    scheme = credentials.partition("://")[0]
    try:
        bare = api_url(f"{scheme}://{host}" if at else value, allow_http=True)
    except ValueError:
        raise ValueError(_PROXY) from None
    if urlsplit(bare).path or not (value.isascii() and value.isprintable()):
        raise ValueError(_PROXY)
    return f"{credentials}@{bare.partition('://')[2]}" if at else bare


def passwords_in(url: str) -> list[str]:
    """The password of an address, as it is sent."""
    password = urlsplit(url).password if url else None
    return [unquote(password)] if password else []
