"""How each provider wants its requests signed. Every scheme is a pure function of secrets, request and moment."""

import hmac
from collections.abc import Callable, Generator, Mapping
from datetime import datetime
from hashlib import sha256
from operator import itemgetter
from urllib.parse import parse_qsl, quote, unquote

import httpx

from redrive.models.outcome import Unknown

from .base import Exchange


class HeaderAuth(httpx.Auth):
    """Adds headers that are worked out for each request when it leaves, never earlier: signatures age."""

    requires_request_body = True

    def __init__(self, headers: Callable[[httpx.Request], Mapping[str, str]]) -> None:
        self._headers = headers

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign and send, once."""
        request.headers.update(self._headers(request))
        yield request


class WithoutLogin:
    """The part of a provider whose credentials sign every request by themselves."""

    def login(self) -> None:
        """There is nothing to fetch before a call."""

    def token(self, exchange: Exchange) -> Unknown:
        """Never asked for, as there is no login; whatever came, it is not a token."""
        return Unknown(message=exchange.error)


def geelark_headers(app_id: str, api_key: str, *, trace_id: str, at: datetime) -> dict[str, str]:
    """GeeLark's key verification; the body is not signed (Request Instructions)."""
    ts, nonce = str(round(at.timestamp() * 1000)), trace_id[:6]
    sign = sha256(f"{app_id}{trace_id}{ts}{nonce}{api_key}".encode()).hexdigest().upper()
    return {"appId": app_id, "traceId": trace_id, "ts": ts, "nonce": nonce, "sign": sign}


def huawei_headers(
    request: httpx.Request,
    access_key: str,
    secret_key: str,
    *,
    project_id: str,
    security_token: str | None,
    at: datetime,
) -> dict[str, str]:
    """Huawei Cloud's SDK-HMAC-SHA256 (API Request Signing Guide). Signs nothing a proxy on the way may change.

    By the guide's questions and answers, five wrong signatures in a row lock the key for five minutes.
    """
    added = {"X-Project-Id": project_id, "X-Sdk-Date": at.strftime("%Y%m%dT%H%M%SZ")}
    if security_token:
        added["X-Security-Token"] = security_token
    signed = {name.lower(): value for name, value in added.items()}
    signed |= {name: request.headers[name] for name in ("content-type", "host") if name in request.headers}
    names = ";".join(sorted(signed))
    scheme = "SDK-HMAC-SHA256"
    canonical = sha256(_huawei_canonical(request, signed, names).encode()).hexdigest()
    signature = _hmac(secret_key.encode(), f"{scheme}\n{added['X-Sdk-Date']}\n{canonical}").hex()
    return added | {"Authorization": f"{scheme} Access={access_key}, SignedHeaders={names}, Signature={signature}"}


def _huawei_canonical(request: httpx.Request, signed: Mapping[str, str], names: str) -> str:
    path = quote(unquote(_raw_path(request)), safe="/~")
    path = path if path.endswith("/") else f"{path}/"
    pairs = sorted(parse_qsl(request.url.query.decode(), keep_blank_values=True))
    query = "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in pairs)
    headers = "".join(f"{name}:{signed[name].strip()}\n" for name in sorted(signed))
    return "\n".join(
        (
            request.method,
            path if path.endswith("/") else f"{path}/",
            query,
            headers,
            names,
            sha256(request.content).hexdigest(),
        )
    )


def docflow_headers(request: httpx.Request, app_id: str, secret_code: str, *, at: datetime) -> dict[str, str]:
    """DocFlow's signature authentication (Access Credentials); values of parameters are signed unencoded."""
    epoch = str(int(at.timestamp()))
    query = "&".join(f"{name}={value}" for name, value in sorted(request.url.params.multi_items(), key=itemgetter(0)))
    body = sha256(request.content).hexdigest()
    key = _hmac(secret_code.encode(), epoch)
    signature = _hmac(key, f"{request.method}\n{_raw_path(request)}\n{query}\n{body}").hex()
    return {"x-ti-app-id": app_id, "x-ti-timestamp": epoch, "x-ti-signature": signature}


def _raw_path(request: httpx.Request) -> str:
    return request.url.raw_path.partition(b"?")[0].decode()


def _hmac(key: bytes, message: str) -> bytes:
    return hmac.digest(key, message.encode(), sha256)
