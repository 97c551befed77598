"""Every rule that differs between releases decides something, and is told in words."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from kvtui.engine.model.caches import Attention, Latent, short_conv
from kvtui.engine.model.spec import Layer
from kvtui.engine.planning.serve import tightest_budget
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import scenario_from
from kvtui.engine.serving.vllm.releases import CHANGES, SPAN, Rules, changes, defaults_under, numbers, rules
from kvtui.engine.serving.vllm.serve import serve_under

RELEASES = sorted(
    {f"0.{minor}" for minor in range(int(SPAN.oldest[2:]), int(SPAN.newest[2:]) + 1)} | {"0.9.1", "0.20.1"}, key=numbers
)
VALUES: tuple[dict[str, str | bool], ...] = (
    {"model": "Llama-3.1-8B", "context": "1000"},
    {"model": "Llama-3.1-8B", "context": "1000", "gpu": "B200"},
    {"model": "Llama-3.1-8B", "context": "1000", "gpu": "Instinct MI300X"},
    {"model": "Qwen3-VL-8B", "context": "1000"},
    {"model": "gemma-3-27b", "context": "32K"},
    {"model": "gpt-oss-20b", "context": "32K", "draft_layers": "1"},
    {"model": "Llama-4-Scout", "context": "64K", "gpus": "8"},
    {"model": "Qwen3.5-27B", "context": "32K", "gpus": "2"},
    {"model": "Qwen3.5-27B", "context": "32K", "kv_pool": "4GiB"},
    {"model": "Qwen3-30B-A3B", "context": "256K", "pp": "2", "pp_partition": "16,32", "kv_pool": "18GiB"},
    {"model": "gemma-3-27b", "context": "32K", "block_size": "64"},
    {"model": "gpt-oss-20b", "context": "32K", "pp": "2", "kv_pool": "4GiB"},
    {"model": "Qwen3.5-27B", "context": "32K", "block_size": "512", "kv_pool": "4GiB"},
    {"model": "MiMo-V2-Flash", "context": "32K", "kv_pool": "4GiB"},
    {"model": "Nemotron-3-Super", "context": "32K", "speculative_tokens": "2", "prefix_caching": True},
    {"model": "DeepSeek-V4-Flash", "context": "32K", "kv_pool": "4GiB", "kv_dtype": "fp8"},
    {"model": "GLM-5.2", "context": "32K", "kv_pool": "4GiB"},
    {"model": "Kimi-K3", "context": "32K", "kv_pool": "4GiB"},
)
SCENARIOS = [scenario_from({"engine": "vllm", **values}) for values in VALUES]
_LLAMA = SCENARIOS[0].model
_WINDOW = Layer((Attention("sliding_window", 64, 16, 128, 128, 512),))
_WIDE_K = Layer((Attention("sliding_window", 64, 16, 192, 128, 512),))
SCENARIOS += [
    SCENARIOS[0]._replace(
        model=_LLAMA._replace(layers=layers, mtp=mtp),
        speculative_tokens=2 * bool(mtp),
        context=4096,
        max_batched_tokens=513,
        block_size=64,
    )
    for layers, mtp in (
        ((_WINDOW, _WINDOW), ()),
        ((Layer((short_conv(64, 4),)), Layer((short_conv(128, 4),))), ()),
        ((_WINDOW, Layer((Latent(128, 512, 64),))), ()),
        ((_WIDE_K, Layer((Attention("full", 64, 4, 192, 128),))), ()),
        ((_WINDOW, Layer((Attention("full", 64, 5, 128, 128),))), ()),
        (
            (_WINDOW, Layer((Attention("full", 64, 16, 128, 128),))),
            (Layer((Attention("full", 64, 16, 128, 128),)),) * 2,
        ),
        ((_WINDOW,) * 2, (_WINDOW,) * 2),
    )
]


def outcome(found: Rules, scenario: Scenario) -> tuple[object, ...]:
    return serve_under(found, scenario), defaults_under(found, scenario.model, scenario.device, scenario.kv_dtype)


def values_of(field: str) -> set[Any]:
    """All values that ``field`` has in some release."""
    return {getattr(rules(release), field) for release in RELEASES}


@pytest.mark.parametrize("field", Rules._fields)
def test_every_rule_by_itself_changes_an_outcome(field: str) -> None:
    """A pair of rules that differ in one field alone, and a scenario that is answered differently."""
    pairs = [
        (found, found._replace(**{field: other}))
        for found in map(rules, RELEASES)
        for other in sorted(values_of(field) - {getattr(found, field)})
    ]
    assert pairs
    assert any(outcome(one, scenario) != outcome(other, scenario) for one, other in pairs for scenario in SCENARIOS)


def test_every_rule_changes_somewhere_and_in_words() -> None:
    assert {change.field for change in CHANGES} == set(Rules._fields) - {"version"}
    assert [numbers(change.since) for change in CHANGES] == sorted(numbers(change.since) for change in CHANGES)
    assert all(change.words for change in CHANGES)


@pytest.mark.parametrize(("older", "newer"), list(pairwise(RELEASES)))
def test_a_release_is_told_of_exactly_where_it_plans_in_another_way(older: str, newer: str) -> None:
    assert bool(changes(newer, older)) == (rules(newer)._replace(version=older) != rules(older))


@pytest.mark.parametrize(
    ("field", "first", "value"),
    [
        ("utilization", "0.20.0", 0.92),
        ("graphs_counted", "0.20.0", True),
        ("graphs_on", "0.26.0", ("cuda", "rocm")),
        ("second_counts_graphs", "0.29.0", True),
        ("second_profiles_images", "0.27.0", True),
        ("slots_checked", "0.20.0", True),
        ("given_block", "0.20.0", True),
        ("tokens_from_concurrency", "0.20.1", True),
        ("chunks", "0.14.0", True),
        ("windows", "0.9.1", True),
        ("batches", "0.26.0", 2),
        ("null_block", "0.29.0", True),
        ("check", "0.17.0", "first group"),
        ("check", "0.19.0", "blocks"),
    ],
)
def test_a_rule_holds_from_its_release_on(field: str, first: str, value: object) -> None:
    """As read in the packages of that release and of the one before it."""
    before = [release for release in READ if numbers(release) < numbers(first)]
    assert getattr(rules(first), field) == value != getattr(rules(before[-1]), field)
    assert getattr(rules(f"{first}rc1"), field) == value


READ = [
    "0.9.0",
    "0.9.1",
    "0.13.0",
    "0.14.0",
    "0.16.0",
    "0.17.0",
    "0.18.1",
    "0.19.0",
    "0.19.1",
    "0.20.0",
    "0.20.1",
    "0.25.1",
    "0.26.0",
    "0.28.0",
    "0.29.0",
]


def test_a_release_without_a_patch_is_its_first() -> None:
    assert rules("0.20")._replace(version="") == rules("0.20.0")._replace(version="")
    assert changes("0.20.1", "0.20") == ["the logged tokens are concurrency × context"]
    assert changes("0.32.1", "0.32") == []


@pytest.mark.parametrize(
    ("version", "model", "second"),
    [
        ("0.22", "Qwen3-8B", True),
        ("0.22", "Llama-3.1-8B", False),
        ("0.23", "Llama-3.1-8B", True),
        ("0.23", "Mistral-7B-v0.3", True),
        ("0.23", "Mixtral-8x7B", False),
        ("0.23", "DeepSeek-V2-Lite", False),
        ("0.24", "DeepSeek-V2-Lite", True),
        ("0.25", "gemma-3-27b", True),
        ("0.25", "gpt-oss-20b", False),
        ("0.26", "Qwen3.5-27B", False),
        ("0.27", "Kimi-K3", True),
        ("0.29", "gpt-oss-20b", True),
        ("0.29", "Qwen3.5-27B", True),
    ],
)
def test_which_models_the_second_runner_serves(version: str, model: str, second: bool) -> None:
    """It keeps token counts of all sequences besides, and samples in fewer copies of their logits."""
    found = tightest_budget(scenario_from({"engine": f"vllm@{version}", "model": model, "gpu": "B200"}))
    assert found is not None
    (copies,) = (value for term in found.terms for name, value in term.values if name == "copies")
    assert (copies != 3.5) == second


def test_quantised_checkpoints_get_the_second_runner_later() -> None:
    """Their graphs are estimated in 0.23, and captured beside the pool in 0.24 to 0.28."""

    def counted(version: str) -> set[str]:
        values = {"engine": f"vllm@{version}", "model": "Llama-3.1-8B", "weight_dtype": "fp8", "gpu": "H100 SXM"}
        found = tightest_budget(scenario_from(values))
        assert found is not None
        return {term.id for term in found.terms}

    assert ["graphs" in counted(version) for version in ("0.22", "0.23", "0.24", "0.28", "0.29")] == [
        True,
        True,
        False,
        False,
        True,
    ]


def test_the_second_runner_profiles_no_images_at_first() -> None:
    def images(version: str) -> int:
        found = tightest_budget(scenario_from({"engine": f"vllm@{version}", "model": "Qwen3-VL-8B", "gpu": "H100 SXM"}))
        assert found is not None
        (peak,) = (value for term in found.terms for name, value in term.values if name == "encoder")
        return int(peak)

    assert [bool(images(version)) for version in ("0.24", "0.25", "0.26", "0.27")] == [True, False, False, True]
