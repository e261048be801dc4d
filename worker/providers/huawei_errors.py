"""How Huawei Cloud says no, at the gateway, in IAM and in a service: HTTP status first, codes only refine it.

Facts: the error codes of the API Request Signing Guide, of the gateway's own guide (APIG, "Error Codes") and of
Workspace; the SDK's ``exception_handler`` for spellings.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from httpx import codes

from redrive.models.outcome import Blocked, Cause, CheckResult, Outcome, Throttled, Unknown

from .base import Answer
from .http_answers import WRONG_ADDRESS, Words, as_check_result, by_status, fields, filled, items, read_json, said, text
from .waits import MAX_WAIT_SECONDS

GATEWAY_CODES: Final[Mapping[str, Outcome]] = {
    "0101": WRONG_ADDRESS,  # 404: the API does not exist
    "0301": Blocked(cause=Cause.CREDENTIALS),  # 401: incorrect IAM authentication information
    "0302": Blocked(cause=Cause.CREDENTIALS),  # 403: the IAM user is not authorized to access the API
    "0303": Blocked(cause=Cause.CREDENTIALS, message="check this machine's clock"),  # 401: over 15 minutes off
    "0304": Blocked(cause=Cause.CREDENTIALS),  # 403: the app is not authorized to access the API
    "0305": Blocked(cause=Cause.CREDENTIALS),  # 401: incorrect authentication information
    "0306": Blocked(cause=Cause.CREDENTIALS),  # 403: API access denied
    # 401: the token must be updated, or it is one of another region than the address.
    "0307": Blocked(cause=Cause.CREDENTIALS, message="check the token and the region of base_url"),
    "0308": Throttled(),  # 429: the throttling threshold has been reached
    "0310": Blocked(cause=Cause.CREDENTIALS),  # 403: the project is unavailable
    "0311": Blocked(cause=Cause.CREDENTIALS),  # 401: incorrect debugging authentication information
    "0401": Blocked(cause=Cause.CREDENTIALS),  # 403: unknown client IP address
    "0402": Blocked(cause=Cause.CREDENTIALS),  # 403: the IP address is not authorized
    "0404": Unknown(),  # 403: access to the backend's IP address denied: the gateway's trouble and not the caller's
    "0501": Blocked(cause=Cause.BALANCE),  # 405: the app quota has been used up
    "0502": Blocked(cause=Cause.BALANCE),  # 405: the app has been frozen
    "0607": WRONG_ADDRESS,  # 400: another protocol is supported
    "0613": Throttled(),  # 503: the IAM service is currently unavailable, so that nothing got past the gateway
    "0802": Blocked(cause=Cause.CREDENTIALS),  # 403: the IAM user is forbidden in the selected region
}
"""What the gateway's codes prove, without their prefix: APIG. and APIGW. both occur. Others are for their status."""

STATUSES: Final[Mapping[int, Outcome]] = {
    429: Throttled(),  # not in the API's own list, but the gateway's way to throttle
    503: Throttled(),  # service unavailable
}

OWN_SPELLINGS: Final = (("error_code", "error_msg"), ("errorCode", "errorMsg"))
SPELLINGS: Final = (*OWN_SPELLINGS, ("code", "message"))
GATEWAY: Final = ("APIG", "APIGW")
SERVICE: Final = "WKS"
MAX_LEVELS: Final = 20
"""Objects in which an error is looked for: the whole body and what is directly under it."""

UNITS: Final[Mapping[str, float]] = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}

_WINDOW = re.compile(rf"time:\s*([0-9]{{1,6}})\s*({'|'.join(UNITS)})", re.IGNORECASE)
_DAILY = re.compile(r"\bdaily\b|\b(?:per|each|a) day\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Error:
    """The error an answer's body speaks of; empty where it speaks of none."""

    code: str = ""
    message: str = ""
    own_spelling: bool = False

    @property
    def family(self) -> str:
        """The code's prefix: the service's, the gateway's, or another's."""
        return self.code.upper().partition(".")[0]

    @property
    def is_own(self) -> bool:
        """Whether Huawei wrote it, and nobody in between: half the world writes "code" and "message"."""
        return self.own_spelling or self.family in {SERVICE, *GATEWAY}


def failure(answer: Answer) -> Outcome:
    """What an answer that is not a success means for a retry."""
    return _meaning(answer, *read_error(answer))


def failed_check(answer: Answer, error: Error, words: Words) -> CheckResult:
    """What such an answer means for a status call, as :func:`read_error` has read it."""
    return as_check_result(_meaning(answer, error, words), own_format=error.is_own)


def _meaning(answer: Answer, error: Error, words: Words) -> Outcome:
    number = error.code.partition(".")[2]
    proven = GATEWAY_CODES.get(number) if error.family in GATEWAY and codes.is_error(answer.status) else None
    match proven or STATUSES.get(answer.status):
        case None:
            return by_status(answer, words, own_format=error.is_own, of_task=error.family == SERVICE)
        case Throttled():
            return _throttled(answer, words)
        case template:
            return filled(template, answer, words)


def read_error(answer: Answer) -> tuple[Error, Words]:
    """The error in any spelling, at the top or one level down, and its words.

    A success may speak of one as well. A redirect is not Huawei's own, whatever its body says.
    """
    body = None if codes.is_redirect(answer.status) else read_json(answer.body)
    error = next(_errors(fields(body)), Error())
    return error, said(answer, error.code, error.message, body=body)


def _errors(body: Mapping[str, Any]) -> Iterator[Error]:
    under = (each for value in islice(body.values(), MAX_LEVELS) for each in islice(items(value), MAX_LEVELS))
    for level in (body, *islice(map(fields, under), MAX_LEVELS)):
        for spelling in SPELLINGS:
            code, message = (text(level.get(name)) for name in spelling)
            code = code if code.strip("0") else ""  # zero is not an error anywhere
            if code or message:
                yield Error(code, message, own_spelling=spelling in OWN_SPELLINGS)


def _throttled(answer: Answer, words: Words) -> Outcome:
    """Wait for the window the text names, as in "limit:5,time:1 minute".

    A used up daily quota says the same code. It is a matter of money: the account stops, says so, and is probed now
    and then, which ends the pause soon after midnight wherever that is.
    """
    if _DAILY.search(words["message"]):
        return Blocked(cause=Cause.BALANCE, **words)
    window = _WINDOW.search(words["message"])
    # A window of no length names no wait.
    wait = min(int(window[1]) * UNITS[window[2].lower()], MAX_WAIT_SECONDS) if window else 0
    return filled(Throttled(wait_seconds=wait or None), answer, words)
