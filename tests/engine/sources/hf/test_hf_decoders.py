"""Model types with caches of their own: loops, states beside K and V, latents kept twice, decoders of encoders."""

from __future__ import annotations

from typing import Any

import pytest

from kvtui.engine.basis.errors import InputError
from kvtui.engine.model.caches import Attention, Shared
from kvtui.engine.model.formats import FORMATS
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.sources.hf.config import model_from_config

BF16 = FORMATS["bf16"]


def read(model_type: str, **fields: Any) -> ModelSpec:
    return model_from_config({"model_type": model_type, **fields}, "m", "config.json")


def refusal(model_type: str, **fields: Any) -> str:
    with pytest.raises(InputError) as caught:
        read(model_type, **fields)
    return str(caught.value)


def test_a_language_model_that_a_wrapper_leaves_out_is_all_class_defaults() -> None:
    llava, own = read("llava"), read("llama")
    assert [layer.caches for layer in llava.layers] == [layer.caches for layer in own.layers]
    assert any("language model only" in note for note in llava.notes)
    assert any("class defaults of llama" in note for note in llava.notes)
    assert read("paligemma").source == "config.json (model_type gemma)"
    assert read("mistral3").bytes_per_token(BF16) == 40 * 2 * 8 * 128 * 2
    assert read("mistral3", text_config={"hidden_size": 5120}).layer_kinds == {"sliding_window": 32}


def test_a_nested_part_has_the_type_that_its_wrapper_gives_it() -> None:
    spec = read("llava", text_config={"num_hidden_layers": 40, "hidden_size": 5120, "num_attention_heads": 40})
    assert spec.source == "config.json (model_type llama)"
    assert spec.bytes_per_token(BF16) == 40 * 2 * 5120 * 2
    mistral = read("llava", text_config={"model_type": "mistral", "sliding_window": None})
    assert mistral.bytes_per_token(BF16) == 32 * 2 * 8 * 128 * 2


def test_sizes_outermost_are_the_language_model_s() -> None:
    flat = read("qwen2_vl", hidden_size=1536, num_hidden_layers=28, num_attention_heads=12, num_key_value_heads=2)
    assert flat.bytes_per_token(BF16) == 28 * 2 * 2 * 128 * 2


def test_an_encoder_keeps_no_cache() -> None:
    assert "is_decoder: is not true: an encoder keeps no KV cache" in refusal("bert")
    assert read("bert", is_decoder=True).bytes_per_token(BF16) == 12 * 2 * 768 * 2


def test_a_token_of_an_encoder_decoder_model_is_kept_once() -> None:
    for model_type, each in (("t5", 6 * 2 * 8 * 64), ("bart", 12 * 2 * 1024), ("umt5", 8 * 2 * 6 * 64)):
        spec = read(model_type)
        assert spec.bytes_per_token(BF16) == 2 * each
        assert any("by cross-attention" in note for note in spec.notes)


def test_the_decoder_of_whisper_alone_has_no_frames() -> None:
    assert read("whisper").bounded_bytes(BF16) > 0
    alone = read("whisper", architectures=["WhisperForCausalLM"])
    assert (alone.bounded_bytes(BF16), alone.parameters) == (0, None)
    assert alone.bytes_per_token(BF16) == read("whisper").bytes_per_token(BF16)


def test_falcon_s_heads() -> None:
    sizes = {"hidden_size": 4544, "num_attention_heads": 71, "num_hidden_layers": 32}
    assert read("falcon", **sizes).bytes_per_token(BF16) == 32 * 2 * 64 * 2
    assert read("falcon", **sizes, multi_query=False).bytes_per_token(BF16) == 71 * 32 * 2 * 64 * 2
    new = {"new_decoder_architecture": True, "num_kv_heads": 8, "hidden_size": 8192, "num_attention_heads": 128}
    assert read("falcon", num_hidden_layers=60, **new).bytes_per_token(BF16) == 60 * 2 * 8 * 64 * 2
    assert "num_kv_heads: 5 does not divide" in refusal("falcon", **{**new, "num_kv_heads": 5})


def test_mpt_s_heads_are_in_attn_config() -> None:
    sizes = {"d_model": 4096, "n_heads": 32, "n_layers": 32}
    assert read("mpt", **sizes).bytes_per_token(BF16) == 32 * 2 * 4096 * 2
    grouped = {"attn_type": "grouped_query_attention", "kv_n_heads": 8}
    assert read("mpt", **sizes, attn_config=grouped).bytes_per_token(BF16) == 32 * 2 * 8 * 128 * 2
    assert "attn_type" in refusal("mpt", **sizes, attn_config={"attn_type": "spiral"})
    assert read("dbrx", attn_config={"kv_n_heads": 8}).bytes_per_token(BF16) == 24 * 2 * 8 * 128 * 2


def test_layers_that_run_several_times_keep_k_and_v_of_each() -> None:
    ouro = {"hidden_size": 2048, "num_attention_heads": 16, "num_key_value_heads": 16, "num_hidden_layers": 48}
    assert read("ouro", **ouro, total_ut_steps=4).bytes_per_token(BF16) == 4 * 48 * 2 * 2048 * 2
    assert "total_ut_steps: is missing" in refusal("ouro", **ouro)
    assert len(read("hrm_text").layers) == 16 * 2 * 4
    assert len(read("hrm_text", num_hidden_layers=128, num_layers_per_stack=16).layers) == 128
    assert "2,560 runs of layers are more" in refusal("hrm_text", num_hidden_layers=320)


def test_inkling_s_loop_is_a_range_of_layers() -> None:
    loop = read("inkling2_loop_text")
    runs = [sum(isinstance(cache, Attention) for cache in layer.caches) for layer in loop.layers]
    assert runs == [1] * 6 + [3] * 12 + [1] * 6
    nested = read("inkling2_loop_text", loop_config={"core_start": 0, "core_end": 24, "num_passes": 2})
    assert nested.bytes_per_token(BF16) == 2 * read("inkling2_loop_text", loop_num_passes=1).bytes_per_token(BF16)
    assert "passes of layers 20 to 18" in refusal("inkling2_loop_text", loop_layer_index_start=20)


def test_dory_s_files_count_a_layer_as_two_blocks() -> None:
    blocks = [kind for layer in range(8) for kind in ("sliding_attention" if layer % 4 else "full_attention", "mlp")]
    fields = {
        "layer_types": blocks,
        "num_hidden_layers": 16,
        "n_input_layers": 4,
        "n_output_layers": 4,
        "n_recurrent_layers": 8,
        "n_recurrent_loops": 3,
    }
    spec = read("dory", **fields)
    assert [len(layer.caches) for layer in spec.layers] == [1, 1, 3, 3, 3, 3, 1, 1]
    last = read("dory", **fields, recurrent_kv_cache_mode="last_loop")
    assert [len(layer.caches) for layer in last.layers] == [1] * 8
    assert "n_recurrent_layers: and the layers" in refusal("dory", **{**fields, "n_recurrent_layers": 4})


def test_longcat_keeps_two_latents_a_layer() -> None:
    spec = read("longcat_flash")
    assert spec.bytes_per_token(BF16) == 2 * 28 * (512 + 64) * 2
    assert {len(layer.caches) for layer in spec.layers} == {2}


def test_mistral_large_4_shares_latents_and_has_no_rotary_part_in_every_fourth_layer() -> None:
    small = {"num_hidden_layers": 4, "kv_source_layers": [0, 0, 2, 3]}
    spec = model_from_config({"model_type": "mistral_large4_text", **small}, "m", "f")
    assert spec.bytes_per_token(BF16) == (576 + 576 + 512) * 2
    assert isinstance(spec.layers[1].caches[0], Shared)
    wrong = {"num_hidden_layers": 4, "kv_source_layers": [0, 2, 2, 3]}
    assert "layer 1 cannot read layer 2" in refusal("mistral_large4_text", **wrong)


def test_zamba_has_k_and_v_in_its_hybrid_layers_only() -> None:
    kinds = ["linear_attention", "hybrid", "mamba", "hybrid"]
    spec = read("zamba2", num_hidden_layers=4, layers_block_type=kinds)
    assert spec.layer_kinds == {"mamba2": 4, "full": 2}
    assert spec.bytes_per_token(BF16) == 2 * 2 * 32 * 160 * 2
    by_number = read("zamba2", num_hidden_layers=4, hybrid_layer_ids=[1, 3])
    assert [layer.caches for layer in by_number.layers] == [layer.caches for layer in spec.layers]
    assert read("zamba").layer_kinds == {"mamba1": 76, "full": 13}


def test_mamba_keeps_states_alone() -> None:
    for model_type in ("mamba", "mamba2", "falcon_mamba"):
        spec = read(model_type)
        assert spec.bytes_per_token(BF16) == 0
        assert spec.state_bytes() > 0
        assert spec.parameters is not None


def test_bamba_attends_where_it_says() -> None:
    assert read("bamba", attn_layer_indices=[9, 18, 27]).layer_kinds == {"mamba2": 29, "full": 3}


def test_a_type_that_cannot_be_read_says_why() -> None:
    assert "model_type rwkv is not read: RWKV-4 keeps a state of a kind" in refusal("rwkv")
    assert "model_type xlnet is not read: it keeps hidden states" in refusal("xlnet")


def test_a_size_that_is_assumed_refuses_a_file_with_numbers_that_nobody_understands() -> None:
    message = refusal("llama", width=5120, num_hidden_layers=40, num_attention_heads=32)
    assert "hidden_size: is missing, and width=5120 is not understood, which may be it" in message


def test_bloom_and_falcon_have_another_name_for_the_hidden_size() -> None:
    assert read("bloom", n_embed=14336, n_layer=70, n_head=112).bytes_per_token(BF16) == 70 * 2 * 14336 * 2


def test_types_of_the_hub_without_a_class() -> None:
    sizes = {"hidden_size": 4096, "num_attention_heads": 32, "num_hidden_layers": 32}
    baichuan = read("baichuan", **sizes, intermediate_size=11008, vocab_size=64000, tie_word_embeddings=False)
    assert (baichuan.bytes_per_token(BF16), baichuan.parameters) == (524_288, 7_000_559_616)
    grouped = {"num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 92544, "bias": False}
    internlm = read("internlm2", **sizes, **grouped, tie_word_embeddings=False)
    assert (internlm.bytes_per_token(BF16), internlm.parameters) == (131_072, 7_737_708_544)
    heads = {"num_layers": 40, "num_attention_heads": 32, "kv_channels": 128, "hidden_size": 4096}
    glm = read("chatglm", **heads, multi_query_attention=True, multi_query_group_num=2)
    assert glm.bytes_per_token(BF16) == 40 * 2 * 2 * 128 * 2
    assert read("qwen", **sizes, kv_channels=128, seq_length=8192).bytes_per_token(BF16) == 524_288
    rwkv = read("rwkv7", hidden_size=2560, head_dim=64, num_hidden_layers=32)
    assert (rwkv.bytes_per_token(BF16), rwkv.state_bytes()) == (0, 32 * (2560 * 64 * 4 + 2 * 2560 * 2))
    assert "an encoder, which keeps no KV cache" in refusal("eurobert")


def test_jetmoe_has_as_many_query_heads_per_kv_head_as_experts_of_attention() -> None:
    config = {"model_type": "jetmoe", "num_hidden_layers": 4, "num_key_value_heads": 16, "kv_channels": 128}
    (kept,) = model_from_config({**config, "num_experts_per_tok": 2}, "m", "config.json").layers[0].caches
    assert (kept.q_heads, kept.entry_bytes(FORMATS["bf16"], 1)) == (32, 2 * 2 * 16 * 128)


def test_positions_in_chunks_do_not_bound_the_cache() -> None:
    chunks = {"chunk_size": 262144, "local_size": 8192, "original_max_position_embeddings": 262144}
    config = {"model_type": "qwen2", "num_hidden_layers": 28, "num_attention_heads": 28, "num_key_value_heads": 4}
    million = config | {"hidden_size": 3584, "dual_chunk_attention_config": chunks, "max_position_embeddings": 1010000}
    assert model_from_config(million, "m", "config.json").bytes_per_token(FORMATS["bf16"]) == 57_344


def test_a_window_longer_than_the_class_s_context_is_one_where_no_file_states_it() -> None:
    config = {"model_type": "exaone4", "num_hidden_layers": 4, "head_dim": 128, "sliding_window": 4096}
    listed = config | {"layer_types": ["sliding_attention"] * 3 + ["full_attention"]}
    for stated, windows in ({}, 3), ({"max_position_embeddings": 131072}, 3), ({"max_position_embeddings": 2048}, 0):
        kinds = model_from_config(listed | stated, "m", "config.json").layer_kinds
        assert kinds.get("sliding_window", 0) == windows
