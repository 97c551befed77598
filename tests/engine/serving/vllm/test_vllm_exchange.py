"""What DeepEP keeps for handing tokens to other ranks' experts, and what the experts are handed."""

from __future__ import annotations

import pytest

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.units import GIB, MIB
from kvtui.engine.planning.stages import stages
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import scenario_from
from kvtui.engine.serving.vllm.budget import budget
from kvtui.engine.serving.vllm.exchange import exchange_buffers, latency_bytes, rows_at_experts
from kvtui.engine.serving.vllm.serve import serve


def deepseek(replicas: int, **values: str | bool) -> Scenario:
    given: dict[str, str | bool] = {
        "model": "DeepSeek-V3",
        "gpu": "H200",
        "weight_dtype": "fp8",
        "engine": "vllm",
        "ep": True,
    }
    return scenario_from({**given, "dp": str(replicas), "batch": str(replicas), **values})


def test_buffers_for_low_latency_are_as_large_as_deepep_says() -> None:
    """Its test of 128 tokens, 7,168 elements and 288 experts prints "Allocating buffer size: 2146.961792 MB"."""
    assert latency_bytes(128, 7168, 288) == 2_146_961_792


def test_a_rank_for_low_latency_has_a_buffer_of_each_kind() -> None:
    found = exchange_buffers(deepseek(8, all2all_backend="deepep_low_latency"))
    assert found.size == latency_bytes(256, 7168, 256) + 1024 * MIB + 32 * MIB
    assert found.size / GIB == pytest.approx(4.59, abs=0.005)
    assert found.most - found.size == 768 * MIB
    fewer = exchange_buffers(deepseek(8, all2all_backend="deepep_low_latency", max_batched_tokens="128"))
    assert fewer.size < found.size


def test_a_buffer_over_rdma_is_there_between_machines_alone() -> None:
    inside, across = (exchange_buffers(deepseek(n, all2all_backend="deepep_high_throughput")) for n in (8, 16))
    assert across.size - inside.size == 1024 * MIB


def test_what_is_exchanged_is_outside_of_torch_and_leaves_less() -> None:
    plain, found = deepseek(16, kv_dtype="fp8"), deepseek(16, kv_dtype="fp8", all2all_backend="deepep_low_latency")
    (before,), (after,) = ([budget(one, stage) for stage in stages(one)] for one in (plain, found))
    more = after.bytes_of("non_torch") - before.bytes_of("non_torch")
    assert more == exchange_buffers(found).size
    assert exchange_buffers(plain) == (0, 0)
    assert exchange_buffers(deepseek(8, all2all_backend="deepep_low_latency")._replace(expert_parallel=False)) == (0, 0)


def test_experts_are_handed_what_the_backend_says() -> None:
    """Gathered, all tokens with all choices; for low latency room for each rank's tokens at each local expert."""
    (layer,) = {layer for layer in deepseek(8).model.layers if layer.experts is not None}
    rows = {
        name: rows_at_experts(deepseek(8, max_batched_tokens="4096", all2all_backend=name), layer)
        for name in ("allgather_reducescatter", "deepep_high_throughput", "deepep_low_latency")
    }
    assert rows["allgather_reducescatter"] == 8 * 4096 * 8
    assert rows["deepep_high_throughput"] == int(8 * 4096 * (1 - (7 / 8) ** 8)) * 8
    assert rows["deepep_low_latency"] == 256 * 8 * 32


def test_a_backend_that_is_not_counted_is_named() -> None:
    assert any("what pplx keeps" in note for note in serve(deepseek(16, all2all_backend="pplx")).notes)
    assert not any("not counted" in note for note in serve(deepseek(16)).notes)
    with pytest.raises(InputError, match="vllm alone is told how tokens reach"):
        scenario_from({"engine": "sglang", "all2all_backend": "pplx"})
    changed, notes = adapted(deepseek(16, all2all_backend="pplx"), {"engine": "sglang"})
    assert changed.serving.all2all is None
    assert "sglang hands tokens on as it likes" in notes
    with pytest.raises(UnknownName, match="deepep_low_latency"):
        scenario_from({"engine": "vllm", "all2all_backend": "deepep_low"})
