"""The tables of the Bench screen: what was measured or is waiting, and how two runs differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from kvtui.bench.compare import Comparison, Difference, Spread
from kvtui.bench.table import ms
from kvtui.cases.table import ColumnValues
from kvtui.engine.basis.units import format_bytes, format_tokens
from kvtui.engine.basis.untrusted import plain
from kvtui.screens.bench.run import waiting
from kvtui.screens.bench.state import BenchState, Compared, Live, Opened, TableOrder

ABSENT = "–"
MARKS = {"ok": ("✓", "success"), "waiting": ("·", "text-muted"), "under way": ("▶", "accent")}
FAILED = ("✗", "error")
VERDICTS = {"faster": "success", "slower": "error", "same": "text-muted", "unjudged": "text-muted"}

CellOrder = tuple[int, float, str]


class TableColumn(NamedTuple):
    """``title``, and the cells it is wide, with the gap; a lower ``rank`` stays longer where it is narrow."""

    key: str
    title: str
    width: int
    rank: int
    right: bool = True


class TableCell(NamedTuple):
    """What stands in a cell, the theme's colour for it, and where it is when sorted."""

    text: str
    ink: str = ""
    order: CellOrder = (1, 0.0, "")


class TableLine(NamedTuple):
    """A row: its ``key``, its cells by column, the benchmark case behind it, and all that is to be said of it."""

    key: str
    cells: Mapping[str, TableCell]
    about: str
    case: str = ""
    bad: bool = False


class TableLines(NamedTuple):
    """Columns and lines."""

    columns: tuple[TableColumn, ...]
    lines: tuple[TableLine, ...]

    def fitting(self, width: int) -> tuple[TableColumn, ...]:
        """The columns that fit into ``width`` cells, the lowest ranks kept."""
        kept, room = set(), width
        for column in sorted(self.columns, key=lambda column: column.rank):
            if column.width > room:
                break
            kept.add(column.key)
            room -= column.width
        return tuple(column for column in self.columns if column.key in kept)

    def sorted(self, order: TableOrder) -> tuple[TableLine, ...]:
        """The lines in ``order``, those without a value last; in their own order without a key."""
        key = order.key
        if key is None:
            return self.lines
        known = [line for line in self.lines if not line.cells[key].order[0]]
        unknown = [line for line in self.lines if line.cells[key].order[0]]
        return (*sorted(known, key=lambda line: line.cells[key].order, reverse=order.descending), *unknown)


RESULTS = (
    TableColumn("mark", " ", 2, 0, right=False),
    TableColumn("label", "case", 24, 1, right=False),
    TableColumn("group", "group", 16, 12, right=False),
    TableColumn("attention", "attention", 12, 9, right=False),
    TableColumn("shape", "shape", 8, 13, right=False),
    TableColumn("batch", "batch", 6, 11),
    TableColumn("prompt", "prompt", 7, 14),
    TableColumn("prefill", "prefill ms", 11, 7),
    TableColumn("ttft", "TTFT ms", 9, 8),
    TableColumn("step", "step ms", 9, 2),
    TableColumn("band", "p20–p80", 14, 4),
    TableColumn("rate", "tok/s", 9, 3),
    TableColumn("kv", "KV cache  ", 13, 5),
    TableColumn("floor", "× floor", 8, 6),
    TableColumn("status", " status", 26, 10, right=False),
)
COMPARED = (
    TableColumn("label", "case", 24, 0, right=False),
    TableColumn("group", "group", 16, 6, right=False),
    TableColumn("series", "series", 12, 2, right=False),
    TableColumn("a", "A ms", 10, 1),
    TableColumn("a_band", "p20–p80", 15, 5),
    TableColumn("b", "B ms", 10, 1),
    TableColumn("b_band", "p20–p80", 15, 5),
    TableColumn("ratio", "B/A", 8, 1),
    TableColumn("verdict", " verdict", 14, 2, right=False),
    TableColumn("note", " note", 28, 7, right=False),
)


def table_of(state: BenchState) -> TableLines:
    """What ``state`` shows, as a table."""
    match state.shown:
        case Opened(run):
            return results(run.rows)
        case Live(now):
            return results(now.rows)
        case Compared(found=found):
            return comparison(found)
    return results(waiting(state.choice.sweep)[0])


def results(rows: Sequence[ColumnValues]) -> TableLines:
    """TableLines lines of a run, or of cases that are only predicted (status None), as a table."""
    repeated = any((row["repeat"] or 1) > 1 for row in rows)
    lines, seen = [], dict[tuple[object, object, object], int]()
    for row in rows:
        key = row["group"], row["label"], row["repeat"]
        seen[key] = seen.get(key, 0) + 1
        lines.append(_result(row, f"{key}{seen[key]}", repeated))
    return TableLines(RESULTS, tuple(lines))


def comparison(found: Comparison) -> TableLines:
    """How two runs differ: what changed first, what stayed the same last."""
    rows = [*found.changed, *(row for row in found.rows if row.verdict in {"same", "unjudged"})]
    return TableLines(COMPARED, tuple(_compared(row, f"{number}") for number, row in enumerate(rows)))


def _result(row: ColumnValues, key: str, repeated: bool) -> TableLine:
    status = row["status"] or "waiting"
    mark, ink = MARKS.get(status, FAILED)
    label = plain(str(row["label"]), limit=80) + (f" #{row['repeat']}" if repeated and row["repeat"] else "")
    message = plain(str(row["message"] or ""), limit=300)
    cells = {
        "mark": TableCell(mark, ink, _word(status)),
        "label": TableCell(label, "" if row["status"] else "text-muted", _word(label)),
        "group": _text(row["group"]),
        "attention": _text(row["attn_type"]),
        "shape": _text(_shape(row)),
        "batch": _number(row["batch_size"], "{:,}"),
        "prompt": _tokens(row["prompt_len"]),
        "prefill": _ms(row["prefill_ms_p50"]),
        "ttft": _ms(row["ttft_ms_p50"]),
        "step": _ms(row["decode_step_ms_p50"], "primary"),
        "band": _band(row["decode_step_ms_p20"], row["decode_step_ms_p80"]),
        "rate": _number(row["decode_tok_s"], "{:,.0f}", "primary"),
        "kv": _kv(row),
        "floor": _number(row["floor_ratio"], "{:.2f}×" if (row["floor_ratio"] or 0) < 100 else "{:,.0f}×"),
        "status": TableCell(f" {status}{': ' if message else ''}{message}", ink, _word(status)),
    }
    return TableLine(key, cells, _about(row, status, message), str(row["case"] or ""), bad=status not in MARKS)


def _about(row: ColumnValues, status: str, message: str) -> str:
    """One line about a row for below the table: why it failed, else what it is."""
    name = f"{row['group']}, {row['label']}"
    if status not in MARKS:
        return plain(f"{name}: {status}: {message}", limit=400)
    batch, prompt = row["batch_size"], row["prompt_len"]
    what = f"{_shape(row)} {row['attn_type']} {row['dtype']}, batch {batch}, prompt {prompt} of {row['max_context']}"
    predicted, measured = row["kv_predicted_bytes"], row["kv_measured_bytes"]
    said = [f"{name}: {what}"]
    if predicted is not None and measured is not None:
        equal = "as measured" if predicted == measured else f"but measured {measured:,} B"
        said.append(
            f"cache {predicted:,} B as predicted, {equal}" if predicted != measured else f"cache {measured:,} B"
        )
    elif predicted is not None:
        said.append(f"cache {predicted:,} B predicted")
    if (row["shared_by"] or 1) > 1:
        said.append(f"one measurement for {row['shared_by']} rows")
    if row["settled"] is False:
        said.append("not steady when sampling began")
    return plain(" · ".join(said), limit=400)


def _compared(row: Difference, key: str) -> TableLine:
    name = plain(f"{row.group}, {row.label}", limit=160)
    cells = {
        "label": _text(row.label),
        "group": _text(row.group),
        "series": _text(row.series.replace("_", " ")),
        "a": _ms(row.a and row.a.p50),
        "a_band": _spread(row.a),
        "b": _ms(row.b and row.b.p50),
        "b_band": _spread(row.b),
        "ratio": _number(row.ratio, "{:.3f}"),
        "verdict": TableCell(f" {row.verdict}", VERDICTS.get(row.verdict, "warning"), _word(row.verdict)),
        "note": TableCell(f" {plain(row.note)}" if row.note else "", "text-muted", _word(row.note)),
    }
    said = f"{name}: {row.verdict}{', ' if row.note else ''}{plain(row.note)}"
    if row.a is not None and row.b is not None:
        bands = " against ".join(f"{ms(one.p50)} ms ({_spread(one).text})" for one in (row.a, row.b))
        said = f"{name}, {cells['series'].text}: {row.verdict}, {bands}"
    return TableLine(key, cells, said, bad=row.verdict == "slower")


def _shape(row: ColumnValues) -> str:
    return f"{row['dim']}x{row['num_blocks']}"


def _kv(row: ColumnValues) -> TableCell:
    """The predicted cache, and whether the real arrays are as large."""
    predicted, measured = row["kv_predicted_bytes"], row["kv_measured_bytes"]
    if predicted is None:
        megabytes = row["kv_cache_mb"]
        return _number(megabytes, "{:,.2f} MB  ")
    if not predicted:
        return TableCell("none  ", "text-muted", (0, 0.0, ""))
    sign, ink = ("  ", "text-muted") if measured is None else (" =", "") if measured == predicted else (" ≠", "error")
    return TableCell(format_bytes(predicted, 1) + sign, ink, (0, float(predicted), ""))


def _text(value: Any) -> TableCell:
    text = plain(str(value), limit=80) if value not in (None, "") else ABSENT
    return TableCell(text, "" if text != ABSENT else "text-muted", _word(text))


def _word(text: str) -> CellOrder:
    return 0, 0.0, text.casefold()


def _number(value: Any, form: str, ink: str = "") -> TableCell:
    if not isinstance(value, int | float):
        return TableCell(ABSENT, "text-muted")
    return TableCell(form.format(value), ink, (0, float(value), ""))


def _tokens(value: Any) -> TableCell:
    return TableCell(format_tokens(value), "", (0, float(value), "")) if isinstance(value, int) else TableCell(ABSENT)


def _ms(value: Any, ink: str = "") -> TableCell:
    if not isinstance(value, int | float):
        return TableCell(ABSENT, "text-muted")
    return TableCell(ms(value), ink, (0, float(value), ""))


def _band(low: Any, high: Any) -> TableCell:
    if not isinstance(low, int | float) or not isinstance(high, int | float):
        return TableCell(ABSENT, "text-muted")
    return TableCell(f"{ms(low)}–{ms(high)}", "text-muted", (0, float(high - low), ""))


def _spread(spread: Spread | None) -> TableCell:
    return TableCell(ABSENT, "text-muted") if spread is None else _band(spread.p20, spread.p80)
