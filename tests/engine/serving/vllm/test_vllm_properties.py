"""What must hold for any model, format and layout under vLLM, whatever the release."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kvtui.engine.basis.units import GIB
from kvtui.engine.device.catalogue import find_device
from kvtui.engine.model.caches import Attention, Latent, Recurrent, RecurrentKind
from kvtui.engine.model.formats import FORMATS
from kvtui.engine.model.spec import Layer, ModelSpec, cache_bytes
from kvtui.engine.scenario.scenario import NODE_DEVICES, Layout, Scenario, ServingOptions, valid_tps
from kvtui.engine.serving.vllm.releases import rules
from kvtui.engine.serving.vllm.serve import layered, serve
from tests.engine.serving.bounds import around
from tests.engine.serving.vllm.vllm_scenarios import MODELS, formats_of, vllm_scenarios
from tests.nightly import sampled
from tests.present import present

pytestmark = sampled(3)


@given(vllm_scenarios())
def test_the_blocks_are_all_that_the_pool_holds(scenario: Scenario) -> None:
    found = serve(scenario)
    blocks, size, request = present(found.blocks), present(found.bytes_per_block), present(found.blocks_per_request)
    assert blocks * size <= found.pool_bytes
    assert found.pool_bytes < (blocks + 1) * size
    assert found.needed_bytes == request * size
    assert found.max_concurrency * request == blocks


@given(vllm_scenarios())
def test_the_longest_context_fits_and_one_token_more_does_not(scenario: Scenario) -> None:
    expected = around(serve(scenario).max_context)
    assert {tokens: serve(scenario._replace(context=tokens)).fits for tokens in expected} == expected


@given(vllm_scenarios(), st.integers(0, 2**18))
def test_a_longer_request_never_needs_less(scenario: Scenario, more: int) -> None:
    before, after = serve(scenario), serve(scenario._replace(context=scenario.context + more))
    assert before.blocks == after.blocks
    assert present(before.blocks_per_request) <= present(after.blocks_per_request)
    assert before.max_sequences >= after.max_sequences


@given(vllm_scenarios())
def test_both_log_figures_follow_from_the_same_blocks(scenario: Scenario) -> None:
    old = serve(scenario._replace(serving=scenario.serving._replace(version="0.20.0")))
    new = serve(scenario._replace(serving=scenario.serving._replace(version="0.20.1")))
    assert (old.blocks, old.blocks_per_request, old.groups) == (new.blocks, new.blocks_per_request, new.groups)
    assert new.kv_cache_tokens == present(new.blocks) * scenario.context // present(new.blocks_per_request)
    states = any(isinstance(cache, Recurrent) for cache, _ in scenario.model.caches)
    once = states and not scenario.serving.prefix_caching
    sizes = [
        scenario.context if once and share.kind in get_args(RecurrentKind) else share.block_size for share in old.shares
    ]
    assert old.kv_cache_tokens == present(old.blocks) // present(old.groups) * min(sizes)


@given(vllm_scenarios())
def test_the_shares_add_up_to_the_request(scenario: Scenario) -> None:
    found = serve(scenario)
    taken = sum(share.groups * share.blocks for share in found.shares)
    assert taken == found.blocks_per_request or any(f"they lie in {taken:,} blocks" in note for note in found.notes)
    assert sum(share.groups for share in found.shares) == found.groups
    layers = layered(scenario, rules(scenario.serving.version)).layers
    caches = [cache for layer in layers for cache in layer.caches if cache.kind != "shared"]
    assert sum(share.layers for share in found.shares) == len(caches) + sum(cache.ratio > 1 for cache in caches)


@given(vllm_scenarios(stages=False))
def test_padding_is_what_groups_lack(scenario: Scenario) -> None:
    found = rules(scenario.serving.version)
    grouped = layered(scenario, found).grouping
    assume(not any(group.specs[0].spec.latent and group.kind == "window" for group in grouped.groups))
    several = len(grouped.groups) > 1
    size = max(len(group.specs) for group in grouped.groups)
    assert grouped.padding == sum(size - len(group.specs) for group in grouped.groups)
    pages = {spec.spec.page for group in grouped.groups for spec in group.specs}
    assert len(pages) == 1 or not several


@given(vllm_scenarios(stages=False))
def test_a_request_holds_at_least_its_useful_bytes(scenario: Scenario) -> None:
    """The model's own arithmetic, which knows no blocks, is a floor: in formats that vLLM stores as they are."""
    assume(scenario.kv_dtype in ("bf16", "fp16", "fp32", "fp8_per_token_head"))
    caches = [cache for layer in scenario.model.layers for cache in layer.caches]
    assume(all(cache.declared for cache in caches if isinstance(cache, Recurrent)))
    assume(all(cache.kind != "cross_attention" for cache in caches))  # vLLM has room for the tokens of a step
    useful = cache_bytes(scenario.model.caches, scenario.context, scenario.kv, scenario.layout.tp)
    assert serve(scenario).needed_bytes >= useful.kv + useful.state


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_more_ranks_never_need_more_each_in_any_format(model: ModelSpec) -> None:
    tps = [tp for tp in valid_tps(model) if tp <= NODE_DEVICES]
    for name in formats_of(model):
        needed = [_needed(model, name, tp) for tp in tps]
        sizes = dict(zip(tps, needed, strict=True))
        pairs = [(few, many) for few in tps for many in tps if many % few == 0]
        assert not [pair for pair in pairs if sizes[pair[1]] > sizes[pair[0]]], name


def _needed(model: ModelSpec, name: str, tp: int) -> int:
    scenario = Scenario(
        model=model,
        device=find_device("H100 SXM"),
        context=min(model.max_context or 8192, 131_072),
        layout=Layout(tp),
        kv_dtype=name,
        kv_pool=40 * GIB,
        skip_weights=True,
        engine="vllm",
    )
    return serve(scenario).needed_bytes


def test_latents_are_copied_and_heads_above_the_ranks_divided() -> None:
    latent = next(model for model in MODELS if model.name == "DeepSeek-V3")
    assert _needed(latent, "bf16", 1) == _needed(latent, "bf16", 8)
    dense = next(model for model in MODELS if model.name == "Qwen3-235B-A22B")
    assert _needed(dense, "bf16", 4) == _needed(dense, "bf16", 8) == _needed(dense, "bf16", 1) // 4


def test_without_the_hybrid_manager_windows_cost_like_full_layers() -> None:
    gemma = next(model for model in MODELS if model.name == "gemma-3-27b")
    scenario = Scenario(
        gemma, find_device("H100 SXM"), 131_072, kv_pool=GIB, engine="vllm", serving=ServingOptions(version="0.20")
    )
    off = serve(scenario._replace(serving=ServingOptions(version="0.20", hybrid_manager=False)))
    assert off.groups == 1
    assert off.needed_bytes == 62 * 131_072 * 2 * 16 * 128 * 2
    assert serve(scenario).needed_bytes < off.needed_bytes // 3


def test_packed_entries_and_indexer_keys_are_one_block() -> None:
    """DeepSeek-V3.2 with fp8: 656 bytes of fp8_ds_mla and 132 of the indexer in each of 61 layers."""
    sparse = next(model for model in MODELS if model.name == "DeepSeek-V3.2")
    scenario = Scenario(sparse, find_device("H200 SXM"), 64, kv_dtype="fp8", block_size=64, kv_pool=GIB, engine="vllm")
    found = serve(scenario)
    assert (found.groups, found.bytes_per_block, found.bytes_per_token) == (1, 64 * 61 * 788, 61 * 788)
    assert serve(scenario._replace(kv_dtype="fp8_ds_mla")).bytes_per_block == found.bytes_per_block
    assert FORMATS["fp8_ds_mla"].packed_latent


def test_state_slots_of_a_request_by_prefix_caching() -> None:
    model = next(model for model in MODELS if model.name == "Nemotron-H-8B")
    scenario = Scenario(model, find_device("H100 SXM"), 8192, kv_pool=40 * GIB, engine="vllm")

    def blocks(version: str, caching: bool | None) -> tuple[int, int]:
        found = serve(scenario._replace(serving=ServingOptions(version=version, prefix_caching=caching)))
        return next(share.blocks for share in found.shares if share.kind == "mamba2"), present(found.block_size)

    assert blocks("0.20", None)[0] == blocks("0.28", False)[0] == 1
    assert blocks("0.28", None)[0] == blocks("0.28", True)[0] == 2
    kept, tokens = blocks("0.20", True)
    assert (kept, tokens % 256) == (-(-8192 // tokens), 0)


def test_windows_beside_latents_that_keep_every_token_need_the_hybrid_manager() -> None:
    """Without it they cost as much as full layers; a model of nothing but windows of one size does not need it."""
    window = Layer((Attention("sliding_window", 16, 4, 128, 128, 512),))
    latent = Layer((Latent(16, 512, 64),))
    llama = next(model for model in MODELS if model.name == "Llama-3.1-8B")

    def kinds(*layers: Layer) -> set[str]:
        model = llama._replace(layers=layers)
        off = ServingOptions(hybrid_manager=False)
        scenario = Scenario(model, find_device("H100 SXM"), 8192, kv_pool=GIB, engine="vllm", serving=off)
        return {group.kind for group in layered(scenario, rules("")).grouping.groups}

    assert kinds(window, window) == {"window"}
    assert kinds(window, latent) == {"full"}
    assert kinds(window, Layer((Attention("full", 16, 4, 128, 128),))) == {"full"}


@pytest.mark.parametrize(("release", "groups", "padding"), [("0.11", [7, 6, 12], 11), ("0.12", [13, 12], 1)])
def test_nearly_equal_numbers_of_layers_are_padded_to_the_larger(release: str, groups: list[int], padding: int) -> None:
    """gpt-oss-20b with a drafter of one layer: 13 full layers and 12 windowed ones."""
    gpt = next(model for model in MODELS if model.name == "gpt-oss-20b")
    options = ServingOptions(version=release, draft_layers=1)
    scenario = Scenario(gpt, find_device("H100 SXM"), 8192, kv_pool=GIB, engine="vllm", serving=options)
    found = layered(scenario, rules(release)).grouping
    assert sorted(len(group.specs) for group in found.groups) == sorted(groups)
    assert found.padding == padding
