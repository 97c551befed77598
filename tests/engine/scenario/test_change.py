"""What was chosen is kept or refused; what was not chosen gives way, says so, and always leaves a valid scenario."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.engine.device.catalogue import find_device
from kvtui.engine.model.catalogue import all_models, find_model
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.scenario.change import adapted, fit_layout
from kvtui.engine.scenario.scenario import FILE_WEIGHTS, NODE_DEVICES, Layout
from kvtui.engine.scenario.values import scenario_from

MODELS = all_models()


def test_nothing_gives_way_without_need() -> None:
    scenario = scenario_from({"batch": "4", "kv_dtype": "fp8"})
    after, notes = adapted(scenario, {"context": 65_536})
    assert after == scenario._replace(context=65_536)
    assert notes == ()


def test_a_layout_that_the_new_model_cannot_have() -> None:
    scenario = scenario_from({"model": "Llama-3.1-8B", "tp": "8"})
    after, (note,) = adapted(scenario, {"model": find_model("Qwen2.5-7B")})
    assert after.layout == Layout(tp=4, pp=2)
    assert "tp 8" in note
    assert "tp 4 × pp 2" in note


def test_a_batch_below_the_replicas() -> None:
    scenario = scenario_from({"batch": "4", "dp": "4"})
    after, notes = adapted(scenario, {"batch": 1})
    assert after.layout == Layout(tp=4)
    assert len(notes) == 1


def test_stages_give_way_with_the_layout_that_they_belong_to() -> None:
    scenario = scenario_from({"pp_partition": "12,20", "dp": "2", "batch": "2"})
    after, notes = adapted(scenario, {"batch": 1})
    assert after.layout == Layout(4)
    assert after.serving.partition is None
    assert len(notes) == 2


def test_a_chosen_layout_is_refused_and_not_changed() -> None:
    scenario = scenario_from({"model": "Qwen2.5-7B"})
    with pytest.raises(InputError, match="28"):
        adapted(scenario, {"layout": Layout(tp=8)})


def test_weights_of_unknown_size_are_skipped() -> None:
    unknown = next(model for model in MODELS if model.parameters is None and model.weight_bytes is None)
    after, notes = adapted(scenario_from({}), {"model": unknown})
    assert after.skip_weights
    assert any("parameter count" in note for note in notes)


def test_weights_of_a_file_stay_with_the_file() -> None:
    stored = find_model("Llama-3.1-8B")._replace(weight_bytes=5 * 2**30)
    of_file, notes = adapted(scenario_from({}), {"model": stored})
    assert of_file.weight_dtype == FILE_WEIGHTS
    assert notes
    back, notes = adapted(of_file, {"model": find_model("Qwen3-8B")})
    assert back.weight_dtype == "bf16"
    assert notes
    chosen, notes = adapted(scenario_from({}), {"model": stored, "weight_dtype": "int4"})
    assert chosen.weight_dtype == "int4"
    assert notes == ()


def test_a_packed_format_only_where_there_are_latents() -> None:
    scenario = scenario_from({"model": "DeepSeek-V3.2", "kv_dtype": "fp8_ds_mla"})
    after, notes = adapted(scenario, {"model": find_model("Llama-3.1-8B")})
    assert after.kv_dtype == "fp8"
    assert "fp8_ds_mla" in notes[-1]


def test_weights_as_published_are_so_for_another_model_too() -> None:
    """gpt-oss is published in mxfp4, Llama in bf16; what was chosen otherwise stays."""
    assert scenario_from({"model": "gpt-oss-120b", "engine": "llama.cpp"}).weight_dtype == "mxfp4_moe"
    usual = scenario_from({"model": "gpt-oss-120b"})
    assert usual.weight_dtype == "mxfp4"
    llama, notes = adapted(usual, {"model": find_model("Llama-3.1-8B")})
    assert (llama.weight_dtype, notes) == ("bf16", ("weights in bf16, as Llama-3.1-8B is published",))
    assert adapted(llama, {"model": find_model("DeepSeek-V3")})[0].weight_dtype == "fp8"
    chosen = scenario_from({"model": "Llama-3.1-8B", "weight_dtype": "awq"})
    assert adapted(chosen, {"model": find_model("gpt-oss-120b")})[0].weight_dtype == "awq"
    assert scenario_from({"model": "gpt-oss-120b", "weight_dtype": "bf16"}).weight_dtype == "bf16"


def test_lengths_prefix_and_speculation() -> None:
    scenario = scenario_from({"model": "DeepSeek-V3", "lengths": "4096,8192", "pa": True, "shared_prefix": "1024"})
    scenario = scenario._replace(speculative_tokens=1)
    assert adapted(scenario, {"context": 8192})[0].lengths == (4096, 8192)
    assert adapted(scenario, {"context": 4096})[0].lengths is None
    assert adapted(scenario, {"batch": 3})[0].lengths is None
    assert adapted(scenario, {"paged_attention": False})[0].shared_prefix == 0
    assert adapted(scenario, {"model": find_model("Llama-3.1-8B")})[0].speculative_tokens == 0


@given(
    model=st.sampled_from(MODELS),
    other=st.sampled_from(MODELS),
    devices=st.integers(1, 300),
    batch=st.integers(1, 40),
)
def test_any_model_after_any_other(model: ModelSpec, other: ModelSpec, devices: int, batch: int) -> None:
    """The invariant: choosing a model alone never fails, whatever was there before."""
    before, _ = adapted(scenario_from({}), {"model": model, "batch": batch})
    before = before._replace(layout=fit_layout(model, devices, batch))
    after, _ = adapted(before, {"model": other})
    assert after.model is other
    assert after.batch == batch
    assert after.layout.devices <= before.layout.devices


@given(model=st.sampled_from(MODELS), devices=st.integers(1, 200), batch=st.integers(1, 16))
def test_fit_layout_uses_as_many_devices_as_any_split_can(model: ModelSpec, devices: int, batch: int) -> None:
    """Against every split there is, tried one by one; and within a node where one of those uses as many."""

    def valid(layout: Layout) -> bool:
        try:
            model.check_tp(layout.tp)
        except InputError:
            return False
        return layout.pp <= len(model.layers) and layout.dp <= batch

    def most(widest: int) -> int:
        return max(
            tp * pp * dp
            for tp in range(1, min(widest, devices) + 1)
            if valid(Layout(tp))
            for dp in range(1, min(batch, devices // tp) + 1)
            for pp in [min(devices // tp // dp, len(model.layers))]
        )

    found = fit_layout(model, devices, batch)
    assert valid(found)
    assert found.devices <= devices
    assert found.devices == most(devices)
    if most(NODE_DEVICES) == most(devices):
        assert found.tp <= NODE_DEVICES


def test_what_is_left_to_the_engine_follows_model_and_device() -> None:
    scenario = scenario_from({"engine": "vllm", "gpu": "H100 SXM"})
    small, notes = adapted(scenario, {"device": find_device("L4")})
    assert (small.max_batched_tokens, notes) == (2048, ())
    latent, _ = adapted(scenario, {"model": find_model("DeepSeek-V3.2")})
    assert latent.block_size == 64
    chosen = scenario._replace(max_batched_tokens=4096)
    assert adapted(chosen, {"device": find_device("L4")})[0].max_batched_tokens == 4096
    assert adapted(scenario, {"engine": "none"})[0].memory_utilization == 1.0
