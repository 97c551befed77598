"""TensorRT-LLM as it is started: the flags of ``trtllm-serve``, and the options that they set."""

from __future__ import annotations

from kvtui.engine.serving.launching import Launch, LaunchFlag

_CACHE = {"auto": ""}

LAUNCH = Launch(
    "tensorrt-llm",
    (("trtllm-serve", "serve"), ("trtllm-serve",)),
    (
        LaunchFlag(("--model",), "model"),
        LaunchFlag(("--tp_size", "--tensor-parallel-size"), "tp"),
        LaunchFlag(("--pp_size", "--pipeline-parallel-size"), "pp"),
        LaunchFlag(("--max_seq_len",), "context"),
        LaunchFlag(("--max_batch_size",), "max_seqs"),
        LaunchFlag(("--max_num_tokens",), "max_batched_tokens"),
        LaunchFlag(("--kv_cache_dtype",), "kv_dtype", words=_CACHE),
        LaunchFlag(("--kv_cache_free_gpu_memory_fraction", "--free_gpu_memory_fraction"), "gpu_memory_utilization"),
    ),
    switches=frozenset(("--trust-remote-code",)),
    model_first=True,
)
