"""What engines call their metrics, release by release: one table, whose keys are kvtui's own names.

A quantity has the newest name first; the first that a server publishes counts. ``since`` and ``until`` are the oldest
and newest releases that were read to have the name, where another follows or went before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class MetricName(NamedTuple):
    """A name on the wire, and the labels (``where``) that single out the quantity among its samples."""

    name: str
    since: str = ""
    until: str = ""
    where: tuple[tuple[str, str], ...] = ()


Names = Mapping[str, tuple[MetricName, ...]]

TOTALS = {
    "query_tokens": "prompt tokens looked up in the cache",
    "hit_tokens": "of them found there",
    "external_query_tokens": "prompt tokens looked up in a cache outside",
    "external_hit_tokens": "of them found there",
    "prompt_tokens": "prompt tokens",
    "generation_tokens": "tokens generated",
    "preemptions": "requests put out of the cache",
    "finished": "requests that ended",
    "rejected": "requests turned away",
    "evicted_tokens": "tokens dropped from the cache",
    "drafted_tokens": "tokens drafted",
    "accepted_tokens": "drafted tokens kept",
    "steps": "steps of the engine",
}
"""Counters since the server's start, and what each counts."""

LATENCIES = {
    "ttft": "time to the first token",
    "itl": "time between tokens",
    "tpot": "time per token of a request, on average over its tokens after the first",
    "queue": "time in the queue",
    "e2e": "time of a whole request",
}
"""Histograms of seconds."""

SIZES = {"step_tokens": "tokens of a step", "prompt_length": "tokens of a prompt", "answer_length": "tokens generated"}
"""Histograms of tokens."""


def _vllm(name: str, since: str = "", until: str = "") -> MetricName:
    return MetricName(f"vllm:{name}", since, until)


def _sglang(name: str, since: str = "", until: str = "") -> MetricName:
    return MetricName(f"sglang:{name}", since, until)


def _llama(name: str, since: str = "", until: str = "") -> MetricName:
    return MetricName(f"llamacpp:{name}", since, until)


def _trt(name: str) -> MetricName:
    return MetricName(f"trtllm_{name}")


def _block(kind: str) -> MetricName:
    return MetricName("nv_trt_llm_kv_cache_block_metrics", where=(("kv_cache_block_type", kind),))


def _triton(kind: str) -> MetricName:
    return MetricName("nv_trt_llm_request_metrics", where=(("request_type", kind),))


VLLM: Names = {
    "used_share": (_vllm("kv_cache_usage_perc", "0.10.2"), _vllm("gpu_cache_usage_perc", "", "0.10.2")),
    "running": (_vllm("num_requests_running"),),
    "waiting": (_vllm("num_requests_waiting"),),
    "waiting_by": (_vllm("num_requests_waiting_by_reason", "0.26.0"),),
    "paused": (_vllm("num_requests_swapped", "", "0.8.5"),),
    "sleep": (_vllm("engine_sleep_state", "0.13.0"),),
    "query_tokens": (
        _vllm("prefix_cache_queries_total", "0.10.2"),
        _vllm("gpu_prefix_cache_queries_total", "", "0.10.2"),
    ),
    "hit_tokens": (_vllm("prefix_cache_hits_total", "0.10.2"), _vllm("gpu_prefix_cache_hits_total", "", "0.10.2")),
    "hit_rate": (_vllm("gpu_prefix_cache_hit_rate", "", "0.8.5"),),
    "external_query_tokens": (_vllm("external_prefix_cache_queries_total", "0.13.0"),),
    "external_hit_tokens": (_vllm("external_prefix_cache_hits_total", "0.13.0"),),
    "preemptions": (_vllm("num_preemptions_total"),),
    "prompt_tokens": (_vllm("prompt_tokens_total"),),
    "generation_tokens": (_vllm("generation_tokens_total"),),
    "finished": (_vllm("request_success_total"),),
    "rejected": (_vllm("admission_rejections_total", "0.33.0"),),
    "drafted_tokens": (_vllm("spec_decode_num_draft_tokens_total"),),
    "accepted_tokens": (_vllm("spec_decode_num_accepted_tokens_total"),),
    "config": (_vllm("cache_config_info"),),
    "ttft": (_vllm("time_to_first_token_seconds"),),
    "itl": (
        _vllm("inter_token_latency_seconds", "0.10.2"),
        _vllm("time_per_output_token_seconds", "", "0.13.0"),
    ),
    "tpot": (_vllm("request_time_per_output_token_seconds", "0.13.0"),),
    "queue": (_vllm("request_queue_time_seconds"), _vllm("time_in_queue_requests", "", "0.8.5")),
    "e2e": (_vllm("e2e_request_latency_seconds"),),
    "step_tokens": (_vllm("iteration_tokens_total"),),
    "prompt_length": (_vllm("request_prompt_tokens"),),
    "answer_length": (_vllm("request_generation_tokens"),),
}
SGLANG: Names = {
    "used_share": (_sglang("token_usage"),),
    "used_tokens": (_sglang("kv_used_tokens", "0.5.12"), _sglang("num_used_tokens")),
    "cached_tokens": (_sglang("kv_evictable_tokens", "0.5.12"),),
    "empty_tokens": (_sglang("kv_available_tokens", "0.5.12"),),
    "capacity_tokens": (_sglang("max_total_num_tokens", "0.5.12"),),
    "block_size": (_sglang("page_size", "0.5.12"),),
    "blocks": (_sglang("num_pages", "0.5.12"),),
    "context": (_sglang("context_len"),),
    "swa_used_share": (_sglang("swa_token_usage", "0.5.5"),),
    "state_used_share": (_sglang("mamba_usage"),),
    "cache_gb": (_sglang("kv_cache_memory_usage_gb", "0.5.23"),),
    "weights_gb": (_sglang("weight_memory_usage_gb", "0.5.23"),),
    "graphs_gb": (_sglang("graph_memory_usage_gb", "0.5.23"),),
    "host_used_tokens": (_sglang("hicache_host_used_tokens", "0.5.12"),),
    "host_tokens": (_sglang("hicache_host_total_tokens", "0.5.12"),),
    "running": (_sglang("num_running_reqs"),),
    "waiting": (_sglang("num_queue_reqs"),),
    "paused": (_sglang("num_retracted_reqs", "0.5.5"), _sglang("num_paused_reqs")),
    "hit_rate": (_sglang("cache_hit_rate"),),
    "tokens_per_second": (_sglang("gen_throughput"),),
    "hit_tokens": (_sglang("cached_tokens_total"),),
    "prompt_tokens": (_sglang("prompt_tokens_total"),),
    "generation_tokens": (_sglang("generation_tokens_total"),),
    "preemptions": (_sglang("num_retracted_requests_total", "0.5.12"), _sglang("num_retractions", "", "0.5.5")),
    "finished": (_sglang("num_requests_total"),),
    "evicted_tokens": (_sglang("evicted_tokens_total", "0.5.12"),),
    "ttft": (_sglang("time_to_first_token_seconds"),),
    "itl": (_sglang("inter_token_latency_seconds"),),
    "queue": (_sglang("queue_time_seconds", "0.5.5"), _sglang("avg_request_queue_latency", "", "0.4.6.post5")),
    "e2e": (_sglang("e2e_request_latency_seconds"),),
    "prompt_length": (_sglang("prompt_tokens_histogram"),),
}
LLAMACPP: Names = {
    "used_share": (_llama("kv_cache_usage_ratio", "", "2025-05"),),
    "used_tokens": (_llama("kv_cache_tokens", "", "2025-05"),),
    "running": (_llama("requests_processing"),),
    "waiting": (_llama("requests_deferred"),),
    "computed_tokens": (_llama("prompt_tokens_total"),),
    "hit_tokens": (_llama("prompt_tokens_cached_total"),),
    "generation_tokens": (_llama("tokens_predicted_total"),),
    "steps": (_llama("n_decode_total"),),
    "most_tokens_seen": (_llama("n_tokens_max"),),
    "drafted_tokens": (_llama("spec_decode_num_draft_tokens_total"),),
    "accepted_tokens": (_llama("spec_decode_num_accepted_tokens_total"),),
    "prompt_tokens_per_second": (_llama("prompt_tokens_seconds"),),
    "tokens_per_second": (_llama("predicted_tokens_seconds"),),
}
TENSORRT: Names = {
    "used_share": (_trt("kv_cache_utilization"),),
    "blocks": (_trt("kv_cache_max_blocks"), _block("max")),
    "empty_blocks": (_trt("kv_cache_free_blocks"), _block("free")),
    "used_blocks": (_trt("kv_cache_used_blocks"), _block("used")),
    "block_size": (_trt("kv_cache_tokens_per_block"), _block("tokens_per")),
    "hit_rate": (_trt("kv_cache_hit_rate"),),
    "running": (_trt("num_requests_running"), _triton("scheduled")),
    "waiting": (_trt("num_requests_waiting"), _triton("waiting")),
    "paused": (_trt("num_paused_requests"),),
    "most_running": (_trt("max_num_active_requests"), _triton("max")),
    "prompt_tokens": (_trt("prompt_tokens_total"),),
    "hit_tokens": (_trt("prompt_cached_tokens_total"), _trt("prompt_cache_hit_tokens_total")),
    "generation_tokens": (_trt("generation_tokens_total"),),
    "finished": (_trt("request_success_total"),),
    "config": (_trt("kv_cache_config_info"),),
    "ttft": (_trt("time_to_first_token_seconds"),),
    "tpot": (_trt("time_per_output_token_seconds"),),
    "queue": (_trt("request_queue_time_seconds"),),
    "e2e": (_trt("e2e_request_latency_seconds"),),
}
TGI: Names = {
    "running": (MetricName("tgi_batch_current_size"),),
    "used_tokens": (MetricName("tgi_batch_current_max_tokens"),),
    "waiting": (MetricName("tgi_queue_size"),),
    "finished": (MetricName("tgi_request_success"), MetricName("tgi_request_success_total")),
    "tpot": (MetricName("tgi_request_mean_time_per_token_duration"),),
    "queue": (MetricName("tgi_request_queue_duration"),),
    "e2e": (MetricName("tgi_request_duration"),),
    "prompt_length": (MetricName("tgi_request_input_length"),),
    "answer_length": (MetricName("tgi_request_generated_tokens"),),
}
METRICS: Mapping[str, Names] = {
    "vllm": VLLM,
    "sglang": SGLANG,
    "llama.cpp": LLAMACPP,
    "tensorrt-llm": TENSORRT,
    "tgi": TGI,
}
"""The table by engine."""

PREFIXES = {
    "vllm:": "vllm",
    "sglang:": "sglang",
    "llamacpp:": "llama.cpp",
    "trtllm_": "tensorrt-llm",
    "nv_trt_llm_": "tensorrt-llm",
    "tgi_": "tgi",
}
"""How names of an engine's metrics begin."""

SEEN_LIVE = ("vllm", "llama.cpp")
"""Engines whose table was held against a real server; the others are from source and documentation."""

TITLES = {
    "vllm": "vLLM",
    "sglang": "SGLang",
    "llama.cpp": "llama.cpp",
    "tensorrt-llm": "TensorRT-LLM",
    "tgi": "TGI",
    "ollama": "Ollama",
    "lmstudio": "LM Studio",
    "koboldcpp": "KoboldCpp",
}
"""Every kind of server that is understood."""

STARTED = "process_start_time_seconds"
RANK_LABELS = {"vllm": "engine", "sglang": "dp_rank"}
"""The label that tells data-parallel ranks apart."""

SHARDS = ("tp_rank", "pp_rank", "moe_ep_rank")
"""Labels of processes that publish the same pool again: one of each is taken, and none are added up."""


def engine_of(name: str) -> str:
    """The engine that publishes a metric of this ``name``; empty where no table knows it."""
    return next((engine for prefix, engine in PREFIXES.items() if name.startswith(prefix)), "")


def wanted(engine: str) -> frozenset[str]:
    """All names on the wire that are of use of ``engine``, with the suffixes of histograms."""
    found = {STARTED}
    for quantity, names in METRICS[engine].items():
        suffixes = ("_bucket", "_sum", "_count") if quantity in LATENCIES or quantity in SIZES else ("",)
        found.update(name.name + suffix for name in names for suffix in suffixes)
    return frozenset(found)
