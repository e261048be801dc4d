"""Why a task's work failed, as a short code: the provider's own, or a signature of its words.

Ten thousand tasks fail in a dozen ways. The words differ in ids, numbers, moments and hosts; the signature leaves
these out, so that what failed alike has one code.
"""

import re
from collections.abc import Mapping

LONGEST = 64

VERSION = 1
"""Of the rules below. Stored codes of other versions stay as they are: they are names by then."""

_CUTS = (
    (re.compile(r"[a-z][a-z0-9+.-]*://\S+"), "<url>"),
    (re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "<id>"),
    (re.compile(r"\"[^\"]*\"|'[^']*'|`[^`]*`|“[^”]*”|«[^»]*»|「[^」]*」"), "<text>"),
    (re.compile(r"\b\d{4}-\d\d-\d\d(?:[t ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?)?(?:z|[+-]\d\d:?\d\d)?"), "<time>"),
    (re.compile(r"\b\d{1,2}:\d\d(?::\d\d(?:[.,]\d+)?)?\b"), "<time>"),
    (re.compile(r"\b(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.){1,}[a-z]{2,}(?::\d+)?\b"), "<host>"),
    (re.compile(r"\b(?=[0-9a-f]*\d)(?=[0-9a-f]*[a-f])[0-9a-f]{6,}\b"), "<id>"),
    (re.compile(r"\b0x[0-9a-f]+\b|[+-]?\d+(?:[.,:]\d+)*"), "<n>"),
    (re.compile(r"(?:<n>[\s,;/]*){2,}"), "<n> "),
)
"""What is replaced, in this order: what has been replaced is not replaced again."""


def failure_code(code: str, words: str, merges: Mapping[str, str] | None = None) -> str:
    """Why work failed: the provider's code where there is one, else the signature of the words; "" of nothing.

    Args:
        code: the provider's own, as text.
        words: its words, or the owner's.
        merges: code or part of a signature → the code to take instead, as an account's ``failures`` has it.
    """
    found = _tidied(code)[:LONGEST] or signature(words)
    if not found or not merges:
        return found
    lowered = signature(words)
    for part, merged in merges.items():
        if part == found or (lowered and part.lower() in lowered):
            return merged
    return found


def signature(words: str) -> str:
    """Words without what differs from task to task: lower case, at most 64 characters, "" of nothing printable."""
    text = _tidied(words[:2000]).lower()
    for pattern, instead in _CUTS:
        text = pattern.sub(instead, text)
    return " ".join(text.split())[:LONGEST].rstrip()


def _tidied(text: str) -> str:
    """On one line, and only what can be seen and stored."""
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())
