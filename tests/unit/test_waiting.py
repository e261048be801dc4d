"""What is not there yet is waited for, loudly; what will never do is not."""

import pytest

from redrive import waiting
from redrive.models.errors import DatabaseError, Locked, SchemaError, Unreachable, Unsuitable
from redrive.waiting import once_there


@pytest.fixture(autouse=True)
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long it waited, without the wait."""
    found: list[float] = []
    monkeypatch.setattr(waiting.time, "sleep", found.append)
    return found


class Tries:
    """An attempt that fails so often."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)

    def __call__(self) -> str:
        if self._errors:
            raise self._errors.pop(0)
        return "there"


@pytest.mark.parametrize("error", [Unreachable("away"), Locked("in use"), DatabaseError("no right")])
def test_what_may_pass_is_waited_for(slept: list[float], error: Exception) -> None:
    said: list[str] = []
    assert once_there(Tries(*[error] * 8), said.append) == "there"
    assert slept == [1, 2, 4, 8, 16, 30, 30, 30]
    assert said[0] == f"{error}; trying again in 1 s"
    assert len(said) == 8


@pytest.mark.parametrize("error", [Unsuitable("SQL_ASCII"), SchemaError("newer"), ValueError("a defect")])
def test_what_will_not_pass_is_not(slept: list[float], error: Exception) -> None:
    with pytest.raises(type(error)):
        once_there(Tries(Unreachable("away"), error), [].append)
    assert slept == [1]
