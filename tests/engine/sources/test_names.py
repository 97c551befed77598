"""Names that people paste: tags of Ollama, repositories and pages of the Hub, file names of GGUF files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.checkpoint.known import checkpoint_format
from kvtui.engine.model.catalogue import all_models, find_model
from kvtui.engine.scenario.values import command_line, scenario_from
from kvtui.engine.sources.load import load_model
from kvtui.engine.sources.names import _STORED, Named, named_model, resolve
from tests.engine.sources.gguf.gguf_writing import HARMFUL

# what is typed | model | format of its weights, "-" if the name says none
NAMES = """
llama3.1:8b | Llama-3.1-8B | q4_k_m
llama3.1:8b-instruct-q8_0 | Llama-3.1-8B | q8_0
llama3.3:70b | Llama-3.1-70B | q4_k_m
llama3.2:1b-instruct-fp16 | Llama-3.2-1B | fp16
llama4:scout | Llama-4-Scout-17B-16E | q4_k_m
qwen3:30b-a3b-q4_K_M | Qwen3-30B-A3B | q4_k_m
qwen3:30b | Qwen3-30B-A3B | q4_k_m
qwen3:32b-q4_K_M | Qwen3-32B | q4_k_m
qwen3-coder:30b | Qwen3-30B-A3B | q4_k_m
qwen2.5-coder:32b-instruct-q5_K_M | Qwen2.5-32B | q5_k_m
qwen2.5vl:7b | Qwen2.5-VL-7B | q4_k_m
qwen3-vl:8b | Qwen3-VL-8B | q4_k_m
qwq:32b | QwQ-32B | q4_k_m
deepseek-r1:70b | DeepSeek-R1-Distill-Llama-70B | q4_k_m
deepseek-r1:8b | DeepSeek-R1-0528-Qwen3-8B | q4_k_m
deepseek-r1:671b | DeepSeek-V3 | q4_k_m
gemma3:27b | gemma-3-27b | q4_k_m
gemma3:27b-it-qat | gemma-3-27b | q4_0_qat
google/gemma-3-12b-it-qat-q4_0-gguf | gemma-3-12b | q4_0_qat
bartowski/google_gemma-3-12b-it-qat-GGUF:Q4_0 | gemma-3-12b | q4_0
gemma3:12b-it-q8_0 | gemma-3-12b | q8_0
gpt-oss:20b | gpt-oss-20b | mxfp4
gpt-oss:120b | gpt-oss-120b | mxfp4
mistral:7b | Mistral-7B-v0.3 | q4_k_m
mistral-small3.2:24b | Mistral-Small-3.2-24B | q4_k_m
devstral:24b | Devstral-Small-2507 | q4_k_m
phi4:14b | phi-4 | q4_k_m
smollm2:1.7b | SmolLM2-1.7B | q4_k_m
codestral:22b | Codestral-22B | q4_k_m
exaone-deep:32b | EXAONE-3.5-32B | q4_k_m
granite4:1b | granite-4.0-1B | q4_k_m
hermes3:70b | Llama-3.1-70B | q4_k_m
phi-4-Q4_K.gguf | phi-4 | q4_k_m
tinyllama-1.1b-chat-v1.0.Q4_K_M.gguf | TinyLlama-1.1B | q4_k_m
hf.co/unsloth/Qwen3-8B-GGUF:Q8_0 | Qwen3-8B | q8_0
ai/qwen3:8B-Q4_K_M | Qwen3-8B | q4_k_m
unsloth/Qwen3-30B-A3B-GGUF | Qwen3-30B-A3B | q4_k_m
unsloth/Qwen3-30B-A3B-Instruct-2507-GGUF:UD-Q4_K_XL | Qwen3-30B-A3B | ud-q4_k_xl
bartowski/Qwen_Qwen3-8B-GGUF:IQ4_XS | Qwen3-8B | iq4_xs
bartowski/Meta-Llama-3.1-8B-Instruct-GGUF | Llama-3.1-8B | q4_k_m
Qwen_Qwen3-8B-Q4_K_M.gguf | Qwen3-8B | q4_k_m
unsloth_Qwen3-Coder-Next-GGUF_Qwen3-Coder-Next-UD-Q4_K_XL.gguf | Qwen3-Coder-Next | ud-q4_k_xl
Llama-3.3-70B-Instruct-UD-Q4_K_XL-00001-of-00002.gguf | Llama-3.1-70B | ud-q4_k_xl
gemma-3-27b-it-Q4_K_L.gguf | gemma-3-27b | q4_k_l
gpt-oss-120b-MXFP4_MOE.gguf | gpt-oss-120b | mxfp4_moe
Llama-3.2-3B-Instruct-f16.gguf | Llama-3.2-3B | fp16
RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic | Llama-3.1-70B | fp8-dynamic
RedHatAI/Meta-Llama-3.1-8B-Instruct-FP8 | Llama-3.1-8B | fp8-tensor
neuralmagic/Meta-Llama-3.1-70B-Instruct-quantized.w8a8 | Llama-3.1-70B | w8a8
RedHatAI/Qwen3-32B-quantized.w4a16 | Qwen3-32B | w4a16
Qwen/Qwen3-30B-A3B-FP8 | Qwen3-30B-A3B | fp8
Qwen/Qwen3-32B-AWQ | Qwen3-32B | awq
Qwen/Qwen2.5-7B-Instruct-GPTQ-Int4 | Qwen2.5-7B | gptq
Qwen/Qwen2.5-7B-Instruct-GPTQ-Int8 | Qwen2.5-7B | gptq-int8
nvidia/Llama-3.3-70B-Instruct-FP4 | Llama-3.1-70B | nvfp4
nvidia/DeepSeek-R1-0528-FP4-v2 | DeepSeek-V3 | nvfp4
unsloth/Qwen3-14B-unsloth-bnb-4bit | Qwen3-14B | nf4
mlx-community/Qwen3-8B-4bit | Qwen3-8B | mlx-4bit
lmstudio-community/Devstral-Small-2507-MLX-8bit | Devstral-Small-2507 | mlx-8bit
turboderp/Qwen3-8B-exl3-4.25bpw | Qwen3-8B | exl3-4.25bpw
huihui-ai/Qwen3-8B-abliterated | Qwen3-8B | -
meta-llama/Llama-3.1-8B-Instruct | Llama-3.1-8B | -
Meta-Llama-3.1-8B-Instruct | Llama-3.1-8B | -
Qwen/Qwen3-235B-A22B-Thinking-2507 | Qwen3-235B-A22B | -
google/gemma-3-27b-pt | gemma-3-27b | -
gemma-2-2b it | gemma-2-2b | -
deepseek-ai/DeepSeek-V3-Base | DeepSeek-V3 | -
Llama-2-7b-chat | Llama-2-7B | -
Mistral-7B-Instruct-v0.3 | Mistral-7B-v0.3 | -
Mistral-7B-Instruct-v0.1 | Mistral-7B-v0.1 | -
https://huggingface.co/Qwen/Qwen3-8B | Qwen3-8B | -
https://huggingface.co/Qwen/Qwen3-8B/tree/main | Qwen3-8B | -
https://huggingface.co/unsloth/gemma-3-27b-it-GGUF/blob/main/gemma-3-27b-it-Q5_K_M.gguf | gemma-3-27b | q5_k_m
https://huggingface.co/unsloth/Qwen3-8B-GGUF?show_file_info=Qwen3-8B-Q6_K.gguf | Qwen3-8B | q4_k_m
https://ollama.com/library/deepseek-r1:32b | DeepSeek-R1-Distill-Qwen-32B | q4_k_m
deepseek-r1:70b-llama-distill-q8_0 | DeepSeek-R1-Distill-Llama-70B | q8_0
deepseek-v3.1:671b-terminus-q4_K_M | DeepSeek-V3 | q4_k_m
llama4:17b-scout-16e-instruct-q4_K_M | Llama-4-Scout-17B-16E | q4_k_m
command-a:111b-03-2025-q4_K_M | c4ai-command-a-03-2025 | q4_k_m
medgemma:27b | gemma-3-27b | q4_k_m
dolphin-mixtral:8x7b | Mixtral-8x7B-v0.1 | q4_k_m
hf.co/unsloth/Qwen3-14B-GGUF:Q4_K_XL | Qwen3-14B | ud-q4_k_xl
Qwen3.6-27B-UD-Q8_K_XL.gguf | Qwen3.5-27B | ud-q8_k_xl
unsloth/Ministral-3-14B-Reasoning-2512-GGUF | Ministral-3-14B | q4_k_m
Olmo-3-32B-Think-Q4_K_M.gguf | Olmo-3-32B | q4_k_m
Goekdeniz-Guelmez/Josiefied-Qwen3-8B-abliterated-v1-gguf | Qwen3-8B | q4_k_m
Yi-1.5-34B-Chat-16K-Q4_K_M.gguf | Yi-1.5-34B | q4_k_m
dots.llm1.inst-Q4_K_M.gguf | dots.llm1 | q4_k_m
gpt-oss-20b-F16.gguf | gpt-oss-20b | mxfp4
"""
ROWS = [[cell.strip() for cell in line.split("|")] for line in NAMES.strip().splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_a_name_is_a_model_and_a_format(row: list[str]) -> None:
    typed, name, weights = row
    model = load_model(typed)
    assert (model.name, model.named_weights) == (name, None if weights == "-" else weights)
    assert model.layers == find_model(name).layers
    assert model.notes[0].startswith(f"'{typed}' is taken for {name}")
    assert weights == "-" or f"its weights for {weights}" in model.notes[0]


def test_a_name_of_the_catalogue_is_taken_for_nothing_else() -> None:
    for model in all_models():
        assert load_model(model.name) is model


@pytest.mark.parametrize(
    ("typed", "name"),
    [("qwq", "QwQ-32B"), ("devstral:latest", "Devstral-Small-2507"), ("mistral-small3.2", "Mistral-Small-3.2-24B")],
)
def test_the_beginning_of_one_model_alone_is_that_model(typed: str, name: str) -> None:
    model = named_model(typed)
    assert model.name == name
    assert model.notes[0] == f"'{typed}' is taken for {name}"
    with pytest.raises(UnknownName):
        named_model(typed[:3] + "x")


@pytest.mark.parametrize("typed", ["qwen3", "llama3.1", "mistral-small", "qwen3-vl", "Falcon", "qwen3:latest"])
def test_a_name_that_may_be_several_lists_them(typed: str) -> None:
    with pytest.raises(InputError, match=r"^model: '.*' may be .*, .*: give one$") as caught:
        load_model(typed)
    assert not isinstance(caught.value, UnknownName)


@pytest.mark.parametrize(
    "typed",
    ["qwen3:7b", "Llama-3.1-8B-Instruct-pruned", "DeepSeek-R1-Foo-9B-GGUF", "Llama-3.1-8B-Medusa-5B", "gpt-oss:20b-x"],
)
def test_a_word_that_is_not_understood_may_mean_another_shape(typed: str) -> None:
    with pytest.raises(UnknownName, match=f"^unknown model '{typed}'; did you mean "):
        load_model(typed)


def test_a_file_with_a_folder_is_never_taken_for_a_name() -> None:
    with pytest.raises(InputError, match="no such file"):
        load_model("./Qwen3-8B-Q4_K_M.gguf")
    with pytest.raises(InputError, match="no such file"):
        load_model("Qwen9-8B-Q4_K_M.gguf")


def test_the_format_of_a_name_is_that_of_the_scenario_unless_another_is_given() -> None:
    found = scenario_from({"model": "qwen3:8b"})
    assert (found.model.name, found.weight_dtype) == ("Qwen3-8B", "q4_k_m")
    assert scenario_from({"model": "qwen3:8b", "weight_dtype": "bf16"}).weight_dtype == "bf16"
    assert scenario_from({"model": "Qwen/Qwen3-8B-AWQ", "dtype": "fp8"}).weight_dtype == "fp8"
    assert command_line(found).startswith("--model qwen3:8b ")
    assert "--weight-dtype q4_k_m" in command_line(found)


def test_every_word_for_a_format_is_one() -> None:
    model = find_model("Qwen3-8B")
    for name in _STORED.values():
        checkpoint_format(name, model)


@given(st.text(max_size=300) | st.from_regex(r"[a-z0-9_.:/-]{0,60}", fullmatch=True))
def test_any_text_is_a_name_or_refused_in_one_line(text: str) -> None:
    if resolve(text) is None:
        with pytest.raises(InputError) as caught:
            named_model(text)
        assert not HARMFUL.search(str(caught.value))
    else:
        model = named_model(text)
        assert find_model(model.name).layers == model.layers


def test_what_a_name_is_taken_for() -> None:
    assert resolve("Qwen/Qwen3-8B-AWQ") == Named("Qwen3-8B", "awq")
    assert resolve("Qwen3-8B" + "-gguf" * 100) is None
