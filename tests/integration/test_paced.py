"""Many accounts at a slow pace on one worker with default settings: none of them holds up another."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from redrive.models import ledger
from redrive.models.ledger import NewTask
from redrive.models.sql.tables import attempts, batches
from redrive.models.states import Status
from tests.support.process_world import ProcessWorld
from tests.support.processes import Process, wait_until
from tests.support.servers import Valkey
from tests.support.tiny import Answer, Asked, tiny

pytestmark = [pytest.mark.timeout(240), pytest.mark.services]
Spawn = Callable[..., Process]

PACED, EACH = 90, 20
GENERAL = """
[policy]
check_after_seconds = 1
settle_seconds = 0.5
"""
ACCOUNT = """
[accounts.{name}]
provider = "docflow"
base_url = "{url}"
app_id = {{ env = "APP_{number}" }}
secret_code = {{ env = "SECRET" }}
workspace_id = "{number}"
[accounts.{name}.limits]
calls_per_minute = 10
"""


def provider(asked: Asked) -> Answer:
    """Takes every retry, and shows every review as done."""
    result = {"task_id": asked.body["task_id"], "status": 1, "groups": []} if asked.path.endswith("result") else {}
    return 200, {"code": 200, "msg": "", "result": result}


@pytest.fixture
def ours(
    spawn: Spawn, new_sqlite_database: Callable[[], str], valkey: Valkey, tmp_path: Path
) -> Iterator[ProcessWorld]:
    world = ProcessWorld(spawn, new_sqlite_database(), valkey.url, tmp_path)
    yield world
    world.close()


def configure(ours: ProcessWorld, url: str) -> list[str]:
    """A file of many paced accounts and one more."""
    names = [*(f"paced{n}" for n in range(PACED)), "quiet"]
    accounts = [ACCOUNT.format(name=name, url=url, number=number) for number, name in enumerate(names)]
    secrets = {"SECRET": "secret", **{f"APP_{number}": f"app{number}" for number in range(len(names))}}
    ours.configure(GENERAL + "".join(accounts), secrets)
    return names


def add(ours: ProcessWorld, account: str, ids: range) -> None:
    new = [NewTask(account=account, kind="review_task", external_id=str(n)) for n in ids]
    with ours.database.transaction() as t:
        ledger.ensure(t, {name: rules.provider for name, rules in ours.rules.items()})
        ledger.add(t, new, ours.rules)


def checked(ours: ProcessWorld) -> set[str]:
    """Accounts of which a task has been followed to its end."""
    return {task.account for task in ours.tasks() if task.status is Status.SUCCEEDED}


def seconds_to_call(ours: ProcessWorld, account: str) -> float:
    """How long the account's claimed task waited for a worker to open its call."""
    joined = batches.join(attempts, attempts.c.batch_id == batches.c.id)
    moments = select(batches.c.created_at, attempts.c.opened_at).select_from(joined).where(batches.c.account == account)
    with ours.database.reading() as t:
        row = t.execute(moments).one()
    return (row.opened_at - row.created_at).total_seconds()


def test_a_quiet_account_beside_many_paced_ones_is_served_at_once(ours: ProcessWorld) -> None:
    """More accounts than any number of threads wait for their moments; then the worker ends within seconds."""
    with tiny(provider) as server:
        paced = configure(ours, server.url)[:-1]
        for number, name in enumerate(paced):
            add(ours, name, range(1000 * number, 1000 * number + EACH))
        worker, scheduler = ours.start("worker"), ours.start("scheduler")
        wait_until(lambda: len({asked.body["task_id"] for asked in server.asked}) >= PACED, 90, what="a call of each")
        wait_until(lambda: len(checked(ours)) >= 10, 90, what="checks beside the retries")
        add(ours, "quiet", range(999_000, 999_001))
        wait_until(lambda: "quiet" in checked(ours), 90, what="the quiet account's task, retried and checked")
        assert seconds_to_call(ours, "quiet") < 5
        scheduler.signal(signal.SIGTERM)
        worker.signal(signal.SIGTERM)
        assert worker.wait(10) == 0
        with ours.database.reading() as t:
            assert not t.rows(select(batches.c.id).where(batches.c.status == "sending")), "all was given back"
