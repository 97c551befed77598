"""The columns of a sweep's table, and the line that a row and its measurement come to.

The first 28 are those of a published sweep of attention variants, under its names and in its order, so that its tables
and ours can be read alike: ``kv_cache_mb`` is in 10**6 bytes, ``params_m`` in millions. What the case adds and what was
measured follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kvtui.cases.case import SweepRow
from kvtui.cases.prediction import kv_bytes, parameter_count, weight_bytes
from kvtui.cases.sweep import Sweep
from kvtui.engine.basis.untrusted import plain

MILLION = 10**6
MOST = 2**63
LEAST_MS = 1e-9

REFERENCE_COLUMNS = (
    "group",
    "label",
    "attn_variant",
    "attn_type",
    "params_m",
    "dim",
    "n_heads",
    "kv_heads",
    "num_blocks",
    "max_context",
    "batch_size",
    "prompt_len",
    "dtype",
    "use_cache",
    "use_moe",
    "n_experts",
    "top_k_mlp",
    "use_swiglu",
    "pos_encoding",
    "mla_down_kv",
    "mla_rope_dim",
    "prefill_ms_p50",
    "prefill_ms_p95",
    "decode_step_ms_p50",
    "decode_step_ms_p95",
    "decode_tok_s",
    "kv_cache_mb",
    "oom",
)
CASE_COLUMNS = (
    "case",
    "repeat",
    "shared_by",
    "cache",
    "length",
    "window",
    "kv_dtype",
    "head_dim",
    "hidden",
    "vocab",
    "mla_down_q",
    "latent_mode",
    "temperature",
    "top_k",
    "top_p",
    "weight_bytes",
)
SERIES = ("prefill", "ttft", "decode_step", "decode_scan")
STATISTICS = ("n", "min", "p20", "p50", "p80", "p95", "p99", "mad", "outliers", "p50_filtered")
SERIES_COLUMNS = tuple(f"{series}_ms_{name}" for series in SERIES for name in STATISTICS)
RECORD_COLUMNS = (
    "status",
    "message",
    "device",
    "platform",
    "host",
    "machine",
    "lower_s",
    "compile_s",
    "cache_hit",
    "parameters",
    "kv_predicted_bytes",
    "kv_measured_bytes",
    "donated",
    "temp_bytes",
    "xla_flops",
    "xla_bytes",
    "model_flops",
    "floor_bytes",
    "bandwidth_before_gbs",
    "bandwidth_after_gbs",
    "cpu_share",
    "matmul_gflops",
    "floor_ms",
    "floor_ratio",
    "mfu",
    "peak_memory_bytes",
    "prefill_xla_flops",
    "prefill_xla_bytes",
    "prefill_model_flops",
    "tokens_compared",
    "tokens_equal",
    "routing_entropy",
    "settled",
    *(name for name in SERIES_COLUMNS if name not in REFERENCE_COLUMNS),
)
COLUMNS = (*REFERENCE_COLUMNS, *CASE_COLUMNS, *RECORD_COLUMNS)
TEXT_COLUMNS = {
    *("group", "label", "attn_variant", "attn_type", "dtype", "pos_encoding", "case", "cache", "kv_dtype"),
    *("latent_mode", "status", "message", "device", "platform", "host", "machine"),
}

ColumnValues = dict[str, Any]


class Measured(NamedTuple):
    """One line of ``samples.jsonl``: which case, which repeat, its record and raw samples by series."""

    case: str
    repeat: int
    record: Mapping[str, Any]
    samples: Mapping[str, Any]

    @property
    def curve(self) -> list[dict[str, float]]:
        """Latency by position: ``position`` and ``n``, and ``p20``, ``p50``, ``p80`` in ms; none if malformed."""
        points = self.record.get("curve")
        names = ("position", "p20", "p50", "p80", "n")
        return [
            {name: point[name] for name in names}
            for point in (points if isinstance(points, list) else ())
            if isinstance(point, dict) and all(is_number(point.get(name)) for name in names) and point["p50"] > LEAST_MS
        ]


def table_row(row: SweepRow, repeat: int, record: Mapping[str, Any], shared_by: int = 1) -> ColumnValues:
    """The line of ``row`` under COLUMNS; None where there is nothing to say.

    ``record`` is what was measured, ``shared_by`` the number of rows that this measurement stands for. A case that
    failed still has its predicted sizes.
    """
    case, shape = row.case, row.case.shape
    parameters, cache = parameter_count(shape), kv_bytes(case)
    found = {name: _checked(name, record.get(name)) for name in ("tokens_per_second", *SERIES_COLUMNS, *RECORD_COLUMNS)}
    return {
        "group": row.group,
        "label": row.label,
        "attn_variant": row.variant,
        "attn_type": f"GQA(1/{shape.heads})" if shape.attention == "MQA" else shape.attention,
        "params_m": parameters / MILLION,
        "dim": shape.dim,
        "n_heads": shape.heads,
        "kv_heads": shape.heads if shape.latent else shape.kv_heads,
        "num_blocks": shape.blocks,
        "max_context": shape.context,
        "batch_size": case.batch,
        "prompt_len": case.prompt,
        "dtype": shape.dtype,
        "use_cache": case.cache != "none",
        "use_moe": shape.experts > 0,
        "n_experts": shape.experts or None,
        "top_k_mlp": shape.experts_per_token or None,
        "use_swiglu": shape.activation == "swiglu",
        "pos_encoding": shape.positions,
        "mla_down_kv": shape.latent or None,
        "mla_rope_dim": shape.rope_dim or None,
        "decode_tok_s": found.pop("tokens_per_second"),
        "kv_cache_mb": cache / MILLION,
        "oom": found["status"] == "oom",
        "case": case.key,
        "repeat": repeat,
        "shared_by": shared_by,
        "cache": case.cache,
        "length": case.cache_length,
        "window": shape.window,
        "kv_dtype": shape.kv_dtype,
        "head_dim": shape.head_dim,
        "hidden": shape.hidden,
        "vocab": shape.vocab,
        "mla_down_q": shape.query_latent or None,
        "latent_mode": case.latent_mode if shape.latent else None,
        "temperature": case.sampler.temperature,
        "top_k": case.sampler.top_k,
        "top_p": case.sampler.top_p,
        "weight_bytes": weight_bytes(shape),
        **found,
        "parameters": parameters,
        "kv_predicted_bytes": cache,
    }


def table_rows(sweep: Sweep, measured: Iterable[Measured]) -> list[ColumnValues]:
    """A line for every row of ``sweep`` whose case is in ``measured``, in the sweep's order, by repeat."""
    by_case: dict[str, list[Measured]] = {}
    for one in measured:
        by_case.setdefault(one.case, []).append(one)
    shared = sharing(sweep)
    return [
        table_row(row, one.repeat, one.record, shared[row.case.key])
        for row in sweep.rows
        for one in sorted(by_case.get(row.case.key, ()), key=lambda one: one.repeat)
    ]


def sharing(sweep: Sweep) -> Counter[str]:
    """How many rows each case, by key, stands for."""
    return Counter(row.case.key for row in sweep.rows)


def is_number(value: Any) -> bool:
    """Whether ``value`` is a number that can have been measured: finite, and below 2**63 in size."""
    return isinstance(value, int | float) and abs(value) < MOST


def _checked(name: str, value: Any) -> Any:
    """A record's ``value``, or None when it is not of the column's kind."""
    if name in TEXT_COLUMNS:
        return None if value is None else plain(str(value), limit=300)
    return value if is_number(value) else None
