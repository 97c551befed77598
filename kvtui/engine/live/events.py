"""KV-cache events of vLLM and SGLang: frames as events, and events as the blocks that hold a known prefix.

A message has three frames: a topic, a sequence number of 8 bytes, and a batch in msgpack. An event is a map with a
``type``, or in older releases (vLLM to 0.19.1, SGLang to 0.5.12) an array that begins with it. Hashes are counted, not
collected: two blocks may hold the same tokens.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable
from typing import Any, Literal, NamedTuple

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.live.snapshot import CachedBlocks, ServerPool

MOST_BYTES = 64 * 2**20
MOST_HASHES = 5_000_000
DEVICE = ("GPU", None, "")
_STORED = ("block_hashes", "parent_block_hash", "token_ids", "block_size", "lora_id", "medium")
_REMOVED = ("block_hashes", "medium")
_FIELDS = {"BlockStored": _STORED, "BlockRemoved": _REMOVED, "AllBlocksCleared": ()}


class KvEvent(NamedTuple):
    """One change of the cache. ``medium`` is where the blocks are; None is the accelerator."""

    what: Literal["stored", "removed", "cleared"]
    hashes: tuple[Hashable, ...] = ()
    group: int = 0
    kind: str = ""
    block_size: int | None = None
    medium: str | None = None


class KvBatch(NamedTuple):
    """The events of one step, with their place in the stream."""

    sequence: int
    time: float
    rank: int
    events: tuple[KvEvent, ...]


_WHAT: dict[str, Literal["stored", "removed", "cleared"]] = {
    "BlockStored": "stored",
    "BlockRemoved": "removed",
    "AllBlocksCleared": "cleared",
}


def read_batch(sequence: bytes, payload: bytes) -> KvBatch:
    """The batch of one message. Raises InputError for frames that are none."""
    from msgpack import unpackb

    if len(sequence) != 8:
        raise InputError(f"event: the sequence number has {len(sequence)} bytes, not 8")
    if len(payload) > MOST_BYTES:
        raise InputError(f"event: a batch of {len(payload):,} bytes is too large")
    try:
        batch = unpackb(payload, strict_map_key=False, raw=False, unicode_errors="replace")
    except Exception as error:  # noqa: BLE001  a hostile payload raises whatever the decoder does
        raise InputError(f"event: not msgpack: {plain(str(error), 80)}") from None
    if not isinstance(batch, list) or len(batch) < 2 or not isinstance(batch[1], list):
        raise InputError("event: a batch is [time, events, rank]")
    moment = float(batch[0]) if isinstance(batch[0], int | float) and abs(batch[0]) < 1e15 else 0.0
    rank = batch[2] if len(batch) > 2 and isinstance(batch[2], int) else 0
    return KvBatch(int.from_bytes(sequence, "big"), moment, rank, tuple(map(_event, batch[1])))


def _event(found: Any) -> KvEvent:
    """One event in either encoding. Raises InputError for what is none."""
    if isinstance(found, list) and found and isinstance(found[0], str):
        names = _FIELDS.get(found[0], ())
        found = {"type": found[0], **dict(zip(names, found[1:], strict=False))}
    name = found.get("type") if isinstance(found, dict) else found
    if not isinstance(found, dict) or not isinstance(name, str) or name not in _WHAT:
        raise InputError(f"event: '{plain(str(name), 40)}' is not an event that is known")
    hashes = found.get("block_hashes", ())
    if not isinstance(hashes, list | tuple) or not all(isinstance(one, int | bytes | str) for one in hashes):
        raise InputError("event: its block hashes are no list of hashes")
    group, size, medium = found.get("group_idx"), found.get("block_size"), found.get("medium")
    return KvEvent(
        _WHAT[name],
        tuple(hashes),
        group if isinstance(group, int) and 0 <= group < 4096 else 0,
        plain(str(found.get("kv_cache_spec_kind") or ""), 40),
        size if isinstance(size, int) and 0 < size < 2**24 else None,
        medium if isinstance(medium, str) else None,
    )


class KvLedger:
    """The blocks on the accelerator that hold a known prefix, by group, as the events so far leave them.

    ``complete`` says whether the events are known from the start, or from a moment when nothing was cached; before
    that the count is a least. ``next`` is the sequence number that comes next, None before the first.
    """

    def __init__(self) -> None:
        self.next: int | None = None
        self.complete = False
        self.gaps = 0
        self._held: dict[int, Counter[Hashable]] = defaultdict(Counter)
        self._kinds: dict[int, tuple[str, int | None]] = {}
        self._hashes = 0

    def begin(self) -> None:
        """There were no events before now: nothing is cached yet, if none was seen."""
        if self.next is None:
            self.next, self.complete = 0, True

    def missing(self, batch: KvBatch) -> int | None:
        """The first sequence number that is missing before ``batch``; None where none is."""
        wanted = 0 if self.next is None else self.next
        return wanted if batch.sequence > wanted else None

    def apply(self, batch: KvBatch) -> None:
        """Take ``batch`` into account; one that was seen before changes nothing, and one after a gap starts anew."""
        if self.next is not None and batch.sequence < self.next:
            return
        if self.next is None:
            self.complete = batch.sequence == 0
        elif batch.sequence > self.next:
            self.restart()
            self.gaps += 1
        self.next = batch.sequence + 1
        for event in batch.events:
            self._take(event)

    def restart(self) -> None:
        """Forget all blocks: what is cached is not known any more."""
        self._held.clear()
        self._hashes = 0
        self.next, self.complete = None, False

    def groups(self) -> tuple[CachedBlocks, ...]:
        """The blocks of each group, the lowest number first."""
        return tuple(
            CachedBlocks(group, *self._kind(group, held)) for group, held in sorted(self._held.items()) if held
        )

    def _kind(self, group: int, held: Counter[Hashable]) -> tuple[str, int, int | None]:
        kind, size = self._kinds.get(group, ("", None))
        return kind, held.total(), size

    def _take(self, event: KvEvent) -> None:
        if event.what == "cleared":
            self._held.clear()
            self._hashes, self.complete = 0, True
            return
        if event.medium not in DEVICE:
            return
        held = self._held[event.group]
        if event.what == "stored":
            if self._hashes + len(event.hashes) > MOST_HASHES:
                self.restart()
                return
            held.update(event.hashes)
            self._hashes += len(event.hashes)
            self._kinds[event.group] = event.kind, event.block_size
            return
        for one in event.hashes:
            left = held[one] - 1
            if left > 0:
                held[one] = left
            else:
                del held[one]
            self._hashes -= left >= 0


def with_cached(pool: ServerPool, groups: Iterable[CachedBlocks], running: int | None) -> ServerPool:
    """``pool`` with its cached and empty blocks, from the blocks that hold a known prefix.

    Of the ``used`` blocks all are known prefixes but the last of each running request and group, which is not full
    yet; the rest of the known ones can be evicted. Example: 32 blocks, 29 used by 6 requests, and 25 known. Between 23
    and 29 of the used ones are known, so at most 2 are cached besides, and at least 1 or 2 are empty.
    """
    groups = tuple(groups)
    known = sum(group.blocks for group in groups)
    if pool.size is None or pool.used is None or pool.unit != "block":
        return pool
    open_blocks = min(pool.used, (running or 0) * max(1, len(groups)))
    free = pool.size - pool.used
    most = min(free, max(0, known - (pool.used - open_blocks)))
    least = min(most, max(0, known - pool.used))
    return pool._replace(cached=most, spread=most - least, empty=free - most)
