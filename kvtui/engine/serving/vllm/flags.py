"""vLLM as it is started: its flags, those of ``EngineArgs``, and the options that they set."""

from __future__ import annotations

from kvtui.engine.serving.launching import Launch, LaunchFlag

_UNITS = {"k": 10**3, "m": 10**6, "g": 10**9, "K": 2**10, "M": 2**20, "G": 2**30}
_WEIGHTS = {
    "fp8": "fp8",
    "awq_marlin": "awq",
    "gptq_marlin": "gptq",
    "bitsandbytes": "nf4",
    "modelopt": "fp8",
    "modelopt_fp4": "nvfp4",
    "compressed-tensors": "",
    "gguf": "",
}
_TYPES = {"auto": "", "bfloat16": "bf16", "half": "fp16", "float16": "fp16", "float": "fp32", "float32": "fp32"}
_CACHE = {"auto": "", "fp8": "fp8", "bfloat16": "bf16", "fp8_e4m3": "fp8", "fp8_e5m2": "fp8"}


def _number(text: str) -> str:
    """A number as vLLM reads it: 128k are 128,000 and 128K are 131,072; -1 and auto are its own choice."""
    text = text.strip()
    if text in ("auto", "-1"):
        return ""
    unit = _UNITS.get(text[-1:], 1)
    digits = text[:-1] if unit > 1 else text
    try:
        return str(int(float(digits) * unit))
    except ValueError:
        return text


LAUNCH = Launch(
    "vllm",
    (
        ("vllm", "serve"),
        ("python", "-m", "vllm.entrypoints.openai.api_server"),
        ("python3", "-m", "vllm.entrypoints.openai.api_server"),
    ),
    (
        LaunchFlag(("--model",), "model"),
        LaunchFlag(("--tensor-parallel-size", "-tp"), "tp"),
        LaunchFlag(("--pipeline-parallel-size", "-pp"), "pp"),
        LaunchFlag(("--data-parallel-size", "-dp"), "dp"),
        LaunchFlag(("--enable-expert-parallel", "-ep"), "ep", "on"),
        LaunchFlag(("--all2all-backend",), "all2all_backend"),
        LaunchFlag(("--dtype",), "dtype", words=_TYPES),
        LaunchFlag(("--quantization", "-q"), "weight_dtype", words=_WEIGHTS, only=("fp8", "nf4")),
        LaunchFlag(("--kv-cache-dtype",), "kv_dtype", words=_CACHE),
        LaunchFlag(("--max-model-len",), "context", read=_number),
        LaunchFlag(("--max-num-seqs",), "max_seqs", read=_number),
        LaunchFlag(("--max-num-batched-tokens",), "max_batched_tokens", read=_number),
        LaunchFlag(("--gpu-memory-utilization",), "gpu_memory_utilization"),
        LaunchFlag(("--kv-cache-memory-bytes", "--kv-cache-memory"), "kv_pool", read=_number),
        LaunchFlag(("--block-size",), "block_size"),
        LaunchFlag(("--enforce-eager",), "eager", "on"),
        LaunchFlag(("--enable-prefix-caching",), "prefix_caching", "on"),
        LaunchFlag(("--no-enable-prefix-caching",), "prefix_caching", "off"),
        LaunchFlag(("--disable-hybrid-kv-cache-manager",), "hybrid_manager", "off"),
        LaunchFlag(("--no-disable-hybrid-kv-cache-manager",), "hybrid_manager", "on"),
        LaunchFlag(("--async-scheduling",), "async_scheduling", "on"),
        LaunchFlag(("--no-async-scheduling",), "async_scheduling", "off"),
        LaunchFlag(("--mamba-cache-dtype",), "mamba_cache_dtype", words={"auto": ""}),
        LaunchFlag(("--mamba-ssm-cache-dtype",), "mamba_ssm_cache_dtype", words={"auto": ""}),
    ),
    switches=frozenset(
        (
            "--trust-remote-code",
            "--enable-auto-tool-choice",
            "--enable-chunked-prefill",
            "--no-enable-chunked-prefill",
            "--disable-log-requests",
            "--disable-log-stats",
            "--enable-lora",
            "--enable-reasoning",
            "--enable-sleep-mode",
            "--headless",
            "--language-model-only",
        )
    ),
    model_first=True,
)
