"""Real records of tiny cases: complete, equal to the prediction in bytes, and consistent with their own samples."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from kvtui.bench import measure, series
from kvtui.bench.agreement import agreement
from kvtui.bench.compiled import ProgramSource, build
from kvtui.bench.nn import generate, grouped
from kvtui.bench.nn.cache import CachedRows, LayerCache, append
from kvtui.bench.series import init_weights, inputs, sources
from kvtui.cases import prediction as predict
from kvtui.cases.case import Case, TransformerShape
from kvtui.cases.protocol import STATUSES, Job, TimeBudget
from kvtui.cases.statistics import Summary

TINY = TransformerShape(dim=32, heads=4, head_dim=8, kv_heads=4, blocks=1, hidden=32, vocab=32, context=32)
BUDGET = TimeBudget(warmup=2, trials=4, most=60, seconds=0.02)
POSITIONS = {"mha": (8, 32), "none": (16,)}
CASES = {
    "mha": Case(TINY, prompt=8),
    "mla int8 paged": Case(
        replace(TINY, latent=16, query_latent=16, rope_dim=8, kv_dtype="int8"),
        batch=2,
        prompt=7,
        cache="paged",
        length=25,
    ),
    "moe ring bf16": Case(
        replace(TINY, experts=4, experts_per_token=2, window=8, kv_heads=1, dtype="bf16", kv_dtype="bf16"),
        prompt=12,
        cache="ring",
    ),
    "none": Case(TINY, prompt=8, cache="none"),
}


@pytest.fixture(scope="session")
def measured() -> dict[str, tuple[dict[str, Any], dict[str, list[float]], list[str]]]:
    """Records, samples and stages of all cases, some with a curve; optimizing less halves the time to compile."""
    found = {}
    jax.config.update("jax_disable_most_optimizations", True)  # type: ignore[no-untyped-call]
    for name, case in CASES.items():
        stages: list[str] = []
        job = Job(name, case, BUDGET, POSITIONS.get(name, ()))

        def heard(event: Mapping[str, Any], stages: list[str] = stages) -> None:
            stages.append(event["stage"])

        record, samples = measure.measure(job, heard)
        found[name] = record, samples, stages
    jax.config.update("jax_disable_most_optimizations", False)  # type: ignore[no-untyped-call]
    return found


every_case = pytest.mark.parametrize("name", CASES)


@every_case
def test_records_are_complete_and_plain(
    measured: dict[str, tuple[dict[str, Any], dict[str, list[float]], list[str]]], name: str
) -> None:
    record, samples, stages = measured[name]
    assert tuple(record) == measure.KEYS
    assert (record["status"], record["message"]) == ("ok", None)
    assert json.loads(json.dumps([record, samples], allow_nan=False)) == [record, samples]
    assert record["platform"] == jax.devices()[0].platform
    assert [stage for stage in stages if stage != "compare tokens"][:3] == ["compile", "probe", "warm up"]
    assert {"prefill", "decode"} < set(stages)
    missing = {key for key, value in record.items() if value is None}
    tails = {key for key in record if key.endswith(("_p95", "_p99"))}
    allowed = {"message", "cache_hit", "peak_memory_bytes", "routing_entropy", "curve"}
    if name != "none":
        allowed |= {"tokens_compared", "tokens_equal"}
    else:
        allowed |= {"donated"} | {key for key in record if key.startswith("decode_scan_ms_")}
    assert missing <= tails | allowed


def test_the_same_tokens_with_and_without_a_cache(
    measured: dict[str, tuple[dict[str, Any], dict[str, list[float]], list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    record, _, stages = measured["none"]
    assert "compare tokens" in stages
    assert (record["tokens_compared"], record["tokens_equal"]) == (16, True)

    def misplaced(layer: LayerCache, rows: CachedRows, position: jax.Array) -> LayerCache:
        return append(layer, rows, position - 3)

    case = CASES["none"]
    given = inputs(case, init_weights(case.shape))
    uncached = build(sources(case, ("decode_step",))).programs["decode_step"]
    monkeypatch.setattr(grouped, "append", misplaced)
    jax.clear_caches()  # type: ignore[no-untyped-call]
    assert not agreement(case, uncached, given).equal


@every_case
def test_the_cache_has_the_predicted_bytes_and_stays_in_place(
    measured: dict[str, tuple[dict[str, Any], dict[str, list[float]], list[str]]], name: str
) -> None:
    record, _, _ = measured[name]
    assert record["kv_measured_bytes"] == record["kv_predicted_bytes"] == predict.kv_bytes(CASES[name])
    assert record["donated"] is (None if name == "none" else True)
    assert record["parameters"] == predict.parameter_count(CASES[name].shape)


@every_case
def test_figures_are_those_of_the_raw_samples(
    measured: dict[str, tuple[dict[str, Any], dict[str, list[float]], list[str]]], name: str
) -> None:
    record, samples, _ = measured[name]
    kinds = {"prefill", "ttft", "decode_step", "decode_scan"} - ({"decode_scan"} if name == "none" else set())
    assert kinds == {kind for kind in samples if f"{kind}_ms_n" in record}
    for kind in kinds:
        raw = samples[kind]
        found = Summary(*(record[f"{kind}_ms_{figure}"] for figure in Summary._fields))
        assert BUDGET.trials <= found.n == len(raw) <= BUDGET.most
        assert min(raw) > 0
        assert found.min == min(raw)
        assert [found.p20, found.p50, found.p80] == pytest.approx(np.percentile(raw, [20, 50, 80]).tolist())
        assert (found.p95 is None) == (found.n < 40)
        assert found.p99 is None
        assert found.outliers < found.n


@every_case
def test_positions_run_from_the_prompt_to_the_end_and_start_again(
    measured: dict[str, tuple[dict[str, Any], dict[str, list[float]], list[str]]], name: str
) -> None:
    _, samples, _ = measured[name]
    case = CASES[name]
    last = case.cache_length - 1 - (case.cache == "none")
    positions = samples["decode_step_positions"]
    assert len(positions) == len(samples["decode_step"])
    assert {min(positions), max(positions)} <= set(range(case.prompt, last + 1))
    jumps = [after - before for before, after in pairwise(positions) if after - before not in {1, case.prompt - last}]
    assert len(jumps) <= 1, "steps follow each other but for the change of rounds"


@every_case
def test_the_machine_is_what_the_step_is_compared_with(
    measured: dict[str, tuple[dict[str, Any], dict[str, list[float]], list[str]]], name: str
) -> None:
    record, samples, _ = measured[name]
    case = CASES[name]
    bandwidth = max(record["bandwidth_before_gbs"], record["bandwidth_after_gbs"])
    position = sorted(samples["decode_step_positions"])[(len(samples["decode_step_positions"]) - 1) // 2]
    assert record["floor_bytes"] == predict.step_bytes(case, int(position))
    assert record["model_flops"] == predict.step_flops(case, int(position))
    assert record["floor_ms"] / 1e3 * bandwidth * 1e9 == pytest.approx(record["floor_bytes"])
    assert record["floor_ratio"] == pytest.approx(record["decode_step_ms_p50"] / record["floor_ms"])
    assert record["floor_ratio"] > 1
    assert record["tokens_per_second"] == pytest.approx(case.batch / (record["decode_step_ms_p50"] / 1e3))
    seconds = predict.prefill_flops(case) / (record["matmul_gflops"] * 1e9)
    assert record["mfu"] == pytest.approx(seconds / (record["prefill_ms_p50"] / 1e3))
    assert 0 < record["mfu"] < 1


def test_xla_counts_about_the_models_own_work(
    measured: dict[str, tuple[dict[str, Any], dict[str, list[float]], list[str]]],
) -> None:
    record, _, _ = measured["mha"]
    assert 0.9 < record["xla_flops"] / record["model_flops"] < 2
    assert record["temp_bytes"] < record["kv_measured_bytes"]


def test_routing_entropy_is_that_of_several_experts(
    measured: dict[str, tuple[dict[str, Any], dict[str, list[float]], list[str]]],
) -> None:
    assert 0.5 < measured["moe ring bf16"][0]["routing_entropy"] <= math.log2(4)
    assert all(
        record["routing_entropy"] is None for name, (record, _, _) in measured.items() if name != "moe ring bf16"
    )


@pytest.mark.parametrize("name", POSITIONS)
def test_a_curve_has_every_position_with_its_own_samples(
    measured: dict[str, tuple[dict[str, Any], dict[str, list[float]], list[str]]], name: str
) -> None:
    record, samples, stages = measured[name]
    assert [point["position"] for point in record["curve"]] == list(POSITIONS[name])
    assert stages[-1] == "curve"
    for point in record["curve"]:
        raw = samples[f"curve_{point['position']}"]
        assert BUDGET.trials <= point["n"] == len(raw) <= BUDGET.most
        expected = np.percentile(raw, [20, 50, 80]).tolist()
        assert [point["p20"], point["p50"], point["p80"]] == pytest.approx(expected)


def _failed(case: Case, positions: tuple[Any, ...] = (), budget: TimeBudget = BUDGET) -> tuple[str, str]:
    record, _ = measure.measure(Job("bad", case, budget, positions), lambda event: None)
    assert tuple(record) == measure.KEYS
    assert record["status"] in STATUSES
    return record["status"], record["message"]


def test_what_does_not_fit_into_the_machine_is_out_of_memory() -> None:
    huge = Case(replace(TINY, context=2**40), length=2**40)
    status, message = _failed(huge)
    assert status == "oom"
    assert message.startswith("MemoryError: weights and cache need 256.00 TiB, the machine has ")


def test_positions_beyond_the_context_are_unsupported() -> None:
    status, message = _failed(CASES["mha"], (16, 33))
    assert (status, message) == ("unsupported", "positions: 33 is not between 2 and the context of 32")


def test_other_mistakes_are_errors_that_name_their_type() -> None:
    status, message = _failed(CASES["mha"], ("many",))
    assert status == "error"
    assert message.startswith("TypeError: ")


def test_only_a_lack_of_memory_is_out_of_memory() -> None:
    with pytest.raises(jax.errors.JaxRuntimeError) as real:
        jnp.zeros(2**46, jnp.int8).block_until_ready()
    assert measure.is_out_of_memory(real.value)
    assert measure.is_out_of_memory(MemoryError())
    for text in ("INTERNAL: no memory of that", "RESOURCE_EXHAUSTED: Shared memory size limit exceeded"):
        assert not measure.is_out_of_memory(jax.errors.JaxRuntimeError(text))
    assert not measure.is_out_of_memory(ValueError("out of memory"))


def test_messages_are_one_harmless_line() -> None:
    assert measure.described(ValueError("a\n  b\x1b[2J")) == "ValueError: a b\N{REPLACEMENT CHARACTER}[2J"
    assert len(measure.described(ValueError("x" * 5000))) == 400


def test_a_step_that_copies_its_cache_is_found_out() -> None:
    case = CASES["mha"]
    given = series.inputs(case, series.init_weights(case.shape))
    (cache,) = series.init_cache(case)
    step = generate.step(case.shape, case.sampler)
    shapes = (given.weights, given.prompt[:, 0], jnp.int32(8), given.key, cache)
    program = build({"step": ProgramSource(step, shapes)}).programs["step"]
    found = measure._step_checks(program, series.GenerationState(8, (), (cache,)))
    assert (found["status"], found["donated"]) == ("not_in_place", False)
    assert found["kv_measured_bytes"] == predict.kv_bytes(case)
