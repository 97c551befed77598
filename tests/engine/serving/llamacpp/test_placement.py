"""Where layers lie: llama.cpp's rules against its logs, and what every split has in common."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import GIB, MIB
from kvtui.engine.checkpoint.known import checkpoint_format
from kvtui.engine.checkpoint.weights import used_bytes
from kvtui.engine.device.catalogue import find_device
from kvtui.engine.engines.placement import RAM
from kvtui.engine.model.catalogue import find_model
from kvtui.engine.planning.plan import plan
from kvtui.engine.planning.serve import best_split, serve
from kvtui.engine.scenario.change import adapted, fit_layout
from kvtui.engine.scenario.scenario import ONE_DEVICE, Layout, Scenario, ServingOptions
from kvtui.engine.scenario.values import scenario_from
from kvtui.engine.serving.candidates import Candidate
from kvtui.engine.serving.llamacpp.levers import LEVERS
from kvtui.engine.serving.llamacpp.memory import memory_parts
from kvtui.engine.serving.llamacpp.placement import placement
from tests.present import present

H100 = "H100 SXM"


def scenario(model: str, context: int, device: str = H100, layout: Layout = ONE_DEVICE, **fields: Any) -> Scenario:
    own = {name: fields.pop(name) for name in list(fields) if name in ServingOptions._fields}
    given = {"kv_dtype": "fp16", "weight_dtype": "q4_k_m", "engine": "llama.cpp", **fields}
    return Scenario(
        find_model(model), find_device(device), context, layout=layout, serving=ServingOptions(**own), **given
    )


def cached(chosen: Scenario) -> dict[str, float]:
    """MiB of the buffers as the log lists them."""
    return {buffer.name: round(buffer.bytes / MIB, 2) for buffer in present(serve(chosen)).buffers}


def test_the_caches_of_layers_that_are_left_to_the_cpu() -> None:
    """Qwen3.5-27B with -ngl 26: KV 4608 and 3584 MiB, RS 93.52 and 56.11 for one sequence."""
    found = cached(scenario("Qwen3.5-27B", 131_072, gpu_layers=26, parallel=1))
    assert (found["KV buffer, RAM"], found["KV buffer, device 0"]) == (4608.0, 3584.0)
    states = [found[f"RS buffer (R), {at}"] + found[f"RS buffer (S), {at}"] for at in ("RAM", "device 0")]
    assert states == pytest.approx([93.52, 56.11], abs=0.02)


def test_room_for_the_largest_matrix_that_lies_in_ram() -> None:
    """Half of the layers of Q4_K_M have their experts' down projections in Q6_K: 128 matrices of 2048 × 768."""
    chosen = scenario("Qwen3-30B-A3B", 8192, cpu_moe=48)
    assert memory_parts(chosen, placement(chosen))[0].copied == 128 * 2048 * 768 * 210 // 256


def test_older_builds_offload_the_output_layer_last() -> None:
    """64 layers of 17 MiB each, 29 of 65 on the device: 595 MiB on the CPU and 493 on the device."""
    given: dict[str, Any] = {"kv_dtype": "q8_0", "gpu_layers": 29}
    found = cached(scenario("Qwen3-32B", 8192, version="b6000", **given))
    assert (found["KV buffer, RAM"], found["KV buffer, device 0"]) == (595.0, 493.0)
    assert placement(scenario("Qwen3-32B", 8192, version="b6000", **given)).output == RAM
    assert placement(scenario("Qwen3-32B", 8192, **given)).output == 0
    assert placement(scenario("Qwen3-32B", 8192, **given)).layers(0) == range(36, 64)


def test_three_devices_by_layers() -> None:
    """gemma-4-E4B on 9, 12 and 21 layers: 512, 1024 and 512 MiB of full attention; shared layers own nothing."""
    found = cached(scenario("gemma-4-E4B", 131_072, layout=Layout(pp=3), partition=(9, 12, 21)))
    assert [found[f"KV buffer, device {number}"] for number in range(3)] == [512.0, 1024.0, 512.0]


@pytest.mark.parametrize(("k", "v", "sizes"), [("q8_0", "q4_0", (34, 18)), ("fp16", "q8_0", (64, 34))])
def test_k_and_v_are_stored_apart(k: str, v: str, sizes: tuple[int, int]) -> None:
    """Cells × (K in its type + V in its own): 816 + 432 MiB of a Nemotron in q8_0 and q4_0 are as 34 to 18."""
    chosen = scenario("Llama-3.1-8B", 8192, kv_dtype=f"{k}/{v}", parallel=1)
    rows = 8192 * 32 * 8 * 128 // 32
    assert present(serve(chosen)).needed_bytes == rows * sum(sizes)
    assert (chosen.k_dtype, chosen.v_dtype) == (k, v)
    assert scenario_from({"k_dtype": k, "v_dtype": v}).kv_dtype == f"{k}/{v}"
    assert scenario_from({"v_dtype": v}).kv_dtype == f"bf16/{v}"
    assert scenario_from({"kv_dtype": k, "v_dtype": k}).kv_dtype == k


def test_quantised_v_needs_flash_attention_and_k_does_not() -> None:
    serve(scenario("Llama-3.1-8B", 8192, kv_dtype="q8_0/fp16", flash_attention=False))
    with pytest.raises(InputError, match=r"stores V as q8_0 only with FlashAttention"):
        serve(scenario("Llama-3.1-8B", 8192, kv_dtype="fp16/q8_0", flash_attention=False))


@pytest.mark.parametrize("engine", ["vllm", "sglang", "tensorrt-llm"])
def test_other_engines_keep_one_format(engine: str) -> None:
    with pytest.raises(InputError, match="keeps K and V in one format"):
        scenario("Llama-3.1-8B", 8192, kv_dtype="fp8/bf16", engine=engine, weight_dtype="bf16")


def test_slots_can_share_one_cache() -> None:
    """-np 4 -kvu: one stream, and windows of four sequences and a batch."""
    apart, shared = (scenario("gemma-3-27b", 8192, parallel=4, kv_unified=one) for one in (None, True))
    sizes = {buffer.name: buffer.cells for buffer in present(serve(shared)).buffers}
    assert sizes == {"KV buffer": 8192, "SWA KV buffer": 4 * 1024 + 512}
    assert {buffer.cells for buffer in present(serve(apart)).buffers} == {2048, 1536}


def test_shares_are_those_of_load_tensors() -> None:
    """Four layers and the output in shares of 3 to 1: places 0 to 0.6 lie below three quarters, 0.8 above."""
    model = find_model("Llama-3.1-8B")
    small = model._replace(name="four", layers=model.layers[:4])
    chosen = scenario("Llama-3.1-8B", 8192, layout=Layout(pp=2))._replace(model=small)
    chosen = chosen._replace(serving=ServingOptions(tensor_split=(3.0, 1.0)))
    found = placement(chosen)
    assert (found.owners, found.output) == ((0, 0, 0, 0), 1)
    even = placement(chosen._replace(serving=ServingOptions()))
    assert (even.owners, even.output) == ((0, 0, 0, 1), 1)
    alone = placement(chosen._replace(serving=ServingOptions(main_gpu=1)))
    assert {*alone.owners, alone.output} == {1}


MODELS = ("Llama-3.1-8B", "Qwen3-30B-A3B", "Qwen3.5-27B", "gemma-3-27b", "gpt-oss-20b", "DeepSeek-V2-Lite")


@st.composite
def splits(draw: st.DrawFn) -> Scenario:
    name = draw(st.sampled_from(MODELS))
    model, devices = find_model(name), draw(st.integers(1, 3))
    experts = any(layer.experts for layer in model.layers)
    shares = st.lists(st.integers(1, 9), min_size=devices, max_size=devices)
    return scenario(
        name,
        draw(st.sampled_from([4096, 32_768])),
        layout=Layout(pp=devices),
        weight_dtype=draw(st.sampled_from(["q4_k_m", "q8_0", "bf16"])),
        gpu_layers=draw(st.none() | st.integers(0, len(model.layers) + 2)),
        cpu_moe=draw(st.integers(0, len(model.layers))) if experts else 0,
        tensor_split=draw(st.none() | shares.map(tuple)),
        kv_offload=draw(st.booleans()),
        version=draw(st.sampled_from(["", "b6000"])),
    )


@given(splits())
def test_every_split_holds_all_weights_and_caches_once(chosen: Scenario) -> None:
    """A tied embedding is held twice where the output layer is on a device."""
    whole = chosen._replace(serving=chosen.serving.unplaced, layout=Layout())
    form = checkpoint_format(chosen.weight_dtype, chosen.model)
    uses = present(serve(chosen)).memories
    weights = sum(size for use in uses for cause, size in use.held if cause in WEIGHTS)
    again = 0
    if placement(chosen).output != RAM and all(tensor.role != "head" for tensor in chosen.model.outside):
        again = next(size for use in uses for cause, size in use.held if cause == "embedding")
    assert weights - again == used_bytes(chosen.model, form)
    caches = sum(buffer.bytes for buffer in present(serve(chosen)).buffers)
    assert caches == sum(buffer.bytes for buffer in present(serve(whole)).buffers)
    assert caches == sum(size for use in uses for cause, size in use.held if cause in ("KV cache", "states"))
    assert plan(chosen).total.kv <= caches


WEIGHTS = ("embedding", "layers", "experts", "output layer", "encoder")


@given(splits(), st.integers(4, 80))
def test_the_best_split_fits_and_one_layer_more_does_not(chosen: Scenario, gib: int) -> None:
    device = chosen.device._replace(usable_bytes=gib * GIB, allocatable_bytes=gib * GIB)
    free = chosen._replace(device=device, serving=chosen.serving.unplaced, ram=2048 * GIB, layout=Layout())
    found = best_split(free)
    assert found is not None
    told = free._replace(serving=free.serving._replace(gpu_layers=found.gpu_layers, cpu_moe=found.cpu_moe))
    if not found.fits:
        assert found.gpu_layers == 0
        return
    assert present(serve(told)).fits
    assert present(serve(free)).fits
    if found.cpu_moe and found.gpu_layers > len(free.model.layers):
        more = told.serving._replace(cpu_moe=found.cpu_moe - 1)
    elif found.gpu_layers <= len(free.model.layers):
        more = told.serving._replace(gpu_layers=found.gpu_layers + 1)
    else:
        return
    assert not present(serve(told._replace(serving=more))).fits


def test_what_ram_does_not_hold_does_not_fit() -> None:
    chosen = scenario("DeepSeek-V3", 8192, "RTX 4090", ram=256 * GIB)
    found = plan(chosen)
    assert not found.fits
    assert found.binding_limit == "RAM"
    assert plan(chosen._replace(ram=768 * GIB)).fits


def test_a_draft_model_has_weights_and_a_cache_of_its_own() -> None:
    chosen = scenario("Qwen3-32B", 8192, draft_model=find_model("Qwen3-0.6B"), draft_ref="Qwen3-0.6B", parallel=1)
    held = dict(present(serve(chosen)).memories[0].held)
    draft = used_bytes(find_model("Qwen3-0.6B"), checkpoint_format("q4_k_m", find_model("Qwen3-0.6B")))
    assert held["draft model"] == draft
    assert cached(chosen)["draft KV buffer"] == 8192 * 28 * 2 * 8 * 128 * 2 / MIB


def test_a_projector_and_finished_prompts_are_held() -> None:
    chosen = scenario("gemma-3-27b", 8192, mmproj=800 * MIB, cache_ram=8 * GIB)
    device, ram = present(serve(chosen)).memories
    assert dict(device.held)["vision projector"] == 800 * MIB
    assert dict(ram.held)["finished prompts"] == 8 * GIB


def test_what_contradicts_a_split_is_refused_and_gives_way() -> None:
    for fields, words in (
        ({"gpu_layers": 3, "engine": "vllm", "weight_dtype": "bf16", "kv_dtype": "bf16"}, "gpu-layers: llama.cpp"),
        ({"cpu_moe": 3}, "cpu-moe: Llama-3.1-8B has no routed experts"),
        ({"tensor_split": (1.0, 2.0)}, "tensor-split: 2 shares for 1 devices"),
        ({"main_gpu": 1}, "main-gpu: there is no device 1"),
        ({"gpu_layers": 3, "layout": Layout(2)}, "gpu-layers: whole layers"),
    ):
        with pytest.raises(InputError, match=words):
            scenario("Llama-3.1-8B", 8192, **fields)
    chosen = scenario("Llama-3.1-8B", 8192, gpu_layers=3, kv_dtype="bf16", weight_dtype="bf16")
    after, notes = adapted(chosen, {"engine": "vllm"})
    assert not after.serving.placing
    assert notes == ("all layers on the devices: vllm has none in RAM",)
    mixed = scenario("Qwen3-30B-A3B", 8192, cpu_moe=9)
    after, notes = adapted(mixed, {"model": find_model("Llama-3.1-8B")})
    assert after.serving.cpu_moe == 0


def test_what_does_not_fit_can_be_left_to_ram() -> None:
    """The split is among what can be changed, and a scenario that takes it fits."""
    chosen = scenario("Qwen3-30B-A3B", 32_768, "RTX 3060 12GB")
    assert not plan(chosen).fits
    found = [change for change in LEVERS.switches(chosen) if isinstance(change, Candidate) and "RAM" in change.name]
    [change] = found
    assert plan(chosen._replace(**change.fields)).fits
    assert not [one for one in LEVERS.switches(scenario("Qwen3-0.6B", 8192)) if "RAM" in one.name]


@pytest.mark.parametrize("devices", [2, 3])
def test_devices_of_different_use_are_filled_one_after_the_other(devices: int) -> None:
    """Layers with experts in RAM are all on the first device: it takes more of the others than an equal share."""
    chosen = scenario("gpt-oss-120b", 8192, "RTX 3060 12GB", layout=Layout(pp=devices), weight_dtype="mxfp4_moe")
    free = chosen._replace(ram=128 * GIB)
    assert present(serve(free)).fits
    found = present(best_split(free))
    assert found.fits
    words = found.commands[0][1].split()
    shares = tuple(map(float, words[words.index("--tensor-split") + 1].split(",")))
    told = free._replace(
        serving=free.serving._replace(gpu_layers=found.gpu_layers, cpu_moe=found.cpu_moe, tensor_split=shares),
    )
    assert placement(told) == placement(free)


def test_devices_of_this_engine_are_stages() -> None:
    model = find_model("Llama-3.1-8B")
    assert fit_layout(model, 4, 1, "llama.cpp") == Layout(pp=4)
    assert scenario_from({"engine": "llama.cpp", "gpus": "2"}).layout == Layout(pp=2)
    assert scenario_from({"engine": "vllm", "gpus": "2"}).layout == Layout(tp=2)


def test_a_draft_model_has_a_compute_buffer_of_its_own() -> None:
    alone = scenario("Qwen3-32B", 8192)
    drafted = scenario("Qwen3-32B", 8192, draft_model=find_model("Qwen3-0.6B"), draft_ref="Qwen3-0.6B")
    small = scenario("Qwen3-0.6B", 8192)
    sizes = [dict(present(serve(one)).memories[0].held)["compute buffer"] for one in (alone, drafted, small)]
    assert sizes[1] == sizes[0] + sizes[2]
