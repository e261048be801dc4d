"""``redrive migrate``."""

from redrive.models.explain.words import many
from redrive.models.settings import hide_password
from redrive.models.sql.migrate import upgraded

from ..home import make_home
from .context import console, database_url, driver_installed, errors, load_settings


def migrate() -> None:
    """Bring the database's schema up to this version."""
    settings = load_settings(required=False)
    if settings.environment.database_url is None:
        make_home(settings.environment.home)
    url = database_url(settings)
    with driver_installed():
        done = upgraded(url)
    before, after = done.before, done.after
    words = f"is at schema {after} already" if before == after else f"went from schema {before or 'none'} to {after}"
    console.print(f"{hide_password(url)} {words}.")
    for rule, count in done.set_aside.items():
        words = f"{rule} refuses {many(count, 'task')}, now set aside: fix them, nothing else touches them meanwhile"
        errors.print(f"warning: {words}. `redrive status` counts them.", style="yellow", soft_wrap=True)
