"""Tasks that are deleted, and tasks whose states are shown in words that nobody documents."""

from redrive.sandbox.script import DOCFLOW, GEELARK, HUAWEI_WORKSPACE, Script, make_id
from tests.sandbox.conftest import Caller

PHONE, OTHER_PHONE = (make_id(GEELARK, n, Script()) for n in (1, 2))
DESKTOP, OTHER_DESKTOP = (make_id(HUAWEI_WORKSPACE, n, Script()) for n in (1, 2))
REVIEW, OTHER_REVIEW = (make_id(DOCFLOW, n, Script()) for n in (1, 2))


def _see_all(caller: Caller) -> None:
    caller.query(PHONE, OTHER_PHONE)
    for desktop, review in ((DESKTOP, REVIEW), (OTHER_DESKTOP, OTHER_REVIEW)):
        caller.records(desktop)
        caller.review("result", task_id=review)


def _change(caller: Caller, **change: bool) -> None:
    for task in (PHONE, DESKTOP, REVIEW):
        assert caller.http.post(f"/_sandbox/tasks/{task}", json=change).status_code == 204


def test_a_deleted_task_is_unknown_to_every_call_and_its_neighbours_are_not(caller: Caller) -> None:
    _see_all(caller)
    _change(caller, deleted=True)
    assert [item["id"] for item in caller.query(PHONE, OTHER_PHONE)] == [OTHER_PHONE]
    assert caller.restart(PHONE, OTHER_PHONE)["data"]["failDetails"][0]["id"] == PHONE
    assert caller.records(DESKTOP).json()["count"] == 0
    assert caller.records(OTHER_DESKTOP).json()["count"] == 1
    assert caller.execute(task_id=DESKTOP).status_code == 404
    assert caller.review("result", task_id=REVIEW).status_code == 404
    assert caller.review("result", task_id=OTHER_REVIEW).status_code == 200
    assert caller.review("retry", task_id=REVIEW).status_code == 404


def test_the_states_of_an_unreadable_task_are_nobodys_words_until_it_is_readable_again(caller: Caller) -> None:
    before = _states(caller)
    _change(caller, unreadable=True)
    assert _states(caller) == [77, before[1], "MELTED", before[3], 77, 77, *before[6:]]
    _change(caller, unreadable=False)
    assert _states(caller) == before


def _states(caller: Caller) -> list[object]:
    found: list[object] = [item["status"] for item in caller.query(PHONE, OTHER_PHONE)]
    found += [caller.records(each).json()["script_records"][0]["status"] for each in (DESKTOP, OTHER_DESKTOP)]
    for each in (REVIEW, OTHER_REVIEW):
        result = caller.review("result", task_id=each).json()["result"]
        found += [result["status"], result["groups"][0]["review_tasks"][0]["review_result"]]
    return found


def test_a_change_that_does_not_exist_is_refused(caller: Caller) -> None:
    assert caller.http.post(f"/_sandbox/tasks/{PHONE}", json={"melted": True}).status_code == 400


def test_garbage_is_what_somebody_asks_for(caller: Caller) -> None:
    caller.http.post("/_sandbox/faults", json={"path": "/open/*", "fault": "garbage", "body": "[[[["})
    assert caller.http.post("/open/v1/task/query", json={"ids": [PHONE]}).text == "[[[["
