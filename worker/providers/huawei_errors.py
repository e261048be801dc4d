"""How Huawei Cloud says no, at the gateway, in IAM and in a service: HTTP status first, codes only refine it.

Facts: the error codes of the API Request Signing Guide and of Workspace; the SDK's ``exception_handler`` for spellings.
"""

import re
from collections.abc import Mapping
from typing import Final

from httpx import codes

from models.outcome import Blocked, Cause, Outcome, Throttled

from .base import Answer
from .http_answers import MAX_WAIT_SECONDS, WRONG_ADDRESS, Said, by_status, fields, filled, read_json, said, text

GATEWAY_CODES: Final[Mapping[str, Outcome]] = {
    "0101": WRONG_ADDRESS,  # the API does not exist
    "0301": Blocked(cause=Cause.CREDENTIALS),  # incorrect IAM authentication information
    "0303": Blocked(cause=Cause.CREDENTIALS, message="check this machine's clock"),  # over 15 minutes off
    "0308": Throttled(),  # the throttling threshold has been reached
}
"""What the gateway's codes prove, without their prefix: APIG. and APIGW. both occur."""

STATUSES: Final[Mapping[int, Outcome]] = {
    429: Throttled(),  # not in the API's own list, but the gateway's way to throttle
    503: Throttled(),  # service unavailable
}

SPELLINGS: Final = (("error_code", "error_msg"), ("errorCode", "errorMsg"), ("code", "message"))
UNITS: Final[Mapping[str, float]] = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}

_WINDOW = re.compile(rf"time:\s*([0-9]{{1,6}})\s*({'|'.join(UNITS)})", re.IGNORECASE)
_DAILY = re.compile(r"\bdaily\b|\b(?:per|each|a) day\b", re.IGNORECASE)


def failure(answer: Answer) -> Outcome:
    """What an answer that is no success means for a retry."""
    code, message = _error(answer) if codes.is_error(answer.status) else ("", "")
    words = said(answer, code, message)
    prefix, _, rest = code.upper().partition(".")
    template = GATEWAY_CODES.get(rest) if prefix in {"APIG", "APIGW"} else None
    match template or STATUSES.get(answer.status):
        case None:
            return by_status(answer, words, own_format=prefix == "WKS")
        case Throttled():
            return _throttled(answer, words)
        case proven:
            return filled(proven, answer, words)


def _error(answer: Answer) -> tuple[str, str]:
    """Code and message in any spelling, at the top or one level down."""
    body = fields(read_json(answer.body))
    for level in (body, *map(fields, body.values())):
        for code, message in SPELLINGS:
            if level.get(code) or level.get(message):
                return text(level.get(code)), text(level.get(message))
    return "", ""


def _throttled(answer: Answer, words: Said) -> Outcome:
    """Wait for the window the text names, as in "limit:5,time:1 minute".

    A used up daily quota says the same code. It is a matter of money: the account stops, says so, and is probed now
    and then, which ends the pause soon after midnight wherever that is.
    """
    if _DAILY.search(words["message"]):
        return Blocked(cause=Cause.BALANCE, **words)
    window = _WINDOW.search(words["message"])
    wait = min(int(window[1]) * UNITS[window[2].lower()], MAX_WAIT_SECONDS) if window else None
    return filled(Throttled(wait_seconds=wait), answer, words)
