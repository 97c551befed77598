"""What fits where, as rows: one for each cell of a table of models, devices and formats, with every figure of it."""

from __future__ import annotations

from kvtui.engine.advice.matrix import METRICS, Matrix, MatrixAnswer
from kvtui.engine.basis.units import format_tokens
from kvtui.engine.planning.roofline import Band
from kvtui.output.table import Column


def _number(value: float) -> str:
    return f"{value:,.4g}"


def _yes(fits: bool) -> str:
    return "yes" if fits else "no"


_SHOWN = {
    "used_share": lambda share: f"{share:.0%}",
    "max_context_tokens": format_tokens,
    "best_context_tokens": format_tokens,
}
_ENDS = {".low": " from", ".high": " to"}
_BANDS = {"tokens_per_second", "usd_per_million_tokens", "joules_per_token"}


def columns() -> tuple[Column, ...]:
    """The columns of the rows; the ends of bands have their own."""
    found = [Column("row", "row"), Column("column", "column"), Column("fits", "fits", format=_yes)]
    for priority, metric in enumerate(METRICS, 1):
        ends = _ENDS if metric.key in _BANDS else {"": ""}
        show = _SHOWN.get(metric.key, _number)
        title = "used" if metric.key == "used_share" else metric.title
        found += [Column(f"{metric.key}{end}", title + said, "right", priority, show) for end, said in ends.items()]
    return (*found, Column("reason", "reason", priority=len(METRICS) + 1))


def cell_row(table: Matrix, row: int, column: int, answer: MatrixAnswer) -> dict[str, object]:
    """The row of a cell; None for what is not known, or has no bound."""
    values: dict[str, object] = {
        "row": table.rows[row],
        "column": table.columns[column],
        "fits": None if answer.reason else answer.fits,
        "reason": answer.reason or None,
    }
    for metric in METRICS:
        value = None if answer.reason else metric.value(answer)
        if metric.key in _BANDS:
            known = isinstance(value, Band)
            values |= {f"{metric.key}.{end}": getattr(value, end) if known else None for end in ("low", "high")}
        elif isinstance(value, float) and metric.key != "used_share":
            values[metric.key] = None
        else:
            values[metric.key] = value
    return values
