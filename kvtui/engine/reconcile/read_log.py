"""Boot logs of vLLM, llama.cpp and SGLang: from a stream of bytes to what the server said of its memory."""

from __future__ import annotations

from typing import BinaryIO

from kvtui.engine.basis.errors import InputError
from kvtui.engine.bootlog.observed import BootLog
from kvtui.engine.bootlog.patterns import Gathered, Line, Reader

LOOKED_FOR = (
    "'Available KV cache memory' and 'GPU KV cache size' of vLLM, 'KV buffer size' of llama.cpp, "
    "'KV Cache is allocated' of SGLang"
)


def read_log(stream: BinaryIO) -> BootLog:
    """What the server that wrote the log in ``stream`` said of its last start.

    The engine is the one most of whose lines are there. Memory is bounded whatever the stream holds. Raises InputError,
    which says what was looked for, when no line of any engine's start is there.
    """
    from kvtui.engine.bootlog import scan
    from kvtui.engine.serving.llamacpp import log as llamacpp
    from kvtui.engine.serving.sglang import log as sglang
    from kvtui.engine.serving.vllm import log as vllm

    told = [(reader, Gathered()) for reader in (vllm.READER, llamacpp.READER, sglang.READER)]
    by_marker: dict[str, list[tuple[Line, Reader, Gathered]]] = {}
    for reader, gathered in told:
        for line in reader.lines:
            by_marker.setdefault(line.marker, []).append((line, reader, gathered))
    for text, markers in scan.lines(stream, by_marker):
        for marker in markers:
            for line, reader, gathered in by_marker[marker]:
                match = line.pattern.search(text)
                if match:
                    gathered.recognised += 1
                    line.take(gathered, match, reader.rank_of(text))
    reader, gathered = max(told, key=lambda both: both[1].recognised)
    if not gathered.recognised:
        raise InputError(f"log: no line of a server's start is in it; looked for {LOOKED_FOR}")
    reader.settle(gathered)
    return gathered.log(reader.engine, reader.expected)
