"""llama.cpp: what its server allocates for a context, device by device, and what it lists at the start.

``Scenario.context`` is what ``-c`` is given: the tokens of all server slots together. Left to itself a server has four
slots that share one cache; ``--parallel N`` gives each of N slots its own N-th of it. Layers are dealt out to the
devices, as ``--split-mode layer`` does, and no tensor is split.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import NamedTuple

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import format_bytes
from kvtui.engine.engines.result import Buffer, Serving
from kvtui.engine.model.caches import Attention, Indexer, Latent
from kvtui.engine.model.formats import FORMATS
from kvtui.engine.model.spec import LayerCounts, count_layers
from kvtui.engine.planning.search import context_limit, longest, most
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.drafter import draft_layers
from kvtui.engine.serving.llamacpp.budget import FIT_MARGIN_BYTES, compute_bytes, device_budget
from kvtui.engine.serving.llamacpp.buffers import (
    EntryStorage,
    Split,
    buffers,
    check_heads,
    split,
    state_bytes,
    widest_value,
)
from kvtui.engine.serving.llamacpp.releases import Build, build_of

MAX_SLOTS = 256
DRAFT_FORMAT = FORMATS["fp16"]


class Stretch(NamedTuple):
    """Layers of one context on one device, how their entries are stored, and how the log names their buffers."""

    layers: LayerCounts
    rows: EntryStorage
    prefix: str = ""


class DevicePart(NamedTuple):
    """What one device has of the model and its MTP layers, and its share of all blocks with the output layer."""

    stretches: tuple[Stretch, ...]
    share: Fraction

    def buffers(self, cells: Split) -> tuple[Buffer, ...]:
        """The device's buffers."""
        return tuple(
            buffer for layers, rows, prefix in self.stretches for buffer in buffers(layers, cells, rows, prefix)
        )

    def needed(self, cells: Split) -> int:
        """Bytes of the device's buffers."""
        return sum(buffer.bytes for buffer in self.buffers(cells))


def serve(scenario: Scenario) -> Serving:
    """What llama.cpp allocates for ``scenario``, on the device that has the least room to spare.

    Raises InputError for a model whose layers or head sizes it cannot cache, and when weights that matter are unknown.
    """
    _check(scenario)
    build, parallel = build_of(scenario.serving.version), scenario.serving.parallel
    parts = _parts(scenario)
    pools = [_pool(scenario, part) for part in parts]

    def divided(context: int, slots: int | None) -> Split:
        given = slots or build.slots
        return split(context, given, slots is None, build, scenario.serving.ubatch, scenario.serving.swa_full)

    def fits(context: int, slots: int | None) -> bool:
        cells = divided(context, slots)
        return all(part.needed(cells) <= pool for part, pool in zip(parts, pools, strict=True))

    now = divided(scenario.context, parallel)
    needs = [part.needed(now) for part in parts]
    tightest = min(range(len(parts)), key=lambda i: pools[i] - needs[i])
    context = longest(lambda tokens: fits(tokens, parallel), scenario.context)
    whole = divided(scenario.context, 1).cells
    sequences = most(lambda slots: fits(slots * whole, slots), MAX_SLOTS)
    recurrent = any(cache.growth == "state" for cache, _ in scenario.model.caches)
    memory = "kv pool" if scenario.kv_pool is not None else "device memory"
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
        buffers=_listed(parts, now),
        state_bytes_per_slot=_state_per_slot(parts[tightest]) if recurrent else None,
        state_slots=now.slots if recurrent else None,
        notes=_notes(scenario, build, now, context, needs[tightest] <= pools[tightest]),
    )


def _check(scenario: Scenario) -> None:
    kv = scenario.kv
    if kv.block > 1 and not scenario.flash_attention:
        raise InputError(f"kv-dtype: llama.cpp stores V as {kv.name} only with FlashAttention (--fa)")
    if (scenario.serving.parallel or 1) > MAX_SLOTS:
        raise InputError(f"parallel: llama.cpp has at most {MAX_SLOTS} slots, not {scenario.serving.parallel:,}")
    check_heads(scenario.model, kv)


def _parts(scenario: Scenario) -> tuple[DevicePart, ...]:
    """The scenario's devices, in order: device k of n has the layers i with ⌊i · n / layers⌋ = k.

    The output layer counts as one more behind the last, as in llama.cpp's ``load_tensors`` when all devices have the
    same free memory; the last device has the MTP layers. ``--pp-partition`` gives the layers of each device instead.
    Devices without a layer are left out. The MTP context stores F16 whatever ``-ctk`` says, and keeps one state.
    """
    model, partition = scenario.model, scenario.serving.partition
    draft = draft_layers(scenario)
    blocks = model.layers + draft
    devices = len(partition) if partition else scenario.layout.tp * scenario.layout.pp
    if partition:
        owner = [device for device, count in enumerate(partition) for _ in range(count)]
        owner += [devices - 1] * (len(draft) + 1)
    else:
        owner = [i * devices // (len(blocks) + 1) for i in range(len(blocks) + 1)]
    widest = 0 if scenario.flash_attention else widest_value(model)
    own, other = EntryStorage(scenario.kv, widest, 1 + scenario.speculative_tokens), EntryStorage(DRAFT_FORMAT, widest)
    trunk = len(model.layers)
    parts = []
    for device in dict.fromkeys(owner):
        held = [i for i, at in enumerate(owner) if at == device]
        layers = count_layers(blocks[i] for i in held if i < trunk)
        extra = count_layers(blocks[i] for i in held if trunk <= i < len(blocks))
        stretches = (Stretch(layers, own), Stretch(extra, other, "MTP "))
        parts.append(DevicePart(stretches, Fraction(len(held), len(owner))))
    return tuple(parts)


def _pool(scenario: Scenario, part: DevicePart) -> int:
    """Bytes for the caches of a device: those given, or what its budget leaves."""
    return max(0, device_budget(scenario, part.share).pool) if scenario.kv_pool is None else scenario.kv_pool


def _listed(parts: tuple[DevicePart, ...], cells: Split) -> tuple[Buffer, ...]:
    """The buffers of all devices; with several of them each name says which."""
    if len(parts) == 1:
        return parts[0].buffers(cells)
    return tuple(
        buffer._replace(name=f"{buffer.name}, device {device}")
        for device, part in enumerate(parts)
        for buffer in part.buffers(cells)
    )


def _bytes_per_token(part: DevicePart, swa_full: bool) -> int:
    """Bytes that one more cell takes on a device, in layers that keep every token; compressed entries rounded up."""
    total = Fraction()
    for layers, rows, _ in part.stretches:
        for layer, count in layers:
            for cache in layer.caches:
                match cache:
                    case Attention() | Latent() | Indexer() if swa_full or cache.growth != "bounded":
                        total += Fraction(count * rows.cell(cache), cache.ratio)
    return ceil(total)


def _state_per_slot(part: DevicePart) -> int:
    return sum(state_bytes(layers, rows.states) for layers, rows, _ in part.stretches)


def _notes(scenario: Scenario, build: Build, cells: Split, most_context: int | None, fits: bool) -> tuple[str, ...]:
    serving, layout = scenario.serving, scenario.layout
    notes = []
    if cells.streams > 1:
        notes.append(f"-c {scenario.context:,} is divided: each of {cells.slots} slots has {cells.cells:,} cells")
    elif cells.slots > 1:
        notes.append(f"{cells.slots} slots share the {cells.cells:,} cells of -c {scenario.context:,}")
    if layout.tp > 1:
        notes.append(f"layers are dealt out to {layout.tp * layout.pp} devices (--split-mode layer); none is split")
    if build.padding == 32:
        notes.append("builds before b6325 pad caches to 32 cells, or with -fa to 256")
    if scenario.speculative_tokens:
        notes.append("the MTP context has a cache of its own, in f16 unless -ctkd and -ctvd say otherwise")
    if serving.swa_full:
        notes.append("--swa-full: windowed layers keep the whole context")
    if scenario.kv_pool is None:
        prior = "measured" if scenario.measured else "a prior"
        notes.append(
            f"free memory is an estimate: the compute buffer of {format_bytes(compute_bytes(scenario))} is {prior}, "
            f"and {format_bytes(FIT_MARGIN_BYTES)} stay free"
        )
    if not fits:
        notes.append(f"--fit would lower the context to {most_context or 0:,} tokens, or move layers to the CPU")
    return tuple(notes)
