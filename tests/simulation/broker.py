"""A broker that loses, doubles, delays and reorders what it carries, and is emptied or refuses now and then."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any

from tests.simulation.history import History
from tests.simulation.stage import Stage

if TYPE_CHECKING:
    from asyncio import TimerHandle


@dataclass(frozen=True)
class Troubles:
    """How a broker fails, as probabilities per message."""

    loses: float = 0.0
    doubles: float = 0.0
    delays: float = 0.0
    longest_delay: float = 60.0


@dataclass(frozen=True)
class Message:
    queue: str
    name: str
    batch_id: str


Consumer = Callable[[Message], bool]
"""Takes a message, or says that it cannot."""


class Broker:
    """Also the Celery app of a publisher: it knows ``send_task`` and nothing else of one."""

    def __init__(self, stage: Stage, history: History, rng: Random, troubles: Troubles) -> None:
        self.refuses = False
        self.troubles = troubles
        self._stage = stage
        self._history = history
        self._rng = rng
        self._waiting: dict[str, list[Message]] = defaultdict(list)
        self._on_their_way: list[TimerHandle] = []
        self._consumers: list[Consumer] = []

    def send_task(
        self, name: str, args: Sequence[str], kwargs: Mapping[str, Any], task_id: str, queue: str, **_: Any
    ) -> None:
        """Take a message, or refuse as kombu does."""
        if self.refuses:
            raise ConnectionRefusedError("the broker refuses")
        assert task_id == args[0], "a job's id is its batch's"
        assert "operation" in kwargs
        message = Message(queue, name, args[0])
        if self._rng.random() < self.troubles.loses:
            return self._history.fault("broker", "message lost", message.batch_id)
        self._carry(message, self._delay())
        if self._rng.random() < self.troubles.doubles:
            self._history.fault("broker", "message doubled", message.batch_id)
            self._carry(message, self._rng.choice((0.0, 0.01, 1.0, 10.0, 60.0)) * self._rng.random())
        return None

    def close(self) -> None:
        """As a publisher's app."""

    def _delay(self) -> float:
        if self._rng.random() < self.troubles.delays:
            self._history.faults["message delayed"] += 1
            return self._rng.uniform(1, self.troubles.longest_delay)
        return self._rng.uniform(0.001, 0.05)

    def _carry(self, message: Message, seconds: float) -> None:
        self._on_their_way.append(self._stage.loop.call_later(seconds, self._arrive, message))

    def _arrive(self, message: Message) -> None:
        self._waiting[message.queue].append(message)
        self._hand_out()

    def consume(self, consumer: Consumer) -> None:
        self._consumers.append(consumer)
        self._hand_out()

    def leave(self, consumer: Consumer) -> None:
        if consumer in self._consumers:
            self._consumers.remove(consumer)

    def lose_everything(self) -> None:
        """As a broker that was killed."""
        for handle in self._on_their_way:
            handle.cancel()
        self._on_their_way.clear()
        self._waiting.clear()
        self._history.fault("broker", "broker emptied")

    def _hand_out(self) -> None:
        for waiting in self._waiting.values():
            while waiting and self._taken(waiting[0]):
                waiting.pop(0)

    def _taken(self, message: Message) -> bool:
        consumers = list(self._consumers)
        self._rng.shuffle(consumers)
        return any(consumer(message) for consumer in consumers)
