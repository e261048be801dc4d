"""One installation in the test's own process: the real scheduler and worker, and a clock that is moved by hand."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from math import inf
from pathlib import Path
from random import Random

from redrive.models.explain import explain
from redrive.models.queries import facts
from redrive.models.rules import Rules, rules_of
from redrive.models.settings import load
from redrive.models.sql.db import Database
from redrive.models.wake import Waker
from redrive.scheduler.service import Pass, Scheduler
from redrive.worker import deps, job
from redrive.worker.loop import EventLoop
from tests.support.house import Hand
from tests.support.world import Clock, World

SECRETS = {"GEELARK_TOKEN": "s3cret-1", "HW_TOKEN": "s3cret-2", "TI_APP_ID": "s3cret-3", "TI_SECRET": "s3cret-4"}

OPTIONS = {
    "phones": 'provider = "geelark"\ntoken = { env = "GEELARK_TOKEN" }',
    "desktops": 'provider = "huawei_workspace"\nregion = "ap-southeast-1"\nproject_id = "0123456789abcdef"\n'
    'auth_token = { env = "HW_TOKEN" }',
    "reviews": 'provider = "docflow"\nworkspace_id = "1234567890"\n'
    'app_id = { env = "TI_APP_ID" }\nsecret_code = { env = "TI_SECRET" }',
}
"""What makes each provider's account; a number is added to its name, so that many houses share one database."""

POLICY = """
[policy]
jitter = "none"
base_seconds = 30
check_after_seconds = 30
settle_seconds = 60
"""

MOST_PASSES = 20
_numbers = count(1)


class Shared(World):
    """A world over a database that others use too: nobody here opens or closes it."""

    def __init__(self, database: Database, clock: Clock, rules: dict[str, Rules]) -> None:
        self.url, self.rng = "", Random(1)
        self.database, self.clock, self.rules = database, clock, rules
        self.ensure()


@dataclass
class House:
    """A scheduler, a worker, and the database between them."""

    world: World
    deps: deps.Deps
    scheduler: Scheduler
    hand: Hand
    names: Mapping[str, str]

    def step(self) -> Pass:
        """One pass of the scheduler, and the jobs it published."""
        done = self.scheduler.run_once()
        while self.hand.batches:
            job.run(self.deps, self.hand.batches.pop(0).id)
        return done

    def settle(self) -> None:
        """Passes until nothing is due any more."""
        for _ in range(MOST_PASSES):
            if not self.step().examined:
                return
        raise AssertionError(f"something is still due after {MOST_PASSES} passes")

    def forward(self, seconds: float) -> None:
        self.world.clock.forward(seconds)

    def words(self, task_id: int) -> str:
        """All that `redrive explain` says."""
        with self.world.database.reading() as t:
            found = facts(t, task_id, self.deps.rules)
        assert found is not None
        return " ".join(explain(found).lines)

    def outcomes(self, task_id: int) -> list[str]:
        return [row["outcome"] for row in self.world.attempts(task_id)]


@contextmanager
def house(
    database: Database,
    loop: EventLoop,
    directory: Path,
    urls: Mapping[str, str],
    *,
    limits: Mapping[str, str] | None = None,
    policy: str = "",
    timeout_seconds: float = 2,
    lease_seconds: float | None = None,
) -> Iterator[House]:
    """Build it for some accounts, each with its provider's address; ``limits`` are more lines of an account's own.

    A line may name another account's real name: ``{phones_a}``.
    """
    names = {each: f"{each}-{next(_numbers)}" for each in urls}
    more = {each: (limits or {}).get(each, "").format(**names) for each in urls}
    seconds = (timeout_seconds, lease_seconds or 2 * timeout_seconds + 1)
    tables = [_account(names[each], each, url, seconds, more[each]) for each, url in urls.items()]
    path = directory / "redrive.toml"
    path.write_text("\n".join([POLICY, policy, *tables]))
    environ = {**SECRETS, "REDRIVE_CONFIG": str(path)}
    settings = load(environ=environ)
    rules = rules_of(settings)
    senders = {name: deps._sender(settings, rules[name], environ, database) for name in rules}
    database.clock = clock = Clock()
    world = Shared(database, clock, rules)
    worker = deps.Deps(database, rules, senders, loop, Waker(None), "tests", rng=Random(1))
    hand = Hand()
    scheduler = Scheduler(database, hand, settings, rules, Random(1))
    scheduler.pruner._next_turn = inf  # the clock jumps far, and the database is not ours alone
    try:
        yield House(world, worker, scheduler, hand, names)
    finally:
        for sender in senders.values():
            loop.submit(sender.aclose()).result(timeout=5)


def _account(name: str, account: str, url: str, seconds: tuple[float, float], more: str) -> str:
    limits = "timeout_seconds = {:g}\nlease_seconds = {:g}\n".format(*seconds) + more
    pace = "calls_per_minute = 60000\ncalls_per_hour = 999999"
    options = f'{OPTIONS[account.partition("_")[0]]}\nbase_url = "{url}"'
    return f"[accounts.{name}]\n{options}\n[accounts.{name}.limits]\n{pace}\n{limits}\n"
