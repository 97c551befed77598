"""TensorRT-LLM as it is started: the flags of ``trtllm-serve``, and the options that they set."""

from __future__ import annotations

from kvtui.engine.serving.launching import Flag, Launch

_CACHE = {"auto": ""}

LAUNCH = Launch(
    "tensorrt-llm",
    (("trtllm-serve", "serve"), ("trtllm-serve",)),
    (
        Flag(("--model",), "model"),
        Flag(("--tp-size", "--tensor-parallel-size"), "tp"),
        Flag(("--pp-size", "--pipeline-parallel-size"), "pp"),
        Flag(("--max-seq-len",), "context"),
        Flag(("--max-batch-size",), "max_seqs"),
        Flag(("--max-num-tokens",), "max_batched_tokens"),
        Flag(("--kv-cache-dtype",), "kv_dtype", words=_CACHE),
    ),
    switches=frozenset(("--trust-remote-code",)),
    model_first=True,
)
