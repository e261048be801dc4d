from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redrive.models.states import DeadReason, Status
from redrive.sandbox.behavior import DETAILS, REFUSALS
from redrive.sandbox.expectation import GEELARK_CAP
from redrive.sandbox.script import (
    DOCFLOW,
    GEELARK,
    HUAWEI_WORKSPACE,
    Detail,
    Expectation,
    Refusal,
    Script,
    expectation,
    make_id,
    parse,
    rule_ids,
)

PROVIDERS = (GEELARK, HUAWEI_WORKSPACE, DOCFLOW)


def scripts(provider: str) -> list[Script]:
    refusals = (None, *REFUSALS[provider])
    return [
        Script(*each) for each in product(("failed", "canceled"), (None, 1, 9), refusals, DETAILS[provider], (1, 9))
    ]


@pytest.mark.parametrize("provider", PROVIDERS)
def test_an_id_carries_its_script(provider: str) -> None:
    """What was written into an id is read back, and other serials give other ids."""
    made = {make_id(provider, serial, script): script for serial in (1, 2) for script in scripts(provider)}
    assert len(made) == 2 * len(scripts(provider))
    assert all(parse(external_id) == script and external_id.isdecimal() for external_id, script in made.items())


@given(st.text())
def test_every_id_has_a_script(external_id: str) -> None:
    """No id is unreadable; one without a script fails now and succeeds on its first retry."""
    if "99" not in external_id:
        assert parse(external_id) == Script()
    assert isinstance(parse(f"{external_id}99{external_id[-5:]}"), Script)


@pytest.mark.parametrize(
    ("provider", "serial", "script"),
    [
        (HUAWEI_WORKSPACE, 1, Script(refusal=Refusal.LIMIT_REACHED)),
        (DOCFLOW, 1, Script(refusal=Refusal.SUCCEEDED)),
        (GEELARK, 1, Script(detail=Detail.REJECTED)),
        (GEELARK, 10**12, Script()),
        (GEELARK, 1, Script(succeeds_on=10)),
    ],
)
def test_what_no_id_can_say_is_refused(provider: str, serial: int, script: Script) -> None:
    """A refusal its provider does not document, or a number too long, makes no id."""
    with pytest.raises(ValueError, match=r"documents nothing like|does not fit"):
        make_id(provider, serial, script)


def test_rules_belong_to_a_review_by_their_digits() -> None:
    """A review has as many rules as its script has parts, or none when the script says so."""
    review = make_id(DOCFLOW, 7, Script(parts=2))
    assert rule_ids(review) == (f"{review}1", f"{review}2")
    assert rule_ids(make_id(DOCFLOW, 7, Script(refusal=Refusal.RULE_ELSEWHERE))) == ()


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (Script(succeeds_on=1), Expectation("succeeded", None, 1)),
        (Script(succeeds_on=3), Expectation("succeeded", None, 3)),
        (Script(succeeds_on=4), Expectation("dead", "limit_reached", 3)),
        (Script(succeeds_on=None), Expectation("dead", "limit_reached", 3)),
        (Script(refusal=Refusal.RUNNING), Expectation("succeeded", None, 0)),
        (Script(succeeds_on=2, refusal=Refusal.RUNNING), Expectation("succeeded", None, 1)),
        (Script(refusal=Refusal.LIMIT_REACHED), Expectation("dead", "limit_reached")),
        (Script(refusal=Refusal.SUCCEEDED), Expectation("succeeded")),
        (Script(refusal=Refusal.MISSING), Expectation("dead", "not_found")),
        (Script(refusal=Refusal.GONE), Expectation("dead", "resource_gone")),
        (Script(refusal=Refusal.EXPIRED), Expectation("dead", "resource_gone")),
        (Script(refusal=Refusal.APP_VERSION), Expectation("dead", "refused")),
        (Script(refusal=Refusal.NOT_ALLOWED), Expectation("dead", "refused")),
        (Script(succeeds_on=2, detail=Detail.PHONE_DELETED), Expectation("dead", "resource_gone", 1)),
    ],
)
def test_expectations_at_geelark(script: Script, expected: Expectation) -> None:
    """How a task ends that may be retried three times."""
    assert expectation(GEELARK, "", script, 3) == expected


def test_geelarks_cap_wins() -> None:
    """However often a policy would retry, GeeLark takes five, of which somebody else may have used one."""
    assert expectation(GEELARK, "", Script(succeeds_on=9), 50).retries == GEELARK_CAP
    assert expectation(GEELARK, "", Script(succeeds_on=9, refusal=Refusal.RUNNING), 50).retries == GEELARK_CAP - 1
    assert expectation(HUAWEI_WORKSPACE, "task", Script(succeeds_on=9), 50) == Expectation("succeeded", None, 9)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_expectations_are_in_the_models_words(provider: str) -> None:
    """Every expected end is a status, and a reason exactly where it is dead."""
    for script, kind in product(scripts(provider), ("", "review_rule")):
        expected = expectation(provider, kind, script, 5)
        assert Status(expected.status) in {Status.SUCCEEDED, Status.DEAD}
        assert (expected.dead_reason is not None) == (expected.status == Status.DEAD)
        assert expected.dead_reason is None or DeadReason(expected.dead_reason)
