"""Which panels stand beside the board, in which order, and what goes first when there is little room."""

from __future__ import annotations

from kvtui.canvas import panels
from kvtui.canvas.view import MemoryView
from kvtui.engine.factoids import factoid_at
from kvtui.screens.picture import Picture
from kvtui.widgets.panels import Section

MAX_PAPER_ROWS = 8
LEAST_FORMULA_ROWS = 3

Sections = tuple[Section, ...]


def numbers_sections(view: MemoryView, width: int, height: int) -> Sections:
    """The numbers of the moment, the formula behind them in the room that is left, and what to take care of."""
    info = panels.info_rows(view, width, height - 2)
    urgent = [notice for notice in view.notices if notice.severity != "info"]
    care = panels.warning_rows(urgent, width)
    room = height - len(info) - 4 - (len(care) + 2 if care else 0)
    formula = panels.formula_rows(view, width, room) if room >= LEAST_FORMULA_ROWS else []
    return (
        Section("memory", info, 0),
        Section("formula", formula, 2),
        Section("take care", care, 1),
        Section("more than one", panels.datacentre_note_rows(view, width), 5),
    )


def reading_sections(picture: Picture, watched: float, width: int) -> Sections:
    """The papers behind what is active, and a fact that changes as the film is watched."""
    factoid = factoid_at(picture.plan, picture.estimate, watched)
    return (
        Section("papers", panels.paper_rows(picture.papers, width)[:MAX_PAPER_ROWS], 3),
        Section("did you know", panels.factoid_rows(factoid, width), 4),
    )


def control_sections(view: MemoryView, width: int, plain: bool) -> Sections:
    """What can be changed, the legend of the picture, and the estimates."""
    rows = panels.scenario_rows(view.scenario, view.playing, view.speed, width)
    return (
        Section("scenario", [row for row, _ in rows], 0, [action for _, action in rows]),
        Section("legend", panels.legend_rows(view.counts, width, plain), 1),
        Section("estimate", panels.estimate_rows(view.estimate, width), 2),
    )
