"""What llama.cpp's code fixes of each architecture and its files do not say: windowed layers, states, indexers.

Read in its sources: the ``load_arch_hparams`` of each architecture, ``create_memory`` and the caches that it builds, as
vendored in llama-cpp-python 0.3.36. For example, a gemma2 file states a window of 4,096 tokens and not which layers
have it: every second layer, from the first on.
"""

from __future__ import annotations

from dataclasses import dataclass

from kvtui.engine.model.caches import AttentionKind


@dataclass(frozen=True, slots=True)
class WindowPattern:
    """How an architecture mixes windowed and full attention where its file does not say.

    Of each ``period`` layers one is full, the last or with ``full_first`` the first; None means that the file must hold
    the pattern. Of 8 layers, ``WindowPattern(4)`` has layers 3 and 7 full, and with ``full_first`` layers 0 and 4.

    The window is the one that the file states. ``tokens`` is that of a file that states none, ``fixed`` one that
    applies whatever the file states, unless it states 0. A file of an ``optional`` window that states none has full
    attention; without any of the three it is refused. ``kind`` is what the windowed layers are.
    """

    period: int | None
    full_first: bool = False
    tokens: int | None = None
    fixed: int | None = None
    optional: bool = False
    kind: AttentionKind = "sliding_window"


WINDOWS = {
    "afmoe": WindowPattern(4, optional=True),
    "cohere2": WindowPattern(4),
    "cohere2moe": WindowPattern(4, full_first=True),
    "exaone-moe": WindowPattern(4),
    "gemma2": WindowPattern(2, tokens=4096),
    "gemma3": WindowPattern(6, optional=True),
    "gemma3n": WindowPattern(5),
    "gemma4": WindowPattern(None),
    "gpt-oss": WindowPattern(2),
    "granite_swa": WindowPattern(None),
    "laguna": WindowPattern(4, full_first=True, optional=True),
    "llama4": WindowPattern(4, fixed=8192, kind="chunked_local"),
    "maple": WindowPattern(None),
    "mellum": WindowPattern(4, optional=True),
    "mimo2": WindowPattern(None),
    "muse-glimmer": WindowPattern(4),
    "olmo2": WindowPattern(4, optional=True),
    "plamo3": WindowPattern(None, optional=True),
    "smallthinker": WindowPattern(4, full_first=True, fixed=4096, optional=True),
    "spark2_5": WindowPattern(None),
    "step35": WindowPattern(None),
}

# Architectures with MLA; older deepseek2 files have full attention instead, and no attention.key_length_mla.
LATENT = frozenset({"bailingmoe3", "deepseek2", "deepseek32", "glm-dsa", "hy_v4", "kimi-k3", "kimi-linear", "mistral4"})
# Those with a sparse indexer, and so a cache of index keys; Hunyuan 4 only where its file states one.
INDEXED = frozenset({"deepseek32", "glm-dsa", "hy_v4", "minimax-m3"})
# One layer in so many has attention, the others a state, where the file does not say.
INTERVALS = {"minimax-01": 8, "qwen35": 4, "qwen35moe": 4, "qwen3next": 4}
# What the recurrent layers of an architecture keep.
RECURRENT = {
    "arwkv7": "rwkv",
    "bailingmoe3": "kda",
    "falcon-h1": "mamba2",
    "granitehybrid": "mamba2",
    "jamba": "mamba1",
    "kimi-k3": "kda",
    "kimi-linear": "kda",
    "lfm2": "short_conv",
    "lfm2moe": "short_conv",
    "mamba": "mamba1",
    "mamba2": "mamba2",
    "minimax-01": "lightning",
    "nemotron_h": "mamba2",
    "nemotron_h_moe": "mamba2",
    "plamo2": "mamba1",
    "qwen35": "gated_deltanet",
    "qwen35moe": "gated_deltanet",
    "qwen3next": "gated_deltanet",
    "rwkv6": "rwkv",
    "rwkv6qwen2": "rwkv",
    "rwkv7": "rwkv",
}
# Layers with K and V of their own, where the file does not say how many read others'; None: all have them.
SHARING = {"gemma3n": 20, "gemma4": None}
# Rotary positions apply to whole heads, so that rope.dimension_count must be the key length.
WHOLE_HEAD_ROPE = frozenset({"deci", "falcon", "llama"})
_PLAIN = """
apertus arcee arctic baichuan bailingmoe bailingmoe2 bitnet bloom chameleon chatglm codeshell cogvlm command-r dbrx
deci deepseek deepseek2-ocr dots1 ernie4_5 ernie4_5-moe exaone falcon gemma glm4 glm4moe gpt2 gptj gptneox granite
granitemoe grok grovemoe hrm_text hunyuan-dense hunyuan-moe hunyuan_vl hy_v3 internlm2 jais jais2 llama maincoder
minicpm minicpm3 minimax-m2 mistral3 mpt nanbeige nemotron olmo olmoe openelm orion paddleocr pangu-embedded phi2 phi3
phimoe plamo plm qwen qwen2 qwen2moe qwen2vl qwen3 qwen3moe qwen3vl qwen3vlmoe refact seed_oss smollm3 stablelm
starcoder starcoder2 t5 talkie xverse
"""
PLAIN = frozenset(_PLAIN.split())
EXAONE4 = "exaone4"
_ENCODER = "an encoder, which keeps no KV cache"
_DIFFUSION = "a diffusion model, for which llama.cpp keeps no KV cache"
_NO_TEXT = "not a language model"
# Names of the gguf package that have no cache to read, and why.
WITHOUT_CACHE = {
    **dict.fromkeys(("bert", "eurobert", "gemma-embedding", "jina-bert-v2", "jina-bert-v3", "llama-embed"), _ENCODER),
    **dict.fromkeys(("modern-bert", "neo-bert", "nomic-bert", "nomic-bert-moe", "t5encoder"), _ENCODER),
    **dict.fromkeys(("dream", "llada", "llada-moe", "rnd1"), _DIFFUSION),
    **dict.fromkeys(("clip", "wavtokenizer-dec"), _NO_TEXT),
}
# Architectures of llama.cpp that keep something which kvtui has no sizes for, or reads from a config.json only.
NOT_READ = {
    "deepseek4": "its compressed entries are read from a config.json only",
    **dict.fromkeys(("dflash", "eagle3", "gemma4-assistant"), "it drafts for another model, whose cache it reads"),
    "dots3note": "its windowed layers have latents of other sizes",
    "glm5-next": "its index keys are pooled",
    "graniteswitch": "its router keeps K and V in a layer of its own",
    **dict.fromkeys(("pockettts", "qwen3tts"), "it makes speech"),
    "qwen4exp": "its index keys and conv states are of kinds that kvtui has no sizes for",
}
ARCHITECTURES = PLAIN | {EXAONE4} | set(WINDOWS) | LATENT | INDEXED | set(RECURRENT)
