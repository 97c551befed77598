"""The right side of the Plan screen: the cell under the cursor, the scenario's frontier, and its levers."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from textual.app import ComposeResult
from textual.containers import Vertical

from kvtui.canvas.cells import Cells, Span
from kvtui.canvas.memory.panels.text import clean, cut
from kvtui.canvas.palette import Ink
from kvtui.engine.advice.levers import Lever
from kvtui.engine.basis.errors import InputError
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.candidates import Idle
from kvtui.figures.figure import Figure
from kvtui.screens.plan.table import MOST_MARKS
from kvtui.screens.plan.text import Detail, cell_rows, lever_rows, part_rows
from kvtui.widgets.figure import FigureView
from kvtui.widgets.panels import PanelColumn, Section

CELL_ROWS, PLOT_ROWS, LEVER_ROWS, MANY_LEVERS = (12, 20), (11, 18), 9, 15
COLUMNS = ((160, 58), (120, 46), (100, 42))
LEVERS = "levers: what one change does"


class PlanSide(Vertical):
    """Three parts above each other, as far as there is room for them."""

    def compose(self) -> ComposeResult:
        """The cell, the plot and the levers."""
        yield PanelColumn(id="cell")
        yield FigureView(id="frontier")
        yield PanelColumn(id="levers")

    def share_out(self, columns: int, height: int, in_levers: bool) -> None:
        """Sizes for a screen of ``columns`` with ``height`` rows for the side.

        Where there is little room, the plot and then the cell give way to levers that are looked at.
        """
        self.styles.width = next((width for least, width in COLUMNS if columns >= least), columns)
        airy = height >= CELL_ROWS[1] + PLOT_ROWS[1] + 2 * LEVER_ROWS
        plot = PLOT_ROWS[airy]
        cell = max(CELL_ROWS[0], min(height - plot - MANY_LEVERS, CELL_ROWS[1]))
        parts = {name: self.query_one(f"#{name}") for name in ("cell", "frontier")}
        parts["cell"].styles.height, parts["frontier"].styles.height = cell, plot
        parts["cell"].display = not in_levers or height >= cell + 2 * LEVER_ROWS - 3
        parts["frontier"].display = airy or not (in_levers or height < cell + plot + LEVER_ROWS)

    def show_frontier(self, scenario: Scenario) -> None:
        """Draw how many sequences of which context the devices of ``scenario`` hold."""
        view = self.query_one(FigureView)
        view.paint(_drawing(*view.size))
        view.work_out(partial(_frontier, scenario))

    def show_cell(self, detail: Detail, marks: Sequence[Scenario]) -> None:
        """Show the cell, and the ``marks`` in the room that is left."""
        panel = self.query_one("#cell", PanelColumn)
        width, height = panel.inner_width, panel.size.height - 2
        if not width or height < 1:
            return
        rows = cell_rows(detail, width)
        rows += part_rows(detail, width)[: max(0, height - len(rows) - len(marks))]
        for number, marked in enumerate(marks, 1):
            name = f"{number} {clean(marked.model.name)} on {clean(marked.device.name)}"
            rows.append((Span(cut(name, width), Ink.ACCENT),))
        title = f"cell · {len(marks)} of {MOST_MARKS} marked" if marks else "cell"
        panel.show((Section(title, rows[:height]),))

    def show_nothing(self) -> None:
        """Show no cell: nothing is in the table."""
        self.query_one("#cell", PanelColumn).show((Section("cell", [(Span("none is shown", Ink.DIM),)]),))

    def show_levers(self, levers: Sequence[Lever | Idle], at: int | None, waiting: bool) -> None:
        """Show the levers with the cursor ``at`` one (None: it is elsewhere); ``waiting``: they are still to come."""
        panel = self.query_one("#levers", PanelColumn)
        width, height = panel.inner_width, panel.size.height - 2
        if not width or height < 2:
            return
        if not levers:
            words = "working out what would help" if waiting else "this scenario has no answer to improve on"
            panel.show((Section(LEVERS, [(Span(words, Ink.DIM),)]),))
            return
        rows, shown = lever_rows(levers, at, width, height)
        panel.show((Section(LEVERS, rows, 0, [None, *(f"lever({number})" for number in shown)]),))


def _drawing(width: int, height: int) -> Cells:
    """Words for the time in which the frontier is worked out."""
    cells = Cells(width, height)
    cells.put(0, 0, "context against sequences that run together", Ink.BRIGHT)
    cells.put(0, 2, "drawing…", Ink.DIM)
    return cells


def _frontier(scenario: Scenario) -> Figure:
    """The frontier of ``scenario``, or why there is none."""
    from kvtui.figures.concurrency import steps

    try:
        return steps(scenario)
    except InputError as error:
        return Figure("concurrency", "no frontier", "", (), (str(error),))
