"""Several options in one line: in any spelling, from the defaults where the line is a question of its own."""

from __future__ import annotations

import pytest

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.saying.flags import flag_words
from kvtui.engine.scenario.setting import said_options, wished
from kvtui.engine.scenario.values import scenario_from


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("users 35, context 128K", {"batch": "35", "context": "128K"}),
        ("model qwen3-32b gpu 4090", {"model": "qwen3-32b", "gpu": "4090"}),
        ("model=qwen3-32b gpu=4090, tp=2", {"model": "qwen3-32b", "gpu": "4090", "tp": "2"}),
        ("gpu h100 sxm gpus 2 kv dtype fp8 pa", {"gpu": "h100 sxm", "gpus": "2", "kv_dtype": "fp8", "pa": ""}),
        ("lengths 100,1K, fill full", {"lengths": "100,1K", "fill": "full"}),
        ("gpu own 48GB 1200GB/s, tp 2", {"gpu": "own 48GB 1200GB/s", "tp": "2"}),
    ],
)
def test_options_are_found_with_and_without_commas(text: str, said: dict[str, str]) -> None:
    assert {option.key: value for option, value in said_options(text)} == said


def test_what_is_no_option_has_the_nearest_one_beside_it() -> None:
    with pytest.raises(UnknownName, match="did you mean context"):
        said_options("users 35, contxt 128K")
    with pytest.raises(InputError):
        wished(scenario_from({}), "users -4")


def test_a_question_of_its_own_has_no_leftovers() -> None:
    line = "model llama-3.3-70b, gpu h100 sxm, gpus 2, dtype fp8, context 16K"
    asked = {"model": "llama-3.3-70b", "gpu": "h100 sxm", "gpus": "2", "dtype": "fp8", "context": "16K"}
    before = scenario_from({"engine": "llama.cpp", "max_batched_tokens": "2K", "batch": "7", "kv_pool": "3GiB"})
    assert wished(before, line) == scenario_from(asked)
    assert wished(before, "users 9").max_batched_tokens == 2048


def test_what_was_told_beyond_what_a_screen_shows_is_in_its_header() -> None:
    assert flag_words(scenario_from({"tp": "2", "context": "16K", "batch": "3", "kv_dtype": "fp8"})) == ()
    told = scenario_from({"engine": "vllm", "max_batched_tokens": "2K", "prefix_caching": False})
    assert flag_words(told) == ("max-batched-tokens 2,048", "no prefix-caching")
    assert flag_words(scenario_from({"kv_pool": "16GiB"})) == ("kv-pool 16.00 GiB",)
