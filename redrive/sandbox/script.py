"""What a task will do, written in the last digits of its id, so that nothing needs to be registered.

An id that ends in ``99`` and five digits carries a script: first state, the retry that succeeds, refusal, detail,
parts. Any other id has failed and succeeds on its first retry.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from .behavior import DETAILS, DOCFLOW, FIRST_STATES, GEELARK, HUAWEI_WORKSPACE, REFUSALS, Detail, Refusal, Script
from .expectation import Expectation, expectation

__all__ = [
    "DOCFLOW",
    "GEELARK",
    "HUAWEI_WORKSPACE",
    "Detail",
    "Expectation",
    "Refusal",
    "Script",
    "expectation",
    "make_id",
    "parse",
    "rule_ids",
]

MARKER = "99"
DIGITS = 5
DEFAULT = Script()


def parse(external_id: str) -> Script:
    """The script of any id."""
    tail = external_id[-DIGITS - len(MARKER) :]
    return _read(tail[len(MARKER) :]) if tail.startswith(MARKER) and len(tail) == DIGITS + len(MARKER) else DEFAULT


@lru_cache(maxsize=1 << 16)
def _read(digits: str) -> Script:
    """Digits nobody would have written mean the default."""
    try:
        state, succeeds_on, refusal, detail, parts = map(int, digits)
        return Script(
            FIRST_STATES[state], succeeds_on or None, Refusal(refusal) if refusal else None, Detail(detail), parts or 1
        )
    except (ValueError, IndexError):
        return DEFAULT


WIDTH: Final[Mapping[str, int]] = {GEELARK: 18, HUAWEI_WORKSPACE: 32, DOCFLOW: 16}
LEAD: Final[Mapping[str, str]] = {GEELARK: "5", HUAWEI_WORKSPACE: "0", DOCFLOW: "3"}


def make_id(provider: str, serial: int, script: Script) -> str:
    """An id of the provider's usual length with that script; other serials give other ids.

    Raises:
        ValueError: the provider documents no such refusal or detail, or a number does not fit.
    """
    known = REFUSALS[provider].keys()
    if (script.refusal is not None and script.refusal not in known) or script.detail not in DETAILS[provider]:
        raise ValueError(f"{provider} documents nothing like {script}")
    room = WIDTH[provider] - len(LEAD[provider]) - len(MARKER) - DIGITS
    made = f"{LEAD[provider]}{serial:0{room}d}{MARKER}{script.digits}"
    if len(made) != WIDTH[provider] or parse(made) != script:
        raise ValueError(f"serial {serial} or {script} does not fit an id")
    return made


def rule_ids(review_id: str) -> tuple[str, ...]:
    """The rules of a DocFlow review: its own id and one digit, 1 to the script's parts."""
    script = parse(review_id)
    if script.refusal is Refusal.RULE_ELSEWHERE:
        return ()
    return tuple(f"{review_id}{part}" for part in range(1, script.parts + 1))
