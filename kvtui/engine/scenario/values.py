"""The scenario's options: from words to a Scenario, and from a Scenario back to the words that reproduce it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, overload

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import parse_bytes, parse_count, parse_fraction, parse_gbs, parse_tokens
from kvtui.engine.device.catalogue import find_device
from kvtui.engine.engines.known import Engine, defaults, parse_engine
from kvtui.engine.engines.overheads import Overheads
from kvtui.engine.model.formats import canonical
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.scenario.options import OPTIONS
from kvtui.engine.scenario.scenario import (
    BATCHED_TOKENS,
    BLOCK_TOKENS,
    FILE_WEIGHTS,
    MAX_BATCH,
    MAX_DEVICES,
    NO_SERVING_OPTIONS,
    UBATCH_TOKENS,
    Scenario,
    ServingOptions,
    resolve_layout,
)
from kvtui.engine.sources.load import load_model

if TYPE_CHECKING:
    from kvtui.engine.device.spec import DeviceSpec

DEFAULT_MODEL = "Llama-3.1-8B"
DEFAULT_DEVICE = "H100 SXM"
DEFAULT_CONTEXT = 8192
MAX_DRAFT_LAYERS, MAX_STAGES = 64, 4096

Values = Mapping[str, str | bool | None]


def scenario_from(values: Values, model: ModelSpec | None = None) -> Scenario:
    """The scenario that option ``values`` (by key; None or absent means default) describe.

    ``model`` is the model they name, if it was loaded before. Raises InputError naming the option, or UnknownName for a
    model, device, format or engine.
    """
    model_ref = _text(values, "model", DEFAULT_MODEL)
    model = model or load_model(model_ref)
    device = find_device(_text(values, "gpu", DEFAULT_DEVICE))
    lengths = _lengths(_text(values, "lengths"))
    batch = _count(values, "batch", MAX_BATCH) or (len(lengths) if lengths else 1)
    context = _tokens(values, "context") or (
        max(lengths) if lengths else min(DEFAULT_CONTEXT, model.max_context or DEFAULT_CONTEXT)
    )
    held = _partition(_text(values, "pp_partition"))
    split = [_count(values, key, MAX_DEVICES) for key in ("gpus", "tp", "pp", "dp")]
    split[2] = split[2] or (len(held) if held else None)
    stored = FILE_WEIGHTS if model.weight_bytes is not None else "bf16"
    engine, version = _engine(_text(values, "engine", "none"))
    block, batched, planned = engine_defaults(engine, version, model, device)
    pool, share = _text(values, "kv_pool"), _text(values, "gpu_memory_utilization")
    fa, profile, measured_gbs = values.get("fa"), _text(values, "profile"), _text(values, "bandwidth")
    return Scenario(
        model=model,
        device=device,
        context=context,
        batch=batch,
        layout=resolve_layout(model, *split),
        weight_dtype=canonical(_text(values, "weight_dtype", _text(values, "dtype", stored))),
        kv_dtype=canonical(_text(values, "kv_dtype", _text(values, "dtype", "bf16"))),
        continuous_batching=bool(values.get("cb")),
        paged_attention=bool(values.get("pa")),
        flash_attention=True if fa is None else bool(fa),
        skip_weights=bool(values.get("skip_weights")),
        lengths=lengths,
        shared_prefix=_tokens(values, "shared_prefix") or 0,
        block_size=_count(values, "block_size", 65_536) or block,
        max_batched_tokens=_tokens(values, "max_batched_tokens") or batched,
        speculative_tokens=_count(values, "speculative_tokens", 64) or 0,
        kv_pool=None if pool is None else parse_bytes(pool, "kv-pool"),
        memory_utilization=planned if share is None else parse_fraction(share, "gpu-memory-utilization"),
        engine=engine,
        serving=ServingOptions(
            version=version,
            max_seqs=_count(values, "max_seqs", MAX_BATCH),
            prefix_caching=_switch(values, "prefix_caching"),
            parallel=_count(values, "parallel", MAX_BATCH),
            ubatch=_tokens(values, "ubatch") or UBATCH_TOKENS,
            swa_full=bool(values.get("swa_full")),
            hybrid_manager=_switch(values, "hybrid_manager"),
            partition=held,
            draft_layers=_count(values, "draft_layers", MAX_DRAFT_LAYERS) or 0,
            measured=None if profile is None else _measured(profile, engine),
        ),
        bandwidth_gbs=None if measured_gbs is None else parse_gbs(measured_gbs, "bandwidth"),
        model_ref=model_ref,
    )


def to_values(scenario: Scenario) -> dict[str, str | bool]:
    """The option values that give ``scenario`` again; defaults of the workload are left out."""
    layout = scenario.layout
    values: dict[str, str | bool] = {"model": scenario.model_ref or scenario.model.name, "gpu": scenario.device.name}
    split = {"tp": layout.tp, "pp": layout.pp, "dp": layout.dp}
    values |= {key: str(ways) for key, ways in split.items() if ways > 1}
    if scenario.weight_dtype != FILE_WEIGHTS:
        values["weight_dtype"] = scenario.weight_dtype
    if scenario.engine != "none":
        values["engine"] = f"{scenario.engine}@{scenario.serving.version}".rstrip("@")
    values |= {"kv_dtype": scenario.kv_dtype, "context": str(scenario.context), "batch": str(scenario.batch)}
    if scenario.lengths is not None:
        values["lengths"] = ",".join(map(str, scenario.lengths))
    serving, unset = scenario.serving, NO_SERVING_OPTIONS
    if scenario.measured is not None:
        values["profile"] = scenario.measured.name
    if serving.partition is not None:
        values["pp_partition"] = ",".join(map(str, serving.partition))
    switches: tuple[tuple[str, bool | None, bool | None], ...] = (
        ("cb", scenario.continuous_batching, False),
        ("pa", scenario.paged_attention, False),
        ("fa", scenario.flash_attention, True),
        ("skip_weights", scenario.skip_weights, False),
        ("prefix_caching", serving.prefix_caching, None),
        ("hybrid_manager", serving.hybrid_manager, None),
        ("swa_full", serving.swa_full, False),
    )
    values |= {key: chosen for key, chosen, default in switches if chosen is not None and chosen != default}
    block, batched, planned = engine_defaults(scenario.engine, serving.version, scenario.model, scenario.device)
    numbers: tuple[tuple[str, float | None, float | None], ...] = (
        ("shared_prefix", scenario.shared_prefix, 0),
        ("block_size", scenario.block_size, block),
        ("max_batched_tokens", scenario.max_batched_tokens, batched),
        ("speculative_tokens", scenario.speculative_tokens, 0),
        ("kv_pool", scenario.kv_pool, None),
        ("bandwidth", scenario.bandwidth_gbs, None),
        ("gpu_memory_utilization", scenario.memory_utilization, planned),
        ("max_seqs", serving.max_seqs, None),
        ("draft_layers", serving.draft_layers, 0),
        ("parallel", serving.parallel, None),
        ("ubatch", serving.ubatch, unset.ubatch),
    )
    values |= {key: str(number) for key, number, default in numbers if number != default}
    return values


def command_line(scenario: Scenario) -> str:
    """The options that reproduce ``scenario``, quoted for a shell."""
    from shlex import quote

    words = []
    for option in OPTIONS:
        match to_values(scenario).get(option.key):
            case None:
                continue
            case True:
                words.append(f"--{option.name}")
            case False:
                words.append(f"--no-{option.name}")
            case str(text):
                words += [f"--{option.name}", quote(text)]
    return " ".join(words)


@overload
def _text(values: Values, key: str) -> str | None: ...
@overload
def _text(values: Values, key: str, default: str) -> str: ...
def _text(values: Values, key: str, default: str | None = None) -> str | None:
    value = values.get(key)
    return value if isinstance(value, str) else default


def _count(values: Values, key: str, most: int) -> int | None:
    text = _text(values, key)
    return None if text is None else parse_count(text, key.replace("_", "-"), most)


def _tokens(values: Values, key: str) -> int | None:
    text = _text(values, key)
    return None if text is None else parse_tokens(text, key.replace("_", "-"))


def _switch(values: Values, key: str) -> bool | None:
    value = values.get(key)
    return value if isinstance(value, bool) else None


def engine_defaults(engine: str, version: str, model: ModelSpec, device: DeviceSpec) -> tuple[int, int, float]:
    """Block size, batched tokens and memory share of a scenario that says nothing about them."""
    if engine == "none":
        return BLOCK_TOKENS, BATCHED_TOKENS, 1.0
    return defaults(Engine(engine, version), model, device)


def left_to_engine(
    scenario: Scenario, engine: str, version: str, model: ModelSpec, device: DeviceSpec
) -> dict[str, int | float]:
    """The fields that ``scenario`` leaves to its engine, as ``engine`` chooses them for ``model`` on ``device``."""
    before = engine_defaults(scenario.engine, scenario.serving.version, scenario.model, scenario.device)
    after = engine_defaults(engine, version, model, device)
    chosen = zip(("block_size", "max_batched_tokens", "memory_utilization"), before, after, strict=True)
    return {field: new for field, old, new in chosen if getattr(scenario, field) == old}


def _engine(text: str) -> tuple[str, str]:
    """Name and release of the engine that ``text`` names."""
    return parse_engine(text)


def _measured(profile: str, engine: str) -> Overheads:
    from kvtui.engine.sources.machines import measured_for

    return measured_for(profile, engine)


def _partition(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) > MAX_STAGES:
        raise InputError(f"pp-partition: {len(parts):,} stages, more than {MAX_STAGES:,}")
    return tuple(parse_count(part, "pp-partition", MAX_STAGES) for part in parts)


def _lengths(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    parts = text.split(",")
    if len(parts) > MAX_BATCH:
        raise InputError(f"lengths: {len(parts):,} values, more than {MAX_BATCH:,}")
    return tuple(parse_tokens(part, "lengths") for part in parts)
