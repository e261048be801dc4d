"""Headers that name a wait: ``Retry-After``, and the families that say how much is left before one is needed.

Facts: RFC 9110 for ``Retry-After``; draft-ietf-httpapi-ratelimit-headers for ``RateLimit`` and ``RateLimit-Policy``
(lists such as ``"default";r=0;t=30`` since its version 8, ``limit=9, remaining=0, reset=30`` in version 7, and three
headers before that); GitHub's REST documentation for ``X-RateLimit-Reset`` as an epoch, Buildkite's for seconds.
Nothing in here raises, whatever a header holds.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from .base import Answer

MAX_WAIT_SECONDS = 86_400.0
MAX_HEADER = 1000
"""Characters of a header that are read."""

LITTLE: Final = 0.1
"""The part of a limit that is little; while more is left, calls keep their own pace."""
FEW: Final = 5
"""The number that is little where no limit is named."""

FAMILIES: Final = ("ratelimit-", "x-ratelimit-", "x-rate-limit-")
EPOCH: Final = 1e9
"""A reset from here on is a moment and not a number of seconds: as seconds it would be thirty years away."""
EPOCH_MILLISECONDS: Final = 1e12

_NUMBER = re.compile(r"[0-9]{1,18}(\.[0-9]{1,9})?")
_MEMBER = re.compile(r'(?:"(?:[^"\\]|\\.)*"|[^,"])+')
_NAME = re.compile(r'\s*("(?:[^"\\]|\\.)*"|[^;]*)')
_PARAMETER = re.compile(r"([a-z]+)\s*=\s*([^;,\s]+)")


@dataclass(frozen=True, slots=True)
class _Quota:
    """What one policy has left. ``limit`` and ``seconds`` (until the quota is whole again) are None where not named."""

    remaining: float
    limit: float | None
    seconds: float | None

    @property
    def wait(self) -> float:
        """Seconds until the next call: what is left is spread over the time, the last of it included."""
        little = FEW if self.limit is None else LITTLE * self.limit
        if self.remaining > little or self.seconds is None:
            return 0.0
        return self.seconds / (int(self.remaining) + 1)


# --- Retry-After -------------------------------------------------------------------------------------------------


def retry_after(answer: Answer) -> float | None:
    """Seconds to wait, 0 to 86,400, from seconds or an HTTP date; None when it is absent or nonsense."""
    value = answer.headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]+(\.[0-9]+)?", value):
        seconds: float | None = float(value)
    else:
        seconds = _until(_http_date(value), answer)
    return None if seconds is None else min(max(seconds, 0.0), MAX_WAIT_SECONDS)


def _until(moment: datetime | None, answer: Answer) -> float | None:
    """Seconds until a moment, both by the server's clock where it says what that shows: ours may be off."""
    if moment is None:
        return None
    return (moment - (_http_date(answer.headers.get("date", "")) or datetime.now(UTC))).total_seconds()


def _http_date(value: str) -> datetime | None:
    with suppress(ValueError, TypeError, IndexError, OverflowError):
        moment = parsedate_to_datetime(value)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


# --- RateLimit ---------------------------------------------------------------------------------------------------


def rate_hint(answer: Answer) -> float | None:
    """Seconds before which the path's next call must not leave, at most a day; None when there is room.

    Of several policies the strictest counts.
    """
    wait = min(max((quota.wait for quota in _quotas(answer)), default=0.0), MAX_WAIT_SECONDS)
    return wait if wait > 0 else None


def _quotas(answer: Answer) -> Iterator[_Quota]:
    """Everything the headers say is left."""
    policies = dict(_members(answer.headers.get("ratelimit-policy", "")))
    for name, values in _members(answer.headers.get("ratelimit", "")):
        yield from _structured(values, policies.get(name, {}))
    yield from _structured(_pairs(answer.headers.get("ratelimit", "")), {}, ("remaining", "limit", "reset"))
    for family in FAMILIES:
        yield from _of_family(answer, family)


def _structured(
    values: Mapping[str, str], policy: Mapping[str, str], names: tuple[str, str, str] = ("r", "q", "t")
) -> Iterator[_Quota]:
    """A policy's quota, if what is left of it is named; ``q`` and ``w`` stand in its policy."""
    left, limit, reset = names
    remaining, seconds = _number(values.get(left)), _number(values.get(reset))
    if remaining is not None:
        named = _number(policy.get("w")) if seconds is None else seconds
        yield _Quota(remaining, _number({**policy, **values}.get(limit)), named)


def _of_family(answer: Answer, family: str) -> Iterator[_Quota]:
    """The three headers of one name each; a limit may be followed by its policies, as in ``10, 10;w=1``."""
    remaining = _number(answer.headers.get(f"{family}remaining"))
    if remaining is not None:
        limit = _number(answer.headers.get(f"{family}limit", "").partition(",")[0])
        yield _Quota(remaining, limit, _seconds_until_reset(answer.headers.get(f"{family}reset", ""), answer))


def _seconds_until_reset(value: str, answer: Answer) -> float | None:
    number = _number(value)
    if number is None:
        return _until(_http_date(value), answer)
    if number < EPOCH:
        return number
    with suppress(ValueError, OverflowError, OSError):
        seconds = number / 1000 if number >= EPOCH_MILLISECONDS else number
        return _until(datetime.fromtimestamp(seconds, UTC), answer)
    return None


# --- Structured fields, as far as they are needed ----------------------------------------------------------------


def _members(value: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Each member of a list by its name, with its parameters."""
    for member in _MEMBER.findall(value[:MAX_HEADER]):
        name = _NAME.match(member)
        if name is not None:
            yield name[1].strip(), _pairs(member[name.end() :])


def _pairs(value: str) -> dict[str, str]:
    return {name: text.strip('"') for name, text in _PARAMETER.findall(value[:MAX_HEADER].lower())}


def _number(value: str | None) -> float | None:
    text = (value or "").strip()
    return float(text) if _NUMBER.fullmatch(text) else None
