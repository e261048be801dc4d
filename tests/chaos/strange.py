"""Strange things: rows, locks, tasks at the provider, answers and settings, each of which may harm only itself."""

import threading
from functools import partial
from typing import Final

from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import DBAPIError

from redrive.models.ledger.rows import by_ids
from redrive.models.sql.tables import tasks
from redrive.models.states import ENDED_STATES
from redrive.sandbox.samples import ACCOUNTS, KINDS
from redrive.sandbox.script import Script, make_id
from tests.chaos.monkey import Deed, Monkey
from tests.support.oddities import insert_odd, odd_values

FIRST_ODD_SERIAL: Final = 5_000_000
LONG_LIST: Final = "[" + "0," * 400_000 + "0]"
NESTED: Final = "[" * 200_000 + "]" * 200_000
LONG_NUMBER: Final = "9" * 1_000_000

SETTINGS: Final = (
    {"policy": 'on_unknown = "retry"'},
    {"policy": "retry_canceled = false"},
    {"policy": 'check_before_retry = "always"'},
    {"limits": "batch_size = 7"},
    {"limits": "max_in_flight = 1"},
)
"""What people change without changing how a task ends, once all is as it was."""


def odd_row(m: Monkey) -> bool:
    """Some of them, in one account."""
    provider, account = m.dice.choice(sorted(ACCOUNTS.items()))
    engine = m.world.database.engine
    with m.world.database.saying_unreachable(), engine.begin() as connection:
        found = []
        for values in m.dice.sample(odd_values(engine.dialect.name), 3):
            serial = FIRST_ODD_SERIAL + len(m.world.odd) + len(found)
            row = {"account": account, "kind": KINDS[provider][0], "external_id": make_id(provider, serial, Script())}
            found.append(insert_odd(connection, row | values))
    m.world.odd |= {*found}
    return True


def host_transaction(m: Monkey) -> bool:
    """A host changes some of an account's tasks, on PostgreSQL its row as well now and then, and does not commit."""
    if "host" in m.busy:
        return False
    m.busy.add("host")
    account, whole = m.dice.choice(sorted(m.world.rules)), m.dice.random() < 0.3
    threading.Thread(target=_hold, args=(m, account, whole), daemon=True).start()
    return True


def _hold(m: Monkey, account: str, whole: bool) -> None:  # noqa: FBT001 - a thread's arguments
    engine = create_engine(m.world.database.url)
    on_postgresql = engine.dialect.name == "postgresql"
    some = "UPDATE redrive_tasks SET origin = origin WHERE id IN (SELECT id FROM redrive_tasks WHERE account = :name"
    some += " ORDER BY id DESC LIMIT 100 FOR UPDATE SKIP LOCKED)" if on_postgresql else " ORDER BY id DESC LIMIT 100)"
    try:
        with engine.connect() as connection:
            connection.execute(text(some), {"name": account})
            if whole and on_postgresql:
                connection.execute(text("SELECT 1 FROM redrive_accounts WHERE name = :name FOR UPDATE"),
                                   {"name": account})  # fmt: skip
            # SQLite's one lock is everybody's: a minute of it is a minute in which nobody does anything.
            m.peace.wait(m.world.pace.host if on_postgresql else m.world.pace.host / 6)
            connection.rollback()
    except DBAPIError:
        pass  # another fault took the connection, and the locks with it
    finally:
        engine.dispose()
        m.busy.discard("host")


# --- At the provider -------------------------------------------------------------------------------------------------


def delete_tasks(m: Monkey) -> bool:
    """As a person does in the provider's own pages."""
    ids = _some(m)
    for external_id in ids:
        m.world.change_task(external_id, deleted=True)
    return bool(ids)


def speak_strangely(m: Monkey) -> bool:
    """Of some tasks, until the end of the run."""
    ids = _some(m)
    for external_id in ids:
        m.world.change_task(external_id, unreadable=True)
    m.later(m.dice.uniform(2, 2 * m.world.pace.host), partial(_speak_plainly, m, ids))
    return bool(ids)


def _speak_plainly(m: Monkey, ids: list[str]) -> None:
    for external_id in ids:
        m.world.change_task(external_id, unreadable=False)


def _some(m: Monkey) -> list[str]:
    """Tasks that have not ended, from now on with no script."""
    unended = tasks.c.status.not_in(ENDED_STATES) & tasks.c.id.not_in(m.world.odd)
    with m.world.database.reading() as t:
        rows = t.rows(select(tasks.c.external_id).where(unended).order_by(tasks.c.id.desc()).limit(50))
    ids = sorted({row.external_id for row in rows})
    chosen = m.dice.sample(ids, min(3, len(ids)))
    m.world.strange |= {*chosen}
    return chosen


def huge_answer(m: Monkey) -> bool:
    """One that is whole and takes long to read."""
    path = m.dice.choice(("/open/*", "/v2/*", "/api/*"))
    body = m.dice.choice((LONG_LIST, NESTED, LONG_NUMBER))
    m.world.fault(path=path, count=m.dice.randint(1, 3), fault="garbage", body=body)
    return True


# --- Settings --------------------------------------------------------------------------------------------------------


def remove_account(m: Monkey) -> bool:
    """And put it back a little later; some processes are started again each time."""
    return _edit(m, but=m.dice.choice(sorted(m.world.rules)))


def change_settings(m: Monkey) -> bool:
    """And change them back."""
    return _edit(m, **m.dice.choice(SETTINGS))


def _edit(m: Monkey, **edit: str) -> bool:
    if "settings" in m.busy:
        return False
    m.busy.add("settings")
    m.world.write(**edit)
    _start_some_again(m)
    m.later(m.dice.uniform(2, m.world.pace.lease), lambda: _edit_back(m))
    return True


def _edit_back(m: Monkey) -> None:
    m.world.write()
    _start_some_again(m)
    m.busy.discard("settings")


def _start_some_again(m: Monkey) -> None:
    for part in ("scheduler", "worker"):
        if (member := m.one_of(part)) is not None:
            m.drain(member)


STRANGE: Final[dict[str, Deed]] = {
    "odd rows inserted": odd_row,
    "a host's transaction left open": host_transaction,
    "tasks deleted at the provider": delete_tasks,
    "states in strange words": speak_strangely,
    "answers huge and whole": huge_answer,
    "account removed and put back": remove_account,
    "settings changed and changed back": change_settings,
}


def accounted_for(m: Monkey) -> list[str]:
    """Of the odd rows, those of which nobody says what became of them."""
    world = m.world
    with world.database.reading() as t:
        found = t.rows(select(tasks.c.id, tasks.c.account, tasks.c.status).where(by_ids(world.odd)))
        why = {row.task_id: row.why for row in t.rows(text("SELECT task_id, why FROM redrive_quarantine"))}
    at_rest = {*ENDED_STATES, "held"}
    return [f"odd row {row.id} ({row.account}) is {row.status}" for row in found
            if row.status not in at_rest and not why.get(row.id)]  # fmt: skip
