"""A thread that writes down that this worker runs, whatever its jobs wait for."""

import threading

import structlog

from redrive.models.ledger import BEAT_SECONDS
from redrive.models.presence import Presence

log = structlog.get_logger("redrive.worker")

GOODBYE_SECONDS = 2.0
"""How long the end of a process waits until its row is gone: a database that is away keeps no worker."""


class Heart:
    """Beats from :meth:`start` to :meth:`stop`. What goes wrong is logged once, and tried again at the next beat."""

    def __init__(self, presence: Presence) -> None:
        self._presence = presence
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="redrive-heart", daemon=True)
        self._failing = False

    def start(self) -> None:
        """Begin, unless it beats already."""
        if not self._thread.is_alive() and not self._stopped.is_set():
            self._thread.start()

    def stop(self) -> None:
        """End, and take this process off the list."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(GOODBYE_SECONDS)

    def _run(self) -> None:
        self._beat()
        while not self._stopped.wait(BEAT_SECONDS):
            self._beat()
        try:
            self._presence.end()
        except Exception as error:  # noqa: BLE001 - its row grows old by itself
            log.warning("heartbeat.failed", error=type(error).__name__)

    def _beat(self) -> None:
        try:
            self._presence.beat()
        except Exception as error:  # noqa: BLE001 - nothing that goes wrong here is worth a job
            if not self._failing:
                log.warning("heartbeat.failed", error=type(error).__name__)
            self._failing = True
        else:
            self._failing = False
