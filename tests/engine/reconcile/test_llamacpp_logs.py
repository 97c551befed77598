"""Logs of llama.cpp and of the programs around it, beside what is planned: lines of public logs, in their wordings."""

from __future__ import annotations

import pytest

from kvtui.engine.basis.units import GIB, MIB
from kvtui.engine.reconcile.reconcile import Reconciliation, reconcile
from tests.engine.reconcile.log_files import told

DEVICE = "llama_model_load_from_file_impl: using device CUDA0 (NVIDIA H100 80GB HBM3) (0000:01:00.0) - 80000 MiB free"


def begun(
    build: int, model: str, context: int, slots: int, unified: bool, ubatch: int = 512, fa: str = "enabled"
) -> str:
    """The beginning of a start's log."""
    return f"""build: {build} (0123abcd) with GNU 14.2.0 for Linux x86_64
{DEVICE}
llama_model_loader: loaded meta data with 47 key-value pairs and 851 tensors from /models/{model}.gguf (version GGUF V3)
load_tensors:        CUDA0 model buffer size =  9000.00 MiB
llama_context: constructing llama_context
llama_context: n_seq_max             = {slots}
llama_context: n_ctx                 = {context}
llama_context: n_ubatch              = {ubatch}
llama_context: flash_attn            = {fa}
llama_context: kv_unified            = {str(unified).lower()}
"""


def cache(mib: float, cells: int, layers: int, slots: str, k: tuple[str, float], v: tuple[str, float]) -> str:
    return (
        f"llama_kv_cache: size = {mib:7.2f} MiB ({cells:6} cells, {layers:3} layers, {slots} seqs), "
        f"K ({k[0]}): {k[1]:7.2f} MiB, V ({v[0]}): {v[1]:7.2f} MiB\n"
    )


def states(mib: float, cells: int, layers: int, slots: int, rollback: int, r: float, s: float) -> str:
    return (
        f"llama_memory_recurrent: size = {mib:7.2f} MiB ({cells:6} cells, {layers:3} layers, {slots:2} seqs "
        f"{rollback:2} rs_seq), R (f32): {r:7.2f} MiB, S (f32): {s:7.2f} MiB\n"
    )


def beside(text: str, **options: str) -> Reconciliation:
    return reconcile(told(text), options)


def figures(found: Reconciliation) -> dict[str, tuple[float, float, str]]:
    """Predicted and observed by row, bytes in MiB, with the verdict."""
    return {
        row.id: (
            float(row.predicted or 0) / (MIB if row.unit == "bytes" else 1),
            float(row.observed or 0) / (MIB if row.unit == "bytes" else 1),
            row.verdict,
        )
        for row in found.rows
    }


P1 = (
    begun(9849, "gemma-4-E4B-it-Q4_K_M", 32_768, 4, True)
    + "llama_kv_cache_iswa: creating non-SWA KV cache, size = 32768 cells\n"
    + cache(512, 32_768, 4, " 4/1", ("f16", 256), ("f16", 256))
    + "llama_kv_cache_iswa: creating     SWA KV cache, size = 2560 cells\n"
    + cache(100, 2560, 20, " 4/1", ("f16", 50), ("f16", 50))
)
P1_SIX = (
    P1.replace("n_seq_max             = 4", "n_seq_max             = 6")
    .replace("2560", "3584")
    .replace("100.00", "140.00")
)
P2 = begun(9849, "Llama-3.1-8B-Q4_K_M", 24_576, 1, False) + cache(
    1248, 24_576, 32, " 1/1", ("q8_0", 816), ("q4_0", 432)
)
P4 = begun(7700, "GLM-4.7-Flash-Q4_K_M", 32_768, 1, False) + cache(
    3196, 32_768, 47, " 1/1", ("f16", 1692), ("f16", 1504)
)
P4_NEWER = begun(7800, "GLM-4.7-Flash-Q4_K_M", 32_768, 1, False) + cache(
    1692, 32_768, 47, " 1/1", ("f16", 1692), ("f16", 0)
)
P5 = (
    begun(6123, "gpt-oss-20b-mxfp4", 4096, 1, False)
    + "llama_kv_cache_unified_iswa: creating non-SWA KV cache, size = 4096 cells\n"
    + cache(96, 4096, 12, " 1/1", ("f16", 48), ("f16", 48)).replace("llama_kv_cache:", "llama_kv_cache_unified:")
    + "llama_kv_cache_unified_iswa: creating     SWA KV cache, size = 768 cells\n"
    + cache(18, 768, 12, " 1/1", ("f16", 9), ("f16", 9)).replace("llama_kv_cache:", "llama_kv_cache_unified:")
)
P6 = (
    begun(9849, "Qwen3.5-27B-Q4_K_M", 131_072, 1, False).replace(
        "load_tensors:", "load_tensors: offloaded 26/65 layers to GPU\nload_tensors:"
    )
    + "llama_kv_cache:        CPU KV buffer size =  4608.00 MiB\n"
    + "llama_kv_cache:      CUDA0 KV buffer size =  3584.00 MiB\n"
    + cache(8192, 131_072, 16, " 1/1", ("f16", 4096), ("f16", 4096))
    + "llama_memory_recurrent:        CPU RS buffer size =    93.52 MiB\n"
    + "llama_memory_recurrent:      CUDA0 RS buffer size =    56.11 MiB\n"
    + states(149.62, 1, 64, 1, 0, 5.62, 144)
)
P6_QWQ = (
    begun(6000, "QwQ-32B-Q4_K_M", 8192, 1, False).replace(
        "load_tensors:", "load_tensors: offloaded 29/65 layers to GPU\nload_tensors:"
    )
    + "llama_kv_cache_unified:        CPU KV buffer size =   595.00 MiB\n"
    + "llama_kv_cache_unified:      CUDA0 KV buffer size =   493.00 MiB\n"
    + cache(1088, 8192, 64, " 1/1", ("q8_0", 544), ("q8_0", 544))
)
P8 = (
    begun(9849, "Qwen3.8-27B-Q4_K_M", 8192, 4, True)
    + cache(512, 8192, 16, " 4/1", ("f16", 256), ("f16", 256))
    + states(1795.5, 12, 64, 4, 2, 67.5, 1728)
    + "sched_reserve:      CUDA0 compute buffer size =   520.00 MiB\n"
    + "srv    load_model: creating MTP draft context against the target model '/models/Qwen3.8-27B-Q4_K_M.gguf'\n"
    + "llama_context: constructing llama_context\nllama_context: n_ctx                 = 8192\n"
    + cache(32, 8192, 1, " 4/1", ("f16", 16), ("f16", 16))
    + "sched_reserve:      CUDA0 compute buffer size =   104.00 MiB\n"
)
P9 = begun(9849, "mamba-1.4b-Q8_0", 4096, 1, False) + states(14.25, 1, 48, 1, 0, 2.25, 12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (P1, {"kv": 512, "kv_cells": 32_768, "swa_kv": 100, "swa_kv_cells": 2560}),
        (P1_SIX, {"kv": 512, "swa_kv": 140, "swa_kv_cells": 3584}),
        (P2, {"kv": 1248}),
        (P4, {"kv": 3196}),
        (P4_NEWER, {"kv": 1692}),
        (P5, {"kv": 96, "swa_kv": 18, "swa_kv_cells": 768}),
        (P6, {"kv": 8192, "kv_ram": 4608, "kv_device_0": 3584, "rs_ram": 93.516, "rs_device_0": 56.109}),
        (P6_QWQ, {"kv": 1088, "kv_ram": 595, "kv_device_0": 493}),
        (P8, {"kv": 512, "r": 67.5, "s": 1728, "mtp_kv": 32}),
        (P9, {"r": 2.25, "s": 12}),
    ],
    ids=["P1", "P1 with six slots", "P2", "P4", "P4 newer", "P5", "P6", "P6 QwQ", "P8", "P9"],
)
def test_witnesses(text: str, expected: dict[str, float]) -> None:
    found = figures(beside(text))
    assert {key: round(found[key][0], 3) for key in expected} == expected
    assert {key: found[key][2] for key in expected} == dict.fromkeys(expected, "agrees")


def test_layers_of_three_devices_are_those_that_the_log_assigns() -> None:
    """P7: 9, 12 and 21 of gemma-4-E4B's layers; shared ones own nothing."""
    owners = ["CUDA0"] * 9 + ["CUDA1"] * 12 + ["CUDA2"] * 22
    assigned = "".join(
        f"load_tensors: layer {number:3} assigned to device {owner}, is_swa = 0\n"
        for number, owner in enumerate(owners)
    )
    text = begun(9849, "gemma-4-E4B-it-Q8_0", 131_072, 1, False).replace(
        "load_tensors:", f"{assigned}load_tensors: offloaded 43/43 layers to GPU\nload_tensors:", 1
    )
    text += "llama_kv_cache_iswa: creating non-SWA KV cache, size = 131072 cells\n"
    for device, mib in enumerate((512, 1024, 512)):
        text += f"llama_kv_cache:      CUDA{device} KV buffer size = {mib:8.2f} MiB\n"
    text += cache(2048, 131_072, 4, " 1/1", ("f16", 1024), ("f16", 1024))
    found = beside(text)
    assert found.scenario.serving.partition == (9, 12, 21)
    rows = figures(found)
    assert [rows[f"kv_device_{device}"][:2] for device in range(3)] == [(512, 512), (1024, 1024), (512, 512)]
    assert {rows[f"kv_device_{device}"][2] for device in range(3)} == {"agrees"}


def test_weights_of_the_file_stand_for_those_that_no_line_lists() -> None:
    text = P2.replace(
        "load_tensors:        CUDA0 model buffer size =  9000.00 MiB", "print_info: file size   = 4.58 GiB"
    )
    rows = figures(beside(text))
    assert rows["weights"][1] == pytest.approx(4.58 * GIB / MIB, rel=1e-6)


def test_two_reserve_lines_are_one_buffer() -> None:
    once = "sched_reserve:      CUDA0 compute buffer size =   150.00 MiB\n"
    assert figures(beside(P2 + once + once))["compute"][1] == 150


def test_a_draft_contexts_buffers_are_its_own() -> None:
    log = told(P8)
    assert (log.sizes["compute"]["CUDA0"].bytes, log.sizes["draft compute"]["CUDA0"].bytes) == (520 * MIB, 104 * MIB)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace(".00 MiB", ",00 MiB"),
        lambda text: "".join(f"\x1b[32m0.00.012.345 I \x1b[0m{line}\n" for line in text.splitlines()),
        lambda text: "".join(f"[2026-11-30 10:00:00][DEBUG] {line}\n" for line in text.splitlines()),
        lambda text: "".join(f"srv  load: [54321] 0.01.002.003 I {line}\n" for line in text.splitlines()),
        lambda text: "".join(f"ollama-1  | {line}\r\n" for line in text.splitlines()),
        lambda text: text.replace("llama_kv_cache: size", "llama_kv_cache_unified: size"),
    ],
    ids=["decimal commas", "colours", "LM Studio", "router", "container", "wording of 2025"],
)
@pytest.mark.parametrize("text", [P1, P2, P6], ids=["P1", "P2", "P6"])
def test_variants_say_the_same(text: str, change: object) -> None:
    assert callable(change)
    assert figures(beside(change(text))) == figures(beside(text))


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "alloc_buffer: allocating 16384.00 MiB on device 0: cudaMalloc failed: out of memory",
            "allocating 16384.00 MiB on device 0: cudaMalloc failed: out of memory",
        ),
        (
            "alloc_tensor_range: failed to allocate CUDA0 buffer of size 17179869184",
            "failed to allocate CUDA0 buffer of size 17179869184",
        ),
        (
            "llama_init_from_model: failed to initialize the context: failed to allocate compute pp buffers",
            "failed to allocate compute pp buffers",
        ),
        ("llama_model_load: error loading model: unable to allocate CUDA0 buffer", "unable to allocate CUDA0 buffer"),
        ("ggml_vulkan: Device memory allocation of size 4194304000 failed.", "Device memory allocation of size"),
        (
            "llama_init_from_model: quantized V cache was requested, but this requires Flash Attention",
            "quantized V cache was requested, but this requires Flash Attention",
        ),
    ],
)
def test_a_refused_start_says_why(line: str, words: str) -> None:
    log = told(begun(9849, "Llama-3.1-8B-Q4_K_M", 1_048_576, 1, False) + line)
    assert log.words["error"].startswith(words)
    assert figures(beside(begun(9849, "Llama-3.1-8B-Q4_K_M", 1_048_576, 1, False) + line)) is not None


def test_koboldcpp() -> None:
    """Its arguments are in one line; the library's lines follow as they are."""
    text = (
        "***\nWelcome to KoboldCpp - Version 1.102\nNamespace(admin=False, blasbatchsize=512, contextsize=24576, "
        "flashattention=True, gpulayers=99, model=[], model_param='/home/me/Llama-3.1-8B.Q4_K_M.gguf', quantkv=1)\n"
        "llama_model_loader: loaded meta data with 29 key-value pairs and 292 tensors from "
        "/home/me/Llama-3.1-8B.Q4_K_M.gguf (version GGUF V3 (latest))\n"
        "load_tensors: offloaded 33/33 layers to GPU\n" + cache(1632, 24_576, 32, " 1/1", ("q8_0", 816), ("q8_0", 816))
    )
    found = beside(text, engine="llama.cpp@b9849", parallel="1")
    assert (found.scenario.context, found.scenario.kv_dtype, found.scenario.model.name) == (
        24_576,
        "q8_0",
        "Llama-3.1-8B",
    )
    assert figures(found)["kv"] == (1632, 1632, "agrees")


@pytest.mark.parametrize(("seqs", "slots", "cells"), [("1/1", "1", 1536), ("4/1", None, 4608)])
def test_slots_are_those_of_the_caches_where_no_parameter_tells(seqs: str, slots: str | None, cells: int) -> None:
    text = f"""Loading Text Model: C:\\models\\gemma-3-27b-it-Q4_K_M.gguf
llama_context: n_ctx         = 8320
llama_context: n_ubatch      = 512
llama_kv_cache_iswa: creating     SWA KV cache, size = {cells} cells
llama_kv_cache: size = 1.00 MiB ( {cells} cells,  52 layers,  {seqs} seqs), K (f16):  1.00 MiB, V (f16):  0.00 MiB
llama_kv_cache:      CUDA0 KV buffer size =     1.00 MiB
"""
    found = beside(text)
    assert found.scenario.serving.parallel == (None if slots is None else int(slots))
    assert figures(found)["swa_kv_cells"] == (cells, cells, "agrees")


def test_ollama_with_the_library() -> None:
    """The model is a blob by its hash; its name is in the file's metadata."""
    blob = "/root/.ollama/models/blobs/sha256-667b0c1932bc6ffc593ed1d03f895bf2dc8dc6df21db3042284a6f4416b06a29"
    text = (
        f'time=2026-11-30T10:00:00.000Z level=INFO source=server.go msg="starting llama server" cmd="/usr/bin/'
        f'ollama runner --model {blob} --ctx-size 24576 --batch-size 512 --n-gpu-layers 33 --parallel 1 --port 41234"\n'
        f"llama_model_loader: loaded meta data with 29 key-value pairs and 292 tensors from {blob} (version GGUF V3)\n"
        "llama_model_loader: - kv   2:   general.name str              = Meta Llama 3.1 8B Instruct\n"
        "print_info: file type   = Q4_K - Medium\nprint_info: file size   = 4.58 GiB (4.89 BPW)\n"
        "llama_context: n_seq_max     = 1\nllama_context: n_ctx         = 24576\n"
        + cache(3072, 24_576, 32, " 1/1", ("f16", 1536), ("f16", 1536))
    )
    found = beside(text, engine="llama.cpp@b9849")
    assert found.scenario.model.name == "Llama-3.1-8B"
    assert figures(found)["kv"] == (3072, 3072, "agrees")


def test_ollamas_own_engine() -> None:
    head = "time=2026-11-30T10:00:00.000Z level=INFO source="
    text = (
        f'{head}ggml.go:136 msg="" architecture=qwen3 file_type=Q4_K_M name="Qwen3 8B" description="" num_tensors=399\n'
        f'{head}runner.go:1272 msg=load request="{{Operation:commit LoraPath:[] Parallel:1 BatchSize:512 '
        'FlashAttention:Enabled KvSize:8192 KvCacheType: NumThreads:8 GPULayers:37[ID:GPU-1 Layers:37(0..36)]}"\n'
        f'{head}device.go:240 msg="model weights" device=CUDA0 size="4.5 GiB"\n'
        f'{head}device.go:251 msg="kv cache" device=CUDA0 size="1.1 GiB"\n'
        f'{head}device.go:262 msg="compute graph" device=CUDA0 size="109.0 MiB"\n'
    )
    found = beside(text, gpu="RTX 4090")
    assert (found.scenario.model.name, found.scenario.context) == ("Qwen3-8B", 8192)
    rows = figures(found)
    assert rows["caches"][0] == 1152
    assert rows["caches"][1] == pytest.approx(1.1 * 1024, rel=1e-6)
    assert rows["compute"][1] == 109


def test_the_build_0_is_no_build() -> None:
    """A build outside of llama.cpp's own repository: the newest rules hold."""
    log = told(P2.replace("build: 9849", "build: 0"))
    assert "version" not in log.words


def test_lines_of_2024() -> None:
    text = (
        "build: 4000 (0123abcd) with cc for x86_64\n"
        "llm_load_print_meta: model ftype      = Q4_K - Medium\n"
        "llm_load_print_meta: model size       = 4.58 GiB (4.89 BPW)\n"
        "llm_load_print_meta: general.name     = Llama 3.1 8B\n"
        "llm_load_tensors: offloaded 33/33 layers to GPU\n"
        "llm_load_tensors:        CUDA0 buffer size =  4403.49 MiB\n"
        "llm_load_tensors:   CPU_Mapped buffer size =   281.81 MiB\n"
        "llama_new_context_with_model: n_seq_max     = 1\nllama_new_context_with_model: n_ctx         = 8192\n"
        "llama_new_context_with_model: n_ubatch      = 512\nllama_new_context_with_model: flash_attn    = 0\n"
        "llama_kv_cache_init:      CUDA0 KV buffer size =  1024.00 MiB\n"
        "llama_new_context_with_model: KV self size  = 1024.00 MiB, K (f16):  512.00 MiB, V (f16):  512.00 MiB\n"
        "llama_new_context_with_model:  CUDA_Host  output buffer size =     0.49 MiB\n"
        "llama_new_context_with_model:      CUDA0 compute buffer size =   560.00 MiB\n"
        "llama_new_context_with_model:  CUDA_Host compute buffer size =    24.01 MiB\n"
    )
    rows = figures(beside(text))
    assert rows["kv"] == (1024, 1024, "agrees")
    assert rows["weights"][1] == pytest.approx(4403.49 + 281.81)
    assert rows["compute"][0] == pytest.approx(560, rel=0.05)
    assert rows["host_compute"][0] == pytest.approx(24.01, abs=0.05)


TWO_KINDS = """ggml_cuda_init: found 2 CUDA devices:
  Device 0: NVIDIA GeForce RTX 4070 Ti, compute capability 8.9, VMM: yes
  Device 1: NVIDIA GeForce RTX 3090 Ti, compute capability 8.6, VMM: yes
llm_load_print_meta: model ftype      = Q4_K - Medium
llm_load_print_meta: general.name     = c4ai-command-r-v01
llm_load_tensors: offloaded 41/41 layers to GPU
llm_load_tensors:        CPU buffer size =  1640.62 MiB
llm_load_tensors:      CUDA0 buffer size =  5434.38 MiB
llm_load_tensors:      CUDA1 buffer size = 13989.53 MiB
llama_new_context_with_model: n_ctx      = 4096
llama_new_context_with_model: n_ubatch   = 512
llama_kv_cache_init:      CUDA0 KV buffer size =  1536.00 MiB
llama_kv_cache_init:      CUDA1 KV buffer size =  3584.00 MiB
llama_new_context_with_model: KV self size  = 5120.00 MiB, K (f16): 2560.00 MiB, V (f16): 2560.00 MiB
llama_new_context_with_model:      CUDA0 compute buffer size =   672.01 MiB
"""


def test_devices_of_two_kinds_and_of_no_build() -> None:
    """Twelve of 40 layers are on the first (pull request 6122); the words are those of early builds."""
    found = beside(TWO_KINDS)
    rows = figures(found)
    assert [rows[f"kv_device_{number}"][:2] for number in (0, 1)] == [(1536, 1536), (3584, 3584)]
    assert rows["compute"][0] == pytest.approx(672.01, abs=0.02)
    assert found.scenario.device.name == "RTX 4070 Ti"
    remarks = " ".join(found.notes)
    assert "NVIDIA GeForce RTX 3090 Ti is planned as if like the first" in remarks
    assert "b4400 is assumed" in remarks


def test_a_build_in_the_words_of_2024() -> None:
    text = (
        'INFO [                    main] build info | tid="0x1" timestamp=1722350460 build=3491 commit="140074bb"\n'
        "llama_model_loader: loaded meta data with 19 key-value pairs from models/llama-2-7b-chat.q4_K_M.gguf\n"
        "llm_load_print_meta: general.name     = LLaMA v2 7B\n"
        "llama_new_context_with_model: n_ctx      = 4096\n"
        "llama_kv_cache_init:      Metal KV buffer size =  2048.00 MiB\n"
        "llama_new_context_with_model: KV self size  = 2048.00 MiB, K (f16): 1024.00 MiB, V (f16): 1024.00 MiB\n"
        "llama_new_context_with_model:      Metal compute buffer size =   296.00 MiB\n"
    )
    found = beside(text, model="Llama-2-7B", gpu="Apple M1 Max")
    assert found.scenario.serving.version == "b3491"
    assert figures(found)["compute"][0] == pytest.approx(296, abs=0.01)


def test_ollamas_own_engine_in_other_words() -> None:
    """Buffers by name (0.9 to 0.11), no name of the model, and the card in the line before."""
    head = "time=2025-07-18T14:51:00.217Z level=INFO source="
    text = (
        f'{head}types.go:131 msg="inference compute" id=GPU-1 library=cuda name=CUDA0 '
        'description="NVIDIA GeForce RTX 4090" total="24.0 GiB" available="23.1 GiB"\n'
        f'{head}ggml.go:116 msg="" architecture=mistral3 file_type=Q8_0 name="" description="" num_tensors=585\n'
        f'{head}ggml.go:365 msg="model weights" buffer=CUDA0 size="11.9 GiB"\n'
        f'{head}ggml.go:365 msg="model weights" buffer=CPU size="680.0 MiB"\n'
        f'{head}ggml.go:672 msg="compute graph" backend=CUDA0 buffer_type=CUDA0 size="0 B"\n'
        f'{head}ggml.go:672 msg="compute graph" backend=CUDA0 buffer_type=CUDA0 size="1.2 GiB"\n'
    )
    found = beside(text, model="Mistral-Small-3.2-24B")
    rows = figures(found)
    assert rows["weights"][1] == pytest.approx(11.9 * 1024 + 680)
    assert rows["compute"][1] == pytest.approx(1.2 * 1024)
    assert found.scenario.device.name == "RTX 4090"
