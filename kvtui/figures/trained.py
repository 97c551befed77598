"""What a latent's size, and a budget of memory, mean for trained models: loss, cache, and whole sequences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kvtui.figures.figure import Axis, Figure, Floats, Line, Panel, Rule, Surface, floats
from kvtui.figures.measured import (
    MeasuredValue,
    ResultRow,
    ResultRows,
    figure,
    line_marks,
    measure,
    missing_columns,
    nothing,
    number,
    value,
    word,
)
from kvtui.figures.seeds import by_seed, loss_band, loss_note, undecided

MILLION = 10**6
LOSS = Axis("validation loss", "nats per token")
CACHE = Axis("KV cache", scale="log2", ticks="bytes")
SIZES_GB = (24, 40, 80)
LENGTHS = (64, 128, 256, 512)
LONGEST = f"tps_{LENGTHS[-1]}"
STEPS, SHEET = 33, 17
BEYOND = 4
"""A latent that has another attention's cache is named up to so many times the largest that was trained."""


def dial(rows: ResultRows) -> Figure:
    """Loss of MLA against its latent with the seeds' spread, beside MHA (3 % around it), GQA and MQA; and its cache.

    The latents whose cache is theirs are marked. Dense models, two panels for each width.
    """
    about = ("trained-dial", "Quality and cache by latent", "Which latent is worth its cache?")
    dense = [row for row in rows if not row.get("moe")]
    latents = [row for row in dense if _kind(row) == "MLA"]
    table = "the trained models' table, of MLA" if rows else "the trained models' table"
    why = missing_columns(latents, ("down_dim_kv", "val_loss", "theoretical_cache_mb"), table)
    if why:
        return nothing(*about, why)
    panels: list[Panel] = []
    notes = [loss_note(rows)]
    across = Axis("latent", "elements", "log2")
    for dim in dict.fromkeys(word(row, "dim") for row in latents):
        members = by_seed(row for row in dense if word(row, "dim") == dim)
        of_mla = [row for row in members if _kind(row) == "MLA"]
        others = [row for row in members if _kind(row) != "MLA"]
        losses = line_marks(of_mla, value("down_dim_kv"), MeasuredValue(LOSS, loss_band), _kind)
        sizes = line_marks(of_mla, value("down_dim_kv"), measure(CACHE, "theoretical_cache_mb", MILLION), _kind)
        equal = [(_kind(row), at) for row in others if (at := _latent_at(row, of_mla))]
        levels = [Rule("y", held, _kind(row)) for row in others if (held := _cache(row))]
        marks = [Rule("x", at, f"as {kind}") for kind, at in equal]
        panels.append(Panel(f"{dim} wide, loss", across, LOSS, losses, rules=tuple(_loss_rules(others))))
        panels.append(Panel(f"{dim} wide, cache", across, CACHE, sizes, rules=(*levels, *marks)))
        notes += [f"{dim} wide: a latent of {at:.0f} has the cache of {kind}." for kind, at in equal]
        notes += undecided(f"{dim} wide", members)
    return figure(*about, panels, notes)


def fleet(rows: ResultRows) -> Figure:
    """Whole sequences of the model's context beside its weights in 0.5 to 80 GB, and tokens per second of all of them.

    Of the widest dense models, in fp32. The rate is that of one sequence times their number: an upper bound.
    """
    about = ("trained-serving", "Sequences by memory", "How many more users does a smaller cache serve?")
    dense = [row for row in rows if not row.get("moe")]
    why = missing_columns(dense, ("theoretical_cache_mb", "params_m", LONGEST, "dim"), "the trained models' table")
    if why:
        return nothing(*about, why)
    widest = max(number(row, "dim") or 0 for row in dense)
    budgets = np.geomspace(0.5e9, 80e9, STEPS)
    counts, rates = [], []
    for row in by_seed(row for row in dense if number(row, "dim") == widest):
        held, rate = _cache(row), number(row, LONGEST)
        if held and rate:
            left = np.maximum(0, budgets - 4 * MILLION * (number(row, "params_m") or 0))
            fits = np.floor(left / held)
            low, high = (number(row, f"{LONGEST}_{end}") or rate for end in ("p20", "p80"))
            counts.append(Line(_name(row), budgets, fits))
            rates.append(Line(_name(row), budgets, fits * rate, fits * low, fits * high))
    memory = Axis("memory", scale="log2", ticks="bytes")
    rules = tuple(Rule("x", size * 1e9, f"{size} GB") for size in SIZES_GB)
    panels = [
        Panel("sequences", memory, Axis("sequences", scale="log10"), tuple(counts), rules=rules),
        Panel("throughput, at most", memory, Axis("throughput", "tokens/s", "log10"), tuple(rates), rules=rules),
    ]
    base = next((line for line in counts if line.name == "MHA"), None)
    if base is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = tuple(Line(line.name, budgets, floats(line.y / base.y)) for line in counts)
        panels.append(Panel("compared with MHA", memory, Axis("sequences", "× MHA"), ratios, rules=rules))
    notes = (
        f"{widest:g} wide, dense, fp32; weights are taken off the memory, and only whole sequences count.",
        "Tokens/s are those of one sequence times the sequences: no batch costs less than that.",
    )
    return figure(*about, panels, notes)


def sheet(rows: ResultRows) -> Figure:
    """Tokens per second of whole sequences over memory and context, for each attention; 0 where not one fits.

    Of the widest dense models, MLA with its widest latent. A step's time is a straight line through those measured at
    64 to 512 tokens. Beside the sheets, their cuts at 24 and 80 GB.
    """
    about = ("trained-surface", "Serving surface", "How much does each attention serve, by memory and context?")
    dense = [row for row in rows if not row.get("moe")]
    columns = ("theoretical_cache_mb", "params_m", "max_context", "dim", *(f"tps_{n}" for n in LENGTHS))
    why = missing_columns(dense, columns, "the trained models' table")
    if why:
        return nothing(*about, why)
    widest = max(number(row, "dim") or 0 for row in dense)
    chosen: dict[str, ResultRow] = {}
    for row in by_seed(row for row in dense if number(row, "dim") == widest):
        before = chosen.get(_kind(row))
        if before is None or (number(row, "down_dim_kv") or 0) > (number(before, "down_dim_kv") or 0):
            chosen[_kind(row)] = row
    budgets, contexts = np.geomspace(1e9, 80e9, SHEET), np.geomspace(512, 131_072, SHEET)
    sheets, cuts = [], []
    for model in chosen.values():
        served = _served(model, contexts)
        if served is None:
            continue
        name = _name(model)
        sheets.append(Surface(name, budgets, contexts, served(budgets), floor=True))
        for size in (24, 80):
            at = served(floats([size * 1e9]))[:, 0]
            cuts.append(Line(f"{name}, {size} GB", contexts, at, dash="dashed" if size == 24 else "solid"))
    memory = Axis("memory", scale="log2", ticks="bytes")
    length = Axis("context", "tokens", "log2", "tokens")
    height = Axis("throughput, at most", "tokens/s")
    planes = tuple(Rule("x", size * 1e9, f"{size} GB") for size in (24, 80))
    panels = (
        Panel("over memory and context", memory, length, tuple(sheets), z=height, rules=planes),
        Panel("at 24 and 80 GB", length, Axis("throughput, at most", "tokens/s", "log10"), tuple(cuts)),
    )
    notes = (
        f"{widest:g} wide, dense, fp32; weights are taken off the memory, and only whole sequences count.",
        "A step's time beyond 512 tokens is the straight line through those that were measured.",
        "Tokens/s are those of one sequence times the sequences: no batch costs less than that.",
    )
    return figure(*about, panels, notes)


def _served(row: ResultRow, contexts: Floats) -> Callable[[Floats], Floats] | None:
    """Tokens per second by context and budget: whole sequences over the time of a step of one."""
    held, length = _cache(row), number(row, "max_context")
    rates = [number(row, f"tps_{n}") for n in LENGTHS]
    if not held or not length or not all(rates):
        return None
    slope, start = np.polyfit(floats(LENGTHS), 1 / floats(rates), 1)
    seconds = np.maximum(start + slope * contexts, 1 / max(rate or 0 for rate in rates))
    weights = 4 * MILLION * (number(row, "params_m") or 0)
    per_token = held / length

    def served(budgets: Floats) -> Floats:
        left = np.maximum(0, budgets - weights)[None, :]
        return floats(np.floor(left / (per_token * contexts[:, None])) / seconds[:, None])

    return served


def _loss_rules(others: ResultRows) -> list[Rule]:
    rules = []
    for row in others:
        loss, kind = number(row, "val_loss"), _kind(row)
        if loss is not None:
            rules.append(Rule("y", loss, kind))
            rules += [
                Rule("y", share * loss, f"MHA {s}3 %") for s, share in (("−", 0.97), ("+", 1.03)) if kind == "MHA"
            ]
    return rules


def _kind(row: ResultRow) -> str:
    return word(row, "type").partition("(")[0].strip() or "all"


def _name(row: ResultRow) -> str:
    latent = number(row, "down_dim_kv")
    return _kind(row) if latent is None else f"{_kind(row)} {latent:g}"


def _cache(row: ResultRow) -> float | None:
    held = number(row, "theoretical_cache_mb")
    return None if held is None else MILLION * held


def _latent_at(row: ResultRow, of_mla: ResultRows) -> float | None:
    """The latent with the cache of ``row``, on the line through those that were trained; None far beyond them."""
    held = _cache(row)
    points = sorted((size, at) for one in of_mla if (size := _cache(one)) and (at := number(one, "down_dim_kv")))
    if held is None or len({size for size, _ in points}) < 2:
        return None
    (least, low), (most, high) = points[0], points[-1]
    at = low + (held - least) * (high - low) / (most - least)
    return at if 0 < at <= BEYOND * high else None
