"""Bytes → text, whatever compressed and encoded them."""

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO

from .lines import UnusableFile

_LOOKED_AT = 1024
_AS_CSV = "save the sheet as CSV UTF-8 and import that"
_NOT_TEXT: Mapping[bytes, str] = {
    b"PK\x03\x04": f"is an Excel workbook or another zip archive; {_AS_CSV}, or unpack the archive",
    b"\xd0\xcf\x11\xe0": f"is an Excel workbook; {_AS_CSV}",
    b"PAR1": "is a Parquet file; write it as CSV or JSON lines",
    b"SQLite format 3\0": "is an SQLite database; write its rows as CSV or JSON lines",
    b"BZh": "is compressed with bzip2; unpack it first: bunzip2",
    b"\xfd7zXZ\0": "is compressed with xz; unpack it first: unxz",
    b"\x28\xb5\x2f\xfd": "is compressed with zstd; unpack it first: unzstd",
}
"""How files of other kinds begin."""

_GZIP = b"\x1f\x8b"
_MARKS: Mapping[bytes, str] = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # begins like the mark of UTF-16, so it is compared first
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@contextmanager
def text_of(stream: IO[bytes]) -> Iterator[IO[str]]:
    """The stream as text, its line ends as they are. The stream stays open.

    Raises:
        UnusableFile: it is not text.
    """
    data = _Whole(stream)
    if data.head.startswith(_GZIP):
        data = _Whole(gzip.GzipFile(fileobj=io.BufferedReader(data)))
    encoding = _encoding(data.head)
    # A byte that is not UTF-8 becomes half a surrogate, by which its row is known later.
    errors = "surrogateescape" if encoding.startswith("utf-8") else "replace"
    text = io.TextIOWrapper(io.BufferedReader(data), encoding=encoding, errors=errors, newline="")
    try:
        yield text
    finally:
        text.detach()


class _Whole(io.RawIOBase):
    """A stream whose beginning was checked and comes again."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile) -> None:
        self._read_some: Callable[[int], bytes] = getattr(stream, "read1", stream.read)
        self.head = b""
        while len(self.head) < _LOOKED_AT and (chunk := self._read(_LOOKED_AT - len(self.head))):
            self.head += chunk
        self._again = self.head

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # typeshed names a private type
        """Read what is there, without waiting for as much as is asked for."""
        size = len(buffer)
        chunk, self._again = (self._again[:size], self._again[size:]) if self._again else (self._read(size), b"")
        buffer[: len(chunk)] = chunk
        return len(chunk)

    def _read(self, size: int) -> bytes:
        try:
            return self._read_some(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UnusableFile(f"is damaged or cut off: {error}; only the rows before that were read") from None


def _encoding(head: bytes) -> str:
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding
    for begin, words in _NOT_TEXT.items():
        if head.startswith(begin):
            raise UnusableFile(words)
    if 0 not in head:
        return "utf-8"
    evens, odds = head[0:32:2], head[1:32:2]
    if not any(odds) and 0 not in evens:
        return "utf-16-le"
    if not any(evens) and 0 not in odds:
        return "utf-16-be"
    raise UnusableFile("is not text; save it as CSV UTF-8 or as JSON lines")
