"""Weights as tensors: they add up to the parameter counts, and have the shapes that published checkpoints have."""

from __future__ import annotations

from collections import Counter

import pytest

from kvtui.engine.model.catalogue import all_models, find_model
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.model.tensors import Tensor, weight_count
from kvtui.engine.sources.hf.config import model_from_config
from tests.engine.sources.hf.published import PUBLISHED, UNCOUNTED

COUNTED = [model.name for model in all_models() if model.parameters_from == "shape"]


def total(model: ModelSpec) -> int:
    return weight_count(model.outside) + sum(layer.total_parameters or 0 for layer in model.layers)


@pytest.mark.parametrize("name", COUNTED)
def test_a_counted_models_tensors_are_all_of_its_parameters(name: str) -> None:
    model = find_model(name)
    assert total(model) == model.parameters
    assert all(tensor.parameters > 0 for layer in model.layers for tensor in layer.tensors or ())


@pytest.mark.parametrize("name", sorted(set(PUBLISHED) - UNCOUNTED))
def test_a_config_that_is_counted_has_the_tensors_of_its_parameters(name: str) -> None:
    model = model_from_config(PUBLISHED[name], name, "config.json")
    assert total(model) == model.parameters


def test_the_matrices_of_a_llama_layer() -> None:
    layer = find_model("Llama-3.1-8B").layers[0]
    assert layer.tensors == (
        Tensor("q", 4096, 4096, 1, "rows", 32),
        Tensor("k", 1024, 4096, 1, "rows", 8),
        Tensor("v", 1024, 4096, 1, "rows", 8),
        Tensor("o", 4096, 4096, 1, "columns", 32),
        Tensor("gate", 14336, 4096, 1, "rows"),
        Tensor("up", 14336, 4096, 1, "rows"),
        Tensor("down", 4096, 14336, 1, "columns"),
        Tensor("norm", 1, 4096),
        Tensor("norm", 1, 4096),
    )


def test_experts_are_matrices_of_one_expert_each() -> None:
    experts = find_model("Qwen3-30B-A3B").layers[0].experts
    assert experts is not None
    assert [(tensor.role, tensor.rows, tensor.columns) for tensor in experts.tensors] == [
        ("expert_gate", 768, 2048),
        ("expert_up", 768, 2048),
        ("expert_down", 2048, 768),
    ]


@pytest.mark.parametrize(
    ("name", "billions"),
    [("DeepSeek-V3", 11.5 + 2 * 0.927), ("Qwen3.5-27B", 0.425), ("Qwen3-Next-80B-A3B", 1.65), ("GLM-4.5", 3.9 + 1.55)],
)
def test_prediction_layers_have_weights_that_the_total_leaves_out(name: str, billions: float) -> None:
    model = find_model(name)
    (layer,) = model.mtp
    assert (layer.total_parameters or 0) / 1e9 == pytest.approx(billions, rel=0.02)


def test_the_catalogue_and_the_released_files_list_the_same_tensors() -> None:
    for name in ("DeepSeek-V3", "Qwen3.5-27B", "gpt-oss-20b", "Kimi-Linear-48B-A3B", "GLM-5"):
        ours, file = find_model(name), model_from_config(PUBLISHED[name], name, "config.json")
        assert [Counter(layer.tensors) for layer in ours.layers] == [Counter(layer.tensors) for layer in file.layers]
        assert [layer.experts for layer in ours.layers] == [layer.experts for layer in file.layers]
        assert [layer.total_parameters for layer in ours.mtp] == [layer.total_parameters for layer in file.mtp]
