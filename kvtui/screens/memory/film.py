"""The film of the Memory screen as it is watched: where it stands, how fast it goes, and what is due for drawing."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from kvtui.engine.picture.film import Playback
from kvtui.engine.scenario.scenario import Scenario
from kvtui.state.session import ScenarioChange

DEFAULT_SPEED, LUDICROUS_SPEED = 1.0, 100.0
PHASES_PER_SECOND, MOMENTS_PER_SECOND = 10, 3
LONGEST_TICK_SECONDS = 0.25
REDUCED_STEPS = 16


class Film:
    """The film of ``scenario``, played by ``clock`` (seconds that never go back). At first it stands at its end.

    ``motion`` is the setting of that name: with "none" the film is stepped by hand alone, and "reduced" shows few
    steps of it. ``watched`` are the seconds in which it was seen to move. ``over`` is True from the end of a film that
    was played until something is done with it.
    """

    def __init__(
        self, scenario: Scenario, clock: Callable[[], float], motion: str = "full", speed: float | None = None
    ) -> None:
        self._clock, self.motion = clock, motion
        self.playback = Playback(scenario.context, speed or DEFAULT_SPEED, anchor_tokens=float(scenario.context))
        self.watched = 0.0
        self.over = False
        self._ticked_at: float | None = None
        self._drawn_at = -inf

    @property
    def playing(self) -> bool:
        """Whether it moves."""
        return self.playback.playing

    @property
    def speed(self) -> float:
        """How fast it plays, in multiples of the normal rate."""
        return self.playback.speed

    @property
    def ludicrous(self) -> bool:
        """Whether it plays too fast for anything but a joke."""
        return self.speed >= LUDICROUS_SPEED

    @property
    def fraction(self) -> float:
        """Where it stands, from 0 to 1."""
        return self.playback.fraction(self._clock())

    @property
    def tokens(self) -> int:
        """The tokens of the longest sequence at the moment that is shown."""
        tokens, limit = self.playback.tokens(self._clock()), self.playback.limit
        if self.motion == "full" or not self.playing:
            return tokens
        return tokens * REDUCED_STEPS // limit * limit // REDUCED_STEPS

    def toggle(self) -> bool:
        """Play or pause; False where nothing may move."""
        if self.motion == "none" and not self.playing:
            return False
        self._put(self.playback.toggled(self._clock()))
        return True

    def step(self, steps: int) -> None:
        """Pause, and go some steps on or back."""
        self._put(self.playback.stepped(self._clock(), steps))

    def scrub(self, tokens: float) -> None:
        """Go to the position of ``tokens``."""
        self._put(self.playback.scrubbed(self._clock(), tokens))

    def scrub_to(self, fraction: float) -> None:
        """Go to a share of the film."""
        self.scrub(fraction * self.playback.limit)

    def to_end(self) -> None:
        """Go to the full context, and stay there."""
        self._put(self.playback.scrubbed(self._clock(), self.playback.limit, playing=False))

    def restart(self) -> None:
        """Play again from the start; where nothing may move, go there."""
        self._put(self.playback.restarted(self._clock()))
        if not self.playing:
            self.toggle()

    def set_speed(self, speed: float) -> None:
        """Play at ``speed`` times the normal rate. Raises InputError for one out of range."""
        self.playback = self.playback.with_speed(self._clock(), speed)

    def set_motion(self, motion: str) -> None:
        """Take another setting; a film that may not move any more stops where it is."""
        self.motion = motion
        if motion == "none" and self.playing:
            self.playback = self.playback.toggled(self._clock())

    def follow(self, change: ScenarioChange) -> None:
        """Go on with another scenario: where it was, or at its end if it stood there or that is shorter now.

        A film that plays begins again for another model.
        """
        scenario, now = change.after, self._clock()
        playback = self.playback.with_limit(now, scenario.context)
        if playback.playing and scenario.model is not change.before.model:
            playback = playback.restarted(now)
        self._put(playback)

    def tick(self) -> bool:
        """Count the time since the last tick as watched; whether there is something new to see. At its end it stops."""
        now, phase = self._clock(), int(self.watched * PHASES_PER_SECOND)
        if self._ticked_at is not None:
            self.watched += min(LONGEST_TICK_SECONDS, now - self._ticked_at)
        self._ticked_at = now
        if self.playback.ended(now):
            self.to_end()
            self.over = True
            return True
        return int(self.watched * PHASES_PER_SECOND) != phase

    def hold(self) -> None:
        """Watch nothing until the next tick."""
        self._ticked_at = None

    def due(self, whole: bool) -> bool:
        """Whether another moment is to be drawn: the last one was long enough ago, or a ``whole`` picture is wanted."""
        now = self._clock()
        if not whole and now - self._drawn_at < 1 / MOMENTS_PER_SECOND:
            return False
        self._drawn_at = now
        return True

    def _put(self, playback: Playback) -> None:
        self.playback, self.over = playback, False
