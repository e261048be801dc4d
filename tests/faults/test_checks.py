"""Every odd look: what it makes of a task that was retried, what people are told, and when it is checked again."""

from pathlib import Path

import pytest

from redrive.models.sql.db import Database
from redrive.worker.loop import EventLoop
from tests.faults.checks import CHECK_RESULTS, LookRow
from tests.faults.house import house
from tests.faults.provider import Provider
from tests.faults.rows import ONE
from tests.faults.test_table import CHECK_PATH, RETRY_PATH, calls_after, quiet_for, stands


def test_no_row_is_there_twice() -> None:
    assert len({row.fault for row in CHECK_RESULTS}) == len(CHECK_RESULTS)


@pytest.mark.parametrize("row", CHECK_RESULTS, ids=str)
def test_a_check_that_is_odd(
    row: LookRow, provider: Provider, sqlite: Database, loop: EventLoop, tmp_path: Path
) -> None:
    """The retry is not asked for again, and one retry is spent, whatever the check says."""
    retry, check = RETRY_PATH[row.account], CHECK_PATH[row.account]
    with house(sqlite, loop, tmp_path, {row.account: provider.server.http}) as ours:
        task_id = ours.world.add(ONE, ours.names[row.account], **(row.kind or {}))
        ours.step()
        provider.next.append(row.answer)
        assert calls_after(ours, provider, 30) == [check]
        assert stands(ours, task_id) == (row.becomes, ["accepted"], 1)
        told = ours.words(task_id)
        assert [words for words in row.words if words not in told] == [], told
        assert ours.world.account(ours.names[row.account])["paused_cause"] == row.paused
        if row.again is None:
            assert quiet_for(ours, provider)
        else:
            assert calls_after(ours, provider, row.again) == [check]
        assert provider.calls().count(retry) == 1
