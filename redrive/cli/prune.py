"""``redrive prune``: what the retention settings do not keep, deleted page by page."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from redrive.models import ledger, queries
from redrive.models.explain.words import many
from redrive.models.ledger import Who, record_action
from redrive.models.settings import Settings
from redrive.models.sql.db import Database
from redrive.models.states import ENDED_STATES, Status

from ..terminal import safe
from .asking import sure
from .context import console, opened, print_json, who
from .options import Accounts, Age, DryRun, Json, Yes


def prune(
    *,
    account: Accounts = None,
    older_than: Age = None,
    dry_run: DryRun = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Delete what ended longer ago than the settings keep it. Schedulers do so by themselves."""
    with opened() as (settings, database):
        with database.reading() as t:
            queries.check_accounts(t, account or (), settings.accounts)
        Pruning(settings, database, account or (), older_than).run(dry_run=dry_run, yes=yes, as_json=as_json)


class Pruning:
    """What is past its retention, counted and deleted.

    Args:
        settings: how long they keep what ended.
        database: where it is.
        accounts: only of these, configured or not; (): of all that are configured, and ended batches, too.
        older_than: instead of what the settings say.
    """

    def __init__(
        self, settings: Settings, database: Database, accounts: Sequence[str], older_than: timedelta | None
    ) -> None:
        self._keep = settings.retention
        self._configured = settings.accounts.keys()
        with database.reading() as t:
            self._kept_by = ledger.references(t)
        self._database = database
        self._accounts = accounts
        self._older_than = older_than

    def run(self, *, dry_run: bool, yes: bool, as_json: bool) -> None:
        """Say what there is, ask, delete."""
        found = list(self._found())
        batches_ = 0 if self._accounts else self._batches()
        if not as_json:
            self._say(found, batches_)
        deleted = (0, 0)
        if (found or batches_) and not dry_run:
            sure("Delete them?", yes=yes)
            deleted = self._delete([(account, status) for account, status, _ in found], batches=bool(batches_))
        if as_json:
            tasks = [{"account": account, "status": status.value, "tasks": n} for account, status, n in found]
            print_json({"found": tasks, "batches": batches_, "deleted": {"tasks": deleted[0], "batches": deleted[1]}})
        elif any(deleted):
            console.print(f"Deleted {many(deleted[0], 'task')} and {many(deleted[1], 'batch')}.")

    def _say(self, found: list[tuple[str, Status, int]], batches_: int) -> None:
        for account in self._left_alone():
            console.print(
                f"{safe(account)}: is not configured here, so its tasks stay; `redrive prune -a` deletes them"
            )
        for account, status, n in found:
            console.print(f"{safe(account)}: {many(n, f'{status} task')} older than {_days(self._age(status))}")
        if batches_:
            age = _days(self._keep.of_batches)
            console.print(f"{many(batches_, 'batch')} older than {age}")
        if not found and not batches_:
            console.print("Nothing is past its retention.")

    def _age(self, status: Status) -> timedelta | None:
        """How old it must be; None: it is kept."""
        return self._older_than if self._older_than is not None else self._keep.of_tasks(status)

    def _found(self) -> Iterator[tuple[str, Status, int]]:
        with self._database.reading() as t:
            for account in self._accounts or sorted(self._configured):
                for status in ENDED_STATES:
                    age = self._age(status)
                    if age is not None and (n := queries.prunable_tasks(t, account, status, age, self._kept_by)):
                        yield account, status, n

    def _left_alone(self) -> list[str]:
        """Accounts with ended tasks that nobody configured here: they go only by their name."""
        if self._accounts:
            return []
        with self._database.reading() as t:
            return [account for account in queries.ended_accounts(t) if account not in self._configured]

    def _batches(self) -> int:
        with self._database.reading() as t:
            return queries.prunable_batches(t, self._keep.of_batches)

    def _delete(self, ended: list[tuple[str, Status]], *, batches: bool) -> tuple[int, int]:
        """Delete it; how many tasks and batches that were."""
        tasks = sum(self._of_account(account, status) for account, status in ended)
        batches_ = 0
        while batches and (n := self._page_of_batches()):
            batches_ += n
        return tasks, batches_

    def _of_account(self, account: str, status: Status) -> int:
        """Delete an account's tasks of one end, and record that somebody did so."""
        deleted = sum(self._pages(account, status))
        if deleted:
            with self._database.transaction() as t:
                record_action(t, Who(who(), f"{many(deleted, f'{status} task')} deleted"), "prune", account)
        return deleted

    def _pages(self, account: str, status: Status) -> Iterator[int]:
        """Each page in a transaction of its own."""
        age = self._age(status)
        while age is not None:
            with self._database.transaction() as t:
                n = ledger.prune_tasks(t, account, status, age, self._kept_by)
            if not n:
                return
            yield n

    def _page_of_batches(self) -> int:
        with self._database.transaction() as t:
            return ledger.prune_batches(t, self._keep.of_batches)


def _days(age: timedelta | None) -> str:
    return f"{(age or timedelta()) / timedelta(days=1):g} days"
