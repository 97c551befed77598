"""The stream of a server's KV-cache events over ZeroMQ, followed by a thread of its own; gaps are asked for again.

pyzmq and msgpack are needed (``pip install kvtui[events]``). Only the server itself is connected to: an address that it
advertises of another host, or a file's of another machine, is not followed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from kvtui.engine.basis.errors import InputError
from kvtui.engine.live.events import KvBatch, KvLedger, read_batch, with_cached
from kvtui.engine.live.servers import Reply
from kvtui.engine.live.snapshot import Snapshot

LOOPBACK = ("127.0.0.1", "localhost", "::1")
POLL_MS = 200
REPLAY_MS = 2000
FIRST_SECONDS = 1.0
"""How long the first snapshot waits for the events before it."""

MOST_FRAME = 64 * 2**20
MOST_REPLAYED = 100_000
SOURCES = "/kv_event_sources"


class EventSource(NamedTuple):
    """Where the events of a ``rank`` come from; an empty ``replay`` has no way to ask for missed ones."""

    rank: int
    endpoint: str
    replay: str
    topic: str


def sources_of(reply: Reply | None, address: str) -> tuple[EventSource, ...]:
    """The streams that a server at ``address`` advertises; without those that lead elsewhere."""
    found = None if reply is None else reply.json
    sources = []
    for number, row in list(_rows(found, 0))[:1024]:
        endpoint = _reached(row.get("endpoint"), address)
        if endpoint and row.get("enable_kv_cache_events", True):
            topic = row.get("topic")
            replay = _reached(row.get("replay_endpoint"), address)
            sources.append(EventSource(number, endpoint, replay, topic if isinstance(topic, str) else ""))
    return tuple(sources)


def _rows(found: Any, rank: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Ranks and the descriptions of their streams: vLLM has an object of them by rank."""
    if not isinstance(found, dict):
        return
    if "endpoint" in found:
        yield rank, found
        return
    for key, value in found.items():
        if key.isdecimal() and len(key) < 6 and isinstance(value, dict) and "endpoint" in value:
            yield int(key), value


def _reached(endpoint: Any, address: str) -> str:
    """An ``endpoint`` as seen from here; empty for one that is not the server's own."""
    host = urlsplit(address).hostname or ""
    if not isinstance(endpoint, str) or not endpoint.isprintable() or len(endpoint) > 300:
        return ""
    if endpoint.startswith("ipc://"):
        return endpoint if host in LOOPBACK else ""
    if not endpoint.startswith("tcp://"):
        return ""
    there, _, port = endpoint[6:].rpartition(":")
    if not port.isdecimal():
        return ""
    if there in ("*", "0.0.0.0", "[::]", "::") or there == host or (there in LOOPBACK and host in LOOPBACK):
        return f"tcp://{f'[{host}]' if ':' in host else host}:{port}"
    return ""


class EventStream:
    """The events of one ``source``, followed until ``close``. ``extended`` puts what they tell into a rank's pool."""

    def __init__(self, source: EventSource) -> None:
        try:
            import msgpack  # noqa: F401
            import zmq
        except ImportError:
            raise InputError("the server publishes KV events: pip install 'kvtui[events]' to follow them") from None
        self.source = source
        self.said = ""
        self._ledger, self._lock, self._over = KvLedger(), threading.Lock(), threading.Event()
        self._begun = threading.Event()
        self._context = zmq.Context()
        self._thread = threading.Thread(target=self._run, name=f"events {source.endpoint}", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End, within a moment."""
        self._over.set()

    def extended(self, snapshot: Snapshot) -> Snapshot:
        """``snapshot`` with the cached and empty blocks of this stream's rank."""
        self._begun.wait(FIRST_SECONDS)
        with self._lock:
            groups, complete, gaps = self._ledger.groups(), self._ledger.complete, self._ledger.gaps
        if not complete:
            note = "what is cached is not known: the events before this moment were not to be had"
            return replace(snapshot, notes=(*snapshot.notes, self.said or note))
        ranks = tuple(
            replace(rank, pool=with_cached(rank.pool, groups, rank.running), cached_groups=groups)
            if rank.number == self.source.rank
            else rank
            for rank in snapshot.ranks
        )
        notes = (f"{gaps:,} gaps in the events",) if gaps else ()
        return replace(snapshot, ranks=ranks, notes=(*snapshot.notes, *notes))

    def _run(self) -> None:
        import zmq

        events = self._context.socket(zmq.SUB)
        try:
            events.setsockopt(zmq.LINGER, 0)
            events.setsockopt(zmq.MAXMSGSIZE, MOST_FRAME)
            events.setsockopt(zmq.RCVHWM, 10_000)
            events.setsockopt(zmq.SUBSCRIBE, self.source.topic.encode())
            events.connect(self.source.endpoint)
            if self._replayed(0):
                with self._lock:
                    self._ledger.begin()
            self._begun.set()
            while not self._over.is_set():
                if events.poll(POLL_MS):
                    self._took(events.recv_multipart())
        except zmq.ZMQError as error:
            self.said = f"the KV events do not come: {error}"
        finally:
            self._begun.set()
            events.close()
            self._context.destroy(linger=0)

    def _took(self, frames: list[bytes]) -> None:
        if len(frames) != 3:
            return
        try:
            batch = read_batch(frames[1], frames[2])
        except InputError as error:
            self.said = str(error)
            return
        with self._lock:
            missing = self._ledger.missing(batch)
        if missing is not None:
            self._replayed(missing)
        self._apply(batch)

    def _apply(self, batch: KvBatch) -> None:
        with self._lock:
            self._ledger.apply(batch)

    def _replayed(self, start: int) -> bool:
        """Ask for all events from the number ``start`` on; whether the server gave all that it keeps."""
        import zmq

        if not self.source.replay:
            return False
        ask = self._context.socket(zmq.DEALER)
        try:
            ask.setsockopt(zmq.LINGER, 0)
            ask.setsockopt(zmq.MAXMSGSIZE, MOST_FRAME)
            ask.connect(self.source.replay)
            ask.send_multipart([b"", start.to_bytes(8, "big")])
            for _ in range(MOST_REPLAYED):
                if self._over.is_set() or not ask.poll(REPLAY_MS):
                    return False
                frames = ask.recv_multipart()
                if len(frames) < 3 or int.from_bytes(frames[-2], "big", signed=True) < 0:
                    return True
                try:
                    self._apply(read_batch(frames[-2], frames[-1]))
                except InputError as error:
                    self.said = str(error)
                    return False
            return False
        finally:
            ask.close()


class FollowedEvents:
    """All streams of one server, opened when it is first seen to have some, and again when it restarts."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._streams: dict[EventSource, EventStream] = {}
        self._started: float | None = None
        self._said = ""

    def extend(self, snapshot: Snapshot, once: Mapping[str, Reply]) -> Snapshot:
        """``snapshot`` with what the events tell."""
        sources = sources_of(once.get(SOURCES), self._address)
        if snapshot.started != self._started:
            self.close()
            self._started = snapshot.started
        for source in sources:
            if source not in self._streams and not self._said:
                try:
                    self._streams[source] = EventStream(source)
                except InputError as error:
                    self._said = str(error)
        for stream in self._streams.values():
            snapshot = stream.extended(snapshot)
        return replace(snapshot, notes=(*snapshot.notes, self._said)) if self._said else snapshot

    def close(self) -> None:
        """End all streams."""
        for stream in self._streams.values():
            stream.close()
        self._streams.clear()
