"""llama.cpp as it is started: flags of ``llama-server`` and its like, and the options that they set."""

from __future__ import annotations

from kvtui.engine.serving.launching import Flag, Launch

_OF_THE_MODEL = {"0": ""}
_FORMATS = {"f32": "fp32", "f16": "fp16"}
_FLASH = {"on": "on", "1": "on", "off": "off", "0": "off", "auto": "", "-1": ""}


def _mebibytes(text: str) -> str:
    return f"{text}MiB"


LAUNCH = Launch(
    "llama.cpp",
    (("llama-server",), ("llama-cli",), ("llama-completion",), ("llama-bench",), ("llama", "serve"), ("server",)),
    (
        Flag(("-m", "--model", "-hf", "-hfr", "--hf-repo"), "model"),
        Flag(("-c", "--ctx-size"), "context", words=_OF_THE_MODEL),
        Flag(("-np", "--parallel"), "parallel", words={"-1": ""}),
        Flag(("-b", "--batch-size"), "max_batched_tokens"),
        Flag(("-ub", "--ubatch-size"), "ubatch"),
        Flag(("-ctk", "--cache-type-k"), "k_dtype", words=_FORMATS),
        Flag(("-ctv", "--cache-type-v"), "v_dtype", words=_FORMATS),
        Flag(("-fa", "--flash-attn"), "fa", words=_FLASH),
        Flag(("-ngl", "--gpu-layers", "--n-gpu-layers"), "gpu_layers", words={"-1": ""}),
        Flag(("-ncmoe", "--n-cpu-moe"), "cpu_moe"),
        Flag(("-cmoe", "--cpu-moe"), "cpu_moe", "on", words={"": "all"}),
        Flag(("-ts", "--tensor-split"), "tensor_split"),
        Flag(("-mg", "--main-gpu"), "main_gpu"),
        Flag(("-ot", "--override-tensor"), "override_tensor"),
        Flag(("-md", "--model-draft"), "draft_model"),
        Flag(("-kvu", "--kv-unified"), "kv_unified", "on"),
        Flag(("-no-kvu", "--no-kv-unified"), "kv_unified", "off"),
        Flag(("--swa-full",), "swa_full", "on"),
        Flag(("-nkvo", "--no-kv-offload"), "kv_offload", "off"),
        Flag(("-cram", "--cache-ram"), "cache_ram", words={"-1": "", "0": ""}, read=_mebibytes),
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
