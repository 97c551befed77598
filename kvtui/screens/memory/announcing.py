"""What the Memory screen says in passing: that a plan outgrows what is there, and the marks that the film passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.app import App

from kvtui.engine.planning.plan import Plan
from kvtui.engine.saying.alerts import OPEN_SECONDS, Alerts, announcement, level
from kvtui.engine.saying.notices import Notice
from kvtui.state.host import host_of


class Announcer:
    """Says things in the line of keys, where they cover nothing, and none of them again and again.

    ``clock`` gives seconds that never go back. What outgrows a device, a node or a room is said for six seconds, or
    until a key is pressed, and at most every ten.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._alerts = Alerts()

    def announce(self, app: App[Any], plan: Plan) -> bool:
        """Say what ``plan`` has outgrown, if that is new; whether it has to be asked again, as it waits."""
        reached, now, before = level(plan), self._clock(), self._alerts.last_shown_at
        self._alerts = self._alerts.observed(reached, now)
        notice = announcement(plan)
        if notice is not None and self._alerts.last_shown_at != before:
            _say(app, notice, OPEN_SECONDS)
        return self._alerts.wait(reached, now) is not None

    def mark(self, app: App[Any], used: float) -> None:
        """Say that the film has just passed 80 or 100 percent of the fullest device, if nothing weightier is said."""
        self._alerts, passed = self._alerts.marked(used)
        for notice in passed:
            if not self._alerts.is_announced(self._clock()):
                _say(app, notice)

    def hush(self, app: App[Any]) -> None:
        """Say no more of what was outgrown, if that is what is being said."""
        said = host_of(app).said
        if said is not None and said.seconds == OPEN_SECONDS and self._alerts.is_announced(self._clock()):
            app.clear_notifications()
        self._alerts = self._alerts.closed()

    def renew(self) -> None:
        """For another scenario the marks count anew."""
        self._alerts = self._alerts.renewed()


def _say(app: App[Any], notice: Notice, seconds: float | None = None) -> None:
    app.notify(
        notice.text, severity="error" if notice.severity == "critical" else "warning", timeout=seconds, markup=False
    )
