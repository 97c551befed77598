"""The benchmark of trained models: the tables of a published pipeline, under its names, then columns of our own.

``benchmark_results.csv`` has one line per training run: sizes, the validation loss of its weights over the whole fixed
text, and what its programs reached. Programs depend on the shape alone, so runs that differ by their seed share one
measurement, and ``speed_of`` says whose it is. ``batch_sweep_results.csv`` has one line per representative and batch.
Both are written anew after every measurement, whole or not at all, and what stands in them is not measured again.
Sizes in ``_mb`` columns are 10**6 bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kvtui.bench.host import machine_name
from kvtui.bench.training.runs import TrainingRun
from kvtui.cases.case import Case, TransformerShape
from kvtui.cases.prediction import kv_bytes, parameter_count
from kvtui.cases.protocol import Job, TimeBudget
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.files import read_text, write_whole
from kvtui.engine.basis.places import DATA
from kvtui.engine.basis.untrusted import plain
from kvtui.output.csv import csv_text

RESULTS, BATCHES = "benchmark_results.csv", "batch_sweep_results.csv"
BUNDLED = Path(DATA, "trained")
"""The folder of the tables that come with kvtui."""
LENGTHS = (64, 128, 256, 512)
"""Tokens in the cache at which a step is timed, each in a cache of exactly that length."""
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
BATCH_LENGTH = 512
MILLION, BILLION = 10**6, 10**9
MOST_BYTES = 2**26

COLUMNS = (
    *("run", "type", "params_m", "moe", "num_blocks", "dim", "n_heads", "kv_heads", "max_context", "down_dim_kv"),
    *("theoretical_cache_mb", "measured_cache_mb", "prefill_ms", "val_loss", "decode_gflops", "prefill_gflops"),
    *("decode_arith_int", "prefill_arith_int", "decode_tflops_s", *(f"tps_{n}" for n in LENGTHS), "family"),
)
"""The published columns, in their order."""
OWN_COLUMNS = (
    *("seed", "val_loss_per_character", "validation_sha256", "prefill_ms_n", "prefill_ms_p20", "prefill_ms_p80"),
    *("prefill_ms_p95", "decode_model_gflops", "prefill_model_gflops", "decode_flops_ratio", "prefill_flops_ratio"),
    *(f"tps_{n}_{end}" for n in LENGTHS for end in ("p20", "p80")),
    *("rope_dim", "experts", "status", "message", "speed_of", "machine"),
)
BATCH_COLUMNS = (
    *("run", "type", "dim", "num_blocks", "params_m", "kv_heads", "n_heads", "down_dim_kv", "theoretical_cache_mb"),
    *("batch_size", "seq_len", "tps", "cache_mb_total", "oom"),
)
OWN_BATCH_COLUMNS = ("tps_p20", "tps_p80", "status", "message", "machine")

Row = dict[str, Any]


def shape_of(run: TrainingRun) -> TransformerShape:
    """The model of a finished ``run``. Raises InputError for one that is not finished."""
    vocab = (run.summary or {}).get("vocab")
    if type(vocab) is not int or not 1 <= vocab <= MILLION:
        raise InputError(f"{plain(run.name)}: is not finished; kvtui train --resume goes on with it")
    return run.plan.shape(vocab)


def speed_case(shape: TransformerShape) -> Case:
    """What is timed of ``shape``: one sequence in a cache of its own context, after a prompt that leaves one place."""
    roomy = replace(shape, context=max(shape.context, LENGTHS[-1]))
    return Case(roomy, prompt=shape.context - 1, length=shape.context)


def speed_jobs(runs: Iterable[TrainingRun], budget: TimeBudget) -> dict[str, Job]:
    """A job for each different case of ``runs``, by the case's key."""
    cases = {case.key: case for case in (speed_case(shape_of(run)) for run in runs)}
    return {key: Job(key, case, budget, LENGTHS) for key, case in cases.items()}


def result_row(run: TrainingRun, loss: Mapping[str, Any], record: Mapping[str, Any], host: Mapping[str, Any]) -> Row:
    """The line of ``run``: its sizes, the ``loss`` that was measured, and the worker's ``record`` of its case."""
    shape = shape_of(run)
    points = {point["position"]: point for point in record.get("curve") or ()}
    rates = {
        f"tps_{n}{end}": 1e3 / points[n][of]
        for n in LENGTHS
        if n in points
        for end, of in (("", "p50"), ("_p20", "p80"), ("_p80", "p20"))
    }
    longest = rates.get(f"tps_{LENGTHS[-1]}")
    decode, prefill = record.get("xla_flops"), record.get("prefill_xla_flops")
    kind = f"L{shape.blocks}_D{shape.dim}_H{shape.heads}_C{shape.context}"
    return {
        "run": run.name,
        "type": shape.attention,
        "params_m": parameter_count(shape) / MILLION,
        "moe": shape.experts > 0,
        "num_blocks": shape.blocks,
        "dim": shape.dim,
        "n_heads": shape.heads,
        "kv_heads": shape.heads if shape.latent else shape.kv_heads,
        "max_context": shape.context,
        "down_dim_kv": shape.latent or None,
        "theoretical_cache_mb": kv_bytes(speed_case(shape)) / MILLION,
        "measured_cache_mb": _scaled(record.get("kv_measured_bytes"), MILLION),
        "prefill_ms": record.get("prefill_ms_p50"),
        "val_loss": loss["val_loss"],
        "decode_gflops": _scaled(decode, BILLION),
        "prefill_gflops": _scaled(prefill, BILLION),
        "decode_arith_int": _ratio(decode, record.get("xla_bytes")),
        "prefill_arith_int": _ratio(prefill, record.get("prefill_xla_bytes")),
        "decode_tflops_s": decode * longest / 1e12 if decode and longest else None,
        **{f"tps_{n}": rates.get(f"tps_{n}") for n in LENGTHS},
        "family": f"{kind}_{'MoE' if shape.experts else 'Dense'}",
        "seed": run.plan.seed,
        "val_loss_per_character": loss["val_loss_per_character"],
        "validation_sha256": loss["validation_sha256"],
        **{f"prefill_ms_{name}": record.get(f"prefill_ms_{name}") for name in ("n", "p20", "p80", "p95")},
        "decode_model_gflops": _scaled(record.get("model_flops"), BILLION),
        "prefill_model_gflops": _scaled(record.get("prefill_model_flops"), BILLION),
        "decode_flops_ratio": _ratio(decode, record.get("model_flops")),
        "prefill_flops_ratio": _ratio(prefill, record.get("prefill_model_flops")),
        **{name: value for name, value in rates.items() if name.endswith(("p20", "p80"))},
        "rope_dim": shape.rope_dim or None,
        "experts": run.plan.experts or None,
        "status": record.get("status"),
        "message": record.get("message"),
        "speed_of": speed_case(shape).key,
        "machine": machine_name(host),
    }


def row_of_same_shape(run: TrainingRun, loss: Mapping[str, Any], row: Row) -> Row:
    """The line of ``run``, whose programs are those that ``row`` was measured of."""
    names = ("val_loss", "val_loss_per_character", "validation_sha256")
    return {**row, "run": run.name, "seed": run.plan.seed, **{name: loss[name] for name in names}}


def representatives(runs: Iterable[TrainingRun]) -> list[TrainingRun]:
    """The runs of the batch sweep: of each dense attention and width the first, of MLA one with the widest latent."""
    found: dict[tuple[str, int, int], TrainingRun] = {}
    for run in runs:
        shape = shape_of(run)
        if shape.experts:
            continue
        place = shape.attention, shape.dim, shape.blocks
        if place not in found or shape.latent > shape_of(found[place]).latent:
            found[place] = run
    return list(found.values())


def batch_job(run: TrainingRun, batch: int, budget: TimeBudget) -> Job:
    """The job of ``batch`` sequences of 512 tokens of ``run``'s model."""
    shape = shape_of(run)
    roomy = replace(shape, context=max(shape.context, BATCH_LENGTH))
    return Job(f"{run.name} {batch}", Case(roomy, batch, BATCH_LENGTH // 2, length=BATCH_LENGTH), budget)


def batch_row(run: TrainingRun, job: Job, record: Mapping[str, Any], host: Mapping[str, Any]) -> Row:
    """The line of ``run`` with the batch of ``job``."""
    shape, batch = shape_of(run), job.case.batch
    step = {end: record.get(f"decode_step_ms_{end}") for end in ("p20", "p50", "p80")}
    return {
        "run": run.name,
        "type": shape.attention,
        "dim": shape.dim,
        "num_blocks": shape.blocks,
        "params_m": parameter_count(shape) / MILLION,
        "kv_heads": shape.heads if shape.latent else shape.kv_heads,
        "n_heads": shape.heads,
        "down_dim_kv": shape.latent or None,
        "theoretical_cache_mb": kv_bytes(job.case) / MILLION,
        "batch_size": batch,
        "seq_len": BATCH_LENGTH,
        "tps": batch * 1e3 / step["p50"] if step["p50"] else None,
        "cache_mb_total": _scaled(record.get("kv_measured_bytes"), MILLION),
        "oom": record.get("status") == "oom",
        "tps_p20": batch * 1e3 / step["p80"] if step["p80"] else None,
        "tps_p80": batch * 1e3 / step["p20"] if step["p20"] else None,
        "status": record.get("status"),
        "message": record.get("message"),
        "machine": machine_name(host),
    }


def read_rows(path: Path) -> list[Row]:
    """The lines of one of the two tables, none where it is not there yet. Raises InputError for another file."""
    from kvtui.figures.files import values_of

    try:
        text = read_text(path, MOST_BYTES)
    except FileNotFoundError:
        return []
    return values_of(text, plain(str(path)), ("run", "type", "theoretical_cache_mb"))


def write_rows(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Write a whole table, whose lines may have more columns than they were asked for. Raises OSError."""
    more = dict.fromkeys(name for row in rows for name in row if name not in columns)
    every = [*columns, *more]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, csv_text([every, *([_cell(row.get(name)) for name in every] for row in rows)]))


def _scaled(value: Any, unit: int) -> float | None:
    return None if value is None else value / unit


def _ratio(a: Any, b: Any) -> float | None:
    return a / b if a is not None and b else None


def _cell(value: Any) -> Any:
    return "" if value is None else value
