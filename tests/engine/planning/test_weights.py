"""Weights of devices and of decode steps, worked out by hand from the shapes that models publish."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.units import GIB
from kvtui.engine.model.catalogue import find_model
from kvtui.engine.planning.capacity import capacity
from kvtui.engine.planning.cluster import cluster
from kvtui.engine.planning.estimate import estimate
from kvtui.engine.planning.plan import plan
from kvtui.engine.planning.stages import stages
from kvtui.engine.planning.weights import held_weight_bytes, joined_replicas, step_weights, weight_bytes
from kvtui.engine.saying.explain import explain
from kvtui.engine.saying.notices import notices
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.scenario import FILE_WEIGHTS, Scenario
from kvtui.engine.scenario.values import scenario_from
from kvtui.engine.sources.hf.config import read_config
from tests.engine.planning.test_properties import scenarios

EMBEDDING = 128_256 * 4096
NORMS = 65 * 4096
"""Of Llama-3.1-8B: two in each of 32 layers, and the last."""


def held(**values: str | bool) -> list[int]:
    """Bytes of the fullest rank of each stage."""
    scenario = scenario_from(dict(values))
    return [held_weight_bytes(scenario, stage) for stage in stages(scenario)]


@pytest.mark.parametrize("tp", [1, 2, 4, 8])
def test_ranks_of_llama_divide_all_but_the_norms(tp: int) -> None:
    assert held(tp=str(tp)) == [2 * ((8_030_261_248 - NORMS) // tp + NORMS)]


def test_keys_and_values_are_held_twice_by_twice_as_many_ranks_as_heads() -> None:
    both = 32 * 2 * 1024 * 4096
    assert held(tp="16") == [2 * ((8_030_261_248 - NORMS - both) // 16 + NORMS + both // 8)]


def test_the_first_stage_has_the_embedding_and_the_last_the_head() -> None:
    layers = 8_030_261_248 - 2 * EMBEDDING - 4096
    assert held(pp="4") == [2 * (layers // 4 + more) for more in (EMBEDDING, 0, 0, EMBEDDING + 4096)]


def test_a_tied_embedding_is_held_by_both_ends() -> None:
    model = find_model("Qwen3-4B")
    assert all(tensor.role != "head" for tensor in model.outside)
    ends = held(model="Qwen3-4B", pp="2")
    assert sum(ends) == 2 * (model.parameters or 0) + 2 * 151_936 * 2560


def test_prediction_layers_count_where_they_draft() -> None:
    drafting, resting = held(model="Qwen3.6-27B", speculative_tokens="3"), held(model="Qwen3.6-27B")
    drafter = sum(layer.total_parameters or 0 for layer in find_model("Qwen3.6-27B").mtp)
    assert drafting[0] - resting[0] == 2 * drafter > 0


@given(scenarios())
def test_devices_together_hold_at_least_every_tensor_once(scenario: Scenario) -> None:
    """Rows padded or dropped by kernels apart: of formats that are held as they are stored."""
    if scenario.weight_dtype in ("gptq", "mxfp4"):
        scenario = scenario._replace(weight_dtype="awq")
    scenario = scenario._replace(speculative_tokens=0)
    replicas = 1 if scenario.expert_parallel else scenario.layout.dp
    found = plan(scenario)
    assert found.total.weights >= replicas * weight_bytes(scenario)
    assert found.total.weights == sum(len(group.members) * group.parts.weights for group in cluster(found).groups)
    shown = explain(found, capacity(found), estimate(found))
    assert next(one.bytes for one in shown if one.id == "weights") == found.total.weights


EXPERTS_OF_A_LAYER = 256 * 3 * 2048 * 7168
EXPERTS = 58 * (EXPERTS_OF_A_LAYER + 4 * EXPERTS_OF_A_LAYER // 128**2)
"""Bytes of DeepSeek-V3's routed experts in fp8, with an fp32 scale per block of 128 × 128."""


@pytest.mark.parametrize("replicas", [8, 16, 32])
def test_ranks_of_deepseek_v3_have_their_experts_and_all_else(replicas: int) -> None:
    values = {"model": "DeepSeek-V3", "gpu": "H200", "tp": "1", "dp": str(replicas), "batch": "64", "context": "32K"}
    alone = scenario_from({**values, "weight_dtype": "fp8"})
    scenario = alone._replace(expert_parallel=True)
    found, apart = plan(scenario), plan(alone)
    assert apart.per_device.weights - found.per_device.weights == EXPERTS - EXPERTS // replicas
    assert found.per_device.kv == apart.per_device.kv == 64 // replicas * found.cache.kv // 64
    assert found.fits
    assert not apart.fits
    (group,) = cluster(found).groups
    assert len(group.members) == replicas
    assert estimate(found).decode_ms is not None


@pytest.mark.parametrize(("replicas", "size"), [(8, 93.92), (16, 55.84), (32, 36.81)])
def test_a_rank_of_deepseek_v3_in_gib(replicas: int, size: float) -> None:
    values: dict[str, str | bool] = {"model": "DeepSeek-V3", "dp": str(replicas), "batch": "64", "weight_dtype": "fp8"}
    assert held(**values, ep=True)[0] / GIB == pytest.approx(size, abs=0.005)


def test_tensor_parallel_ranks_divide_experts_over_all_replicas() -> None:
    """Qwen3-235B-A22B on two replicas of four ranks: 16 of 128 experts each, and a quarter of the attention."""
    both = held(model="Qwen3-235B-A22B", tp="4", dp="2", batch="2", ep=True)[0]
    alone = held(model="Qwen3-235B-A22B", tp="4", dp="2", batch="2")[0]
    experts = 2 * 94 * 128 * 3 * 4096 * 1536
    assert alone - both == experts // 4 - experts // 8


def test_replicas_of_vllm_have_experts_in_common_without_being_told() -> None:
    """Its replicas of a model with experts are one server; those of other engines, and of dense models, are their own.

    Qwen3-30B-A3B in fp8 on three L4: 7.4 GiB of cache were logged, where whole replicas of 29 GiB would not load.
    """
    experts = {"model": "Qwen3-30B-A3B", "weight_dtype": "bf16", "dp": "3", "batch": "3"}
    routed = 48 * 128 * 3 * 2048 * 768 * 2
    apart, together = held(**experts)[0], held(**experts, engine="vllm")[0]
    assert apart - together == routed - routed // 3
    assert held(**experts, engine="sglang")[0] == apart
    assert joined_replicas(scenario_from({"dp": "2", "batch": "2", "engine": "vllm"})) == 1


def test_a_step_reads_the_experts_that_all_replicas_touch() -> None:
    """One token on each of 32 replicas touches as many experts as 32 tokens, and each replica reads its share."""
    alone = scenario_from({"model": "DeepSeek-V3", "weight_dtype": "fp8", "batch": "32"})
    divided = scenario_from({"model": "DeepSeek-V3", "weight_dtype": "fp8", "batch": "32", "dp": "32", "ep": True})
    one, all_ranks = step_weights(divided), step_weights(alone)
    assert one is not None
    assert all_ranks is not None
    assert one.always == all_ranks.always
    assert [experts.bytes * 32 for experts in one.routed] == [experts.bytes for experts in all_ranks.routed]
    assert all_ranks.routed[0].bytes == EXPERTS


def test_expert_parallelism_is_refused_where_there_are_none() -> None:
    with pytest.raises(InputError, match=r"^ep: Llama-3\.1-8B has no routed experts$"):
        scenario_from({"ep": True})
    with pytest.raises(InputError, match=r"^ep: llama\.cpp gives each device whole layers$"):
        scenario_from({"model": "Qwen3-30B-A3B", "ep": True, "engine": "llama.cpp"})
    scenario = scenario_from({"model": "Qwen3-30B-A3B", "ep": True, "dp": "2", "batch": "2"})
    for field, value in (("engine", "llama.cpp"), ("model", find_model("Llama-3.1-8B"))):
        changed, notes = adapted(scenario, {field: value})
        assert not changed.expert_parallel
        assert any(note.startswith("no expert parallelism: ") for note in notes)


def test_a_wrong_format_gets_the_nearest_names_and_the_list() -> None:
    with pytest.raises(UnknownName, match=r"'awk'; did you mean awq.*; known are bf16, fp16, .*, w4a16, .*, q8_0, "):
        scenario_from({"weight_dtype": "awk"})


def test_fp8_is_the_usual_checkpoint_of_the_model_and_the_report_says_so() -> None:
    found = plan(scenario_from({"weight_dtype": "fp8"}))
    assert found.total.weights > 8_030_261_248 + EMBEDDING
    said = {notice.id: notice.text for notice in notices(found)}
    assert said["weight_format"].startswith("weights: fp8 as RedHat's FP8-dynamic files have it")
    assert "weight_format" not in {notice.id for notice in notices(plan(scenario_from({})))}


def test_element_formats_store_every_tensor_alike() -> None:
    for name, bits in (("int8", 8), ("int4", 4), ("fp32", 32)):
        scenario = scenario_from({"weight_dtype": name})
        assert scenario.weight_bits == bits
        assert weight_bytes(scenario) == 8_030_261_248 * bits / 8


CONFIG = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "intermediate_size": 14336,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
}
AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}


def test_a_config_that_says_how_weights_are_stored_makes_that_the_default(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**CONFIG, "quantization_config": AWQ}))
    own = scenario_from({"model": str(path)})
    named = scenario_from({"model": str(path), "weight_dtype": "awq"})
    assert own.weight_dtype == FILE_WEIGHTS
    assert weight_bytes(own) == weight_bytes(named) == read_config(path).weight_bytes
    for tp in (1, 2, 8):
        layout = own.layout._replace(tp=tp)
        ranks = [scenario._replace(layout=layout) for scenario in (own, named)]
        assert len({held_weight_bytes(scenario, stages(scenario)[0]) for scenario in ranks}) == 1
    assert next(one.text for one in notices(plan(own)) if one.id == "weight_format").startswith("weights: AWQ, 4 bits")


def test_the_size_that_an_index_states_is_divided_as_the_file_stores_it(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "quantization_config": AWQ}))
    size = read_config(tmp_path / "config.json").weight_bytes
    assert size is not None
    index = {"metadata": {"total_size": 2 * size}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    scenario = scenario_from({"model": str(tmp_path), "tp": "2"})
    named = scenario_from({"model": str(tmp_path), "tp": "2", "weight_dtype": "awq"})
    stage = stages(scenario)[0]
    assert held_weight_bytes(scenario, stage) == 2 * held_weight_bytes(named, stage)


def test_a_quantisation_that_is_not_understood_is_a_note(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**CONFIG, "quantization_config": {"quant_method": "nonesuch"}}))
    model = read_config(path)
    assert (model.weight_bytes, model.stored) == (None, None)
    assert any("how the weights are stored is not understood" in note for note in model.notes)
    assert scenario_from({"model": str(path)}).weight_dtype == "bf16"
