"""Whether every task ended as its script and the documented rules say: status, reason, and retries on both sides."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..sandbox.samples import ACCOUNTS
from ..sandbox.script import Expectation, expectation, parse

PROVIDERS = {account: provider for provider, account in ACCOUNTS.items()}


@dataclass(frozen=True, slots=True)
class Ended:
    """A task as the database has it, and the retries its provider took.

    Attributes:
        spent: retries we counted.
        accepted: retries the provider counted.
    """

    account: str
    kind: str
    external_id: str
    sub_id: str
    status: str
    dead_reason: str | None
    spent: int
    accepted: int

    @property
    def expectation(self) -> Expectation:
        """How it came out, in the words of an expectation."""
        return Expectation(self.status, self.dead_reason, self.accepted)


def differences(ended: Iterable[Ended], stats: Mapping[str, Any], max_retries: int) -> Iterator[str]:
    """What is not as it should be, one line each. ``stats`` is what the sandbox says of itself."""
    for task in ended:
        wanted = expectation(PROVIDERS[task.account], task.kind, parse(task.external_id), max_retries)
        name = "/".join(filter(None, (task.account, task.kind, task.external_id, task.sub_id)))
        if task.expectation != wanted:
            yield f"{name}: {_words(task.expectation)}; expected {_words(wanted)}"
        elif task.spent != task.accepted:
            yield f"{name}: {task.spent} retries counted here, {task.accepted} at the provider"
    for kind, seen in stats["violations"].items():
        yield f"sandbox: {kind}, {seen['count']} times, such as {seen['examples'][0]}"


def _words(end: Expectation) -> str:
    return f"{end.status}{f' ({end.dead_reason})' if end.dead_reason else ''} after {end.retries} retries"
