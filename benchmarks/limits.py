"""What the parts can do at best: a bare loop of HTTP calls, and a bare loop of claims and records.

Each runs as a process of its own, ``python -P -m benchmarks.limits``, and prints one line of JSON: how long it took,
and its CPU seconds.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from random import Random

import httpx

from benchmarks import plain
from benchmarks.ground import Ground, Provider
from benchmarks.measure import cpu_seconds
from benchmarks.race import WARM_UP, Run
from redrive.models import ledger
from redrive.models.capabilities import Capabilities
from redrive.models.ledger import CallResult, Group
from redrive.models.outcome import Accepted
from redrive.models.providers import DOCFLOW, GEELARK
from redrive.models.rules import Rules
from redrive.models.settings.policy import Policy
from redrive.models.sql.db import Database
from redrive.models.states import Operation

PROVIDERS = {"geelark": GEELARK, "docflow": DOCFLOW}


# --- HTTP alone ------------------------------------------------------------------------------------------------------


async def calls(tasks: int, concurrency: int) -> None:
    """One call per task, so many at once, over one pooled client."""
    names = iter(plain.ids(1, tasks))

    async def caller(client: httpx.AsyncClient) -> None:
        for name in names:
            response = await client.post(**plain.request(name))
            status, words = plain.outcome(response)
            if status != "succeeded":
                raise RuntimeError(words)

    async with plain.async_client(concurrency) as client:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(WARM_UP, concurrency)):
                group.create_task(caller_of_one(client))
        with told():
            async with asyncio.TaskGroup() as group:
                for _ in range(concurrency):
                    group.create_task(caller(client))


async def caller_of_one(client: httpx.AsyncClient) -> None:
    await client.post(**plain.request("1"))


# --- The ledger alone ------------------------------------------------------------------------------------------------


def records(database_url: str, account: str, kind: str, *, threads: int) -> None:
    """Claim, begin, open, record and end batch after batch as a worker does, until nothing is due; without any call."""
    database, capabilities = Database(database_url), PROVIDERS[kind]
    rules = Rules(
        account, capabilities, Policy(track_results=False), group=account, interval_seconds=1e-9,
        batch_size=100 if capabilities.retry_ids > 1 else 1000, max_in_flight=1000,
    )  # fmt: skip
    with told(), ThreadPoolExecutor(threads) as pool:
        for future in [pool.submit(drain, database, rules, capabilities) for _ in range(threads)]:
            future.result()
    database.close()


def drain(database: Database, rules: Rules, capabilities: Capabilities) -> None:
    rng = Random(os.getpid())
    while True:
        with database.transaction() as t:
            claim = ledger.claim(t, rules, Operation.RETRY, rng)
        if claim.batch is None:
            return
        with database.transaction() as t:
            work = ledger.begin(t, claim.batch.id, {rules.account: rules}, "bench")
            if work is None:
                raise RuntimeError("the batch is not ours")
            ids, size = [task.id for task in work.tasks], capabilities.retry_ids
            path = capabilities.kinds[0].retry_path
            groups = [Group(path, tuple(ids[i : i + size])) for i in range(0, len(ids), size)]
            step = ledger.advance_retries(t, work, [], groups, rng, begun=True, calm=True)
        told_ = [CallResult(path, p.asked_at, {task.id: Accepted() for task in p.tasks}) for p in step.permits]
        with database.transaction() as t:
            ledger.advance_retries(t, work, told_, [], rng, calm=True)
            ledger.finish(t, work, {"accepted": len(ids)}, rest=set())


# --- Running them ----------------------------------------------------------------------------------------------------


@contextmanager
def told() -> Iterator[None]:
    """Print what the block took."""
    cpu, began = time.process_time(), time.perf_counter()
    yield
    seconds, used = time.perf_counter() - began, time.process_time() - cpu
    sys.stdout.write(json.dumps({"seconds": seconds, "cpu": used}) + "\n")


def http_alone(ground: Ground, provider: Provider, kind: str, tasks: int, *, processes: int, concurrency: int) -> Run:
    """So many processes, each with its share of the calls in one event loop."""
    each = tasks // processes
    env = {plain.PROVIDER: provider.url, plain.KIND: kind}
    args = ("-m", "benchmarks.limits", "http", "--tasks", str(each), "--concurrency", str(concurrency))
    started = [ground.spawn(*args, env=env) for _ in range(processes)]
    reports = []
    for process in started:
        if process.wait(600) != 0:
            raise RuntimeError(process.output())
        reports.append(json.loads(process.output().splitlines()[-1]))
        process.kill()
    cpu = sum(r["cpu"] for r in reports) / (each * processes) * 1000
    return Run(each * processes, sum(each / r["seconds"] for r in reports), cpu, cpu)


def ledger_alone(ground: Ground, database_url: str, kind: str, tasks: int, *, threads: int) -> Run:
    """One process that claims and records the due tasks of the account ``bench``."""
    before = cpu_seconds(ground.servers)
    args = ("-m", "benchmarks.limits", "records", "--database", database_url, "--threads", str(threads), "--kind", kind)
    process = ground.spawn(*args)
    if process.wait(600) != 0:
        raise RuntimeError(process.output())
    report = json.loads(process.output().splitlines()[-1])
    process.kill()
    cpu = cpu_seconds(ground.servers) - before + report["cpu"]
    per_1000 = 1000 / tasks
    return Run(tasks, tasks / report["seconds"], cpu * per_1000, report["cpu"] * per_1000)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.limits", description=__doc__)
    parser.add_argument("what", choices=["http", "records"])
    parser.add_argument("--tasks", type=int, default=1000)
    parser.add_argument("--concurrency", type=int, default=100)
    parser.add_argument("--database", default="")
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--kind", choices=list(PROVIDERS), default="geelark")
    given = parser.parse_args()
    if given.what == "http":
        asyncio.run(calls(given.tasks, given.concurrency))
    else:
        records(given.database, "bench", given.kind, threads=given.threads)


if __name__ == "__main__":
    main()
