"""What people do meanwhile: only what leaves a task's end what it was."""

from functools import partial
from typing import Final

from sqlalchemy import select

from redrive.models import ledger
from redrive.models.ledger import Who
from redrive.models.sql.tables import accounts, tasks
from redrive.models.states import ENDED_STATES
from tests.chaos.feed import Feed
from tests.chaos.monkey import Deed, Monkey

WHO: Final = Who("monkey", "chaos")
SOME: Final = 20


def pause_account(m: Monkey) -> bool:
    """And resume it a little later."""
    name = m.dice.choice(sorted(m.world.rules))
    with m.world.database.transaction() as t:
        ledger.pause(t, name, WHO)
    m.later(m.dice.uniform(0.5, 4), partial(_resume, m, name))
    return True


def _resume(m: Monkey, name: str) -> None:
    with m.world.database.transaction() as t:
        ledger.resume(t, name, WHO)


def resume_stopped(m: Monkey) -> int:
    """Accounts that the provider's answers stopped are somebody's to resume; how many there were."""
    with m.world.database.reading() as t:
        names = [row.name for row in t.rows(select(accounts.c.name).where(accounts.c.paused_by == "redrive"))]
    for name in names:
        _resume(m, name)
    m.done["people: account resumed that an answer had paused"] += len(names)
    return len(names)


def hold_some(m: Monkey) -> bool:
    """And release them a little later."""
    ids = _unfinished(m)
    _act(m, "hold", ids)
    m.later(m.dice.uniform(1, 6), lambda: _act(m, "release", ids))
    return bool(ids)


def release_set_aside(m: Monkey) -> None:
    """Somebody looks at what Redrive has set aside, and releases it: its provider can be understood again."""
    held = (tasks.c.status == "held") & tasks.c.id.not_in(m.world.odd)
    with m.world.database.reading() as t:
        ids = [row.id for row in t.rows(select(tasks.c.id).where(held))]
    if ids:
        _act(m, "release", ids)
        m.done["people: tasks released that were set aside"] += len(ids)


def retry_some(m: Monkey) -> bool:
    """Now, within the limits."""
    ids = _unfinished(m)
    _act(m, "retry", ids)
    return bool(ids)


def _unfinished(m: Monkey) -> list[int]:
    with m.world.database.reading() as t:
        unended = tasks.c.status.not_in(ENDED_STATES) & tasks.c.id.not_in(m.world.odd)
        rows = t.rows(select(tasks.c.id).where(unended).order_by(tasks.c.id))
    return sorted(m.dice.sample([row.id for row in rows], min(SOME, len(rows))))


def _act(m: Monkey, what: str, ids: list[int]) -> None:
    with m.world.database.transaction() as t:
        ledger.act(t, what, ids, m.world.rules, WHO)


def _add_again(feed: Feed, m: Monkey) -> bool:
    """The nightly export lists again what failed yesterday."""
    return bool(feed.added) and feed.add(m.dice.sample(feed.added, min(SOME, len(feed.added))))


def people(feed: Feed) -> dict[str, Deed]:
    """All that people do."""
    return {
        "people: account paused and resumed": pause_account,
        "people: tasks held and released": hold_some,
        "people: tasks retried now": retry_some,
        "people: tasks added again": partial(_add_again, feed),
    }
