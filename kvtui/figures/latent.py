"""What a latent (MLA) trades: its size against heads, context, depth and work, for shapes of one family.

Bytes and operations are the planner's own for a benchmark shape (``bench.predict``). A latent of ``latent`` elements
with ``rope`` rotary ones caches as much as 2 × KV heads × head elements do when latent = 2 × KV heads × head − rope.
"""

from __future__ import annotations

from dataclasses import replace

from kvtui.cases.case import Case, TransformerShape
from kvtui.cases.prediction import kv_format, step_flops
from kvtui.engine.basis.units import format_tokens
from kvtui.figures.family import ATTENTIONS, ShapeFamily, member, millions, spec, token_bytes, token_elements, widths
from kvtui.figures.figure import Axis, Bars, Cloud, Figure, Line, Panel, Rule, Scatter, Surface, floats
from kvtui.figures.scenarios import CONTEXT, doublings, size_rules

CACHE_DEPTH = ("cache-depth", "Cache by size and depth", "What do width and depth cost?")
LATENT_DIAL = ("latent-dial", "The latent's size", "How large may a latent be before it caches more than heads do?")
LATENT_WORK = ("latent-work", "Work against cache", "What work does a smaller cache cost?")
LATENT_SURFACE = ("latent-surface", "Latent by context", "How long a context does a latent allow?")
DECOUPLING = ("decoupling", "Cache against model size", "Must a larger model cache more?")
LATENT_DEPTH = ("latent-depth", "Latent by depth", "Spend memory on layers or on the latent?")

LATENTS = (32, 48, 64, 80, 96, 112, 128, 160, 192, 256)
DEPTHS = (4, 8, 12, 16, 24, 32)
DEPTH_CONTEXTS = (512, 4096, 32_768, 131_072)
REFERENCES = ("MHA", "GQA", "MQA")
PARAMETERS = Axis("weights", "million parameters", "log10")
LATENT = Axis("latent", "elements")
CACHE = Axis("KV cache", ticks="bytes")
WIDTH = Axis("cached per token and layer", "elements")


def dial(
    dim: int = 256,
    blocks: int = 12,
    head_dim: int = 32,
    queries: int = 4,
    rope: int = 16,
    context: int = 512,
    dtype: str = "fp32",
    latents: tuple[int, ...] = LATENTS,
) -> Figure:
    """Cache bytes of one sequence against the latent's size, and where it caches as much as MHA, GQA and MQA do."""
    family = ShapeFamily(blocks, head_dim, queries, rope=rope, dtype=dtype)
    references = {name: member(family, dim, name) for name in REFERENCES}
    crossings = {name: token_elements(shape) - rope for name, shape in references.items()}
    sizes = floats([token_bytes(member(family, dim, "MLA", latent)) for latent in latents])
    ends = floats([min(latents), max(latents)])
    marks = [Line("MLA", floats(latents), context * sizes, points=True)]
    marks += [
        Line(name, ends, floats([context * token_bytes(shape)] * 2), dash="dashed")
        for name, shape in references.items()
    ]
    rules = tuple(
        Rule("x", float(latent), f"{latent} = {name}")
        for name, latent in crossings.items()
        if min(latents) <= latent <= max(latents)
    )
    notes = [
        f"MLA caches as much as {name} at a latent of {latent}"
        + (f" ({token_elements(references[name])} elements less {rope} rotary)." if latent > 0 else ": never less.")
        for name, latent in crossings.items()
    ]
    panel = Panel(f"{_words(dim, family)}, {format_tokens(context)} tokens", LATENT, CACHE, tuple(marks), rules=rules)
    return Figure(
        *LATENT_DIAL,
        (panel,),
        (*notes, "What a smaller latent costs in quality is not in this figure; runs with a validation loss show it."),
    )


def depths(
    head_dim: int = 32,
    queries: int = 4,
    latent: int = 64,
    rope: int = 16,
    context: int = 512,
    dtype: str = "fp32",
    blocks: tuple[int, ...] = (8, 12, 16),
    dim: int = 256,
) -> Figure:
    """Cache bytes of one sequence against weights over the family's widths, and by depth at width ``dim``."""
    middle = ShapeFamily(blocks[len(blocks) // 2], head_dim, queries, latent, rope, dtype=dtype)
    lines = []
    for attention in ATTENTIONS:
        shapes = [member(middle, width, attention) for width in widths(middle)]
        lines.append(
            Line(
                attention,
                floats([millions(shape) for shape in shapes]),
                floats([context * token_bytes(shape) for shape in shapes]),
                points=True,
            )
        )
    bars = tuple(
        Bars(
            attention,
            floats([context * token_bytes(member(middle._replace(blocks=n), dim, attention)) for n in blocks]),
        )
        for attention in ATTENTIONS
    )
    panels = (
        Panel(
            f"{middle.blocks} layers, {format_tokens(context)} tokens",
            PARAMETERS,
            Axis("KV cache", scale="log2", ticks="bytes"),
            tuple(lines),
        ),
        Panel(
            f"{dim} wide, {format_tokens(context)} tokens",
            Axis("layers"),
            CACHE,
            bars,
            categories=tuple(f"{n} layers" for n in blocks),
        ),
    )
    return Figure(
        *CACHE_DEPTH,
        panels,
        (f"One sequence in {dtype}, heads of {head_dim}, GQA {queries}:1, latent {latent} + {rope}.",),
    )


def work(
    dim: int = 256,
    blocks: int = 12,
    head_dim: int = 32,
    queries: int = 4,
    latent: int = 96,
    rope: int = 24,
    context: int = 256,
    dtype: str = "fp32",
) -> Figure:
    """Operations of one decode step against cache bytes: heads, and the ways to work with a latent.

    Absorbed attention works on the latents themselves; expanded attention makes keys and values of all of them anew.
    """
    family = ShapeFamily(blocks, head_dim, queries, latent, rope, dtype=dtype)
    marks = [_worked(attention, member(family, dim, attention), context, 0) for attention in REFERENCES]
    shape = member(family, dim, "MLA")
    ways = {
        "MLA, absorbed": 0,
        "MLA, absorbing the weights at each step": absorbing_flops(shape),
        "MLA, expanded": expanded_flops(shape, context) - absorbed_flops(shape, context),
    }
    marks += [_worked(name, shape, context, extra) for name, extra in ways.items()]
    base = _step_flops(member(family, dim, "MHA"), context)
    absorbed = _step_flops(shape, context)
    notes = (
        *(
            f"{name}: {(absorbed + extra) / 1e6:,.1f} MFLOPs, {(absorbed + extra) / base:.2f} × MHA's "
            f"{base / 1e6:,.1f}."
            for name, extra in ways.items()
        ),
        (
            "Multiplying the weights with each other at each step, as a published figure has it, is what makes MLA "
            "nine times as much work there; they can be left apart, or multiplied once."
        ),
        "Two operations per multiply-accumulate, from the weights and the cache; not XLA's count.",
    )
    panel = Panel(
        f"{_words(dim, family)}, latent {latent} + {rope}, one step at {format_tokens(context)} tokens",
        Axis("KV cache", scale="log2", ticks="bytes"),
        Axis("decode step", "FLOPs", "log10"),
        tuple(marks),
    )
    return Figure(*LATENT_WORK, (panel,), notes)


def by_context(
    dim: int = 512,
    blocks: int = 12,
    head_dim: int = 32,
    queries: int = 4,
    rope: int = 16,
    batch: int = 8,
    dtype: str = "fp32",
    longest: int = 131_072,
    latents: tuple[int, ...] = LATENTS,
) -> Figure:
    """Cache bytes of ``batch`` sequences over the latent's size and context, with GQA and MHA of the same shape."""
    family = ShapeFamily(blocks, head_dim, queries, rope=rope, dtype=dtype)
    contexts = doublings(512, longest)
    across = floats(latents)
    rows = {"MLA": floats([token_bytes(member(family, dim, "MLA", latent)) for latent in latents])}
    for name in ("GQA", "MHA"):
        rows[name] = floats([token_bytes(member(family, dim, name))] * len(latents))
    sheets = tuple(
        Surface(name, across, floats(contexts), batch * floats(contexts)[:, None] * sizes[None, :], floor=name == "MLA")
        for name, sizes in rows.items()
    )
    highest = max(float(sheet.z.max()) for sheet in sheets)
    planes = tuple(rule for rule in size_rules((24.0, 80.0), "z") if rule.value <= 2 * highest)
    shapes = [member(family, dim, "MLA", latent) for latent in latents]
    panels = (
        Panel(f"{_words(dim, family)}, batch {batch:,}", LATENT, CONTEXT, sheets, z=CACHE, rules=planes),
        Panel(
            "per token and layer",
            LATENT,
            WIDTH,
            (
                Line("MLA", across, floats([token_elements(shape) for shape in shapes]), points=True),
                *(
                    Line(
                        name, across, floats([token_elements(member(family, dim, name))] * len(latents)), dash="dashed"
                    )
                    for name in ("GQA", "MHA")
                ),
            ),
        ),
    )
    notes = (
        f"What is cached per token and layer is latent + {rope}: a line of slope 1, exactly.",
        "Planes at 24 and 80 GB where a cache reaches half of them.",
    )
    return Figure(*LATENT_SURFACE, panels, notes)


def decoupling(
    blocks: int = 12,
    head_dim: int = 32,
    queries: int = 4,
    rope: int = 16,
    context: int = 512,
    dtype: str = "fp32",
    latents: tuple[int, ...] = (32, 64, 128, 256),
) -> Figure:
    """What is cached per token and layer against weights: grows with the width for heads, is the same for a latent."""
    family = ShapeFamily(blocks, head_dim, queries, rope=rope, dtype=dtype)
    kinds: dict[str, list[TransformerShape]] = {
        name: [member(family, width, name) for width in widths(family)] for name in ("MHA", "GQA")
    }
    kinds |= {f"MLA {latent}": [member(family, width, "MLA", latent) for width in widths(family)] for latent in latents}
    clouds, lines = [], []
    for name, shapes in kinds.items():
        sizes = floats([millions(shape) for shape in shapes])
        elements = floats([token_elements(shape) for shape in shapes])
        held = floats([context * token_bytes(shape) for shape in shapes])
        clouds.append(Cloud(name, sizes, elements, held, sizes))
        lines.append(Line(name, sizes, elements, points=True))
    title = f"{blocks} layers, {format_tokens(context)} tokens, {dtype}"
    panels = (
        Panel(title, PARAMETERS, WIDTH, tuple(clouds), z=CACHE),
        Panel("per token and layer", PARAMETERS, Axis(WIDTH.label, WIDTH.unit, "log2"), tuple(lines)),
    )
    note = (
        (
            "A latent is level because its size is chosen apart from the width; a model that widens it with the width "
            "is not. Weights differ between variants of one width."
        ),
    )
    return Figure(*DECOUPLING, panels, note)


def by_depth(
    dim: int = 512,
    head_dim: int = 32,
    queries: int = 4,
    rope: int = 16,
    batch: int = 1,
    dtype: str = "fp32",
    contexts: tuple[int, ...] = DEPTH_CONTEXTS,
    latents: tuple[int, ...] = LATENTS,
) -> Figure:
    """Cache bytes over the latent's size and the number of layers, one panel for each of ``contexts``."""
    family = ShapeFamily(1, head_dim, queries, rope=rope, dtype=dtype)
    layers = floats(DEPTHS)
    sizes = floats([token_bytes(member(family, dim, "MLA", latent)) for latent in latents])
    shared = floats([token_bytes(member(family, dim, "GQA"))] * len(latents))
    panels = []
    for context in contexts:
        tokens = float(batch * context) * layers[:, None]
        panels.append(
            Panel(
                f"{format_tokens(context)} tokens",
                LATENT,
                Axis("layers"),
                (
                    Surface("MLA", floats(latents), layers, tokens * sizes[None, :], floor=True),
                    Surface("GQA", floats(latents), layers, tokens * shared[None, :]),
                ),
                z=CACHE,
            )
        )
    note = f"{dim} wide, heads of {head_dim}, GQA {queries}:1, {rope} rotary elements, batch {batch}, {dtype}."
    return Figure(*LATENT_DEPTH, tuple(panels), (note,))


def absorbed_flops(shape: TransformerShape, context: int) -> int:
    """Operations of one step's attention over ``context`` cached latents, all layers, on the latents themselves.

    Queries go into the latent's space and outputs come back: 2·heads·latent·(head + head); scores and sums over the
    latents: 2·heads·context·(2·latent + rope) (DeepSeek-V2, arXiv:2405.04434).
    """
    around = 2 * shape.heads * shape.latent * 2 * shape.head_dim
    return shape.blocks * (around + 2 * context * spec(shape).layers[0].caches[0].macs_per_entry())


def expanded_flops(shape: TransformerShape, context: int) -> int:
    """The same with keys and values of every head made from all ``context`` latents at this step.

    Making them: 2·context·latent·heads·(head + head); scores and sums: 2·heads·context·(2·head + rope).
    """
    making = 2 * context * shape.latent * shape.heads * 2 * shape.head_dim
    scores = 2 * shape.heads * context * (2 * shape.head_dim + shape.rope_dim)
    return shape.blocks * (making + scores)


def absorbing_flops(shape: TransformerShape) -> int:
    """Operations to multiply the up-projections into the query and output weights, all layers: no step needs to.

    2·heads·query latent·latent·head for the queries, 2·heads·head·latent·dim for the output.
    """
    per_head = shape.query_latent * shape.latent * shape.head_dim + shape.head_dim * shape.latent * shape.dim
    return shape.blocks * 2 * shape.heads * per_head


def _step_flops(shape: TransformerShape, context: int) -> int:
    """Operations of a whole decode step whose token is the ``context``-th."""
    return step_flops(Case(replace(shape, context=context + 1), prompt=1), context - 1)


def _worked(name: str, shape: TransformerShape, context: int, extra: int) -> Scatter:
    held = context * token_bytes(shape)
    return Scatter(name, floats([held]), floats([_step_flops(shape, context) + extra]), labels=(name,))


def _words(dim: int, family: ShapeFamily) -> str:
    return f"{dim} wide, {family.blocks} layers, {kv_format(member(family, dim, 'MHA')).name}"
