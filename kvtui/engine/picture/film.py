"""Playback of the film in which a scenario's sequences grow to their context: a function of time, never of frames.

The film's position is the number of tokens that the longest possible sequence holds. It follows from the time since the
film was last touched, so that a frame that is dropped or drawn twice changes nothing about where the film is.

A whole film lasts 18 seconds at speed 1, however long its context is, and stops at its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import floor

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import MAX_TOKENS
from kvtui.engine.scenario.scenario import BLOCK_TOKENS

SPEEDS = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
MIN_SPEED, MAX_SPEED = 0.01, 1000.0
CONTEXT_PRESETS = (
    *(k * 2**10 for k in (4, 8, 16, 32, 64, 100, 128, 200, 256, 512)),
    2**20,
    2**21,
    10 * 2**20,
    100 * 2**20,
)
BATCHES = (1, 2, 4, 8, 16, 32, 64, 128)

FILM_SECONDS = 18.0
FILM_STEPS = 500


@dataclass(frozen=True, slots=True)
class Playback:
    """Where a film of ``limit`` tokens is and how it moves; ``now`` is any clock in seconds that never goes back.

    The film was at ``anchor_tokens`` at ``anchor_time`` (the anchor). While ``playing`` it moves on from there at
    ``rate`` up to its end, and otherwise it stays. For example, a film of 18,000 tokens has 1,000 tokens per second at
    speed 1: started at second 5 it is at 3,000 at 8, and at its end from 23 on.

    A playback is never altered: every change returns another one with its anchor at ``now``, whose position at ``now``
    is the same unless the change is to the position. Raises InputError for a limit, a speed or a position that no film
    has.
    """

    limit: int
    speed: float = 1.0
    playing: bool = False
    anchor_time: float = 0.0
    anchor_tokens: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= MAX_TOKENS:
            raise InputError(f"context: {self.limit:,} is out of range (1 to {MAX_TOKENS:,})")
        if not MIN_SPEED <= self.speed <= MAX_SPEED:
            raise InputError(f"speed: {self.speed:g} is out of range ({MIN_SPEED:g} to {MAX_SPEED:g})")
        if not 0 <= self.anchor_tokens <= self.limit:
            raise InputError(f"tokens: {self.anchor_tokens:g} is out of range (0 to {self.limit:,})")

    @property
    def rate(self) -> float:
        """Tokens per second while playing."""
        return self.limit / FILM_SECONDS * self.speed

    @property
    def step(self) -> int:
        """Tokens of one single step: a block, or about a 500th of a long film in whole blocks."""
        return max(1, round(self.limit / FILM_STEPS / BLOCK_TOKENS)) * BLOCK_TOKENS

    def position(self, now: float) -> float:
        """The position in tokens, with its fraction; from 0 to ``limit``, both included."""
        if not self.playing:
            return self.anchor_tokens
        return min(self.anchor_tokens + self.rate * max(0.0, now - self.anchor_time), float(self.limit))

    def ended(self, now: float) -> bool:
        """Whether it has come to its end by playing."""
        return self.playing and self.position(now) >= self.limit

    def tokens(self, now: float) -> int:
        """The position in whole tokens."""
        return floor(self.position(now))

    def fraction(self, now: float) -> float:
        """The position as a share of the film, from 0 to 1."""
        return self.position(now) / self.limit

    def toggled(self, now: float) -> Playback:
        """Paused if it plays, playing if it is paused: from the beginning where it has come to its end."""
        if not self.playing and self.anchor_tokens >= self.limit:
            return self.scrubbed(now, 0, playing=True)
        return replace(self._anchored(now), playing=not self.playing)

    def stepped(self, now: float, steps: int) -> Playback:
        """Paused, ``steps`` steps further on (or back, if negative), but not past either end."""
        return self.scrubbed(now, self.tokens(now) + steps * self.step, playing=False)

    def scrubbed(self, now: float, tokens: float, playing: bool | None = None) -> Playback:
        """At ``tokens``, or at the end that is nearest to it; it plays on if it did, or as ``playing`` says."""
        return replace(
            self,
            anchor_time=now,
            anchor_tokens=float(min(max(tokens, 0), self.limit)),
            playing=self.playing if playing is None else playing,
        )

    def restarted(self, now: float) -> Playback:
        """At the beginning; it plays on if it did."""
        return self.scrubbed(now, 0)

    def with_speed(self, now: float, speed: float) -> Playback:
        """At another speed. Raises InputError for one out of range."""
        return replace(self._anchored(now), speed=speed)

    def with_limit(self, now: float, limit: int) -> Playback:
        """A film of another length: at its end if it was there or beyond, else at the same position."""
        position = self.position(now)
        there = float(limit) if position >= min(self.limit, limit) else position
        return replace(self, limit=limit, anchor_time=now, anchor_tokens=there)

    def _anchored(self, now: float) -> Playback:
        return replace(self, anchor_time=now, anchor_tokens=self.position(now))


def faster(speed: float) -> float:
    """The next of SPEEDS above ``speed``; the fastest stays."""
    return next((other for other in SPEEDS if other > speed), max(speed, SPEEDS[-1]))


def slower(speed: float) -> float:
    """The next of SPEEDS below ``speed``; the slowest stays."""
    return next((other for other in reversed(SPEEDS) if other < speed), min(speed, SPEEDS[0]))


def next_context(tokens: int) -> int:
    """The preset context after ``tokens``; the longest, and whatever is longer, stays."""
    return _next(CONTEXT_PRESETS, tokens)


def previous_context(tokens: int) -> int:
    """The preset context before ``tokens``; the shortest, and whatever is shorter, stays."""
    return _previous(CONTEXT_PRESETS, tokens)


def next_batch(batch: int) -> int:
    """The preset batch after ``batch``; the largest, and whatever is larger, stays."""
    return _next(BATCHES, batch)


def previous_batch(batch: int) -> int:
    """The preset batch before ``batch``; 1 stays."""
    return _previous(BATCHES, batch)


def _next(presets: Sequence[int], value: int) -> int:
    return next((preset for preset in presets if preset > value), value)


def _previous(presets: Sequence[int], value: int) -> int:
    return next((preset for preset in reversed(presets) if preset < value), value)
