"""Answers of any shape hold up nobody: the loop that serves all accounts goes on while one of them is read."""

import asyncio
import gc
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from redrive.models.capabilities import Capabilities
from redrive.models.providers import DOCFLOW, GEELARK, HUAWEI_WORKSPACE
from redrive.models.states import Operation
from redrive.worker.crew import Crew
from redrive.worker.providers import load
from redrive.worker.providers.base import Account, Answer, Exchange, Provider, TaskRef
from redrive.worker.reading import Found, Question

LONGEST_STANDSTILL_SECONDS = 0.05
TRIES = 5
"""On a busy machine the loop may wait for others than us."""
OPTIONS = {
    "geelark": {"token": "gl-secret-0123456789"},
    "huawei_workspace": {"project_id": "p1", "auth_token": "hw-secret-0123456789", "region": "ap-southeast-1"},
    "docflow": {"app_id": "ti-app-0123456789", "secret_code": "ti-secret-0123", "archive_results": True},
}
TASKS = {
    "geelark": [TaskRef(n, "", str(5_900_000 + n)) for n in range(1, 101)],
    "huawei_workspace": [TaskRef(1, "task", "t1")],
    "docflow": [TaskRef(1, "review_task", "31", params={"workspace_id": "9"})],
}


@pytest.fixture(scope="module")
def crew() -> Iterator[Crew]:
    with closing(Crew()) as crew:
        yield crew


@pytest.fixture(autouse=True, scope="module")
def _settled() -> Iterator[None]:
    """As in a worker, whose garbage collector leaves alone what was there at its start."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def provider(name: str) -> Provider:
    return load(name)(Account(name, "https://api.example", OPTIONS[name]))


def question(name: str, operation: Operation, body: bytes, capabilities: Capabilities) -> Question:
    asked = provider(name)
    plan = asked.retries(TASKS[name]) if operation is Operation.RETRY else asked.checks(TASKS[name])
    exchange = Exchange(sent=True, answer=Answer(200, {}, body))
    secrets = tuple(str(value) for value in OPTIONS[name].values())
    return Question(
        asked, operation, plan.calls[0], exchange, secrets, archives=True, most_items=capabilities.read_items
    )


async def longest_standstill(until: "asyncio.Future[Any]") -> float:
    """How long the loop did nothing else, at most, until then."""
    loop, longest = asyncio.get_running_loop(), 0.0
    while not until.done():
        before = loop.time()
        await asyncio.sleep(0.001)
        longest = max(longest, loop.time() - before - 0.001)
    return longest


def filled(head: str, item: str, tail: str, size: int) -> bytes:
    """A body of nearly that size, of the same item again and again."""
    count = (size - len(head) - len(tail)) // (len(item) + 1)
    return (head + ",".join([item] * count) + tail).encode()


SHAPES: list[tuple[str, str, str, str, Capabilities]] = [
    ("geelark", '{"code":0,"data":{"items":[', "[]", "]}}", GEELARK),
    ("geelark", '{"code":0,"data":{"items":[', '{"id":1}', "]}}", GEELARK),
    ("huawei_workspace", '{"count":99999999,"script_records":[', "0", "]}", HUAWEI_WORKSPACE),
    ("huawei_workspace", '{"count":99999999,"script_records":[', "{}", "]}", HUAWEI_WORKSPACE),
    ("docflow", '{"code":200,"result":{"task_id":"31","status":2,"groups":[', "0", "]}}", DOCFLOW),
    ("docflow", '{"code":200,"result":{"task_id":"31","status":2,"groups":[{"review_tasks":[', "{}", "]}]}}", DOCFLOW),
    (
        "docflow",
        '{"code":200,"result":{"task_id":"31","status":2,"x":[',
        '"' + "\\u00e4%2f&amp;" * 90 + '"',
        "]}}",
        DOCFLOW,
    ),
    ("docflow", '{"code":200,"result":{"task_id":"31","status":2,"x":[', "1" * 4000, "]}}", DOCFLOW),
    ("docflow", '{"code":200,"result":{"task_id":"31","status":2,"x":"', "A", '"}}', DOCFLOW),
]


@pytest.mark.parametrize("size", [100_000, 1_000_000, None])
@pytest.mark.parametrize(("name", "head", "item", "tail", "capabilities"), SHAPES)
def test_the_loop_goes_on_whatever_is_read(
    crew: Crew, name: str, head: str, item: str, tail: str, capabilities: Capabilities, size: int | None
) -> None:
    """Of every size up to the largest that is received; as deep and as wide as it may be."""
    body = filled(head, item, tail, min(size or capabilities.read_bytes, capabilities.read_bytes))
    asked = question(name, Operation.CHECK, body, capabilities)

    async def reads() -> tuple[Found, float]:
        reading = asyncio.ensure_future(crew.read(asked, asyncio.Lock()))
        standstill = await longest_standstill(reading)
        return await reading, standstill

    for _ in range(TRIES):
        found, standstill = asyncio.run(reads())
        assert found.answers.keys() == {task.id for task in asked.call.tasks} or found.more
        if standstill < LONGEST_STANDSTILL_SECONDS:
            return
    raise AssertionError(f"the loop stood still for {standstill:.3f} s")
