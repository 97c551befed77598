"""How far answers may suffer from a format with fewer bits: a level, and who measured it.

The levels are rules of thumb over published comparisons, not promises: a model's own evaluation decides. Example:
Q4_K_M weights are "low to medium", and a cache in 4 bits is "high".
"""

from __future__ import annotations

import re
from typing import NamedTuple

from kvtui.engine.checkpoint.known import format_key
from kvtui.engine.model.formats import canonical
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.scenario.scenario import FILE_WEIGHTS

LEVELS = ("none", "low", "low to medium", "medium", "high")

_EIGHT_BITS = "arXiv:2411.02355: fp8 loses nothing that can be measured, int8 1 to 3 %"
_FOUR_BITS = "arXiv:2411.02355: 4-bit weights come close to 8-bit ones"
_K_QUANTS = "llama.cpp pull request 1684: perplexity by file type"
_EXL = "README of exllamav2: perplexity by bits per weight"
_HQQ = "mobiusml.github.io/hqq_blog: 4-bit weights beside GPTQ and AWQ"
_ROUNDED = "arXiv:2208.07339: rounding without regard to outliers loses from 6.7 billion weights on"
_FP8_CACHE = "vLLM documentation, quantized KV cache"
_GGML_CACHE = "llama.cpp pull request 7412: perplexity and divergence by cache format"
_FOUR_BIT_CACHE = "arXiv:2402.02750: keys have outlier channels that 4 bits per token lose"
_FP4_CACHE = "SGLang documentation, quantized KV cache: the loss depends on the size of the model"


class Risk(NamedTuple):
    """A ``level``, the number of one of LEVELS, and its ``source``, empty where nothing is risked."""

    level: int
    source: str

    @property
    def word(self) -> str:
        """The level in words."""
        return LEVELS[self.level]


NO_RISK = Risk(0, "")

_WEIGHTS = (
    (r"bf16|fp16|fp32|gguf-.*", NO_RISK),
    (r"fp8.*|w8a8|w8a16|int8|gptq-int8|.*8bit|mlx-mxfp8", Risk(1, _EIGHT_BITS)),
    (r"(ud-)?(q8_[0k]|q6_k|q5_k).*|mlx-6bit", Risk(1, _K_QUANTS)),
    (r"exl[23]-([6-9]|5\.[5-9]).*", Risk(1, _EXL)),
    (r"awq.*|gptq.*|w4a16.*|(mlx-)?(nvfp4|mxfp4).*", Risk(2, _FOUR_BITS)),
    (r"(ud-)?(q4_k|iq4).*|q5_[01]", Risk(2, _K_QUANTS)),
    (r"exl[23]-[45].*", Risk(2, _EXL)),
    (r"hqq-4bit", Risk(2, _HQQ)),
    (r"q4_[01].*|(ud-)?(q3_k|iq3).*", Risk(3, _K_QUANTS)),
    (r"int4wo|mlx-[45]bit", Risk(3, f"{_K_QUANTS}; groups with a scale and an offset, as those of Q4_1")),
    (r"nf4.*|w4a.*", Risk(3, "arXiv:2305.14314: measured after fine-tuning")),
    (r"exl[23]-3.*", Risk(3, _EXL)),
    (r"(ud-)?(q2|iq[12]|tq).*", Risk(4, _K_QUANTS)),
)
_CACHE = (
    (r"bf16|fp16|fp32", NO_RISK),
    (r"fp8.*", Risk(1, _FP8_CACHE)),
    (r"q8_0|int8.*", Risk(1, _GGML_CACHE)),
    (r"q5_[01]", Risk(2, _GGML_CACHE)),
    (r"nvfp4|mxfp4", Risk(3, _FP4_CACHE)),
    (r"q4_[01]|iq4_nl", Risk(4, _GGML_CACHE)),
)


def weights_risk(name: str, model: ModelSpec) -> Risk:
    """The risk of weights of ``model`` in the format ``name``; none for the one that it is published in."""
    if name in (FILE_WEIGHTS, model.published_weights):
        return NO_RISK
    return _first(_WEIGHTS, format_key(name), Risk(4, _ROUNDED))


def cache_risk(name: str) -> Risk:
    """The risk of K and V in the format ``name``."""
    return _first(_CACHE, canonical(name), Risk(4, _FOUR_BIT_CACHE))


def _first(table: tuple[tuple[str, Risk], ...], name: str, otherwise: Risk) -> Risk:
    return next((risk for pattern, risk in table if re.fullmatch(pattern, name)), otherwise)
