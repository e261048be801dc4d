"""What somebody should know, by what it needs: a person, or only time."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from redrive.models.explain.obstacles import breaker_words, missing_words, remedies, set_aside_words, trouble_words
from redrive.models.explain.words import ago, ahead, duration, many
from redrive.models.queries import AccountOverview, BreakerState, Overview, Pause

from .failures import NOT_WELL, WAITS

_LATE = timedelta(minutes=5)
_IDS_SHOWN = 5


class Needs(StrEnum):
    """What ends it."""

    PERSON = "person"
    TIME = "time"
    NOTHING = "nothing"


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing somebody should know, and what it is about."""

    about: str
    words: str
    needs: Needs = Needs.PERSON


def exit_code(found: Iterable[Notice]) -> int:
    """What a monitor gets of it."""
    needs = {notice.needs for notice in found}
    return NOT_WELL if Needs.PERSON in needs else WAITS if Needs.TIME in needs else 0


def notices(overview: Overview) -> Iterator[Notice]:
    """Everything worth a word."""
    yield from _missing(overview)
    if any(account.configured is None for account in overview.accounts):
        words = "those of the service are not here, so this cannot say what it does with an account"
        yield Notice("settings", f"{words}; run this where they are, or name them in REDRIVE_CONFIG", Needs.NOTHING)
    yield from _troubles(overview)
    for account in overview.accounts:
        yield from _of_account(account, overview)
    yield from _set_aside(overview)
    yield from _penalties(overview)
    yield from _unbegun(overview)


def _missing(overview: Overview) -> Iterator[Notice]:
    if overview.accounts:
        for each in overview.missing:
            yield Notice(each.role, missing_words(each.role, each.seen_at, overview.at))


def _troubles(overview: Overview) -> Iterator[Notice]:
    for name, why in sorted(overview.troubles.items()):
        yield Notice(f"accounts.{name}" if name else "scheduler", trouble_words(why))


def _set_aside(overview: Overview) -> Iterator[Notice]:
    """A line for each account and reason."""
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for each in overview.set_aside:
        found[each.account, set_aside_words(each.cause, each.why)].append(each.id)
    for (account, words), ids in found.items():
        shown = " ".join(map(str, ids[:_IDS_SHOWN]))
        more = f" and {len(ids) - _IDS_SHOWN:,} more" if len(ids) > _IDS_SHOWN else ""
        subject = f"{many(len(ids), 'task')} ({shown}{more})"
        yield Notice(f"accounts.{account}", f"{subject} set aside: {words}; then redrive release {ids[0]}")


def _of_account(account: AccountOverview, overview: Overview) -> Iterator[Notice]:
    about = f"accounts.{account.account}"
    if account.configured is False and (left := sum(account.tasks.values())):
        words = f"is not configured: {many(left, 'task')} kept, never claimed"
        yield Notice(about, f"{words}; configure it, or `redrive stop -a {account.account}` gives them up")
    if account.recorded_provider not in {None, account.provider}:
        words = f"its tasks are {account.recorded_provider}'s and not {account.provider}'s: nothing is claimed"
        yield Notice(about, f"{words}; give the {account.provider} account another name")
    if account.paused is not None:
        yield Notice(about, _pause(account.account, account.paused, overview.at))
    for breaker in account.breakers:
        yield Notice(about, _breaker(account.account, breaker, overview.at), Needs.TIME)
    if _is_late(account, overview):
        late = duration((overview.at - (account.due_since or overview.at)).total_seconds())
        words = f"tasks have been due for {late} and nothing claims them"
        yield Notice(about, f"{words}; does a scheduler run that has this account in its settings?")


def _pause(name: str, paused: Pause, now: datetime) -> str:
    words = f"paused {ago(paused.at, now)} by {paused.by}: {paused.reason or paused.cause}"
    if remedy := remedies(paused.cause):
        return f"{words}; {remedy}, then redrive resume {name}"
    return f"{words}; redrive resume {name} ends it"


def _breaker(name: str, breaker: BreakerState, now: datetime) -> str:
    words = breaker_words(breaker.operation, breaker.failures, breaker.why)
    then = "one task is trying now" if breaker.probing else f"one task tries {ahead(breaker.open_until, now)}"
    return f"{words[0].lower()}{words[1:]}; {then}; redrive resume {name} lets all go on"


def _is_late(account: AccountOverview, overview: Overview) -> bool:
    """Due for long, with nothing under way and nothing in the way that is listed already."""
    explained = account.paused or account.breakers or overview.penalties or overview.missing or account.batches
    due_since = account.due_since
    return bool(account.configured and not explained and due_since is not None and overview.at - due_since > _LATE)


def _penalties(overview: Overview) -> Iterator[Notice]:
    names = {account.account for account in overview.accounts}
    for penalty in overview.penalties:
        account = penalty.group if penalty.group in names else "ACCOUNT"  # a group of one has its account's name
        wait = duration((penalty.until - overview.at).total_seconds())
        words = f"no call on {penalty.path or 'all paths'} for {wait}: {penalty.why}"
        yield Notice(f"limits.{penalty.group}", f"{words}; redrive resume {account} --force ends the wait", Needs.TIME)


def _unbegun(overview: Overview) -> Iterator[Notice]:
    unbegun = [batch for batch in overview.batches if batch.unbegun]
    for provider in sorted({batch.provider for batch in unbegun}):
        mine = [batch.created_at for batch in unbegun if batch.provider == provider]
        words = f"{many(len(mine), 'batch')} not begun, the first claimed {ago(min(mine), overview.at)}"
        yield Notice(f"queues.{provider}", f"{words}; does a worker run that takes the batches of {provider}?")
