"""Models that people run at home, against the Hub's list of their configs and the weights that their checkpoints hold.

A shape whose weights add up to the published number to the last one has no wrong size in it.
"""

from __future__ import annotations

import pytest

from kvtui.engine.model.caches import Attention
from kvtui.engine.model.catalogue import find_model
from kvtui.engine.model.formats import kv_format

# id | layers | of them with a growing cache | query/KV heads × head size | context | hidden | vocabulary | weights
PUBLISHED = """
meta-llama/Llama-2-13b-hf | 40 | 40 | 40/40 × 128 | 4096 | 5120 | 32000 | 13,015,864,320
meta-llama/Llama-2-70b-hf | 80 | 80 | 64/8 × 128 | 4096 | 8192 | 32000 | 68,976,648,192
meta-llama/Meta-Llama-3-8B | 32 | 32 | 32/8 × 128 | 8192 | 4096 | 128256 | 8,030,261,248
meta-llama/Meta-Llama-3-70B | 80 | 80 | 64/8 × 128 | 8192 | 8192 | 128256 | 70,553,706,496
codellama/CodeLlama-7b-hf | 32 | 32 | 32/32 × 128 | 16384 | 4096 | 32016 | 6,738,546,688
codellama/CodeLlama-13b-hf | 40 | 40 | 40/40 × 128 | 16384 | 5120 | 32016 | 13,016,028,160
codellama/CodeLlama-34b-hf | 48 | 48 | 64/8 × 128 | 16384 | 8192 | 32000 | 33,743,970,304
mistralai/Codestral-22B-v0.1 | 56 | 56 | 48/8 × 128 | 32768 | 6144 | 32768 | 22,247,282,688
tiiuae/Falcon3-10B-Base | 40 | 40 | 12/4 × 256 | 32768 | 3072 | 131072 | 10,305,653,760
LGAI-EXAONE/EXAONE-3.5-7.8B-Instruct | 32 | 32 | 32/8 × 128 | 32768 | 4096 | 102400 | 7,818,448,896
LGAI-EXAONE/EXAONE-3.5-32B-Instruct | 64 | 64 | 40/8 × 128 | 32768 | 5120 | 102400 | 32,003,200,000
Qwen/Qwen1.5-7B | 32 | 32 | 32/32 × 128 | 32768 | 4096 | 151936 | 7,721,324,544
Qwen/Qwen2-1.5B | 28 | 28 | 12/2 × 128 | 131072 | 1536 | 151936 | 1,543,714,304
Qwen/Qwen2-7B | 28 | 28 | 28/4 × 128 | 131072 | 3584 | 152064 | 7,615,616,512
Qwen/QwQ-32B | 64 | 64 | 40/8 × 128 | 40960 | 5120 | 152064 | 32,763,876,352
Qwen/Qwen2.5-VL-3B | 36 | 36 | 16/2 × 128 | 128000 | 2048 | 151936 | 3,754,622,976
Qwen/Qwen2.5-VL-7B | 28 | 28 | 28/4 × 128 | 128000 | 3584 | 152064 | 8,292,166,656
Qwen/Qwen2.5-VL-32B | 64 | 64 | 40/8 × 128 | 128000 | 5120 | 152064 | 33,452,718,336
Qwen/Qwen2.5-VL-72B | 80 | 80 | 64/8 × 128 | 128000 | 8192 | 152064 | 73,410,777,344
Qwen/Qwen3-VL-2B | 28 | 28 | 16/8 × 128 | 262144 | 2048 | 151936 | 2,127,532,032
Qwen/Qwen3-VL-4B | 36 | 36 | 32/8 × 128 | 262144 | 2560 | 151936 | 4,437,815,808
Qwen/Qwen3-VL-8B | 36 | 36 | 32/8 × 128 | 262144 | 4096 | 151936 | 8,767,123,696
Qwen/Qwen3-VL-32B | 64 | 64 | 64/8 × 128 | 262144 | 5120 | 151936 | 33,357,390,064
Qwen/Qwen3-VL-30B-A3B | 48 | 48 | 32/4 × 128 | 262144 | 2048 | 151936 | 31,070,754,032
Qwen/Qwen3-VL-235B-A22B | 94 | 94 | 64/4 × 128 | 262144 | 4096 | 151936 | 235,670,022,896
Qwen/Qwen3-Coder-Next | 48 | 12 | 16/2 × 256 | 262144 | 2048 | 151936 | 79,674,391,296
Qwen/Qwen3.5-0.8B | 24 | 6 | 8/2 × 256 | 262144 | 1024 | 248320 | 873,438,784
Qwen/Qwen3.5-2B | 24 | 6 | 8/2 × 256 | 262144 | 2048 | 248320 | 2,274,069,824
Qwen/Qwen3.5-4B | 32 | 8 | 16/4 × 256 | 262144 | 2560 | 248320 | 4,659,865,088
deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B | 28 | 28 | 12/2 × 128 | 131072 | 1536 | 151936 | 1,777,088,000
deepseek-ai/DeepSeek-R1-Distill-Qwen-7B | 28 | 28 | 28/4 × 128 | 131072 | 3584 | 152064 | 7,615,616,512
deepseek-ai/DeepSeek-R1-Distill-Qwen-14B | 48 | 48 | 40/8 × 128 | 131072 | 5120 | 152064 | 14,770,033,664
deepseek-ai/DeepSeek-R1-Distill-Qwen-32B | 64 | 64 | 40/8 × 128 | 131072 | 5120 | 152064 | 32,763,876,352
deepseek-ai/DeepSeek-R1-Distill-Llama-8B | 32 | 32 | 32/8 × 128 | 131072 | 4096 | 128256 | 8,030,261,248
deepseek-ai/DeepSeek-R1-Distill-Llama-70B | 80 | 80 | 64/8 × 128 | 131072 | 8192 | 128256 | 70,553,706,496
deepseek-ai/DeepSeek-R1-0528-Qwen3-8B | 36 | 36 | 32/8 × 128 | 131072 | 4096 | 151936 | 8,190,735,360
deepseek-ai/deepseek-coder-6.7b | 32 | 32 | 32/32 × 128 | 16384 | 4096 | 32256 | 6,740,512,768
mistralai/Mistral-7B-v0.1 | 32 | 0 | 32/8 × 128 | 32768 | 4096 | 32000 | 7,241,732,096
mistralai/Mistral-7B-Instruct-v0.2 | 32 | 32 | 32/8 × 128 | 32768 | 4096 | 32000 | 7,241,732,096
mistralai/Ministral-8B-Instruct-2410 | 36 | 36 | 32/8 × 128 | 32768 | 4096 | 131072 | 8,019,808,256
mistralai/Devstral-Small-2507 | 40 | 40 | 32/8 × 128 | 131072 | 5120 | 131072 | 23,572,403,200
mistralai/Mistral-Small-3.2-24B-Instruct-2506 | 40 | 40 | 32/8 × 128 | 131072 | 5120 | 131072 | 24,011,361,280
mistralai/Ministral-3-3B-Instruct-2512 | 26 | 26 | 32/8 × 128 | 262144 | 3072 | 131072 | 3,849,090,048
mistralai/Ministral-3-8B-Instruct-2512 | 34 | 34 | 32/8 × 128 | 262144 | 4096 | 131072 | 8,918,026,240
google/gemma-3-270m | 18 | 3 | 4/1 × 256 | 32768 | 640 | 262144 | 268,098,176
google/gemma-2b | 18 | 18 | 8/1 × 256 | 8192 | 2048 | 256000 | 2,506,172,416
microsoft/phi-2 | 32 | 32 | 32/32 × 80 | 2048 | 2560 | 51200 | 2,779,683,840
tiiuae/Falcon3-1B | 18 | 18 | 8/4 × 256 | 8192 | 2048 | 131072 | 1,669,408,768
tiiuae/Falcon3-7B | 28 | 28 | 12/4 × 256 | 32768 | 3072 | 131072 | 7,455,550,464
tiiuae/Falcon-H1-0.5B | 36 | 36 | 8/2 × 64 | 16384 | 1024 | 32784 | 521,411,104
ibm-granite/granite-3.3-2b | 40 | 40 | 32/8 × 64 | 131072 | 2048 | 49159 | 2,533,539,840
ibm-granite/granite-3.3-8b | 40 | 40 | 32/8 × 128 | 131072 | 4096 | 49159 | 8,170,864,640
ibm-granite/granite-4.0-350m | 28 | 28 | 16/4 × 64 | 32768 | 1024 | 100352 | 352,379,904
ibm-granite/granite-4.0-1b | 40 | 40 | 16/4 × 128 | 131072 | 2048 | 100352 | 1,631,750,144
ibm-granite/granite-4.2-3b | 40 | 40 | 40/8 × 64 | 131072 | 2560 | 100352 | 3,659,737,600
ibm-granite/granite-4.0-micro | 40 | 40 | 40/8 × 64 | 131072 | 2560 | 100352 | 3,402,836,480
ibm-granite/granite-4.1-8b | 40 | 40 | 32/8 × 128 | 131072 | 4096 | 100352 | 8,791,592,960
ibm-granite/granite-4.1-30b | 64 | 64 | 32/8 × 128 | 131072 | 4096 | 100352 | 28,865,728,512
ibm-granite/granite-4.0-h-micro | 40 | 4 | 32/8 × 64 | 131072 | 2048 | 100352 | 3,191,396,096
ibm-granite/granite-4.0-h-tiny | 40 | 4 | 12/4 × 128 | 131072 | 1536 | 100352 | 6,939,037,248
LiquidAI/LFM2-350M | 16 | 6 | 16/8 × 64 | 128000 | 1024 | 65536 | 354,483,968
LiquidAI/LFM2-700M | 16 | 6 | 24/8 × 64 | 128000 | 1536 | 65536 | 742,489,344
LiquidAI/LFM2-8B-A1B | 24 | 6 | 32/8 × 64 | 128000 | 2048 | 65536 | 8,339,929,856
allenai/OLMo-2-0425-1B | 16 | 16 | 16/16 × 128 | 4096 | 2048 | 100352 | 1,484,916,736
allenai/OLMo-2-1124-13B | 40 | 40 | 40/40 × 128 | 4096 | 5120 | 100352 | 13,716,198,400
HuggingFaceTB/SmolLM2-135M | 30 | 30 | 9/3 × 64 | 8192 | 576 | 49152 | 134,515,008
HuggingFaceTB/SmolLM2-360M | 32 | 32 | 15/5 × 64 | 8192 | 960 | 49152 | 361,821,120
HuggingFaceTB/SmolLM2-1.7B | 24 | 24 | 32/32 × 64 | 8192 | 2048 | 49152 | 1,711,376,384
nvidia/NVIDIA-Nemotron-Nano-9B-v2 | 56 | 4 | 40/8 × 128 | 131072 | 4480 | 131072 | 8,888,227,328
CohereLabs/aya-expanse-8b | 32 | 32 | 32/8 × 128 | 8192 | 4096 | 256000 | 8,028,033,024
CohereLabs/aya-expanse-32b | 40 | 40 | 64/8 × 128 | 131072 | 8192 | 256000 | 32,296,476,672
01-ai/Yi-1.5-9B | 48 | 48 | 32/4 × 128 | 4096 | 4096 | 64000 | 8,829,407,232
01-ai/Yi-1.5-34B | 60 | 60 | 56/8 × 128 | 4096 | 7168 | 64000 | 34,388,917,248
zai-org/glm-4-9b-chat-hf | 40 | 40 | 32/2 × 128 | 131072 | 4096 | 151552 | 9,399,951,360
zai-org/GLM-4-9B-0414 | 40 | 40 | 32/2 × 128 | 32768 | 4096 | 151552 | 9,400,279,040
inclusionAI/Ling-mini-2.0 | 20 | 20 | 16/4 × 128 | 32768 | 2048 | 157184 | 16,255,643,392
LGAI-EXAONE/EXAONE-4.0-1.2B | 30 | 30 | 32/8 × 64 | 65536 | 2048 | 102400 | 1,279,391,488
LGAI-EXAONE/EXAONE-4.0-32B | 64 | 16 | 40/8 × 128 | 131072 | 5120 | 102400 | 32,003,216,384
ByteDance-Seed/Seed-OSS-36B-Instruct | 64 | 64 | 80/8 × 128 | 524288 | 5120 | 155136 | 36,151,104,512
state-spaces/mamba-130m-hf | 24 | 0 | - | - | 768 | 50280 | 129,135,360
state-spaces/mamba-370m-hf | 48 | 0 | - | - | 1024 | 50280 | 371,516,416
state-spaces/mamba-790m-hf | 48 | 0 | - | - | 1536 | 50280 | 793,204,224
state-spaces/mamba-1.4b-hf | 48 | 0 | - | - | 2048 | 50280 | 1,372,178,432
state-spaces/mamba-2.8b-hf | 64 | 0 | - | - | 2560 | 50280 | 2,768,345,600
TinyLlama/TinyLlama-1.1B-Chat-v1.0 | 22 | 22 | 32/4 × 64 | 2048 | 2048 | 32000 | 1,100,048,384
upstage/SOLAR-10.7B-v1.0 | 48 | 48 | 32/8 × 128 | 4096 | 4096 | 32000 | 10,731,524,096
stabilityai/stablelm-2-1_6b | 24 | 24 | 32/32 × 64 | 4096 | 2048 | 100352 | 1,644,515,328
arcee-ai/AFM-4.5B | 36 | 36 | 20/4 × 128 | 65536 | 2560 | 128004 | 4,619,184,640
speakleash/Bielik-11B-v3.0-Instruct | 50 | 50 | 32/8 × 128 | 32768 | 4096 | 32128 | 11,168,796,672
openbmb/MiniCPM4-8B | 32 | 32 | 32/2 × 128 | 32768 | 4096 | 73448 | 8,185,253,888
rednote-hilab/dots.llm1.inst | 62 | 62 | 32/32 × 128 | 32768 | 4096 | 152064 | 142,774,381,696
"""
ROWS = [[cell.strip() for cell in line.split("|")] for line in PUBLISHED.strip().splitlines()]
IDS = [row[0] for row in ROWS]

PREDICTING = ("Qwen/Qwen3.5-0.8B", "Qwen/Qwen3.5-2B", "Qwen/Qwen3.5-4B")
"""Their published weights include the prediction layer, which the catalogue keeps apart."""

STATES = {
    "LiquidAI/LFM2-8B-A1B": {"short_conv": 18, "full": 6},
    "LGAI-EXAONE/EXAONE-4.0-32B": {"sliding_window": 48, "full": 16},
    "Qwen/Qwen3-Coder-Next": {"gated_deltanet": 36, "full": 12},
    "nvidia/NVIDIA-Nemotron-Nano-9B-v2": {"mamba2": 27, "full": 4, "none": 25},
    "state-spaces/mamba-2.8b-hf": {"mamba1": 64},
    "tiiuae/Falcon-H1-0.5B": {"full": 36, "mamba2": 36},
    "google/gemma-3-270m": {"sliding_window": 15, "full": 3},
    "ibm-granite/granite-4.0-h-tiny": {"mamba2": 36, "full": 4},
}


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_weights_are_those_of_the_published_checkpoint(row: list[str]) -> None:
    model = find_model(row[0])
    predict = sum(layer.total_parameters or 0 for layer in model.mtp) if row[0] in PREDICTING else 0
    assert model.parameters_from == "shape"
    assert (model.parameters or 0) + predict == int(row[7].replace(",", ""))


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_shape_is_the_published_one(row: list[str]) -> None:
    model = find_model(row[0])
    heads: set[int] = set()
    per_token = 0
    if row[3] != "-":
        (query, own), size = row[3].partition(" ")[0].split("/"), int(row[3].rpartition(" ")[2])
        heads = {int(query)}
        per_token = int(row[2]) * 2 * 2 * int(own) * size
    found = {cache.q_heads for cache, _ in model.caches if isinstance(cache, Attention)}
    assert (len(model.layers), found) == (int(row[1]), heads)
    assert model.bytes_per_token(kv_format("bf16")) == per_token
    context = None if row[4] == "-" else int(row[4])
    assert (model.max_context, model.hidden, model.vocab) == (context, int(row[5]), int(row[6]))


@pytest.mark.parametrize("name", STATES)
def test_layers_of_hybrids(name: str) -> None:
    assert find_model(name).layer_kinds == STATES[name]
