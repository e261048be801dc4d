"""Every command on a page is one, with options that it has, in blocks and within sentences."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer import Context
from typer.main import get_command

from redrive.cli import app
from tests.test_docs import BLOCK, PAGES

INLINE = re.compile(r"`(redrive [a-z][^`\n]*)`")
WRITTEN = re.compile(r"(?:^\$? ?|\| )(redrive [a-z].*)$", re.MULTILINE)


def commands_of(page: str) -> Iterator[str]:
    """Every call of `redrive` on a page, in blocks and within sentences, up to a pipe or redirection."""
    written = [line for block in BLOCK.findall(page) for line in WRITTEN.findall(block)]
    for line in [*written, *INLINE.findall(page)]:
        yield re.split(r" [|>&#] ?", line)[0].replace("…", " ")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_options_exist(page: Path) -> None:
    """Every command on a page is one, with options that it has."""
    program: Any = get_command(app)
    context = Context(program)
    wrong = []
    for line in commands_of(page.read_text()):
        name, *words = shlex.split(line)[1:]
        if name not in program.commands:
            wrong.append(f"{line}: there is no such command")
            continue
        command = program.resolve_command(context, [name])[1]
        options = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
        given = {word.partition("=")[0] for word in words if re.match("--?[a-z]", word)}
        wrong += [f"{line}: it has no {option}" for option in sorted(given - options - {"--help", "-h"})]
    assert wrong == []
