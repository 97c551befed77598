"""The report as one plain dict: what every format, the export dialog and the tests read.

The keys are a stable interface (``schema`` 1). Units are in the names, bytes are exact integers, and what does not
apply or is not known is None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from kvtui import __version__
from kvtui.engine.advice.kv_formats import KvFormat, compared_formats
from kvtui.engine.engines.placement import BestSplit
from kvtui.engine.planning.capacity import Capacity, Users, capacity, users
from kvtui.engine.planning.estimate import Estimate, SpeculativeStep, estimate, most_users
from kvtui.engine.planning.parts import Parts
from kvtui.engine.planning.plan import Plan, plan
from kvtui.engine.planning.roofline import Band
from kvtui.engine.planning.serve import best_split
from kvtui.engine.saying.called import called
from kvtui.engine.saying.explain import explain, policy
from kvtui.engine.saying.left_out import left_out
from kvtui.engine.saying.notices import notices
from kvtui.engine.saying.verify import verifying
from kvtui.engine.scenario.change import layout_words
from kvtui.engine.scenario.options import OPTIONS
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import command_line, value_at

if TYPE_CHECKING:
    from kvtui.engine.advice.fixes import Fix
    from kvtui.engine.engines.placement import MemoryUse
    from kvtui.engine.engines.result import Serving

SCHEMA = 1


def document(scenario: Scenario) -> dict[str, Any]:
    """The whole report of ``scenario``. Raises InputError where the plan does."""
    planned = plan(scenario)
    limits = capacity(planned)
    times = estimate(planned)
    return {
        "schema": SCHEMA,
        "kvtui": __version__,
        "scenario": _scenario(scenario, planned),
        "model": _model(scenario),
        "device": _device(scenario),
        "what_if": _what_if(planned) if scenario.model.what_if else None,
        "memory": _memory(planned),
        "capacity": _capacity(limits, users(planned, limits)),
        "engine": _engine(planned),
        "kv_formats": [_kv_format(found) for found in compared_formats(planned, limits)],
        "performance": {
            **_performance(times, scenario),
            "verify_command": verifying(scenario) if times.decode_ms else None,
        },
        "cost": _cost(times),
        "at_most_users": _at_most_users(most_users(planned.scenario, limits.sequences)),
        "fixes": [] if planned.fits else _fixes(scenario),
        "explain": [
            {"id": e.id, "formula": e.formula, "values": dict(e.values), "bytes": e.bytes, "sources": list(e.sources)}
            for e in explain(planned, limits, times)
        ],
        "warnings": [{"id": n.id, "severity": n.severity, "text": n.text} for n in notices(planned)],
    }


def _scenario(scenario: Scenario, planned: Plan) -> dict[str, Any]:
    shown = {key: _plain(value_at(scenario, field)) for option in OPTIONS for key, field in option.shown.items()}
    return {
        **shown,
        "policy": policy(planned),
        "command_line": f"kvtui --report {command_line(scenario)}",
    }


def _plain(value: Any) -> Any:
    """A field of the scenario as JSON has it: a list for a tuple, and None where nothing was said."""
    if value == "":
        return None
    return list(value) if isinstance(value, tuple) else value


def _model(scenario: Scenario) -> dict[str, Any]:
    model, kv = scenario.model, scenario.kv
    return {
        "name": model.name,
        "called": called(scenario),
        "source": model.source,
        "confidence": model.confidence,
        "layers": len(model.layers),
        "layer_kinds": model.layer_kinds,
        "parameters": model.parameters,
        "parameters_from": model.parameters_from,
        "active_parameters": model.active_parameters,
        "kv_bytes_per_token": model.bytes_per_token(kv),
        "indexer_bytes_per_token": model.bytes_per_token(kv, "indexer"),
        "bounded_bytes_per_sequence": model.bounded_bytes(kv),
        "state_bytes_per_sequence": model.state_bytes(),
        "max_context_tokens": model.max_context,
        "published_weights": model.published_weights,
    }


def _device(scenario: Scenario) -> dict[str, Any]:
    device = scenario.device
    return {
        "name": device.name,
        "vendor": device.vendor,
        "nominal_gb": device.nominal_gb,
        "usable_bytes": device.usable_bytes,
        "memory_type": device.memory.kind,
        "modules": device.memory.modules,
        "bandwidth_gbs": device.bandwidth_gbs,
        "source": device.source,
        "confidence": device.confidence,
    }


def _parts(parts: Parts) -> dict[str, Any]:
    return {
        "weights_bytes": parts.weights,
        "kv_bytes": parts.kv,
        "state_bytes": parts.state,
        "activation_bytes": parts.activation,
        "overhead_bytes": parts.overhead,
        "reserved_unused_bytes": parts.reserved_unused,
        "pool_free_bytes": parts.pool_free,
        "total_bytes": parts.total,
    }


def _memory(planned: Plan) -> dict[str, Any]:
    return {
        **_parts(planned.total),
        "usable_bytes_per_device": planned.usable_per_device,
        "devices": planned.devices,
        "devices_needed": planned.devices_needed,
        "split_needed": None if planned.layout_needed is None else layout_words(planned.layout_needed),
        "utilization": round(planned.utilization, 6),
        "fits": planned.fits,
        "binding_limit": planned.binding_limit,
        "budget_bytes_per_device": planned.budget_per_device,
        "fullest_device": _parts(planned.per_device),
        "flash_attention_saved_bytes": planned.flash_attention_saved,
        "prefix_shared_bytes": planned.prefix_shared,
    }


def _capacity(limits: Capacity, found: Users) -> dict[str, Any]:
    return {
        "max_context_tokens": limits.context,
        "max_context_limit": limits.context_limit,
        "max_sequences": limits.sequences,
        "max_sequences_limit": limits.sequences_limit,
        "users_full": found.full,
        "users_average": found.average,
        "average_fill_percent": found.percent,
    }


def _engine(planned: Plan) -> dict[str, Any]:
    """What the engine allocates, in its own units, each figure for one device; all of them None without an engine."""
    served = planned.serving
    return {
        "name": "none" if served is None else served.engine,
        **{key: None if served is None else figure(served) for key, figure in _ALLOCATED.items()},
        "split": _split(best_split(planned.scenario)),
    }


def _split(found: BestSplit | None) -> dict[str, Any]:
    if found is None:
        return dict.fromkeys(BestSplit._fields)
    commands = [{"program": program, "words": words} for program, words in found.commands]
    return {**found._asdict(), "commands": commands}


def _memory_use(use: MemoryUse) -> dict[str, Any]:
    return {
        "name": use.name,
        "capacity_bytes": use.capacity,
        "layers": use.layers,
        "total_bytes": use.total,
        "held": [{"cause": cause, "bytes": size} for cause, size in use.held],
    }


_ALLOCATED: Mapping[str, Callable[[Serving], Any]] = {
    "version": lambda served: served.version or None,
    "block_size_tokens": lambda served: served.block_size,
    "groups": lambda served: served.groups,
    "bytes_per_block": lambda served: served.bytes_per_block,
    "blocks": lambda served: served.blocks,
    "blocks_per_request": lambda served: served.blocks_per_request,
    "bytes_per_token": lambda served: served.bytes_per_token,
    "state_bytes_per_slot": lambda served: served.state_bytes_per_slot,
    "kv_cache_tokens": lambda served: served.kv_cache_tokens,
    "max_concurrency": lambda served: round(float(served.max_concurrency), 6),
    "needed_bytes": lambda served: served.needed_bytes,
    "buffers": lambda served: [buffer._asdict() for buffer in served.buffers],
    "pool_bytes": lambda served: served.pool_bytes,
    "pool_is_estimate": lambda served: served.pool_is_estimate,
    "engine_needed_bytes": lambda served: served.engine_needed_bytes,
    "state_slots": lambda served: served.state_slots,
    "padding_layers": lambda served: served.padding_layers,
    "max_context_tokens": lambda served: served.max_context,
    "max_context_limit": lambda served: served.max_context_limit,
    "max_sequences": lambda served: served.max_sequences,
    "max_sequences_limit": lambda served: served.max_sequences_limit,
    "shares": lambda served: [share._asdict() for share in served.shares],
    "memories": lambda served: [_memory_use(use) for use in served.memories],
    "refusals": lambda served: list(served.refusals),
    "notes": lambda served: list(served.notes),
}
"""What the report says of an engine's allocation."""


def _kv_format(found: KvFormat) -> dict[str, Any]:
    return {
        "name": found.name,
        "kv_bytes": found.bytes,
        "saved_share": round(found.saved, 4),
        "fits": found.fits,
        "max_context_tokens": found.capacity.context,
        "max_sequences": found.capacity.sequences,
        "quality_risk": found.risk.word,
    }


def _performance(times: Estimate, scenario: Scenario) -> dict[str, Any]:
    return {
        "prefill_ms": _band(times.prefill_ms),
        "decode_ms_per_token": _band(times.decode_ms),
        "tokens_per_second": _band(times.tokens_per_second),
        "bound": times.bound,
        "speculation": None if times.speculation is None else _speculation(times.speculation),
        "measured_bandwidth_gbs": times.measured_gbs,
        "left_out": list(left_out(scenario)),
        "confidence": "L",
    }


def _what_if(planned: Plan) -> dict[str, Any] | None:
    from kvtui.engine.planning.what_if import HONEST, what_if_gain

    found = what_if_gain(planned)
    if found is None:
        return None
    return {
        "kv_format": None if planned.scenario.model.what_if_kv is None else planned.scenario.kv.name,
        "parts": [{"text": one.text, "called": one.called, "paper": one.paper} for one in found.parts],
        "real_cache_bytes": found.real,
        "cache_bytes": found.now,
        "freed_bytes": found.freed,
        "note": HONEST,
    }


def _speculation(found: SpeculativeStep) -> dict[str, Any]:
    return {
        "drafted_tokens": found.drafted,
        "acceptance": found.acceptance,
        "acceptance_assumed": found.assumed,
        "tokens_per_step": round(found.tokens, 4),
        "step_ms": _band(found.step_ms),
        "draft_ms": _band(found.draft_ms),
        "verify_ms": _band(found.verify_ms),
        "plain_step_ms": _band(found.plain_ms),
        "draft_share": _band(found.draft_share),
        "speedup": _band(found.speedup),
    }


def _cost(times: Estimate) -> dict[str, Any]:
    hourly = times.usd_per_hour
    return {
        "usd_per_hour": None if hourly is None else round((hourly.low + hourly.high) / 2, 4),
        "usd_per_hour_span": _band(hourly),
        "usd_per_million_tokens": _band(times.usd_per_million_tokens),
        "joules_per_token": _band(times.joules_per_token),
        "priced_on": times.priced_on,
        "confidence": "L",
    }


def _at_most_users(found: tuple[int, Estimate] | None) -> dict[str, Any]:
    """Speed, cost and energy with as many users as there is room for; all of them None where that is no number."""
    batch, times = found or (None, None)
    return {
        "batch": batch,
        "decode_ms_per_token": _band(times and times.decode_ms),
        "tokens_per_second": _band(times and times.tokens_per_second),
        "usd_per_million_tokens": _band(times and times.usd_per_million_tokens),
        "joules_per_token": _band(times and times.joules_per_token),
    }


def _fixes(scenario: Scenario) -> list[dict[str, Any]]:
    from kvtui.engine.advice.fixes import fixes

    return [_fix(fix) for fix in fixes(scenario)]


def _fix(fix: Fix) -> dict[str, Any]:
    times = fix.answer.times
    return {
        "name": fix.name,
        "changes": [
            {
                "kind": change.axis,
                "name": change.name,
                "quality_risk": change.risk.word,
                "risk_source": change.risk.source or None,
                "caveat": change.caveat or None,
            }
            for change in fix.changes
        ],
        "burden": round(fix.burden, 3),
        "quality_risk": fix.risk.word,
        "free_bytes_per_device": fix.free_bytes,
        "devices": fix.scenario.layout.devices,
        "context_tokens": fix.scenario.context,
        "batch": fix.scenario.batch,
        "max_context_tokens": fix.answer.context,
        "max_sequences": fix.answer.sequences,
        "tokens_per_second": _band(times and times.tokens_per_second),
        "usd_per_hour": _band(times and times.usd_per_hour),
        "usd_per_million_tokens": _band(times and times.usd_per_million_tokens),
        "notes": list(fix.notes),
        "command_line": f"kvtui --report {command_line(fix.scenario)}",
    }


def _band(band: Band | None) -> list[float] | None:
    """Four significant digits: a band is an estimate."""
    return None if band is None else [float(f"{band.low:.4g}"), float(f"{band.high:.4g}")]
