"""Every option of the table: typed, read, written, and the same again. What is tested is drawn from the table."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.commands.known import CommandLine
from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.engines.overheads import Overheads
from kvtui.engine.scenario.change import adapted
from kvtui.engine.scenario.options import GROUPS, OPTIONS, Option
from kvtui.engine.scenario.scenario import FILE_WEIGHTS, Layout, Scenario
from kvtui.engine.scenario.setting import find_option, typed_fields
from kvtui.engine.scenario.values import command_line, read_values, scenario_from, to_values, value_at
from kvtui.engine.sources.machines import save_profile
from kvtui.report.document import document

TEXTS = (
    *("", "default", "on", "off", "1", "2", "3", "4", "7", "8", "64", "100", "1K", "100,2000,3000,90", "12,20", "0.9"),
    *(
        "5.33GiB",
        "31.4 GB/s",
        "fp8",
        "bf16",
        "int4",
        "q8_0",
        "fp8_ds_mla",
        "deepep_low_latency",
        "rig",
        "H200",
        "RTX 4090",
        "WSE-2",
    ),
    *("vllm", "vllm@0.20", "llama.cpp", "sglang", "tensorrt-llm", "none", "deepep_low_latency"),
    *(
        "exps=CPU",
        "gqa:2",
        "evict:2048",
        "q8_0/q4_0",
        "all",
        "0",
        "3,1",
        "Llama-3.1-8B",
        "DeepSeek-V3.2",
        "Qwen3.5-27B",
        "gemma-3-27b",
        "Llama-3.1-405B",
    ),
)
"""Values that people give. Every option takes some of them."""

BASES: tuple[dict[str, str | bool], ...] = (
    {"engine": "vllm", "pa": True, "draft_layers": "1", "batch": "8", "max_seqs": "9"},
    {"model": "DeepSeek-V3.2", "gpus": "8", "dtype": "fp8"},
    {"model": "gemma-3-27b", "engine": "llama.cpp", "gpu": "RTX 4090", "skip_weights": True},
    {"model": "Qwen3-30B-A3B", "engine": "llama.cpp", "gpu": "RTX 3090", "gpus": "2", "weight_dtype": "q4_k_m"},
)


@pytest.fixture(autouse=True, scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A profile to choose."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KVTUI_CONFIG_DIR", str(tmp_path_factory.mktemp("config")))
        save_profile(Overheads("rig", activation=2**30, engine="vllm", weights_of="another model"))
        yield


def typed(scenario: Scenario, option: Option, text: str) -> Scenario:
    """``scenario`` after ``text`` was typed for ``option``; as it was if that is refused."""
    try:
        return adapted(scenario, typed_fields(scenario, option.name, text))[0]
    except InputError:
        return scenario


@cache
def accepted(option: Option) -> list[str]:
    """The texts that some scenario takes for ``option``."""
    scenarios = [scenario_from(values) for values in BASES]
    return [text for text in TEXTS if any(typed(one, option, text) != one for one in scenarios)]


def parsed(words: str) -> Scenario:
    return scenario_from(vars(CommandLine().read(shlex.split(words))))


def same(one: Scenario, other: Scenario) -> bool:
    """Whether both are one scenario. A profile of another engine's is kept aside, and no command line has it."""
    aside = other.serving._replace(measured=one.serving.measured)
    return one.measured == other.measured and one == other._replace(serving=aside)


def test_no_two_options_answer_to_one_name() -> None:
    names = [name for option in OPTIONS for name in (option.key, *option.aliases)]
    assert len(set(names)) == len(names)
    assert tuple(option for rows in GROUPS.values() for option in rows) == OPTIONS
    keys = [key for option in OPTIONS for key in option.shown]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_can_be_typed_and_comes_back_from_its_command_line(option: Option) -> None:
    changed = []
    for values in BASES:
        before = scenario_from(values)
        changed += [after for text in TEXTS if (after := typed(before, option, text)) != before]
    assert changed, "no text of this test gives the option another value"
    for after in changed:
        assert same(scenario_from(to_values(after)), after)
        assert same(parsed(command_line(after)), after)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_is_in_the_help(option: Option) -> None:
    words = "".join(CommandLine().parser.format_help().split())
    value = option.metavar if option.bare is None else f"[{option.metavar}]"
    assert f"--{option.name}{value}" in words
    assert "".join(option.help.split()) in words


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.name)
def test_every_option_is_in_the_report(option: Option) -> None:
    tried = ((scenario_from(values), text) for values in BASES for text in TEXTS)
    before, after = next((own, found) for own, text in tried if (found := typed(own, option, text)) != own)
    meant = ("cpu_moe",) if option.key == "override_tensor" else ()
    shown = [find_option(key) for key in (option.key, *option.implies, *meant)]
    one, other = (document(scenario)["scenario"] for scenario in (before, after))
    assert any(one[key] != other[key] for found in shown for key in found.shown)
    assert list(one) == [*(key for option in OPTIONS for key in option.shown), "policy", "command_line"]


def test_the_report_says_the_release_and_the_profile() -> None:
    found = document(scenario_from({"engine": "vllm@0.20", "profile": "rig"}))["scenario"]
    assert (found["engine"], found["engine_version"], found["profile"]) == ("vllm", "0.20", "rig")
    found = document(scenario_from({"engine": "vllm"}))["scenario"]
    assert (found["engine"], found["engine_version"], found["profile"]) == ("vllm", None, None)


@given(st.sampled_from(BASES), st.lists(st.tuples(st.sampled_from(OPTIONS), st.integers(0, 999)), min_size=5))
def test_whatever_was_typed_comes_back(values: dict[str, Any], entries: list[tuple[Option, int]]) -> None:
    scenario = scenario_from(values)
    for option, number in entries:
        texts = accepted(option)
        scenario = typed(scenario, option, texts[number % len(texts)])
    again = scenario_from(to_values(scenario))
    assert same(again, scenario)
    assert to_values(again) == to_values(scenario)
    assert same(parsed(command_line(scenario)), scenario)


def test_the_weights_of_a_file_are_what_a_model_from_a_file_has(tmp_path: Path) -> None:
    shape = {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = {"model_type": "llama", "vocab_size": 100, "intermediate_size": 128, **shape}
    (tmp_path / "config.json").write_text(str(config).replace("'", '"'))
    (tmp_path / "model.safetensors.index.json").write_text('{"metadata": {"total_size": 123456}}')
    scenario = scenario_from({"model": str(tmp_path)})
    assert scenario.weight_dtype == FILE_WEIGHTS
    assert "weight_dtype" not in to_values(scenario)
    assert scenario_from(to_values(scenario)) == scenario
    other = typed(scenario, find_option("weights"), "fp8")
    assert scenario_from(to_values(other)) == other
    assert typed(other, find_option("weights"), "default") == scenario


def test_what_an_option_implies_gives_way_to_what_is_said() -> None:
    assert read_values({"lengths": "100,1K"}) == {"lengths": (100, 1024), "batch": 2, "context": 1024}
    found = read_values({"lengths": "100,1K", "context": "2K", "dtype": "fp8", "kv_dtype": "bf16"})
    assert (found["batch"], found["context"], found["weight_dtype"], found["kv_dtype"]) == (2, 2048, "fp8", "bf16")
    assert scenario_from({"pp_partition": "12,20", "gpus": "4"}).layout == Layout(2, 2)


@pytest.mark.parametrize("engine", ["none", "vllm", "sglang", "tensorrt-llm"])
@pytest.mark.parametrize("name", ["block-size", "max-batched-tokens", "gpu-memory-utilization"])
def test_default_is_the_engines_own(engine: str, name: str) -> None:
    own = scenario_from({"engine": engine})
    other = typed(own, find_option(name), "0.5" if name.endswith("utilization") else "128")
    assert other != own
    assert typed(other, find_option(name), "default") == own


def test_stages_bring_their_number() -> None:
    after = typed(scenario_from({"tp": "2"}), find_option("pp-partition"), "12,20")
    assert (after.layout, after.serving.partition) == (Layout(2, 2), (12, 20))


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.switch], ids=lambda option: option.name)
def test_a_switch_is_turned_over_set_and_left_alone(option: Option) -> None:
    own = scenario_from({"model": "Qwen3-30B-A3B", "engine": "llama.cpp" if "(llama.cpp)" in option.help else "none"})
    on, off = typed(own, option, "on"), typed(own, option, "off")
    assert (value_at(on, option.field), value_at(off, option.field)) == (True, False)
    assert typed(on, option, "") == off
    assert typed(off, option, "") == on
    assert typed(on, option, "default") == typed(off, option, "Default") == own
    with pytest.raises(UnknownName, match=f"value of {option.name}"):
        typed_fields(own, option.name, "perhaps")


def test_the_first_wrong_option_is_named() -> None:
    with pytest.raises(InputError, match=r"^context: "):
        scenario_from({"ubatch": "x", "context": "x", "kv_pool": "x"})
