"""What the monkey breaks: processes, broker, database, network, and the provider's manners."""

import signal
import threading
import time
from math import inf
from typing import Any, Final

import psycopg
import redis
from sqlalchemy import select, text

from redrive.models.clock import boottime
from redrive.models.errors import Unreachable
from redrive.models.ledger import Batch
from redrive.models.sql.tables import batches
from redrive.models.states import Operation
from redrive.scheduler.publish import Publisher
from tests.chaos.monkey import Deed, Monkey
from tests.support.servers import Postgres

# --- Processes -------------------------------------------------------------------------------------------------------


def _kill(part: str) -> Deed:
    def deed(m: Monkey) -> bool:
        if (member := m.one_of(part)) is None:
            return False
        m.kill(member)
        return True

    return deed


def _drain(part: str) -> Deed:
    def deed(m: Monkey) -> bool:
        if (member := m.one_of(part)) is None:
            return False
        m.drain(member)
        return True

    return deed


def freeze_worker(m: Monkey) -> bool:
    """Past its lease: whatever it does after waking up is late.

    A stopped process cannot hang up on a provider that never answers, so no call may be hanging there: nothing is
    promised about a provider that keeps a call undecided beyond a lease.
    """
    if m.lingering_until == inf:
        m.world.clear_faults()
        m.lingering_until = boottime() + m.world.pace.timeout + 0.5
    if boottime() < m.lingering_until or (member := m.one_of("worker")) is None:
        return False
    m.freeze(member, m.world.pace.lease * m.dice.uniform(1.1, 1.6))
    return True


def freeze_scheduler(m: Monkey) -> bool:
    """Wherever it stands, with whatever it has locked."""
    if (member := m.one_of("scheduler")) is None:
        return False
    m.freeze(member, m.dice.uniform(0.5, m.world.pace.lease))
    return True


# --- Broker ----------------------------------------------------------------------------------------------------------


def empty_broker(m: Monkey) -> bool:
    """FLUSHALL."""
    if "broker" in m.busy:
        return False
    with redis.Redis.from_url(m.world.valkey.url) as client:
        client.flushall()
    return True


def restart_broker(m: Monkey) -> bool:
    """SIGKILL, and started again with nothing."""
    if "broker" in m.busy:
        return False
    m.world.valkey.kill()
    m.busy.add("broker")
    m.later(m.dice.uniform(0.1, 3), lambda: _start_broker(m))
    return True


def _start_broker(m: Monkey) -> None:
    m.world.valkey.start()
    m.busy.discard("broker")


def freeze_broker(m: Monkey) -> bool:
    """It takes connections and answers nothing."""
    if "broker" in m.busy:
        return False
    m.busy.add("broker")
    m.world.valkey.process.signal(signal.SIGSTOP)
    m.later(m.dice.uniform(0.5, 6), lambda: _thaw_broker(m))
    return True


def _thaw_broker(m: Monkey) -> None:
    m.world.valkey.process.signal(signal.SIGCONT)
    m.busy.discard("broker")


def publish_again(m: Monkey) -> bool:
    """A batch of whatever age, once more."""
    if "broker" in m.busy:
        return False
    with m.world.database.reading() as t:
        rows = t.rows(select(batches).order_by(batches.c.created_at.desc()).limit(50))
    if not rows:
        return False
    publisher = Publisher(m.world.valkey.url, m.world.settings.queues)
    try:
        for row in m.dice.sample(rows, min(3, len(rows))):
            publisher.send(Batch(row.id, row.account, row.provider, Operation(row.operation), row.size))
    finally:
        publisher.close()
    return True


# --- Database --------------------------------------------------------------------------------------------------------


def _restart_database(number: int) -> Deed:
    def deed(m: Monkey) -> bool:
        assert m.world.postgres is not None
        m.world.postgres.process.signal(number)
        m.world.postgres.process.wait(60)
        m.world.postgres.process.kill()
        time.sleep(m.dice.uniform(0, 0.7))
        m.world.postgres.start()
        return True

    return deed


def terminate_connections(m: Monkey) -> bool:
    """``pg_terminate_backend`` for some or all of ours."""
    assert m.world.postgres is not None
    share = m.dice.choice((0.3, 1.0))
    with psycopg.connect(host=str(m.world.postgres.directory), user="postgres", dbname="postgres") as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'redrive' AND random() < %s",
            (share,),
        )
    return True


def lock_database(m: Monkey) -> bool:
    """Somebody else holds everything for a while: a migration, a backup, a careless session."""
    if "lock" in m.busy:
        return False
    m.busy.add("lock")
    holder = threading.Thread(target=_hold_locks, args=(m, m.dice.uniform(0.3, 3)), daemon=True)
    holder.start()
    return True


def _hold_locks(m: Monkey, seconds: float) -> None:
    try:
        with m.world.database.transaction() as t:
            if t.dialect == "postgresql":
                t.execute(text("LOCK TABLE redrive_tasks, redrive_batches IN ACCESS EXCLUSIVE MODE"))
            time.sleep(seconds)
    except Unreachable:
        pass  # another fault took the connection, and the locks with it
    finally:
        m.busy.discard("lock")


# --- The network -----------------------------------------------------------------------------------------------------


def cut_wire(m: Monkey) -> bool:
    """Every connection to the provider breaks, whatever it carries."""
    if "network" in m.busy:
        return False
    m.world.wire.cut()
    return True


def wire_down(m: Monkey) -> bool:
    """And nobody can connect for a while."""
    if "network" in m.busy:
        return False
    m.busy.add("network")
    m.world.wire.down()
    m.later(m.dice.uniform(0.3, 3), lambda: _wire_up(m))
    return True


def _wire_up(m: Monkey) -> None:
    m.world.wire.up()
    m.busy.discard("network")


def freeze_provider(m: Monkey) -> bool:
    """It stands still: calls that have reached it are carried out when it goes on."""
    m.world.provider.signal(signal.SIGSTOP)
    try:
        time.sleep(m.dice.uniform(0.1, m.world.pace.provider_freeze))
    finally:
        m.world.provider.signal(signal.SIGCONT)
    return True


# --- The provider's manners ------------------------------------------------------------------------------------------

RETRY_PATHS: Final = ("/open/v1/task/restart", "*/script-executions/retry", "*/review/task/*retry")
READ_PATHS: Final = ("/open/v1/task/query", "*/script-execution-records*", "*/review/task/result")
PROVIDERS: Final = ("/open/*", "/v2/*", "/api/*")
GEELARK_NO_MONEY: Final = {"traceId": "", "code": 41001, "msg": "balance not enough"}
NGINX: Final = "<html><h1>404 Not Found</h1></html>"


def _manners(most: int, **fault: Any) -> Deed:
    def deed(m: Monkey) -> bool:
        path = m.dice.choice((*RETRY_PATHS, *RETRY_PATHS, *READ_PATHS, *PROVIDERS))
        m.world.fault(**{"path": path, "count": m.dice.randint(1, most), **fault})
        return True

    return deed


def server_errors(m: Monkey) -> bool:
    """A burst of one of the 5xx."""
    return _manners(6, fault="status", status=m.dice.choice((500, 502, 503, 504)))(m)


def throttling(m: Monkey) -> bool:
    """429 and how long to wait."""
    return _manners(3, fault="retry_after", seconds=m.dice.choice((0.5, 1, 3)))(m)


def _lingering(most: int, **fault: Any) -> Deed:
    """A fault that leaves a call unanswered until its caller hangs up: none while a caller cannot."""

    def deed(m: Monkey) -> bool:
        if any(member.frozen and member.part == "worker" for member in m.world.crew):
            return False
        m.lingering_until = inf
        return _manners(most, **fault)(m)

    return deed


EVERYWHERE: Final[dict[str, Deed]] = {
    "worker killed (SIGKILL)": _kill("worker"),
    "worker frozen past its lease (SIGSTOP)": freeze_worker,
    "worker drained (SIGTERM)": _drain("worker"),
    "scheduler killed (SIGKILL)": _kill("scheduler"),
    "scheduler frozen (SIGSTOP)": freeze_scheduler,
    "scheduler stopped (SIGTERM)": _drain("scheduler"),
    "broker emptied (FLUSHALL)": empty_broker,
    "broker killed, restarted empty": restart_broker,
    "broker frozen": freeze_broker,
    "job published again": publish_again,
    "database locked by somebody else": lock_database,
    "provider connections cut": cut_wire,
    "provider unreachable": wire_down,
    "provider standing still": freeze_provider,
    "answers 5xx": server_errors,
    "answers 429, Retry-After": throttling,
    "answers 401": _manners(1, fault="status", status=401),
    "answers 404 of a stranger": _manners(1, fault="status", status=404, body=NGINX),
    "answers a redirect": _manners(1, fault="redirect"),
    "answers 'no balance'": _manners(1, fault="status", status=200, body=GEELARK_NO_MONEY, path="/open/*"),
    "answers garbage": _manners(3, fault="garbage"),
    "answer too large": _lingering(2, fault="oversize", bytes=20 << 20),
    "call read, connection closed": _manners(4, fault="drop_before"),
    "call read, connection reset": _manners(4, fault="reset"),
    "call read, no answer ever": _lingering(2, fault="hang"),
    "applied, connection closed": _manners(4, fault="apply_then_drop"),
    "applied, half an answer": _manners(4, fault="drop_after"),
    "applied, answer dripping": _lingering(2, fault="drip", seconds=0.05),
}

ON_POSTGRESQL: Final[dict[str, Deed]] = {
    "PostgreSQL restarted (fast)": _restart_database(signal.SIGINT),
    "PostgreSQL crashed (immediate)": _restart_database(signal.SIGQUIT),
    "PostgreSQL connections terminated": terminate_connections,
}


def faults(postgres: Postgres | None) -> dict[str, Deed]:
    """All that can be broken on this database."""
    return EVERYWHERE | (ON_POSTGRESQL if postgres is not None else {})
