"""One task at a provider: its runs, as scripted."""

from dataclasses import dataclass
from enum import Enum

from .behavior import Refusal, Script

AGE_SECONDS = 3600
"""How long ago the run that failed before anybody asked has started, as the sandbox reports it."""


class RunState(Enum):
    """Where a run stands, before it is put in a provider's words."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELED = "canceled"


UNDER_WAY = (RunState.WAITING, RunState.RUNNING)


@dataclass(frozen=True, slots=True)
class TaskView:
    """What a status call shows of a task: a state, and which run it is of (0 is the one before any retry)."""

    state: RunState
    run: int
    started_at: float


@dataclass(slots=True)
class SandboxTask:
    """A task and what was asked of it.

    Attributes:
        starts: when each run started; the first is the one that had ended before anybody asked.
        accepted: retries taken from our caller.
        asked: of our caller's retries, those accepted and those it cannot know about.
        refused: retries answered with a refusal.
        unanswered: retries that have arrived and are not answered yet.
    """

    provider: str
    external_id: str
    script: Script
    starts: list[float]
    accepted: int = 0
    asked: int = 0
    refused: int = 0
    unanswered: int = 0

    @classmethod
    def seen(cls, provider: str, external_id: str, script: Script, now: float) -> "SandboxTask":
        """A task as it is when first asked about. One that "somebody else retried" begins that run now."""
        before = now - AGE_SECONDS
        return cls(provider, external_id, script, [before, now] if script.refusal is Refusal.RUNNING else [before])

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.provider} {self.external_id}"

    @property
    def runs(self) -> int:
        """Re-runs so far, somebody else's included."""
        return len(self.starts) - 1

    @property
    def first_run(self) -> int:
        """The run that goes under the task's own id: the newest one nobody here asked for."""
        return 1 if self.script.refusal is Refusal.RUNNING else 0

    @property
    def redone(self) -> bool:
        """Whether the newest run is one our caller asked for."""
        return self.runs > self.first_run

    def start(self, now: float) -> None:
        """Begin a re-run."""
        self.starts.append(now)

    def end(self, run: int) -> RunState:
        """How a run ends, or ended."""
        if run == 0:
            done = self.script.refusal is Refusal.SUCCEEDED
            return RunState.SUCCEEDED if done else RunState(self.script.first_state)
        wins = self.script.succeeds_on is not None and run >= self.script.succeeds_on
        return RunState.SUCCEEDED if wins else RunState.FAILED

    def state(self, now: float, run_seconds: float) -> RunState:
        """The truth."""
        age = now - self.starts[-1]
        if self.runs == 0 or age >= run_seconds:
            return self.end(self.runs)
        return RunState.WAITING if age < run_seconds / 4 else RunState.RUNNING

    def view(self, now: float, run_seconds: float) -> TaskView:
        """The truth, as a status call shows it."""
        return TaskView(self.state(now, run_seconds), self.runs, self.starts[-1])

    def past(self, run: int) -> TaskView:
        """An earlier run, as it ended."""
        return TaskView(self.end(run), run, self.starts[run])
