"""A task of an account whose rules are not known here: what the rows alone say of it."""

from collections.abc import Iterator

from ..states import ENDED_STATES, FAILED_STATES, Status
from ..task import Task
from .at_rest import never_claimed
from .facts import Known
from .obstacles import at_the_account
from .past import last_attempt, wish
from .words import ago, duration


def without_rules(known: Known) -> Iterator[str]:
    """What it is, what was tried, what is known to be in its way, and what would tell more."""
    task = known.task
    yield f"{_standing(known)}."
    yield from last_attempt(known)
    yield from wish(known)
    yield from never_claimed(known)
    if task.status not in ENDED_STATES:
        yield from at_the_account(known, task.next)
    yield from (_not_configured(task) if known.facts.settings_known else _not_here())


def _standing(known: Known) -> str:
    task, since = known.task, known.task.status_since
    if task.status in FAILED_STATES:
        verb = "was canceled" if task.status is Status.CANCELED else "failed"
        return f"{verb} {ago(task.failed_at or since, known.now)}"
    status = f"dead ({task.dead_reason})" if task.dead_reason else task.status.value
    return f"has been {status} for {duration((known.now - since).total_seconds())}"


def _not_configured(task: Task) -> Iterator[str]:
    yield f"Account {task.account} is not configured here: its tasks are kept, and nothing of it is claimed."
    yield f"Add [accounts.{task.account}] to redrive.toml, or run this where the settings of the service are."
    if task.status not in ENDED_STATES:
        yield f"`redrive stop {task.id}` gives it up."


def _not_here() -> Iterator[str]:
    yield "The settings of the service are not here, so its limit and what happens next cannot be known."
    yield "Run this where its redrive.toml is, or name that file in REDRIVE_CONFIG."
