"""What ranks of tensor, expert and pipeline parallelism hold: together everything, and nothing that is not held."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.engine.checkpoint.hf.named import format_names, named_format
from kvtui.engine.checkpoint.ranks import EXPERTS, ExpertRanks, held_bytes, rank_bytes, rank_tensor
from kvtui.engine.checkpoint.weights import stored
from kvtui.engine.model.catalogue import all_models, find_model
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.model.tensors import Tensor
from tests.present import present

MODELS = [model for model in all_models() if model.parameters is not None]
models = st.sampled_from(MODELS)
formats = st.sampled_from([name for name in format_names() if "mlx" not in name])


def valid_tps(model: ModelSpec) -> list[int]:
    found = []
    for tp in (1, 2, 4, 8, 16):
        try:
            model.check_tp(tp)
        except InputError:
            continue
        found.append(tp)
    return found


@given(models, formats, st.data())
def test_ranks_together_hold_all_and_the_first_as_much_as_any(model: ModelSpec, name: str, data: st.DataObject) -> None:
    form = named_format(name, model)
    tp = data.draw(st.sampled_from(valid_tps(model)))
    ranks = [held_bytes(model, form, tp, rank=rank, mtp=True) for rank in range(tp)]
    assert sum(ranks) >= held_bytes(model, form, mtp=True)
    assert ranks[0] == max(ranks)
    assert held_bytes(model, form, tp, mtp=True) == ranks[0]


@given(models, st.sampled_from([2, 3, 8, 16]))
def test_a_device_is_relieved_by_more_ranks(model: ModelSpec, tp: int) -> None:
    form = named_format("bf16", model)
    whole, shared = held_bytes(model, form), held_bytes(model, form, tp)
    copied = sum(one.bytes for one in stored(model, form) if one.tensor.split == "copied" and one.part != "mtp")
    assert copied < shared <= whole
    assert shared >= whole // tp


@given(models, st.integers(1, 12), formats)
def test_pipeline_stages_together_hold_all_once_and_a_tied_embedding_twice(
    model: ModelSpec, stages: int, name: str
) -> None:
    form = named_format(name, model)
    count = len(model.layers)
    edges = sorted({count * stage // stages for stage in range(stages + 1)})
    held = sum(held_bytes(model, form, layers=range(*ends), mtp=True) for ends in pairwise(edges))
    whole = held_bytes(model, form, mtp=True)
    tied = all(tensor.role != "head" for tensor in model.outside)
    parts = [one for one in stored(model, form) if one.tensor.role == "embedding" and one.part == "outside"]
    twice = sum(rank_bytes(one, 1) for one in parts) if tied and len(edges) > 2 else 0
    rounded = len(edges)  # weights of which only the number is known end in a part of a byte in each stage
    assert whole + twice <= held <= whole + twice + rounded


@pytest.mark.parametrize("name", ["Qwen3-30B-A3B", "gpt-oss-20b", "DeepSeek-V3"])
@pytest.mark.parametrize("ep", [2, 5, 16])
def test_expert_parallel_ranks_hold_whole_experts(name: str, ep: int) -> None:
    model = find_model(name)
    form = named_format("bf16", model)
    experts = [one for one in stored(model, form) if one.tensor.role in EXPERTS]
    whole = sum(rank_bytes(one, 1) for one in experts)
    ranks = [sum(rank_bytes(one, 1, ExpertRanks(ep, whole=True), rank) for one in experts) for rank in range(ep)]
    assert sum(ranks) == whole
    assert ranks == sorted(ranks, reverse=True)
    assert ranks[0] * present(model.layers[-1].experts).total == whole * -(
        -present(model.layers[-1].experts).total // ep
    )


def test_replicas_that_are_one_server_hold_slices_of_each_expert() -> None:
    """Three replicas of Qwen3-30B-A3B have 256 of each expert's 768 rows, and each all else."""
    form = named_format("bf16", model := find_model("Qwen3-30B-A3B"))
    experts = sum(rank_bytes(one, 1) for one in stored(model, form) if one.tensor.role in EXPERTS)
    whole, sliced = held_bytes(model, form), held_bytes(model, form, experts=ExpertRanks(3))
    assert whole - sliced == experts - experts // 3


def test_fewer_kv_heads_than_ranks_are_held_several_times() -> None:
    keys = Tensor("k", 8 * 128, 4096, split="rows", parts=8)
    assert [rank_tensor(keys, tp).rows for tp in (1, 2, 8, 16)] == [1024, 512, 128, 128]


def test_vocabularies_are_padded_to_a_multiple_of_64_before_they_are_divided() -> None:
    head = Tensor("head", 50_257, 1024, split="rows")
    assert [rank_tensor(head, tp).rows for tp in (1, 2, 4)] == [50_304, 25_152, 12_576]


def test_every_rank_has_the_norms_the_router_and_the_latent_down_projections() -> None:
    model = find_model("DeepSeek-V3")
    form = named_format("bf16", model)
    copied = {one.tensor.role for one in stored(model, form) if one.tensor.split == "copied"}
    assert copied == {"norm", "router", "router_bias", "q_a", "kv_a", "mtp_in"}
    assert 8 * held_bytes(model, form, 8) - held_bytes(model, form) == 7 * sum(
        one.bytes for one in stored(model, form) if one.tensor.role in copied and one.part != "mtp"
    )


def test_what_is_not_loaded_weighs_nothing() -> None:
    model = find_model("Qwen3.6-27B")
    form = named_format("fp8", model)
    whole = held_bytes(model, form, mtp=True)
    tower = sum(one.bytes for one in stored(model, form) if one.tensor.role == "tower")
    drafting = sum(one.bytes for one in stored(model, form) if one.part == "mtp")
    assert held_bytes(model, form) == whole - drafting
    assert held_bytes(model, form, mtp=True, towers=False) == whole - tower
    assert tower == 2 * 460_730_096


def test_unknown_weights_are_an_error_that_names_the_model() -> None:
    ling = find_model("Ling-3.0-Flash")
    with pytest.raises(InputError, match=r"the weights of Ling-3\.0-Flash are unknown"):
        held_bytes(ling, named_format("bf16", ling))


def test_a_stated_total_is_held_where_the_shape_is_not_known() -> None:
    model = find_model("gemma-3n-E4B")
    assert held_bytes(model, named_format("bf16", model)) == 2 * 8_000_000_000
    part = model._replace(outside=find_model("gemma-3-1b").outside)
    assert held_bytes(part, named_format("bf16", part)) == 2 * 8_000_000_000
