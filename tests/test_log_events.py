"""docs/logs.md has every log event of the sources, and no other."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from redrive.models.queries.news import EVENTS as NEWS
from tests.test_architecture import SOURCES

PAGE = (Path(__file__).parents[1] / "docs/logs.md").read_text()
LEVELS = {"debug", "info", "warning", "error", "critical"}
ALIASES = {"say", "log_error"}
"""Names that a logger's method has where it is chosen or handed in."""


def events(path: Path) -> Iterator[str]:
    """What a file logs by a literal name, or by one that begins with a chore's."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log") | ast.Call(), attr=level), args=[event]) if (
                level in LEVELS
            ):
                yield from named(event)
            case ast.Call(func=ast.Name(id=alias), args=[event]) if alias in ALIASES:
                yield from named(event)
            case ast.Call(func=ast.Attribute(attr="failed"), args=[event, *_]):
                yield from named(event)


def named(event: ast.expr) -> Iterator[str]:
    match event:
        case ast.Constant(value=str(name)) if re.fullmatch(r"[a-z_]+(\.[a-z_]+)?", name):
            yield name
        case ast.JoinedStr(values=[ast.FormattedValue(), ast.Constant(value=str(end))]) if end.startswith("."):
            yield f"CHORE{end}"


def test_the_page_has_every_event() -> None:
    """All that are missing, and all that nothing logs any more, at once."""
    logged = {event for path in SOURCES for event in events(path)} | {name for pair in NEWS.values() for name in pair}
    cells = [line.split(" | ")[1] for line in PAGE.splitlines() if line.startswith("| ") and "`" in line]
    explained = {event for cell in cells for event in re.findall(r"`([\w.]+)`", cell)}
    assert {"explain": sorted(logged - explained), "remove": sorted(explained - logged)} == {
        "explain": [],
        "remove": [],
    }
