"""Commands that start a server: read as the engine reads them, and written so that they start what was planned."""

from __future__ import annotations

import shlex

import pytest

from kvtui.engine.basis.errors import InputError
from kvtui.engine.engines.known import KNOWN
from kvtui.engine.planning.plan import plan
from kvtui.engine.reconcile.command import ReadCommand, launches, understood
from kvtui.engine.scenario.values import BY_KEY
from kvtui.engine.serving.launching import Launch, read_command
from kvtui.report.command import corrected
from tests.present import present

COMMANDS = (
    "vllm serve Qwen/Qwen3-32B --max-model-len 40960 --port 8000 -tp 1",
    "vllm serve meta-llama/Llama-3.3-70B-Instruct --tensor-parallel-size 2 --max-num-seqs 64 --enforce-eager",
    "python -m vllm.entrypoints.openai.api_server --model google/gemma-3-27b-it --max_model_len=131072",
    "python3 -m sglang.launch_server --model-path deepseek-ai/DeepSeek-R1 --tp 8 --mem-fraction-static 0.85",
    "llama-server -m Qwen3-32B-Q8_0.gguf -c 32768 -ngl 99 -ctk q8_0 -fa on --jinja",
)


def read(text: str, **given: str) -> ReadCommand:
    return present(understood(text, {"gpu": "RTX 4090", **given}))


def test_every_engine_can_be_told_from_its_command() -> None:
    assert [launch.engine for launch in launches()] == [known.name for known in KNOWN]


@pytest.mark.parametrize("launch", launches(), ids=lambda launch: launch.engine)
def test_the_table_reads_what_it_writes(launch: Launch) -> None:
    """Each flag sets an option that there is, each name is one flag's, and what is written is read as it was."""
    names = [name for flag in launch.flags for name in flag.names]
    assert len(names) == len(set(names))
    assert not launch.switches & set(names)
    for flag in launch.flags:
        option = BY_KEY[flag.key]
        texts: list[str | bool] = ["4", *filter(None, flag.words.values())]
        if flag.kind != "value":
            switched = flag.option("")
            assert switched is not None
            texts = [switched]
        for value in texts:
            words = flag.written(value)
            if words is None:
                continue
            command = present(read_command(shlex.join((*launch.programs[0], *words)), [launch]))
            assert command.values[flag.key] == (value if flag.kind != "value" else flag.option(str(words[1])))
            assert command.unread == ()
        assert option.key == flag.key


def test_numbers_as_vllm_reads_them() -> None:
    """A small k is a thousand, a large one 1,024, and auto is left to vLLM."""
    for text, tokens in (("128k", "128000"), ("128K", "131072"), ("1.5k", "1500"), ("32768", "32768")):
        assert read(f"vllm serve Qwen/Qwen3-8B --max-model-len {text}").command.values["context"] == tokens
    assert "context" not in read("vllm serve Qwen/Qwen3-8B --max-model-len auto").command.values


def test_what_is_not_said_is_the_engines_own() -> None:
    whole = read("vllm serve Qwen/Qwen3-8B").scenario
    assert whole.context == whole.model.max_context
    assert (whole.kv_dtype, whole.memory_utilization) == ("bf16", 0.92)
    assert read("llama-server -m Qwen3-8B-Q4_K_M.gguf").scenario.kv_dtype == "fp16"
    assert read("llama-server -m Qwen3-8B-Q4_K_M.gguf").scenario.weight_dtype == "q4_k_m"
    assert read("python -m sglang.launch_server --model deepseek-ai/DeepSeek-R1").scenario.weight_dtype == "fp8"


def test_prompts_variables_line_ends_and_paths_are_read_over() -> None:
    text = (
        "$ CUDA_VISIBLE_DEVICES=0,1 /opt/venv/bin/vllm serve \\\n    Qwen/Qwen3-8B \\\n    --tensor-parallel-size=2\n"
    )
    found = read(text)
    assert found.scenario.layout.tp == 2
    assert found.scenario.model.name == "Qwen3-8B"


@pytest.mark.parametrize("text", ["", "ls -l", "INFO vLLM API server", "pip install vllm", "vllm bench serve"])
def test_other_words_are_no_command(text: str) -> None:
    assert understood(text, {}) is None


def test_what_cannot_be_understood_says_so() -> None:
    with pytest.raises(InputError, match="names no model"):
        understood("vllm serve --port 8000", {})
    with pytest.raises(InputError, match="quote"):
        understood("vllm serve 'Qwen/Qwen3-8B", {})
    with pytest.raises(InputError, match="unknown model"):
        understood("vllm serve acme/secret-model-9000", {})


@pytest.mark.parametrize("text", COMMANDS)
def test_a_corrected_command_starts_what_was_planned(text: str) -> None:
    """The line is read again: where no flag is missing for it, it makes the scenario of the fix, which fits."""
    found = read(text)
    assert not plan(found.scenario).fits
    offered = corrected(found)
    assert offered
    said_by_flags = 0
    for one in offered:
        assert plan(one.fix.scenario).fits
        assert set(found.command.unread) <= set(shlex.split(one.line))
        form = one.fix.scenario.weight_dtype
        if form != found.scenario.weight_dtype and form not in ("fp8", "nf4"):
            assert "CHECKPOINT" in one.line
            assert found.scenario.ref not in one.line
            assert any(form in words for words in one.besides)
        else:
            assert "CHECKPOINT" not in one.line
        if one.besides:
            continue
        said_by_flags += 1
        again = read(one.line)
        assert again.scenario == one.fix.scenario
        assert plan(again.scenario).fits
    assert said_by_flags or all(one.besides for one in offered)


def test_a_command_that_fits_needs_no_correction() -> None:
    found = read("vllm serve Qwen/Qwen3-0.6B --max-model-len 8192")
    assert plan(found.scenario).fits
    assert corrected(found) == ()
