"""Huawei's SDK-HMAC-SHA256 request signature, from the verifier's side."""

import calendar
import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl, quote, unquote

ALGORITHM = "SDK-HMAC-SHA256"
DATE_HEADER = "x-sdk-date"
DATE_FORMAT = "%Y%m%dT%H%M%SZ"

_HEADER = re.compile(rf"{ALGORITHM} Access=(?P<access>[^,]+), ?SignedHeaders=(?P<names>[^,]+), ?Signature=(?P<hex>\w+)")


@dataclass(frozen=True, slots=True)
class Signature:
    """An ``Authorization`` header taken apart."""

    access_key: str
    signed_headers: tuple[str, ...]
    value: str

    @classmethod
    def read(cls, authorization: str) -> Self | None:
        """The header's parts, or None when it is not of this scheme."""
        found = _HEADER.fullmatch(authorization)
        return cls(found["access"], tuple(found["names"].split(";")), found["hex"]) if found else None


def sign(
    secret_key: str,
    *,
    method: str,
    raw_path: str,
    query: str,
    headers: Mapping[str, str],
    names: tuple[str, ...],
    body: bytes,
) -> str:
    """The signature a request must carry; ``headers`` is case-insensitive, ``names`` are the signed ones."""
    lines = [f"{name}:{headers.get(name, '').strip()}" for name in names]
    canonical = "\n".join(
        [method, _path(raw_path), _query(query), *lines, "", ";".join(names), hashlib.sha256(body).hexdigest()]
    )
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    text = f"{ALGORITHM}\n{headers.get(DATE_HEADER, '')}\n{hashed}"
    return hmac.new(secret_key.encode(), text.encode(), hashlib.sha256).hexdigest()


def signed_at(date: str) -> float | None:
    """The moment in an X-Sdk-Date, in seconds since the epoch; None when it is not one."""
    try:
        return calendar.timegm(time.strptime(date, DATE_FORMAT))
    except ValueError:
        return None


def _path(raw_path: str) -> str:
    """Each segment encoded, and always a slash at the end, which the request itself does not have."""
    encoded = quote(unquote(raw_path), safe="/~")
    return encoded if encoded.endswith("/") else f"{encoded}/"


def _query(query: str) -> str:
    pairs = sorted(parse_qsl(query, keep_blank_values=True))
    return "&".join(f"{quote(key, safe='~')}={quote(value, safe='~')}" for key, value in pairs)
