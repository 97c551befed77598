"""The two columns of panels beside the board: what stands in them at a moment of the film."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from kvtui.canvas.memory.view import MemoryView
from kvtui.engine.saying.alerts import remedy
from kvtui.engine.saying.factoids import Factoid, factoid_at
from kvtui.screens.memory.picture import Picture
from kvtui.screens.memory.sections import (
    Sections,
    care_section,
    control_sections,
    debug_section,
    legend_section,
    numbers_sections,
    panel_keys,
    reading_sections,
    room_sections,
    split_sections,
)
from kvtui.state.host import Host
from kvtui.state.session import Session
from kvtui.widgets.key_name import first_key
from kvtui.widgets.panels import PanelColumn, Section

if TYPE_CHECKING:
    from kvtui.engine.advice.impact import Impact
    from kvtui.engine.planning.plan import Plan

NOTHING = Section("", ())


class Still(NamedTuple):
    """The panels that do not change with the film's position, and the fact to learn that is among them."""

    factoid: Factoid | None = None
    care: Section = NOTHING
    reading: Sections = ()
    right: Sections = ()


class Columns:
    """Draws the panels into ``left`` and ``right``; one of them, or both, may have no room.

    Until ``settled``, which is after the first picture, they do without what takes longer to look up.
    """

    def __init__(self, host: Host, session: Session, left: PanelColumn, right: PanelColumn) -> None:
        self._host, self._session, self._left, self._right = host, session, left, right
        self.settled = False
        self._still = Still()
        self._impacts_of: Plan | None = None
        self._found_impacts: tuple[Impact, ...] = ()

    def draw(
        self, view: MemoryView, picture: Picture, watched: float, *, whole: bool, plain: bool, debug: Sequence[str]
    ) -> None:
        """Draw the panels for ``view``; those that stay the same all the film long only for a ``whole`` picture.

        ``watched`` are the seconds of film that were seen, by which the fact to learn changes. ``debug`` are words on
        how the picture is drawn, if any are to be shown.
        """
        left, right = self._left, self._right
        fact = factoid_at(picture.plan, picture.estimate, watched) if self.settled else None
        if whole or fact != self._still.factoid:
            self._still = self._stills(view, picture, fact)
        still = self._still
        width = left.inner_width or right.inner_width
        above: Sections = ()
        if debug and width:
            above = (debug_section(debug, self._impacts, view.scenario.context, width),)
        if left.inner_width and left.size.height:
            free = left.size.height - sum(section.height for section in above)
            left.show((*above, *numbers_sections(view, left.inner_width, free, still.care, still.reading)))
        if right.inner_width and right.size.height:
            scenario, *others = still.right
            legend = legend_section(view, right.inner_width, plain)
            beside = () if left.inner_width else (still.care,)
            right.show((*(() if left.size.width else above), scenario, legend, *beside, *others))

    def _stills(self, view: MemoryView, picture: Picture, factoid: Factoid | None) -> Still:
        session, left, right = self._session, self._left.inner_width, self._right.inner_width
        care = NOTHING
        if left or (right and not view.plan.fits):
            room = remedy(view.scenario, session.capacity) if self.settled else ""
            care = care_section(view, left or right, first_key(self._host, "fixes"), room)
        reading: Sections = ()
        if left and factoid is not None:
            reading = reading_sections(view, picture, factoid, left)
        beside: Sections = ()
        if right:
            joined = picture.cluster
            link = "" if joined is None or joined.link is None else joined.link.name
            beside = control_sections(view, right, panel_keys(self._host), link)
            if self.settled:
                beside += room_sections(session, right) + split_sections(session.split, right)
        return Still(factoid, care, reading, beside)

    @property
    def _impacts(self) -> tuple[Impact, ...]:
        """What each optimisation saves, worked out once for a plan."""
        from kvtui.engine.advice.impact import impacts

        plan = self._session.plan
        if self._impacts_of is not plan:
            self._impacts_of, self._found_impacts = plan, impacts(plan)
        return self._found_impacts
