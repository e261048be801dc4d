"""Flower's door: the right password always, wrong ones ten times and then once a minute."""

from base64 import b64encode
from http import HTTPStatus
from itertools import count

import pytest

from redrive import flower_door
from redrive.flower_door import FREE, SECONDS, Door

HERE = "192.0.2.1"


class Visitors:
    """Somebody who tries passwords, and the time that passes."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._numbers = count()
        self.door = Door(["operator:right", "other:also:right"], lambda: self.now)

    def try_(self, pair: str, address: str = HERE) -> int:
        return self.door.answer(address, f"Basic {b64encode(pair.encode()).decode()}")

    def guess(self, times: int, address: str = HERE) -> list[int]:
        return [self.try_(f"operator:{next(self._numbers)}", address) for _ in range(times)]


@pytest.fixture
def visitors() -> Visitors:
    return Visitors()


@pytest.mark.parametrize("pair", ["operator:right", "other:also:right"])
def test_who_knows_the_password_is_never_counted(visitors: Visitors, pair: str) -> None:
    assert {visitors.try_(pair) for _ in range(3 * FREE)} == {HTTPStatus.OK}


def test_a_guesser_gets_ten_and_then_one_a_minute(visitors: Visitors) -> None:
    assert visitors.guess(FREE + 2) == [401] * FREE + [429] * 2
    assert visitors.try_("operator:right") == 429
    for _ in range(5):
        visitors.now += SECONDS
        assert visitors.guess(2) == [401, 429]
    visitors.now += FREE * SECONDS
    assert visitors.guess(FREE + 1) == [401] * FREE + [429]


def test_after_a_minute_the_right_one_is_taken(visitors: Visitors) -> None:
    visitors.guess(FREE)
    visitors.now += SECONDS
    assert visitors.try_("operator:right") == 200


def test_other_addresses_are_not_kept_waiting(visitors: Visitors) -> None:
    visitors.guess(100)
    assert visitors.try_("operator:right", "192.0.2.2") == 200
    assert visitors.try_("operator:mistyped", "2001:db8::1") == 401


def test_an_open_page_with_an_old_password_keeps_nobody_out(visitors: Visitors) -> None:
    """It asks again every few seconds: that is one wrong password, however often it comes."""
    assert {visitors.try_("operator:old") for _ in range(100)} == {401}
    assert visitors.try_("operator:right") == 200
    visitors.guess(FREE)
    assert visitors.try_("operator:old") == 401


def test_who_has_many_addresses_gains_nothing_by_the_next(visitors: Visitors, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond some all count as one; addresses that were told apart before stay so, and are forgotten in time."""
    monkeypatch.setattr(flower_door, "MOST_ADDRESSES", 5)
    tried = [visitors.guess(1, f"2001:db8::{number}")[0] for number in range(40)]
    assert tried == [401] * (5 + FREE) + [429] * (40 - 5 - FREE)
    assert visitors.try_("operator:right", "2001:db8::2") == 200
    visitors.now += FREE * SECONDS + 1
    assert visitors.try_("operator:right", "192.0.2.9") == 200


@pytest.mark.parametrize(
    "strange", ["", "Basic", "basic b3BlcmF0b3I6cmlnaHQ=", "Basic b3BlcmF0b3I6cmlnaHQ", "\udcff", "密码"]
)
def test_anything_else_is_wrong(visitors: Visitors, strange: str) -> None:
    assert visitors.door.answer(HERE, strange) == 401
