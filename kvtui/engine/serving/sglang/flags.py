"""SGLang as it is started: its flags, those of ``ServerArgs``, and the options that they set."""

from __future__ import annotations

from kvtui.engine.serving.launching import Launch, LaunchFlag

_TYPES = {"auto": "", "bfloat16": "bf16", "half": "fp16", "float16": "fp16", "float": "fp32", "float32": "fp32"}
_CACHE = {"auto": "", "bfloat16": "bf16", "bf16": "bf16", "fp8_e4m3": "fp8", "fp8_e5m2": "fp8", "fp4_e2m1": "nvfp4"}
_WEIGHTS = {
    "fp8": "fp8",
    "awq_marlin": "awq",
    "gptq_marlin": "gptq",
    "bitsandbytes": "nf4",
    "modelopt_fp8": "fp8",
    "modelopt_fp4": "nvfp4",
    "w8a8_int8": "w8a8",
    "w8a8_fp8": "fp8",
    "compressed-tensors": "",
}

LAUNCH = Launch(
    "sglang",
    (
        ("python", "-m", "sglang.launch_server"),
        ("python3", "-m", "sglang.launch_server"),
        ("sglang", "serve"),
    ),
    (
        LaunchFlag(("--model-path", "--model"), "model"),
        LaunchFlag(("--tp-size", "--tensor-parallel-size", "--tp"), "tp"),
        LaunchFlag(("--pp-size", "--pipeline-parallel-size", "--pp"), "pp"),
        LaunchFlag(("--dp-size", "--data-parallel-size", "--dp"), "dp"),
        LaunchFlag(("--enable-ep-moe",), "ep", "on"),
        LaunchFlag(("--dtype",), "dtype", words=_TYPES),
        LaunchFlag(("--quantization",), "weight_dtype", words=_WEIGHTS, only=("fp8",)),
        LaunchFlag(("--kv-cache-dtype",), "kv_dtype", words=_CACHE),
        LaunchFlag(("--context-length",), "context"),
        LaunchFlag(("--max-running-requests",), "max_seqs"),
        LaunchFlag(("--chunked-prefill-size",), "max_batched_tokens", words={"-1": ""}),
        LaunchFlag(("--mem-fraction-static",), "gpu_memory_utilization"),
        LaunchFlag(("--page-size",), "block_size"),
        LaunchFlag(("--disable-radix-cache",), "prefix_caching", "off"),
        LaunchFlag(("--disable-cuda-graph",), "eager", "on"),
    ),
    switches=frozenset(
        (
            "--trust-remote-code",
            "--enable-dp-attention",
            "--enable-torch-compile",
            "--enable-metrics",
            "--disable-overlap-schedule",
            "--skip-server-warmup",
        )
    ),
)
