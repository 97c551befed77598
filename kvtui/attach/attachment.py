"""Attached to a server: a thread that takes a snapshot at every beat, and hands it on.

A server that is silent is asked again ever more seldom, up to every half minute, and recognised anew when it answers:
it may be another one then.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from time import monotonic, time
from typing import Protocol

from kvtui.attach.http import NoReply
from kvtui.engine.live.interval import has_restarted
from kvtui.engine.live.servers import (
    ABSENT,
    FIRST,
    ONCE,
    Reply,
    ServerKind,
    ToldBesides,
    read_server,
    recognised,
    refused,
)
from kvtui.engine.live.snapshot import Snapshot

LONGEST_PAUSE = 30.0


class Asked(Protocol):
    """What answers requests: a server over HTTP."""

    address: str

    def get(self, path: str) -> Reply:
        """The reply to ``path``. Raises NoReply."""

    def close(self) -> None:
        """Let go of it."""


class Watched(Protocol):
    """What gives snapshots whenever it is asked, and takes as long as that takes."""

    address: str

    def looks(self) -> tuple[Snapshot, ...]:
        """The servers as they are now; one that does not answer is a snapshot too."""

    def close(self) -> None:
        """Let go of it."""


class Companion(Protocol):
    """What completes each snapshot with what comes another way, such as events."""

    def extend(self, snapshot: Snapshot, once: Mapping[str, Reply]) -> Snapshot:
        """``snapshot`` with more in it; ``once`` are the replies of when the server was recognised."""

    def close(self) -> None:
        """Let go of it."""


class WatchedServer:
    """A server that ``asked`` reaches, recognised when it first answers, with what comes from ``beside``."""

    def __init__(
        self,
        asked: Asked,
        told: ToldBesides | None = None,
        beside: Sequence[Companion] = (),
        clock: Callable[[], float] = time,
    ) -> None:
        self.address = asked.address
        self._asked, self._told, self._beside, self._clock = asked, told or ToldBesides(), beside, clock
        self._kind: ServerKind | None = None
        self._once: dict[str, Reply] = {}
        self._latest: dict[str, Reply] = {}
        self._turn = 0
        self._last: Snapshot | None = None

    def looks(self) -> tuple[Snapshot, ...]:
        """The one server as it is now."""
        return (self.look(),)

    def look(self) -> Snapshot:
        """The server as it is now."""
        try:
            found = self._looked()
        except NoReply as error:
            self._forget()
            found = Snapshot(self._clock(), self.address, "silent", str(error))
            if self._last is not None:
                last = self._last
                found = replace(found, engine=last.engine, release=last.release, model=last.model)
        if found.state in ("up", "asleep"):
            if self._last is not None and has_restarted(self._last, found):
                self._forget()
            self._last = found
        return found

    def close(self) -> None:
        """Let go of the server, and of what comes from beside it."""
        self._asked.close()
        for one in self._beside:
            one.close()

    def _forget(self) -> None:
        self._kind, self._turn = None, 0
        self._once.clear()
        self._latest.clear()

    def _looked(self) -> Snapshot:
        if self._kind is None:
            unknown = self._recognise()
            if unknown is not None:
                return unknown
        assert self._kind is not None
        each = self._kind.each
        wanted = [path for path in each if path not in self._latest] or [each[self._turn % len(each)]]
        for path in wanted:
            self._latest[path] = self._asked.get(path)
        self._turn += 1
        found = read_server(self._kind, self._once, self._latest, self._clock(), self.address, self._told)
        if found.state not in ("up", "asleep"):
            self._forget()
            return found
        for one in self._beside:
            found = one.extend(found, self._once)
        return found

    def _recognise(self) -> Snapshot | None:
        """Find out what kind of server it is; a snapshot that says why, where that is not to be found out."""
        worst: Reply | None = None
        for path in FIRST:
            reply = self._asked.get(path)
            self._kind = recognised(reply)
            if self._kind is not None:
                if path in self._kind.each:
                    self._latest[path] = reply
                break
            if reply.status not in (200, *ABSENT):
                worst = worst or reply
        else:
            found = Snapshot(self._clock(), self.address)
            if worst is not None:
                return refused(found, worst)
            words = "it answers, but not as any server that is known does (is it started with metrics?)"
            return replace(found, state="unreadable", said=words)
        for path in ONCE[self._kind.engine]:
            self._once[path] = self._asked.get(path)
        return None


class Attachment:
    """A thread that looks at ``watched`` every ``seconds`` and calls ``take`` with each snapshot."""

    def __init__(self, watched: Watched, take: Callable[[Snapshot], None], seconds: float = 1.0) -> None:
        self._watched, self._take, self._seconds = watched, take, seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"watch {watched.address}", daemon=True)

    def start(self) -> Attachment:
        """Begin."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End, without waiting for a reply that is under way."""
        self._over.set()

    def _run(self) -> None:
        pause, due = self._seconds, monotonic()
        while not self._over.is_set():
            found = self._watched.looks()
            if self._over.is_set():
                break
            for snapshot in found:
                self._take(snapshot)
            up = any(snapshot.state in ("up", "asleep") for snapshot in found)
            pause = self._seconds if up else min(LONGEST_PAUSE, pause * 2)
            due = max(due + pause, monotonic() + 0.2 * self._seconds)
            self._over.wait(max(0.0, due - monotonic()))
        self._watched.close()
