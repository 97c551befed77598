"""When a replay goes round in a circle: a request runs alone, finds no room, gives all back, and begins again.

vLLM does so for ever where admission does not ask for room for the whole prompt. What a request does alone follows from
its tokens and from what the cache saves it, so one that ended in the same way twice will never end otherwise.
"""

from __future__ import annotations

from kvtui.engine.replay.scheduling import LiveRequest, SchedulerStep


class Standstill:
    """Looks at one step after the other; ``reached`` once going on changes nothing, until somebody else arrives."""

    def __init__(self) -> None:
        self.reached = False
        self._saved: dict[LiveRequest, int] = {}
        self._before: tuple[int, int, int] | None = None  # the number, the tokens and the hit of who was put out alone

    def look(self, step: SchedulerStep, *, empty: bool) -> None:
        """See ``step``, which is computed; ``empty``: nobody runs after it."""
        self._saved.update(step.hits)
        for live in step.finished:
            self._saved.pop(live, None)
        if step.answered or step.finished:
            self._before = None
        self.reached = False
        if step.evicted and empty:
            live = step.evicted[-1]
            now = live.number, live.tokens, self._saved.get(live, 0)
            self.reached = now == self._before
            self._before = now
