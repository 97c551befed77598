"""SGLang's boot log, of the releases from 0.4 to 0.5.23: what its lines say.

The lines are those of ``model_runner.py`` and its cache configurator, ``memory_pool.py``, ``scheduler.py`` and the
arguments that the server prints. "GB" in them is GiB, and K and V are of one rank.
"""

from __future__ import annotations

import re

from kvtui.engine.basis.units import GIB
from kvtui.engine.bootlog.observed import LoggedBuffer, size
from kvtui.engine.bootlog.patterns import (
    COMMAND,
    CONFIG,
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
    sizes,
    torch_format,
    word,
)

ENGINE = "sglang"
EXPECTED = {
    "model": "the model (server_args)",
    "context": "the context (context_len)",
    "free_before": "the free memory before loading (Load weight begin)",
    "weights": "the weights' size (Load weight end)",
    "pool": "the token pool (KV Cache is allocated)",
    "free_after_pool": "the free memory after allocating (Memory pool end)",
    "kv_cache_tokens": "the tokens (max_total_num_tokens)",
}

_WHOLE_OPTIONS = {
    "tp_size": "tp",
    "pp_size": "pp",
    "dp_size": "dp",
    "context_length": "context",
    "page_size": "block_size",
    "chunked_prefill_size": "max_batched_tokens",
    "max_running_requests": "max_seqs",
    "max_total_tokens": "max_total_tokens",
    "max_mamba_cache_size": "max_mamba_cache_size",
}
_RATIOS = ("mamba_full_memory_ratio", "swa_full_tokens_ratio")


_SAID = (
    "speculative_algorithm",
    "speculative_num_draft_tokens",
    "quantization",
    "enable_dp_attention",
    "disable_radix_cache",
    "disable_cuda_graph",
)
_KEYWORDS = keyword_pattern(("model_path", "kv_cache_dtype", "mem_fraction_static", *_WHOLE_OPTIONS, *_RATIOS, *_SAID))
_FLAG_NAMES = {
    "--model": "model_path",
    "--tp": "tp_size",
    "--tensor-parallel-size": "tp_size",
    "--pp": "pp_size",
    "--dp": "dp_size",
    "--data-parallel-size": "dp_size",
}
_QUANTIZED = re.compile(r" quant=(\w{1,40}),")
_RANK = re.compile(r"\[[0-9:., T-]{8,30}((?: (?:DP|PP|TP|EP|ATTN|MOE)\w{0,12}){1,6})\]")


def rank_of(text: str) -> str:
    """The process that printed a line, such as ``DP0 TP1``; empty for a lone process."""
    found = _RANK.search(text[:400])
    return found[1].strip() if found else ""


def _set(gathered: Gathered, found: dict[str, str], weight: int) -> None:
    gathered.word("model", found.get("model_path"), weight)
    for name, key in _WHOLE_OPTIONS.items():
        gathered.whole_option(key, found.get(name), weight)
    gathered.decimal_option("gpu_memory_utilization", found.get("mem_fraction_static"), weight)
    kv = found.get("kv_cache_dtype")
    gathered.option("kv_dtype", None if kv in (None, "auto") else torch_format(str(kv)), weight)
    for name in _RATIOS:
        gathered.decimal_option(name, found.get(name), weight)
    if found.get("disable_radix_cache") == "True":
        gathered.option("prefix_caching", False, weight)
    if found.get("disable_cuda_graph") == "True":
        gathered.option("eager", True, weight)
    for name in _SAID:
        if found.get(name) != "False":
            gathered.word(name, found.get(name), weight)


def _arguments(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    gathered.restart()
    _set(gathered, keywords(match[1], _KEYWORDS), CONFIG)


def _command(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    given = flags(match[0])
    _set(gathered, {_FLAG_NAMES.get(f, f.lstrip("-").replace("-", "_")): value for f, value in given}, COMMAND)


def _loaded(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    """The model's own weights come first, those of a draft model after it."""
    if rank in gathered.sizes.get("weights", {}):
        gathered.add("draft weights", rank, size(match[3], GIB))
        return
    gathered.word("architecture", match[1])
    quantized = _QUANTIZED.search(match[0])
    gathered.word("quantization", quantized[1] if quantized else None)
    gathered.size("free_after_load", rank, size(match[2], GIB))
    gathered.size("weights", rank, size(match[3], GIB))


def _begins(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    if rank not in gathered.sizes.get("free_before", {}):
        gathered.size("free_before", rank, size(match[1], GIB))


def _mamba(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    gathered.count("state_slots", rank, match[1])
    slots = int(match[1])
    for kind, text in (("conv", match[2]), ("ssm", match[3])):
        gathered.buffer(LoggedBuffer(kind, size(text, GIB), slots, None, rank))


def _pool(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    """A pool of tokens; newer releases say whether it is that of the full or of the windowed (SWA) layers."""
    label, dtype, tokens, k, v, both = match.groups()
    if dtype:
        gathered.option("kv_dtype", torch_format(dtype), LINE)
    total = size(both, GIB) if both else size(k, GIB) + size(v, GIB)
    gathered.buffer(LoggedBuffer("swa_pool" if label == "SWA" else "pool", total, int(tokens), None, rank))


def _kv_format(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    gathered.option("kv_dtype", torch_format(match[1]), LINE)


def _captured(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    gathered.add("graphs", rank, size(match[1], GIB))


def _scheduler(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    gathered.count("kv_cache_tokens", rank, match[1])
    found = keywords(match[0], _SCHEDULER)
    gathered.whole_option("context", found.get("context_len"), LINE)
    gathered.count("max_running_requests", rank, found.get("max_running_requests", ""))


def settle(gathered: Gathered) -> None:
    """With attention in data parallel, the ranks of tensor parallelism are divided among the replicas."""
    tp, dp = (gathered.options.get(key, (0, "1")) for key in ("tp", "dp"))
    if "enable_dp_attention" in gathered.words and int(tp[1]) >= int(dp[1]) > 1 and int(tp[1]) % int(dp[1]) == 0:
        gathered.options["tp"] = tp[0], str(int(tp[1]) // int(dp[1]))
        gathered.option("ep", True, CONFIG)


_SCHEDULER = keyword_pattern(("context_len", "max_running_requests"))
_G = rf"{NUMBER} ?GB"
LINES = (
    line("server_args", r"server_args=(.*)", _arguments),
    line("sglang", r"sglang(?:\.launch_server| serve) .*", _command),
    line("sglang", r"sglang(?:==| version:? | v)v?([0-9]{1,3}\.[0-9]{1,3}\.[0-9][\w.+]{0,40})", word("version")),
    line("Load weight", rf"Load weight begin\. avail mem={_G}", _begins),
    line(
        "Load weight",
        rf"Load weight end\..{{0,60}}?type=(\w{{1,100}}),.{{0,200}}?avail mem={_G}, mem usage={_G}",
        _loaded,
    ),
    line("KV cache dtype", r"Using KV cache dtype: ([\w.]{1,40})", _kv_format),
    line(
        "Mamba Cache is",
        rf"max_mamba_cache_size: ([0-9]{{1,12}}), conv_state size: {_G}, ssm_state size: {_G}",
        _mamba,
    ),
    line(
        "KV Cache is allocated",
        rf"(?:(Full|SWA) )?KV Cache is allocated\. (?:dtype: ([\w.]{{1,40}}), )?#tokens: ([0-9]{{1,12}}), "
        rf"(?:K size: {_G}, V size: {_G}|KV size: {_G})",
        _pool,
    ),
    line(
        "window memory pool",
        r"full_layer_tokens=([0-9]{1,12}), swa_layer_tokens=([0-9]{1,12})",
        counts("full_layer_tokens", "swa_layer_tokens"),
    ),
    line(
        "KV cache allocated",
        rf"sizing:()? KV cache allocated\. dtype: ([\w.]{{1,40}}), #tokens: ([0-9]{{1,12}}), ()?()?KV size: {_G}",
        _pool,
    ),
    line(
        "capture KV sizing: ",
        r"full_layer_tokens=([0-9]{1,12}), swa_layer_tokens=([1-9][0-9]{0,12})",
        counts("full_layer_tokens", "swa_layer_tokens"),
    ),
    line("all SWA", r"\(all SWA\)\. swa_layer_tokens=([0-9]{1,12})", counts("swa_layer_tokens")),
    line("Memory pool end", rf"Memory pool end\. avail mem={_G}", sizes(GIB, "free_after_pool")),
    line("raph end", rf"Capture .{{0,60}}[gG]raph end\..{{0,80}}mem usage={_G}", _captured),
    line("max_total_num_tokens=", r"max_total_num_tokens=([0-9]{1,12}),.*", _scheduler),
    line("Not enough memory", r"Not enough memory.{0,200}", error),
    line("cannot hold even one request", r"SWA pool \([0-9]{1,12} tokens\) cannot hold even one request", error),
    line("leaves no room for the full", r"SWA pool cap .{1,80} leaves no room for the full KV pool", error),
    line("Capture cuda graph failed", r"Capture cuda graph failed: .{1,100}", error),
    OUT_OF_MEMORY,
)
READER = LogReader(ENGINE, LINES, EXPECTED, ("KV Cache is allocated",), rank_of, settle)
