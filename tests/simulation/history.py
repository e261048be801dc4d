"""What happened, as lines for people: the same seed must write the same lines, byte for byte."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn

import structlog

from tests.simulation.stage import Stage

_UUID = re.compile(r"00000000-0000-0000-0000-([0-9a-f]{12})")


def _for_people(event: Mapping[str, Any]) -> bool:
    """Whether it is logged as an error because somebody must act: fix a row, or end a transaction."""
    return event["event"] == "task.set_aside" or "another transaction" in str(event.get("why"))


@dataclass
class History:
    """The lines, the faults that were committed, and what must not have happened."""

    stage: Stage
    lines: list[str] = field(default_factory=list)
    violations: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    calls: int = 0

    def say(self, who: str, what: str) -> None:
        minutes, seconds = divmod(self.stage.elapsed, 60)
        hours, minutes = divmod(int(minutes), 60)
        line = f"{hours}:{minutes:02}:{seconds:09.6f} {who:12} {what}"
        # Batches are counted up in a simulation: b1, b2, …
        self.lines.append(_UUID.sub(lambda found: f"b{int(found[1], 16)}", line))

    def fault(self, who: str, kind: str, what: str = "") -> None:
        self.faults[kind] += 1
        self.say(who, f"FAULT {kind} {what}".rstrip())

    def violation(self, what: str) -> None:
        what = _UUID.sub(lambda found: f"b{int(found[1], 16)}", what)
        if what not in self.violations:
            self.violations.append(what)
        self.say("VIOLATION", what)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """What the product logs meanwhile becomes part of the history."""
        before = structlog.get_config()
        structlog.configure(processors=[self._logged], cache_logger_on_first_use=False)
        try:
            yield
        finally:
            structlog.configure(**before)

    def _logged(self, _logger: Any, level: str, event: MutableMapping[str, Any]) -> NoReturn:
        words = " ".join(f"{key}={value}" for key, value in event.items() if key != "event")
        self.say("log", f"{event['event']} {words}")
        if level in {"error", "critical"} and not _for_people(event):
            self.violation(f"logged as an error: {event['event']} {words}")
        raise structlog.DropEvent
