"""llama.cpp as it is started: flags of ``llama-server`` and its like, and the options that they set."""

from __future__ import annotations

from kvtui.engine.serving.launching import Launch, LaunchFlag

_OF_THE_MODEL = {"0": ""}
_FORMATS = {"f32": "fp32", "f16": "fp16"}
_FLASH = {"on": "on", "1": "on", "off": "off", "0": "off", "auto": "", "-1": ""}


def _mebibytes(text: str) -> str:
    return f"{text}MiB"


LAUNCH = Launch(
    "llama.cpp",
    (("llama-server",), ("llama-cli",), ("llama-completion",), ("llama-bench",), ("llama", "serve"), ("server",)),
    (
        LaunchFlag(("-m", "--model", "-hf", "-hfr", "--hf-repo"), "model"),
        LaunchFlag(("-c", "--ctx-size"), "context", words=_OF_THE_MODEL),
        LaunchFlag(("-np", "--parallel"), "parallel", words={"-1": ""}),
        LaunchFlag(("-b", "--batch-size"), "max_batched_tokens"),
        LaunchFlag(("-ub", "--ubatch-size"), "ubatch"),
        LaunchFlag(("-ctk", "--cache-type-k"), "k_dtype", words=_FORMATS),
        LaunchFlag(("-ctv", "--cache-type-v"), "v_dtype", words=_FORMATS),
        LaunchFlag(("-fa", "--flash-attn"), "fa", words=_FLASH),
        LaunchFlag(("-ngl", "--gpu-layers", "--n-gpu-layers"), "gpu_layers", words={"-1": ""}),
        LaunchFlag(("--n-cpu-moe", "-ncmoe"), "cpu_moe"),
        LaunchFlag(("-cmoe", "--cpu-moe"), "cpu_moe", "on", words={"": "all"}),
        LaunchFlag(("--tensor-split", "-ts"), "tensor_split"),
        LaunchFlag(("-mg", "--main-gpu"), "main_gpu"),
        LaunchFlag(("-ot", "--override-tensor"), "override_tensor"),
        LaunchFlag(("-md", "--model-draft"), "draft_model"),
        LaunchFlag(("-kvu", "--kv-unified"), "kv_unified", "on"),
        LaunchFlag(("-no-kvu", "--no-kv-unified"), "kv_unified", "off"),
        LaunchFlag(("--swa-full",), "swa_full", "on"),
        LaunchFlag(("--no-kv-offload", "-nkvo"), "kv_offload", "off"),
        LaunchFlag(("--cache-ram", "-cram"), "cache_ram", words={"-1": "", "0": ""}, read=_mebibytes),
    ),
    switches=frozenset(
        (
            "--jinja",
            "--mlock",
            "--no-mmap",
            "-cb",
            "--cont-batching",
            "--no-webui",
            "--embedding",
            "--embeddings",
            "--reranking",
            "--metrics",
            "--slots",
            "-v",
            "--verbose",
            "--no-warmup",
        )
    ),
)
