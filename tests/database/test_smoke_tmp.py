from datetime import timedelta
from uuid import uuid4
from models import ledger
from models.outcome import *
from models.states import *
from .world import *

def test_all(world):
    ids = world.add_many([str(i) for i in range(8)], reason="x\0y\ud800z", params={"a": [1, {"b": None}]}, max_retries=4)
    assert world.add_many(["0", "1"]) == ids[:2]
    print(world.task(ids[0]))
    work = world.begun()
    assert world.begin_batch(work.id) is None
    step = world.open(work)
    assert len(step.permits) == 1 and len(step.permits[0].tasks) == 8
    outs = [Accepted(ref="r", http_status=200), Already(), Refused(reason=DeadReason.NOT_FOUND), Deferred(), Throttled(), Blocked(cause=Cause.BALANCE, code="41001"), Unknown(message="m\0\ud800"), Unsent()]
    world.answer(work, dict(zip(ids, outs)))
    world.answer(work, dict(zip(ids, outs)))
    world.finish(work)
    for i in ids: print(world.task(i)); print(world.attempts(i))
    print(world.totals(), world.account(), world.batch(work.id))
    world.resume()
    world.clock.forward(100)
    work = world.begun(operation=Operation.CHECK)
    with world.begin() as t:
        s = ledger.advance_checks(t, work, [], world.groups(work), {}, world.rng)
    print(s)
    world.look(work, {work.tasks[0].id: Reading(state=State.FAILED, mark="m"), work.tasks[1].id: Reading(state=State.RUNNING), work.tasks[2].id: Unknown()})
    world.finish(work)
    for i in ids: print(world.task(i))
    w2 = world.opened()
    with world.begin() as t:
        assert ledger.expired(t) == []
    world.clock.forward(121)
    with world.begin() as t:
        assert ledger.expired(t) == [(w2.id, "phones")]
    assert world.rescue(w2.id) == len(w2.tasks)
    for a in ledger.people.ACTIONS: print(a, world.act(a, *ids))
    for s in (*OWNER_STATES, Status.SUCCEEDED):
        for i in ids: print(world.report(i, s, reason="r").hint)
    world.pause(); world.resume()
    with world.begin() as t: print(ledger.to_publish(t))
    world.clock.forward(86400*50)
    with world.begin() as t: print(ledger.prune_tasks(t, "phones", Status.SUCCEEDED, timedelta(days=1)), ledger.prune_batches(t, timedelta(days=1)))
    print(world.totals())
    for acc in ("desktops", "reviews", "blind"):
        world.add("77", acc); world.add("77", acc, sub_id="5") if acc == "reviews" else None
        print(world.claim(acc), world.claim(acc, Operation.CHECK))
        w = world.rules[acc]
