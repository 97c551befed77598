"""The sweep's figures over all rows at once: in space (14 to 17), and pair by pair (18 to 21).

Operations are those of the model that was measured: active weights, and causal attention over the tokens there are.
The published sweep estimates them as 2 · parameters · tokens + 4 · heads · tokens² · head size for all layers, with the
masks counted as parameters and the causal half not taken.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from itertools import pairwise
from statistics import quantiles
from typing import NamedTuple

from kvtui.cases.case import Case
from kvtui.cases.prediction import prefill_flops
from kvtui.engine.basis.errors import InputError
from kvtui.engine.model.formats import canonical
from kvtui.figures.family import MOST_BLOCKS
from kvtui.figures.figure import Axis, Figure, Panel
from kvtui.figures.measured import (
    ResultRow,
    ResultRows,
    ValueOf,
    cloud_marks,
    failures,
    figure,
    missing_columns,
    nothing,
    number,
    once,
    scatter_marks,
    word,
)

MILLION = 10**6
POSITIONS = {"trainable": "learned", "absolute": "learned"}
FLOPS_NOTE = "FLOPs are those of the model's own prefill: active weights and causal attention."


class Quantity(NamedTuple):
    """What is drawn along ``axis``, how a row gives it, and its name in a panel's title: the axis's, where empty."""

    axis: Axis
    of: ValueOf
    named: str = ""

    @property
    def name(self) -> str:
        """What a panel's title calls it."""
        return self.named or self.axis.label


class Pair(NamedTuple):
    """A projection: ``y`` over ``x``, as points by attention.

    ``size`` makes them larger; ``colour`` tells them apart by quarters of that quantity in place of the attention.
    """

    x: Quantity
    y: Quantity
    size: Quantity | None = None
    colour: Quantity | None = None


def case_of(row: ResultRow) -> Case | None:
    """The benchmark case that ``row`` describes; None where its columns contradict each other or are missing.

    A row of the published sweep lacks some columns: heads divide the width, the feed-forward layer is four times as
    wide, the vocabulary has 256 tokens.
    """
    latent = int(number(row, "mla_down_kv") or 0) if word(row, "attn_type").startswith("MLA") else 0
    experts = int(number(row, "n_experts") or 0) if row.get("use_moe") is True else 0
    try:
        dim, heads, blocks = (_whole(row, column) for column in ("dim", "n_heads", "num_blocks"))
        if blocks > MOST_BLOCKS:
            return None
        dtype = canonical(word(row, "dtype"))
        positions = word(row, "pos_encoding").split("+")[0]
        cached = row.get("use_cache") is not False
        window = number(row, "window")
        shape = {
            "dim": dim,
            "heads": heads,
            "head_dim": _whole(row, "head_dim", dim // max(1, heads)),
            "kv_heads": _whole(row, "kv_heads"),
            "blocks": blocks,
            "hidden": _whole(row, "hidden", 4 * dim),
            "vocab": _whole(row, "vocab", 256),
            "context": _whole(row, "max_context"),
            "latent": latent,
            "query_latent": _whole(row, "mla_down_q", latent),
            "rope_dim": _whole(row, "mla_rope_dim", 16) if latent else 0,
            "window": None if window is None else int(window),
            "positions": POSITIONS.get(positions, positions or "rope"),
            "activation": "gelu" if row.get("use_swiglu") is False else "swiglu",
            "experts": experts,
            "experts_per_token": _whole(row, "top_k_mlp") if experts else 0,
            "dtype": dtype,
            "kv_dtype": canonical(word(row, "kv_dtype")) or dtype,
        }
        case = {
            "shape": shape,
            "batch": _whole(row, "batch_size"),
            "prompt": _whole(row, "prompt_len"),
            "cache": word(row, "cache") or ("contiguous" if cached else "none"),
        }
        return Case.from_json(case)
    except (InputError, ValueError):
        return None


def prefill_work(row: ResultRow) -> float | None:
    """Operations of the row's prefill, all sequences together; None where the row is no case that could be run."""
    case = case_of(row)
    try:
        return None if case is None else float(prefill_flops(case))
    except (InputError, OverflowError):
        return None


def _column(name: str, scale: float = 1.0) -> ValueOf:
    def of(row: ResultRow) -> float | None:
        found = number(row, name)
        return None if found is None else scale * found

    return of


PARAMS = Quantity(Axis("weights", "million parameters", "log10"), _column("params_m"))
PROMPT = Quantity(Axis("prompt", "tokens", "log2", "tokens"), _column("prompt_len"))
CONTEXT = Quantity(Axis("context", "tokens", "log2", "tokens"), _column("max_context"))
BATCH = Quantity(Axis("batch", "sequences", "log2"), _column("batch_size"))
WORK = Quantity(Axis("prefill work", "FLOPs", "log10"), prefill_work)
PREFILL = Quantity(Axis("prefill, median", "ms", "log10"), _column("prefill_ms_p50"), "prefill time")
SPEED = Quantity(Axis("throughput", "tokens/s", "log10"), _column("decode_tok_s"))
CACHE = Quantity(Axis("KV cache", scale="log2", ticks="bytes"), _column("kv_cache_mb", MILLION))

Quantities = tuple[Quantity, Quantity, Quantity, Quantity]
"""What is drawn along x, y and z, and as the points' size."""

SPACES: Mapping[str, tuple[str, str, tuple[Quantities, ...]]] = {
    "14": (
        "Prefill in space",
        "What makes prefill slow?",
        ((PARAMS, PROMPT, PREFILL, WORK), (WORK, PROMPT, PREFILL, WORK)),
    ),
    "15": (
        "Batch and context in space",
        "What do batch and context cost and give?",
        ((BATCH, CONTEXT, CACHE, SPEED), (BATCH, CONTEXT, SPEED, CACHE)),
    ),
    "16": ("Work, prefill and throughput", "Does more work mean less speed?", ((WORK, PREFILL, SPEED, PARAMS),)),
    "17": (
        "Size and batch in space",
        "What do size and batch cost and give?",
        ((PARAMS, BATCH, SPEED, PARAMS), (PARAMS, BATCH, CACHE, PARAMS)),
    ),
}
PAIRS: Mapping[str, tuple[str, str, tuple[Pair, ...]]] = {
    "18": (
        "Prefill, pair by pair",
        "What makes prefill slow?",
        (
            Pair(PARAMS, PREFILL),
            Pair(PROMPT, PREFILL),
            Pair(WORK, PREFILL),
            Pair(PARAMS, PROMPT, size=PREFILL),
        ),
    ),
    "19": (
        "Batch and context, pair by pair",
        "What do batch and context cost and give?",
        (Pair(BATCH, CACHE), Pair(CONTEXT, CACHE), Pair(BATCH, SPEED), Pair(CONTEXT, SPEED)),
    ),
    "20": (
        "Work and speed, pair by pair",
        "Does more work mean less speed?",
        (
            Pair(WORK, PREFILL),
            Pair(WORK, SPEED),
            Pair(PREFILL, SPEED),
            Pair(WORK, PREFILL, colour=SPEED),
        ),
    ),
    "21": (
        "Size and batch, pair by pair",
        "What do size and batch cost and give?",
        (Pair(PARAMS, SPEED), Pair(BATCH, SPEED), Pair(PARAMS, CACHE), Pair(BATCH, CACHE)),
    ),
}


def _in_space(id: str, rows: ResultRows) -> Figure:
    title, question, spaces = SPACES[id]
    panels = []
    for x, y, z, size in spaces:
        marks = cloud_marks(rows, x.of, y.of, z.of, _variant, size.of)
        name = f"{z.name} by {x.name} and {y.name}, size: {size.name}"
        panels.append(Panel(name, x.axis, y.axis, marks, z=z.axis))
        if id == "16":
            even = [Axis(axis.label, axis.unit, ticks=axis.ticks) for axis in (x.axis, y.axis, z.axis)]
            panels.append(Panel(f"{name}, linear", even[0], even[1], marks, z=even[2]))
    return _drawn(id, title, question, rows, panels)


def _in_pairs(id: str, rows: ResultRows) -> Figure:
    title, question, pairs = PAIRS[id]
    return _drawn(id, title, question, rows, [_projection(rows, pair) for pair in pairs])


def _projection(rows: ResultRows, pair: Pair) -> Panel:
    x, y, size, colour = pair
    name = f"{y.name} by {x.name}"
    if size is not None:
        name += f", size: {size.name}"
    if colour is not None:
        name += f", colour: {colour.name}"
        rows = sorted((row for row in rows if colour.of(row) is not None), key=lambda row: colour.of(row) or 0.0)
    series = _variant if colour is None else _quarters(rows, colour)
    return Panel(name, x.axis, y.axis, scatter_marks(rows, x.of, y.of, series, size and size.of))


def _quarters(rows: ResultRows, quantity: Quantity) -> Callable[[ResultRow], str]:
    """The quarter of the ``rows`` that a row is in by ``quantity``, named by the values between which it lies."""
    found = [one for row in rows if (one := quantity.of(row)) is not None]
    if len(found) < 2:
        return lambda row: quantity.name
    bounds = quantiles(found, n=4, method="inclusive")
    ends = [f"{float(f'{end:.3g}'):,.10g}" for end in (min(found), *bounds, max(found))]
    names = [f"{low} to {high} {quantity.axis.unit}" for low, high in pairwise(ends)]
    return lambda row: names[bisect_left(bounds, quantity.of(row) or 0.0)]


def _drawn(id: str, title: str, question: str, rows: ResultRows, panels: list[Panel]) -> Figure:
    why = missing_columns(rows, ("decode_tok_s",), "the sweep")
    if why:
        return nothing(id, title, question, why)
    notes = [*failures(rows)]
    if id in {"14", "16", "18", "20"}:
        notes.insert(0, FLOPS_NOTE)
    if any(row.get("case") is None for row in rows):
        notes.append("Another tool's table may count masks and other state as parameters.")
    return figure(id, title, question, panels, notes)


def _whole(row: ResultRow, column: str, default: int | None = None) -> int:
    found = number(row, column)
    if found is None or not found:
        if default is None:
            raise ValueError(column)
        return default
    return int(found)


def _variant(row: ResultRow) -> str:
    return word(row, "attn_variant") or word(row, "attn_type") or "all"


def _entry(id: str) -> Callable[[ResultRows], Figure]:
    draw = _in_space if id in SPACES else _in_pairs

    def drawn(rows: ResultRows) -> Figure:
        return draw(id, once(rows))

    return drawn


FIGURES: dict[str, Callable[[ResultRows], Figure]] = {id: _entry(id) for id in (*SPACES, *PAIRS)}
