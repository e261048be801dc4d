"""What people ask for beside millions of rows and thousands of accounts: status, lists, and actions by filter."""

import time
from statistics import median

import psycopg

from benchmarks.ground import Ground
from benchmarks.options import Options
from benchmarks.race import say
from benchmarks.tables import Table, Target

STATUS_SECONDS, LIST_SECONDS, ACTED = 1.5, 0.8, 5000.0

ACCOUNT = '[accounts.{0}]\nprovider = "docflow"\napp_id = {{ env = "A_{0}" }}\nsecret_code = {{ env = "S_{0}" }}\n'
FILL = """
INSERT INTO redrive_tasks (account, kind, external_id, status, dead_reason, held_from, due_at, attempts, spent)
SELECT %(account)s::text, 'review_task', n::text, %(status)s::text,
    CASE WHEN %(status)s::text = 'dead' THEN 'limit_reached' END, CASE WHEN %(status)s::text = 'held' THEN 'failed' END,
    CASE WHEN %(status)s::text = 'failed' THEN clock_timestamp() - interval '1 hour' END, 1, 1
FROM generate_series(1, %(rows)s::bigint) n
"""
EACH = """
INSERT INTO redrive_tasks (account, kind, external_id, status, due_at)
SELECT name, 'review_task', 'x' || n, 'failed', clock_timestamp() + n * interval '1 hour'
FROM unnest(%s::text[]) name, generate_series(1, 20) n
"""
TOTALS = """
INSERT INTO redrive_totals (account, name, value)
SELECT account, name, 1234 FROM unnest(%s::text[]) account,
    unnest(ARRAY['succeeded', 'attempts', 'spent', 'calls:retry', 'calls:check', 'outcome:accepted']) name
"""


class People:
    """A database with much in it, and the command line."""

    def __init__(self, ground: Ground, url: str, options: Options) -> None:
        self._ground = ground
        names = ["due", "dead", "held", *(f"a{n:04}" for n in range(1, 5 * options.accounts - 2))]
        self._env = {"REDRIVE_DATABASE_URL": url, "REDRIVE_BROKER_URL": ground.broker()}
        self._configs = [ground.folder() / "redrive.toml" for _ in range(2)]
        for config, known in zip(self._configs, (names[:3], names), strict=True):
            config.write_text("".join(ACCOUNT.format(name) for name in known))
        self.due, self.acted = options.rows // 10, options.rows // 20
        with psycopg.connect(ground.conninfo(url), autocommit=True) as connection:
            run = connection.execute
            run("INSERT INTO redrive_accounts (name, provider) SELECT name, 'docflow' FROM unnest(%s::text[]) name",
                [names])  # fmt: skip
            for account, status, rows in (
                ("dead", "dead", self.acted), ("held", "held", self.acted), ("due", "failed", self.due),
            ):  # fmt: skip
                run(FILL, {"account": account, "status": status, "rows": rows})
            run(EACH, [names])
            run(TOTALS, [names])
            run("VACUUM ANALYZE")

    def seconds(self, *args: str, every_account: bool = False) -> float:
        """How long a command takes, to its end; with the settings of every account, or of three."""
        env = {**self._env, "REDRIVE_CONFIG": str(self._configs[every_account])}
        began = time.perf_counter()
        process = self._ground.spawn("-m", "redrive", *args, env=env)
        code = process.wait(1800)
        took = time.perf_counter() - began
        if code != 0:
            raise RuntimeError(process.output())
        process.kill()
        say(f"  redrive {' '.join(args)}: {took:.2f} s")
        return took


def lists(ground: Ground, options: Options) -> Table:
    times = range(1 if options.quick else 3)
    with ground.database() as url:
        people = People(ground, url, options)
        status = median(people.seconds("status", every_account=True) for _ in times)
        due = median(people.seconds("list", "--due") for _ in times)
        acted = {
            "retry --force": people.seconds("retry", "--force", "-a", "dead", "-s", "dead", "--yes"),
            "release": people.seconds("release", "-a", "held", "-s", "held", "--yes"),
        }
    rates = {name: people.acted / took for name, took in acted.items()}
    return Table(
        "lists", f"The command line beside {people.due:,} due tasks and {5 * options.accounts:,} accounts",
        ("", "seconds", "tasks/s"),
        [
            ("status", status, ""), ("list --due", due, ""),
            *((f"{name}, {people.acted:,} by filter", acted[name], rates[name]) for name in acted),
        ],
        [
            Target("status", status, STATUS_SECONDS, at_most=True, unit=" s"),
            Target("list --due", due, LIST_SECONDS, at_most=True, unit=" s"),
            *(Target(f"{name} by filter", rate, ACTED, unit="/s") for name, rate in rates.items()),
        ],
        ["Whole commands, from their start to their end; `status` with the settings of every account."],
    )  # fmt: skip
