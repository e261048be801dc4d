"""JSON → rows: objects one after the other, a line each, printed over many lines, or in an array."""

import io
import json
import re
from collections.abc import Iterator, Mapping
from typing import IO, Any

from redrive.models.intake.values import json_decoder

from .columns import REFUSAL, SKIPPED
from .lines import LONGEST, NOT_UTF8, TOO_LONG, is_readable
from .rows import Row

_CHUNK = 2**16
_BETWEEN = re.compile(r"[\s,]*")
_NEXT_OBJECT = re.compile(r"\}\s*,\s*(?=\{)")
_LONGEST_WORD = len("-Infinity") + 1
_NOT_AN_OBJECT = 'is not a JSON object, such as {"account": "phones", "external_id": "591"}'


class JsonForm:
    """Refused rows as JSON lines. What is not JSON stands as it was under an object that only says why."""

    def head(self) -> str:
        """Nothing."""
        return ""

    def refused(self, row: Row, why: str) -> str:
        """A row."""
        if row.problem:
            return f"{_json({REFUSAL: why})}\n{row.source.strip()}\n"
        return f"{_json({REFUSAL: why, **row.values})}\n"


FORM = JsonForm()


def json_rows(text: IO[str], begin: str, number: int) -> Iterator[Row]:
    """A row for each value.

    Args:
        text: what comes after ``begin``.
        begin: what was read of it already.
        number: the line that ``begin`` begins in.
    """
    values = _Values(text, begin, number)
    while values.begin():
        if (row := _row(values)) is not None:
            yield row


def _row(values: "_Values") -> Row | None:
    """The next value; None where it is the reason of a refusal, which stands alone before what is not JSON."""
    number = values.number
    try:
        found, source = values.take()
    except _BrokenValueError as broken:
        return Row(number, {}, values.drop(), FORM, str(broken))
    if isinstance(found, dict) and set(found) == {REFUSAL}:
        return None
    problem = "" if isinstance(found, dict) else _NOT_AN_OBJECT
    if values.twice:
        problem = f"says {values.twice[0]!r} twice; keep one of them"
    if not is_readable(source):
        problem = NOT_UTF8
    fields: Mapping[str, Any] = found if isinstance(found, dict) else {}
    return Row(number, {name: each for name, each in fields.items() if name not in SKIPPED}, source, FORM, problem)


class _BrokenValueError(ValueError):
    """What comes next is not JSON; the message says why."""


class _Values:
    """JSON values of a text, of which no more is in memory than one value and a chunk."""

    def __init__(self, text: IO[str], begin: str, number: int) -> None:
        self._text = text
        self._line_ends = io.IncrementalNewlineDecoder(None, translate=True)
        self._buffer: str = self._line_ends.decode(begin)
        self._at = 0
        self._ended = False
        self._in_array = False
        self.number = number
        self.twice: list[str] = []
        self._decoder = json_decoder(self.twice)

    def begin(self) -> bool:
        """Go to where the next value begins; False at the end."""
        while True:
            self._go(_BETWEEN.match(self._buffer, self._at).end())  # type: ignore[union-attr]  # it matches always
            if self._at == len(self._buffer):
                if not self._more():
                    return False
            elif self._buffer[self._at] == "[]"[self._in_array]:
                self._in_array = not self._in_array
                self._go(self._at + 1)
            else:
                return True

    def take(self) -> tuple[object, str]:
        """The value that begins here, and its text.

        Raises:
            _BrokenValueError: it is not JSON; :meth:`drop` goes past it.
        """
        while True:
            self.twice.clear()
            try:
                found, end = self._decoder.raw_decode(self._buffer, self._at)
            except json.JSONDecodeError as error:
                if self._is_final(error) or not self._more():
                    raise _BrokenValueError(f"is not JSON: {error.msg} at column {error.colno}") from None
            except (RecursionError, ValueError):
                raise _BrokenValueError("is JSON nested too deeply") from None
            else:
                if end < len(self._buffer) or not self._more():
                    source = self._buffer[self._at : end]
                    self._go(end)
                    return found, source

    def drop(self) -> str:
        """Go past a broken value and return its text.

        A broken line costs itself. An object whose first line is only its bracket costs the lines up to the next
        bracket, which are its own, and one in an array that is all on one line costs what comes before the next one.
        """
        if self._in_array and (following := _NEXT_OBJECT.search(self._line(peek=True))):
            source = self._buffer[self._at : self._at + following.end()]
            self._go(self._at + following.end())
            return source
        line = self._line()
        if line.strip() == "{":
            while (self._at < len(self._buffer) or self._more()) and not self._line(peek=True).lstrip().startswith("{"):
                line = (line + self._line())[:LONGEST]
        return line

    def _is_final(self, error: json.JSONDecodeError) -> bool:
        """Whether no more text would make the value whole.

        Raises:
            _BrokenValueError: there may not be more of it.
        """
        rest = self._buffer[error.pos :]
        if rest and not rest.isspace():
            is_open = error.msg.startswith("Unterminated string")  # a string ends in its line
            if "\n" in rest or (len(rest) > _LONGEST_WORD and not is_open):
                return True
        if len(self._buffer) - self._at > LONGEST:
            raise _BrokenValueError(TOO_LONG)
        return False

    def _line(self, *, peek: bool = False) -> str:
        """The rest of the line, of a long one its beginning; it is passed unless ``peek``."""
        while (
            (end := self._buffer.find("\n", self._at)) < 0 and len(self._buffer) - self._at < LONGEST and self._more()
        ):
            pass
        line = self._buffer[self._at : end + 1 if end >= 0 else len(self._buffer)]
        if not peek:
            self._go(self._at + len(line))
            while end < 0 and self._more():  # what is left of a line too long is nobody's
                end = self._buffer.find("\n", self._at)
                self._go(end + 1 if end >= 0 else len(self._buffer))
        return line[:LONGEST]

    def _go(self, at: int) -> None:
        self.number += self._buffer.count("\n", self._at, at)
        self._at = at

    def _more(self) -> bool:
        """Read on, forgetting what is behind; False at the end."""
        if self._ended:
            return False
        chunk = self._text.read(_CHUNK)
        self._ended = not chunk
        decoded = self._line_ends.decode(chunk, final=self._ended)
        self._buffer, self._at = self._buffer[self._at :] + decoded, 0
        return bool(decoded) or not self._ended


def _json(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate, which was written as an escape
        return json.dumps(value)
    return text
