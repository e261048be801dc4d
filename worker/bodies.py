"""Bodies that were compressed although we ask for them as they are: some servers and proxies do it anyway."""

from collections.abc import Callable, Mapping
from typing import Final

from aiohttp.compression_utils import HAS_BROTLI, HAS_ZSTD, BrotliDecompressor, ZLibDecompressor, ZSTDDecompressor

MOST_LAYERS: Final = 4

_GZIP = b"\x1f\x8b"


class UnreadableBodyError(Exception):
    """The body cannot be unpacked; the words say why."""


def encodings(headers: Mapping[str, str]) -> list[str]:
    """What was done to the body, the last first; ``identity`` is nothing."""
    named = [name.strip().lower() for name in headers.get("content-encoding", "").split(",")]
    return [name for name in reversed(named) if name not in {"", "identity"}]


def unpacked(body: bytes, names: list[str], max_bytes: int) -> bytes:
    """The body as it was before.

    Raises:
        UnreadableBodyError: it is broken, packed in a way not known here, or larger than ``max_bytes`` then.
    """
    if len(names) > MOST_LAYERS:
        raise UnreadableBodyError(f"the answer is compressed {len(names)} times")
    for name in names:
        body = _unpacked(body, name, max_bytes) if body else body
        if len(body) > max_bytes:
            raise UnreadableBodyError(f"answer larger than {max_bytes} bytes once decompressed")
    return body


def _unpacked(body: bytes, name: str, max_bytes: int) -> bytes:
    unpack = _UNPACK.get(name)
    if unpack is None:
        raise UnreadableBodyError(f"the answer is compressed as {name[:20]!r}, which cannot be read here")
    try:
        return unpack(body, max_bytes + 1)  # one more is enough to know that it is too large
    except Exception as error:  # noqa: BLE001 - each library has errors of its own
        raise UnreadableBodyError(f"the answer's {name} compression is broken ({type(error).__name__})") from None


def _gunzip(body: bytes, most: int) -> bytes:
    """Gzip; a body that merely says so is left alone."""
    return ZLibDecompressor(encoding="gzip").decompress_sync(body, most) if body.startswith(_GZIP) else body


def _inflate(body: bytes, most: int) -> bytes:
    """Deflate, with the header it must have or, as many servers send it, without."""
    bare = body[0] & 0xF != 8  # noqa: PLR2004 - the method's number in the header
    return ZLibDecompressor(encoding="deflate", suppress_deflate_header=bare).decompress_sync(body, most)


_UNPACK: Final[dict[str, Callable[[bytes, int], bytes]]] = {"gzip": _gunzip, "x-gzip": _gunzip, "deflate": _inflate}
if HAS_BROTLI:
    _UNPACK["br"] = lambda body, most: BrotliDecompressor().decompress_sync(body, most)
if HAS_ZSTD:
    _UNPACK["zstd"] = lambda body, most: ZSTDDecompressor().decompress_sync(body, most)
