"""vLLM's boot log, of the V0 releases up to 0.10 and of V1 from 0.8 to 0.33: what its lines say.

The lines are those of ``gpu_worker.py`` (both families of memory-profiling lines), ``kv_cache_utils.py``,
``gpu_model_runner.py`` and the API server's banner and arguments; releases differ in wording, and all are understood.
"GB" in them is GiB.
"""

from __future__ import annotations

import re

from kvtui.engine.basis.units import GIB
from kvtui.engine.bootlog.observed import Size, size
from kvtui.engine.bootlog.patterns import (
    ARGUMENTS,
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
    folded,
    keyword_pattern,
    keywords,
    line,
    option,
    ratio,
    sizes,
    whole,
    word,
)

ENGINE = "vllm"
EXPECTED = {
    "version": "the version",
    "model": "the model",
    "context": "the maximum model length",
    "weights": "the weights' size (Model loading took)",
    "pool": "the cache's memory (Available KV cache memory)",
    "kv_cache_tokens": "the cache's size in tokens (GPU KV cache size)",
    "max_concurrency": "the maximum concurrency",
}
WEIGHT_FORMATS = {
    "fp8": "fp8",
    "deepseek_v4_fp8": "fp8",
    "fbgemm_fp8": "fp8-channel",
    "ptpc_fp8": "fp8-channel",
    "fp8_per_channel": "fp8-channel",
    "fp8_per_tensor": "fp8-tensor",
    "fp8_per_block": "fp8-block",
    "modelopt": "fp8",
    "modelopt_fp4": "nvfp4",
    "petit_nvfp4": "nvfp4",
    "nvfp4_per_token": "nvfp4",
    "mxfp4": "mxfp4",
    "gpt_oss_mxfp4": "mxfp4",
    "awq": "awq",
    "auto_awq": "awq",
    "awq_marlin": "awq",
    "gptq": "gptq",
    "auto_gptq": "gptq",
    "gptq_marlin": "gptq",
    "gptq_bitblas": "gptq",
    "auto-round": "gptq",
    "auto_round": "gptq",
    "inc": "gptq",
    "int8_per_channel_weight_only": "w8a8",
    "bitsandbytes": "nf4",
}
"""Checkpoint formats by ``quantization``; names that say no format, such as compressed-tensors, are left out."""

WEIGHT_FAMILIES = {
    "compressed-tensors": ("fp8-channel", "fp8-block", "w8a8", "w4a16", "w8a16", "nvfp4", "mxfp4"),
    "modelopt": ("fp8-tensor", "fp8-block", "nvfp4"),
    "modelopt_mixed": ("nvfp4", "fp8"),
    "moe_wna16": ("awq", "gptq", "gptq-int8"),
    "gptq_marlin": ("gptq", "gptq-int8"),
    "quark": ("fp8", "mxfp4", "w8a8"),
    "torchao": ("int4wo", "w8a8", "fp8-channel"),
    "bitsandbytes": ("nf4", "bnb-8bit"),
    "experts_int8": ("w8a8",),
    "online": ("fp8-tensor", "fp8-block", "w8a8"),
    "hqq": ("hqq-4bit", "hqq-8bit"),
}
"""What ``quantization`` may stand for, where it names a library that writes several formats."""

DRAFTING_LAYERS = "mtp"

_WHOLE_OPTIONS = {
    "tensor_parallel_size": "tp",
    "pipeline_parallel_size": "pp",
    "data_parallel_size": "dp",
    "max_model_len": "context",
    "max_seq_len": "context",
    "block_size": "block_size",
    "max_num_batched_tokens": "max_batched_tokens",
    "max_num_seqs": "max_seqs",
    "kv_cache_memory_bytes": "kv_pool",
}


_OTHERS = (
    "gpu_memory_utilization",
    "kv_cache_dtype",
    "model",
    "model_tag",
    "dtype",
    "quantization",
    "enable_prefix_caching",
    "disable_hybrid_kv_cache_manager",
    "method",
    "num_speculative_tokens",
    "num_spec_tokens",
    "enforce_eager",
    "enable_expert_parallel",
    "all2all_backend",
    "async_scheduling",
    "served_model_name",
    "device_config",
)
_KEYWORDS = keyword_pattern((*_WHOLE_OPTIONS, *_OTHERS))
_SHORT_FLAGS = {"-tp": "tensor_parallel_size", "-pp": "pipeline_parallel_size", "-dp": "data_parallel_size"}
_SPECULATIVE = keyword_pattern(("method", "num_speculative_tokens"))
_SERVED = re.compile(r"vllm serve ['\"]?([^\s'\"-][^\s'\"]{0,400})")
_RANK = re.compile(
    r"\(((?:Vllm|Ray)?Worker\w{0,60}|EngineCore\w{0,40})( rank=[0-9]{1,6})?( pid=[0-9]{1,9})?[^()]{0,60}\)"
)


def rank_of(text: str) -> str:
    """The process that printed a line, such as Worker_TP1; empty for a lone process."""
    found = _RANK.findall(text[:400])
    if not found:
        return ""
    name, rank, pid = found[-1]
    return name if "_" in name else f"{name}{rank or pid}"


def _set(gathered: Gathered, found: dict[str, str], weight: int) -> None:
    """Options and words from the ``found`` arguments of an engine or its configuration."""
    for name, key in _WHOLE_OPTIONS.items():
        gathered.whole_option(key, found.get(name), weight)
    gathered.decimal_option("gpu_memory_utilization", found.get("gpu_memory_utilization"), weight)
    gathered.option("kv_dtype", found.get("kv_cache_dtype", "").removeprefix("torch."), weight)
    gathered.word("model", found.get("model") or found.get("model_tag"), weight)
    dtype = found.get("dtype", "").removeprefix("torch.")
    gathered.word("dtype", dtype, weight)
    quantization = found.get("quantization")
    gathered.word("quantization", quantization, weight)
    gathered.option("weight_dtype", WEIGHT_FORMATS.get(quantization or ""), weight)
    gathered.word("weight_formats", " ".join(WEIGHT_FAMILIES.get(quantization or "", ())), weight)
    if "enable_prefix_caching" in found:
        gathered.option("prefix_caching", found["enable_prefix_caching"] == "True", weight)
    if found.get("disable_hybrid_kv_cache_manager") == "True":
        gathered.option("hybrid_manager", False, weight)
    if found.get("enable_expert_parallel") == "True":
        gathered.option("ep", True, weight)
    gathered.option("all2all_backend", found.get("all2all_backend"), weight)
    if found.get("enforce_eager") == "True":
        gathered.option("eager", True, weight)
    if found.get("async_scheduling") in ("True", "False"):
        gathered.option("async_scheduling", found["async_scheduling"] == "True", weight)
    served = found.get("served_model_name")
    if served != found.get("model"):
        gathered.word("served_name", served, weight)
    gathered.word("platform", found.get("device_config"), weight)
    _speculate(
        gathered, found.get("method"), found.get("num_speculative_tokens") or found.get("num_spec_tokens"), weight
    )


def _speculate(gathered: Gathered, method: str | None, tokens: str | None, weight: int) -> None:
    if tokens is None or whole(tokens) is None:
        return
    gathered.word("speculative_method", method or "unknown", weight)
    gathered.word("speculative_tokens", tokens, weight)
    if method is not None and DRAFTING_LAYERS in method:
        gathered.option("speculative_tokens", tokens, weight)


def _arguments(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    _set(gathered, keywords(match[1], _KEYWORDS), ARGUMENTS)


def _configuration(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    gathered.word("version", match[1], LINE)
    _set(gathered, keywords(match[2], _KEYWORDS), CONFIG)


def _command(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    given = [(_SHORT_FLAGS.get(flag, flag.lstrip("-").replace("-", "_")), value) for flag, value in flags(match[0])]
    found = {name: value for name, value in given if value}
    served = _SERVED.search(match[0])
    if served:
        found["model"] = served[1]
    for name, _ in given:
        if name in ("enable_prefix_caching", "no_enable_prefix_caching"):
            found["enable_prefix_caching"] = str(not name.startswith("no_"))
        elif name in ("async_scheduling", "no_async_scheduling"):
            found["async_scheduling"] = str(not name.startswith("no_"))
        elif name in ("disable_hybrid_kv_cache_manager", "enforce_eager", "enable_expert_parallel"):
            found[name] = "True"
    found |= keywords(found.get("speculative_config", ""), _SPECULATIVE)
    _set(gathered, found, COMMAND)


def _start(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    gathered.restart()
    gathered.word("version", match[1])


def _concurrency(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    gathered.whole_option("context", match[1], LINE)
    gathered.ratio("max_concurrency", rank, match[2])


def _utilization(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    gathered.option("gpu_memory_utilization", match[1], CONFIG)


def _async(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    gathered.option("async_scheduling", match[1] == "enabled", LINE)


def _left(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    """What is left for the cache; below zero it is what is missing for the engine to start at all."""
    gathered.size("shortfall" if match[1] else "pool", rank, size(match[2], GIB))


def _estimated_graphs(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    """CUDA graphs by the profiler, which may err below zero: that much is added to the cache."""
    gathered.size("graphs_below_zero" if match[1] else "graphs_estimated", rank, size(match[2], GIB))


def _refused(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    context, needed, sign, pool, most = match.groups()
    words = f"the model's max seq len ({context}) needs {needed} GiB of KV cache, and {sign}{pool} GiB are available"
    gathered.word("error", words + (f": at most {most} tokens fit" if most else ""))
    gathered.option("context", context, LINE)
    gathered.size("needed", rank, size(needed, GIB))
    gathered.size("shortfall" if sign else "pool", rank, size(pool, GIB))
    if most:
        gathered.count("max_context", rank, most)


def _refused_in_part(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    """A refusal that was copied without its beginning, which names the context."""
    needed, sign, pool, most = match.groups()
    gathered.word("error", f"{needed} GiB of KV cache are needed, and {sign}{pool} GiB are available")
    gathered.size("needed", rank, size(needed, GIB))
    gathered.size("shortfall" if sign else "pool", rank, size(pool, GIB))
    if most:
        gathered.count("max_context", rank, most)


def _too_long(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    gathered.word("error", match[0])
    gathered.option("context", match[1], LINE)
    gathered.count("trained_context", rank, match[2])


def _refused_on_host(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    """A CPU's memory that is not there, or that the weights leave none of."""
    gathered.word("error", match[0])
    if match[1]:
        gathered.size("shortfall", rank, size(match[2], GIB))


def _refused_tokens(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    gathered.word("error", match[0])
    gathered.option("context", match[1], LINE)
    gathered.count("kv_cache_tokens", rank, match[2])


def _refused_slots(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    gathered.word("error", match[0])
    gathered.option("max_seqs", match[1], CONFIG)
    gathered.count("state_slots", rank, match[2])


def _refitted(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    """The engine chose the context itself."""
    gathered.options.pop("context", None)
    gathered.option("context", match[1], LINE)
    gathered.count("max_context", rank, match[1])


def _given_pool(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    """A cache of a size that was asked for, which says nothing of what would have been left."""
    gathered.word("pool_given", "True")
    gathered.size("pool", rank, size(match[1], GIB))


def _pool_in_use(gathered: Gathered, match: re.Match[str], rank: str) -> None:
    if match[2] == "bytes":
        gathered.sizes.setdefault("pool", {})[rank] = Size(int(match[1].partition(".")[0]), 0)
    else:
        gathered.size("pool", rank, size(match[1], GIB))


_G = rf"{NUMBER} ?Gi?B"
LINES = (
    line("API server version", r"API server version (?:v)?([0-9][\w.+-]{0,60})", _start),
    line("█  version", r"█ {1,4}version {1,9}v?([0-9][\w.+-]{0,60})", _start),
    line("█  model", r"█ {1,4}model {1,9}(\S{1,400})", word("model", CONFIG)),
    line("detected platform", r"detected platform (\w{1,20})", word("platform", CONFIG)),
    line("synchronous scheduling is", r"Asynchronous scheduling is (enabled|disabled)", _async),
    line("LLM engine (v", r"LLM engine \(v([\w.+-]{1,60})\) with config:(.*)", _configuration),
    line("non-default args", r"non-default args:(.*)", _arguments),
    line("vllm serve", r"vllm serve .*", _command),
    line("vllm.entrypoints", r"vllm\.entrypoints\.\S+ .*", _command),
    line("rchitecture: ", r"Resolved architecture: (\w{1,100})", word("architecture")),
    line("max model len", r"Using max model len ([0-9]{1,15})", option("context")),
    line("max_num_batched_tokens", r"enabled with max_num_batched_tokens=([0-9]{1,15})", option("max_batched_tokens")),
    line("data type to store kv cache", r"Using (fp8\w{0,10}) data type to store kv cache", option("kv_dtype")),
    line("fp8_ds_mla", r"(fp8_ds_mla) KV cache format", option("kv_dtype")),
    line("Compiling a graph for", r"(Compiling) a graph for", word("compiled")),
    line("attention block size", r"Setting attention block size to ([0-9]{1,9}) tokens", counts("block_size")),
    line("mamba page size", rf"Padding mamba page size by {NUMBER} ?%", ratio("state_padding_percent")),
    line("padding layers", r"Add ([0-9]{1,6}) padding layers", counts("padding_layers")),
    line("loading took", rf"Model loading took {_G}", sizes(GIB, "weights")),
    line("model weights", rf"model weights (?:took|take)\s{{1,9}}{_G}", sizes(GIB, "weights")),
    line("non_torch_memory", rf"non_torch_memory(?: takes)?\s{{1,9}}{_G}", sizes(GIB, "non_torch")),
    line("activation peak", rf"activation peak memory(?: takes)?\s{{1,9}}{_G}", sizes(GIB, "activation")),
    line("for KV Cache", rf"reserved for KV Cache is {_G}", sizes(GIB, "pool")),
    line("for KV Cache", rf"reserved {_G} memory for KV Cache", _given_pool),
    line("available_kv_cache_memory", rf"available_kv_cache_memory\s{{1,9}}{_G}", sizes(GIB, "pool")),
    line("total_gpu_memory", rf"total_gpu_memory(?: \(|\s{{1,9}}){_G}", sizes(GIB, "total")),
    line("gpu_memory_utilization (", rf"gpu_memory_utilization \({NUMBER}\) = ", _utilization),
    line("gpu_memory_utilization (", rf"gpu_memory_utilization \([0-9.]{{1,9}}\) = {_G}", sizes(GIB, "requested")),
    line("utilization=", rf"current --gpu-memory-utilization={NUMBER} is", _utilization),
    line("Requested memory", rf"Initial free memory: {_G}; Requested memory: ", sizes(GIB, "free_before")),
    line("Requested memory", rf"Requested memory: [0-9.]{{1,12}} \(util\), {_G}", sizes(GIB, "requested")),
    line("non KV cache memory", rf"torch peak memory increase: {_G}", sizes(GIB, "activation")),
    line("non KV cache memory", rf"non-torch forward increase memory: {_G}", sizes(GIB, "non_torch")),
    line("non KV cache memory", rf"weights memory: {_G}", sizes(GIB, "weights")),
    line(
        "Free memory on device",
        rf"Free memory on device[^(]{{0,40}}\({NUMBER}/{_G}\)",
        sizes(GIB, "free_before", "total"),
    ),
    line("Free memory on device", rf"memory utilization (?:is )?\({NUMBER}, ", _utilization),
    line("Free memory on device", rf"memory utilization (?:is )?\([0-9.]{{1,12}}, {_G}\)", sizes(GIB, "requested")),
    line("Free memory on device", rf"{_G} for weight", sizes(GIB, "weights")),
    line("Free memory on device", rf"{_G} for consumed memory", sizes(GIB, "consumed")),
    line("Free memory on device", rf"{_G} for peak activation", sizes(GIB, "activation")),
    line("Free memory on device", rf"{_G} for non-torch memory", sizes(GIB, "non_torch")),
    line("Free memory on device", rf"{_G} for CUDAGraph memory", sizes(GIB, "graphs")),
    line("Free memory on device", rf"kv cache memory in use is {NUMBER} ?(GiB|bytes)", _pool_in_use),
    line("Free memory on device", r"Free memory on device .{1,200} is less than desired", error),
    line("Graph capturing", rf"Graph capturing finished in .{{1,20}} took {_G}", sizes(GIB, "graphs")),
    line("raph memory", rf"Estimated CUDA graph memory: (-?){_G}", _estimated_graphs),
    line("raph pool memory", rf"raph pool memory: {_G} \(actual\)", sizes(GIB, "graphs")),
    line("raph pool memory", rf"(-?){_G} \(estimated\)", _estimated_graphs),
    line("KV cache memory: ", rf"Available KV cache memory: (-?){_G}", _left),
    line("for KV cache", rf"Explicitly set \({NUMBER}/{NUMBER}\) GiB for KV cache", _given_pool),
    line("for KV cache", rf"ly set \([0-9.]{{1,12}}/{NUMBER}\) GiB for KV cache", sizes(GIB, "total")),
    line("for KV cache", rf"Auto set \({NUMBER}/{NUMBER}\) GiB for KV cache", sizes(GIB, "pool", "total")),
    line("for KV cache", rf"with {_G} requested memory for the worker", sizes(GIB, "requested")),
    line("for KV cache", rf"KVCACHE_SPACE not set\. Using {_G} for KV cache", _given_pool),
    line("total consumed", rf"total consumed \(from mem_get_info\): {_G}", sizes(GIB, "consumed")),
    line("worker requested memory", rf"worker requested memory: {_G}", sizes(GIB, "requested")),
    line("memory snapshot: ", rf"free_memory={_G}, total_memory={_G}", sizes(GIB, "free_before", "total")),
    OUT_OF_MEMORY,
    line("fit max_model_len: ", r"uto-fit max_model_len: reduced from [0-9]{1,15} to ([0-9]{1,15})", _refitted),
    line("fit max_model_len: ", r"Cannot auto-fit max_model_len: not enough GPU memory", error),
    line("KV cache size", rf"KV cache size: {COUNT} tokens", counts("kv_cache_tokens")),
    line("Maximum concurrency", rf"Maximum concurrency for {COUNT} tokens per request: {NUMBER}x", _concurrency),
    line(" blocks: ", rf"# (?:GPU|cuda|CUDA) blocks: {COUNT}", counts("blocks")),
    line("num_gpu_blocks", rf"num_gpu_blocks is: {COUNT}", counts("blocks")),
    folded(
        "To serve at least",
        rf"To serve at least one request with the model.{{1,8}} max seq len \(([0-9]{{1,15}})\), \(?{NUMBER} GiB KV "
        rf"cache is needed, which is larger than the available KV cache memory \((-?){NUMBER} GiB\)"
        r"(?:\. Based on the available memory, the estimated maximum model length is ([0-9]{1,15}))?",
        _refused,
    ),
    line(
        "KV cache is needed",
        rf"^\W*\(?{NUMBER} GiB KV cache is needed, which is larger than the available KV cache memory "
        rf"\((-?){NUMBER} GiB\)"
        r"(?:\. Based on the available memory, the estimated maximum model length is ([0-9]{1,15}))?",
        _refused_in_part,
    ),
    line(
        "max seq len",
        r"The model's max seq len \(([0-9]{1,15})\) is larger than the maximum number of tokens that can be stored in "
        r"KV cache \(([0-9]{1,15})\)",
        _refused_tokens,
    ),
    line(
        "Mamba cache blocks",
        r"max_num_seqs \(([0-9]{1,9})\) exceeds available Mamba cache blocks \(([0-9]{1,9})\)",
        _refused_slots,
    ),
    line("cache blocks", r"No available memory for the cache blocks", error),
    line(
        "on kv cache allocation",
        rf"Available memory on node .{{1,80}} on kv cache allocation is less than requested memory"
        rf"(?: for kv \((-?){NUMBER}[^)]{{0,40}}\))?",
        _refused_on_host,
    ),
    line("The worker already uses", r"The worker already uses .{1,160}", error),
    line(
        "derived max_model_len",
        r"User-specified max_model_len \(([0-9]{1,15})\) is greater than the derived max_model_len "
        r"\([a-z_]{1,40}=([0-9]{1,15})",
        _too_long,
    ),
    line("attention heads", r"Total number of attention heads \([0-9]{1,9}\) must be divisible by .{1,80}", error),
    line("KV cache manager is disabled", r"Hybrid KV cache manager is disabled but failed to .{1,80}", error),
    line("local KV cache specs", r"Failed to promote local KV cache specs to one unified type", error),
)


def settle(gathered: Gathered) -> None:
    """A hybrid's block size is one that the engine chose, unless it was given one."""
    if "block_size" in gathered.counts and gathered.options.get("block_size", (0, ""))[0] >= CONFIG:
        gathered.options.pop("block_size", None)


READER = LogReader(ENGINE, LINES, EXPECTED, ("Available KV cache memory", "GPU KV cache size"), rank_of, settle)
