"""vLLM as it is started: its flags, those of ``EngineArgs``, and the options that they set."""

from __future__ import annotations

from kvtui.engine.serving.launching import Flag, Launch

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
        Flag(("--model",), "model"),
        Flag(("--tensor-parallel-size", "-tp"), "tp"),
        Flag(("--pipeline-parallel-size", "-pp"), "pp"),
        Flag(("--data-parallel-size", "-dp"), "dp"),
        Flag(("--enable-expert-parallel", "-ep"), "ep", "on"),
        Flag(("--dtype",), "dtype", words=_TYPES),
        Flag(("--quantization", "-q"), "weight_dtype", words=_WEIGHTS, only=("fp8", "nf4")),
        Flag(("--kv-cache-dtype",), "kv_dtype", words=_CACHE),
        Flag(("--max-model-len",), "context", read=_number),
        Flag(("--max-num-seqs",), "max_seqs", read=_number),
        Flag(("--max-num-batched-tokens",), "max_batched_tokens", read=_number),
        Flag(("--gpu-memory-utilization",), "gpu_memory_utilization"),
        Flag(("--kv-cache-memory-bytes", "--kv-cache-memory"), "kv_pool", read=_number),
        Flag(("--block-size",), "block_size"),
        Flag(("--enforce-eager",), "eager", "on"),
        Flag(("--enable-prefix-caching",), "prefix_caching", "on"),
        Flag(("--no-enable-prefix-caching",), "prefix_caching", "off"),
        Flag(("--disable-hybrid-kv-cache-manager",), "hybrid_manager", "off"),
        Flag(("--no-disable-hybrid-kv-cache-manager",), "hybrid_manager", "on"),
        Flag(("--async-scheduling",), "async_scheduling", "on"),
        Flag(("--no-async-scheduling",), "async_scheduling", "off"),
        Flag(("--mamba-cache-dtype",), "mamba_cache_dtype", words={"auto": ""}),
        Flag(("--mamba-ssm-cache-dtype",), "mamba_ssm_cache_dtype", words={"auto": ""}),
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
