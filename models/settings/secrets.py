"""Values that are kept outside the file: ``{ env = "NAME" }`` and ``{ file = "PATH" }``.

Loading keeps only where they are; they are read when an account is about to be used, by the process that uses it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CONVENTIONAL = re.compile(r"[A-Z][A-Z0-9]*(_[A-Z0-9]+)+|[A-Z]{1,20}")
"""Names as variables have them, and hardly a secret has that somebody wrote in place of one."""


@dataclass(frozen=True, slots=True)
class FromEnv:
    """A value in an environment variable."""

    name: str

    def __str__(self) -> str:
        return f'{{ env = "{self.name}" }}'

    def read(self, environ: Mapping[str, str]) -> str:
        """The value.

        Raises:
            ValueError: it is missing or empty.
        """
        value = environ.get(self.name)
        if value:
            return value
        which = f"environment variable {self.name}" if _CONVENTIONAL.fullmatch(self.name) else "the variable it names"
        what = "not set" if value is None else "empty"
        raise ValueError(f"{which} is {what}; set it where this process starts")


@dataclass(frozen=True, slots=True)
class FromFile:
    """A value in a file of its own, as container platforms mount secrets."""

    path: Path

    def __str__(self) -> str:
        return f'{{ file = "{self.path}" }}'

    def read(self, environ: Mapping[str, str]) -> str:  # noqa: ARG002 - the same call as FromEnv.read
        """The value, without the line break an editor leaves at the end.

        Raises:
            ValueError: the file is missing, unreadable or empty.
        """
        try:
            value = self.path.read_text("utf-8").removesuffix("\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
            raise ValueError(f"{self.path} cannot be read ({reason}); make it a text file this user may read") from None
        if value:
            return value
        raise ValueError(f"{self.path} is empty; write the value into it")


Reference = FromEnv | FromFile


def reference(table: Mapping[str, object], folder: Path) -> Reference:
    """What a table says about where a value is kept; a relative path starts at ``folder``.

    Raises:
        ValueError: it says something else.
    """
    match dict(table):
        case {"env": str(name), **rest} if not rest and VARIABLE.fullmatch(name):
            return FromEnv(name)
        case {"file": str(path), **rest} if not rest and path and path.isprintable():
            return FromFile(folder / path)
    raise ValueError('must be exactly { env = "NAME" } or { file = "PATH" }')


_LEFTOVERS: tuple[tuple[str, str], ...] = (
    (r"\ufeff", "begins with a byte-order mark; save it without one"),
    (
        r"\s*(\$\{[^}]*\}|\$\([^)]*\)|\$[A-Z][A-Z0-9_]*|%[A-Z][A-Z0-9_]*%|\{\{.*\}\}|<[^>]*>)\s*\Z",
        "is a placeholder that nobody has filled in; write the secret itself",
    ),
    (r"\s|.*\s\Z", "begins or ends with a space or line break; remove it"),
    (r"(?i)[a-z_][a-z0-9_]*=\s*[\"']", "looks like a whole line of an .env file; keep what follows the ="),
    (r"[\"'`\u2018-\u201f]|.*[\"'`\u2018-\u201f]\Z", "begins or ends with a quote; remove the quotes"),
    (r"(?i)(bearer|basic|token)\b[ :]", "begins with the word of an Authorization header; leave the word out"),
    (r".*\s", "has a space or a line break inside; was a line wrapped?"),
    (r".*[^\x21-\x7e]", "has a letter that is not plain ASCII; was it copied from a text?"),
)
"""What readers of ``.env`` files, editors and copying leave at a secret, and the words for it."""


def doubt(value: str) -> str:
    """What a secret looks as if it had around or in it that is not part of it; '' when it seems right."""
    return next((words for pattern, words in _LEFTOVERS if re.match(pattern, value, re.DOTALL)), "")
