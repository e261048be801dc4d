"""Whose turn it is where more is wanted than threads can do, and what waits beside them."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from redrive.worker import desk as desks
from redrive.worker.desk import MOST_THREADS, Desk
from redrive.worker.draining import Draining
from redrive.worker.slots import Slots


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk(1)
    yield desk
    desk.close()


async def order(desk: Desk, steps: int, begins: int) -> str:
    """What is done after what, of so many that wait while the only thread is busy."""
    done, busy = list[str](), threading.Event()
    first = asyncio.ensure_future(desk.step(busy.wait))
    errands: list[Coroutine[Any, Any, None]] = [desk.step(done.append, "s") for _ in range(steps)]
    errands += [desk.begin(done.append, "b") for _ in range(begins)]
    waiting = [asyncio.ensure_future(each) for each in errands]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    busy.set()
    await asyncio.gather(first, *waiting)
    return "".join(done)


def test_steps_and_begins_take_turns(desk: Desk) -> None:
    """An account with much to do keeps no other one from beginning."""
    found = asyncio.run(order(desk, 5, 3))
    assert found in ("sbsbsbss", "bsbsbsss")


def test_a_worker_that_falls_behind_begins_little(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """But it begins: there is no account that it never serves."""
    monkeypatch.setattr(desks, "BEHIND_SECONDS", -1.0)
    found = asyncio.run(order(desk, 20, 2))
    assert 0 < found.index("b") < found.rindex("b")
    assert found.rindex("b") - found.index("b") == 8


@pytest.mark.parametrize(("steps", "begins"), [(4, 0), (0, 4), (1, 1)])
def test_all_are_done_whatever_waits(desk: Desk, steps: int, begins: int) -> None:
    assert sorted(asyncio.run(order(desk, steps, begins))) == sorted("s" * steps + "b" * begins)


def test_what_a_step_raises_reaches_the_one_who_waits(desk: Desk) -> None:
    def fails() -> None:
        raise SystemExit("mine")

    async def waits() -> None:
        with pytest.raises(SystemExit, match="mine"):
            await desk.step(fails)
        assert await desk.step(int) == 0

    asyncio.run(waits())


def test_there_are_never_more_threads_than_connections_for_them() -> None:
    assert Desk(1024).threads == MOST_THREADS


@pytest.mark.parametrize("when", ["before", "meanwhile", "from another thread"])
def test_who_waits_for_a_moment_is_told_to_stop(when: str) -> None:
    draining = Draining()
    say: dict[str, Callable[[], object]] = {
        "before": draining.set,
        "meanwhile": lambda: asyncio.get_running_loop().call_soon(draining.set),
        "from another thread": lambda: threading.Thread(target=draining.set).start(),
    }

    async def waits() -> bool:
        say[when]()
        return await draining.within(60)

    assert asyncio.run(asyncio.wait_for(waits(), 30))


def test_a_moment_comes_although_nobody_says_to_stop() -> None:
    assert not asyncio.run(Draining().within(0.01))


def test_who_waits_for_slots_gets_a_fair_part_as_they_come_free() -> None:
    """Given back in any thread."""
    slots = Slots(8, lambda: 0.0)

    async def waits() -> int:
        assert slots.take(8) == 8
        threading.Thread(target=slots.give_back, args=(2,)).start()
        await slots.wait(8, 60)
        return slots.take(8)

    assert asyncio.run(asyncio.wait_for(waits(), 30)) == 2
    assert slots.taken == 8
