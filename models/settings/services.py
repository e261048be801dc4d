"""The knobs of the parts that run."""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from ..states import Status
from .findings import Findings
from .section import Days, Seconds, Section, at_least
from .urls import host_and_port, is_loopback


class SchedulerSettings(Section):
    """The scheduler.

    Attributes:
        poll_seconds: the longest it waits before it looks for due work again.
    """

    poll_seconds: Seconds = 1


def installation_name(text: str) -> str:
    """A name that queues carry.

    Raises:
        ValueError: it is not one.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", text):
        raise ValueError('must be 1 to 40 lower-case letters, digits, - and _, such as "staging"')
    return text


class BrokerSettings(Section):
    """What the broker carries. Its address comes from ``REDRIVE_BROKER_URL``.

    Attributes:
        installation: the name in the names of the queues; None: that of the database.
    """

    installation: Annotated[str, AfterValidator(installation_name)] | None = None


class WorkerSettings(Section):
    """The worker.

    Attributes:
        threads: that work with the database at once; batches that wait hold none.
        batches: begun at once per worker process.
    """

    threads: Annotated[int, Field(ge=1, le=1024)] = 8
    batches: Annotated[int, Field(ge=1, le=100_000)] = 4000


class BreakerSettings(Section):
    """When an account is left alone for a while, per account and operation.

    Attributes:
        failures: unanswered or failed calls in a row that open the breaker.
        open_seconds: its first wait; it grows with every probe that fails.
        max_open_seconds: its longest wait.
        max_refusals: refused tasks in a row, without one accepted, that pause the account.
    """

    failures: Annotated[int, Field(ge=1, le=10_000)] = 5
    open_seconds: Seconds = 30
    max_open_seconds: Annotated[Seconds, at_least("open_seconds")] = 600
    max_refusals: Annotated[int, Field(ge=1, le=1_000_000)] = 100


class RetentionSettings(Section):
    """How long rows are kept after their end.

    Attributes:
        succeeded_days: succeeded tasks and their attempts.
        dead_days: dead tasks and their attempts; None: kept.
        batches_days: finished batches.
    """

    succeeded_days: Days = 30
    dead_days: Days | None = None
    batches_days: Days = 1

    def of_tasks(self, status: Status) -> timedelta | None:
        """How long tasks that ended so are kept; None: for ever."""
        days = self.succeeded_days if status is Status.SUCCEEDED else self.dead_days
        return timedelta(days=days) if days is not None else None

    @property
    def of_batches(self) -> timedelta:
        """How long finished batches are kept."""
        return timedelta(days=self.batches_days)


def _address(text: str) -> str:
    host_and_port(text)
    return text


class FlowerSettings(Section):
    """The web page that shows batches and workers. Its user and password come from ``FLOWER_BASIC_AUTH``.

    Attributes:
        address: where it listens, ``HOST:PORT``.
    """

    address: Annotated[str, AfterValidator(_address)] = "127.0.0.1:5555"

    @property
    def host(self) -> str:
        """The host of ``address``, without brackets."""
        return host_and_port(self.address)[0]

    @property
    def port(self) -> int:
        """The port of ``address``."""
        return host_and_port(self.address)[1]

    def warn(self, findings: Findings) -> None:
        """Warns when others can reach the page: anyone who can sign in to it sees the work."""
        if not is_loopback(self.host):
            findings.warn("address", "is reachable from other machines; set FLOWER_BASIC_AUTH and put TLS before it")
