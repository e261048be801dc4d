"""What a scripted task does: when a retry succeeds, what is refused, how its runs end."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Literal

GEELARK: Final = "geelark"
HUAWEI_WORKSPACE: Final = "huawei_workspace"
DOCFLOW: Final = "docflow"

FirstState = Literal["failed", "canceled"]
FIRST_STATES: Final[tuple[FirstState, ...]] = ("failed", "canceled")


class Refusal(IntEnum):
    """Why a retry is refused. The value is the id's third script digit."""

    LIMIT_REACHED = 1
    RUNNING = 2
    SUCCEEDED = 3
    MISSING = 4
    GONE = 5
    EXPIRED = 6
    APP_VERSION = 7
    NOT_ALLOWED = 8
    RULE_ELSEWHERE = 9


class Detail(IntEnum):
    """How a run ends, beyond failed or succeeded. The value is the id's fourth script digit."""

    PLAIN = 0
    BUSY = 1
    NETWORK = 2
    PHONE_DELETED = 3
    RECOGNITION = 4
    REJECTED = 5


REFUSALS: Final[Mapping[str, Mapping[Refusal, str]]] = {
    GEELARK: {
        Refusal.LIMIT_REACHED: "48000: five retries were used before",
        Refusal.RUNNING: "48001: somebody else restarted it, and that run counts as its first",
        Refusal.SUCCEEDED: "48001: somebody else's restart succeeded",
        Refusal.MISSING: "48002: no such task",
        Refusal.GONE: "40005: the environment was deleted",
        Refusal.EXPIRED: "48003: the task's resource has expired",
        Refusal.APP_VERSION: "48004: the app's version does not fit",
        Refusal.NOT_ALLOWED: "48001: although it has failed",
    },
    HUAWEI_WORKSPACE: {
        Refusal.RUNNING: "409: somebody else retried it, and that run counts as its first",
        Refusal.SUCCEEDED: "400: somebody else's retry succeeded",
        Refusal.MISSING: "404: no such task",
        Refusal.NOT_ALLOWED: "400: although it has failed",
    },
    DOCFLOW: {
        Refusal.RUNNING: "1005006016: already being processed, and that run counts as its first",
        Refusal.MISSING: "404: the review was deleted",
        Refusal.NOT_ALLOWED: "400: although it has failed",
        Refusal.RULE_ELSEWHERE: "400: the review has another rule, so that none of the usual ones belongs to it",
    },
}
"""The refusals each provider documents, in words for people. Of all others nothing comes."""

DETAILS: Final[Mapping[str, Mapping[Detail, str]]] = {
    GEELARK: {
        Detail.PLAIN: "fails with 20003, time-out",
        Detail.BUSY: "fails with 20002, the machine is busy",
        Detail.NETWORK: "fails with 29994, the network is unstable",
        Detail.PHONE_DELETED: "the phone is deleted during the first run that fails: 29998, then 40005",
    },
    HUAWEI_WORKSPACE: {Detail.PLAIN: "fails with result code 1"},
    DOCFLOW: {
        Detail.PLAIN: "fails with status 2, review failed",
        Detail.RECOGNITION: "fails with status 7, recognition failed",
        Detail.REJECTED: "a run that succeeds ends with status 4: rejected, which is a verdict",
    },
}


@dataclass(frozen=True, slots=True)
class Script:
    """What a task does.

    Attributes:
        first_state: where it stands when first seen. Only GeeLark has a word for canceled.
        succeeds_on: the re-run that succeeds, 1 to 9; None: none ever does.
        refusal: why retries are refused, or None.
        detail: how its runs end.
        parts: records of a Huawei task, of which the first half fails, or rules of a review, all alike; 1 to 9.
    """

    first_state: FirstState = "failed"
    succeeds_on: int | None = 1
    refusal: Refusal | None = None
    detail: Detail = Detail.PLAIN
    parts: int = 1

    @property
    def digits(self) -> str:
        """The script as an id carries it."""
        state = FIRST_STATES.index(self.first_state)
        return f"{state}{self.succeeds_on or 0}{self.refusal or 0:d}{self.detail:d}{self.parts}"
