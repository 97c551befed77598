"""Names of modules in quantisation configs: paths, globs and patterns as files have them."""

from __future__ import annotations

import pytest

from kvtui.engine.basis.errors import InputError
from kvtui.engine.checkpoint.format import Place
from kvtui.engine.checkpoint.hf.modules import MAX_ENTRIES, MAX_NUMBERED_PATTERNS, named_modules
from kvtui.engine.model.tensors import Role

ROLES: tuple[Role, ...] = (
    "q",
    "o",
    "kv_a",
    "gate",
    "down",
    "router",
    "expert_gate",
    "expert_down",
    "shared_gate",
    "shared_router",
    "recurrent_in",
    "recurrent_gate",
    "conv",
    "norm",
)


def named(*entries: str) -> set[str]:
    """Roles of layer 3 and outside the layers that ``entries`` name."""
    modules = named_modules(entries, InputError)
    inside = {role for role in ROLES if modules(role, Place("layer", 3))}
    outside: tuple[Role, ...] = ("embedding", "head", "tower", "other")
    return inside | {role for role in outside if modules(role, Place("outside"))}


@pytest.mark.parametrize(
    ("entries", "roles"),
    [
        (["lm_head"], {"head"}),
        (["lm_head*"], {"head"}),
        (["re:.*lm_head"], {"head"}),
        (["language_model.lm_head", "model.embed_tokens"], {"head", "embedding"}),
        (["model.layers.3.self_attn.q_proj"], {"q"}),
        (["model.layers.3.self_attn"], {"q", "o", "kv_a"}),
        (["model.layers.3.self_attn*"], {"q", "o", "kv_a"}),
        (["model.layers.*.self_attn"], {"q", "o", "kv_a"}),
        (["model.layers.4.self_attn.q_proj"], set()),
        (["model.layers.30.self_attn.q_proj"], set()),
        (["model.language_model.layers.3.linear_attn.in_proj_qkv"], {"recurrent_in"}),
        (["*linear_attn.in_proj_a*", "*linear_attn.conv1d*"], {"recurrent_gate", "conv"}),
        (["re:.*linear_attn.*"], {"recurrent_in", "recurrent_gate", "conv"}),
        (["gate"], {"router"}),
        (["mlp.gate", "mlp.shared_expert_gate"], {"router", "shared_router"}),
        (["model.layers.3.mlp.gate.weight_quantizer"], set()),
        (["*.mlp.gate.*"], {"router"}),
        (["re:.*mlp.gate$"], {"router"}),
        (["re:.*block_sparse_moe.gate"], {"router"}),
        (["model.layers.3.mlp.experts.0.gate_proj"], {"expert_gate"}),
        (["model.layers.3.mlp.experts"], {"expert_gate", "expert_down"}),
        (["re:.*mlp.experts.*.down_proj"], {"expert_down"}),
        (["re:.*\\.(gate|down)_proj$"], {"gate", "down", "expert_gate", "expert_down", "shared_gate"}),
        (["re:model.visual.*"], {"tower"}),
        (["model.visual.blocks.0.attn.qkv"], {"tower"}),
        (["model.vision_tower*"], {"tower"}),
        (["re:^(?!.*(mlp|lm_head)).*proj$"], {"q", "o"}),
        (["re:model.layers.(2|3).self_attn.*"], {"q", "o", "kv_a"}),
        ([], set()),
    ],
)
def test_entries_of_released_files(entries: list[str], roles: set[str]) -> None:
    assert named(*entries) == roles


def test_prediction_layers_are_named_by_either_custom() -> None:
    place = Place("mtp", 61)
    assert named_modules(["mtp.fc"], InputError)("mtp_in", place)
    assert named_modules(["re:^mtp.*"], InputError)("expert_gate", place)
    assert named_modules(["model.layers.61.self_attn.q_proj"], InputError)("q", place)
    assert not named_modules(["model.layers.0.self_attn.q_proj"], InputError)("q", place)


@pytest.mark.parametrize(
    ("entries", "apart"),
    [
        (["lm_head", "re:.*conv1d", "*fc1_latent_proj*"], False),
        (["model.layers.3.mlp.gate"], True),
        (["re:.*layers.[0-9].*"], True),
        ([r"re:.*layers\.\d\..*"], True),
    ],
)
def test_layers_are_told_apart_only_by_entries_with_numbers(entries: list[str], apart: bool) -> None:
    assert named_modules(entries, InputError).numbered is apart


def test_too_many_entries_and_patterns_are_refused() -> None:
    with pytest.raises(InputError, match="more than 65,536 entries"):
        named_modules((f"model.layers.{n}" for n in range(MAX_ENTRIES + 1)), InputError)
    with pytest.raises(InputError, match="more than 128 patterns"):
        named_modules((f"re:.*{'a' * n}" for n in range(1, 130)), InputError)
    with pytest.raises(InputError, match="32 with numbers"):
        named_modules((f"re:.*layers.{n}$" for n in range(MAX_NUMBERED_PATTERNS + 1)), InputError)
    with pytest.raises(InputError, match="a parenthesis that is not closed"):
        named_modules(["re:("], InputError)
