"""Boot logs of all engines that write one: from a stream of bytes to what the server said of its memory."""

from __future__ import annotations

from typing import BinaryIO

from kvtui.engine.basis.errors import InputError
from kvtui.engine.bootlog import scan
from kvtui.engine.bootlog.observed import BootLog
from kvtui.engine.bootlog.patterns import Gathered, LogLine, LogReader
from kvtui.engine.engines.known import KNOWN, Known, part


def read_log(stream: BinaryIO) -> BootLog:
    """What the server that wrote the log in ``stream`` said of its last start.

    The engine is the one most of whose lines are there. Memory is bounded whatever the stream holds. Raises InputError,
    which says what was looked for, when no line of any engine's start is there.
    """
    readers = {known: _reader(known) for known in KNOWN}
    told = [(reader, Gathered()) for reader in readers.values()]
    by_marker: dict[str, list[tuple[LogLine, LogReader, Gathered]]] = {}
    for reader, gathered in told:
        for line in reader.lines:
            by_marker.setdefault(line.marker, []).append((line, reader, gathered))
    folded = {marker for marker, rows in by_marker.items() if any(line.folded for line, _, _ in rows)}
    for text, markers in scan.lines(stream, by_marker, folded):
        for marker in markers:
            for line, reader, gathered in by_marker[marker]:
                match = line.search(text)
                if match:
                    gathered.recognised += 1
                    line.take(gathered, match, reader.rank_of(text))
    reader, gathered = max(told, key=lambda both: both[1].recognised)
    if not gathered.recognised:
        wanted = ", ".join(f"{_quoted(reader)} of {known.title}" for known, reader in readers.items())
        raise InputError(f"log: no line of a server's start is in it; looked for {wanted}")
    reader.settle(gathered)
    return gathered.log(reader.engine, reader.expected)


def _reader(known: Known) -> LogReader:
    found: LogReader = part(known.name, "log").READER
    return found


def _quoted(reader: LogReader) -> str:
    return " and ".join(f"'{words}'" for words in reader.looked_for)
