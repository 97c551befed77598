"""What vLLM says that a rank loaded ("Model loading took"), against the weights of the checkpoint's format."""

from __future__ import annotations

import pytest

from kvtui.engine.basis.units import GIB
from kvtui.engine.planning.serve import tightest_budget
from kvtui.engine.scenario.values import scenario_from
from tests.engine.serving.vllm.test_vllm_pools import STARTS

APART = {
    ("Qwen2.5-7B", "awq"): "0.1 GiB more was loaded than the files have",
    ("DeepSeek-V2-Lite", "bf16"): "0.13 GiB more on each rank, however many there are",
    ("gpt-oss-20b", "mxfp4"): "0.1 GiB more was loaded on two ranks than Triton's layout explains",
}
"""Starts that are not understood well enough, and what is seen of them."""

WEIGHED = {name: start for name, start in STARTS.items() if "weights" in start.logged}
USUAL = {
    name: start
    for name, start in WEIGHED.items()
    if "unexplained_weights" not in start.logged
    and (start.scenario.model.name, start.scenario.weight_dtype) not in APART
}


def error(name: str) -> float:
    """How much more is predicted than was logged, as a share of it."""
    start = WEIGHED[name]
    return float(start.divided().bytes_of("weights") / GIB / start.logged["weights"] - 1)


@pytest.mark.parametrize("name", USUAL)
def test_a_rank_loads_what_the_log_says(name: str) -> None:
    assert abs(error(name)) < 0.015


def test_weights_of_16_bits_are_right_to_the_hundredth_of_a_gib() -> None:
    """Tensors, rotary positions, and what the allocator leaves with large parameters."""
    found = [start for name, start in USUAL.items() if start.scenario.weight_dtype in ("bf16", "fp16", "fp8-channel")]
    errors = [abs(start.divided().bytes_of("weights") / GIB - start.logged["weights"]) for start in found]
    assert len(errors) > 30
    assert sorted(errors)[len(errors) * 9 // 10] < 0.011
    assert sum(error > 0.05 for error in errors) <= 1


@pytest.mark.parametrize(
    ("options", "logged", "allowed"),
    [
        ({"model": "gpt-oss-120b", "gpu": "H100 SXM", "engine": "vllm@0.11.0"}, 64.38, 0.001),
        ({"model": "gpt-oss-120b", "gpu": "A100 80GB SXM", "engine": "vllm@0.11.0"}, 65.97, 0.001),
        ({"model": "gpt-oss-20b", "gpu": "H100 SXM", "engine": "vllm@0.11.0"}, 13.47, 0.002),
        ({"model": "gpt-oss-20b", "gpu": "A100 80GB SXM", "engine": "vllm@0.11.0"}, 13.72, 0.002),
        ({"model": "gpt-oss-20b", "gpu": "H100 SXM", "engine": "vllm@0.19.0"}, 13.64, 0.015),
        ({"model": "gpt-oss-20b", "gpu": "H100 SXM", "engine": "vllm@0.19.0", "tp": "4"}, 3.63, 0.02),
    ],
)
def test_kernels_of_mxfp4_experts_hold_them_as_logged(options: dict[str, str], logged: float, allowed: float) -> None:
    """Triton's keep the file's scales beside their own on Hopper, Marlin's pad both sizes elsewhere."""
    found = tightest_budget(scenario_from({**options, "weight_dtype": "mxfp4"}))
    assert found is not None
    assert found.bytes_of("weights") / GIB == pytest.approx(logged, rel=allowed)


def test_from_0_25_the_scales_are_held_once() -> None:
    def held(release: str) -> int:
        options = {"model": "gpt-oss-120b", "gpu": "H100 SXM", "weight_dtype": "mxfp4", "engine": f"vllm@{release}"}
        found = tightest_budget(scenario_from(options))
        assert found is not None
        return found.bytes_of("weights")

    assert held("0.24") - held("0.25") == 36 * 128 * (5760 + 2880) * 2880 // 32


def test_decoding_of_latents_takes_their_projections_in_16_bits() -> None:
    """DeepSeek-V3 in fp8 has them beside the file's own; in 16 bits they are the file's own."""

    def copies(weight_dtype: str) -> dict[str, object]:
        found = tightest_budget(
            scenario_from(
                {"model": "DeepSeek-V3", "gpu": "H200", "tp": "8", "engine": "vllm", "weight_dtype": weight_dtype}
            )
        )
        assert found is not None
        return dict(found.terms[0].values)

    assert copies("fp8")["latent_copies"] == 61 * 2 * 512 * 128 * 256 // 8
    assert "latent_copies" not in copies("bf16")
