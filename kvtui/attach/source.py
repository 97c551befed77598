"""Where snapshots come from while the app runs: servers that are watched in threads, or a recording that is read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from queue import SimpleQueue
from threading import Event, Lock, Thread
from typing import Protocol

from kvtui.attach.attachment import Attachment, Watched
from kvtui.attach.recorder import Recorder
from kvtui.engine.basis.errors import InputError
from kvtui.engine.live.snapshot import Snapshot

MOST_AT_ONCE = 400
MOST_WAITING = 20_000
"""Snapshots that wait for a screen that is not shown; the oldest go first."""


class TrafficSource(Protocol):
    """What snapshots come from. ``name`` is how a person calls it; one that is ``live`` goes on by itself."""

    name: str
    live: bool

    def taken(self) -> list[Snapshot]:
        """The snapshots since this was last asked, without waiting for any."""

    def close(self) -> None:
        """Let go of it."""


class LiveServers:
    """Servers that are watched, each in a thread of its own; every snapshot is recorded too, if that is wanted."""

    live = True

    def __init__(self, watched: Sequence[Watched], seconds: float = 1.0, recorder: Recorder | None = None) -> None:
        self.name = ", ".join(one.address for one in watched)
        self._queue: deque[Snapshot] = deque(maxlen=MOST_WAITING)
        self._recorder, self._lock = recorder, Lock()
        self._attachments = [Attachment(one, self._take, seconds).start() for one in watched]

    def taken(self) -> list[Snapshot]:
        """What came since."""
        found: list[Snapshot] = []
        while self._queue and len(found) < MOST_AT_ONCE:
            found.append(self._queue.popleft())
        return found

    def close(self) -> None:
        """Stop watching."""
        for attachment in self._attachments:
            attachment.stop()
        with self._lock:
            if self._recorder is not None:
                self._recorder.close()
                self._recorder = None

    def _take(self, snapshot: Snapshot) -> None:
        """Record and keep what a server's thread saw; a disk that is full ends the recording alone."""
        self._queue.append(snapshot)
        with self._lock:
            if self._recorder is None:
                return
            try:
                self._recorder.add(snapshot)
            except OSError:
                self._recorder.close()
                self._recorder = None


class PlayedRecording:
    """A recording, read from its beginning by a thread of its own; time is the screen's business."""

    live = False

    def __init__(self, name: str, read: Callable[[], Iterable[Snapshot]]) -> None:
        self.name = name
        self._read, self._queue = read, SimpleQueue[Snapshot | Exception]()
        self._over = Event()
        Thread(target=self._run, name=f"read {name}", daemon=True).start()

    def taken(self) -> list[Snapshot]:
        """What was read since. Raises InputError for what is no recording, and OSError where it cannot be read."""
        found: list[Snapshot] = []
        while len(found) < MOST_AT_ONCE and not self._queue.empty():
            one = self._queue.get_nowait()
            if isinstance(one, Exception):
                raise one
            found.append(one)
        return found

    def close(self) -> None:
        """Read no further."""
        self._over.set()

    def _run(self) -> None:
        try:
            for snapshot in self._read():
                if self._over.is_set():
                    return
                self._queue.put(snapshot)
        except (InputError, OSError) as error:
            self._queue.put(error)
