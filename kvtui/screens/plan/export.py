"""The table as files: every figure of each cell for programs, the figure on screen for people."""

from __future__ import annotations

from collections.abc import Sequence

from kvtui.engine.advice.matrix import Matrix, MatrixAnswer, Metric
from kvtui.output import table as report_table
from kvtui.output.table import Column
from kvtui.report.matrix import cell_row, columns
from kvtui.screens.plan.sheet import Sheet
from kvtui.screens.plan.text import cell_text
from kvtui.screens.windows.export import Form

UNKNOWN = "not worked out yet"


def forms(sheet: Sheet, rows: Sequence[int], shown: Sequence[int], metric: Metric, title: str) -> tuple[Form, ...]:
    """Kinds of files for the ``rows`` and ``shown`` columns of ``sheet``."""
    answers = dict(sheet.answers)
    places = [(row, column) for row in rows for column in shown]
    known = [(sheet.table, *place, answers.get(place)) for place in places]
    count = f"{len(known):,} cells"
    return (
        Form("csv", None, f"table: all figures of {count}, a row for each", lambda: _long(known, "csv")),
        Form("json", None, f"table: all figures of {count}", lambda: _long(known, "json")),
        Form("md", None, f"table: {title}", lambda: _wide(sheet.table, answers, rows, shown, metric, title)),
    )


def _long(cells: Sequence[tuple[Matrix, int, int, MatrixAnswer | None]], form: str) -> str:
    """A row per cell."""
    rows = [cell_row(table, row, column, found or MatrixAnswer(reason=UNKNOWN)) for table, row, column, found in cells]
    return report_table.render(columns(), rows, form)


def _wide(
    table: Matrix,
    answers: dict[tuple[int, int], MatrixAnswer],
    rows: Sequence[int],
    shown: Sequence[int],
    metric: Metric,
    title: str,
) -> str:
    heads = [
        Column("name", title),
        *(Column(f"column {c}", table.columns[c], align="right") for c in shown),
    ]
    body = [
        {"name": table.rows[row], **{f"column {c}": _text(table, metric, answers.get((row, c))) for c in shown}}
        for row in rows
    ]
    return report_table.render(heads, body, "markdown")


def _text(table: Matrix, metric: Metric, answer: MatrixAnswer | None) -> str:
    return cell_text(metric, answer, table.scenario.context).text
