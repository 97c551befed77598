"""TensorRT-LLM's boot log, of the releases from 0.5 to 1.2: what its lines say.

The lines are those of ``kvCacheManager.cpp``, of the PyTorch backend's ``_util.py`` and of ``trtllm-serve``. "GB" of
weights in them is GiB. A server allocates a small cache, measures itself, and allocates the real one: the last counts.
"""

from __future__ import annotations

import re
from fractions import Fraction

from kvtui.engine.basis.units import GIB
from kvtui.engine.bootlog.observed import Size, size
from kvtui.engine.bootlog.patterns import (
    COMMAND,
    CONFIG,
    COUNT,
    LINE,
    NUMBER,
    OUT_OF_MEMORY,
    Gathered,
    LogReader,
    counts,
    error,
    flags,
    keyword_pattern,
    keywords,
    line,
    option,
    sizes,
    word,
)

ENGINE = "tensorrt-llm"
EXPECTED = {
    "version": "the version",
    "model": "the model",
    "context": "the longest sequence (max_seq_len)",
    "weights": "the weights' size (Memory used after loading model weights)",
    "pool": "the cache's memory (Allocated … for max tokens in paged KV cache)",
    "kv_cache_tokens": "the cache's size in tokens",
}

_WHOLE_OPTIONS = {
    "max_seq_len": "context",
    "max_num_tokens": "max_batched_tokens",
    "max_batch_size": "max_seqs",
    "tp_size": "tp",
    "tensor_parallel_size": "tp",
    "pp_size": "pp",
    "pipeline_parallel_size": "pp",
}


_KEYWORDS = keyword_pattern((*_WHOLE_OPTIONS, "kv_cache_dtype", "free_gpu_memory_fraction"))
_SHARE = re.compile(r"0\.[0-9]{1,20}|1(?:\.0{1,20})?")
_DIGITS = 6
_RANK = re.compile(r"\[(?:TRT-LLM|TensorRT-LLM)\] ?\[(RANK [0-9]{1,5})\]|\[1,([0-9]{1,5})\]<std(?:out|err)>")


def rank_of(text: str) -> str:
    """The process that printed a line, such as ``RANK 1``; empty for a lone one."""
    found = _RANK.search(text[:400])
    return "" if found is None else found[1] or f"RANK {found[2]}"


def _start(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    """Each process of a start says its release once; a start has allocated nothing before."""
    gathered.restart()
    gathered.word("version", match[1])


def _served(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    """The first line of a start, before any process says its release."""
    gathered.restart()
    gathered.word("model", match[1], CONFIG)


def _set(gathered: Gathered, found: dict[str, str], weight: int) -> None:
    for name, key in _WHOLE_OPTIONS.items():
        gathered.whole_option(key, found.get(name), weight)
    kv = found.get("kv_cache_dtype", "")
    gathered.option("kv_dtype", kv if kv != "auto" else None, weight)
    _fraction(gathered, found.get("free_gpu_memory_fraction", ""), weight)


def _fraction(gathered: Gathered, text: str, weight: int) -> None:
    """The share of free memory; it is printed as a float of 32 bits, 0.9 as 0.8999999761581421."""
    if _SHARE.fullmatch(text):
        share = round(Fraction(text), _DIGITS)
        if 0 < share < 1:
            gathered.option("gpu_memory_utilization", f"{float(share):g}", weight)


def _command(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    found = {flag.lstrip("-").replace("-", "_"): value for flag, value in flags(match[0])}
    gathered.word("model", match[1], COMMAND)
    fraction = found.get("kv_cache_free_gpu_memory_fraction")
    _set(gathered, found | ({"free_gpu_memory_fraction": fraction} if fraction else {}), COMMAND)


def _arguments(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    _set(gathered, keywords(match[0], _KEYWORDS), CONFIG)


def _limits(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    """What the server settled on; a later line replaces that of the small cache it measured with."""
    for name, text in zip(("context", "max_seqs", "max_batched_tokens"), match.groups(), strict=True):
        if text:
            gathered.options.pop(name, None)
            gathered.whole_option(name, text, LINE)


def _profiled(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    pool, fraction, token, total = match.groups()
    gathered.size("pool", rank, size(pool, GIB))
    _fraction(gathered, fraction, LINE)
    gathered.count("token_bytes", rank, token)
    if total:
        gathered.size("total", rank, size(total, GIB))


def _allocated(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    gathered.size("pool", rank, size(match[1], GIB))
    gathered.count("kv_cache_tokens", rank, match[2])


def _allocated_bytes(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    gathered.size("pool", rank, Size(int(match[1]), 0))


def _per_sequence(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    gathered.whole_option("block_size", match[1], LINE)
    gathered.count("blocks", rank, match[2])


def settle(gathered: Gathered) -> None:
    """Nothing follows from several lines together."""


_G = rf"{NUMBER} ?G(?:i)?B"
LINES = (
    line("TensorRT-LLM version", r"TensorRT-LLM version:? v?([0-9][\w.+-]{0,60})", _start),
    line("trtllm-serve", r"trtllm-serve (?:serve )?['\"]?([^\s'\"-][^\s'\"]{0,400}).*", _command),
    line("trtllm-serve", r"trtllm-serve for model (\S{1,400})", _served),
    line("/models--", r"(models--[^/\s]{1,100}--[^/\s]{1,200})/snapshots", word("model", COMMAND)),
    line("LlmArgs", r"LlmArgs\(.*", _arguments),
    line("LLM Args", r"LLM Args:.*", _arguments),
    line("kv_cache_dtype=", r"PyTorchConfig\(.*", _arguments),
    line("KV cache quantization", r"KV cache quantization set to \"?(fp8|int8|nvfp4)", option("kv_dtype")),
    line("max_seq_len", r"using inferred value ([0-9]{1,15})", option("context")),
    line(
        "max_seq_len=",
        r"max_seq_len=([0-9]{1,15}), max_num_requests=([0-9]{1,12}), max_num_tokens=([0-9]{1,12})",
        _limits,
    ),
    line("maxSequenceLen", r"maxSequenceLen: ([0-9]{1,15})()()", _limits),
    line("maxNumSequences", r"()maxNumSequences: ([0-9]{1,12})()", _limits),
    line("maxNumTokens", r"()()maxNumTokens: ([0-9]{1,12})", _limits),
    line("for model weights", rf"(?:Use|uses) {_G} for model weights", sizes(GIB, "weights")),
    line("model weights (inside torch)", rf"model weights \(inside torch\).{{0,60}}: {_G}", sizes(GIB, "weights")),
    line("during inference (inside torch)", rf"\(inside torch\).{{0,60}}: {_G}", sizes(GIB, "activation")),
    line("Memory used outside torch", rf"Memory used outside torch.{{0,100}}: {_G}", sizes(GIB, "non_torch")),
    line(
        "when calculating max tokens",
        rf"available KV cache memory when calculating max tokens: {_G}, fraction is set ([0-9.]{{1,24}}), kv size is "
        rf"([0-9]{{1,12}})(?:\.0)?(?:\. device total memory {_G})?",
        _profiled,
    ),
    line("when calculating max tokens", rf"paged kv cache: total: {_G}, available: {_G}", sizes(GIB, "total", "free")),
    line("in paged KV cache", rf"Allocated {_G} for max tokens in paged KV cache \(([0-9]{{1,15}})\)", _allocated),
    line("in paged KV cache", rf"Using {COUNT} tokens in paged KV cache", counts("kv_cache_tokens")),
    line("for k/v cache", r"Allocate ([0-9]{1,18}) bytes for k/v cache", _allocated_bytes),
    line("tokens per block", r"Number of tokens per block: ([0-9]{1,9})", option("block_size")),
    line("primary pool", rf"blocks in KV cache primary pool: {COUNT}", counts("blocks")),
    line("primary blocks=", r"tokens per block=([0-9]{1,9}), primary blocks=([0-9]{1,15})", _per_sequence),
    line("KV cache manager", r"exceeds the KV cache manager's maximum supported length.{0,40}", error),
    OUT_OF_MEMORY,
)
READER = LogReader(
    ENGINE, LINES, EXPECTED, ("for max tokens in paged KV cache", "TensorRT-LLM version"), rank_of, settle
)
