"""The connection to the broker, where Celery's own does not outlive the broker."""

from kombu.transport import redis


class Channel(redis.Channel):
    """A channel that can be closed after its connection is gone.

    Celery closes a lost connection twice. The first time fails where the broker refuses to be asked for the rest of an
    answer; the second time there is no address left to give unconfirmed messages back to, and kombu (5.7) raises an
    ``AttributeError`` that ends the worker. They are published again anyway.
    """

    def close(self) -> None:
        """Close the channel, and give messages back if there is still somebody to give them to."""
        if self.connection is None or self.connection.client is None:
            self.do_restore = False
        super().close()  # type: ignore[no-untyped-call]


def install() -> None:
    """Use it for all connections of this process."""
    redis.Transport.Channel = Channel
