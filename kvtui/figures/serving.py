"""What memory buys in throughput: sequences that fit, tokens per second, and what long contexts leave of both.

Sequences are whole, weights are subtracted first, and throughput is ``planning.roofline``'s band, so that twice the
memory is not twice the tokens. Speeds are expectations from published peaks and efficiency priors, not measurements.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kvtui.engine.basis.units import GB, MAX_TOKENS, format_bytes, format_tokens
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.planning import grid
from kvtui.engine.planning.estimate import timed
from kvtui.engine.planning.parts import device_parts
from kvtui.engine.planning.step import Step
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.scenario import Scenario
from kvtui.figures.family import ATTENTIONS, ShapeFamily, member, millions, spec, token_bytes, widths
from kvtui.figures.figure import Axis, Figure, Floats, Line, Panel, Rule, Surface, floats
from kvtui.figures.scenarios import (
    BATCH,
    CONTEXT,
    SPEED,
    USUAL_CONTEXT,
    Scenarios,
    batch_points,
    budgets,
    caveats,
    context_points,
    context_rule,
    doublings,
    each,
    memory_rule,
    size_rules,
    spaced,
    without_pool,
)

SPEED_CONTEXT = ("speed-context", "Speed by context", "How much slower is a long context?")
SPEED_BATCH = ("speed-batch", "Speed by batch", "What does a larger batch cost each user?")
THROUGHPUT_MEMORY = ("throughput-memory", "Throughput by memory", "What does more memory buy?")
VARIANTS_MEMORY = ("variants-memory", "Attention variants by memory", "What does each attention buy?")
SERVING_SURFACE = ("serving-surface", "Throughput by memory and context", "Where does serving begin to pay?")
EXTRAPOLATION = ("extrapolation", "Cache at long contexts", "What would this shape cache at long contexts?")
CACHE_SURFACE = ("cache-surface", "Cache by size and context", "When does the cache outgrow the device?")

SIZES_GB = (24.0, 40.0, 80.0)
PLANES_GB = (24.0, 80.0)
FAMILY_CONTEXTS = tuple(2**n for n in range(9, 18))
POINTS = 65
SHEET_POINTS = (33, 25)
BAND = "Lines are the middle of the roofline's band; the band is what the efficiency priors span."
LEAST_BUDGET = GB // 2
UNTIMED = Step(None, None, 1)
PARAMETERS = Axis("weights", "million parameters", "log10")


def throughput_by_memory(scenarios: Scenarios, least_gb: float | None = None, most_gb: float | None = None) -> Figure:
    """Tokens per second against the memory of each device: as many whole sequences as fit beside the weights.

    From half of what one sequence needs to 80 GB, or to the device's own memory if that is more. The second panel
    divides by the first model's.
    """
    first = scenarios[0]
    sizes = _sizes(scenarios, least_gb, most_gb, POINTS)
    found, notes = each(scenarios, lambda one: _served(one, sizes, np.array(one.context)))
    panels = [
        Panel(
            f"sequences of {format_tokens(first.context)} tokens, as many as fit",
            Axis("memory of each device", scale="log2", ticks="bytes"),
            Axis("throughput", "tokens/s"),
            tuple(_band(name, sizes, rates) for name, rates in found.items()),
            rules=(*size_rules(SIZES_GB, "x"), memory_rule(first, "x")),
        )
    ]
    if len(found) > 1:
        panels.append(_ratios(found, sizes))
    least = [
        f"{name}: nothing below {format_bytes(int(sizes[np.argmax(rates.sequences > 0)]))}."
        if (rates.sequences > 0).any()
        else f"{name}: not one sequence fits."
        for name, rates in found.items()
    ]
    said = (*least, *notes, BAND, f"Bandwidth and compute are those of the {plain(first.device.name)}.")
    return Figure(
        *THROUGHPUT_MEMORY,
        tuple(panels),
        (*said, *without_pool(first), *caveats(first)),
    )


def variants_by_memory(
    scenario: Scenario, dim: int = 4096, blocks: int = 32, head_dim: int = 128, latent: int = 512, rope: int = 64
) -> Figure:
    """``throughput_by_memory`` of one shape with MHA, GQA and MLA, on the scenario's device at its workload."""
    family = ShapeFamily(blocks, head_dim, latent=latent, rope=rope, vocab=32_768, dtype="bf16")
    chosen = {"model_ref": "", "weight_dtype": "bf16", "kv_dtype": "bf16", "kv_pool": None}
    variants: list[Scenario] = []
    gave_way: dict[str, None] = {}
    for attention in ATTENTIONS:
        model = spec(member(family, dim, attention))._replace(name=attention)
        changed, notes = adapted(scenario, {**chosen, "model": model})
        variants.append(changed)
        gave_way |= dict.fromkeys(f"{note}." for note in notes)
    found = throughput_by_memory(tuple(variants))
    shape = f"{blocks} layers, {dim:,} wide, heads of {head_dim}; GQA shares 4:1, MLA caches {latent} + {rope}; bf16."
    weights = "; ".join(f"{one.model.name} {format_bytes(2 * (one.model.parameters or 0))}" for one in variants)
    wrong = (
        "A ratio of cache sizes alone, as it is often drawn, has one value at every memory size: "
        "it leaves out the weights, and that time per step grows with what is read."
    )
    return Figure(*VARIANTS_MEMORY, found.panels, (shape, f"Weights: {weights}.", *found.notes, *gave_way, wrong))


def serving_surface(
    scenario: Scenario, least_gb: float | None = None, most_gb: float | None = None, longest: int | None = None
) -> Figure:
    """Tokens per second over memory and context, as many whole sequences as fit: 0 where not one does."""
    sizes = _sizes((scenario,), least_gb, most_gb, SHEET_POINTS[0])
    end = min(longest or max(USUAL_CONTEXT, scenario.context), MAX_TOKENS)
    contexts = spaced(min(512, end), end, SHEET_POINTS[1])
    rates = _served(scenario, sizes[None, :], contexts[:, None])
    sheet = Surface(plain(scenario.model.name), floats(sizes), floats(contexts), floats(rates.middle), floor=True)
    panel = Panel(
        f"{plain(scenario.model.name)} on the {plain(scenario.device.name)}'s bandwidth",
        Axis("memory of each device", scale="log2", ticks="bytes"),
        CONTEXT,
        (sheet,),
        z=Axis("throughput", "tokens/s"),
    )
    notes = ["0 where not one whole sequence fits beside the weights.", BAND]
    if not (rates.sequences > 0).any():
        notes.insert(0, "Nothing fits in this range.")
    return Figure(
        *SERVING_SURFACE,
        (panel,),
        (*notes, *without_pool(scenario), *caveats(scenario)),
    )


def speed_by_context(scenarios: Scenarios, longest: int | None = None) -> Figure:
    """Tokens per second, time of a decode step, and time to prefill one sequence, against context; as bands."""
    first = scenarios[0]
    contexts = context_points(first, longest)
    found, notes = each(scenarios, lambda one: _rates(one, contexts, np.array(one.batch)))
    prefills, _ = each(scenarios, lambda one: _prefill_band(one, contexts))
    rules = (context_rule(first),)
    panels = (
        Panel(
            f"batch {first.batch:,}",
            CONTEXT,
            SPEED,
            tuple(_line(name, contexts, r.low_tokens, r.high_tokens) for name, r in found.items()),
            rules=rules,
        ),
        Panel(
            f"decode step, batch {first.batch:,}",
            CONTEXT,
            Axis("time of a step", "ms", "log10"),
            tuple(_line(name, contexts, r.low_ms, r.high_ms) for name, r in found.items()),
            rules=rules,
        ),
        Panel(
            "prefill of one sequence",
            CONTEXT,
            Axis("time to first token", "ms", "log10"),
            tuple(_line(name, contexts, low, high) for name, (low, high) in prefills.items()),
            rules=rules,
        ),
    )
    said = (*_unknown(found), *notes, BAND, "Drawn whether it fits or not.", *caveats(first))
    return Figure(*SPEED_CONTEXT, panels, said)


def speed_by_batch(scenarios: Scenarios, largest: int | None = None) -> Figure:
    """Tokens per second, all sequences together and for each of them, against batch; as bands."""
    first = scenarios[0]
    every = batch_points(first, largest)
    batches = every[every >= min(first.layout.dp, every[-1])]
    found, notes = each(scenarios, lambda one: _rates(one, np.array(one.context), batches))
    rules = (Rule("x", float(first.batch), "batch of the scenario"),)
    panels = (
        Panel(
            f"all sequences, {format_tokens(first.context)} tokens each",
            BATCH,
            SPEED,
            tuple(_line(name, batches, r.low_tokens, r.high_tokens) for name, r in found.items()),
            rules=rules,
        ),
        Panel(
            "one sequence",
            BATCH,
            Axis("throughput of a sequence", "tokens/s", "log10"),
            tuple(_line(name, batches, 1e3 / r.high_ms, 1e3 / r.low_ms) for name, r in found.items()),
            rules=rules,
        ),
    )
    said = (*_unknown(found), *notes, BAND, "Drawn whether it fits or not.", *caveats(first))
    return Figure(*SPEED_BATCH, panels, said)


def extrapolation(
    dim: int = 512,
    blocks: int = 12,
    head_dim: int = 32,
    latent: int = 64,
    rope: int = 16,
    batch: int = 8,
    dtype: str = "fp32",
    longest: int = FAMILY_CONTEXTS[-1],
) -> Figure:
    """Cache bytes of ``batch`` sequences against context to ``longest`` tokens, beside 24 and 80 GB."""
    family = ShapeFamily(blocks, head_dim, latent=latent, rope=rope, dtype=dtype)
    contexts = doublings(512, longest)
    lines = tuple(
        Line(attention, floats(contexts), float(batch * size) * floats(contexts), points=True)
        for attention in (*ATTENTIONS[:2], "MQA", ATTENTIONS[2])
        for size in (token_bytes(member(family, dim, attention)),)
    )
    panel = Panel(
        f"{dim:,} wide, {blocks} layers, batch {batch:,}, {dtype}",
        CONTEXT,
        Axis("KV cache", scale="log2", ticks="bytes"),
        lines,
        rules=size_rules(PLANES_GB, "y"),
    )
    return Figure(
        *EXTRAPOLATION,
        (panel,),
        ("The cache alone: weights and activations come on top.",),
    )


def cache_surface(
    blocks: int = 12,
    head_dim: int = 32,
    queries: int = 4,
    latent: int = 64,
    rope: int = 16,
    batch: int = 8,
    dtype: str = "fp32",
) -> Figure:
    """Cache bytes of ``batch`` sequences over weights and context: all variants together, then each alone."""
    family = ShapeFamily(blocks, head_dim, queries, latent, rope, dtype=dtype)
    contexts = np.array(FAMILY_CONTEXTS)
    sheets = []
    for attention in ATTENTIONS:
        shapes = [member(family, dim, attention) for dim in widths(family)]
        sizes = [token_bytes(shape) for shape in shapes]
        held = floats(contexts)[:, None] * floats([batch * size for size in sizes])[None, :]
        sheets.append(
            Surface(attention, floats([millions(shape) for shape in shapes]), floats(contexts), held, floor=True)
        )
    height = Axis("KV cache", ticks="bytes")
    planes = size_rules(PLANES_GB, "z")
    panels = tuple(
        Panel(title, PARAMETERS, CONTEXT, marks, z=height, rules=_below(planes, marks))
        for title, marks in (("all", tuple(sheets)), *((sheet.name, (sheet,)) for sheet in sheets))
    )
    notes = (
        f"{blocks} layers, heads of {head_dim}, batch {batch:,}, {dtype}; GQA shares {queries}:1.",
        f"MLA is level along the weights because its latent stays {latent} + {rope} while the model widens.",
        "Planes at 24 and 80 GB where a cache reaches half of them.",
    )
    return Figure(*CACHE_SURFACE, panels, notes)


class _Served(NamedTuple):
    """Whole ``sequences`` that fit, and the band of their tokens per second, 0 where none fits."""

    sequences: grid.Tokens
    low: grid.Numbers
    high: grid.Numbers

    @property
    def middle(self) -> grid.Numbers:
        """The middle of the band."""
        return np.asarray((self.low + self.high) / 2)


def _sizes(scenarios: Scenarios, least_gb: float | None, most_gb: float | None, count: int) -> grid.Tokens:
    """Bytes of a device, in equal ratios; without ``least_gb`` from half of what the least one-token sequence needs."""
    needed, _ = each(scenarios, lambda one: device_parts(one._replace(lengths=None, shared_prefix=0), 1, 1).total)
    first = int(least_gb * GB) if least_gb else max(LEAST_BUDGET, min(needed.values()) // 2)
    last = int(most_gb * GB) if most_gb else max(int(SIZES_GB[-1] * GB), scenarios[0].device.usable_bytes, 4 * first)
    return budgets(first, last, count)


def _served(scenario: Scenario, sizes: grid.Tokens, contexts: grid.Tokens) -> _Served:
    free = scenario._replace(kv_pool=None)
    sequences = grid.most_sequences(free, contexts, sizes)
    rates = grid.decode(free, contexts, np.maximum(sequences, scenario.layout.dp))
    some = sequences > 0
    return _Served(sequences, np.where(some, rates.low_tokens, 0.0), np.where(some, rates.high_tokens, 0.0))


def _rates(scenario: Scenario, contexts: grid.Tokens, batches: grid.Tokens) -> grid.Rates:
    """The roofline's bands. Raises InputError where bytes would not be exact."""
    grid.device_bytes(scenario._replace(skip_weights=True), contexts.max(), batches.max())
    return grid.decode(scenario, contexts, batches)


def _band(name: str, x: grid.Tokens, rates: _Served) -> Line:
    return Line(name, floats(x), floats(rates.middle), floats(rates.low), floats(rates.high))


def _line(name: str, x: grid.Tokens, low: Floats, high: Floats) -> Line:
    return Line(name, floats(x), floats((low + high) / 2), floats(low), floats(high))


def _ratios(found: dict[str, _Served], sizes: grid.Tokens) -> Panel:
    base_name, base = next(iter(found.items()))
    with np.errstate(divide="ignore", invalid="ignore"):
        lines = tuple(
            Line(name, floats(sizes), floats(np.where(base.middle > 0, rates.middle / base.middle, np.nan)))
            for name, rates in found.items()
        )
    return Panel(
        f"compared with {base_name}",
        Axis("memory of each device", scale="log2", ticks="bytes"),
        Axis("throughput", f"× {base_name}"),
        lines,
        rules=(Rule("y", 1.0, "as many"),),
    )


def _prefill_band(scenario: Scenario, contexts: grid.Tokens) -> tuple[Floats, Floats]:
    alone = scenario._replace(lengths=None, shared_prefix=0)
    times = [timed(alone._replace(context=context), UNTIMED).prefill_ms for context in contexts.tolist()]
    lows, highs = ([band and band[end] for band in times] for end in (0, 1))
    return floats(lows), floats(highs)


def _unknown(found: dict[str, grid.Rates]) -> list[str]:
    return [
        f"{name}: no speed, its active weights or the link between devices are unknown."
        for name, rates in found.items()
        if np.isnan(rates.low_ms).all()
    ]


def _below(planes: Sequence[Rule], sheets: Sequence[Surface]) -> tuple[Rule, ...]:
    highest = max(float(np.nanmax(sheet.z)) for sheet in sheets)
    return tuple(plane for plane in planes if plane.value <= 2 * highest)
