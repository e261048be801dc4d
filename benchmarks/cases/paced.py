"""Many accounts at a provider's usual pace: each may make a call a second, so that nothing can be done in bulk."""

from ..ground import Ground
from ..options import Options
from ..race import Run, medians, note, one_run
from ..redrive_system import Redrive
from ..tables import Table
from .steady import POLICY

ACCOUNTS, SECONDS = 50, 60
LIMITS = {"calls_per_minute": 60, "calls_per_hour": 3600, "concurrency": 8, "batch_size": 100}
THREADS = "threads = 200"
"""A batch holds a thread while it waits for its moments: one for each account's retries, and some for its looks."""
ADD = """
INSERT INTO redrive_tasks (account, kind, external_id, status)
SELECT 'reviews' || 1 + n %% %s, 'review_task', n::text, 'failed' FROM generate_series(%s::bigint, %s::bigint) n
"""


class Paced(Redrive):
    """DocFlow accounts, the tasks dealt out among them."""

    def __init__(self) -> None:
        accounts = {f"reviews{n}": "docflow" for n in range(1, ACCOUNTS + 1)}
        super().__init__(accounts=accounts, limits=LIMITS, policy=POLICY, more=f"[worker]\n{THREADS}")

    def add(self, first: int, tasks: int, account: str = "") -> None:  # noqa: ARG002 - all of them
        self.connection.execute(ADD, [ACCOUNTS, first, first + tasks - 1])
        self.wake()


def paced(ground: Ground, options: Options) -> Table:
    """DocFlow, one id a call and one call a second, each task looked at until it has succeeded."""
    tasks = ACCOUNTS * (2 if options.quick else SECONDS)
    system, found = Paced(), dict[str, list[Run]]()
    with ground.provider() as provider:
        for number in range(1, options.runs + 1):
            note(found, system.name, one_run(ground, system, provider, "docflow", tasks), number)
    run = medians(found)[system.name]
    return Table(
        "paced", f"{ACCOUNTS} DocFlow accounts at a call a second each, followed",
        ("", "tasks", "tasks/s", "CPU s per 1,000", "of it its own processes"),
        [(system.name, run.tasks, run.rate, run.cpu, run.own)], notes=[system.settings, THREADS], bars=3,
    )  # fmt: skip
