"""Lines worth reading out of a log of any size, in bounded memory; binary data and endless lines do no harm."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from json import loads
from typing import BinaryIO

from kvtui.engine.basis.errors import InputError

CHUNK_BYTES = 2**20
MAX_LINE_BYTES = 2**16
MAX_READ_BYTES = 4 * 2**20
MAX_LOG_BYTES = 2**30
FOLDED_BYTES = 1000

_COLOUR = re.compile(rb"\x1b\[[0-9;?]{0,20}[ -/]{0,4}[@-~]|\x1b\][^\x07\x1b\n]{0,2000}(?:\x07|\x1b\\)?")
_WIDE = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


def lines(stream: BinaryIO, markers: Iterable[str], folded: Iterable[str] = ()) -> Iterator[tuple[str, list[str]]]:
    """The lines of ``stream`` that contain one of ``markers``, in order, each with the markers that it contains.

    They are without colours, cut to 64 KiB, and out of the JSON that containers wrap them in. A carriage return ends a
    line, as progress bars have it. UTF-16 with a byte order mark is read as such. A line with a marker of ``folded``
    comes with the 1,000 bytes after its end, since whoever copied it may have folded it. No more than 4 MiB of such
    lines are read in all. Raises InputError for a stream of more than 1 GiB, such as one without an end.
    """
    wanted = [(marker, marker.encode()) for marker in markers]
    longer = frozenset(folded)
    left = MAX_READ_BYTES
    for block, ahead in _blocks(stream):
        plain = _plain(block)
        for start, (end, found) in _places(plain, wanted):
            text = plain[start : min(end, start + MAX_LINE_BYTES)]
            left -= len(text)
            if left < 0:
                return
            message = _message(text)
            if message is not None:
                yield from _within(message, found, longer)
                continue
            if not longer.isdisjoint(found):
                text += (plain[end : end + FOLDED_BYTES] + _plain(ahead))[:FOLDED_BYTES]
            yield text.decode("utf-8", "replace"), found


def _plain(data: bytes) -> bytes:
    """``data`` without colours."""
    return _COLOUR.sub(b"", data) if b"\x1b" in data else data


def _message(line: bytes) -> str | None:
    """The longest text in a line that is a JSON object, as containers and structured loggers write it; else None."""
    line = line.strip()
    if not (line.startswith(b"{") and line.endswith(b"}")):
        return None
    try:
        found = loads(line)
    except (ValueError, RecursionError):
        return None
    return max((value for value in found.values() if isinstance(value, str)), key=len, default=None)


def _within(message: str, markers: list[str], folded: frozenset[str]) -> Iterator[tuple[str, list[str]]]:
    """The lines of a ``message`` that contain one of ``markers``, as ``lines`` gives them."""
    parts = _COLOUR.sub(b"", message.encode("utf-8", "replace")).decode("utf-8", "replace").split("\n")
    for at, part in enumerate(parts):
        found = [marker for marker in markers if marker in part]
        if found:
            yield part if folded.isdisjoint(found) else "\n".join(parts[at:])[: len(part) + FOLDED_BYTES], found


def _blocks(stream: BinaryIO) -> Iterator[tuple[bytes, bytes]]:
    """Whole lines, many at once, each time with some of what follows; of a line longer than 64 KiB its beginning."""
    carry, skipping = b"", False
    for data in _chunks(stream):
        block = carry + data.replace(b"\r", b"\n")
        if skipping:
            _, newline, block = block.partition(b"\n")
            skipping = not newline
        end = block.rfind(b"\n", 0, max(0, len(block) - FOLDED_BYTES)) + 1
        carry = block[end:]
        yield block[:end], carry[:FOLDED_BYTES]
        if len(carry) > MAX_LINE_BYTES + FOLDED_BYTES:
            yield carry[:MAX_LINE_BYTES], b""
            _, newline, carry = carry[MAX_LINE_BYTES:].partition(b"\n")
            skipping = not newline
    yield carry, b""


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    data = stream.read(CHUNK_BYTES)
    wide = _WIDE.get(data[:2])
    decoder = codecs.getincrementaldecoder(wide)("replace") if wide else None
    seen = 0
    while data:
        seen += len(data)
        if seen > MAX_LOG_BYTES:
            raise InputError(f"log: is larger than {MAX_LOG_BYTES // 2**30} GiB: give the part with the server's start")
        yield data if decoder is None else decoder.decode(data).encode("utf-8", "replace")
        data = stream.read(CHUNK_BYTES)


def _places(block: bytes, wanted: list[tuple[str, bytes]]) -> list[tuple[int, tuple[int, list[str]]]]:
    """Begin, end and markers of each line of ``block`` that contains something ``wanted``."""
    found: dict[int, tuple[int, list[str]]] = {}
    for marker, text in wanted:
        at = block.find(text)
        while at >= 0:
            start = block.rfind(b"\n", 0, at) + 1
            end = block.find(b"\n", at)
            end = len(block) if end < 0 else end
            found.setdefault(start, (end, []))[1].append(marker)
            at = block.find(text, end)
    return sorted(found.items())
