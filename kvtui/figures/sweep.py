"""The sweep's figures, each from the rows of its table alone: the thirteen groups, what was predicted, the roofline.

Ids 01 to 21 are those of the published sweep that the groups follow; 14 to 21, over all rows, are in ``clouds``. Bands
run from p20 to p80 where the table has them. Repeats of a row are joined: the median in the widest band. What
several machines measured are different series, never one.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from kvtui.engine.basis.units import format_bytes
from kvtui.engine.model.formats import canonical
from kvtui.figures import clouds
from kvtui.figures import roofline as roofline_plot
from kvtui.figures.figure import Axis, Figure, HeatMap, Line, Panel, Rule, floats
from kvtui.figures.measured import (
    MeasuredValue,
    ResultRow,
    ResultRows,
    ValueBand,
    bar_panel,
    distinct,
    failures,
    figure,
    joined,
    line_marks,
    machine,
    many_machines,
    measure,
    missing_columns,
    nothing,
    number,
    of_group,
    once,
    scatter_marks,
    value,
    word,
)

MILLION = 10**6
TABLE = "the sweep"
PARAMS_X = Axis("weights", "million parameters", "log10")
BATCH_X = Axis("batch", "sequences", "log2")
CONTEXT_X = Axis("context", "tokens", "log2", "tokens")


def _timed(axis: Axis, series: str) -> MeasuredValue:
    """The median of a series in ms, from p20 to p80."""

    def of(row: ResultRow) -> ValueBand | None:
        middle = number(row, f"{series}_ms_p50")
        if middle is None:
            return None
        return ValueBand(middle, number(row, f"{series}_ms_p20"), number(row, f"{series}_ms_p80"))

    return MeasuredValue(axis, of)


def _speed(row: ResultRow) -> ValueBand | None:
    """Tokens per second of the whole batch; the band is that of the step."""
    middle, batch = number(row, "decode_tok_s"), number(row, "batch_size")
    if middle is None:
        return None
    slow, fast = (number(row, f"decode_step_ms_{end}") for end in ("p80", "p20"))
    if not slow or not fast or batch is None:
        return ValueBand(middle)
    return ValueBand(middle, 1e3 * batch / slow, 1e3 * batch / fast)


PREFILL = _timed(Axis("prefill, median", "ms"), "prefill")
FIRST_TOKEN = _timed(Axis("time to first token, median", "ms"), "ttft")
STEP = _timed(Axis("decode step, median", "ms"), "decode_step")
SPEED = MeasuredValue(Axis("throughput", "tokens/s"), _speed)
CACHE = measure(Axis("KV cache", ticks="bytes"), "kv_cache_mb", MILLION)
PARAMS = measure(Axis("weights", "million parameters"), "params_m")


def attention_type(rows: ResultRows) -> Figure:
    """01: prefill and throughput of each attention."""
    about = ("01", "Attention variants", "Which attention, all else equal?")
    return _bars(rows, about, "attention_type", {"prefill": PREFILL, "decode": SPEED, "cache": CACHE})


def scale(rows: ResultRows) -> Figure:
    """02: prefill, decode step and throughput against weights."""
    return _lines(
        rows,
        ("02", "Model size", "How does the cost grow with the model?"),
        "scale",
        (PARAMS_X, value("params_m")),
        {"prefill": _log(PREFILL), "decode": _log(STEP), "throughput": _log(SPEED)},
    )


def batch_size(rows: ResultRows) -> Figure:
    """03: throughput against batch, beside growth in proportion, and prefill."""
    found = _lines(
        rows,
        ("03", "Batch size", "What does a larger batch buy?"),
        "batch_size",
        (BATCH_X, value("batch_size")),
        {"throughput": _log(SPEED), "prefill": _log(PREFILL)},
    )
    return _with_ideal(found)


def context_len(rows: ResultRows) -> Figure:
    """04: prefill, cache and throughput against context."""
    return _lines(
        rows,
        ("04", "Context length", "What does a longer context cost?"),
        "context_len",
        (CONTEXT_X, value("max_context")),
        {"prefill": _log(PREFILL), "cache": _log(CACHE, "log2"), "throughput": SPEED},
    )


def dtype(rows: ResultRows) -> Figure:
    """05: prefill, throughput and cache by number format."""
    about = ("05", "Number formats", "What do 16-bit weights, and an 8-bit cache, buy?")
    panels = {"prefill": PREFILL, "decode": SPEED, "cache": CACHE}
    return _bars(rows, about, "dtype", panels, category=_shape, series=_formats)


def kv_cache(rows: ResultRows) -> Figure:
    """06: throughput and prefill against batch with a cache and without; and the cache by model size."""
    about = ("06", "With and without a cache", "What does the cache itself buy, and what does it weigh?")
    group, why = _group(rows, "kv_cache")
    if why:
        return nothing(*about, why)
    batches: dict[tuple[str, str], set[float | None]] = {}
    for row in group:
        batches.setdefault(_size(row), set()).add(number(row, "batch_size"))
    base = max(batches, key=lambda size: len(batches[size]))
    compared = [row for row in group if _size(row) == base]
    cached = [row for row in group if _cache_layout(row) == "on"]
    smallest = min((at for row in cached if (at := number(row, "batch_size")) is not None), default=1.0)
    sizes = [row for row in cached if number(row, "batch_size") == smallest]
    panels = [
        Panel(
            f"{name}, {'x'.join(base)}",
            BATCH_X,
            drawn.axis,
            line_marks(
                compared,
                value("batch_size"),
                drawn,
                lambda row: f"{word(row, 'attn_variant')}, cache {_cache_layout(row)}",
                lambda row: _cache_layout(row) != "on",
            ),
        )
        for name, drawn in (("throughput", _log(SPEED)), ("prefill", _log(PREFILL)))
    ]
    panels.append(
        Panel(
            f"cache at batch {smallest:g}",
            PARAMS_X,
            Axis("KV cache", scale="log2", ticks="bytes"),
            line_marks(sizes, value("params_m"), CACHE, lambda row: word(row, "attn_variant")),
        )
    )
    return figure(*about, panels, failures(group))


def moe(rows: ResultRows) -> Figure:
    """07: weights, prefill and throughput of experts."""
    about = ("07", "Experts", "What do experts cost that do not run?")
    return _bars(rows, about, "moe", {"weights": PARAMS, "prefill": PREFILL, "decode": SPEED})


def activation(rows: ResultRows) -> Figure:
    """08: weights, prefill and throughput by activation."""
    about = ("08", "Activations", "SwiGLU or GELU?")
    return _bars(rows, about, "activation", {"weights": PARAMS, "prefill": PREFILL, "decode": SPEED})


def pos_encoding(rows: ResultRows) -> Figure:
    """09: prefill and throughput by position encoding."""
    about = ("09", "Positions", "What does it cost that tokens know their place?")
    return _bars(rows, about, "pos_encoding", {"prefill": PREFILL, "decode": SPEED})


def gqa_vs_cache(rows: ResultRows) -> Figure:
    """10: cache and throughput against context, by attention."""
    return _lines(
        rows,
        ("10", "KV heads", "What do fewer KV heads save, and cost?"),
        "gqa_vs_cache",
        (CONTEXT_X, value("max_context")),
        {"cache": _log(CACHE, "log2"), "throughput": SPEED},
        series=lambda row: word(row, "attn_type"),
    )


def scale_dtype(rows: ResultRows) -> Figure:
    """11: how many times as fast bf16 is as fp32, against weights, in prefill and decode."""
    about = ("11", "16 bits by size", "From what size on do 16 bits pay?")
    group, why = _group(rows, "scale_dtype")
    if why:
        return nothing(*about, why)
    panels = []
    for name, drawn in (("prefill", PREFILL), ("decode step", STEP)):
        ratios = _ratios(group, drawn)
        axis = Axis("bf16 faster by", "×")
        panels.append(Panel(name, PARAMS_X, axis, ratios, rules=(Rule("y", 1.0, "as fast as fp32"),)))
    return figure(*about, panels, failures(group))


def batch_attn(rows: ResultRows) -> Figure:
    """12: throughput and cache against batch by attention, and throughput over both; with crossings in the notes."""
    found = _lines(
        rows,
        ("12", "Attention against batch", "Does one attention overtake another as the batch grows?"),
        "batch_attn",
        (BATCH_X, value("batch_size")),
        {"throughput": _log(SPEED), "cache": _log(CACHE, "log2")},
        series=lambda row: word(row, "attn_type"),
    )
    speeds = [mark for panel in found.panels if panel.title == "throughput" for mark in panel.marks]
    lines = [mark for mark in speeds if isinstance(mark, Line)]
    panels = (*found.panels, *_speed_map(of_group(rows, "batch_attn")))
    notes = (*found.notes, *_crossings(lines))
    return Figure(found.id, found.title, found.question, panels, notes)


def sampling(rows: ResultRows) -> Figure:
    """13: time to the first token and throughput by sampler."""
    about = ("13", "Sampling", "What does choosing the next token cost?")
    group = of_group(rows, "sampling")
    if any(number(row, "ttft_ms_p50") is not None for row in group):
        return _bars(rows, about, "sampling", {"first token, sampling included": FIRST_TOKEN, "decode": SPEED})
    note = ("Prefill has no sampling in it; the table has no time to first token.",) if group else ()
    return _bars(rows, about, "sampling", {"prefill": PREFILL, "decode": SPEED}, notes=note)


def predicted(rows: ResultRows) -> Figure:
    """Cache bytes as the planner predicts them against those of the arrays that the benchmark held."""
    about = ("bytes", "Predicted and measured cache", "Is the cache as large as planned?")
    columns = ("kv_predicted_bytes", "kv_measured_bytes")
    why = missing_columns(rows, columns, TABLE)
    if why:
        return nothing(*about, why)
    held = [row for row in once(rows) if all((number(row, column) or 0) > 0 for column in columns)]
    points = scatter_marks(held, value(columns[0]), value(columns[1]), lambda row: word(row, "attn_variant"))
    if not points:
        return nothing(*about, "No row has both a predicted and a measured cache.")
    ends = floats([min(float(mark.x.min()) for mark in points), max(float(mark.x.max()) for mark in points)])
    panel = Panel(
        "whole cache",
        Axis("predicted", scale="log2", ticks="bytes"),
        Axis("measured", scale="log2", ticks="bytes"),
        (Line("as predicted", ends, ends, dash="dashed"), *points),
    )
    wrong = [row for row in held if row[columns[0]] != row[columns[1]]]
    if not wrong:
        return figure(*about, (panel,), (f"All {len(held)} caches are as predicted, to the byte.",))
    worst = max(wrong, key=lambda row: abs(row[columns[1]] / row[columns[0]] - 1))
    off = worst[columns[1]] / worst[columns[0]] - 1
    note = f"{len(wrong)} of {len(held)} caches differ from what was predicted, {word(worst, 'label')} by {off:+.2%}."
    return figure(*about, (panel,), (note,))


Makers = dict[str, Callable[[ResultRows], Figure]]

GROUPS: Makers = {
    "01": attention_type,
    "02": scale,
    "03": batch_size,
    "04": context_len,
    "05": dtype,
    "06": kv_cache,
    "07": moe,
    "08": activation,
    "09": pos_encoding,
    "10": gqa_vs_cache,
    "11": scale_dtype,
    "12": batch_attn,
    "13": sampling,
}
"""The figure of each group of the sweep."""

MACHINE: Makers = {"bytes": predicted, "roofline": roofline_plot.measured}
"""What the rows say of predictions, and of the machine."""

FIGURES: Makers = {**GROUPS, **clouds.FIGURES, **MACHINE}


def every(rows: ResultRows) -> dict[str, Figure]:
    """Every figure of a sweep's ``rows``, by id; those that have no rows have no panels."""
    return {id: make(rows) for id, make in FIGURES.items()}


def _log(drawn: MeasuredValue, scale: str = "log10") -> MeasuredValue:
    """``drawn`` on a logarithmic axis."""
    axis = drawn.axis
    return drawn._replace(axis=Axis(axis.label, axis.unit, "log2" if scale == "log2" else "log10", axis.ticks))


def _group(rows: ResultRows, name: str) -> tuple[list[ResultRow], str]:
    """The rows of a group, and why there is nothing to draw; empty if there is."""
    group = of_group(rows, name)
    return group, missing_columns(group, ("decode_tok_s",), f"group {name}")


def _bars(
    rows: ResultRows,
    about: tuple[str, str, str],
    group_name: str,
    panels: dict[str, MeasuredValue],
    category: Callable[[ResultRow], str] = lambda row: word(row, "label"),
    series: Callable[[ResultRow], str] | None = None,
    notes: tuple[str, ...] = (),
) -> Figure:
    group, why = _group(rows, group_name)
    if why:
        return nothing(*about, why)
    names, common = distinct(category(row) for row in group)
    apart = machine if many_machines(group) else None
    drawn = [
        bar_panel(title, group, one, lambda row: names[category(row)], series or apart or _same(title))
        for title, one in panels.items()
    ]
    shared = (f"All cases: {', '.join(common)}.",) if common else ()
    return figure(*about, drawn, (*notes, *shared, *failures(group)))


def _same(name: str) -> Callable[[ResultRow], str]:
    """One series for all rows."""
    return lambda row: name


def _lines(
    rows: ResultRows,
    about: tuple[str, str, str],
    group_name: str,
    x: tuple[Axis, Callable[[ResultRow], float | None]],
    panels: dict[str, MeasuredValue],
    series: Callable[[ResultRow], str] = lambda row: word(row, "attn_variant"),
) -> Figure:
    group, why = _group(rows, group_name)
    if why:
        return nothing(*about, why)
    drawn = (Panel(title, x[0], one.axis, line_marks(group, x[1], one, series)) for title, one in panels.items())
    return figure(*about, drawn, failures(group))


def _with_ideal(found: Figure) -> Figure:
    """The first panel with what the first line would be if it grew in proportion from its first point."""
    if not found.panels or found.panels[0].title != "throughput":
        return found
    panel = found.panels[0]
    line = next(mark for mark in panel.marks if isinstance(mark, Line))
    ideal = Line(f"in proportion to {line.name}", line.x, line.y[0] * line.x / line.x[0], dash="dotted")
    first = Panel(panel.title, panel.x, panel.y, (*panel.marks, ideal))
    return Figure(found.id, found.title, found.question, (first, *found.panels[1:]), found.notes)


def _ratios(group: ResultRows, drawn: MeasuredValue) -> tuple[Line, ...]:
    """fp32 over bf16 against weights, for each attention."""
    found: dict[str, dict[float, dict[str, list[ValueBand]]]] = {}
    for row in group:
        at, spread = number(row, "params_m"), drawn.of(row)
        if at is not None and spread is not None:
            places = found.setdefault(word(row, "attn_variant"), {})
            places.setdefault(at, {}).setdefault(canonical(word(row, "dtype")), []).append(spread)
    lines = []
    for name, places in found.items():
        points = [
            (at, joined(by["fp32"]).middle / joined(by["bf16"]).middle)
            for at, by in sorted(places.items())
            if {"fp32", "bf16"} <= by.keys() and joined(by["bf16"]).middle > 0
        ]
        if points:
            across, ratios = (floats(column) for column in zip(*points, strict=True))
            lines.append(Line(name, across, ratios, points=True))
    return tuple(lines)


def _speed_map(group: ResultRows) -> tuple[Panel, ...]:
    """Throughput over batch, a row for each attention, the smallest cache first; none where some were not measured."""
    cells: dict[tuple[str, float], list[ValueBand]] = {}
    sizes: dict[str, float] = {}
    for row in group:
        batch, held, spread = number(row, "batch_size"), number(row, "kv_cache_mb"), _speed(row)
        if batch and held and spread is not None:
            name = word(row, "attn_type")
            cells.setdefault((name, batch), []).append(spread)
            sizes[name] = min(sizes.get(name, held * MILLION / batch), held * MILLION / batch)
    names, batches = sorted(sizes, key=lambda name: sizes[name]), sorted({batch for _, batch in cells})
    if min(len(names), len(batches)) < 2 or len(cells) < len(names) * len(batches):
        return ()
    grid = np.array([[joined(cells[name, batch]).middle for batch in batches] for name in names])
    shown = tuple(f"{name}, {format_bytes(round(sizes[name]), 1)}" for name in names)
    return (
        Panel(
            "throughput by attention",
            BATCH_X,
            Axis("attention, cache of one sequence", names=shown),
            (HeatMap("throughput", floats(batches), floats(range(len(names))), floats(grid)),),
            z=Axis("throughput", "tokens/s", "log10"),
        ),
    )


def _crossings(lines: list[Line]) -> list[str]:
    """Where each later line overtakes the first, in words."""
    found = []
    for line in lines[1:]:
        base = dict(zip(lines[0].x.tolist(), lines[0].y.tolist(), strict=True))
        ahead = [(at, y > base[at]) for at, y in zip(line.x.tolist(), line.y.tolist(), strict=True) if at in base]
        for (before, was), (after, now) in pairwise(ahead):
            if was != now:
                how = "overtakes" if now else "falls behind"
                found.append(f"{line.name} {how} {lines[0].name} between batch {before:g} and {after:g}.")
    if found or len(lines) < 2:
        return found
    return [f"No attention changes places with {lines[0].name} at these batches."]


def _size(row: ResultRow) -> tuple[str, str]:
    return word(row, "dim"), word(row, "num_blocks")


def _shape(row: ResultRow) -> str:
    return f"{'x'.join(_size(row))} {word(row, 'attn_type')}"


def _formats(row: ResultRow) -> str:
    weights, kv = canonical(word(row, "dtype")), canonical(word(row, "kv_dtype"))
    return weights if kv in {"", weights} else f"{weights}, KV {kv}"


def _cache_layout(row: ResultRow) -> str:
    """on, off, or the cache's own layout where it is another than contiguous."""
    layout = word(row, "cache")
    if row.get("use_cache") is False or layout == "none":
        return "off"
    return layout if layout not in {"", "contiguous"} else "on"
