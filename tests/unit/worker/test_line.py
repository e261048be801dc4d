"""The lines before paths."""

import asyncio

import pytest

from redrive.worker.line import PathLines

PATH, OTHER = ("reviews", "/retry"), ("reviews", "/result")


def come(order: str, *, leave: str) -> str:
    """Who may ask, after these came and those left."""

    async def play() -> str:
        lines = PathLines()
        turns = {name: lines.join(PATH) for name in order}
        for name in leave:
            lines.leave(turns.pop(name))
        return "".join(name for name, turn in turns.items() if turn.come.done())

    return asyncio.run(play())


@pytest.mark.parametrize(
    ("order", "leave", "first"),
    [("abc", "", "a"), ("abc", "a", "b"), ("abc", "b", "a"), ("abc", "ba", "c"), ("abc", "ab", "c"), ("a", "a", "")],
)
def test_one_asks_at_a_time_in_the_order_they_came(order: str, leave: str, first: str) -> None:
    assert come(order, leave=leave) == first


def test_each_path_has_a_line_of_its_own() -> None:
    async def play() -> bool:
        lines = PathLines()
        return all([lines.join(PATH).come.done(), lines.join(OTHER).come.done()])

    assert asyncio.run(play())


def test_a_line_that_is_empty_is_forgotten() -> None:
    async def play() -> int:
        lines = PathLines()
        lines.leave(lines.join(PATH))
        return len(lines._lines)

    assert asyncio.run(play()) == 0
