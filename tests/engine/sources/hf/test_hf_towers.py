"""Encoders of multimodal models, counted from their own configs, against whole models.

Whole models of twelve kinds are compared as ``transformers`` makes them with all the other classes; here are released
ones, as the catalogue has them from their files.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from kvtui.engine.model.catalogue import find_model
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.sources.hf.config import model_from_config
from tests.engine.sources.hf.published import PUBLISHED
from tests.paths import DATA

SIGLIP = {
    "hidden_size": 1152,
    "image_size": 896,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "patch_size": 14,
    "vision_use_head": False,
}
PIXTRAL = {
    "hidden_size": 1024,
    "image_size": 1540,
    "intermediate_size": 4096,
    "num_hidden_layers": 24,
    "patch_size": 14,
}
QWEN = {"depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "out_hidden_size": 3584, "patch_size": 14}
QWEN3 = {
    "depth": 27,
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "out_hidden_size": 4096,
    "patch_size": 16,
    "num_position_embeddings": 2304,
    "deepstack_visual_indexes": [8, 16, 24],
}
TEXT = {
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 128,
    "head_dim": 64,
}
MERGED = {"temporal_patch_size": 2, "spatial_merge_size": 2, "in_channels": 3}


def read(kind: str, text: str, hidden: int, vision: dict[str, Any], **more: Any) -> ModelSpec:
    whole = {"model_type": kind, "text_config": {**TEXT, "model_type": text, "hidden_size": hidden}}
    return model_from_config({**whole, "vision_config": vision, **more}, "a", "config.json")


def tower(model: ModelSpec) -> int:
    return sum(tensor.parameters for tensor in model.outside if tensor.role == "tower")


@pytest.mark.parametrize(
    ("released", "found"),
    [
        ("gemma-3-4b", read("gemma3", "gemma3_text", 2560, {**SIGLIP, "model_type": "siglip_vision_model"})),
        ("Mistral-Small-3.2", read("mistral3", "mistral", 5120, {**PIXTRAL, "model_type": "pixtral"})),
        ("Qwen2.5-VL-7B", read("qwen2_5_vl", "qwen2_5_vl_text", 3584, {**QWEN, **MERGED})),
        ("Qwen3-VL-8B", read("qwen3_vl", "qwen3_vl_text", 4096, {**QWEN3, **MERGED, "model_type": "qwen3_vl"})),
    ],
)
def test_the_encoder_of_a_released_model(released: str, found: ModelSpec) -> None:
    assert tower(found) == tower(find_model(released))
    assert not any("lower bound" in note for note in found.notes)


GEMMA4 = {
    "model_type": "gemma4_vision",
    "patch_size": 16,
    "position_embedding_size": 10_240,
    "use_clipped_linears": True,
}
GEMMA4_SMALL = {
    **GEMMA4,
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_hidden_layers": 16,
    "num_attention_heads": 12,
    "head_dim": 64,
}
GEMMA4_LARGE = {
    **GEMMA4,
    "hidden_size": 1152,
    "intermediate_size": 4304,
    "num_hidden_layers": 27,
    "num_attention_heads": 16,
    "head_dim": 72,
}
GEMMA4_SOUND = {
    "model_type": "gemma4_audio",
    "hidden_size": 1024,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "conv_kernel_size": 5,
    "subsampling_conv_channels": [128, 32],
    "output_proj_dims": 1536,
}


def gemma4(released: str, vision: dict[str, Any], sound: dict[str, Any] | None) -> ModelSpec:
    """A released model of this name as its config.json has it, with these encoders."""
    whole = {**PUBLISHED[released], "vision_config": vision, "audio_config": sound}
    return model_from_config(whole, "a", "config.json")


@pytest.mark.parametrize(
    ("released", "vision", "sound", "scalars"),
    [
        ("gemma-4-26B-A4B", GEMMA4_LARGE, None, 0),
        ("gemma-4-31B", GEMMA4_LARGE, None, 0),
        ("gemma-4-E4B", GEMMA4_SMALL, GEMMA4_SOUND, 42),
    ],
)
def test_the_encoders_of_gemma_4(
    released: str, vision: dict[str, Any], sound: dict[str, Any] | None, scalars: int
) -> None:
    """As its released files have them; the catalogue counts a scalar of each layer of the small ones with them."""
    found = gemma4(released, vision, sound)
    assert tower(found) + scalars == tower(find_model(released))
    assert not any("lower bound" in note for note in found.notes)


GEMMA3N_SOUND = {
    "model_type": "gemma3n_audio",
    "hidden_size": 1536,
    "conf_num_hidden_layers": 12,
    "conf_num_attention_heads": 8,
    "conf_conv_kernel_size": 5,
    "sscp_conv_channel_size": [128, 32],
    "input_feat_size": 128,
    "vocab_size": 128,
}
MADE = json.loads((DATA / "hf" / "towers.json").read_text())["models"]


@pytest.mark.parametrize("made", MADE, ids=[f"{each['of']} {i}" for i, each in enumerate(MADE)])
def test_encoders_are_as_large_as_transformers_makes_them(made: dict[str, Any]) -> None:
    found = model_from_config(made["config"], "a", "config.json")
    assert tower(found) == made["towers"]
    assert not any("lower bound" in note for note in found.notes)


def test_gemma_3n_with_its_encoders_has_what_is_published() -> None:
    """7,849,978,192 weights, K and V projections and norms of 15 layers that read others' caches among them."""
    image = {"model_type": "gemma3n_vision", "architecture": "mobilenetv5_300m_enc", "hidden_size": 2048}
    whole = {**PUBLISHED["gemma-3n-E4B"], "audio_config": GEMMA3N_SOUND, "vision_config": {**image, "vocab_size": 128}}
    found = model_from_config(whole, "a", "config.json")
    assert found.parameters == 7_849_978_192 - 15 * (2 * 2048 * 512 + 256)
    assert not any("lower bound" in note for note in found.notes)


def test_another_mobilenet_is_not_counted() -> None:
    image = {"model_type": "gemma3n_vision", "architecture": "mobilenetv6", "hidden_size": 2048, "vocab_size": 128}
    found = model_from_config({**PUBLISHED["gemma-3n-E4B"], "vision_config": image}, "a", "config.json")
    assert any("gemma3n_vision" in note and "lower bound" in note for note in found.notes)


def test_the_conformer_of_gemma_3n() -> None:
    """681,348,640 weights in transformers, an embedding of 128 rows of 1,536 with two norms, and a projection."""
    whole = {"model_type": "gemma3n", "text_config": {"model_type": "gemma3n_text"}, "audio_config": GEMMA3N_SOUND}
    assert tower(model_from_config(whole, "a", "config.json")) == 681_348_640 + 130 * 1536 + 1536 * 2048


@pytest.mark.parametrize("channels", [None, 128, [128], [128, 0], ["a", "b"]])
def test_channels_that_are_not_two_numbers_are_not_counted(channels: object) -> None:
    sound = {**GEMMA4_SOUND, "subsampling_conv_channels": channels}
    found = gemma4("gemma-4-E4B", GEMMA4_SMALL, sound)
    assert any("gemma4_audio not counted" in note for note in found.notes)


def test_an_encoder_that_is_not_known_makes_a_lower_bound_and_says_so() -> None:
    known = read("gemma3", "gemma3_text", 2560, {**SIGLIP, "model_type": "siglip_vision_model"})
    other = read("gemma3", "gemma3_text", 2560, {**SIGLIP, "model_type": "some_vision"})
    assert other.parameters == (known.parameters or 0) - tower(known)
    assert any("a lower bound of the total: some_vision not counted" in note for note in other.notes)


@pytest.mark.parametrize(
    ("released", "kind", "more"),
    [
        (
            "gemma-3-4b",
            "gemma3_text",
            {"head_dim": 256, "rope_scaling": {"rope_type": "linear", "factor": 8.0}, "rope_local_base_freq": 10000},
        ),
        (
            "gemma-3-4b",
            "gemma3_text",
            {
                "head_dim": 256,
                "rope_parameters": {
                    "full_attention": {"rope_type": "linear", "factor": 8.0},
                    "sliding_attention": {"rope_type": "default"},
                },
            },
        ),
        ("Llama-3.1-8B", "llama", {"head_dim": 128, "rope_scaling": {"rope_type": "llama3", "factor": 8.0}}),
    ],
)
def test_tables_of_rotary_angles_are_as_large_as_the_file_says(released: str, kind: str, more: dict[str, Any]) -> None:
    model = find_model(released)
    config = {**TEXT, "model_type": kind, "hidden_size": 512, "max_position_embeddings": model.max_context, **more}
    assert model_from_config(config, "a", "config.json").rotary_elements == model.rotary_elements


def test_a_part_of_each_head_is_rotated() -> None:
    """GLM-4 rotates half of 64 elements at each of 4,096 positions."""
    more = {"partial_rotary_factor": 0.5, "max_position_embeddings": 4096}
    config = {**TEXT, "model_type": "glm4", "hidden_size": 512, **more}
    assert model_from_config(config, "a", "config.json").rotary_elements == 4096 * 32


SIGLIP_896 = {"model_type": "siglip_vision_model", "hidden_size": 1152, "image_size": 896, "intermediate_size": 4304}


@pytest.mark.parametrize(
    ("named", "kind", "text", "vision"),
    [
        ("gemma-3-4b", "gemma3", "gemma3_text", {**SIGLIP_896, "num_hidden_layers": 27, "patch_size": 14}),
        ("Mistral-Small-3.2-24B", "mistral3", "mistral", {**PIXTRAL, "model_type": "pixtral"}),
        ("Qwen2.5-VL-7B", "qwen2_5_vl", "qwen2_5_vl_text", {**QWEN, **MERGED, "model_type": "qwen2_5_vl"}),
        ("Qwen3-VL-8B", "qwen3_vl", "qwen3_vl_text", {**QWEN3, **MERGED, "model_type": "qwen3_vl"}),
    ],
)
def test_the_largest_image_is_as_the_catalogue_has_it(named: str, kind: str, text: str, vision: dict[str, Any]) -> None:
    assert read(kind, text, 512, vision).encoder == find_model(named).encoder


def test_a_tower_that_is_not_counted_has_no_image() -> None:
    assert read("gemma3", "gemma3_text", 512, {"model_type": "somewhere_else", "hidden_size": 8}).encoder is None
