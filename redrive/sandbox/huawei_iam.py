"""Huawei IAM: who is calling, and the password login that yields tokens of 24 hours."""

import secrets
import time
from typing import Any, Final

from . import huawei_signatures as signatures
from .config import HuaweiLogin
from .exchange import Refusal, Reply, ServedCall

LOGIN = "/v3/auth/tokens"
TOKEN_SECONDS = 24 * 3600
SKEW_SECONDS = 15 * 60

DOC_LOGIN = "Huawei IAM: Obtaining a User Token Through Password Authentication"
DOC_GATEWAY = "Huawei API Gateway: Error Codes"
DOC_SIGNING = "Huawei API Request Signing Guide"

WHO = "Incorrect IAM authentication information"


def gateway_error(doc: str, status: int, code: str, message: str) -> Reply:
    """An error in the format that the gateway and Workspace share."""
    return Reply(doc, {"error_code": code, "error_msg": message}, status)


class Iam:
    """One user, one project, and the tokens issued since the start."""

    def __init__(self, login: HuaweiLogin) -> None:
        self._login = login
        self._tokens: dict[str, float] = {}

    def login(self, call: ServedCall) -> Reply:
        """The token comes in the header X-Subject-Token."""
        match call.json_object():
            case {"auth": {"identity": {"methods": ["password"], "password": {"user": user}}, "scope": scope}}:
                self._check(user, scope)
            case _:
                raise _login_refusal(400, "Bad Request", "The request body is invalid.")
        token = f"MII{secrets.token_urlsafe(384)}"
        self._tokens[token] = call.now + TOKEN_SECONDS
        stamps = {"issued_at": _stamp(call.now), "expires_at": _stamp(call.now + TOKEN_SECONDS)}
        body = {"token": {"methods": ["password"], "project": {"id": self._login.project_id}, **stamps}}
        return Reply(DOC_LOGIN, body, 201, {"X-Subject-Token": token})

    def _check(self, user: Any, scope: Any) -> None:  # noqa: ANN401 - JSON from outside
        right = {"name": self._login.iam_user, "password": self._login.iam_password}
        if user != {**right, "domain": {"name": self._login.iam_domain}}:
            raise _login_refusal(401, "Unauthorized", "The username or password is wrong.")
        match scope:
            case {"project": {"id": self._login.project_id}} | {"project": {"name": str()}}:
                return
            case _:
                raise _login_refusal(401, "Unauthorized", "The request you have made requires authentication.")

    def authenticate(self, call: ServedCall) -> None:
        """A token where one is sent, else a signature.

        Raises:
            Refusal: 401, in the gateway's words.
        """
        token = call.headers.get("X-Auth-Token")
        if token is None:
            self._verify(call)
        elif token != self._login.auth_token:
            self._check_issued(token, call.now)

    def _check_issued(self, token: str, now: float) -> None:
        expires_at = self._tokens.get(token)
        if expires_at is None:
            raise _refusal("APIGW.0301", f"{WHO}: decrypt token fail")
        if now >= expires_at:
            raise _refusal("APIGW.0307", "The token must be updated")

    def _verify(self, call: ServedCall) -> None:
        given = signatures.Signature.read(call.headers.get("Authorization", ""))
        if given is None:
            raise _refusal("APIGW.0301", f"{WHO}: x-auth-token not found")
        if given.access_key != self._login.access_key:
            raise _refusal("APIGW.0301", f"{WHO}: AK does not exist", DOC_SIGNING)
        if call.headers.get("X-Security-Token", "") != self._login.security_token:
            raise _refusal("APIGW.0301", f"{WHO}: the security token is wrong", DOC_SIGNING)
        self._verify_date(call, given)
        if given.value != self._signature(call, given):
            raise _refusal("APIGW.0301", f"{WHO}: verify aksk signature fail", DOC_SIGNING)

    def _verify_date(self, call: ServedCall, given: signatures.Signature) -> None:
        if not REQUIRED.issubset(given.signed_headers):
            raise _refusal("APIGW.0301", f"{WHO}: host and x-sdk-date must be signed", DOC_SIGNING)
        at = signatures.signed_at(call.headers.get(signatures.DATE_HEADER, ""))
        if at is None or abs(call.now - at) > SKEW_SECONDS:
            raise _refusal(
                "APIGW.0303", "Incorrect app authentication information: the signature has expired", DOC_SIGNING
            )

    def _signature(self, call: ServedCall, given: signatures.Signature) -> str:
        return signatures.sign(
            self._login.secret_key,
            method=call.method,
            raw_path=call.raw_path,
            query=call.query,
            headers=call.headers,
            names=given.signed_headers,
            body=call.body,
        )


REQUIRED: Final = frozenset({"host", signatures.DATE_HEADER})


def _stamp(moment: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(moment))


def _refusal(code: str, message: str, doc: str = DOC_GATEWAY) -> Refusal:
    return Refusal(gateway_error(doc, 401, code, message))


def _login_refusal(status: int, title: str, message: str) -> Refusal:
    error = {"code": status, "title": title, "message": message}
    return Refusal(Reply(DOC_LOGIN, {"error": error}, status))
