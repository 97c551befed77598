"""The info panel: what the scenario holds at the film's position, and how well it uses its devices."""

from __future__ import annotations

from collections.abc import Iterator

from kvtui.canvas.cells import InkRow
from kvtui.canvas.memory.panels.text import TextBlock, clean, cut, named, pair, percent, squeeze
from kvtui.canvas.memory.view import MemoryView
from kvtui.canvas.palette import Ink
from kvtui.engine.basis.units import format_bytes, format_tokens
from kvtui.engine.saying.notices import TIGHT
from kvtui.engine.scenario.scenario import Scenario

NONE = "—"
FULL_USE, FAIR_USE = 0.8, 0.5


def info_rows(view: MemoryView, width: int, height: int | None = None) -> list[InkRow]:
    """Labels and values, the more important ones first to stay where only ``height`` rows are free."""
    return squeeze(_blocks(view, width), height)


def efficiency(share: float) -> tuple[str, Ink]:
    """A share of memory in words, and its ink: ``98.0 % tight``, ``88.0 % full``, ``63.0 % fair``, ``20.0 % low``.

    Above the whole it is what goes beyond it: 1.5 is ``50.0 % over``.
    """
    if share > 1:
        return f"{percent(share - 1)} over", Ink.BAD
    if share > TIGHT:
        return f"{percent(share)} tight", Ink.WARN
    if share > FULL_USE:
        return f"{percent(share)} full", Ink.TEXT
    return (f"{percent(share)} fair", Ink.GOLD) if share >= FAIR_USE else (f"{percent(share)} low", Ink.WARN)


def allocation_unit(scenario: Scenario) -> tuple[str, ...]:
    """What the cache is handed out in and read by, from longest to shortest words.

    FlashAttention reads square tiles (their edge is the device's, an illustration); with paged attention a tile of keys
    is at most a block.
    """
    tile, block = scenario.device.tile, scenario.block_size
    match scenario.flash_attention, scenario.paged_attention:
        case True, True:
            edges = f"{tile}×{min(tile, block)}"
            return f"{edges} tiles/page", f"{edges}/page"
        case True, False:
            return (f"{tile}×{tile} tiles",)
        case False, True:
            return f"{block} tokens/block", f"{block} tok/block"
    return ("contiguous",)


def dtypes(scenario: Scenario) -> str:
    """The formats of weights and cache; one word where they agree."""
    weights, kv = scenario.weight_dtype, scenario.kv.name
    return kv if weights == kv else f"{weights} · KV {kv}"


def _blocks(view: MemoryView, width: int) -> Iterator[TextBlock]:
    scenario, parts, plan = view.scenario, view.total_parts, view.plan
    limit = (f"{scenario.context:,}", format_tokens(scenario.context))
    yield 1, [named("model", scenario.model.name, width)]
    yield 0, [pair("context", [f"{view.tokens:,} / {most}" for most in limit], width)]
    yield 8, [pair("alloc unit", allocation_unit(scenario), width)]
    yield 0, [pair("total", (format_bytes(parts.total),), width, Ink.GOOD if view.utilization <= 1 else Ink.BAD)]
    if view.saved_bytes:
        without = parts.total + view.saved_bytes
        yield 7, [pair("  without FA", (format_bytes(without),), width, Ink.SAVED)]
    yield 2, [pair("weights", (NONE if scenario.skip_weights else format_bytes(parts.weights),), width, Ink.WEIGHTS)]
    if plan.serving is not None and plan.serving.ram is not None:
        yield 2, [pair("  in RAM", (format_bytes(plan.serving.ram.total),), width, Ink.WEIGHTS)]
    yield 2, [pair("KV cache", (format_bytes(parts.kv),), width, Ink.KV)]
    yield 5, [pair("state", (format_bytes(parts.state) if parts.state else NONE,), width, Ink.STATE)]
    if parts.reserved_unused:
        label = "padding" if scenario.paged_attention else "reserved, unused"
        yield 5, [pair(label, (format_bytes(parts.reserved_unused),), width, Ink.DIM)]
    if parts.pool_free:
        yield 5, [pair("rest of the pool", (format_bytes(parts.pool_free),), width, Ink.DIM)]
    yield 9, [pair("activations", (f"≈ {format_bytes(parts.activation)}",), width, Ink.ACTIVATION)]
    yield 10, [pair("overhead", (f"≈ {format_bytes(parts.overhead)}",), width, Ink.ACTIVATION)]
    if view.saved_bytes:
        share = view.saved_bytes / (parts.total + view.saved_bytes)
        saved = format_bytes(view.saved_bytes)
        yield 6, [pair("saved by FA", (f"{saved} · {percent(share)}", saved), width, Ink.SAVED)]
    if view.scenario.model.what_if:
        size = format_bytes(abs(view.freed_bytes))
        yield 1, [pair("freed, what if", (size if view.freed_bytes >= 0 else f"−{size}",), width, Ink.KV)]
    yield 4, [named("devices", f"{plan.devices:,} × {clean(scenario.device.name)}", width)]
    if not plan.fits:
        missing = "no split fits" if scenario.kv_pool is None or plan.crowded else "a larger pool"
        needed = missing if plan.devices_needed is None else f"{plan.devices_needed:,}"
        yield 3, [pair("  needed", (needed,), width, Ink.WARN)]
    words, ink = efficiency(view.utilization)
    yield 3, [pair("efficiency", (words,), width, ink)]
    yield 6, [pair("sequences", _sequences(view), width)]
    yield 8, [pair("bytes per token", _token_bytes(scenario), width)]
    yield 7, [pair("dtype", (dtypes(scenario), cut(dtypes(scenario), width - 6)), width)]


def _sequences(view: MemoryView) -> tuple[str, ...]:
    batch, used = f"{view.scenario.batch:,}", percent(view.used_share)
    if view.scenario.paged_attention:
        return f"{batch} padded · {used} used", f"{batch} (padded)", batch
    if view.scenario.continuous_batching:
        return f"{batch} (variable)", batch
    return f"{batch} static · {used} used", f"{batch} · {used} used", f"{batch} (static)", batch


def _token_bytes(scenario: Scenario) -> tuple[str, ...]:
    model, kv = scenario.model, scenario.kv
    growing, indexer = model.bytes_per_token(kv), model.bytes_per_token(kv, "indexer")
    total = f"{growing + indexer:,}"
    return (f"{growing:,} + {indexer:,} idx", total) if indexer else (total,)
