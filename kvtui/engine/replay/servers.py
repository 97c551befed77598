"""The servers of a scenario, as a replay needs them: pool, groups of layers, and limits, from its engine's plan."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.engines.result import Serving
from kvtui.engine.planning.serve import serve
from kvtui.engine.replay.groups import CacheGroup, Chunked, Full, Sliding, States
from kvtui.engine.replay.reserving import Reserving
from kvtui.engine.replay.scheduling import RequestScheduler
from kvtui.engine.replay.sglang import RadixLimits, RadixScheduler
from kvtui.engine.replay.slots import SlotLimits, SlotServer
from kvtui.engine.replay.vllm import Limits, Scheduler, order_of
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.serving.llamacpp.cells import divided
from kvtui.engine.serving.sglang.serve import most_requests
from kvtui.engine.serving.vllm.releases import default_max_seqs, rules
from kvtui.engine.serving.vllm.serve import layered

REPLAYED = ("vllm", "sglang", "llama.cpp")
"""The engines whose scheduler is known here."""

POLICIES = ("static", "continuous", "paged", "prefix")
"""How vLLM's pool may be used: reserved for whole batches, reserved for each request, paged, paged and shared."""

SERVERS = (*POLICIES, *(engine for engine in REPLAYED if engine != "vllm"))
"""What can be laid side by side: the policies of vLLM, and the other engines."""

TITLES = {
    "static": "static batching",
    "continuous": "continuous batching",
    "paged": "vllm, paged",
    "prefix": "vllm, prefixes shared",
}
"""What policies are called."""

HOST_CACHE_BYTES = 8192 * 2**20
"""What llama.cpp's server keeps finished prompts in, in host memory, when it is not told otherwise."""


def server_of(
    scenario: Scenario, policy: str = "prefix", *, share: float = 1.0, sequences: int | None = None
) -> RequestScheduler:
    """A fresh server: one replica of ``scenario``; see :func:`servers_of`."""
    return servers_of(scenario, policy, share=share, sequences=sequences)()


def servers_of(
    scenario: Scenario, policy: str = "prefix", *, share: float = 1.0, sequences: int | None = None
) -> Callable[[], RequestScheduler]:
    """Makes fresh servers, each a replica of ``scenario``, which is planned once.

    Each has ``share`` of its planned pool, and at most ``sequences`` at once. Raises InputError for an engine that is
    not replayed, for layers whose blocks are not, and for a server that does not start; UnknownName for a ``policy``
    that is none of POLICIES.
    """
    if policy not in POLICIES:
        raise UnknownName("policy", policy, POLICIES)
    if scenario.engine not in REPLAYED:
        raise InputError(f"--engine: only {', '.join(REPLAYED)} can be replayed, not {scenario.engine}")
    if policy != "prefix" and scenario.engine != "vllm":
        raise InputError(f"--engine: {policy} is a way to use vLLM's pool, not that of {scenario.engine}")
    if scenario.engine == "sglang":
        radix = radix_limits_of(scenario)
        pages = max(1, int(radix.pages * share))
        return partial(RadixScheduler, radix._replace(pages=pages, sequences=sequences or radix.sequences))
    if scenario.engine == "llama.cpp":
        slots = slot_limits_of(scenario)
        cells = max(1, int(slots.cells * share))
        return partial(SlotServer, slots._replace(cells=cells, slots=sequences or slots.slots))
    limits = limits_of(scenario)
    blocks = max(2, int((limits.blocks - 1) * share) + 1)
    limits = limits._replace(blocks=blocks, sequences=sequences or limits.sequences)
    match policy:
        case "prefix":
            return partial(Scheduler, limits)
        case "paged":
            return partial(Scheduler, limits._replace(caching=False))
    return partial(Reserving, limits, static=policy == "static")


def limits_of(scenario: Scenario) -> Limits:
    """One replica of ``scenario`` under vLLM: the planned pool and what follows from its options."""
    found = rules(scenario.serving.version)
    planned = _started(scenario)
    laid = layered(scenario, found)
    groups: list[CacheGroup] = []
    for group in laid.grouping.groups:
        cap = group.specs[0].spec.cap
        match group.kind:
            case "full":
                groups.append(Full(group.block))
            case "window":
                groups.append(Sliding(group.block, cap))
            case "chunk":
                groups.append(Chunked(group.block, cap))
            case "state" if laid.work.mode == "align" and not laid.work.drafted:
                groups.append(States(group.block))
            case "state" if laid.work.mode == "none" and not laid.work.drafted:
                groups.append(Full(-(-scenario.context // scenario.block_size) * scenario.block_size))
            case kind:
                what = "cross-attention" if kind == "cross" else "recurrent states under drafts or of every block"
                raise _unknown(scenario, what)
    assert planned.blocks is not None
    return Limits(
        blocks=planned.blocks + (0 if found.null_block else 1),
        groups=tuple(groups),
        sequences=scenario.serving.max_seqs or default_max_seqs(scenario.device, scenario.max_batched_tokens),
        budget=scenario.max_batched_tokens,
        longest=scenario.context,
        caching=scenario.serving.prefix_caching is not False
        and not any(group.kind == "state" and laid.work.mode == "none" for group in laid.grouping.groups),
        ahead=scenario.speculative_tokens,
        whole_blocks=max((group.block for group in groups if isinstance(group, States)), default=0),
        order=order_of(tuple(int(part) for part in found.version.split(".")[:2])),
    )


def radix_limits_of(scenario: Scenario) -> RadixLimits:
    """One replica of ``scenario`` under SGLang, whose pool of windowed layers is not replayed."""
    planned = _started(scenario)
    if planned.state_slots:
        raise _unknown(scenario, "recurrent states")
    tokens = planned.kv_cache_tokens
    return RadixLimits(
        pages=tokens // scenario.block_size,
        page=scenario.block_size,
        sequences=most_requests(tokens, scenario),
        longest=scenario.context,
        chunk=scenario.max_batched_tokens,
        caching=scenario.serving.prefix_caching is not False,
    )


def slot_limits_of(scenario: Scenario) -> SlotLimits:
    """The server of ``scenario`` under llama.cpp: its context is that of all slots together."""
    planned = _started(scenario)
    if planned.state_slots:
        raise _unknown(scenario, "recurrent states")
    cells = divided(scenario, scenario.context, scenario.serving.parallel)
    held = HOST_CACHE_BYTES if scenario.serving.cache_ram is None else scenario.serving.cache_ram
    unified = cells.streams == 1
    return SlotLimits(
        cells=cells.cells if unified else cells.cells * cells.streams,
        slots=cells.slots,
        unified=unified,
        host=held // planned.bytes_per_token if planned.bytes_per_token else 0,
        batch=scenario.max_batched_tokens,
    )


def _started(scenario: Scenario) -> Serving:
    planned = serve(scenario)
    assert planned is not None
    if planned.refusals or not planned.fits:
        reason = planned.refusals[0] if planned.refusals else "one request of the full context does not fit its pool"
        raise InputError(f"the server would not start: {reason}")
    return planned


def _unknown(scenario: Scenario, what: str) -> InputError:
    return InputError(f"--model: {scenario.model.name} has {what}, whose blocks cannot be replayed")
