"""What of a replay is looked at: the instant, how it goes on, and which request and block are chosen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from kvtui.screens.traffic.state import SPEEDS

WINDOWS_OF_TIME = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


@dataclass(frozen=True, slots=True)
class FilmState:
    """One look: the instant ``at`` in seconds of the replay, and ``was``, the one that was drawn before it.

    While it is ``playing`` the instant moves ``speed`` times as fast as the server would. ``side`` is the policy whose
    requests stand under the board, over ``span`` seconds; ``request`` is the number of the one that is chosen, and
    ``place`` which of its blocks, in logical order.
    """

    at: float = 0.0
    was: float = 0.0
    playing: bool = True
    speed: float = 1.0
    span: float = 5.0
    side: int = 0
    request: int | None = None
    place: int | None = None

    def moved(self, at: float, was: float) -> FilmState:
        """Stopped at another instant, which shows what happened since ``was``."""
        return replace(self, at=at, was=was, playing=False)

    def held(self, last: float) -> FilmState:
        """Stopped, or going on; at the ``last`` instant it begins again."""
        if not self.playing and self.at >= last:
            return replace(self, at=0.0, was=0.0, playing=True)
        return replace(self, playing=not self.playing)

    def advanced(self, seconds: float, last: float, *, whole: bool) -> FilmState:
        """``seconds`` later, up to the ``last`` instant there is; it stops there if the replay is ``whole``."""
        at = self.at + seconds * self.speed
        return replace(self, at=min(at, last), was=self.at, playing=at < last or not whole)

    def faster(self, by: int) -> FilmState:
        """The next higher (1) or lower (−1) speed."""
        return replace(self, speed=_next(SPEEDS, self.speed, by))

    def zoomed(self, by: int) -> FilmState:
        """A longer (1) or shorter (−1) stretch of time."""
        return replace(self, span=_next(WINDOWS_OF_TIME, self.span, by))

    def other_side(self, sides: int) -> FilmState:
        """The next of so many policies; requests have the same numbers under all of them, and blocks have not."""
        return replace(self, side=(self.side + 1) % sides, place=None)

    def chosen(self, by: int, numbers: Sequence[int]) -> FilmState:
        """The next (1) request of ``numbers``, or the one before (−1); the first or the last where none was chosen."""
        if not numbers:
            return self
        if self.request is None:
            return replace(self, request=numbers[0 if by > 0 else -1], place=None)
        after = [one for one in numbers if (one > self.request if by > 0 else one < self.request)]
        return replace(self, request=after[0 if by > 0 else -1], place=None) if after else self

    def on_block(self, by: int, blocks: int) -> FilmState:
        """The next (1) of the ``blocks`` of the chosen request, or the one before (−1)."""
        if not blocks:
            return replace(self, place=None)
        place = (-1 if by > 0 else blocks) if self.place is None else self.place
        return replace(self, place=max(0, min(blocks - 1, place + by)))

    def let_go(self) -> FilmState:
        """No block is chosen any more; then no request."""
        return replace(self, place=None) if self.place is not None else replace(self, request=None)


def _next(row: Sequence[float], value: float, by: int) -> float:
    return row[max(0, min(len(row) - 1, row.index(value) + by))]
