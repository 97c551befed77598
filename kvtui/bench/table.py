"""A sweep as tables: what was measured, what the groups are, how two runs differ."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from kvtui.bench.compare import Comparison, Difference, Spread
from kvtui.bench.store import StoredRun
from kvtui.cases import table_csv
from kvtui.cases.groups import SweepGroup
from kvtui.cases.protocol import PASSING
from kvtui.cases.table import ColumnValues
from kvtui.engine.basis.units import format_bytes, format_count, format_tokens
from kvtui.output.harmless import clean
from kvtui.output.json import json_text
from kvtui.output.table import Column, TableRows, render

FORMATS = ("text", "md", "csv", "json", "jsonl")
FAILED = {"error", *PASSING}


class TableStyle(NamedTuple):
    """How text is written: at most ``width`` cells, in ``color``, in ``ascii_only``."""

    width: int = 80
    color: bool = False
    ascii_only: bool = False


def sweep_table(rows: Sequence[ColumnValues], form: str, look: TableStyle) -> str:
    """Table lines of a run in one of FORMATS; text and Markdown show the main figures, the others all columns."""
    match form:
        case "csv":
            return table_csv.write(rows)
        case "json":
            return json_text(rows)
        case "jsonl":
            return "".join(map(_json_line, rows))
    columns = [column for column in _SWEEP if column.key not in _SOMETIMES or _varies(rows, column.key)]
    return _table(columns, _cells(columns, rows), form, look)


def decode_table(run: StoredRun, form: str, look: TableStyle) -> str:
    """Attention variants side by side: the time to the first token, then a step's latency by position in the cache."""
    rows = list(decode_rows(run))
    if form in {"text", "md"}:
        first = [column for column in _TTFT if column.key not in _SOMETIMES or _varies(run.rows, column.key)]
        steps = [column for column in _STEP if column.key not in _SOMETIMES or _varies(rows, column.key)]
        return f"{_table(first, _cells(first, run.rows), form, look)}\n{_table(steps, _cells(steps, rows), form, look)}"
    return _table(_DECODE, _cells(_DECODE, rows), form, look)


def decode_rows(run: StoredRun) -> Iterator[ColumnValues]:
    """One flat line for each variant, repeat and position of a decode run."""
    curves = {(one.case, one.repeat): one.curve for one in run.measured}
    for row in run.rows:
        for point in curves.get((row["case"], row["repeat"]), ()):
            step = {f"decode_step_ms_{name}": point[name] for name in ("p20", "p50", "p80", "n")}
            yield {
                **{name: row[name] for name in _OF_ROW},
                "position": point["position"],
                **step,
                "decode_tok_s": 1e3 * row["batch_size"] / point["p50"],
            }


def group_table(groups: Iterable[SweepGroup], size: str, form: str, look: TableStyle) -> str:
    """What each group asks, its axes at ``size``, its rows, its different cases, and those that no group before has."""
    found: list[ColumnValues] = []
    seen: set[str] = set()
    for group in groups:
        rows = group.rows(size)
        cases = {row.case.key for row in rows}
        found.append(
            {
                "group": group.name,
                "question": group.question,
                "axes": {axis: ", ".join(map(str, values)) for axis, values in group.axes(size).items()},
                "rows": len(rows),
                "cases": len(cases),
                "new_cases": len(cases - seen),
            }
        )
        seen |= cases
    if form == "text":
        return _groups_text(found, size, len(seen), look)
    lines = _cells(_GROUPS, found)
    if form == "csv":
        lines = [{column.key: column.show(line[column.key]) for column in _GROUPS} for line in lines]
    return _table(_GROUPS, lines, form, look)


def compare_table(found: Comparison, form: str, look: TableStyle) -> str:
    """How two runs differ; text and Markdown leave out the rows that stayed the same."""
    shown = found.changed if form in {"text", "md"} else found.rows
    return _table(_COMPARE, [_difference(row) for row in shown], form, look)


def ms(value: float) -> str:
    """Milliseconds with as many digits as are worth reading."""
    return f"{value:.3f}" if value < 10 else f"{value:,.1f}"


def _table(columns: Sequence[Column], rows: TableRows, form: str, look: TableStyle) -> str:
    if form == "jsonl":
        return "".join(_json_line({column.key: row[column.key] for column in columns}) for row in rows)
    return render(columns, rows, "markdown" if form == "md" else form, look.width, look.color, look.ascii_only)


def _json_line(values: ColumnValues) -> str:
    return json.dumps(clean(values), ensure_ascii=False, allow_nan=False) + "\n"


def _cells(columns: Sequence[Column], rows: Iterable[ColumnValues]) -> list[dict[str, object]]:
    return [{column.key: _cell(row, column.key) for column in columns} for row in rows]


def _cell(row: ColumnValues, key: str) -> object:
    """A value of ``row``; keys of the kind "<series>_band" and "kv_ratio" are made of others."""
    if key.endswith("_band"):
        series = key.removesuffix("_band")
        low, high = row[f"{series}_ms_p20"], row[f"{series}_ms_p80"]
        return None if low is None or high is None else f"{ms(low)}–{ms(high)}"
    if key == "kv_ratio":
        predicted, measured = row["kv_predicted_bytes"], row["kv_measured_bytes"]
        return measured / predicted if predicted and measured is not None else None
    return row[key]


def _varies(rows: Iterable[ColumnValues], key: str) -> bool:
    """Whether a column that is mostly the same says anything in ``rows``."""
    if key == "host":
        return len({row[key] for row in rows}) > 1
    usual = _SOMETIMES[key]
    return any(row[key] not in usual for row in rows)


def _difference(row: Difference) -> dict[str, object]:
    def band(spread: Spread | None) -> str | None:
        if spread is None or spread.p20 is None or spread.p80 is None:
            return None
        return f"{ms(spread.p20)}–{ms(spread.p80)}"

    a, b = row.a and row.a.p50, row.b and row.b.p50
    return {
        "group": row.group,
        "label": row.label,
        "series": row.series or None,
        "a_ms_p50": a,
        "a_band": band(row.a),
        "b_ms_p50": b,
        "b_band": band(row.b),
        "ratio": row.ratio,
        "verdict": row.verdict,
        "note": row.note or None,
    }


def _groups_text(groups: Sequence[ColumnValues], size: str, cases: int, look: TableStyle) -> str:
    from kvtui.output.lines import StyledLine, to_ascii, wrap, write

    say = to_ascii if look.ascii_only else str
    lines: list[StyledLine] = []
    for group in groups:
        counts = f"{group['rows']} rows, {group['cases']} cases"
        lines.append(((f"{group['group']:<16}", "strong"), (counts, "dim")))
        texts = [(group["question"], 0), *((f"{axis:<11}{values}", 11) for axis, values in group["axes"].items())]
        for text, indent in texts:
            lines += [(("  " + part, ""),) for part in wrap(say(text), look.width - 2, indent)]
    rows = sum(group["rows"] for group in groups)
    lines.append(((f"{'size ' + size:<16}", "strong"), (f"{rows} rows, {cases} cases", "dim")))
    return write(lines, look.color)


_OF_ROW = (
    *("attn_variant", "label", "repeat", "batch_size", "prompt_len", "params_m", "kv_predicted_bytes", "status"),
    *("ttft_ms_n", "ttft_ms_p20", "ttft_ms_p50", "ttft_ms_p80"),
)
_SOMETIMES: dict[str, tuple[object, ...]] = {
    "status": ("ok",),
    "message": (None,),
    "repeat": (1, None),
    "routing_entropy": (None,),
    "tokens_equal": (None,),
    "host": (),
}


def _ms(key: str, title: str, priority: int) -> Column:
    return Column(key, title, "right", priority, ms)


def _band(series: str, title: str, priority: int) -> Column:
    return Column(f"{series}_band", title, "right", priority)


_GROUP, _LABEL = Column("group", "group"), Column("label", "row")
_REPEAT = Column("repeat", "repeat", "right", 1)
_HOST = Column("host", "host", priority=2)
_STATUS, _MESSAGE = Column("status", "status"), Column("message", "why", priority=9)
_PARAMETERS = Column("params_m", "params", "right", 6, lambda millions: format_count(millions * 1e6))
_KV = Column("kv_predicted_bytes", "KV cache", "right", 4, lambda count: format_bytes(count, 1))
_RATE = Column("decode_tok_s", "tok/s", "right", 0, lambda rate: f"{rate:,.0f}")
_SWEEP = (
    *(_GROUP, _LABEL, _REPEAT, _HOST, _PARAMETERS, _KV),
    Column("kv_ratio", "measured", "right", 7, lambda ratio: f"{ratio:.3f}×"),
    _ms("prefill_ms_p50", "prefill ms", 3),
    _band("prefill", "p20–p80", 7),
    _ms("ttft_ms_p50", "TTFT ms", 5),
    _ms("decode_step_ms_p50", "step ms", 0),
    _band("decode_step", "p20–p80", 2),
    _ms("decode_step_ms_p95", "p95", 5),
    _ms("decode_scan_ms_p50", "in a scan", 6),
    _RATE,
    Column("floor_ratio", "× floor", "right", 2, lambda ratio: f"{ratio:.2f}"),
    Column("mfu", "prefill MFU", "right", 7, lambda share: f"{share:.0%}"),
    Column("tokens_equal", "same tokens", priority=3, format=lambda same: "yes" if same else "NO"),
    _ms("compile_s", "compile s", 8),
    *(_STATUS, _MESSAGE),
)
_TTFT = (
    *(_LABEL, _REPEAT, _HOST, _PARAMETERS, _KV),
    Column("prompt_len", "prompt", "right", 3, format_tokens),
    *(_ms(f"ttft_ms_{name}", f"TTFT {name}", i) for i, name in enumerate(("p50", "p20", "p80", "p95", "min"))),
    Column("ttft_ms_n", "samples", "right", 6),
    *(_STATUS, _MESSAGE),
)
_STEP = (
    *(_LABEL, _REPEAT, Column("position", "position", "right", 0, format_tokens)),
    _ms("decode_step_ms_p50", "step ms p50", 0),
    *(_ms(f"decode_step_ms_{name}", name, 1) for name in ("p20", "p80")),
    Column("decode_step_ms_n", "samples", "right", 3),
    _RATE,
)
_DECODE = tuple(Column(key, key) for key in _OF_ROW) + tuple(
    Column(key, key)
    for key in (
        *("position", "decode_step_ms_n", "decode_step_ms_p20", "decode_step_ms_p50", "decode_step_ms_p80"),
        "decode_tok_s",
    )
)
_GROUPS = (
    Column("group", "group"),
    Column("question", "question"),
    Column("axes", "axes", format=lambda axes: "; ".join(f"{axis}: {values}" for axis, values in axes.items())),
    *(
        Column("rows", "rows", "right"),
        Column("cases", "cases", "right"),
        Column("new_cases", "not seen above", "right"),
    ),
)
_COMPARE = (
    *(_GROUP, _LABEL, Column("series", "series")),
    *(_ms("a_ms_p50", "A ms", 1), _band("a", "p20–p80", 3), _ms("b_ms_p50", "B ms", 1), _band("b", "p20–p80", 3)),
    Column("ratio", "B/A", "right", 0, lambda ratio: f"{ratio:.3f}"),
    *(Column("verdict", "verdict"), Column("note", "note", priority=4)),
)
