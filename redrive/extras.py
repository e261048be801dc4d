"""What the extras of Redrive bring, for messages where it is missing.

The command names the package and not Redrive: that works however Redrive came here, as a wheel or from a checkout.
"""

import re
from importlib.metadata import PackageNotFoundError, requires

_DRIVER = "psycopg"


def install_command(extra: str) -> str:
    """``pip install 'psycopg[binary]<4,>=3.3'``; where nothing of Redrive is installed, the name of the extra."""
    try:
        found = requires("redrive") or []
    except PackageNotFoundError:
        found = []
    marked = re.compile(rf"(.+?)\s*;\s*extra == ['\"]{extra}['\"]")
    wanted = [f"'{each[1]}'" for each in map(marked.fullmatch, found) if each]
    return f"pip install {' '.join(wanted)}" if wanted else f"install Redrive with its extra {extra}"


def driver_words(error: ImportError) -> str:
    """What to do where the driver of PostgreSQL cannot be imported.

    Raises:
        ImportError: it is about something else.
    """
    if (error.name or _DRIVER).partition(".")[0] != _DRIVER:
        raise error
    what = "is not installed" if isinstance(error, ModuleNotFoundError) else f"does not run: {_first_line(error)}"
    return f"needs the module {_DRIVER}, which {what}; {install_command('postgres')}"


def _first_line(error: ImportError) -> str:
    """Psycopg lists below it each way in which it looked for libpq."""
    return str(error).partition("\n")[0].rstrip(".:")
