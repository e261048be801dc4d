"""Asking a provider as the sender does: its plan, its calls over the transport, its reading of what came back."""

import asyncio
from collections.abc import Mapping, Sequence

from redrive.models.outcome import CheckResult, Outcome
from redrive.models.states import Operation
from redrive.worker.http import HttpClient
from redrive.worker.providers.base import Call, CheckResults, Exchange, Plan, Provider, Split, TaskRef
from redrive.worker.scrub import scrubbed
from tests.contract.cases import TOKEN, Case
from tests.support.calls import exchange

MOST_PAGES = 20

Result = Outcome | CheckResult


def plan_of(provider: Provider, operation: Operation, tasks: Sequence[TaskRef]) -> Plan:
    return provider.retries(tasks) if operation is Operation.RETRY else provider.checks(tasks)


async def ask(case: Case, operation: Operation, http_client: HttpClient, base_url: str) -> dict[int, Result]:
    """What comes of asking about some tasks of every kind; each call is made once.

    Raises:
        AssertionError: a task got no outcome, or two.
    """
    provider, tasks = case.build(base_url), case.tasks()
    plan = plan_of(provider, operation, tasks)
    results: dict[int, Result] = dict(plan.refused)
    made = await asyncio.gather(*(_make(provider, operation, call, http_client) for call in plan.calls))
    for outcomes in made:
        assert not results.keys() & outcomes.keys(), "asked twice about a task"
        results |= {task: scrubbed(outcome, case.secrets) for task, outcome in outcomes.items()}
    assert results.keys() == {task.id for task in tasks}
    return results


async def _make(provider: Provider, operation: Operation, call: Call, http_client: HttpClient) -> Mapping[int, Result]:
    for _ in range(MOST_PAGES):
        auth = provider.auth(TOKEN) if call.request.authenticated else None
        answered = read(provider, operation, call, await exchange(http_client, call.request, auth=auth))
        if not isinstance(answered, Call):
            return answered
        call = answered
    raise AssertionError("pages without end")


def read(provider: Provider, operation: Operation, call: Call, exchanged: Exchange) -> Mapping[int, Result] | Call:
    """The results of a call, or the page to ask for next.

    Raises:
        AssertionError: a task of the call got no outcome.
    """
    if operation is Operation.CHECK:
        looked = provider.results(call, exchanged)
        assert isinstance(looked, CheckResults)
        if looked.more is not None:
            return looked.more
        answered: Mapping[int, Result] = looked.results
    else:
        outcomes = provider.outcomes(call, exchanged)
        answered = {task.id: outcomes.outcome for task in call.tasks} if isinstance(outcomes, Split) else outcomes
    assert answered.keys() == {task.id for task in call.tasks}
    return answered
