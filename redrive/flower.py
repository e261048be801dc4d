"""Flower: batches and workers in a browser, on the address that ``[flower]`` names and never without a password."""

import errno
import logging
import os
import re
import secrets
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from redrive.models import jobs
from redrive.models.broker import Broker
from redrive.models.errors import SettingsError, Unreachable
from redrive.models.settings import FlowerSettings, Settings

from .embedded import write_private
from .flower_events import sieve
from .home import AUTH_FILE, make_home

if TYPE_CHECKING:
    from celery import Celery

MOST_TASKS = 10_000
"""Batches kept in memory; the database has them all."""
_QUOTES = ("'", '"', "`")
FORGET_SECONDS = 600
ANSWER_SECONDS = 2.0
"""What the broker may take to say how long its queues are."""
NOT_READ = ("FLOWER_ADDRESS", "FLOWER_PORT", "FLOWER_UNIX_SOCKET", "FLOWER_BASIC_AUTH")
"""What is set elsewhere. Kubernetes sets the second to ``tcp://…`` for a Service of the name ``flower``."""
COLUMNS = "name,state,kwargs,result,received,started,runtime,worker,uuid"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who may sign in.

    Attributes:
        pairs: each "user:password".
        file: where they are kept; None: they came from ``FLOWER_BASIC_AUTH``.
        made: whether they were made just now, which is the one time to show them.
    """

    pairs: tuple[str, ...]
    file: Path | None = None
    made: bool = False

    def words(self) -> str:
        """What to tell the operator: a password once, when it was made, and then where it is."""
        if self.file is None:
            return "user and password from FLOWER_BASIC_AUTH"
        if not self.made:
            return f"user and password are in {self.file}"
        user, _, password = self.pairs[0].partition(":")
        return f"user {user}, password {password} (shown this once, kept in {self.file})"


def credentials(home: Path, environ: Mapping[str, str] = os.environ) -> Credentials:
    """Those of ``FLOWER_BASIC_AUTH``, else those made for this home, at first use.

    Raises:
        SettingsError: they are not "user:password".
    """
    if (given := environ.get("FLOWER_BASIC_AUTH")) is not None:
        return Credentials(_pairs(given, "FLOWER_BASIC_AUTH"))
    path = home / AUTH_FILE
    try:
        return Credentials(_pairs(path.read_text().strip(), str(path)), path)
    except FileNotFoundError:
        make_home(home)
        pair = f"redrive:{secrets.token_urlsafe(18)}"
        write_private(path, pair + "\n")
        return Credentials((pair,), path, made=True)


def _pairs(text: str, where: str) -> tuple[str, ...]:
    """Flower takes several, with commas in between."""
    pairs = tuple(text.split(","))
    if text[:1] in _QUOTES or text[-1:] in _QUOTES:
        raise SettingsError(f"{where}: must be USER:PASSWORD, and is in quotes; remove them")
    if not all(re.fullmatch(r"[^:\s]+:\S+", pair) for pair in pairs):
        raise SettingsError(f"{where}: must be USER:PASSWORD, or several with commas in between")
    if not text.isascii():
        raise SettingsError(f"{where}: must be USER:PASSWORD in plain ASCII: browsers do not agree on other letters")
    return pairs


def url(settings: FlowerSettings, environ: Mapping[str, str] = os.environ) -> str:
    """Where the page is, with what Flower's own variables make of its address."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    scheme = "https" if environ.get("FLOWER_CERTFILE") else "http"
    prefix = environ.get("FLOWER_URL_PREFIX", "").strip("/")
    return f"{scheme}://{host}:{settings.port}/{prefix}{'/' if prefix else ''}"


def check_address(settings: FlowerSettings) -> None:
    """Find out before anything is started that somebody else listens there.

    Raises:
        Unreachable: it cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except OSError as error:
        words = "is taken" if error.errno == errno.EADDRINUSE else str(error)
        raise Unreachable(f"flower.address: {settings.address} {words}; name another, or use --no-flower") from None


def run(settings: Settings, *, broker_url: str) -> int:
    """Run Flower until SIGTERM or SIGINT; the exit code.

    It is set up in this process, so that neither the broker's address nor a password is among its arguments. Its own
    ``FLOWER_*`` variables hold, except for the address. It shows, and changes nothing unless one of them says so.

    Raises:
        SettingsError: its credentials are not "user:password", or a variable of its own is wrong.
        Unreachable: its address is taken.
    """
    from flower import command  # noqa: PLC0415 - it takes most of a second
    from flower.options import options  # noqa: PLC0415 - as above

    from . import flower_queues  # noqa: PLC0415 - as above
    from .flower_door import Door, GuardedFlower  # noqa: PLC0415 - as above

    logging.basicConfig(level=logging.WARNING)
    # It warns whenever it asks and no worker is there to answer, as at every start.
    logging.getLogger("flower.inspector").setLevel(logging.ERROR)
    who = credentials(settings.environment.home)
    check_address(settings.flower)
    _set_options(settings.flower, who)
    command.extract_settings()
    command.setup_logging()
    broker = Broker.at(broker_url)
    app = _app(broker)
    sent_to: set[str] = set()
    asked = flower_queues.FlowerQueues(_app(broker, seconds=ANSWER_SECONDS))
    flower_queues.show(None if options.broker_api else asked, sent_to)
    flower = GuardedFlower(Door(who.pairs), capp=app, options=options, **command.settings)
    flower.events.on_event = sieve(flower.events.on_event, sent_to)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: flower.io_loop.add_callback_from_signal(flower.stop))
    flower.start_http_server()
    with suppress(OSError):  # a full disk: the page is there all the same
        print(f"{url(settings.flower)} - {who.words()}", flush=True)  # noqa: T201 - for the operator who started it
    flower.start()
    return 0


def _set_options(settings: FlowerSettings, who: Credentials) -> None:
    """Ours first, then those of Flower's own variables, then what neither may change."""
    from flower import command  # noqa: PLC0415 - as above
    from flower.options import options  # noqa: PLC0415 - as above

    options.max_tasks, options.tasks_columns = MOST_TASKS, COLUMNS
    # Workers take no orders, but a job could be sent from here: it needs nothing but the password.
    options.read_only = True
    # A worker has a new name with each start; those that are gone are forgotten.
    options.purge_offline_workers = FORGET_SECONDS
    for name in NOT_READ:
        os.environ.pop(name, None)
    try:
        command.apply_env_options()
    except (ValueError, KeyError):
        words = "one of Flower's own variables has a value that it cannot have; correct it or unset it"
        raise SettingsError(f"FLOWER_…: {words}") from None
    options.basic_auth = list(who.pairs)
    options.address, options.port = settings.host, settings.port


def _app(broker: Broker, seconds: float | None = None) -> "Celery":
    """An app that knows the broker and no task."""
    from celery import Celery  # noqa: PLC0415 - as above

    from redrive.worker.broker import install  # noqa: PLC0415 - as above

    install()
    app = Celery("redrive", **jobs.APP)
    jobs.connect_to(app, lambda: broker, seconds=seconds)
    return app
