"""What-ifs of the cache: by hand, on every model, and never under an engine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.engine.model.caches import Latent
from kvtui.engine.model.catalogue import all_models, find_model
from kvtui.engine.model.formats import FORMATS
from kvtui.engine.model.spec import ModelSpec, cache_bytes
from kvtui.engine.model.what_if import EXAMPLES, KINDS, applied, parsed
from kvtui.engine.picture.allocator import allocate, allocator_of
from kvtui.engine.picture.bank_map import Code, bank_map, describe
from kvtui.engine.planning.plan import plan
from kvtui.engine.planning.what_if import real_scenario, what_if_gain
from kvtui.engine.saying.notices import notices
from kvtui.engine.saying.papers import papers_for
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.setting import typed_fields
from kvtui.engine.scenario.values import command_line, scenario_from

LLAMA = find_model("Llama-3.1-8B")
BF16 = FORMATS["bf16"]
LONG = 65_536


def kept(model: ModelSpec, tokens: int = LONG) -> int:
    return cache_bytes(model.caches, tokens, model.what_if_kv or BF16).kv


@pytest.mark.parametrize(
    ("text", "tokens", "size"),
    [
        ("mqa", LONG, 32 * LONG * 2 * 128 * 2),
        ("gqa:2", LONG, 32 * LONG * 2 * 2 * 128 * 2),
        ("gqa:32", LONG, 32 * LONG * 2 * 32 * 128 * 2),
        ("mla:512+64", LONG, 32 * LONG * 576 * 2),
        ("swa:4096", LONG, 32 * 4096 * 4096),
        ("swa:4096@5:1", LONG, (27 * 4096 + 5 * LONG) * 4096),
        ("swa:4096@5:1", 1000, 32 * 1000 * 4096),
        ("evict:2048", LONG, 32 * 2048 * 4096),
        ("sinks:4+2044", LONG, 32 * 2048 * 4096),
        ("sinks:4+2044", 100, 32 * 100 * 4096),
        ("lowrank:256", LONG, 32 * LONG * 2 * 256 * 2),
        ("quant:2/32", LONG, 32 * LONG * 2 * 1024 * 12 // 32),
        ("quant:4/128", LONG, 32 * LONG * 2 * 1024 * 68 // 128),
        ("gqa:4,quant:2/32", LONG, 32 * LONG * 2 * 512 * 12 // 32),
        ("mqa,swa:1024", LONG, 32 * 1024 * 2 * 128 * 2),
    ],
)
def test_by_hand(text: str, tokens: int, size: int) -> None:
    """Llama-3.1-8B: 32 layers of 8 KV heads of 128 elements, 4,096 bytes of a token and layer in bf16."""
    assert kept(applied(LLAMA, text), tokens) == size


def test_a_model_with_windows_keeps_them() -> None:
    gemma = find_model("Gemma-3-27B")
    before, after = kept(gemma), kept(applied(gemma, "evict:2048"))
    windowed = sum(n * min(LONG, c.cap) * c.entry_bytes(BF16, 1) for c, n in gemma.caches if c.cap is not None)
    assert before - after == (before - windowed) * (LONG - 2048) // LONG


def test_a_latent_can_be_evicted_and_quantised_but_has_no_heads_to_share() -> None:
    deepseek = find_model("DeepSeek-V3")
    assert kept(applied(deepseek, "evict:2048")) == 61 * 2048 * 576 * 2
    assert kept(applied(deepseek, "quant:2/32")) == 61 * LONG * 576 * 12 // 32
    for text in ("mqa", "gqa:8", "mla:512+64", "lowrank:64"):
        with pytest.raises(InputError, match="changes no layer of DeepSeek-V3"):
            applied(deepseek, text)


@given(st.sampled_from(all_models()), st.sampled_from(EXAMPLES))
def test_nothing_but_the_cache_changes(model: ModelSpec, text: str) -> None:
    try:
        changed = applied(model, text)
    except InputError:
        return
    assert [layer._replace(caches=()) for layer in changed.layers] == [one._replace(caches=()) for one in model.layers]
    assert (changed.parameters, changed.outside, changed.mtp) == (model.parameters, model.outside, model.mtp)
    assert changed.name.startswith(f"{model.name}, what if ")
    assert applied(changed, "") == model
    assert applied(changed, text) == changed
    if text.startswith(("evict", "sinks", "swa", "quant")):
        assert kept(changed) <= kept(model)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gqa", "is not like gqa:8"),
        ("gqa:0", "out of range"),
        ("gqa:5", "do not divide 32 query heads"),
        ("gqa:8", "changes no layer"),
        ("mla:512", "is not like mla:512"),
        ("swa:0", "out of range"),
        ("evict:x", "is not like"),
        ("quant:9/32", "whole bytes"),
        ("quant:3/5", "whole bytes"),
        ("mqa,mqa", "mqa twice"),
        ("h2o:5", "unknown what-if 'h2o'"),
        ("\x1b[31m", "unknown what-if"),
    ],
)
def test_wrong_ones_are_one_line(text: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        applied(LLAMA, text)
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert "\x1b" not in str(error.value)


def test_each_has_words_and_a_paper() -> None:
    assert set(KINDS) == {one.kind for text in EXAMPLES for one in parsed(text)}
    for text in EXAMPLES:
        (one,) = parsed(text)
        assert "arXiv:" in one.paper
        assert "{" not in one.called
        said = [notice.text for notice in notices(plan(scenario_from({"model": "Phi-3.5-mini", "what_if": text})))]
        assert any(one.paper in text and "no engine does this" in text for text in said)


def test_it_is_never_mixed_with_an_engine() -> None:
    with pytest.raises(InputError, match="vllm allocates what the model has"):
        scenario_from({"what_if": "mqa", "engine": "vllm"})
    scenario = scenario_from({"what_if": "mqa"})
    changed, gave_way = adapted(scenario, {"engine": "vllm"})
    assert changed.model == LLAMA
    assert "no what-if: vllm allocates what the model has" in gave_way


def test_words_lead_there_and_back() -> None:
    scenario = scenario_from({"what_if": "gqa:2,evict:4096", "context": "64K"})
    assert "--model Llama-3.1-8B" in command_line(scenario)
    assert "--what-if gqa:2,evict:4096" in command_line(scenario)
    back = adapted(scenario, typed_fields(scenario, "what-if", "off"))[0]
    assert back == scenario_from({"context": "64K"})
    other = adapted(scenario, typed_fields(scenario, "what-if", "mla:512+64"))[0]
    assert other == scenario_from({"what_if": "mla:512+64", "context": "64K"})
    assert isinstance(other.model.layers[0].caches[0], Latent)


def test_what_is_freed_is_drawn_in_free_banks() -> None:
    scenario = scenario_from({"what_if": "gqa:2", "context": "64K", "batch": "4", "gpu": "H100 SXM"})
    found = plan(scenario)
    gain = what_if_gain(found)
    real = real_scenario(scenario)
    assert gain is not None
    assert real is not None
    assert gain.freed == 4 * 32 * LONG * 2 * 6 * 128 * 2 == plan(real).per_device.cache - found.per_device.cache
    allocation = allocate(allocator_of(found), scenario.context)
    picture = bank_map(allocation, 1000, freed=gain.freed)
    drawn = picture.codes.count(Code.FREED)
    assert drawn == picture.counts.freed == round(1000 * gain.freed / allocation.capacity)
    assert picture.counts.total == 1000
    freed = picture.codes.index(Code.FREED)
    assert "the model as it is would take 24.00 GiB more of cache" in describe(picture, allocation, freed)
    assert bank_map(allocation, 1000, freed=-5).counts.freed == 0


def test_the_papers_of_compression_are_shown() -> None:
    names = {paper.name for paper in papers_for(scenario_from({"what_if": "evict:2048,quant:2/32"}))}
    assert {"H2O", "SnapKV", "KIVI"} <= names
    assert "Palu" in {paper.name for paper in papers_for(scenario_from({"what_if": "lowrank:64"}))}
