"""The text panels of the Memory screen, as pure functions from a view to rows of spans; no row exceeds its width."""

from __future__ import annotations

from kvtui.canvas.memory.panels.bars import one_line_info, title_bar
from kvtui.canvas.memory.panels.controls import ActionRow, scenario_rows
from kvtui.canvas.memory.panels.formula import formula_rows
from kvtui.canvas.memory.panels.info import info_rows
from kvtui.canvas.memory.panels.notes import datacentre_note_rows, factoid_rows, paper_rows, warning_rows
from kvtui.canvas.memory.panels.numbers import (
    capacity_rows,
    estimate_rows,
    legend_line,
    legend_rows,
    most_users_rows,
    users_words,
)

__all__ = [
    "ActionRow",
    "capacity_rows",
    "datacentre_note_rows",
    "estimate_rows",
    "factoid_rows",
    "formula_rows",
    "info_rows",
    "legend_line",
    "legend_rows",
    "most_users_rows",
    "one_line_info",
    "paper_rows",
    "scenario_rows",
    "title_bar",
    "users_words",
    "warning_rows",
]
