"""Where engines differ in applying a window that a model's files state, the engine decides."""

from __future__ import annotations

import pytest

from kvtui.engine.engines.known import ENGINES, applies_windows
from kvtui.engine.model.catalogue import all_models
from kvtui.engine.model.formats import FORMATS
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.planning.plan import plan
from kvtui.engine.planning.serve import serve
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import scenario_from
from kvtui.engine.sources.gguf.architectures import PLAIN, WINDOWS
from kvtui.engine.sources.hf.config import model_from_config
from tests.engine.sources.hf.published import PUBLISHED
from tests.present import present

# Of a config.json's model_type, the architecture that llama.cpp's converter writes for it.
CONVERTED = {
    "dots1": "dots1",
    "ernie4_5": "ernie4_5",
    "ernie4_5_moe": "ernie4_5-moe",
    "mimo": "qwen2",
    "ministral": "llama",
    "ministral3": "mistral3",
    "mistral": "llama",
    "mixtral": "llama",
    "phi3": "phi3",
    "phimoe": "phimoe",
    "qwen2": "qwen2",
    "qwen2_5_vl": "qwen2vl",
    "qwen2_moe": "qwen2moe",
    "qwen2_vl": "qwen2vl",
    "qwen3": "qwen3",
    "qwen3_moe": "qwen3moe",
    "qwen3_vl": "qwen3vl",
    "qwen3_vl_moe": "qwen3vlmoe",
    "smollm3": "smollm3",
    "stablelm": "stablelm",
    "starcoder2": "starcoder2",
    "afmoe": "afmoe",
    "cohere2": "cohere2",
    "exaone4": "exaone4",
    "exaone_moe": "exaone-moe",
    "gemma2": "gemma2",
    "gemma3": "gemma3",
    "gemma3n": "gemma3n",
    "gemma4": "gemma4",
    "gpt_oss": "gpt-oss",
    "granite_swa": "granite_swa",
    "llama4": "llama4",
    "mimo_v2_flash": "mimo2",
    "olmo3": "olmo2",
    "step3p5": "step35",
}


def file(name: str) -> ModelSpec:
    return model_from_config(PUBLISHED[name], name, "config.json")


def scenario(model: ModelSpec, engine: str, context: int = 4096) -> Scenario:
    told: dict[str, str | bool | None] = {
        "engine": engine,
        "context": str(context),
        "kv_pool": "16GiB",
        "skip_weights": True,
        "gpu": "H100 SXM",
    }
    return scenario_from(told, model)


def growth(model: ModelSpec, engine: str) -> int:
    """Bytes that one more token takes in the engine's cache."""
    return present(serve(scenario(model, engine))).bytes_per_token


@pytest.mark.parametrize(("name", "per_token"), [("Phi-3-mini-4k", 393_216), ("starcoder2-7b", 65_536)])
def test_a_window_that_a_file_states_for_all_layers(name: str, per_token: int) -> None:
    model = file(name)
    assert model.bytes_per_token(FORMATS["bf16"]) == 0
    assert {engine: growth(model, engine) for engine in ("vllm", "sglang", "llama.cpp")} == {
        "vllm": 0,
        "sglang": per_token,
        "llama.cpp": per_token,
    }
    assert any("keeps all tokens" in note for note in present(serve(scenario(model, "llama.cpp"))).notes)


def test_the_report_s_kv_is_what_the_engine_keeps() -> None:
    model, context = file("Phi-3-mini-4k"), 4096
    kept = {engine: plan(scenario(model, engine, context)).total.kv for engine in ENGINES}
    assert kept["none"] == kept["vllm"] == 393_216 * 2047
    assert kept["llama.cpp"] == kept["sglang"] == 393_216 * context


@pytest.mark.parametrize(("name", "window"), [("Phi-3-mini-4k", 2047), ("starcoder2-7b", 4096)])
def test_the_catalogue_counts_them_in_full_and_vllm_applies_the_window(name: str, window: int) -> None:
    model = next(model for model in all_models() if model.name == name)
    assert model.window == window
    assert plan(scenario(model, "none")).serving is None
    assert growth(model, "vllm") == 0
    assert growth(model, "llama.cpp") == growth(model, "tensorrt-llm") == model.bytes_per_token(FORMATS["bf16"])
    assert f"vLLM applies the window of {window:,} tokens" in " ".join(present(serve(scenario(model, "vllm"))).notes)


def test_sglang_has_windowed_pools_for_some_families_only() -> None:
    full = {model.family for model in all_models() if model.family and not applies_windows("sglang", model)}
    assert full >= {"gemma2", "gemma3", "gemma3n", "cohere2", "olmo3", "phi3", "starcoder2"}
    assert not full & {"gemma4", "gpt_oss", "llama4", "mimo_v2_flash", "step3p7"}


@pytest.mark.parametrize("family", CONVERTED)
def test_llama_cpp_applies_the_windows_that_its_architectures_read(family: str) -> None:
    arch = CONVERTED[family]
    assert (arch in WINDOWS or arch == "exaone4") != (arch in PLAIN)
    assert applies_windows("llama.cpp", file("Mistral-7B-v0.3")._replace(family=family)) == (arch not in PLAIN)


def test_every_windowed_model_of_the_catalogue_says_its_family() -> None:
    windowed = [
        model
        for model in all_models()
        if model.window or any(cache.kind in ("sliding_window", "chunked_local") for cache, _ in model.caches)
    ]
    assert len(windowed) > 20
    assert [model.name for model in windowed if not model.family] == []


def test_models_without_windows_are_as_they_were() -> None:
    model = file("Llama-3.1-8B")
    for engine in ENGINES[1:]:
        assert applies_windows(engine, model) == (engine != "sglang")
        assert not any("window" in note for note in present(serve(scenario(model, engine))).notes)
