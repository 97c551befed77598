"""What of the servers is looked at: which one, at what moment, over how long a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

SPANS = (30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0)
SPEEDS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
STEPS_PER_SPAN = 30


@dataclass(frozen=True, slots=True)
class TrafficState:
    """One look: the ``row`` of the list of servers, the one that is ``opened`` of several, and the time.

    ``at`` is the moment that is looked at; None follows the newest. Strips reach ``span`` seconds back from there. Of a
    recording ``at`` moves by itself while it is ``playing``, ``speed`` times as fast as it was recorded.
    """

    row: int = 0
    opened: str | None = None
    at: float | None = None
    span: float = 120.0
    playing: bool = True
    speed: float = 1.0

    def address(self, addresses: Sequence[str]) -> str | None:
        """The server that is shown whole; None where the list of several is shown."""
        if len(addresses) == 1:
            return addresses[0]
        return self.opened if self.opened in addresses else None

    def moved(self, rows: int, count: int) -> TrafficState:
        """Another row of the list, which has ``count``."""
        return replace(self, row=max(0, min(count - 1, self.row + rows)))

    def zoomed(self, by: int) -> TrafficState:
        """A longer (1) or shorter (−1) stretch of time."""
        place = SPANS.index(self.span) + by
        return replace(self, span=SPANS[max(0, min(len(SPANS) - 1, place))])

    def spanning(self, ends: tuple[float, float]) -> TrafficState:
        """The shortest stretch of time that has all between ``ends``."""
        length = ends[1] - ends[0]
        return replace(self, span=next((span for span in SPANS if span >= length), SPANS[-1]))

    def faster(self, by: int) -> TrafficState:
        """The next higher (1) or lower (−1) speed of a recording."""
        place = SPEEDS.index(self.speed) + by
        return replace(self, speed=SPEEDS[max(0, min(len(SPEEDS) - 1, place))])

    def scrubbed(self, steps: int, ends: tuple[float, float], *, live: bool) -> TrafficState:
        """A moment that is ``steps`` thirtieths of the span later, within the ``ends`` of what was seen.

        Beyond the end of a live server it follows the newest again.
        """
        first, last = ends
        at = (last if self.at is None else self.at) + steps * self.span / STEPS_PER_SPAN
        if at >= last:
            return replace(self, at=None if live else last, playing=live)
        return replace(self, at=max(first, at), playing=False)

    def paused(self, ends: tuple[float, float], *, live: bool) -> TrafficState:
        """Stop at the moment that is shown, or go on: a live server with the newest, a recording where it stands.

        A recording that is at its end begins again.
        """
        first, last = ends
        if live:
            return replace(self, at=last if self.at is None else None, playing=self.at is not None)
        if not self.playing and self.at is not None and self.at >= last:
            return replace(self, at=first, playing=True)
        return replace(self, playing=not self.playing)

    def advanced(self, seconds: float, ends: tuple[float, float]) -> TrafficState:
        """A recording that played for ``seconds`` more; it stops at its end."""
        first, last = ends
        at = (first if self.at is None else self.at) + seconds * self.speed
        return replace(self, at=last, playing=False) if at >= last else replace(self, at=at)
