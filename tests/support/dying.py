"""A scheduler or a worker that is struck at named points: ``python -P dying.py worker begun opened``.

It has one life per point, each in a process of its own that kills itself by SIGKILL when it gets there, and then a
last one in which it is the product and nothing else. ``recording:SIGSTOP`` freezes that life instead: whoever reads
its log may wake it again. Only retries count; the same points of checks are passed by.

The product has no hooks for this: one function of its is exchanged per life, before its own main is run.
"""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import kombu.message

import redrive.worker.main
from redrive.cli import main
from redrive.models import jobs, ledger
from redrive.models.settings import Settings
from redrive.models.sql import postgresql
from redrive.models.sql.db import Database, Transaction
from redrive.models.states import Operation
from redrive.scheduler.publish import Publisher
from redrive.worker.app import app
from redrive.worker.calls import Calls
from redrive.worker.http import HttpClient
from redrive.worker.recording import Recording


@dataclass
class Life:
    """This process's life.

    Attributes:
        point: where it is struck, and '' once it was.
        fatal: by which signal.
        batch: that it retries at the moment: with one thread there is one.
    """

    point: str = ""
    fatal: signal.Signals = signal.SIGKILL
    batch: object = None


life = Life()
writing = threading.RLock()
"""Held by whoever is in a transaction: a thread that falls asleep in one, because another was struck, would stop
everybody on SQLite."""

woken = threading.Event()


def strike(batch: object) -> None:
    """The end of this life, or its long sleep; what it was about is written first."""
    if life.point:
        point, life.point = life.point, ""
        with writing:
            os.write(2, f"struck at {point} batch={batch} pid={os.getpid()}\n".encode())
            os.kill(os.getpid(), life.fatal)
            # Another thread may be the one that takes the signal: this one must not go on meanwhile.
            woken.wait()


def after(owner: Any, name: str, concerns: Callable[..., object]) -> None:
    """Strike after a function, where ``concerns(result, *arguments)`` names a batch."""
    real = getattr(owner, name)

    def struck(*args: Any, **kwargs: Any) -> Any:
        result = real(*args, **kwargs)
        if batch := concerns(result, *args):
            strike(batch)
        return result

    setattr(owner, name, struck)


def before(owner: Any, name: str, concerns: Callable[..., object]) -> None:
    """Strike before a function, where ``concerns(*arguments)`` names a batch."""
    real = getattr(owner, name)

    def struck(*args: Any, **kwargs: Any) -> Any:
        if batch := concerns(*args):
            strike(batch)
        return real(*args, **kwargs)

    setattr(owner, name, struck)


def after_coroutine(owner: Any, name: str, concerns: Callable[..., object]) -> None:
    """:func:`after` for one that is awaited."""
    real = getattr(owner, name)

    async def struck(*args: Any, **kwargs: Any) -> Any:
        result = await real(*args, **kwargs)
        if batch := concerns(result, *args):
            strike(batch)
        return result

    setattr(owner, name, struck)


def mine(owner: Calls | Recording) -> object:
    """The batch of a job that retries."""
    return owner.work.id if owner.work.operation is Operation.RETRY else None


def together(concerns: Callable[[Any, Any], object]) -> None:
    """Strike after the steps of a group are made, where one of its retries ``concerns(wanted, step)``."""

    def struck_at(made: Any, _: Any, wanted: Any, *__: Any) -> object:
        mine = (x for x in wanted if is_retry(x.work) and x.work.id in made and concerns(x, made[x.work.id]))
        return next((x.work.id for x in mine), None)

    after(ledger, "advance_together", struck_at)


def is_retry(work: Any) -> bool:
    return work.operation is Operation.RETRY


# --- The scheduler's points ------------------------------------------------------------------------------------------


def claimed() -> None:
    """The batch is inserted and not committed."""
    after(ledger, "claim", lambda claim, *_: claim.batch and claim.batch.id)


def committed() -> None:
    """The batch is committed, and nobody was told."""
    before(Publisher, "send", lambda _, batch: batch.id)


def published() -> None:
    """The message is with the broker."""
    after(Publisher, "send", lambda _sent, _, batch: batch.id)


# --- The worker's points ---------------------------------------------------------------------------------------------


def begun() -> None:
    """The batch is begun and not committed."""
    after(ledger, "begin", lambda work, *_: work and work.operation is Operation.RETRY and work.id)
    after(ledger, "begin_together", lambda works, *_: next((x.id for x in works.values() if is_retry(x)), None))


def opening() -> None:
    """Attempts are opened and not committed."""
    after(ledger, "advance_retries", lambda step, _, work, *__: step.permits and work.id)
    together(lambda _, step: step.permits)


def opened() -> None:
    """Attempts are open, and no call has left."""
    before(Calls, "send", lambda calls, *_: mine(calls))


def waiting() -> None:
    """A call waits for its moment."""
    real = HttpClient._take_slot

    async def struck(self: HttpClient, leave_in: float) -> None:
        if leave_in > 0 and (batch := life.batch):
            await asyncio.sleep(leave_in / 2)
            strike(batch)
        await real(self, leave_in)

    HttpClient._take_slot = struck  # type: ignore[method-assign]
    follow_jobs()


def sent() -> None:
    """All bytes have left, and no answer was read."""
    real = aiohttp.ClientResponse.start

    async def struck(self: aiohttp.ClientResponse, connection: Any) -> aiohttp.ClientResponse:
        if batch := life.batch:
            if self._writer is not None:
                await self._writer
            await asyncio.sleep(0.1)  # nobody tells us when the provider has read them
            strike(batch)
        return await real(self, connection)

    aiohttp.ClientResponse.start = struck  # type: ignore[method-assign]
    follow_jobs()


def answered() -> None:
    """The whole answer is here, and nothing has been made of it."""
    real = HttpClient.exchange

    async def struck(self: HttpClient, *args: Any, **kwargs: Any) -> Any:
        exchange = await real(self, *args, **kwargs)
        if exchange.answer is not None and (batch := life.batch):
            strike(batch)
        return exchange

    HttpClient.exchange = struck  # type: ignore[method-assign]
    follow_jobs()


def unrecorded() -> None:
    """What came back is known, and its record not begun."""
    before(Recording, "step", lambda record, told, _: told and mine(record))


def recording() -> None:
    """What came back is written and not committed."""
    after(ledger, "advance_retries", lambda _step, _, work, told, *__: told and work.id)
    together(lambda wanted, _: wanted.news)


def recorded() -> None:
    """The batch is done, and the broker still waits for the message to be confirmed."""
    real: Callable[..., None] = kombu.message.Message.ack

    def late(self: Any, *args: Any, **kwargs: Any) -> None:
        if self.headers["task"] != jobs.RETRY:
            real(self, *args, **kwargs)

    kombu.message.Message.ack = late  # type: ignore[method-assign]
    # A message that comes twice is no retry to die at, and one that is never confirmed takes a place.
    app.conf.worker_prefetch_multiplier = 8
    after_coroutine(Recording, "end", lambda _, record, __: mine(record))


def one_writer() -> None:
    """No transaction while another thread is in one, or about to be struck."""
    real = Database.transaction

    @contextmanager
    def transaction(self: Database) -> Iterator[Transaction]:
        with writing, real(self) as t:
            yield t

    Database.transaction = transaction  # type: ignore[method-assign]


def one_batch() -> None:
    """One job at a time, so that a life that ends takes few batches with it and leaves the rest to the next."""
    real = redrive.worker.main.run

    def run(settings: Settings, **more: Any) -> int:
        own = settings.worker.model_copy(update={"threads": 1, "batches": 1})
        return real(settings.model_copy(update={"worker": own}), **more)

    redrive.worker.main.run = run


def follow_jobs() -> None:
    """Note whose calls are made."""
    real = Calls.send

    def noted(self: Calls, *args: Any) -> None:
        life.batch = mine(self)
        real(self, *args)

    Calls.send = noted  # type: ignore[method-assign]


SCHEDULER = {point.__name__: point for point in (claimed, committed, published)}
WORKER = {
    point.__name__: point
    for point in (begun, opening, opened, waiting, sent, answered, unrecorded, recording, recorded)
}


def live(point: str) -> None:
    """One life, in a child; returns when it is over."""
    if pid := os.fork():
        _, status = os.waitpid(pid, 0)
        if (code := os.waitstatus_to_exitcode(status)) != -signal.SIGKILL:
            sys.exit(f"the life that was to end at {point} ended with {code}")
        return
    name, _, number = point.partition(":")
    life.point, life.fatal = name, signal.Signals[number or "SIGKILL"]
    signal.signal(signal.SIGCONT, lambda *_: woken.set())
    postgresql.IDLE_SECONDS = 2.0  # a minute is too long for tests
    one_writer()
    one_batch()
    (SCHEDULER | WORKER)[name]()
    main()


if __name__ == "__main__":
    part, *points = sys.argv[1:]
    sys.argv = ["redrive", part]
    for each in points:
        live(each)
    os.write(2, b"struck no more\n")
    main()
