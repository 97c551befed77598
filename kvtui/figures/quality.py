"""Trained models: quality beside cache, throughput and size, from the table of a trained-checkpoint benchmark.

The columns are those of the published pipeline (``benchmark_results.csv``, and ``batch_sweep_results.csv`` for
throughput by batch): cache sizes are in 10**6 bytes at the model's own context, validation loss in nats per token.
Models that differ by their seed alone are one point.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median

import numpy as np

from kvtui.figures.figure import Axis, Figure, Floats, HeatMap, Line, Mark, Panel, Rule, Surface, floats
from kvtui.figures.measured import (
    MeasuredValue,
    ResultRow,
    ResultRows,
    ValueBand,
    ValueOf,
    bar_panel,
    cloud_marks,
    figure,
    line_marks,
    measure,
    missing_columns,
    nothing,
    number,
    scatter_marks,
    value,
    word,
)
from kvtui.figures.seeds import are_ours, bars, by_seed, loss_band, loss_note, marked, speed_note, undecided
from kvtui.figures.trained import dial, fleet, sheet

TABLE = "the trained models' table (benchmark_results.csv)"
BATCH_TABLE = "the batch sweep's table (batch_sweep_results.csv)"
MILLION = 10**6
LENGTHS = (64, 128, 256, 512)
STEPS = 17
LEVELS = 5

PARAMS = Axis("weights", "million parameters", "log10")
CACHE = Axis("KV cache", scale="log2", ticks="bytes")
LOSS = Axis("validation loss", "nats per token")
IDEAL = "The ideal corner is the far upper right one: fast, thrifty and good at once."


def pareto(rows: ResultRows) -> Figure:
    """Validation loss against cache, with the front of what nothing beats in both; dense and MoE apart."""
    about = ("quality-cache", "Quality against cache", "What does a smaller cache cost in quality?")
    why = missing_columns(rows, ("theoretical_cache_mb", "val_loss"), TABLE)
    if why:
        return nothing(*about, why)
    panels, notes = [], [loss_note(rows)]
    for title, every in _kinds(rows):
        members = by_seed(every)
        points = [(_cache(row), number(row, "val_loss"), row) for row in members]
        known = [(held, loss, row) for held, loss, row in points if held is not None and loss is not None]
        front = pareto_front([(held, loss) for held, loss, _ in known])
        marks: list[Mark] = list(scatter_marks(members, _cache, value("val_loss"), _type, value("params_m")))
        marks += bars(members, _cache)
        if front:
            best = sorted((known[i][0], known[i][1]) for i in front)
            marks.append(_steps([held for held, _ in best], [loss for _, loss in best]))
            names = [word(known[i][2], "run") or _type(known[i][2]) for i in front]
            notes.append(f"{title}: {len(front)} of {len(known)} on the front: {', '.join(names[:6])}.")
        notes += undecided(title, members)
        panels.append(Panel(title, CACHE, LOSS, tuple(marks)))
    return figure(*about, panels, notes)


def pareto_front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the points that no other is at most as large in both coordinates and smaller in one; ascending."""
    order = sorted(range(len(points)), key=lambda i: points[i])
    front: list[int] = []
    least = float("inf")
    for i in order:
        x, y = points[i]
        equal = bool(front) and points[front[-1]] == (x, y)
        if y < least or equal:
            front.append(i)
            least = y
    return sorted(front)


def quality_cube(rows: ResultRows) -> Figure:
    """Weights × cache × validation loss; dense and MoE apart."""
    about = ("quality-cube", "Size, cache and quality", "Is it the size or the cache that quality needs?")
    why = missing_columns(rows, ("params_m", "theoretical_cache_mb", "val_loss"), TABLE)
    if why:
        return nothing(*about, why)
    panels = (
        Panel(
            title,
            PARAMS,
            CACHE,
            cloud_marks(by_seed(members), value("params_m"), _cache, value("val_loss"), _type),
            z=LOSS,
        )
        for title, members in _kinds(rows)
    )
    return figure(*about, panels, (loss_note(rows),))


def efficiency_cube(rows: ResultRows) -> Figure:
    """Throughput × throughput per byte of cache × 1 / validation loss, as large as the weights: up is better in all.

    Dense and MoE apart.
    """
    about = ("efficiency-cube", "Efficiency", "Which model is good in every way at once?")
    why = missing_columns(rows, ("theoretical_cache_mb", "val_loss", "params_m"), TABLE)
    if why:
        return nothing(*about, why)
    panels = (
        Panel(
            f"{title}: up is better on every axis",
            Axis("throughput", "tokens/s", "log10"),
            Axis("throughput per cache", "tokens/s per MB", "log10"),
            cloud_marks(by_seed(members), _throughput, _per_cache, _goodness, _type, value("params_m")),
            z=Axis("1 / validation loss", "1/nats"),
        )
        for title, members in _kinds(rows)
    )
    return figure(*about, panels, (IDEAL, speed_note(rows), loss_note(rows)))


def latent_quality(rows: ResultRows) -> Figure:
    """Validation loss of MLA over weights and latent, between what was trained; beside the best MHA and GQA."""
    about = ("latent-quality", "Quality by latent", "How small may a latent be?")
    latents = [row for row in rows if _type(row) == "MLA"]
    why = missing_columns(latents, ("params_m", "down_dim_kv", "val_loss"), f"{TABLE}, of MLA" if rows else TABLE)
    if why:
        return nothing(*about, why)
    across, along, losses = _between(latents)
    rules = tuple(
        Rule("z", best, f"best {name}")
        for name in ("MHA", "GQA")
        if (best := min(_known(by_seed(rows), value("val_loss"), name), default=None)) is not None
    )
    seeds = by_seed(latents)
    points = scatter_marks(seeds, value("down_dim_kv"), value("val_loss"), lambda row: f"{word(row, 'dim')} wide")
    marks: tuple[Mark, ...] = (*points, *bars(seeds, value("down_dim_kv")))
    x, y = PARAMS, Axis("latent", "elements")
    panels = [Panel("trained models", y, LOSS, marks, rules=tuple(Rule("y", one.value, one.label) for one in rules))]
    notes = [loss_note(rows)]
    if across.size > 1 and along.size > 1:
        low, high = float(np.nanmin(losses)), float(np.nanmax(losses))
        levels = tuple(np.linspace(low, high, LEVELS + 2)[1:-1].tolist()) if high > low else ()
        panels = [
            Panel("surface", x, y, (Surface("MLA", across, along, losses, levels, floor=True),), z=LOSS, rules=rules),
            Panel("from above", x, y, (HeatMap("MLA", across, along, losses, levels),), z=LOSS),
            *panels,
        ]
        notes.append("Between trained latents the loss is interpolated, beyond them nothing is drawn.")
    else:
        notes.append("A surface needs two widths and two latents at least.")
    return figure(*about, panels, notes)


def overview(rows: ResultRows) -> Figure:
    """Every family of models: throughput, cache, loss, prefill and work by attention."""
    about = ("trained-overview", "Trained models by family", "How do the attentions compare, family by family?")
    if not rows:
        return nothing(*about, f"No rows of {TABLE}.")
    wanted = {
        "throughput": MeasuredValue(Axis("throughput", "tokens/s"), _as_spread(_throughput)),
        "cache": measure(Axis("KV cache", ticks="bytes"), "theoretical_cache_mb", MILLION),
        "validation loss": MeasuredValue(LOSS, loss_band),
        "prefill": measure(Axis("prefill", "ms"), "prefill_ms"),
        "work of a step": measure(Axis("decode step", "GFLOPs"), "decode_gflops"),
        "rate of work": measure(Axis("decode", "TFLOP/s"), "decode_tflops_s"),
    }
    members = by_seed(rows)
    drawn = [bar_panel(title, members, one, _family, _type) for title, one in wanted.items()]
    return figure(*about, [*drawn, *_lengths_panel(rows)], (speed_note(rows), loss_note(rows)))


def by_length(rows: ResultRows) -> Figure:
    """Throughput against sequence length, medians with p20–p80 over the models of a kind; and beside MLA's."""
    about = ("trained-length", "Throughput by length", "Does a longer sequence slow one attention more?")
    why = missing_columns(rows, (f"tps_{LENGTHS[-1]}",), TABLE)
    if why:
        return nothing(*about, why)
    panels = [*_lengths_panel(rows)]
    lines = {mark.name: mark for mark in panels[0].marks if isinstance(mark, Line)}
    base = lines.get("MLA")
    if base is not None and len(lines) > 1:
        reference = dict(zip(base.x.tolist(), base.y.tolist(), strict=True))
        compared = tuple(
            Line(
                name,
                line.x,
                floats([y / reference[x] if reference.get(x) else None for x, y in _pairs(line)]),
                points=True,
            )
            for name, line in lines.items()
        )
        rules = (Rule("y", 1.0, "as MLA"),)
        panels.append(Panel("compared with MLA", panels[0].x, Axis("throughput", "× MLA"), compared, rules=rules))
    return figure(*about, panels, (speed_note(rows),))


def prefill(rows: ResultRows) -> Figure:
    """Prefill against weights with a power law through each attention's points."""
    about = ("trained-prefill", "Prefill by size", "How does prefill grow with the model?")
    why = missing_columns(rows, ("params_m", "prefill_ms"), TABLE)
    if why:
        return nothing(*about, why)
    points = scatter_marks(rows, value("params_m"), value("prefill_ms"), _type)
    one_call = "Each point is one timed call in the published table: it has no spread."
    fits, notes = [], ["Each point is the median of many calls." if are_ours(rows) else one_call]
    for mark in points:
        at, took = mark.x[(mark.x > 0) & (mark.y > 0)], mark.y[(mark.x > 0) & (mark.y > 0)]
        if np.unique(at).size > 1:
            slope, start = np.polyfit(np.log(at), np.log(took), 1)
            ends = floats([at.min(), at.max()])
            fits.append(Line(f"{mark.name}, fitted", ends, np.exp(start) * ends**slope, dash="dashed"))
            notes.append(f"{mark.name}: time grows as weights to the power {slope:.2f}.")
    panel = Panel("one prefill", PARAMS, Axis("prefill", "ms", "log10"), (*points, *fits))
    return figure(*about, (panel,), notes)


def by_batch(rows: ResultRows) -> Figure:
    """Throughput against batch for each width, from the batch sweep's table, with the best batch of each attention."""
    about = ("trained-batch", "Throughput by batch", "From what batch on is there nothing to gain?")
    why = missing_columns(rows, ("batch_size", "tps"), BATCH_TABLE)
    if why:
        return nothing(*about, why)
    panels, notes = [], []
    for dim in dict.fromkeys(word(row, "dim") for row in rows):
        members = [row for row in rows if word(row, "dim") == dim]
        lines = line_marks(members, value("batch_size"), measure(Axis("throughput", "tokens/s"), "tps"), _type)
        axis = Axis("throughput", "tokens/s", "log10")
        panels.append(Panel(f"{dim} wide", Axis("batch", "sequences", "log2"), axis, lines))
        for line in lines:
            best = int(np.nanargmax(line.y))
            notes.append(f"{dim} wide, {line.name}: most at batch {line.x[best]:g}.")
    stopped = sum(row.get("oom") is True for row in rows)
    if stopped:
        notes.append(f"{stopped} batches did not fit.")
    return figure(*about, panels, notes)


TRAINED: dict[str, Callable[[ResultRows], Figure]] = {
    "quality-cache": marked(pareto),
    "quality-cube": marked(quality_cube),
    "efficiency-cube": marked(efficiency_cube),
    "latent-quality": marked(latent_quality),
    "trained-dial": marked(dial),
    "trained-serving": marked(fleet),
    "trained-surface": marked(sheet),
    "trained-overview": marked(overview),
    "trained-length": marked(by_length),
    "trained-prefill": marked(prefill),
}
BATCHES: dict[str, Callable[[ResultRows], Figure]] = {"trained-batch": marked(by_batch)}


def _type(row: ResultRow) -> str:
    """MHA, GQA or MLA, without the heads in brackets."""
    return word(row, "type").partition("(")[0].strip() or "all"


def _family(row: ResultRow) -> str:
    given = word(row, "family")
    if given:
        return given
    kind = "MoE" if row.get("moe") in (True, 1, "True") else "Dense"
    return f"L{word(row, 'num_blocks')}_D{word(row, 'dim')}_H{word(row, 'n_heads')}_C{word(row, 'max_context')}_{kind}"


def _kinds(rows: ResultRows) -> list[tuple[str, list[ResultRow]]]:
    """The dense models, and those with experts, if there are any."""
    apart: dict[str, list[ResultRow]] = {"dense": [], "MoE": []}
    for row in rows:
        apart["MoE" if _family(row).endswith("MoE") else "dense"].append(row)
    return [(title, members) for title, members in apart.items() if members]


def _cache(row: ResultRow) -> float | None:
    """Cache bytes at the model's own context."""
    held = number(row, "theoretical_cache_mb")
    return None if held is None else MILLION * held


def _throughput(row: ResultRow) -> float | None:
    """Tokens per second at the longest length that was measured."""
    return next((found for n in reversed(LENGTHS) if (found := number(row, f"tps_{n}"))), None)


def _per_cache(row: ResultRow) -> float | None:
    rate, held = _throughput(row), number(row, "theoretical_cache_mb")
    return rate / held if rate and held else None


def _goodness(row: ResultRow) -> float | None:
    loss = number(row, "val_loss")
    return 1 / loss if loss else None


def _as_spread(of: ValueOf) -> Callable[[ResultRow], ValueBand | None]:
    return lambda row: None if (found := of(row)) is None else ValueBand(found)


def _known(rows: ResultRows, of: ValueOf, kind: str) -> list[float]:
    return [found for row in rows if _type(row) == kind and (found := of(row)) is not None]


def _steps(xs: Sequence[float], ys: Sequence[float]) -> Line:
    """A falling staircase through the points, ascending in x: what the best up to each x reaches."""
    across, down = [xs[0]], [ys[0]]
    for x, y in zip(xs[1:], ys[1:], strict=True):
        across += [x, x]
        down += [down[-1], y]
    return Line("front", floats(across), floats(down), dash="dashed")


def _lengths_panel(rows: ResultRows) -> Iterable[Panel]:
    """Tokens per second by length, where there are any: the median of a kind's models, from their p20 to their p80."""
    lines = []
    for kind in dict.fromkeys(map(_type, rows)):
        found = {n: _known(rows, value(f"tps_{n}"), kind) for n in LENGTHS}
        known = {n: np.percentile(rates, (20, 50, 80)) for n, rates in found.items() if rates}
        if known:
            low, middle, high = zip(*known.values(), strict=True)
            lines.append(Line(kind, floats(known), floats(middle), floats(low), floats(high), points=True))
    if lines:
        axis = Axis("sequence", "tokens", "log2", "tokens")
        yield Panel("throughput by length", axis, Axis("throughput", "tokens/s"), tuple(lines))


def _pairs(line: Line) -> Iterable[tuple[float, float]]:
    return zip(line.x.tolist(), line.y.tolist(), strict=True)


def _between(rows: ResultRows) -> tuple[Floats, Floats, Floats]:
    """Weights by width, latents, and the loss over both: interpolated along the latents that a width has."""
    widths: dict[str, list[tuple[float, float, float]]] = {}
    for row in rows:
        point = [number(row, name) for name in ("params_m", "down_dim_kv", "val_loss")]
        if None not in point:
            size, latent, loss = (one for one in point if one is not None)
            widths.setdefault(word(row, "dim"), []).append((size, latent, loss))
    latents = sorted({latent for points in widths.values() for _, latent, _ in points})
    along = np.unique(np.append(np.linspace(latents[0], latents[-1], STEPS), latents))
    columns = []
    for points in widths.values():
        by_latent: dict[float, list[float]] = {}
        for _, latent, loss in points:
            by_latent.setdefault(latent, []).append(loss)
        at = sorted(by_latent)
        means = [sum(by_latent[one]) / len(by_latent[one]) for one in at]
        columns.append((median(size for size, _, _ in points), np.interp(along, at, means, np.nan, np.nan)))
    columns.sort(key=lambda column: column[0])
    return floats([size for size, _ in columns]), floats(along), floats(np.stack([losses for _, losses in columns], 1))
