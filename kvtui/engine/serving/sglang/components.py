"""SGLang's boot log beside the prediction: tokens and state slots, and the pools of as many as the log says."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import ceil

from kvtui.engine.basis.units import MAX_BYTES
from kvtui.engine.bootlog.observed import BootLog, LoggedBuffer, Size
from kvtui.engine.engines.overheads import Overheads
from kvtui.engine.engines.result import Serving
from kvtui.engine.planning.search import most
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.comparison import (
    BUFFER_APART,
    ComparedLog,
    Component,
    counted,
    exact_size,
    held_weights,
    printed_bytes,
    reach,
    weights_beside,
)
from kvtui.engine.serving.sglang.budget import static_share
from kvtui.engine.serving.sglang.serve import DUMMY_SLOTS, serve

POOL_APART = "the engine kept memory back besides, or was given the number of tokens or slots"


def compare(log: BootLog, scenario: Scenario, known_device: bool) -> ComparedLog:
    """The components of ``log`` under ``scenario``; ``known_device`` says whether its device is more than a default.

    Raises InputError when SGLang cannot serve the scenario, or the weights are unknown where they matter.
    """
    rest = _rest(log, scenario)
    half = 0
    if scenario.kv_pool is None and rest is not None:
        scenario, half = scenario._replace(kv_pool=max(1, rest.bytes)), rest.half
    elif scenario.kv_pool is None and log.buffers:
        pools = [buffer.size.bytes for buffer in log.buffers if buffer.rank == log.buffers[0].rank]
        scenario = scenario._replace(kv_pool=max(1, sum(pools)))
    found = reach(scenario, half)
    page = scenario.block_size
    rows = [
        *counted("kv_cache_tokens", "tokens", "tokens", found, log, POOL_APART, exact=False),
        *counted("state_slots", "slots of recurrent state", "slots", found, log, POOL_APART, exact=False),
        *_pool("pool", "KV cache of the logged tokens", ("KV pool", "indexer pool"), page, log, found.at),
        *_pool("swa_pool", "windowed KV cache of its tokens", ("SWA pool",), page, log, found.at),
        *_pool("conv", "conv state of the logged slots", ("mamba pool (conv)",), DUMMY_SLOTS, log, found.at),
        *_pool("ssm", "recurrent state of the logged slots", ("mamba pool (ssm)",), DUMMY_SLOTS, log, found.at),
        *weights_beside(held_weights(scenario), log.most("weights")),
    ]
    measured = Overheads("", printed_bytes(log.most("weights")), graphs=printed_bytes(log.most("graphs")))
    if known_device:
        measured = measured._replace(non_torch=_outside(log, scenario, found.at))
    notes = () if rest is not None else ("the log does not say what was free before and after loading the weights",)
    return ComparedLog(found.at, tuple(rows), measured, notes)


def _outside(log: BootLog, scenario: Scenario, found: Serving) -> int | None:
    """Outside of torch what makes a plan of the same start have the log's tokens.

    What is free before loading is the device less that; a share of it holds the weights and the pools. Where the log
    does not say the tokens, it is what was not free. None where nothing tells, or the device is too small.
    """
    tokens, weights, before = log.counts.get("kv_cache_tokens"), log.most("weights"), log.least("free_before")
    pool = None if tokens is None else _pool_of(tokens, scenario, found.pool_bytes)
    if pool is None or weights is None:
        return None if before is None else max(0, scenario.device.allocatable_bytes - before.bytes)
    outside = scenario.device.allocatable_bytes - ceil((pool + weights.bytes) / static_share(scenario))
    return outside if outside >= 0 else None


def _pool_of(tokens: int, scenario: Scenario, guess: int) -> int | None:
    """The least memory for pools in which SGLang has ``tokens``; None if there is none."""

    def short(size: int) -> bool:
        found = serve(scenario._replace(kv_pool=max(1, size)))
        return found.kv_cache_tokens < tokens

    least = most(short, MAX_BYTES, max(1, guess))
    return None if least is None else least + 1


def _rest(log: BootLog, scenario: Scenario) -> Size | None:
    """Bytes for the pools: free after loading, less the share of what was free before that stays out of them."""
    before, after = log.least("free_before"), log.least("free_after_load")
    if before is None or after is None or "gpu_memory_utilization" not in log.options:
        return None
    kept = 1 - Fraction(str(scenario.memory_utilization))
    return Size(max(0, int(after.bytes - before.bytes * kept)), int(after.half + before.half * kept) + 1)


def _pool(
    kind: str, label: str, names: tuple[str, ...], spare: int, log: BootLog, serving: Serving
) -> Iterator[Component]:
    """Bytes of a pool of as many entries as the log says, and ``spare`` ones that are not handed out."""
    seen = _logged_pool(kind, log, split=any(buffer.name.startswith("SWA pool") for buffer in serving.buffers))
    if seen is None:
        return
    same = [buffer for buffer in serving.buffers if buffer.name.partition(" (K)")[0].partition(" (V)")[0] in names]
    cells = max((buffer.cells for buffer in same), default=0)
    if not cells:
        yield Component(kind, label, "bytes", None, seen.size.bytes, "unknown", BUFFER_APART)
        return
    held = cells + (spare if kind in ("conv", "ssm") else 0)
    total = sum(buffer.bytes for buffer in same) * (seen.cells + spare) // held
    yield exact_size(kind, label, total, seen.size, BUFFER_APART)


def _logged_pool(kind: str, log: BootLog, *, split: bool) -> LoggedBuffer | None:
    """The model's own pool of that kind on the first rank that printed one; a drafter's come later.

    Where windowed layers have a pool apart (``split``) and the log does not say which is which, theirs is the first.
    """
    windowed = log.counts.get("swa_layer_tokens")
    own = [buffer for buffer in log.buffers if buffer.rank == log.buffers[0].rank]
    for at, buffer in enumerate(own):
        first = windowed is None and at == 0 and not any(other.kind == "swa_pool" for other in own)
        windows = buffer.cells == windowed or (first and split)
        if kind == ("swa_pool" if buffer.kind == "pool" and windows else buffer.kind):
            return buffer
    return None
