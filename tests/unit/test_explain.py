"""What `redrive explain` answers, for every status and for everything that can stand in a task's way."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from redrive.models.capabilities import Capabilities
from redrive.models.explain import ActionFacts, AttemptFacts, BatchFacts, Facts, explain
from redrive.models.explain.words import ahead, clock, duration, many
from redrive.models.ledger import AccountRow, Breaker, Odd, OnItsWay, Path
from redrive.models.outcome import answer_words
from redrive.models.providers import DOCFLOW, GEELARK, HUAWEI_WORKSPACE
from redrive.models.rules import Rules
from redrive.models.settings.policy import Policy
from redrive.models.states import BatchStatus, Operation, SetAside, Status, Wish
from redrive.models.task import Seen, Task

NOW = datetime(2026, 3, 1, 22, 10, 51, tzinfo=UTC)
BATCH = UUID("5d7d720f-97da-4d00-a08c-3702bdda4025")
RESTART, QUERY = "/open/v1/task/restart", "/open/v1/task/query"


def before(**time: float) -> datetime:
    return NOW - timedelta(**time)


def after(**time: float) -> datetime:
    return NOW + timedelta(**time)


def rules(capabilities: Capabilities = GEELARK, **policy: Any) -> Rules:
    return Rules("phones", capabilities, Policy(**policy), group="phones", interval_seconds=1 / 3)


def task(status: Status = Status.FAILED, **values: Any) -> Task:
    """Task 4711: a week old as far as anybody knows, failed an hour ago."""
    row: dict[str, Any] = dict.fromkeys(("provider_ref", "origin", "sub_id", "kind", "last_error"), "")
    row |= dict.fromkeys(("dead_reason", "due_at", "max_retries", "batch_id", "wish", "held_from", "seen"))
    row |= dict.fromkeys(("failure", "traceparent"))
    row |= dict.fromkeys(("attempts", "spent", "errors", "refusals", "granted", "priority"), 0)
    row |= {"id": 4711, "account": "phones", "external_id": "5912", "params": {}, "trigger": "due"}
    row |= {"next": Operation.RETRY, "failed_at": before(hours=1)}
    row |= dict.fromkeys(("status_since", "round_at", "created_at", "updated_at"), before(hours=1))
    return Task(status=status, **row | values)


def account(**values: Any) -> AccountRow:
    row: dict[str, Any] = dict.fromkeys(("paused_at", "paused_cause", "resumed_at", "probe_at"))
    row |= {"name": "phones", "provider": "geelark", "paused_reason": "", "paused_by": "", "created_at": NOW}
    return AccountRow(**row | {"refusals": 0, "forbidden": 0} | values)


def answer(about: Task, **known: Any) -> str:
    """The whole answer as one text; an account at work unless said otherwise."""
    facts: dict[str, Any] = {"rules": rules(), "account": account()} | known
    return " ".join(explain(Facts(task=about, now=NOW, **facts)).lines)


def attempt(outcome: str | None = "accepted", **values: Any) -> AttemptFacts:
    return AttemptFacts(**{"number": 2, "opened_at": before(minutes=4), "outcome": outcome} | values)


def batch(status: BatchStatus = BatchStatus.QUEUED, **values: Any) -> BatchFacts:
    given: dict[str, Any] = {"id": BATCH, "operation": Operation.RETRY, "size": 97, "created_at": before(seconds=4)}
    return BatchFacts(status=status, **given | values)


DUE = {"due_at": before(seconds=2)}
TWICE = {"attempts": 2, "spent": 2}
CHECK = {"next": Operation.CHECK}


# --- failed and canceled: the next retry ---------------------------------------------------------------------------


def test_a_task_that_failed_again_says_when_it_is_due_and_why_then() -> None:
    failed = task(**TWICE, due_at=after(minutes=3, seconds=12))
    told = answer(failed, attempt=attempt(result="failed: 20002 out of memory"))
    assert told == (
        "Task 4711 (phones, 5912) failed 1 h ago. It has spent 2 of its 5 retries. "
        "Attempt 2, 4 min ago: the provider accepted it. "
        'Its run ended: "failed: 20002 out of memory". '
        "It is due again in 3 min 12 s (22:14:03 UTC): after 2 retries the policy waits up to 1 min. "
        "If this one fails, the next follows after up to 2 min."
    )


def test_the_moment_of_what_happens_next_is_there_for_programs() -> None:
    facts = Facts(task=task(due_at=after(minutes=3)), now=NOW, rules=rules(), account=account())
    assert explain(facts).next_at == after(minutes=3)


def test_a_new_task_is_taken_with_the_next_pass() -> None:
    told = answer(task(**DUE, last_error="app crashed"))
    assert "has not been retried yet; its limit is 5." in told
    assert 'Its last error: "app crashed".' in told
    assert "It has been due for 2 s (since 22:10:49 UTC)." in told
    assert "a scheduler takes it with one of its next passes" in told


def test_a_task_that_waits_without_a_reason_suggests_one() -> None:
    assert "does a scheduler run, with this account in its settings?" in answer(task(due_at=before(minutes=5)))
    assert "does a scheduler run" not in answer(task(due_at=before(minutes=5)), ahead=5000)


@pytest.mark.parametrize(
    ("ahead", "words"),
    [(1, "1 other due task of this account comes first."), (12, "12 other due tasks"), (10_000, "More than 10,000")],
)
def test_tasks_that_come_first_are_counted(ahead: int, words: str) -> None:
    assert words in answer(task(**DUE), ahead=ahead)


@pytest.mark.parametrize(("jitter", "words"), [("none", "waits 1 min."), ("equal", "waits 30 s to 1 min.")])
def test_the_wait_is_told_as_the_policy_throws_its_dice(jitter: str, words: str) -> None:
    assert words in answer(task(**TWICE, due_at=after(seconds=5)), rules=rules(jitter=jitter))


def test_the_last_retry_is_told_as_such() -> None:
    told = answer(task(attempts=4, spent=4, **DUE))
    assert "It is the last retry: if that fails, the task is dead (limit_reached)." in told


def test_a_spent_task_is_told_to_die_at_its_claim() -> None:
    told = answer(task(attempts=5, spent=5, **DUE))
    assert "All of them are spent: its next claim declares it dead (limit_reached)." in told


def test_a_task_that_is_too_old_is_told_to_die_at_its_next_failure() -> None:
    assert "(too_old)" in answer(task(**TWICE, **DUE, round_at=before(days=8)))
    assert "(too_old)" not in answer(task(**TWICE, **DUE, round_at=before(days=6)))


def test_undelivered_calls_are_told_with_their_end() -> None:
    told = answer(task(attempts=3, errors=3, due_at=after(minutes=1)), attempt=attempt("deferred", message="no route"))
    assert 'it could not be delivered: "no route"' in told
    assert "after 3 tries without delivery the policy waits up to 2 min" in told
    assert "Once 20 turns in a row bring no call for it, it is dead (undeliverable)." in told


def test_granted_retries_and_the_providers_cap_are_told() -> None:
    assert "2 of its 3 retries (1 of them granted)" in answer(task(**TWICE, **DUE, max_retries=2, granted=1))
    assert "2 of its 5 retries (the provider's own cap)" in answer(task(**TWICE, **DUE, granted=5))


def test_an_operators_retry_is_told_with_who_and_why() -> None:
    action = ActionFacts(at=before(seconds=3), who="ann@ops", what="retry", why="rules updated")
    told = answer(task(**TWICE, **DUE, trigger="manual"), action=action)
    assert 'ann@ops asked for this retry 3 s ago: "rules updated".' in told


def test_a_canceled_task_rests_where_the_policy_says_so() -> None:
    told = answer(task(Status.CANCELED), rules=rules(retry_canceled=False))
    assert "was canceled 1 h ago" in told
    assert "retry_canceled = false" in told
    assert "`redrive retry 4711`" in told
    due = answer(task(Status.CANCELED, **DUE), rules=rules(retry_canceled=False))
    assert "retry_canceled = false" in due, "the claim will lay it to rest"
    assert "retry_canceled" not in answer(task(Status.CANCELED, **DUE))


def test_a_policy_that_changed_is_told_as_it_is_today() -> None:
    """What an older policy decided is said beside what follows from today's."""
    assert "retries canceled tasks again" in answer(task(Status.CANCELED))
    doubtful = task(Status.HELD, held_from=Status.FAILED, **TWICE)
    assert 'on_unknown is "retry" now' in answer(doubtful, rules=rules(on_unknown="retry"))
    unread = answer(doubtful, rules=rules(on_unknown="retry"), set_aside=Odd(4711, "phones", SetAside.UNREADABLE, ""))
    assert "on_unknown" not in unread
    assert "something that Redrive does not understand" in unread


@pytest.mark.parametrize("status", [Status.RETRYING, Status.UNKNOWN, Status.FAILED])
def test_a_provider_that_lost_its_status_call_is_not_said_to_be_checked(status: Status) -> None:
    """Its next turn would have been a check, which nobody makes."""
    blind = replace(rules(), capabilities=replace(GEELARK, check_ids=0))
    told = answer(task(status, **CHECK, due_at=before(seconds=2)), rules=blind)
    assert "cannot be asked" in told
    assert "due for a check" not in told


@pytest.mark.parametrize(
    ("capabilities", "kind", "words"),
    [
        (GEELARK, "task", "kind 'task': is not a kind of GeeLark cloud phones; leave it empty"),
        (HUAWEI_WORKSPACE, "", "must be task or record"),
        (DOCFLOW, "review", "must be review_task or review_rule"),
    ],
)
def test_a_task_that_is_never_claimed_says_why(capabilities: Capabilities, kind: str, words: str) -> None:
    """The explanation is by the function that sets it aside."""
    mine = account(provider=capabilities.provider)
    told = answer(task(kind=kind, **DUE), rules=rules(capabilities), account=mine)
    assert "It is set aside and not retried" in told
    assert words in told
    assert "scheduler takes it" not in told


def test_ages_are_told_on_the_accounts_own_clock() -> None:
    """A pause moves the end of what is followed."""
    followed = task(Status.RETRYING, **CHECK, due_at=after(seconds=9), status_since=before(hours=30))
    assert "If no end shows at the next check" in answer(followed)
    paused = answer(followed, stood=lambda _since: timedelta(hours=10))
    assert "If no end shows until 2026-03-02 02:10:51 UTC" in paused


def test_a_check_before_the_first_retry_is_told() -> None:
    told = answer(task(**DUE, origin="client_ui"))
    assert "Its state at the provider is checked before this retry." in told


def test_a_task_whose_next_turn_is_a_check_says_so() -> None:
    told = answer(task(**CHECK, due_at=after(seconds=40), errors=2))
    assert "Its state at the provider is checked first" in told
    assert "Its check is due in 40 s" in told
    assert "2 checks in a row could not be read; after 20 it is held." in told


def test_a_check_that_is_under_way_says_in_which_batch() -> None:
    looked = batch(BatchStatus.SENDING, operation=Operation.CHECK, worker="w1@host")
    told = answer(task(**CHECK, due_at=after(seconds=90)), batch=looked)
    assert f"A check is under way in batch {BATCH} (97 tasks), begun by worker w1@host." in told
    assert "the next check is due in 1 min 30 s" in told


def test_what_excludes_it_is_told() -> None:
    """By name, and nothing else is said of its turn."""
    unanswered = answer(task(**DUE), busy=True)
    assert "It waits: an earlier attempt of it is not answered yet." in unanswered
    assert "Nothing is in its way" not in unanswered
    assert "It waits: task 6 of the same review must end first." in answer(task(**DUE), busy=True, excluded_by=(6,))
    assert "It waits: tasks 6, 9 of the same" in answer(task(**DUE), busy=True, excluded_by=(6, 9))


# --- what is in the way --------------------------------------------------------------------------------------------


def test_an_operators_pause_is_told_with_its_end() -> None:
    paused = account(
        paused_at=before(hours=2), paused_cause="operator", paused_by="ann@ops", paused_reason="maintenance"
    )
    told = answer(task(**DUE), account=paused)
    assert 'ann@ops paused account phones 2 h ago: "maintenance".' in told
    assert "`redrive resume phones` ends the pause." in told
    assert "Nothing is in its way" not in told


def test_an_empty_balance_is_told_with_its_probe() -> None:
    paused = account(
        paused_at=before(minutes=10),
        paused_cause="balance",
        paused_by="redrive",
        paused_reason="41001",
        probe_at=after(minutes=20),
    )
    assert "tries in 20 min (22:30:51 UTC) whether the balance was topped up" in answer(task(**DUE), account=paused)


def test_an_open_breaker_is_told() -> None:
    breaker = Breaker(failures=5, opens=1, open_until=after(seconds=30), why="timeout")
    told = answer(task(**DUE), breaker=breaker)
    assert 'The breaker for retries is open: 5 calls in a row had no usable answer, the last one: "timeout".' in told
    assert "One task tries in 30 s" in told
    assert "One task is trying now" in answer(task(**DUE), breaker=replace(breaker, probe=BATCH))


def test_a_penalty_of_its_path_is_told() -> None:
    told = answer(task(**DUE), paths={RESTART: Path(blocked_until=after(hours=2), why="40014 locked")})
    assert f'The provider asked for patience on {RESTART}: "40014 locked".' in told
    assert "leaves in 2 h" in told
    assert "patience" not in answer(task(**DUE), paths={QUERY: Path(blocked_until=after(hours=2))})


def test_a_penalty_of_the_whole_group_is_told_also_where_no_call_ever_left() -> None:
    assert "patience" in answer(task(**DUE), paths={"": Path(blocked_until=after(hours=2))})


def test_a_path_that_is_taken_for_long_is_told() -> None:
    assert "is taken by earlier calls" in answer(task(**DUE), paths={RESTART: Path(next_at=after(seconds=70))})
    assert "is taken by earlier calls" not in answer(task(**DUE), paths={RESTART: Path(next_at=after(seconds=50))})


def test_a_full_window_is_told() -> None:
    told = answer(task(**DUE), under_way=(OnItsWay(3, None),) * 4)
    assert "4 batches of this account are under way, as many as max_in_flight allows." in told


def test_what_is_claimed_already_is_told_when_it_is_all_that_can_be_sent_soon() -> None:
    slow = replace(rules(HUAWEI_WORKSPACE), interval_seconds=6.0)
    desktops = account(provider="huawei_workspace")
    assert "2 tasks are claimed already: all that can be sent in 10 s." in answer(
        task(kind="task", **DUE), rules=slow, account=desktops, under_way=(OnItsWay(2, None),)
    )


def test_what_had_its_time_still_counts_against_half_a_lease() -> None:
    """A claim takes no more than can be sent in half a lease, whatever its batches have sent by now."""
    slow = replace(rules(HUAWEI_WORKSPACE), interval_seconds=6.0)
    old = OnItsWay(11, before(minutes=2))
    told = answer(task(kind="task", **DUE), rules=slow, account=account(provider="huawei_workspace"), under_way=(old,))
    assert "11 tasks are claimed already: all that can be sent in half a lease" in told


def test_an_account_no_scheduler_has_seen_is_told() -> None:
    assert "No scheduler has run since account phones was configured." in answer(task(**DUE), account=None)


def test_an_account_that_changed_its_provider_is_told() -> None:
    assert "give the new account another name" in answer(task(**DUE), account=account(provider="docflow"))


def test_a_task_of_an_unknown_account_is_told_to_wait_for_its_settings() -> None:
    told = answer(task(**DUE), rules=None, account=None)
    assert "Account phones is not configured here: its tasks are kept, and nothing of it is claimed." in told


@pytest.mark.parametrize(
    "about",
    [
        task(**DUE),
        task(due_at=after(minutes=5)),
        task(**CHECK, **DUE),
        task(Status.RETRYING, **CHECK, due_at=after(minutes=1)),
        task(Status.UNKNOWN, **CHECK, **DUE),
    ],
    ids=["due", "due later", "checked first", "followed", "in doubt"],
)
def test_processes_that_do_not_run_are_said_wherever_they_are_needed(about: Task) -> None:
    told = answer(about, missing={"scheduler": None, "worker": before(minutes=3)})
    assert "No scheduler runs, so nothing is claimed: start one with `redrive scheduler`." in told
    assert "No worker runs (the last one was seen 3 min ago), so nothing is sent" in told
    assert "Nothing is in its way" not in told


def test_a_missing_worker_is_said_of_a_batch_that_was_just_claimed() -> None:
    claimed = task(Status.IN_FLIGHT, batch_id=BATCH, held_from=Status.FAILED)
    fresh = batch(publish_at=after(seconds=5))
    assert "No worker runs, so nothing is sent" in answer(claimed, batch=fresh, missing={"worker": None})
    assert "worker runs" not in answer(claimed, batch=fresh)


@pytest.mark.parametrize("status", list(Status))
def test_without_the_settings_only_what_rows_say_is_said(status: Status) -> None:
    needed = {"dead_reason": "refused"} if status is Status.DEAD else {}
    told = answer(task(status, **needed, last_error="boom"), rules=None, settings_known=False)
    assert "cannot be known" in told
    assert "not configured" not in told
    assert not re.search(r"limit is \d|of its \d", told)


def test_one_that_tries_is_said_of_a_breaker_that_nobody_tripped() -> None:
    asked = Breaker(failures=0, open_until=before(seconds=1), why="ann@ops lets one task try")
    told = answer(task(**DUE), breaker=asked)
    assert "The breaker for retries lets one task through at a time: ann@ops lets one task try." in told
    assert "0 calls" not in told


# --- under way -----------------------------------------------------------------------------------------------------

IN_BATCH = {"batch_id": BATCH, "held_from": Status.FAILED}


def test_a_batch_nobody_has_begun_is_told() -> None:
    told = answer(
        task(Status.IN_FLIGHT, **IN_BATCH, **TWICE),
        batch=batch(created_at=before(seconds=45), publishes=3, publish_at=after(seconds=15)),
    )
    assert f"it is in batch {BATCH} (97 tasks), claimed 45 s ago and published 3 times, not begun by a worker." in told
    assert "nothing is spent for it; it has spent 2 of its 5 retries" in told
    assert "published again, next in 15 s" in told
    assert "No worker has begun it: does one run that takes the batches of geelark?" in told


def test_a_batch_nobody_publishes_again_is_told() -> None:
    told = answer(task(Status.IN_FLIGHT, **IN_BATCH), batch=batch(publishes=1, publish_at=before(minutes=3)))
    assert "It was to be published again 3 min ago, which schedulers do: does one run?" in told


def test_a_task_whose_call_has_not_left_says_so() -> None:
    sending = batch(BatchStatus.SENDING, worker="w1@host", lease_until=after(seconds=100))
    told = answer(task(Status.IN_FLIGHT, **IN_BATCH), batch=sending, paths={RESTART: Path(next_at=after(seconds=8))})
    assert "begun by worker w1@host" in told
    assert f"The next call on {RESTART} leaves in 8 s" in told
    assert "What is not sent when the lease ends, in 1 min 40 s (22:12:31 UTC), goes back and is due." in told


def test_an_open_attempt_is_told_with_what_happens_if_it_stays_open() -> None:
    sending = batch(BatchStatus.SENDING, worker="w1@host", lease_until=after(seconds=100))
    told = answer(task(Status.IN_FLIGHT, **IN_BATCH, attempts=2, spent=1), batch=sending, attempt=attempt(None))
    assert "is being retried: attempt 2 was opened 4 min ago." in told
    assert "it counts as spent, and its state at the provider is checked before anything else" in told
    assert "It has spent 1 of its 5 retries, this attempt not counted." in told


def test_a_wish_is_told_with_when_it_is_granted() -> None:
    action = ActionFacts(at=before(seconds=9), who="ann@ops", what="stop")
    told = answer(task(Status.RETRYING, **CHECK, due_at=after(seconds=5), wish=Wish.STOP), action=action)
    assert "ann@ops asked to stop it 9 s ago. Once the retry under way has failed, it is dead (stopped);" in told


def test_a_batch_that_ended_meanwhile_is_no_error() -> None:
    assert "ask again" in answer(task(Status.IN_FLIGHT, **IN_BATCH))


FOLLOWED = {**CHECK, "attempts": 1, "spent": 1}


def test_a_retry_that_runs_is_followed() -> None:
    seen = Seen(
        state="running", mark="", at=before(minutes=1).isoformat(), first_at=before(minutes=1).isoformat(), number=1
    )
    told = answer(
        task(Status.RETRYING, **FOLLOWED, due_at=after(seconds=30), status_since=before(minutes=5), seen=seen)
    )
    assert "is running again: its retry was accepted 5 min ago. It has spent 1 of its 5 retries." in told
    assert 'The last check, 1 min ago, found "running".' in told
    assert "Its check is due in 30 s (22:11:21 UTC)." in told
    assert "If no end shows until 2026-03-02 22:05:51 UTC, it is dead (expired)." in told


def test_a_fresh_retry_says_that_old_states_are_not_believed_yet() -> None:
    told = answer(task(Status.RETRYING, **FOLLOWED, due_at=after(seconds=20), status_since=before(seconds=10)))
    assert "For the first 1 min, until 22:11:41 UTC, an old state is not taken for a new one." in told


def test_a_doubtful_retry_says_that_it_is_checked_first() -> None:
    doubtful = task(Status.UNKNOWN, **FOLLOWED, due_at=before(seconds=1), status_since=before(minutes=2))
    told = answer(doubtful, attempt=attempt("unknown", message="reset by peer"))
    assert 'may have reached the provider, but no readable answer came back: "reset by peer"' in told
    assert "It is not retried before a check shows what became of it." in told
    assert "the task is held (on_unknown)" in told
    assert "the task is retried (on_unknown)" in answer(doubtful, rules=rules(on_unknown="retry"))


def test_a_check_has_obstacles_of_its_own() -> None:
    doubtful = task(Status.UNKNOWN, **FOLLOWED, **DUE)
    assert "patience on /open/v1/task/query" in answer(doubtful, paths={QUERY: Path(blocked_until=after(hours=1))})
    assert "The breaker for checks is open: 5 calls" in answer(
        doubtful, breaker=Breaker(failures=5, open_until=after(seconds=9))
    )


# --- at rest -------------------------------------------------------------------------------------------------------


def test_work_in_progress_waits_for_its_owner() -> None:
    told = answer(task(Status.RUNNING))
    assert "is running: its owner reported that 1 h ago." in told
    assert "`redrive retry 4711` checks it now." in told
    blind = replace(rules(), capabilities=replace(GEELARK, check_ids=0))
    assert "redrive retry" not in answer(task(Status.PENDING), rules=blind)


def test_a_check_somebody_asked_for_is_told() -> None:
    assert "Its check has been due for 2 s" in answer(task(Status.RUNNING, **CHECK, **DUE))


def test_a_held_task_says_who_holds_it_and_what_release_does() -> None:
    action = ActionFacts(at=before(days=1), who="ann@ops", what="hold", why="phone in repair")
    told = answer(task(Status.HELD, held_from=Status.FAILED, **TWICE), action=action)
    assert "has been held for 1 h; it has spent 2 of its 5 retries." in told
    assert 'ann@ops held it 1 d ago: "phone in repair".' in told
    assert "`redrive release 4711` sets it back to failed, and checks its state at the provider first." in told


def test_a_task_held_because_nobody_knows_says_so() -> None:
    told = answer(task(Status.HELD, held_from=Status.FAILED, **TWICE), attempt=attempt("unknown"))
    assert 'on_unknown = "hold"' in told


def test_a_success_is_the_end() -> None:
    assert "succeeded 1 h ago, after 2 retries." in answer(task(Status.SUCCEEDED, **TWICE, last_error="old"))
    assert "without a retry by Redrive" in answer(task(Status.SUCCEEDED))
    assert "old" not in answer(task(Status.SUCCEEDED, last_error="old"))


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("limit_reached", "as many retries as allowed have failed"),
        ("not_found", "the provider does not know this task"),
        ("resource_gone", "gone"),
        ("refused", "refuses to retry it"),
        ("undeliverable", "there was no call for it, 20 times in a row"),
        ("too_old", "it still failed 7 d after"),
        ("expired", "did not end within 1 d"),
        ("stopped", "an operator stopped it"),
    ],
)
def test_a_dead_task_says_why_and_what_brings_it_back(reason: str, words: str) -> None:
    told = answer(task(Status.DEAD, dead_reason=reason, **TWICE))
    assert f"has been dead ({reason}) for 1 h" in told
    assert words in told
    assert "`redrive revive 4711` retries it after a check, 3 times at most." in told
    assert "`redrive retry --force 4711` retries it once." in told


def test_a_stopped_task_says_by_whom() -> None:
    action = ActionFacts(at=before(minutes=3), who="ann@ops", what="stop", why="wrong import")
    assert 'ann@ops stopped it 3 min ago: "wrong import".' in answer(
        task(Status.DEAD, dead_reason="stopped"), action=action
    )


def test_a_task_at_the_providers_cap_cannot_be_brought_back() -> None:
    told = answer(task(Status.DEAD, dead_reason="limit_reached", attempts=5, spent=5))
    assert "It cannot be brought back: GeeLark cloud phones takes 5 retries of a task, and all are spent." in told
    assert "redrive revive" not in told


def test_every_status_has_an_answer() -> None:
    """Also with as few facts as there can be."""
    for status in Status:
        needed = {"dead_reason": "refused"} if status is Status.DEAD else {}
        assert answer(task(status, **needed)).startswith("Task 4711 (phones, 5912) ")


@pytest.mark.parametrize(
    ("status", "code", "message", "words"),
    [
        (200, "40003", "signature failed", "HTTP 200, code 40003: signature failed"),
        (401, "", "no such key", "HTTP 401: no such key"),
        (401, "401", "no such key", "HTTP 401: no such key"),
        (503, "", "HTTP 503", "HTTP 503"),
        (None, "", "connection refused", "connection refused"),
        (None, "40014", "", "code 40014"),
        (None, "", "", ""),
    ],
)
def test_an_answer_says_which_number_is_what(status: int | None, code: str, message: str, words: str) -> None:
    assert answer_words(status, code, message) == words


# --- words ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "less than a second"), (12, "12 s"), (192, "3 min 12 s"), (3600, "1 h"), (3605, "1 h"), (90_000, "1 d 1 h")],
)
def test_durations_are_told_in_two_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_moment_of_another_day_has_its_date() -> None:
    assert clock(after(hours=1), NOW) == "23:10:51 UTC"
    assert clock(after(hours=3), NOW) == "2026-03-02 01:10:51 UTC"
    assert ahead(NOW, NOW) == "now"


def test_nouns_have_their_plural() -> None:
    assert [many(2, noun) for noun in ("retry", "batch", "task")] == ["2 retries", "2 batches", "2 tasks"]
    assert many(1234, "try") == "1,234 tries"
