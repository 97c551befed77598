"""Memory of the current scenario, and of other models in its place, against context, batch, device and format.

Bytes are ``engine.grid``'s, the planner's formulas over arrays. Memory is that of the most loaded device.
"""

from __future__ import annotations

import numpy as np

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import GB, MAX_TOKENS, format_bytes, format_tokens
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.model.caches import Attention, Cache, Latent, Recurrent, kept_bytes
from kvtui.engine.model.catalogue import all_models
from kvtui.engine.model.formats import FORMATS, KV_FORMATS
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.planning import grid
from kvtui.engine.planning.parts import budget, device_parts, fits
from kvtui.engine.planning.search import most
from kvtui.engine.scenario.limits import MAX_BATCH
from kvtui.engine.scenario.scenario import Scenario
from kvtui.figures.figure import Axis, Bars, Figure, Floats, HeatMap, Line, Panel, Rule, Scatter, floats, largest_first
from kvtui.figures.scenarios import (
    BATCH,
    CONTEXT,
    MEMORY,
    Scenarios,
    batch_points,
    budgets,
    caveats,
    context_points,
    context_rule,
    each,
    memory_rule,
    names,
    size_rules,
    without_pool,
)

KV_CONTEXT = ("kv-context", "KV cache by context", "How much does one sequence cache as it grows?")
MEMORY_CONTEXT = ("memory-context", "Device memory by context", "When does a longer context stop fitting?")
MEMORY_BATCH = ("memory-batch", "Device memory by batch", "When does one more sequence stop fitting?")
MEMORY_MAP = ("memory-map", "Memory by context and batch", "What fits?")
FRONTIER = ("frontier", "Context against concurrency", "Longer contexts, or more users?")
CONTEXT_MEMORY = ("context-memory", "Longest context by memory", "How much memory for my context?")
PARTS = ("parts", "What the memory is for", "What takes the memory?")
LAYER_KINDS = ("layer-kinds", "Cache by kind of layer", "Which layers fill the cache?")
FORMAT_SIZES = ("formats", "KV formats", "What does a smaller KV format buy?")
CATALOGUE = ("catalogue", "KV bytes per token by model", "Which models are light on cache?")
SPEED_MAP = ("speed-map", "Throughput by context and batch", "What is the best batch?")

POINTS = 65
PART_NAMES = {
    "weights": "weights",
    "kv": "KV cache",
    "state": "state",
    "activation": "activations",
    "overhead": "overhead",
    "reserved_unused": "reserved, unused",
    "pool_free": "rest of the pool",
}
SIZES_GB = (24.0, 80.0)
FULL = "fits up to here"


def sequence_by_context(scenarios: Scenarios, longest: int | None = None) -> Figure:
    """Cache bytes of one sequence (KV and state, all ranks' shares once) against context, to ``longest`` tokens."""
    contexts = context_points(scenarios[0], longest)
    lines = tuple(
        Line(name, floats(contexts), floats(grid.cache_bytes(one.model.caches, contexts, one.kv)))
        for name, one in zip(names(scenarios), scenarios, strict=True)
    )
    notes = [
        f"{name}: {one.model.bytes_per_token(one.kv):,} B per token{_bounded(one)}, in {one.kv_dtype}."
        for name, one in zip(names(scenarios), scenarios, strict=True)
    ]
    panel = Panel(
        "cache of one sequence",
        CONTEXT,
        Axis("KV cache and state", scale="log2", ticks="bytes"),
        lines,
        rules=(context_rule(scenarios[0]),),
    )
    return Figure(*KV_CONTEXT, (panel,), tuple(notes))


def memory_by_context(scenarios: Scenarios, longest: int | None = None) -> Figure:
    """Memory of the most loaded device against context at the scenario's batch, beside what may be used of it."""
    first = scenarios[0]
    contexts = context_points(first, longest)

    def needs(one: Scenario) -> tuple[Floats, int]:
        most = grid.most_context(one, np.array([one.batch]))
        return floats(grid.device_bytes(one, contexts, np.array(one.batch)).total), int(most[0])

    found, notes = each(scenarios, needs)
    lines = tuple(Line(name, floats(contexts), total) for name, (total, _) in found.items())
    limits = [f"{name}: {_longest(most, first.batch)}." for name, (_, most) in found.items()]
    panel = Panel(f"batch {first.batch:,}", CONTEXT, MEMORY, lines, rules=(memory_rule(first), context_rule(first)))
    return Figure(
        *MEMORY_CONTEXT,
        (panel,),
        (*limits, *notes, *_pool_note(first), *caveats(first)),
    )


def memory_by_batch(scenarios: Scenarios, largest: int | None = None) -> Figure:
    """Memory of the most loaded device against batch at the scenario's context, beside what may be used of it."""
    first = scenarios[0]
    batches = batch_points(first, largest)

    def needs(one: Scenario) -> tuple[Floats, int]:
        most = grid.most_sequences(one, np.array([one.context]))
        return floats(grid.device_bytes(one, np.array(one.context), batches).total), int(most[0])

    found, notes = each(scenarios, needs)
    lines = tuple(Line(name, floats(batches), total, points=True) for name, (total, _) in found.items())
    limits = [f"{name}: {_most(most, first.context)}." for name, (_, most) in found.items()]
    rules = (memory_rule(first), Rule("x", float(first.batch), "batch of the scenario"))
    panel = Panel(f"{format_tokens(first.context)} tokens", BATCH, MEMORY, lines, rules=rules)
    return Figure(
        *MEMORY_BATCH,
        (panel,),
        (*limits, *notes, *_pool_note(first), *caveats(first)),
    )


def memory_map(scenario: Scenario, longest: int | None = None, largest: int | None = None) -> Figure:
    """How full the most loaded device is, over context and batch, with the line at 100 %."""
    contexts, batches = context_points(scenario, longest), batch_points(scenario, largest)
    needs = grid.device_bytes(scenario, contexts[None, :], batches[:, None])
    pool = scenario.kv_pool
    of = "device memory that may be used" if pool is None else f"KV pool of {format_bytes(pool)}"
    marks = (
        HeatMap(
            "used", floats(contexts), floats(batches), floats(100 * grid.used(scenario, needs)), contours=(50.0, 100.0)
        ),
        Scatter("the scenario", floats([scenario.context]), floats([scenario.batch])),
    )
    panel = Panel(f"share of the {of}", CONTEXT, BATCH, marks, z=Axis("used", "%", "log10"))
    notes = (f"100 % is {format_bytes(pool or budget(scenario))} per device.", *caveats(scenario))
    return Figure(*MEMORY_MAP, (panel,), notes)


def speed_map(scenario: Scenario, longest: int | None = None, largest: int | None = None) -> Figure:
    """Expected tokens per second over context and batch, where they fit, and the line of what fits."""
    contexts, batches = context_points(scenario, longest), batch_points(scenario, largest)
    wide, many = contexts[None, :], batches[:, None]
    rates = grid.decode(scenario, wide, many)
    held = grid.fits(scenario, grid.device_bytes(scenario, wide, many), np.array(budget(scenario)))
    middle = np.where(held, (rates.low_tokens + rates.high_tokens) / 2, np.nan)
    most = grid.most_sequences(scenario, contexts)
    frontier = np.where((most >= 1) & (most <= batches[-1]), most, np.nan)
    marks = (
        HeatMap("tokens/s", floats(contexts), floats(batches), floats(middle)),
        Line(FULL, floats(contexts), floats(frontier)),
        Scatter("the scenario", floats([scenario.context]), floats([scenario.batch])),
    )
    panel = Panel(
        "tokens per second, all sequences together", CONTEXT, BATCH, marks, z=Axis("throughput", "tokens/s", "log10")
    )
    notes = ["The middle of the roofline's band; blank where it does not fit.", *caveats(scenario)]
    if not held.any():
        notes.insert(0, "Nothing fits: not one sequence of the shortest context.")
    if np.isnan(rates.low_tokens).all():
        notes.insert(0, "No speed: the active weights, or the link between devices, are unknown.")
    return Figure(*SPEED_MAP, (panel,), tuple(notes))


def layer_kinds(scenario: Scenario, contexts: tuple[int, ...] = (8_192, 32_768, 131_072)) -> Figure:
    """Cache bytes of one sequence by kind of layer, at the scenario's context and at ``contexts``."""
    kinds: dict[str, list[tuple[Cache, int]]] = {}
    for cache, count in scenario.model.caches:
        kinds.setdefault(cache.kind, []).append((cache, count))
    held = {kind: sum(count for _, count in caches) for kind, caches in kinds.items()}
    wanted = sorted({*contexts, scenario.context})
    bars = tuple(
        Bars(
            f"{format_tokens(context)} tokens",
            floats([sum(n * kept_bytes(one, context, scenario.kv) for one, n in caches) for caches in kinds.values()]),
        )
        for context in wanted
    )
    labels = tuple(f"{count} {kind.replace('_', ' ')}" for kind, count in held.items())
    panel = Panel(
        f"{plain(scenario.model.name)}, {scenario.kv_dtype}",
        Axis("kind of layer"),
        Axis("cache of one sequence", ticks="bytes"),
        bars if labels else (),
        categories=labels,
    )
    notes = () if labels else ("This model caches nothing.",)
    return Figure(*LAYER_KINDS, (panel,), notes)


def parts(scenarios: Scenarios) -> Figure:
    """What the memory of the most loaded device is for: its parts one after the other, against what it has."""
    first = scenarios[0]
    found, notes = each(scenarios, lambda one: device_parts(one, one.context, one.batch))
    shown = {part: name for part, name in PART_NAMES.items() if any(getattr(s, part) for s in found.values())}
    alone = next(iter(found.values())) if len(found) == 1 else None
    bars = tuple(
        Bars(
            name if alone is None else f"{name} {format_bytes(getattr(alone, part))}",
            floats([getattr(sizes, part) for sizes in found.values()]),
        )
        for part, name in shown.items()
    )
    totals = tuple(f"{name}: {format_bytes(sizes.total)} in all." for name, sizes in found.items())
    panel = Panel(
        f"{format_tokens(first.context)} tokens, batch {first.batch:,}",
        Axis("model"),
        Axis("memory of the fullest device", ticks="bytes"),
        bars,
        rules=(memory_rule(first),),
        categories=tuple(found),
        stacked=True,
    )
    return Figure(*PARTS, (panel,), (*totals, *notes))


def catalogue(scenario: Scenario) -> Figure:
    """KV bytes per token against weights, for every model of the catalogue, in the scenario's KV format."""
    points: dict[str, list[tuple[ModelSpec, int]]] = {}
    left_out = []
    for model in all_models():
        try:
            size = model.bytes_per_token(scenario.kv)
        except InputError:
            size = 0
        if size and model.parameters is not None:
            points.setdefault(_family(model), []).append((model, size))
        else:
            left_out.append(plain(model.name))
    marks = [_models(family, points[family]) for family in sorted(points)]
    own = scenario.model
    if own.parameters is not None and own.bytes_per_token(scenario.kv):
        marks.append(_models("the scenario's model", [(own, own.bytes_per_token(scenario.kv))]))
    panel = Panel(
        f"in {scenario.kv_dtype}, what grows without bound",
        Axis("weights", "billion parameters", "log10"),
        Axis("KV cache per token", scale="log2", ticks="bytes"),
        tuple(marks),
    )
    notes = []
    if left_out:
        shown = ", ".join(left_out[:6]) + (f" and {len(left_out) - 6} more" if len(left_out) > 6 else "")
        notes.append(f"Left out, with no cache that grows in this format or no known size: {shown}.")
    return Figure(*CATALOGUE, (panel,), tuple(notes))


def context_by_memory(scenarios: Scenarios, least_gb: float = 4.0, most_gb: float = 640.0) -> Figure:
    """The longest context that fits against the usable memory of each device, at the scenario's batch."""
    first = scenarios[0]
    sizes = budgets(int(least_gb * GB), int(most_gb * GB), POINTS)
    found, notes = each(
        scenarios, lambda one: grid.most_context(one._replace(kv_pool=None), np.array(one.batch), sizes)
    )
    lines = tuple(
        Line(name, floats(sizes), floats(np.where((most > 0) & (most < MAX_TOKENS), most, np.nan)))
        for name, most in found.items()
    )
    trained = [
        f"{name} was trained for {format_tokens(one.model.max_context)}."
        for name, one in zip(names(scenarios), scenarios, strict=True)
        if one.model.max_context is not None
    ]
    endless = [f"{name}: memory sets no bound." for name, most in found.items() if (most >= MAX_TOKENS).any()]
    panel = Panel(
        f"batch {first.batch:,}, {first.layout.devices} device{'s' if first.layout.devices > 1 else ''}",
        Axis("memory of each device", scale="log2", ticks="bytes"),
        Axis("longest context", "tokens", "log2", "tokens"),
        lines,
        rules=(*size_rules(SIZES_GB, "x"), memory_rule(first, "x")),
    )
    said = (*endless, *notes, *trained, *without_pool(first), *caveats(first))
    return Figure(*CONTEXT_MEMORY, (panel,), said)


def frontier(scenarios: Scenarios, longest: int | None = None) -> Figure:
    """The most sequences that fit together against their context: left of and below a line it fits."""
    first = scenarios[0]
    contexts = context_points(first, longest)
    found, notes = each(scenarios, lambda one: grid.most_sequences(one, contexts))
    lines = tuple(
        Line(name, floats(contexts), floats(np.where((most > 0) & (most < MAX_BATCH), most, np.nan)))
        for name, most in found.items()
    )
    none = [f"{name}: not one sequence fits." for name, most in found.items() if not (most > 0).any()]
    own = Scatter("the scenario", floats([first.context]), floats([first.batch]))
    panel = Panel(
        f"{first.layout.devices} × {plain(first.device.name)}",
        CONTEXT,
        Axis("most sequences", "sequences", "log2"),
        (*lines, own),
    )
    said = (*none, *notes, *_pool_note(first), *caveats(first))
    return Figure(*FRONTIER, (panel,), said)


def formats(scenario: Scenario) -> Figure:
    """Every KV format that the model can have: cache bytes at the scenario's workload, and the longest context."""
    sizes, contexts, labels, unusable = [], [], [], []
    alike = _by_layout()
    for form in alike:
        try:
            other = scenario._replace(kv_dtype=form, lengths=None, shared_prefix=0)
            held, longest = device_parts(other, other.context, other.batch).cache, _longest_context(other)
        except InputError as error:
            unusable.append(f"{form} ({error})")
            continue
        labels.append(form)
        sizes.append(held)
        contexts.append(longest)
    if not labels:
        raise InputError(f"kv-dtype: none can be planned: {unusable[0]}")
    heading = f"{format_tokens(scenario.context)} tokens, batch {scenario.batch:,}"
    panels = (
        Panel(
            f"cache on a device, {heading}",
            Axis("KV format"),
            Axis("KV cache and state", ticks="bytes"),
            (Bars("cache", floats(sizes)),),
            categories=tuple(labels),
        ),
        Panel(
            f"longest context, batch {scenario.batch:,}",
            Axis("KV format"),
            Axis("longest context", "tokens", ticks="tokens"),
            (Bars("longest context", floats(contexts)),),
            categories=tuple(labels),
        ),
    )
    same = "; ".join(f"{', '.join(others)} as {name}" for name in labels if (others := alike[name][1:]))
    notes = [f"As many bytes: {same}."] if same else []
    if None in contexts:
        notes.append("No bar where memory sets no bound.")
    notes += [f"Left out: {', '.join(unusable)}."] if unusable else []
    said = (*notes, "State keeps its own format.", *caveats(scenario))
    return Figure(*FORMAT_SIZES, tuple(map(largest_first, panels)), said)


def _bounded(scenario: Scenario) -> str:
    """What does not grow without bound, where there is any."""
    found = scenario.model.bounded_bytes(scenario.kv) + scenario.model.state_bytes()
    return f", at most {found:,} B that do not grow" if found else ""


def _longest_context(scenario: Scenario) -> int | None:
    return most(lambda n: fits(scenario, n, scenario.batch), MAX_TOKENS, scenario.context)


def _by_layout() -> dict[str, list[str]]:
    """The KV formats that take equally many bytes, under the first one's name."""
    alike: dict[tuple[object, ...], list[str]] = {}
    for name in KV_FORMATS:
        alike.setdefault(FORMATS[name][1:], []).append(name)
    return {same[0]: same for same in alike.values()}


def _family(model: ModelSpec) -> str:
    """What tells a model's cache apart: states, a latent, bounded layers, or K and V for all tokens and layers."""
    caches = [cache for cache, _ in model.caches]
    if any(isinstance(cache, Recurrent) for cache in caches):
        return "hybrid (states)"
    if any(isinstance(cache, Latent) for cache in caches):
        return "MLA"
    if any(cache.growth == "bounded" for cache in caches):
        return "windows"
    shared = any(isinstance(cache, Attention) and cache.kv_heads < cache.q_heads for cache in caches)
    return "GQA" if shared else "MHA"


def _models(name: str, points: list[tuple[ModelSpec, int]]) -> Scatter:
    return Scatter(
        name,
        floats([(model.parameters or 0) / 1e9 for model, _ in points]),
        floats([size for _, size in points]),
        labels=tuple(plain(model.name) for model, _ in points),
    )


def _longest(most: int, batch: int) -> str:
    if most >= MAX_TOKENS:
        return "memory sets no bound to the context"
    if most == 0:
        return f"no context fits at batch {batch:,}"
    return f"fits to {most:,} tokens at batch {batch:,}"


def _most(most: int, context: int) -> str:
    if most >= MAX_BATCH:
        return "memory sets no bound to the batch"
    if most == 0:
        return f"not one sequence of {format_tokens(context)} tokens fits"
    return f"{most:,} sequence{'s' if most > 1 else ''} of {format_tokens(context)} tokens fit"


def _pool_note(scenario: Scenario) -> list[str]:
    if scenario.kv_pool is None:
        return []
    return [f"What fits is told by the KV pool of {format_bytes(scenario.kv_pool)}, where the device has room for it."]
