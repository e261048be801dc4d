"""The rows of configured accounts: made without waiting for anybody, and what follows an account to another group."""

import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, select, text, update

from redrive.models import ledger
from redrive.models.clock import boottime
from redrive.models.errors import SettingsError
from redrive.models.ledger import breaker, permits
from redrive.models.outcome import Throttled
from redrive.models.rules import GROUP_WIDE
from redrive.models.sql.db import Transaction
from redrive.models.sql.tables import accounts, limits
from redrive.models.states import Operation
from tests.support.world import World

RESTART, QUERY = "/open/v1/task/restart", "/open/v1/task/query"
PROVIDERS = {"phones": "geelark", "desktops": "huawei_workspace", "tablets": "geelark"}

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


def ensure(world: World, groups: Mapping[str, str] | None = None) -> frozenset[str]:
    with world.begin() as t:
        return ledger.ensure(t, PROVIDERS, groups)


def grouped(world: World, group: str, *names: str, **more: Any) -> None:
    """A scheduler starts with these accounts in that group."""
    for name in names:
        world.rules[name] = replace(world.rules["phones"], account=name, group=group, **more)
    assert ensure(world, {name: world.rules[name].group for name in PROVIDERS if name in world.rules}) == frozenset()


def penalize(world: World, name: str, path: str, seconds: float, **more: Any) -> None:
    with world.begin() as t:
        permits.penalize(t, world.rules[name], [(path, Throttled(wait_seconds=seconds, **more))])


def wait(world: World, name: str, path: str = RESTART) -> float:
    with world.database.reading() as t:
        paths = permits.paths_of(t, world.rules[name])
        return (permits.free_at(paths, path, t.now) - t.now).total_seconds()


def test_a_penalty_follows_an_account_to_its_new_group(world: World) -> None:
    """The provider locked it for two hours, whatever its operator calls the quota; its team waits with it."""
    grouped(world, "phones", "phones")
    penalize(world, "phones", RESTART, 7200, code="40014", message="locked")
    penalize(world, "phones", QUERY, 600)
    grouped(world, "team", "phones", "tablets")
    assert [wait(world, name) for name in ("phones", "tablets")] == [7200, 7200]
    assert wait(world, "tablets", QUERY) == 600
    row = world.limit(RESTART, "team")
    assert (row["why"], row["blocked_seconds"]) == ("code 40014: locked", 7200)
    world.clock.forward(7201)
    assert wait(world, "tablets") == 0


@pytest.mark.parametrize("leaver", ["phones", "tablets"])
def test_it_follows_whoever_leaves_a_group(world: World, leaver: str) -> None:
    grouped(world, "team", "phones", "tablets")
    penalize(world, "phones", RESTART, 7200, whole_account=True)
    grouped(world, f"{leaver}-alone", leaver)
    assert wait(world, leaver) == 7200
    assert world.limit(GROUP_WIDE, "team")["blocked_until"] == world.clock.now + timedelta(hours=2)


def test_the_pace_follows_too(world: World) -> None:
    """The call of a moment ago counts in the new group's minute."""
    grouped(world, "phones", "phones", interval_seconds=30.0)
    with world.begin() as t:
        permits.take(t, world.rules["phones"], {RESTART: 1}, t.now)
    grouped(world, "team", "phones", interval_seconds=30.0)
    assert wait(world, "phones") == 30


@pytest.mark.parametrize(("theirs", "ours"), [(7200, 60), (60, 7200)])
def test_of_two_waits_the_longer_stands(world: World, theirs: float, ours: float) -> None:
    grouped(world, "phones", "phones")
    grouped(world, "team", "tablets")
    penalize(world, "phones", RESTART, theirs)
    penalize(world, "tablets", RESTART, ours)
    grouped(world, "team", "phones")
    assert wait(world, "tablets") == 7200


def test_old_and_new_processes_do_not_undo_each_other(world: World) -> None:
    """While both are at work the account goes to and fro, and every wait goes with it."""
    grouped(world, "phones", "phones")
    for n in range(1, 4):
        penalize(world, "phones", RESTART, 1000.0 * n)
        grouped(world, "team", "phones")
        assert wait(world, "phones") == 1000 * n
        penalize(world, "phones", QUERY, 500.0 * n)
        grouped(world, "phones", "phones")
        assert (wait(world, "phones"), wait(world, "phones", QUERY)) == (1000 * n, 500 * n)


def test_an_account_from_before_groups_were_remembered_had_its_own(world: World) -> None:
    penalize(world, "phones", RESTART, 7200)
    assert world.account()["limit_group"] == ""
    grouped(world, "team", "phones")
    assert wait(world, "phones") == 7200
    assert world.account()["limit_group"] == "team"


def test_a_breaker_is_the_accounts_own(world: World) -> None:
    """It stays where it is: its row bears the account's name, which may be a group's name, too."""
    grouped(world, "phones", "phones")
    with world.begin() as t:
        breaker.store(t, "phones", Operation.RETRY, breaker.Breaker(failures=3))
    grouped(world, "team", "phones")
    with world.database.reading() as t:
        assert not t.rows(select(limits).where(limits.c.group == "team", limits.c.path.startswith("#")))


def test_a_host_moves_nobody(world: World) -> None:
    """Its settings may be older than the service's, and its transactions last for hours."""
    grouped(world, "team", "phones")
    ensure(world)
    assert world.account()["limit_group"] == "team"


def test_in_the_usual_case_nothing_is_written(world: World) -> None:
    groups = {"phones": "team", "desktops": "desktops", "tablets": "team"}
    ensure(world, groups)
    with world.statements() as seen:
        ensure(world, groups)
        ensure(world)
    assert not [statement for statement in seen if not statement.startswith(("SELECT", "BEGIN"))]
    assert not [statement for statement in seen if "FOR UPDATE" in statement]


@pytest.mark.parametrize("made_by", ["nobody", "a host"])
@pytest.mark.parametrize("others", [0, 1])
def test_thousands_of_rows_take_as_many_statements_as_a_few(world: World, made_by: str, others: int) -> None:
    """At the first start with them, be it before or after a host has added tasks."""

    def statements(number: int) -> int:
        names = [f"{number}-{n}" for n in range(number)]
        more = {f"other-{number}": "team" for _ in range(others)}
        providers = dict.fromkeys([*names, *more], "geelark")
        if made_by == "a host":
            with world.begin() as t:
                ledger.ensure(t, providers)
        with world.statements() as seen, world.begin() as t:
            assert ledger.ensure(t, providers, {name: name for name in names} | more) == frozenset()
        with world.database.reading() as t:
            kept = {row.name: row.limit_group for row in t.rows(select(accounts).where(accounts.c.name.in_(names)))}
        assert kept == {name: name for name in names}
        return len(seen)

    assert statements(300) <= statements(3)


@on_postgresql
def test_a_held_row_keeps_only_itself_back(world: World) -> None:
    """Of those to be made, and of those to be noted as their own groups."""
    ensure(world)
    names = dict.fromkeys(["aa", "mm", "zz"], "geelark")
    with world.begin() as host:
        ledger.ensure(host, {"mm": "geelark"})
        host.execute(update(accounts).where(accounts.c.name == "phones").values(refusals=0))
        groups = {name: name for name in (*PROVIDERS, *names)}
        with world.begin() as t:
            assert ledger.ensure(t, PROVIDERS | names, groups) == {"mm", "phones"}
    assert [world.account(name)["limit_group"] for name in ("aa", "zz", "tablets", "phones")] == [
        "aa", "zz", "tablets", ""
    ]  # fmt: skip


def test_the_schema_before_remembers_no_group(world: World) -> None:
    world.database.level = 1
    with world.begin() as t:
        t.execute(delete(accounts))
    assert ensure(world, {"phones": "team", "tablets": "team"}) == frozenset()
    world.database.level = 2
    assert world.account()["limit_group"] == ""


def test_a_name_that_another_made_meanwhile_keeps_its_provider(world: World) -> None:
    with pytest.raises(SettingsError, match=r"accounts\.phones\.provider: was geelark"), world.begin() as t:
        ledger.ensure(t, {"phones": "docflow", "new": "geelark"})
    with world.database.reading() as t:
        assert not t.rows(select(accounts).where(accounts.c.name == "new"))


@on_postgresql
def test_a_host_that_makes_the_same_row_keeps_nobody_waiting(world: World) -> None:
    """Its transaction may last for hours: others are served meanwhile, and that account is named to be asked again."""
    with world.begin() as host:
        ledger.ensure(host, PROVIDERS)
        began = boottime()
        with world.begin() as t:
            assert ledger.ensure(t, PROVIDERS | {"zebra": "geelark"}) == {"tablets"}
            assert t.execute(text("SHOW lock_timeout")).scalar_one() == "5s"
            assert t.rows(select(accounts.c.name).where(accounts.c.name == "zebra"))
        assert boottime() - began < 3
        host.connection.rollback()
    assert ensure(world) == frozenset()
    assert world.account("tablets")["provider"] == "geelark"


@on_postgresql
def test_a_host_without_a_lock_timeout_does_not_wait_either(world: World) -> None:
    """On its own connection, whose settings stay as they were."""
    with world.begin() as other, world.database.engine.connect() as connection:
        ledger.ensure(other, PROVIDERS)
        connection.execute(text("SET lock_timeout = 0"))
        assert ledger.ensure(Transaction.over(connection), PROVIDERS) == {"tablets"}
        assert connection.execute(text("SHOW lock_timeout")).scalar_one() == "0"
        connection.rollback()


@on_postgresql
def test_an_account_that_somebody_holds_moves_later(world: World) -> None:
    ensure(world, {"phones": "phones", "tablets": "phones"})
    with world.begin() as t:
        t.execute(update(accounts).where(accounts.c.name == "phones").values(refusals=0))
        assert ensure(world, {"phones": "team", "tablets": "team"}) == {"phones"}
    assert ensure(world, {"phones": "team", "tablets": "team"}) == frozenset()
    assert world.account("phones")["limit_group"] == "team"


@on_postgresql
def test_many_make_the_same_rows_at_once(world: World) -> None:
    """Nobody fails, and at the end every row is there."""
    names = {f"account {n}": "geelark" for n in range(20)}
    failed: list[BaseException] = []

    def make() -> None:
        try:
            with world.begin() as t:
                ledger.ensure(t, names, dict.fromkeys(names, "team"))
        except BaseException as error:  # noqa: BLE001 - reported below
            failed.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    with world.begin() as t:
        ledger.ensure(t, names)
        assert len(t.rows(select(accounts).where(accounts.c.name.startswith("account ")))) == 20
