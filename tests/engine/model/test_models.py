"""The model catalogue against an independent transcription of the facts, and what a user's file may do wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.units import GIB, MIB
from kvtui.engine.model.caches import Attention, Latent, Recurrent, Shared
from kvtui.engine.model.catalogue import all_models, find_model, model_names
from kvtui.engine.model.formats import kv_format
from kvtui.engine.model.spec import ModelSpec, cache_bytes
from tests.engine.model.test_home_models import IDS as HOME_IDS
from tests.present import present

BF16 = kv_format("bf16")
FP8 = kv_format("fp8")
DS_MLA = kv_format("fp8_ds_mla")

# id | layers | query heads | growing bytes per token at bf16 | indexer bytes per token | bounded bytes at their cap |
# state bytes | max context | hidden | vocabulary | parameters in billions | active | confidence; "?" is not known, or
# (DeepSeek-V4, whose entries are compressed; Ling's state) is checked on its own
ORACLE = """
meta-llama/Llama-2-7b-hf | 32 | 32 | 524,288 | 0 | 0 | 0 | 4,096 | 4,096 | 32,000 | 6.74 | ? | H
meta-llama/Llama-3.1-8B | 32 | 32 | 131,072 | 0 | 0 | 0 | 131,072 | 4,096 | 128,256 | 8.03 | ? | H
meta-llama/Llama-3.1-70B | 80 | 64 | 327,680 | 0 | 0 | 0 | 131,072 | 8,192 | 128,256 | 70.6 | ? | H
meta-llama/Llama-3.1-405B | 126 | 128 | 516,096 | 0 | 0 | 0 | 131,072 | 16,384 | 128,256 | 405.9 | ? | H
meta-llama/Llama-3.2-1B | 16 | 32 | 32,768 | 0 | 0 | 0 | 131,072 | 2,048 | 128,256 | 1.24 | ? | H
meta-llama/Llama-3.2-3B | 28 | 24 | 114,688 | 0 | 0 | 0 | 131,072 | 3,072 | 128,256 | 3.21 | ? | H
meta-llama/Llama-3.2-11B-Vision | 40 | 32 | 131,072 | 0 | 0 | 0 | 131,072 | 4,096 | 128,256 | 10.7 | ? | M
meta-llama/Llama-4-Scout-17B-16E | 48 | 40 | 49,152 | 0 | 1207959552 | 0 | 10,485,760 | 5,120 | 202,048 | 109 | 17 | H
meta-llama/Llama-4-Maverick-17B-128E | 48 | 40 | 49,152 | 0 | 1207959552 | 0 | 1048576 | 5,120 | 202,048 | 400 | 17 | H
Qwen/Qwen2.5-0.5B | 24 | 14 | 12,288 | 0 | 0 | 0 | 32,768 | 896 | 151,936 | 0.49 | ? | H
Qwen/Qwen2.5-1.5B | 28 | 12 | 28,672 | 0 | 0 | 0 | 32,768 | 1,536 | 151,936 | 1.54 | ? | H
Qwen/Qwen2.5-3B | 36 | 16 | 36,864 | 0 | 0 | 0 | 32,768 | 2,048 | 151,936 | 3.09 | ? | H
Qwen/Qwen2.5-7B | 28 | 28 | 57,344 | 0 | 0 | 0 | 32,768 | 3,584 | 152,064 | 7.62 | ? | H
Qwen/Qwen2.5-14B | 48 | 40 | 196,608 | 0 | 0 | 0 | 32,768 | 5,120 | 152,064 | 14.8 | ? | M
Qwen/Qwen2.5-32B | 64 | 40 | 262,144 | 0 | 0 | 0 | 32,768 | 5,120 | 152,064 | 32.8 | ? | M
Qwen/Qwen2.5-72B | 80 | 64 | 327,680 | 0 | 0 | 0 | 32,768 | 8,192 | 152,064 | 72.7 | ? | M
Qwen/Qwen3-0.6B | 28 | 16 | 114,688 | 0 | 0 | 0 | 40,960 | 1,024 | 151,936 | 0.6 | ? | H
Qwen/Qwen3-1.7B | 28 | 16 | 114,688 | 0 | 0 | 0 | 40,960 | 2,048 | 151,936 | 1.72 | ? | H
Qwen/Qwen3-4B | 36 | 32 | 147,456 | 0 | 0 | 0 | 40,960 | 2,560 | 151,936 | 4.02 | ? | H
Qwen/Qwen3-8B | 36 | 32 | 147,456 | 0 | 0 | 0 | 40,960 | 4,096 | 151,936 | 8.19 | ? | H
Qwen/Qwen3-14B | 40 | 40 | 163,840 | 0 | 0 | 0 | 40,960 | 5,120 | 151,936 | 14.8 | ? | H
Qwen/Qwen3-32B | 64 | 64 | 262,144 | 0 | 0 | 0 | 40,960 | 5,120 | 151,936 | 32.8 | ? | H
Qwen/Qwen3-30B-A3B | 48 | 32 | 98,304 | 0 | 0 | 0 | 40,960 | 2,048 | 151,936 | 30.5 | 3.3 | H
Qwen/Qwen3-235B-A22B | 94 | 64 | 192,512 | 0 | 0 | 0 | 40,960 | 4,096 | 151,936 | 235 | 22 | H
Qwen/Qwen3-Coder-480B-A35B | 62 | 96 | 253,952 | 0 | 0 | 0 | 262,144 | 6,144 | 151,936 | 480 | 35 | H
Qwen/Qwen3-Next-80B-A3B | 48 | 16 | 24,576 | 0 | 0 | 77,266,944 | 262,144 | 2,048 | 151,936 | 80 | 3 | H
Qwen/Qwen3.5-9B | 32 | 16 | 32,768 | 0 | 0 | 51,511,296 | 262,144 | 4,096 | 248,320 | 9.7 | ? | H
Qwen/Qwen3.5-27B | 64 | 24 | 65,536 | 0 | 0 | 153,944,064 | 262,144 | 5,120 | 248,320 | 27.8 | ? | H
Qwen/Qwen3.5-35B-A3B | 40 | 16 | 20,480 | 0 | 0 | 64,389,120 | 262,144 | 2,048 | 248,320 | 35 | 3 | H
Qwen/Qwen3.5-122B-A10B | 48 | 32 | 24,576 | 0 | 0 | 153,649,152 | 262,144 | 3,072 | 248,320 | 122 | 10 | H
Qwen/Qwen3.5-397B-A17B | 60 | 32 | 30,720 | 0 | 0 | 192,061,440 | 262,144 | 4,096 | 248,320 | 397 | 17 | H
mistralai/Mistral-7B-v0.3 | 32 | 32 | 131,072 | 0 | 0 | 0 | 32,768 | 4,096 | 32,768 | 7.25 | ? | H
mistralai/Mixtral-8x7B-v0.1 | 32 | 32 | 131,072 | 0 | 0 | 0 | 32,768 | 4,096 | 32,000 | 46.7 | 12.9 | H
mistralai/Mixtral-8x22B-v0.1 | 56 | 48 | 229,376 | 0 | 0 | 0 | 65,536 | 6,144 | 32,000 | 141 | 39 | H
mistralai/Mistral-Nemo-12B | 40 | 32 | 163,840 | 0 | 0 | 0 | 131,072 | 5,120 | 131,072 | 12.2 | ? | M
mistralai/Mistral-Small-24B | 40 | 32 | 163,840 | 0 | 0 | 0 | 131,072 | 5,120 | 131,072 | 23.6 | ? | M
mistralai/Mistral-Large-2407 | 88 | 96 | 360,448 | 0 | 0 | 0 | 131,072 | 12,288 | 32,768 | 122.6 | ? | M
mistralai/Ministral-3-14B | 40 | 32 | 163,840 | 0 | 0 | 0 | 262,144 | 5,120 | 131,072 | 13.9 | ? | H
mistralai/Mistral-Small-4-119B | 36 | 32 | 23,040 | 0 | 0 | 0 | 1,048,576 | 4,096 | 131,072 | 119 | 6.5 | M
google/gemma-2-2b | 26 | 8 | 53,248 | 0 | 218,103,808 | 0 | 8,192 | 2,304 | 256,000 | 2.6 | ? | H
google/gemma-2-9b | 42 | 16 | 172,032 | 0 | 704,643,072 | 0 | 8,192 | 3,584 | 256,000 | 9.2 | ? | H
google/gemma-2-27b | 46 | 32 | 188,416 | 0 | 771,751,936 | 0 | 8,192 | 4,608 | 256,000 | 27.2 | ? | H
google/gemma-3-1b | 26 | 4 | 4,096 | 0 | 11,534,336 | 0 | 32,768 | 1,152 | 262,144 | 1 | ? | H
google/gemma-3-4b | 34 | 8 | 20,480 | 0 | 121,634,816 | 0 | 131,072 | 2,560 | 262,208 | 4.3 | ? | H
google/gemma-3-12b | 48 | 16 | 65,536 | 0 | 335,544,320 | 0 | 131,072 | 3,840 | 262,208 | 12.2 | ? | H
google/gemma-3-27b | 62 | 32 | 81,920 | 0 | 436,207,616 | 0 | 131,072 | 5,376 | 262,208 | 27.4 | ? | H
google/gemma-3n-E4B | 35 | 8 | 8,192 | 0 | 16,777,216 | 0 | 32,768 | 2,048 | 262,400 | 8 | 4 | H
google/gemma-4-E2B | 35 | 8 | 6,144 | 0 | 6,291,456 | 0 | 131,072 | 1,536 | 262,144 | 5.1 | 2.3 | M
google/gemma-4-E4B | 42 | 8 | 16,384 | 0 | 20,971,520 | 0 | 131,072 | 2,560 | 262,144 | 8 | 4.5 | H
google/gemma-4-12B | 48 | 16 | 16,384 | 0 | 335,544,320 | 0 | 262,144 | 3,840 | 262,144 | 12 | ? | H
google/gemma-4-26B-A4B | 30 | 16 | 20,480 | 0 | 209,715,200 | 0 | 262,144 | 2,816 | 262,144 | 26 | 4 | H
google/gemma-4-31B | 60 | 32 | 81,920 | 0 | 838,860,800 | 0 | 262,144 | 5,376 | 262,144 | 31 | ? | H
microsoft/Phi-3-mini-4k | 32 | 32 | 393,216 | 0 | 0 | 0 | 4,096 | 3,072 | 32,064 | 3.8 | ? | H
microsoft/Phi-3-medium-128k | 40 | 40 | 204,800 | 0 | 0 | 0 | 131,072 | 5,120 | 32,064 | 14 | ? | M
microsoft/Phi-3.5-MoE | 32 | 32 | 131,072 | 0 | 0 | 0 | 131,072 | 4,096 | 32,064 | 41.9 | 6.6 | M
microsoft/phi-4 | 40 | 40 | 204,800 | 0 | 0 | 0 | 16,384 | 5,120 | 100,352 | 14.7 | ? | M
microsoft/Phi-4-mini | 32 | 24 | 131,072 | 0 | 0 | 0 | 131,072 | 3,072 | 200,064 | 3.8 | ? | H
deepseek-ai/DeepSeek-V2 | 60 | 128 | 69,120 | 0 | 0 | 0 | 163,840 | 5,120 | 102,400 | 236 | 21 | M
deepseek-ai/DeepSeek-V2-Lite | 27 | 16 | 31,104 | 0 | 0 | 0 | 163,840 | 2,048 | 102,400 | 15.7 | 2.4 | H
deepseek-ai/DeepSeek-V3 | 61 | 128 | 70,272 | 0 | 0 | 0 | 163,840 | 7,168 | 129,280 | 671 | 37 | H
deepseek-ai/DeepSeek-V3.2 | 61 | 128 | 70,272 | 8,052 | 0 | 0 | 163,840 | 7,168 | 129,280 | 671 | 37 | H
deepseek-ai/DeepSeek-V4-Flash | 43 | 64 | ? | ? | ? | 0 | 1,048,576 | 4,096 | 129,280 | 284 | 13 | M
moonshotai/Kimi-K2 | 61 | 64 | 70,272 | 0 | 0 | 0 | 262,144 | 7,168 | 163,840 | 1026 | 32 | H
moonshotai/Kimi-Linear-48B-A3B | 27 | 32 | 8,064 | 0 | 0 | 43,417,600 | 1,048,576 | 2,304 | 163,840 | 48 | 3 | H
moonshotai/Kimi-K3 | 93 | 96 | 27,648 | 0 | 0 | 449,372,160 | 1,048,576 | 7,168 | 163,840 | 2500 | ? | M
zai-org/GLM-4.5 | 92 | 96 | 376,832 | 0 | 0 | 0 | 202,752 | 5,120 | 151,552 | 355 | 32 | H
zai-org/GLM-4.5-Air | 46 | 96 | 188,416 | 0 | 0 | 0 | 131,072 | 4,096 | 151,552 | 106 | 12 | H
zai-org/GLM-4.7-Flash | 47 | 20 | 54,144 | 0 | 0 | 0 | 202,752 | 2,048 | 154,880 | 30 | 3 | M
zai-org/GLM-5 | 78 | 64 | 89,856 | 10,296 | 0 | 0 | 202,752 | 6,144 | 154,880 | 744 | 40 | H
zai-org/GLM-5.2 | 78 | 64 | 89,856 | 2,772 | 0 | 0 | 1,048,576 | 6,144 | 154,880 | 744 | 40 | H
openai/gpt-oss-20b | 24 | 64 | 24,576 | 0 | 3,145,728 | 0 | 131,072 | 2,880 | 201,088 | 20.9 | 3.6 | H
openai/gpt-oss-120b | 36 | 64 | 36,864 | 0 | 4,718,592 | 0 | 131,072 | 2,880 | 201,088 | 116.8 | 5.1 | H
MiniMaxAI/MiniMax-M1 | 80 | 64 | 40,960 | 0 | 0 | 146,800,640 | 10,240,000 | 6,144 | 200,064 | 456 | 45.9 | M
MiniMaxAI/MiniMax-M2 | 62 | 48 | 253,952 | 0 | 0 | 0 | 204,800 | 3,072 | 200,064 | 229 | 10 | H
MiniMaxAI/MiniMax-M3 | 60 | 64 | 122,880 | 14,592 | 0 | 0 | 1,048,576 | 6,144 | 200,064 | ? | ? | M
ai21labs/Jamba-1.5-Mini | 32 | 32 | 16,384 | 0 | 0 | 8,716,288 | 262,144 | 4,096 | 65,536 | 52 | 12 | H
ai21labs/Jamba-1.5-Large | 72 | 64 | 36,864 | 0 | 0 | 39,223,296 | 262,144 | 8,192 | 65,536 | 398 | 94 | M
nvidia/Nemotron-H-8B | 52 | 32 | 16,384 | 0 | 0 | 102,137,856 | 8,192 | 4,096 | 131,072 | 8.1 | ? | H
nvidia/Nemotron-H-56B | 118 | 64 | 40,960 | 0 | 0 | 912,605,184 | 8,192 | 8,192 | 131,072 | 56 | ? | H
nvidia/Nemotron-3-Nano-30B-A3B | 52 | 32 | 6,144 | 0 | 0 | 49,082,368 | 262,144 | 2,688 | 131,072 | 31.6 | 3.2 | H
nvidia/Nemotron-3-Super-120B-A12B | 88 | 32 | 8,192 | 0 | 0 | 170,229,760 | 262,144 | 4,096 | 131,072 | 120 | 12 | H
nvidia/Nemotron-3-Ultra-550B-A55B | 108 | 64 | 12,288 | 0 | 0 | 407,961,600 | 262,144 | 8,192 | 131,072 | 550 | 55 | H
nvidia/Llama-3.3-Nemotron-Super-49B | 80 | 64 | 200,704 | 0 | 0 | 0 | 131,072 | 8,192 | 128,256 | 49.9 | ? | H
tiiuae/Falcon-H1-7B | 44 | 12 | 45,056 | 0 | 0 | 70,152,192 | 262,144 | 3,072 | 130,048 | 7.6 | ? | M
ibm-granite/granite-4.0-h-small | 40 | 32 | 16,384 | 0 | 0 | 77,322,240 | 131,072 | 4,096 | 100,352 | 32 | 9 | M
LiquidAI/LFM2-1.2B | 16 | 32 | 12,288 | 0 | 0 | 81,920 | 128,000 | 2,048 | 65,536 | 1.17 | ? | H
allenai/OLMo-2-1124-7B | 32 | 32 | 524,288 | 0 | 0 | 0 | 4,096 | 4,096 | 100,352 | 7.3 | ? | H
allenai/OLMo-2-0325-32B | 64 | 40 | 262,144 | 0 | 0 | 0 | 4,096 | 5,120 | 100,352 | 32.2 | ? | H
allenai/Olmo-3-7B | 32 | 32 | 131,072 | 0 | 1,610,612,736 | 0 | 65,536 | 4,096 | 100,278 | 7.3 | ? | M
allenai/Olmo-3-32B | 64 | 40 | 65,536 | 0 | 805,306,368 | 0 | 65,536 | 5,120 | 100,278 | 32.2 | ? | M
HuggingFaceTB/SmolLM3-3B | 36 | 16 | 73,728 | 0 | 0 | 0 | 65,536 | 2,048 | 128,256 | 3.08 | ? | H
CohereLabs/c4ai-command-r-v01 | 40 | 64 | 1,310,720 | 0 | 0 | 0 | 131,072 | 8,192 | 256,000 | 35 | ? | M
CohereLabs/c4ai-command-r-08-2024 | 40 | 64 | 163,840 | 0 | 0 | 0 | 131,072 | 8,192 | 256,000 | 32 | ? | M
CohereLabs/command-r-plus | 64 | 96 | 262,144 | 0 | 0 | 0 | 131,072 | 12,288 | 256,000 | 104 | ? | M
CohereLabs/c4ai-command-r7b-12-2024 | 32 | 32 | 32,768 | 0 | 402,653,184 | 0 | 132,096 | 4,096 | 256,000 | 8 | ? | M
CohereLabs/c4ai-command-a-03-2025 | 64 | 96 | 65,536 | 0 | 805,306,368 | 0 | 131,072 | 12,288 | 256,000 | 111 | ? | M
01-ai/Yi-6B | 32 | 32 | 65,536 | 0 | 0 | 0 | 4,096 | 4,096 | 64,000 | 6.1 | ? | M
01-ai/Yi-34B | 60 | 56 | 245,760 | 0 | 0 | 0 | 4,096 | 7,168 | 64,000 | 34.4 | ? | M
bigcode/starcoder2-3b | 30 | 24 | 30,720 | 0 | 0 | 0 | 16,384 | 3,072 | 49,152 | 3 | ? | H
bigcode/starcoder2-7b | 32 | 36 | 65,536 | 0 | 0 | 0 | 16,384 | 4,608 | 49,152 | 7.2 | ? | H
bigcode/starcoder2-15b | 40 | 48 | 81,920 | 0 | 0 | 0 | 16,384 | 6,144 | 49,152 | 16 | ? | M
XiaomiMiMo/MiMo-V2-Flash | 48 | 64 | 23,040 | 0 | 25,559,040 | 0 | 262,144 | 4,096 | 152,576 | 309 | 15 | H
stepfun-ai/Step-3.7-Flash | 45 | 64 | 49,152 | 0 | 69,206,016 | 0 | 65,536 | 4,096 | 128,896 | 196 | 11 | H
tencent/Hunyuan-Large | 64 | 80 | 131,072 | 0 | 0 | 0 | 131,072 | 6,400 | 129,024 | 389 | 52 | M
tencent/Hunyuan-A13B | 32 | 32 | 131,072 | 0 | 0 | 0 | 262,144 | 4,096 | 128,167 | 80 | 13 | M
inclusionAI/Ling-3.0-Flash | 42 | ? | 8,064 | 0 | 0 | ? | ? | ? | ? | ? | ? | M
openai/whisper-large-v3 | 32 | 20 | 163,840 | 0 | 245,760,000 | 0 | 448 | 1,280 | 51,866 | 1.55 | ? | H
"""

ROWS = [[cell.strip() for cell in line.split("|")] for line in ORACLE.strip().splitlines()]
IDS = [row[0] for row in ROWS]
ROUNDED = {"GLM-4-32B-0414": 32.6, "Ling-flash-2.0": 103, "gemma-7B": 8.54, "deepseek-coder-33B": 33.3}
"""Billions of weights as published, of models whose exact number is not."""
ADDED = ("Phi-3.5-mini", "Qwen3-Omni-30B-A3B", *ROUNDED)

# Weights as the published checkpoints hold them.
EXACT = {
    "Llama-2-7B": 6_738_415_616,
    "Llama-3.1-8B": 8_030_261_248,
    "Llama-3.1-70B": 70_553_706_496,
    "Llama-3.1-405B": 405_853_388_800,
    "gemma-4-E2B": 5_123_178_051,
    "gemma-4-E4B": 7_996_156_490,
    "Llama-3.2-1B": 1_235_814_400,
    "Llama-3.2-3B": 3_212_749_824,
    "Llama-3.2-11B-Vision": 10_670_220_835,
    "Qwen2.5-0.5B": 494_032_768,
    "Qwen2.5-1.5B": 1_543_714_304,
    "Qwen2.5-3B": 3_085_938_688,
    "Qwen2.5-7B": 7_615_616_512,
    "Qwen2.5-14B": 14_770_033_664,
    "Qwen2.5-32B": 32_763_876_352,
    "Qwen2.5-72B": 72_706_203_648,
    "Qwen3-0.6B": 596_049_920,
    "Qwen3-1.7B": 1_720_574_976,
    "Qwen3-4B": 4_022_468_096,
    "Qwen3-8B": 8_190_735_360,
    "Qwen3-14B": 14_768_307_200,
    "Qwen3-32B": 32_762_123_264,
    "Qwen3-30B-A3B": 30_532_122_624,
    "Qwen3-235B-A22B": 235_093_634_560,
    "Mistral-7B-v0.3": 7_248_023_552,
    "Mistral-Nemo-12B": 12_247_782_400,
    "Mistral-Large-2407": 122_610_069_504,
    "Mixtral-8x7B-v0.1": 46_702_792_704,
    "Mixtral-8x22B-v0.1": 140_620_634_112,
    "gemma-2-2b": 2_614_341_888,
    "gemma-2-9b": 9_241_705_984,
    "gemma-2-27b": 27_227_128_320,
    "gemma-3-1b": 999_885_952,
    "gemma-3-4b": 4_300_079_472,
    "gemma-3-12b": 12_187_325_040,
    "gemma-3-27b": 27_432_406_640,
    "Phi-3-mini-4k": 3_821_079_552,
    "Phi-3.5-MoE": 41_873_153_344,
    "phi-4": 14_659_507_200,
    "Phi-4-mini": 3_836_021_760,
    "DeepSeek-V2-Lite": 15_706_484_224,
    "DeepSeek-V3": 671_026_419_200,
    "gpt-oss-20b": 20_914_757_184,
    "gpt-oss-120b": 116_829_156_672,
    "Llama-3.3-Nemotron-Super-49B": 49_867_145_216,
    "LFM2-1.2B": 1_170_340_608,
    "OLMo-2-1124-7B": 7_298_617_344,
    "OLMo-2-0325-32B": 32_234_279_936,
    "SmolLM3-3B": 3_075_098_624,
    "c4ai-command-r-v01": 34_980_831_232,
    "command-r-plus": 103_810_674_688,
    "c4ai-command-r7b-12-2024": 8_028_033_024,
    "Yi-6B": 6_061_035_520,
    "Yi-34B": 34_388_917_248,
    "starcoder2-7b": 7_173_923_840,
    "whisper-large-v3": 1_543_490_560,
}

KINDS = {
    "Llama-4-Scout-17B-16E": {"chunked_local": 36, "full": 12},
    "Llama-3.2-11B-Vision": {"full": 32, "cross_attention": 8},
    "Qwen3-Next-80B-A3B": {"gated_deltanet": 36, "full": 12},
    "Qwen3.5-9B": {"gated_deltanet": 24, "full": 8},
    "Qwen3.5-27B": {"gated_deltanet": 48, "full": 16},
    "Qwen3.5-397B-A17B": {"gated_deltanet": 45, "full": 15},
    "gemma-3-1b": {"sliding_window": 22, "full": 4},
    "gemma-3-4b": {"sliding_window": 29, "full": 5},
    "gemma-3-27b": {"sliding_window": 52, "full": 10},
    "gemma-3n-E4B": {"sliding_window": 16, "full": 4, "shared": 15},
    "gemma-4-E2B": {"sliding_window": 12, "full": 3, "shared": 20},
    "gemma-4-E4B": {"sliding_window": 20, "full": 4, "shared": 18},
    "gemma-4-31B": {"sliding_window": 50, "full": 10},
    "DeepSeek-V3.2": {"latent": 61, "sparse_indexer": 61},
    "DeepSeek-V4-Flash": {"sliding_window_latent": 43, "compressed_latent": 41, "sparse_indexer": 21},
    "Kimi-Linear-48B-A3B": {"kda": 20, "latent": 7},
    "Kimi-K3": {"kda": 69, "latent": 24},
    "GLM-5": {"latent": 78, "sparse_indexer": 78},
    "GLM-5.2": {"latent": 78, "sparse_indexer": 21},
    "gpt-oss-20b": {"sliding_window": 12, "full": 12},
    "MiniMax-M1": {"lightning": 70, "full": 10},
    "MiniMax-M3": {"full": 60, "sparse_indexer": 57},
    "Jamba-1.5-Mini": {"mamba1": 28, "full": 4},
    "Jamba-1.5-Large": {"mamba1": 63, "full": 9},
    "Nemotron-H-8B": {"mamba2": 24, "full": 4, "none": 24},
    "Nemotron-H-56B": {"mamba2": 54, "full": 10, "none": 54},
    "Nemotron-3-Nano-30B-A3B": {"mamba2": 23, "full": 6, "none": 23},
    "Nemotron-3-Super-120B-A12B": {"mamba2": 40, "full": 8, "none": 40},
    "Nemotron-3-Ultra-550B-A55B": {"mamba2": 48, "full": 12, "none": 48},
    "Llama-3.3-Nemotron-Super-49B": {"full": 49, "none": 31},
    "Falcon-H1-7B": {"full": 44, "mamba2": 44},
    "granite-4.0-h-small": {"mamba2": 36, "full": 4},
    "LFM2-1.2B": {"short_conv": 10, "full": 6},
    "Olmo-3-7B": {"sliding_window": 24, "full": 8},
    "MiMo-V2-Flash": {"sliding_window": 39, "full": 9},
    "Step-3.7-Flash": {"sliding_window": 33, "full": 12},
    "Hunyuan-Large": {"full": 32, "shared": 32},
    "Ling-3.0-Flash": {"kda": 35, "latent": 7},
    "whisper-large-v3": {"full": 32, "cross_attention": 32},
}

# Zero-based places of the layers whose first cache grows with the context, as published.
GROWING = {
    "Llama-4-Scout-17B-16E": range(3, 48, 4),
    "Llama-3.2-11B-Vision": [i for i in range(40) if i not in range(3, 40, 5)],
    "Qwen3.5-27B": range(3, 64, 4),
    "gemma-2-9b": range(1, 42, 2),
    "gemma-3-1b": (5, 11, 17, 23),
    "gemma-3n-E4B": (4, 9, 14, 19),
    "gpt-oss-120b": range(1, 36, 2),
    "Kimi-Linear-48B-A3B": (3, 7, 11, 15, 19, 23, 26),
    "Kimi-K3": (*range(3, 92, 4), 92),
    "MiniMax-M1": range(7, 80, 8),
    "Jamba-1.5-Mini": (4, 12, 20, 28),
    "Nemotron-H-8B": (7, 18, 29, 40),
    "Nemotron-3-Nano-30B-A3B": (5, 12, 19, 26, 33, 42),
    "granite-4.0-h-small": (5, 15, 25, 35),
    "LFM2-1.2B": (2, 5, 8, 10, 12, 14),
    "MiMo-V2-Flash": (0, *range(5, 48, 6)),
    "Step-3.7-Flash": range(0, 45, 4),
    "Hunyuan-Large": range(0, 64, 2),
    "Olmo-3-7B": range(3, 32, 4),
}


def number(cell: str) -> float | None:
    return None if cell == "?" else float(cell.replace(",", ""))


@pytest.mark.parametrize("row", ROWS, ids=IDS)
def test_the_cache_and_shape_of_every_model_agree_with_the_facts(row: list[str]) -> None:
    model = find_model(row[0])
    heads = {c.q_heads for layer in model.layers for c in layer.caches if isinstance(c, Attention | Latent)}
    got = (
        len(model.layers),
        heads.pop() if len(heads) == 1 else heads,
        model.bytes_per_token(BF16),
        model.bytes_per_token(BF16, "indexer"),
        model.bounded_bytes(BF16),
        model.state_bytes(),
        model.max_context,
        model.hidden,
        model.vocab,
    )
    expected = [number(cell) for cell in row[1:10]]
    checked_alone = {"deepseek-ai/DeepSeek-V4-Flash": (2, 3, 4), "inclusionAI/Ling-3.0-Flash": (1, 5)}
    skip = checked_alone.get(row[0], ())
    assert [v for i, v in enumerate(got) if i not in skip] == [v for i, v in enumerate(expected) if i not in skip]
    assert model.confidence == row[12]


def rows_of_parameters(origin: str) -> list[list[str]]:
    return [row for row in ROWS if row[10] != "?" and find_model(row[0]).parameters_from == origin]


@pytest.mark.parametrize("row", rows_of_parameters("stated"), ids=lambda row: row[0])
def test_parameters_that_are_stated_are_the_published_round_figures(row: list[str]) -> None:
    model, total, active = find_model(row[0]), number(row[10]), number(row[11])
    assert model.parameters == round(present(total) * 1e9)
    assert model.active_parameters == (None if active is None else round(active * 1e9))


@pytest.mark.parametrize("row", rows_of_parameters("shape"), ids=lambda row: row[0])
def test_parameters_that_are_counted_are_near_the_published_round_figures(row: list[str]) -> None:
    model, total, active = find_model(row[0]), number(row[10]), number(row[11])
    assert model.parameters is not None
    assert model.parameters / 1e9 == pytest.approx(total, rel=0.03)
    # Publishers count the active weights with both embeddings, without the input's, or without either.
    embedding = present(model.hidden) * present(model.vocab)
    counts = [(present(model.active_parameters) - n * embedding) / 1e9 for n in (0, 1, 2)]
    assert active is None or any(count == pytest.approx(active, rel=0.12) for count in counts)


@pytest.mark.parametrize("name", EXACT)
def test_parameters_counted_from_the_shape_are_those_of_the_checkpoint(name: str) -> None:
    model = find_model(name)
    assert (model.parameters_from, model.parameters) == ("shape", EXACT[name])


def test_only_models_of_unknown_shape_keep_the_stated_parameters() -> None:
    stated = {m.name: m.parameters for m in all_models() if m.parameters_from == "stated"}
    assert stated == {
        "gemma-3n-E4B": 8_000_000_000,
        "DeepSeek-V4-Flash": 284_000_000_000,
        "Kimi-K3": 2_500_000_000_000,
        "Ling-3.0-Flash": None,
    }


def idle(model: ModelSpec) -> int:
    return present(model.parameters) - present(model.active_parameters)


def test_active_parameters_leave_out_idle_experts_and_what_is_outside_the_decoder() -> None:
    mixtral, gemma = find_model("Mixtral-8x7B"), find_model("gemma-3-4b")
    assert idle(mixtral) == 32 * 6 * 3 * 4096 * 14336
    assert idle(gemma) == 416_866_032 + 1152 * 2560 + 1152


def test_the_catalogue_holds_every_model_of_the_facts_and_the_added_ones() -> None:
    assert len(IDS) == len(set(IDS))
    models = all_models()
    assert {alias for model in models for alias in model.aliases} >= set(IDS)
    assert {model.name for model in models} >= set(ADDED)
    assert len(models) == len(IDS) + len(HOME_IDS) + len(ADDED)
    assert model_names() == tuple(model.name for model in models)


@pytest.mark.parametrize("name", KINDS)
def test_hybrid_models_have_the_published_layers(name: str) -> None:
    assert find_model(name).layer_kinds == KINDS[name]


@pytest.mark.parametrize("name", GROWING)
def test_layers_are_in_the_published_order(name: str) -> None:
    layers = find_model(name).layers
    assert [i for i, x in enumerate(layers) if x.caches and x.caches[0].growth == "growing"] == list(GROWING[name])


def test_glm_5_2_has_an_indexer_in_its_published_layers() -> None:
    layers = find_model("GLM-5.2").layers
    assert [i for i, layer in enumerate(layers) if len(layer.caches) == 2] == [0, 1, 2, *range(6, 78, 4)]


def test_shared_layers_read_caches_of_their_own_kind() -> None:
    layers = find_model("gemma-4-E4B").layers
    kinds = [layer.caches[0].reads.kind for layer in layers if isinstance(layer.caches[0], Shared)]
    assert kinds == (["sliding_window"] * 5 + ["full"]) * 3


def test_multi_token_prediction_layers_are_apart_from_the_model() -> None:
    deepseek, glm, qwen = find_model("DeepSeek-V3.2"), find_model("GLM-5.2"), find_model("Qwen3.5-27B")
    assert [cache.kind for cache in deepseek.mtp[0].caches] == ["latent", "sparse_indexer"]
    assert [cache.kind for cache in glm.mtp[0].caches] == ["latent", "sparse_indexer"]
    assert [cache.kind for cache in qwen.mtp[0].caches] == ["full"]
    assert find_model("Llama-3.1-8B").mtp == ()


def test_other_models_of_the_reference() -> None:
    phi, omni = find_model("Phi-3.5-mini"), find_model("Qwen3-Omni-30B-A3B")
    assert (len(phi.layers), phi.bytes_per_token(BF16), phi.max_context) == (32, 2 * 32 * 32 * 96 * 2, 131072)
    assert phi.parameters == find_model("Phi-3-mini").parameters
    assert (len(omni.layers), omni.hidden, omni.bytes_per_token(BF16)) == (48, 2048, 98_304)
    assert present(omni.parameters) / 1e9 == pytest.approx(30.5, rel=0.01)


# --- tensor parallelism ---------------------------------------------------------------------------------------------


def test_each_kv_head_is_stored_twice_when_there_are_twice_as_many_ranks() -> None:
    qwen = find_model("Qwen3-235B-A22B")
    assert qwen.bytes_per_token(BF16, tp=4) == 48_128
    assert qwen.bytes_per_token(BF16, tp=8) == 48_128
    assert 8 * qwen.bytes_per_token(BF16, tp=8) == 2 * 192_512


def test_every_rank_holds_all_latents_and_indexer_keys() -> None:
    for name, latents, keys in (("DeepSeek-V3", 70_272, 0), ("DeepSeek-V3.2", 70_272, 8052)):
        model = find_model(name)
        model.check_tp(8)
        assert model.bytes_per_token(BF16, tp=8) == latents
        assert model.bytes_per_token(BF16, "indexer", tp=8) == keys


@pytest.mark.parametrize(
    ("name", "tp", "heads"),
    [("Qwen2.5-7B", 8, "28 attention heads"), ("phi-4", 4, "10 KV heads"), ("Yi-34B", 16, "56 attention heads")],
)
def test_heads_that_cannot_be_shared_are_named(name: str, tp: int, heads: str) -> None:
    with pytest.raises(InputError, match=heads):
        find_model(name).check_tp(tp)


def test_phi_4_can_be_split_where_its_ten_kv_heads_can() -> None:
    def splits(tp: int) -> bool:
        try:
            find_model("phi-4").check_tp(tp)
        except InputError:
            return False
        return True

    assert list(filter(splits, range(1, 81))) == [1, 2, 5, 10, 20, 40]


def test_recurrent_state_is_divided_over_ranks() -> None:
    qwen = find_model("Qwen3.5-27B")
    assert qwen.state_bytes() == 153_944_064
    assert [qwen.state_bytes(tp) for tp in (2, 4, 8)] == [153_944_064 // tp for tp in (2, 4, 8)]


def test_a_single_mamba_2_group_is_held_by_every_rank() -> None:
    granite = find_model("granite-4.0-h-small")
    conv = 3 * (8192 // 2 + 2 * 128) * 2
    assert granite.state_bytes(2) == 36 * (conv + 64 * 64 * 128 * 2)
    assert 2 * granite.state_bytes(2) > granite.state_bytes()


# --- element formats ------------------------------------------------------------------------------------------------


def test_k_and_v_heads_of_different_size() -> None:
    mimo = find_model("MiMo-V2-Flash")
    full, window = mimo.layers[0].caches[0], mimo.layers[1].caches[0]
    assert full == Attention("full", 64, 4, 192, 128)
    assert window == Attention("sliding_window", 64, 8, 192, 128, 128)
    assert full.entry_bytes(kv_format("q8_0"), 1) == 4 * (192 + 128) * 34 // 32
    assert full.entry_bytes(kv_format("int8_per_token_head"), 1) == 4 * (192 + 128 + 8)


@pytest.mark.parametrize(
    ("name", "mib"), [("fp16", 224), ("q8_0", 119), ("q4_0", 63), ("q4_1", 70), ("q5_0", 77), ("q5_1", 84)]
)
def test_keys_of_llama_3b_in_every_format_that_llama_cpp_logged(name: str, mib: int) -> None:
    caches = [layer.caches[0] for layer in find_model("Llama-3.2-3B").layers]
    keys = sum(kv_format(name).row_bytes(one.kv_heads, one.k_dim) for one in caches if isinstance(one, Attention))
    assert 4096 * keys == mib * MIB


@pytest.mark.parametrize("name", ["DeepSeek-V3.2", "GLM-5", "GLM-5.2"])
def test_packed_latents_weigh_656_bytes(name: str) -> None:
    model = find_model(name)
    assert model.bytes_per_token(DS_MLA) == 656 * len(model.layers)


def test_packed_latents_need_latents() -> None:
    with pytest.raises(InputError, match="fp8_ds_mla stores MLA latents only"):
        find_model("Llama-3.1-8B").bytes_per_token(DS_MLA)


# --- logs of servers ------------------------------------------------------------------------------------------------


def gib(count: int) -> float:
    return round(count / GIB, 2)


def test_deepseek_v3_2_pool_as_sglang_logged_it() -> None:
    model = find_model("DeepSeek-V3.2")
    per_token = model.bytes_per_token(DS_MLA) + model.bytes_per_token(DS_MLA, "indexer")
    assert per_token == 61 * 788
    assert gib(975_424 * per_token) == 43.67


def test_kimi_k2_5_pool_as_sglang_logged_it() -> None:
    assert gib(2_454_421 * find_model("Kimi-K2.5").bytes_per_token(BF16)) == 160.63


def test_gpt_oss_buffers_as_llama_cpp_logged_them() -> None:
    model = find_model("gpt-oss-20b")
    assert 131_072 * model.bytes_per_token(kv_format("fp16")) == 3072 * MIB
    assert model.bounded_bytes(kv_format("fp16")) == 3 * MIB


def test_hybrid_buffers_as_llama_cpp_logged_them() -> None:
    q8_0 = kv_format("q8_0")
    assert 8192 * find_model("gemma-4-12B").bytes_per_token(q8_0) == 68 * MIB
    assert 131_072 * find_model("Qwen3.6-27B").bytes_per_token(q8_0) == 4352 * MIB
    assert 135_168 * find_model("Qwen3.5-9B").bytes_per_token(kv_format("fp16")) == 4224 * MIB


def slot_parts(model: ModelSpec) -> tuple[int, int]:
    """Bytes of conv state and of recurrent state of one sequence."""
    states = [cache for layer in model.layers for cache in layer.caches if isinstance(cache, Recurrent)]
    conv = sum(2 * cache.conv_elements(1) for cache in states)
    return conv, model.state_bytes() - conv


def test_state_pools_as_sglang_logged_them() -> None:
    qwen, ling = find_model("Qwen3.5-27B"), find_model("Ling-3.0-Flash")
    assert gib(330_323 * qwen.bytes_per_token(BF16)) == 20.16
    assert [gib(125 * part) for part in slot_parts(qwen)] == [0.34, 17.58]
    assert gib(1_226_984 * ling.bytes_per_token(BF16)) == 9.21
    assert [gib(118 * part) for part in slot_parts(ling)] == [0.28, 8.07]


def test_deepseek_v4_compresses_its_growing_part_and_bounds_its_windows() -> None:
    model = find_model("DeepSeek-V4-Flash")
    at, more = (cache_bytes(model.caches, tokens, DS_MLA) for tokens in (128_000, 256_000))
    assert more.growing + more.indexer - at.growing - at.indexer == 128_000 * 3850.25
    assert at.bounded == more.bounded == 43 * 128 * 584
    assert model.bounded_bytes(BF16) == 43 * 128 * 512 * 2
    assert model.bytes_per_token(DS_MLA, "indexer") == 21 * 132 // 4
    assert [cache.kind for cache in model.mtp[0].caches] == ["sliding_window_latent"]


# --- look-up --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given_name", "name"),
    [
        ("llama 3.1 8b", "Llama-3.1-8B"),
        ("LLAMA_3.3_70B", "Llama-3.1-70B"),
        ("Qwen3.6-27B", "Qwen3.5-27B"),
        ("DeepSeek-R1", "DeepSeek-V3"),
        ("Magistral-Small", "Mistral-Small-24B"),
        ("MiniMax-Text-01", "MiniMax-M1"),
        ("Jamba-v0.1", "Jamba-1.5-Mini"),
        ("mistralai/Mistral-Nemo-Instruct-2407", "Mistral-Nemo-12B"),
    ],
)
def test_models_are_found_by_name_id_and_alias(given_name: str, name: str) -> None:
    assert find_model(given_name).name == name


def test_every_name_and_alias_finds_its_model() -> None:
    for model in all_models():
        for name in (model.name, *model.aliases):
            assert find_model(name) is model


@pytest.mark.parametrize("name", ["", "-it", "instruct", "Llama-3.1-9B", "llama-3.1-8bit", "\x1b[31m"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(UnknownName, match=r"^unknown model '[^\x00-\x1f]*'"):
        find_model(name)


def test_an_unknown_name_gets_the_nearest_ones_for_the_name_as_given() -> None:
    with pytest.raises(UnknownName, match=r"^unknown model 'Qwen3-9B'; did you mean .*Qwen3-8B"):
        find_model("Qwen3-9B")


# --- a user's own file ----------------------------------------------------------------------------------------------

ENTRY = """
[[model]]
name = "Mine"
id = "me/mine"
aliases = ["mine too"]
hidden = 64
vocab = 100
max_context = 4096
source = "my config"
confidence = "L"
layers = "SF GG*2"
mtp = "F"
feed_forward = "D M*5"
tied = true
norm_bias = true
extra_parameters = 7
weights = "fp8"
notes = ["mine"]
[model.mixer]
S = { kind = "sliding_window", q_heads = 4, kv_heads = 2, head_dim = 8, window = 32 }
F = { kind = "full", q_heads = 4, kv_heads = 2, k_dim = 16, v_dim = 8, qkv_bias = true }
G = { kind = "gated_deltanet", key_heads = 2, value_heads = 4, key_dim = 8, value_dim = 8, conv = 4, state = "bf16" }
[model.ffn]
D = { width = 128, gated = false, bias = true }
M = { experts = 8, active = 2, width = 32, shared = 16, shared_gate = true, router_bias = true }
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KVTUI_CONFIG_DIR", str(tmp_path))
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "models.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_users_model_is_built_and_counted(folder: Path) -> None:
    write(folder, ENTRY)
    mine = find_model("Me/Mine")
    assert model_names()[-1] == "Mine"
    assert find_model("mine too") is mine
    assert mine.layer_kinds == {"sliding_window": 1, "full": 1, "gated_deltanet": 4}
    assert (mine.max_context, mine.published_weights, mine.notes) == (4096, "fp8", ("mine",))
    assert mine.bytes_per_token(BF16) == 2 * (16 + 8) * 2
    assert mine.bounded_bytes(BF16) == 32 * 2 * 16 * 2
    assert mine.state_bytes() == 4 * (3 * (2 * 16 + 32) * 2 + 4 * 8 * 8 * 2)
    norms = 2 * 2 * 64
    window = 64 * (32 + 16 + 16) + 32 * 64
    full = 64 * (64 + 32 + 16) + 32 * 64 + 64 + 32 + 16
    deltanet = 64 * (2 * 16 + 2 * 32 + 2 * 4) + 32 * 64 + 64 * 4 + 2 * 4 + 8
    dense = 2 * 64 * 128 + 128 + 64
    beside = 64 * 8 + 8 + 3 * 64 * 16 + 64
    layers = window + dense + full + beside + 4 * (deltanet + beside) + 6 * norms
    expert = 3 * 64 * 32
    assert mine.active_parameters == layers + 5 * 2 * expert + 100 * 64 + 2 * 64
    assert mine.parameters == mine.active_parameters + 5 * 6 * expert + 7
    assert [layer.width for layer in mine.layers] == [128, *[2 * 32 + 16] * 5]
    assert mine.layers[1].caches == mine.mtp[0].caches


def test_a_users_model_replaces_a_packaged_one_of_its_name(folder: Path) -> None:
    write(folder, ENTRY.replace('"Mine"', '"Llama-3.1-8B"'))
    assert find_model("meta-llama/Llama-3.1-8B").hidden == 64
    assert len(all_models()) == len(IDS) + len(HOME_IDS) + len(ADDED)


def test_a_users_model_may_leave_out_feed_forward_blocks(folder: Path) -> None:
    text = ENTRY.replace('feed_forward = "D M*5"\n', "parameters = 1000\n")
    write(folder, text[: text.index("[model.ffn]")])
    mine = find_model("Mine")
    assert (mine.parameters, mine.active_parameters, mine.parameters_from) == (1000, None, "stated")
    assert {layer.parameters for layer in mine.layers} == {None}
    assert mine.layer_kinds == {"sliding_window": 1, "full": 1, "gated_deltanet": 4}


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ('"SF GG*2"', '"SX GG*2"', "layers: 'X' is none of the letters that the entry defines (-, F, G, S)"),
        ('"SF GG*2"', '"SF GG*0"', "layers: 'GG*0' is not letters, or letters*times, as in GGGF*16"),
        ('"SF GG*2"', '"SF GG*1025"', "layers: has more than 1,024 layers"),
        ('"SF GG*2"', '"S*1 F GG*2 G"', "feed_forward: has 6 layers, but layers has 7"),
        ('"SF GG*2"', '"FF GG*2"', "mixer.S: no layer has this letter"),
        ('"SF GG*2"', '""', "layers: must not be empty, nor begin or end with a blank"),
        ('layers = "SF GG*2"\n', "", "layers: is missing"),
        ('"F"', '"Z"', "mtp: 'Z' is none of the letters that the entry defines (-, F, G, S)"),
        ('"D M*5"', '"D*6"', "ffn.M: no layer has this letter"),
        ('feed_forward = "D M*5"\n', "", "feed_forward: is missing"),
        ("hidden = 64", "hidden = 0", "hidden: must be from 1 to 16,777,216"),
        ("hidden = 64", "hidden = 99999999", "hidden: must be from 1 to 16,777,216"),
        ("hidden = 64\n", "", "hidden: is missing"),
        ("hidden = 64", "hiden = 64", "hiden: is not a known field; did you mean hidden?"),
        ("tied = true", "tide = true", "tide: is not a known field; did you mean tied?"),
        ('"fp8"', '"fp9"', "weights: 'fp9' is not one of "),
        ('"L"', '"X"', "confidence: 'X' is not one of H, M, L"),
        (
            '"full"',
            '"fool"',
            "mixer.F.kind: 'fool' is not one of full, sliding_window, chunked_local, cross_attention, ",
        ),
        ("window = 32", "windows = 32", "mixer.S.windows: is not a known field; did you mean window?"),
        ("window = 32", "window = -1", "mixer.S.window: must be from 1 to "),
        ("kv_heads = 2, head_dim", "kv_heads = 3, head_dim", "mixer.S.q_heads: 4 is not a multiple of kv_heads (3)"),
        ("value_heads = 4", "value_heads = 5", "mixer.G.value_heads: 5 is not a multiple of key_heads (2)"),
        ('state = "bf16"', 'state = "bf61"', "mixer.G.state: 'bf61' is not one of fp32, bf16, fp16"),
        ("v_dim = 8, qkv", "qkv", "mixer.F.v_dim: is missing"),
        ("G = {", "GG = {", "mixer.GG: must be a single letter"),
        ("active = 2", "active = 9", "ffn.M.active: must be from 1 to 8"),
        ("width = 32", "with = 32", "ffn.M.with: is not a known field; did you mean width?"),
        ("[model.mixer]", "[model.mixers]", "mixers: is not a known field; did you mean mixer?"),
        ("max_context = 4096", "max_context = 4.5", "max_context: must be a whole number, not a number"),
        (
            "notes",
            "parameters = 5\nactive_parameters = 6\nnotes",
            "active_parameters: must not be more than parameters",
        ),
    ],
)
def test_what_is_wrong_in_a_users_file_is_said_on_one_line(folder: Path, old: str, new: str, problem: str) -> None:
    assert ENTRY.count(old) == 1 or old in ('"F"', '"L"', "notes")
    path = write(folder, ENTRY.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        find_model("Mine")
    assert str(caught.value).startswith(f"{path}: model 'Mine': {problem}")
    assert "\n" not in str(caught.value)


def with_mixer(mixer: str) -> str:
    """ENTRY with ``mixer`` for its letter F."""
    return "\n".join(f"F = {mixer}" if line.startswith("F = ") else line for line in ENTRY.splitlines())


def test_other_mixers_and_orders_are_right_too(folder: Path) -> None:
    window, states = {"sliding_window": 1}, {"gated_deltanet": 4}
    write(folder, ENTRY.replace('"SF GG*2"', '"SS GG*2"'))
    assert find_model("Mine").layer_kinds == {"sliding_window": 2} | states
    write(folder, with_mixer('{ kind = "shared", reads = "S" }'))
    assert find_model("Mine").layer_kinds == window | {"shared": 1} | states
    write(folder, with_mixer('{ kind = "kda", heads = 2, dim = 8, conv = 4, state = "fp16" }'))
    assert find_model("Mine").layer_kinds == window | {"kda": 1} | states
    assert find_model("Mine").state_bytes() == 4 * (3 * (2 * 16 + 32) * 2 + 4 * 8 * 8 * 2) + 3 * 48 * 2 + 2 * 8 * 8 * 2


@pytest.mark.parametrize(
    ("mixer", "problem"),
    [
        ("[]", "mixer.F: must be a table, or a list of at least one"),
        ('"full"', "mixer.F: must be a table, not text"),
        ('{ kind = "shared", reads = "F" }', "mixer.F.reads: 'F' is not the letter of a mixer with K and V of its own"),
        ('[{ kind = "shared", reads = "S" }, { kind = "short_conv", channels = 4, conv = 3 }]', "mixer.F[0].kind: "),
        ('{ kind = "latent", q_heads = 4, rank = 8, rope = 4 }', "mixer.F.nope: is missing"),
        (
            '{ kind = "latent", q_heads = 4, rank = 8, rope = 4, nope = 8, v_dim = 8, ratio = 4 }',
            "mixer.F.kind: weights of a compressed or windowed latent are not counted: leave feed_forward out",
        ),
        ('{ kind = "mamba1", inner = 8, state_dim = 4, conv = 4, state = "fp16" }', "mixer.F.dt_rank: is missing"),
    ],
)
def test_mixers_are_checked(folder: Path, mixer: str, problem: str) -> None:
    path = write(folder, with_mixer(mixer))
    with pytest.raises(InputError) as caught:
        find_model("Mine")
    assert str(caught.value).startswith(f"{path}: model 'Mine': {problem}")


def test_two_models_of_a_user_cannot_share_a_name(folder: Path) -> None:
    path = write(folder, ENTRY + ENTRY.replace('"Mine"', '"Other"').replace("me/mine", "other"))
    with pytest.raises(InputError) as caught:
        find_model("Llama-3.1-8B")
    assert str(caught.value).startswith(f"{path}: model 'Other': 'mine too' is ")
    assert str(caught.value).endswith("a name of 'Mine'")


def toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=True)


VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["F", "S G*3", "-", "*", "F*9999", "full", "shared", "latent", "bf16", "\x00", "\u202e", " "]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["F", "S", "kind", "reads", "width", "experts"]), inner, max_size=4)
    ),
    max_leaves=6,
)
PLACES = st.sampled_from(
    [
        ("model", key)
        for key in (
            *("name", "id", "aliases", "hidden", "vocab", "max_context", "parameters", "active_parameters", "source"),
            *("confidence", "layers", "mtp", "feed_forward", "norms", "tied", "extra_parameters", "weights", "notes"),
            *("mixer", "ffn", "unheard of"),
        )
    ]
    + [("mixer", "F"), ("mixer", "S"), ("F", "kind"), ("F", "q_heads"), ("F", "k_dim"), ("F", "indexer")]
    + [("ffn", "D"), ("D", "width"), ("D", "experts"), ("D", "latent"), ("D", "active")]
)


@example(changes=[(("model", "name"), "Mine")])
@example(changes=[(("model", "name"), "\x1b[2J")])
@given(st.lists(st.tuples(PLACES, VALUES), min_size=1, max_size=3))
def test_no_user_file_raises_anything_but_input_errors(changes: list[tuple[tuple[str, str], object]]) -> None:
    tables: dict[str, dict[str, object]] = {
        "model": {"name": "Mine", "hidden": 64, "vocab": 9, "source": "x", "confidence": "L", "layers": "SF"},
        "mixer": {"S": {"kind": "shared", "reads": "F"}},
        "F": {"kind": "full", "q_heads": 4, "kv_heads": 2, "k_dim": 16, "v_dim": 8},
        "ffn": {},
        "D": {"width": 8},
    }
    tables["mixer"]["F"] = tables["F"]
    tables["ffn"]["D"] = tables["D"]
    tables["model"] |= {"mixer": tables["mixer"], "ffn": tables["ffn"], "feed_forward": "DD"}
    for (table, key), value in changes:
        tables[table][key] = value
    text = "[[model]]\n" + "".join(f"{json.dumps(k)} = {toml(v)}\n" for k, v in tables["model"].items())
    with TemporaryDirectory() as name, mock.patch.dict(os.environ, {"KVTUI_CONFIG_DIR": name}):
        write(Path(name), text)
        try:
            mine, problem = all_models()[-1], "none"
        except InputError as error:
            mine, problem = None, str(error)
    assert problem.isprintable()
    if mine is not None:
        assert mine.bytes_per_token(FP8) >= 0
        assert mine.parameters is None or mine.parameters > 0


@pytest.mark.parametrize(("name", "billions"), ROUNDED.items())
def test_weights_of_a_shape_are_the_rounded_ones_that_are_published(name: str, billions: float) -> None:
    model = find_model(name)
    assert model.parameters_from == "shape"
    assert (model.parameters or 0) / 1e9 == pytest.approx(billions, rel=0.002)
