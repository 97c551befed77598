"""TensorRT-LLM as it is started: the flags of ``trtllm-serve``, and the options that they set."""

from __future__ import annotations

from kvtui.engine.serving.launching import Flag, Launch

_CACHE = {"auto": ""}

LAUNCH = Launch(
    "tensorrt-llm",
    (("trtllm-serve", "serve"), ("trtllm-serve",)),
    (
        Flag(("--model",), "model"),
        Flag(("--tp_size", "--tensor-parallel-size"), "tp"),
        Flag(("--pp_size", "--pipeline-parallel-size"), "pp"),
        Flag(("--max_seq_len",), "context"),
        Flag(("--max_batch_size",), "max_seqs"),
        Flag(("--max_num_tokens",), "max_batched_tokens"),
        Flag(("--kv_cache_dtype",), "kv_dtype", words=_CACHE),
    ),
    switches=frozenset(("--trust-remote-code",)),
    model_first=True,
)
