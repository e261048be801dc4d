"""Huawei Cloud's login: an IAM user's password for a token of one project ("Obtaining a User Token").

Facts: that page, and the regions of IAM in Huawei's SDKs for Python and Go.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from httpx import codes

from redrive.models.outcome import Accepted, Already, Blocked, Cause, Deferred, Outcome, Refused, Unknown

from .base import Answer, Call, Exchange, Request, Token
from .http_answers import fields, read_json, text, unanswered
from .huawei_errors import failure

PATH: Final = "/v3/auth/tokens"
GLOBAL_HOST: Final = "iam.myhuaweicloud.com"
HOSTS: Final[Mapping[str, str]] = {
    "eu-west-101": "iam.eu-west-101.myhuaweicloud.eu",
    # The SDKs know no host of their own for these two.
    "af-north-1": GLOBAL_HOST,
    "cn-north-11": GLOBAL_HOST,
}
"""The regions whose IAM is not at ``iam.{region}.myhuaweicloud.com``."""

VALID_SECONDS: Final = 86_400.0  # "The validity period of a token is 24 hours"


def login_call(options: Mapping[str, Any]) -> Call:
    """The call that fetches a token; ``nocatalog`` leaves the list of all services out of the answer."""
    user = {"name": options["iam_user"], "password": options["iam_password"], "domain": {"name": options["iam_domain"]}}
    identity = {"methods": ["password"], "password": {"user": user}}
    request = Request(
        "POST",
        PATH,
        query=(("nocatalog", "true"),),
        json={"auth": {"identity": identity, "scope": {"project": {"id": options["project_id"]}}}},
        base_url=options.get("iam_url") or f"https://{_host(options['region'])}",
        authenticated=False,
    )
    return Call(request, (), PATH)


def _host(region: str) -> str:
    return HOSTS.get(region, f"iam.{region}.myhuaweicloud.com")


def read_token(exchange: Exchange) -> Token | Outcome:
    """The token, or what became of the tasks that waited for it.

    A login asks nothing about a task. So an answer that proves nothing defers them, and a refusal is about the
    credentials.
    """
    answer = exchange.answer
    if answer is None or not exchange.sent:
        outcome: Outcome = unanswered(exchange)
    elif answer.status in {codes.OK, codes.CREATED}:
        token = answer.headers.get("x-subject-token", "").strip()
        return Token(token, _valid_seconds(answer)) if token else Deferred(message="the login's answer has no token")
    else:
        outcome = failure(answer)
    return _about_the_login(outcome)


def _about_the_login(outcome: Outcome) -> Outcome:
    status, code, message = outcome.http_status, outcome.code, outcome.message
    match outcome:
        case Already() | Refused():
            return Blocked(cause=Cause.CREDENTIALS, http_status=status, code=code, message=message)
        case Unknown() | Accepted():
            return Deferred(http_status=status, code=code, message=message)
        case _:
            return outcome


def _valid_seconds(answer: Answer) -> float:
    """How long the token is good, less a margin: one that expires on the way costs a refused call."""
    token = fields(fields(read_json(answer.body)).get("token"))
    expires_at, issued_at = _moment(token.get("expires_at")), _moment(token.get("issued_at"))
    seconds = (expires_at - (issued_at or datetime.now(UTC))).total_seconds() if expires_at else VALID_SECONDS
    return min(max(seconds, 0.0), VALID_SECONDS) * 0.95


def _moment(value: object) -> datetime | None:
    with suppress(ValueError):
        moment = datetime.fromisoformat(text(value))
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None
