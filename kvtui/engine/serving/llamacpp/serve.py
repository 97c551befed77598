"""llama.cpp: what its server allocates for a context, device by device, and what it lists at the start.

``Scenario.context`` is what ``-c`` is given: the tokens of all server slots together. Left to itself a server has four
slots that share one cache; ``--parallel N`` gives each of N slots its own N-th of it. Layers are dealt out to the
devices, as ``--split-mode layer`` does, and no tensor is split.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import ceil

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import MAX_TOKENS, format_bytes
from kvtui.engine.engines.placement import RAM, Placement
from kvtui.engine.engines.result import Buffer, Serving
from kvtui.engine.model.caches import Attention, Indexer, Latent
from kvtui.engine.planning.search import context_limit, most, most_spared
from kvtui.engine.planning.stages import stages
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.llamacpp.budget import FIT_MARGIN_BYTES, compute_bytes
from kvtui.engine.serving.llamacpp.buffers import Split, check_heads, state_bytes
from kvtui.engine.serving.llamacpp.cells import divided
from kvtui.engine.serving.llamacpp.memory import MemoryPart, memory_parts
from kvtui.engine.serving.llamacpp.placement import placement
from kvtui.engine.serving.llamacpp.room import memory_uses, pool_of, spare_bytes

MAX_SLOTS, FIRST_TOKENS = 256, 32768


def serve(scenario: Scenario) -> Serving:
    """What llama.cpp allocates for ``scenario``, on the device with a cache that has the least room to spare.

    Raises InputError for a model whose layers or head sizes it cannot cache, and when weights that matter are unknown.
    """
    check(scenario)
    parallel = scenario.serving.parallel
    placed = placement(scenario)
    every = memory_parts(scenario, placed)
    parts = tuple(part for part in every if part.number != RAM)
    now = divided(scenario, scenario.context, parallel)
    pools = [max(0, pool_of(scenario, part, now)) for part in parts]
    needs = [part.needed(now) for part in parts]
    holders = [number for number, need in enumerate(needs) if need] or range(len(parts))
    tightest = min(holders, key=lambda number: pools[number] - needs[number])

    def spare(context: int, slots: int | None) -> int:
        return spare_bytes(scenario, every, divided(scenario, context, slots))

    context = _longest(lambda tokens: spare(tokens, parallel), now.padding, scenario.serving.ubatch)
    whole = divided(scenario, scenario.context, 1).cells
    sequences = most_spared(lambda slots: spare(slots * whole, slots), MAX_SLOTS)
    recurrent = any(cache.growth == "state" for cache, _ in scenario.model.caches)
    uses = memory_uses(scenario, every, now)
    memory = "kv pool" if scenario.kv_pool is not None else "device memory"
    memory = "RAM" if any(use.missing for use in uses if use.number == RAM) else memory
    return Serving(
        engine=scenario.engine,
        version=scenario.serving.version,
        pool_bytes=pools[tightest],
        pool_is_estimate=scenario.kv_pool is None,
        needed_bytes=needs[tightest],
        bytes_per_token=_bytes_per_token(parts[tightest], now.swa_full),
        kv_cache_tokens=now.streams * now.cells,
        max_concurrency=Fraction(now.streams),
        max_context=context,
        max_context_limit=context_limit(scenario, context, memory),
        max_sequences=(MAX_SLOTS if sequences is None else sequences) * scenario.layout.dp,
        max_sequences_limit="server slots" if sequences is None else memory,
        held=_rooms(scenario, parts, now, 1),
        rooms=_rooms(scenario, parts, now, -(-scenario.batch // scenario.layout.dp)),
        buffers=_listed(every, now),
        state_bytes_per_slot=_state_per_slot(parts[tightest]) if recurrent else None,
        state_slots=now.slots if recurrent else None,
        memories=uses,
        notes=_notes(scenario, now, context, placed, needs[tightest] <= pools[tightest]),
    )


def _longest(spare: Callable[[int], int], step: int, ubatch: int) -> int | None:
    """The longest context at which ``spare`` bytes are left; None if no length is too long.

    From a physical batch of ``ubatch`` tokens on, only whole paddings of ``step`` tokens differ. The search begins at
    the same length for all scenarios, so that those alike in their graphs ask for the same ones.
    """
    found = most_spared(lambda count: spare(count * step), MAX_TOKENS // step, FIRST_TOKENS // step)
    if found is None:
        return None
    if found * step >= ubatch:
        return found * step
    bound = (found + 1) * step - 1
    within = most(lambda tokens: tokens == 0 or spare(tokens) >= 0, bound, max(1, found * step))
    return bound if within is None else within


def _rooms(scenario: Scenario, parts: tuple[MemoryPart, ...], now: Split, slots: int) -> tuple[int, ...]:
    """Bytes of the buffers of each stage's devices; for several sequences those of a slot for each of ``slots``."""
    whole = divided(scenario, scenario.context, 1).cells
    cells = now if slots == 1 else divided(scenario, slots * whole, slots)
    sizes = {part.number: max(part.needed(now), part.needed(cells)) for part in parts}
    if scenario.layout.tp == 1:
        return tuple(sizes.get(number, 0) for number in range(len(stages(scenario))))
    return (max(sizes.values(), default=0),) * scenario.layout.pp


def check(scenario: Scenario) -> None:
    """Raises InputError for what llama.cpp refuses: quantised V without FlashAttention, too many slots, odd heads."""
    kv = scenario.kv
    if kv.v.block > 1 and not scenario.flash_attention:
        raise InputError(f"kv-dtype: llama.cpp stores V as {kv.v.name} only with FlashAttention (--fa)")
    if (scenario.serving.parallel or 1) > MAX_SLOTS:
        raise InputError(f"parallel: llama.cpp has at most {MAX_SLOTS} slots, not {scenario.serving.parallel:,}")
    check_heads(scenario.model, kv)


def _listed(parts: tuple[MemoryPart, ...], cells: Split) -> tuple[Buffer, ...]:
    """The buffers of all memories; with several of them each name says which."""
    caching = [part for part in parts if any(layers for layers, _, _ in part.stretches)]
    if len(caching) == 1 and caching[0].number != RAM:
        return caching[0].buffers(cells)
    return tuple(
        buffer._replace(name=f"{buffer.name}, {'RAM' if part.number == RAM else f'device {part.number}'}")
        for part in caching
        for buffer in part.buffers(cells)
    )


def _bytes_per_token(part: MemoryPart, swa_full: bool) -> int:
    """Bytes that one more cell takes on a device, in layers that keep every token; compressed entries rounded up."""
    total = Fraction()
    for layers, rows, _ in part.stretches:
        for layer, count in layers:
            for cache in layer.caches:
                match cache:
                    case Attention() | Latent() | Indexer() if swa_full or cache.growth != "bounded":
                        total += Fraction(count * rows.cell(cache), cache.ratio)
    return ceil(total)


def _state_per_slot(part: MemoryPart) -> int:
    return sum(state_bytes(layers, rows.states) for layers, rows, _ in part.stretches)


def _notes(
    scenario: Scenario, cells: Split, most_context: int | None, placed: Placement, fits: bool
) -> tuple[str, ...]:
    serving, layout = scenario.serving, scenario.layout
    notes = []
    if cells.streams > 1:
        notes.append(f"-c {scenario.context:,} is divided: each of {cells.slots} slots has {cells.cells:,} cells")
    elif cells.slots > 1:
        notes.append(f"{cells.slots} slots share the {cells.cells:,} cells of -c {scenario.context:,}")
    if layout.tp > 1:
        notes.append(f"layers are dealt out to {layout.tp * layout.pp} devices (--split-mode layer); none is split")
    if not placed.whole:
        notes.append(_placed_words(placed))
    if scenario.speculative_tokens:
        notes.append("the MTP context has a cache of its own, in f16 unless -ctkd and -ctvd say otherwise")
    if serving.swa_full:
        notes.append("--swa-full: windowed layers keep the whole context")
    if not placed.whole and serving.cache_ram is None:
        notes.append("llama-server keeps finished prompts in up to 8 GiB of RAM more (--cache-ram)")
    if scenario.kv_pool is None:
        prior = "measured" if scenario.measured else "a prior"
        notes.append(
            f"free memory is an estimate: the compute buffer of {format_bytes(compute_bytes(scenario))} is {prior}, "
            f"and {format_bytes(FIT_MARGIN_BYTES)} stay free"
        )
    if not fits:
        notes.append(f"--fit would lower the context to {most_context or 0:,} tokens, or move layers to the CPU")
    return tuple(notes)


def _placed_words(placed: Placement) -> str:
    """What is not on the devices, in words."""
    layers = len(placed.owners)
    words = [f"{placed.gpu_layers} of {layers + 1} layers are on the devices (-ngl {placed.gpu_layers})"]
    if placed.cpu_moe:
        words.append(f"the experts of {placed.cpu_moe} layers in RAM (--n-cpu-moe {placed.cpu_moe})")
    if not placed.kv_offload:
        words.append("all caches in RAM (--no-kv-offload)")
    return ", ".join(words)
