"""Papers: correct identifiers, and there when their technique is at work."""

from __future__ import annotations

import re

import pytest

from kvtui.engine.model.catalogue import all_models
from kvtui.engine.saying.papers import TECHNIQUES, active_techniques, all_papers, papers_for
from kvtui.engine.scenario.values import scenario_from

# Transcribed from the papers' own pages.
IDENTIFIERS = {
    "PagedAttention": "2309.06180",
    "FlashAttention": "2205.14135",
    "FlashAttention-2": "2307.08691",
    "FlashAttention-3": "2407.08608",
    "MQA": "1911.02150",
    "GQA": "2305.13245",
    "DeepSeek-V2": "2405.04434",
    "DeepSeek-V3": "2412.19437",
    "Longformer": "2004.05150",
    "Mistral 7B": "2310.06825",
    "Gemma 3": "2503.19786",
    "Gated DeltaNet": "2412.06464",
    "Mamba": "2312.00752",
    "Mamba-2": "2405.21060",
    "Kimi Linear": "2510.26692",
    "MiniMax-01": "2501.08313",
    "Cross-layer attention": "2405.12981",
    "KIVI": "2402.02750",
    "Speculative decoding": "2211.17192",
    "RoPE": "2104.09864",
    "ALiBi": "2108.12409",
}


def names(**values: str | bool) -> set[str]:
    return {paper.name for paper in papers_for(scenario_from({"skip_weights": True, **values}))}


def test_identifiers_are_right() -> None:
    by_name = {paper.name: paper for paper in all_papers()}
    assert len(by_name) == len(all_papers())
    assert {name: by_name[name].arxiv for name in IDENTIFIERS} == IDENTIFIERS


def test_every_paper_can_be_found() -> None:
    for paper in all_papers():
        assert paper.link.startswith("https://")
        assert len(paper.tag) <= 3
    numbered = {paper.arxiv: paper for paper in all_papers() if paper.arxiv is not None}
    assert len(numbered) == sum(paper.arxiv is not None for paper in all_papers()) >= len(IDENTIFIERS)
    for identifier, paper in numbered.items():
        assert re.fullmatch(r"\d{4}\.\d{4,5}", identifier)
        assert 1 <= int(identifier[2:4]) <= 12
        assert 2000 + int(identifier[:2]) <= paper.year <= 2000 + int(identifier[:2]) + 2


def test_qwen3_next_is_a_blog_post_and_not_the_qwen3_report() -> None:
    [paper] = [paper for paper in all_papers() if paper.name == "Qwen3-Next"]
    assert paper.arxiv is None
    assert (paper.venue, paper.year) == ("blog", 2025)
    assert "2505.09388" not in {other.arxiv for other in all_papers()}


@pytest.mark.parametrize(
    ("switch", "expected"),
    [
        ("cb", {"Orca"}),
        ("pa", {"PagedAttention"}),
        ("fa", {"FlashAttention", "FlashAttention-2"}),
    ],
)
def test_papers_come_and_go_with_their_switch(switch: str, expected: set[str]) -> None:
    off = {"cb": False, "pa": False, "fa": False}
    without = names(model="Llama-3.1-8B", gpu="A100 80GB SXM", **off)
    assert without == {"GQA"}
    assert names(model="Llama-3.1-8B", gpu="A100 80GB SXM", **(off | {switch: True})) - without == expected


def test_flash_attention_3_is_for_hopper() -> None:
    for gpu, there in (("H100 SXM", True), ("H200 SXM", True), ("GH200 96GB", True), ("A100 80GB SXM", False)):
        assert ("FlashAttention-3" in names(model="Llama-3.1-8B", gpu=gpu)) is there
    for gpu in ("RTX 4090", "B200", "Instinct MI300X", "TPU v5e"):
        assert "FlashAttention-3" not in names(model="Llama-3.1-8B", gpu=gpu)


@pytest.mark.parametrize(
    ("model", "there", "absent"),
    [
        ("Llama-2-7B", {"Transformer"}, {"GQA", "MQA", "Longformer"}),
        ("Llama-3.1-8B", {"GQA"}, {"MQA", "Transformer", "DeepSeek-V2"}),
        ("gemma-3-27b", {"Longformer", "Mistral 7B", "Gemma 3"}, {"Gemma 2", "gpt-oss"}),
        ("gemma-2-9b", {"Longformer", "Gemma 2"}, {"Gemma 3"}),
        ("gpt-oss-120b", {"Longformer", "gpt-oss"}, {"Gemma 3"}),
        ("DeepSeek-V2", {"DeepSeek-V2"}, {"DeepSeek-V3", "DeepSeek-V3.2", "GQA"}),
        ("DeepSeek-V3.2", {"DeepSeek-V2", "DeepSeek-V3", "DeepSeek-V3.2"}, {"MiniMax sparse attention"}),
        ("DeepSeek-V4-Flash", {"DeepSeek-V4"}, {"DeepSeek-V3"}),
        ("MiniMax-M3", {"MiniMax sparse attention", "GQA"}, {"DeepSeek-V3.2"}),
        ("Qwen3-Next-80B-A3B", {"Gated DeltaNet", "Qwen3-Next", "GQA"}, {"Mamba-2"}),
        ("Qwen3.5-27B", {"Gated DeltaNet"}, {"Qwen3-Next"}),
        ("Kimi-Linear-48B-A3B", {"Kimi Linear", "DeepSeek-V2"}, {"Gated DeltaNet"}),
        ("Jamba-1.5-Mini", {"Mamba"}, {"Mamba-2"}),
        ("Nemotron-H-8B", {"Mamba-2"}, {"Mamba"}),
        ("MiniMax-M1", {"MiniMax-01"}, {"Kimi Linear"}),
        ("LFM2-1.2B", {"LFM2"}, {"Mamba"}),
        ("Hunyuan-Large", {"Cross-layer attention"}, {"Longformer"}),
        ("Llama-4-Scout-17B-16E", {"Llama 4", "GQA"}, {"Longformer"}),
        ("whisper-large-v3", {"Transformer"}, {"GQA"}),
        ("gemma-3-1b", {"MQA"}, {"GQA"}),
    ],
)
def test_a_model_brings_the_papers_of_its_layers(model: str, there: set[str], absent: set[str]) -> None:
    found = names(model=model)
    assert there <= found
    assert not absent & found


def test_formats_prefixes_and_speculation() -> None:
    plain = names(model="Qwen3.5-27B")
    assert names(model="Qwen3.5-27B", kv_dtype="fp8") - plain == {"KIVI", "KVQuant"}
    assert names(model="Qwen3.5-27B", kv_dtype="nvfp4") - plain == {"KIVI", "KVQuant", "Microscaling"}
    assert names(model="Qwen3.5-27B", kv_dtype="fp32") == plain
    assert names(model="Qwen3.5-27B", pa=True, shared_prefix="64") - plain == {"PagedAttention", "SGLang"}
    drafting = names(model="Qwen3.5-27B", speculative_tokens="2") - plain
    assert drafting == {"Speculative decoding", "Multi-token prediction"}


def test_every_model_has_papers_and_every_technique_a_name() -> None:
    for model in all_models():
        scenario = scenario_from({"model": model.name, "skip_weights": True})
        found = papers_for(scenario)
        assert found
        assert len({paper.name for paper in found}) == len(found)
        assert set(active_techniques(scenario)) <= TECHNIQUES.keys()
    explained = {technique for paper in all_papers() for technique in paper.techniques}
    assert explained == TECHNIQUES.keys()
