"""The table as files: every figure of each cell for programs, the figure on screen for people."""

from __future__ import annotations

from collections.abc import Sequence

from kvtui.engine.advice.matrix import METRICS, Matrix, MatrixAnswer, Metric
from kvtui.engine.planning.roofline import Band
from kvtui.output import table as report_table
from kvtui.output.table import Column
from kvtui.screens.plan.sheet import Sheet
from kvtui.screens.plan.text import cell_text
from kvtui.screens.windows.export import Form

UNKNOWN = "not worked out yet"


def forms(sheet: Sheet, rows: Sequence[int], columns: Sequence[int], metric: Metric, title: str) -> tuple[Form, ...]:
    """Kinds of files for the ``rows`` and ``columns`` shown of ``sheet``."""
    answers = dict(sheet.answers)
    places = [(row, column) for row in rows for column in columns]
    known = [(sheet.table, *place, answers.get(place)) for place in places]
    count = f"{len(known):,} cells"
    return (
        Form("csv", None, f"table: all figures of {count}, a row for each", lambda: _long(known, "csv")),
        Form("json", None, f"table: all figures of {count}", lambda: _long(known, "json")),
        Form("md", None, f"table: {title}", lambda: _wide(sheet.table, answers, rows, columns, metric, title)),
    )


def _long(cells: Sequence[tuple[Matrix, int, int, MatrixAnswer | None]], form: str) -> str:
    """A row per cell, with the ends of bands in columns of their own."""
    columns = [Column("row", "row"), Column("column", "column"), Column("fits", "fits")]
    for metric in METRICS:
        ends = (".low", ".high") if metric.key in _BANDS else ("",)
        columns += [Column(f"{metric.key}{end}", metric.title) for end in ends]
    columns.append(Column("reason", "reason"))
    return report_table.render(columns, [_row(*cell) for cell in cells], form)


_BANDS = {"tokens_per_second", "usd_per_million_tokens", "joules_per_token"}


def _row(table: Matrix, row: int, column: int, answer: MatrixAnswer | None) -> dict[str, object]:
    found = MatrixAnswer(reason=UNKNOWN) if answer is None else answer
    values: dict[str, object] = {
        "row": table.rows[row],
        "column": table.columns[column],
        "fits": None if found.reason else found.fits,
        "reason": found.reason or None,
    }
    for metric in METRICS:
        value = None if found.reason else metric.value(found)
        if metric.key in _BANDS:
            known = isinstance(value, Band)
            values |= {f"{metric.key}.{end}": getattr(value, end) if known else None for end in ("low", "high")}
        elif isinstance(value, float) and metric.key != "used_share":
            values[metric.key] = None
        else:
            values[metric.key] = value
    return values


def _wide(
    table: Matrix,
    answers: dict[tuple[int, int], MatrixAnswer],
    rows: Sequence[int],
    columns: Sequence[int],
    metric: Metric,
    title: str,
) -> str:
    heads = [
        Column("name", title),
        *(Column(f"column {c}", table.columns[c], align="right") for c in columns),
    ]
    body = [
        {"name": table.rows[row], **{f"column {c}": _text(table, metric, answers.get((row, c))) for c in columns}}
        for row in rows
    ]
    return report_table.render(heads, body, "markdown")


def _text(table: Matrix, metric: Metric, answer: MatrixAnswer | None) -> str:
    return cell_text(metric, answer, table.scenario.context).text
