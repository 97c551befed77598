"""Lines of other releases than the samples', one by one: values as they are printed, never more precise."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import GIB, MIB
from kvtui.engine.bootlog.observed import size
from kvtui.engine.bootlog.patterns import Gathered, LogReader
from kvtui.engine.engines.known import KNOWN, part
from kvtui.engine.model.catalogue import all_models
from kvtui.engine.reconcile.names import logged_model, stored_format
from tests.engine.reconcile.log_files import told
from tests.present import present

P = "INFO 03-21 20:15:45 [worker.py:267] "


@pytest.mark.parametrize(
    ("line", "sizes"),
    [
        ("Loading model weights took 67.7229 GB", {"weights": 67.7229}),
        ("Model loading took 15.4137 GB and 9.033798 seconds", {"weights": 15.4137}),
        ("Model loading took 14.2474 GiB and 558.868858 seconds", {"weights": 14.2474}),
        ("Model loading took 13.2 GiB memory and 82.628035 seconds", {"weights": 13.2}),
        (
            "the current vLLM instance can use total_gpu_memory (79.19GiB) x gpu_memory_utilization (0.90) = 71.27GiB",
            {"total": 79.19, "requested": 71.27},
        ),
        (
            (
                "model weights take 12.55GiB; non_torch_memory takes 0.16GiB; PyTorch activation peak memory takes "
                "2.38GiB; the rest of the memory reserved for KV Cache is 56.18GiB."
            ),
            {"weights": 12.55, "non_torch": 0.16, "activation": 2.38, "pool": 56.18},
        ),
        ("model weights take   7.48GiB", {"weights": 7.48}),
        ("non_torch_memory     3.58GiB", {"non_torch": 3.58}),
        ("PyTorch activation peak memory       1.26GiB", {"activation": 1.26}),
        ("available_kv_cache_memory    53.29GiB", {"pool": 53.29}),
        ("Available KV cache memory: 6.9 GiB", {"pool": 6.9}),
        (
            (
                "Initial free memory 78.68 GiB, reserved 5.33 GiB memory for KV Cache as specified by "
                "kv_cache_memory_bytes config and skipped memory profiling."
            ),
            {"pool": 5.33},
        ),
        ("Graph capturing finished in 2 secs, took 0.13 GiB", {"graphs": 0.13}),
        ("Estimated CUDA graph memory: 4.30 GiB total", {"graphs_estimated": 4.3}),
        (
            "CUDA graph pool memory: 0.5 GiB (actual), 0.44 GiB (estimated), difference: 0.06 GiB (12.0%).",
            {"graphs": 0.5, "graphs_estimated": 0.44},
        ),
        (
            (
                "Free memory on device cuda:0 (10.2/23.56 GiB) on startup is less than desired GPU memory utilization "
                "(0.92, 21.68 GiB)."
            ),
            {"free_before": 10.2, "total": 23.56, "requested": 21.68},
        ),
        ("Available KV cache memory: -2.14 GiB", {"shortfall": 2.14}),
        ("Estimated CUDA graph memory: -0.90 GiB total", {"graphs_below_zero": 0.9}),
        (
            (
                "Free memory on device cuda:0 (94.31/94.97 GiB) on startup. Desired GPU memory utilization is (0.97, "
                "92.12 GiB). Actual usage is 81.7 GiB for consumed memory (weights + non-torch), 1.78 GiB for peak "
                "activation, and 0.28 GiB for CUDAGraph memory. Replace gpu_memory_utilization config with "
                "`--kv-cache-memory=9123456789` (8.5 GiB) to fit into requested memory. Current kv cache memory in use "
                "is 8.64 GiB."
            ),
            {
                "free_before": 94.31,
                "total": 94.97,
                "requested": 92.12,
                "consumed": 81.7,
                "activation": 1.78,
                "graphs": 0.28,
                "pool": 8.64,
            },
        ),
        (
            (
                "Memory profiling takes 5.10 seconds. Total non KV cache memory: 16.51GiB; torch peak memory increase: "
                "1.20GiB; total consumed (from mem_get_info): 15.31GiB; weights memory: 14.99GiB."
            ),
            {"activation": 1.2, "consumed": 15.31, "weights": 14.99},
        ),
        (
            "worker init memory snapshot: torch_peak=0.0GiB, free_memory=78.68GiB, total_memory=79.19GiB, x=0.5GiB",
            {"free_before": 78.68, "total": 79.19},
        ),
        ("worker requested memory: 71.27GiB", {"requested": 71.27}),
        ("Explicitly set (1.0/23.54) GiB for KV cache on node 0.", {"pool": 1.0, "total": 23.54}),
        (
            (
                "Auto set (9.5/23.54) GiB for KV cache on node 0, with 11.77 GiB requested memory for the worker. "
                "2.27 GiB memory was consumed by non-kv usages."
            ),
            {"pool": 9.5, "total": 23.54, "requested": 11.77},
        ),
        ("VLLM_CPU_KVCACHE_SPACE not set. Using 4.0 GiB for KV cache.", {"pool": 4.0}),
        (
            (
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity "
                "of 23.56 GiB of which 1.05 GiB is free."
            ),
            {"total": 23.56},
        ),
    ],
)
def test_sizes_of_vllm(line: str, sizes: dict[str, float]) -> None:
    log = told(P + line)
    assert {name: round(present(log.most(name)).bytes / GIB, 4) for name in log.sizes} == sizes


@pytest.mark.parametrize(
    ("line", "counts"),
    [
        ("# GPU blocks: 1381", {"blocks": 1381}),
        ("# cuda blocks: 7191, # CPU blocks: 512", {"blocks": 7191}),
        ("Engine 000: vllm cache_config_info with initialization after num_gpu_blocks is: 57656", {"blocks": 57_656}),
        ("GPU KV cache size: 2,925,232 tokens", {"kv_cache_tokens": 2_925_232}),
        ("XPU KV cache size: 4,032 tokens", {"kv_cache_tokens": 4032}),
        ("ValueError: max_num_seqs (1024) exceeds available Mamba cache blocks (939).", {"state_slots": 939}),
        (
            (
                "ValueError: To serve at least one request with the model's max seq len (100000), (4.26 GiB KV "
                "cache is "
                "needed, which is larger than the available KV cache memory (4.25 GiB). Based on the available "
                "memory, the estimated maximum model length is 99984."
            ),
            {"max_context": 99_984},
        ),
        (
            (
                "The model's max seq len (8192) is larger than the maximum number of tokens that can be stored in "
                "KV cache (2400)."
            ),
            {"kv_cache_tokens": 2400},
        ),
    ],
)
def test_counts_of_vllm(line: str, counts: dict[str, int]) -> None:
    assert told(P + line).counts == counts


NEEDS = (
    "max seq len (131072), {}8.18 GiB KV cache is needed, which is larger than the available KV cache memory ({} GiB)"
)
LONGEST = ". Based on the available memory, the estimated maximum model length is 112896."


@pytest.mark.parametrize("models", ["model's", "models's", "model\\u0027s"])
@pytest.mark.parametrize("bracket", ["", "("])
@pytest.mark.parametrize("end", ["", LONGEST])
@pytest.mark.parametrize("width", [1000, 80, 61, 40, 23])
def test_a_refusal_of_any_release_however_it_is_folded(models: str, bracket: str, end: str, width: int) -> None:
    text = f"ValueError: To serve at least one request with the {models} {NEEDS.format(bracket, '7.04')}{end}"
    cut = text.index("To serve") + len("To serve at least")
    lines = [text[:cut], *(text[at : at + width] for at in range(cut, len(text), width))]
    log = told(f"{P}{lines[0]}{lines[1]}\n" + "\n".join(lines[2:]) + f"\n{P}something else (9.99 GiB)\n")
    sizes = {name: round(present(log.most(name)).bytes / GIB, 4) for name in log.sizes}
    assert sizes == {"needed": 8.18, "pool": 7.04}
    assert log.options["context"] == "131072"
    assert log.counts == ({"max_context": 112_896} if end else {})
    assert log.words["error"].startswith("the model's max seq len (131072) needs 8.18 GiB of KV cache")


def test_a_refusal_with_less_than_nothing_left() -> None:
    log = told(f"{P}To serve at least one request with the model's {NEEDS.format('(', '-0.51')}. Try increasing")
    assert round(present(log.most("shortfall")).bytes / GIB, 2) == 0.51
    assert "pool" not in log.sizes


@pytest.mark.parametrize(
    "line",
    [
        "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`",
        "ValueError: Cannot auto-fit max_model_len: not enough GPU memory available to serve even a single token.",
        "ValueError: Available memory on node 0 (1.2/23.5 GiB) on kv cache allocation is less than requested memory",
        "ValueError: The worker already uses 12.1 GiB (model weights and runtime), more than the 11.7 GiB of CPU",
        "ValueError: User-specified max_model_len (999999) is greater than the derived max_model_len (x=131072 or",
        "ValueError: Total number of attention heads (28) must be divisible by tensor parallel size (8).",
        "ValueError: Hybrid KV cache manager is disabled but failed to convert the KV cache specs to one unified type.",
        "torch.OutOfMemoryError: HIP out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 23.9 GiB",
    ],
)
def test_every_refusal_is_an_error(line: str) -> None:
    assert told(P + line).words["error"]


def test_newer_vllm_says_both_on_one_line() -> None:
    log = told(f"{P}GPU KV cache size: 39,800 tokens, Maximum concurrency for 4,096 tokens per request: 9.72x")
    assert (log.counts, log.ratios) == ({"kv_cache_tokens": 39_800}, {"max_concurrency": Fraction("9.72")})
    assert log.options == {"context": "4096"}


@pytest.mark.parametrize("colour", ["", "\x1b[97;1m"])
def test_the_banner_of_newer_vllm(colour: str) -> None:
    end = "\x1b[0m" if colour else ""
    log = told(
        f"{P}▄▄ ▄█ █     █     █ ▀▄▀ █{end}  version {colour}0.32.0{end}\n"
        f"{P}  █▄█▀ █     █     █     █{end}  model   {colour}./deepseek{end}\n"
    )
    assert (log.words["version"], log.words["model"]) == ("0.32.0", "./deepseek")


def test_what_a_server_says_of_its_scheduling_and_platform() -> None:
    log = told(
        f"{P}Asynchronous scheduling is disabled.\n{P}LLM engine (v0.32.0) with config: model='m', device_config=cpu"
    )
    assert log.options["async_scheduling"] is False
    assert log.words["platform"] == "cpu"
    assert told("vllm serve m --no-async-scheduling --enforce-eager").options == {
        "async_scheduling": False,
        "eager": True,
    }
    assert told(f"{P}Automatically detected platform rocm.").words["platform"] == "rocm"


def test_a_context_that_vllm_chose_itself() -> None:
    log = told(
        f"{P}Using max model len 131072\n"
        f"{P}Auto-fit max_model_len: reduced from 131072 to 112896 to fit in available GPU memory (7.04 GiB available)"
    )
    assert (log.options["context"], log.counts) == ("112896", {"max_context": 112_896})


def test_a_block_override_of_vllms_profiling_is_not_taken_for_the_blocks() -> None:
    log = told(
        f"{P}Overriding num_gpu_blocks=0 with num_gpu_blocks_override=512\n{P}Available KV cache memory: 6.9 GiB"
    )
    assert log.counts == {}


@pytest.mark.parametrize(
    ("prefix", "rank"),
    [
        ("", ""),
        ("(Worker_TP1 pid=106) ", "Worker_TP1"),
        ("(EngineCore_DP1 pid=7) ", "EngineCore_DP1"),
        ("(EngineCore pid=89247) (RayWorkerWrapper pid=75390, ip=172.20.4.202) ", "RayWorkerWrapper pid=75390"),
        ("qwen3-1  | (VllmWorker rank=2 pid=107) ", "VllmWorker rank=2"),
        ("(VllmWorkerProcess pid=12897) ", "VllmWorkerProcess pid=12897"),
        ("\x1b[0;36m(Worker_PP0_TP1 pid=9)\x1b[0;0m ", "Worker_PP0_TP1"),
    ],
)
def test_ranks_of_vllm(prefix: str, rank: str) -> None:
    log = told(f"{prefix}{P}Model loading took 1.25 GiB memory and 3.1 seconds")
    assert list(log.sizes["weights"]) == [rank]


def test_a_command_line_says_what_nothing_else_does() -> None:
    log = told(
        "+ vllm serve /m/Qwen3-8B -tp 2 --kv-cache-dtype fp8 --max-model-len=32768 --no-enable-prefix-caching "
        '--speculative-config \'{"method":"mtp","num_speculative_tokens":2}\'\n'
        f"{P}Using max model len 16384\n{P}Available KV cache memory: 6.9 GiB"
    )
    assert log.words["model"] == "/m/Qwen3-8B"
    assert log.options == {
        "tp": "2",
        "kv_dtype": "fp8",
        "context": "16384",
        "prefix_caching": False,
        "speculative_tokens": "2",
    }


def test_the_last_start_counts() -> None:
    first = f"(APIServer pid=1) {P}vLLM API server version 0.10.0\n{P}Available KV cache memory: 1.00 GiB\n"
    second = f"(APIServer pid=9) {P}vLLM API server version 0.11.0\n{P}Available KV cache memory: 2.00 GiB\n"
    log = told(first + second)
    assert (log.starts, log.words["version"]) == (2, "0.11.0")
    assert present(log.most("pool")).bytes == 2 * GIB


@pytest.mark.parametrize(
    ("line", "buffers"),
    [
        (
            (
                "llama_kv_cache: size =  354.75 MiB (  8448 cells,  43 layers,  1/1 seqs), K (f16):  354.75 MiB, "
                "V (f16):    0.00 MiB"
            ),
            [("KV", 354.75, 8448, 43)],
        ),
        (
            (
                "llama_kv_cache_unified: size =  448.00 MiB (  4096 cells,  28 layers,  1 seqs), K (f16):  224.00 MiB, "
                "V (f16):  224.00 MiB"
            ),
            [("KV", 448.0, 4096, 28)],
        ),
        (
            "llama_new_context_with_model: KV self size  =  160.00 MiB, K (f16):   80.00 MiB, V (f16):   80.00 MiB",
            [("KV", 160.0, 0, None)],
        ),
        (
            (
                "llama_memory_recurrent: size =  448.88 MiB (     3 cells,  65 layers,  3 seqs  0 rs_seq), R (f32):   "
                "16.88 MiB, S (f32):  432.00 MiB, P (f32):    0.00 MiB"
            ),
            [("R", 16.88, 3, 65), ("S", 432.0, 3, 65)],
        ),
        (
            (
                "44.18.952.118 I llama_kv_cache_dsa: creating indexer KV cache, size = 4096 cells\n"
                "44.18.952.119 I llama_kv_cache: size =   24.00 MiB (  4096 cells,  24 layers,  1/1 seqs), K (f16):   "
                "24.00 MiB, V (f16):    0.00 MiB"
            ),
            [("indexer KV", 24.0, 4096, 24)],
        ),
    ],
)
def test_caches_of_llamacpp(line: str, buffers: list[tuple[Any, ...]]) -> None:
    found = [(b.kind, round(b.size.bytes / MIB, 2), b.cells, b.layers) for b in told(line).buffers]
    assert found == buffers


def test_a_cache_without_layers_is_none() -> None:
    cells = "(524288 cells,   0 layers,  1/1 seqs)"
    decoy = f"llama_kv_cache: size =    0.00 MiB {cells}, K (f16):    0.00 MiB, V (f16):    0.00 MiB"
    log = told(decoy + "\nload_tensors:        CUDA0 model buffer size =  6378.40 MiB")
    assert log.buffers == ()


def test_slots_that_llamacpp_was_given_divide_its_context() -> None:
    given = "llama_context: n_seq_max     = 4\nllama_context: kv_unified    = false"
    assert told(given).options["parallel"] == "4"
    automatic = "llama_context: n_seq_max     = 4\nllama_context: kv_unified    = true"
    assert "parallel" not in told(automatic).options


@pytest.mark.parametrize(
    "line",
    [
        (
            "[2026-05-15 09:09:53 TP0] KV Cache is allocated. dtype: torch.float8_e4m3fn, #tokens: 1000, K size: "
            "1.25 GB, V size: 1.25 GB"
        ),
        "[2025-05-15 09:09:53] KV Cache is allocated. #tokens: 1000, K size: 1.25 GB, V size: 1.25 GB",
        (
            "[2026-05-15 09:09:53 DP1 TP1 EP1] KV Cache is allocated. dtype: torch.bfloat16, #tokens: 1000, KV "
            "size: 2.50 GB"
        ),
    ],
)
def test_pools_of_sglang(line: str) -> None:
    (pool,) = told(line).buffers
    assert (pool.cells, pool.size.bytes) == (1000, 5 * GIB // 2)


def test_a_drafters_pool_and_weights_come_after_the_models_own() -> None:
    log = told(
        "[2026-09-22 19:53:22 TP0] Load weight end. elapsed=118.38 s, type=Qwen3_5, avail mem=92.04 GB, "
        "mem usage=20.00 GB.\n"
        "[2026-09-22 19:53:32 TP0] Load weight end. elapsed=9.44 s, type=DFlash2, avail mem=89.04 GB, "
        "mem usage=3.00 GB.\n"
        "[2026-09-22 19:53:38 TP0] KV Cache is allocated. #tokens: 4000, K size: 2.00 GB, V size: 2.00 GB\n"
        "[2026-09-22 19:53:39 TP0] KV Cache is allocated. #tokens: 4000, K size: 0.13 GB, V size: 0.13 GB\n"
    )
    assert present(log.most("weights")).bytes == 20 * GIB
    assert present(log.most("draft weights")).bytes == 3 * GIB
    assert log.buffers[0].size.bytes == 4 * GIB


@given(st.integers(0, 2**45), st.sampled_from((GIB, MIB)), st.integers(0, 4))
def test_a_size_covers_all_that_is_printed_so(count: int, unit: int, dropped: int) -> None:
    """Whatever is printed with two digits, even without its zeros at the end, lies within the size read from it."""
    printed = f"{count / unit:.2f}"
    read = size(printed.rstrip("0").rstrip(".") if dropped else printed, unit)
    assert read.low <= count <= read.high
    assert read.high - read.low <= unit // 100 + 2


@given(st.decimals(0, 10**6, places=4))
def test_more_digits_are_more_precise(value: Decimal) -> None:
    read = size(f"{value:.4f}", GIB)
    assert abs(Fraction(value) * GIB - read.bytes) < 1
    assert read.half <= GIB // 20_000 + 1


def test_what_logs_call_a_model_leads_to_the_catalogue() -> None:
    for text, name in (
        ("Qwen/Qwen3-235B-A22B-FP8", "Qwen3-235B-A22B"),
        ("/root/.cache/huggingface/hub/models--Qwen--Qwen3-8B/snapshots/2069b3fae1114555f3c0/", "Qwen3-8B"),
        ("/models/Qwen3.6-27B-UD-Q4_K_XL.gguf", "Qwen3.5-27B"),
        ("C:\\models\\gpt-oss-20b-mxfp4.gguf", "gpt-oss-20b"),
        ("LLM-Research/Meta-Llama-3___1-8B-Instruct", "Llama-3.1-8B"),
        ("/m/Qwen3-Next-80B-A3B-Instruct-UD-Q2_K_XL-00001-of-00002.gguf", "Qwen3-Next-80B-A3B"),
        ("ggml-org/gpt-oss-20b-GGUF:Q8_0", "gpt-oss-20b"),
        ("neuralmagic/Meta-Llama-3.1-70B-Instruct-quantized.w8a8", "Llama-3.1-70B"),
        ("nvidia/DeepSeek-R1-0528-FP4-v2", "DeepSeek-V3"),
    ):
        found = logged_model(text)
        assert found is not None, text
        assert found.name == name


@given(st.text(max_size=300))
def test_any_name_is_a_model_or_none(text: str) -> None:
    found = logged_model(text)
    assert found is None or found in all_models()


def test_stored_formats() -> None:
    assert stored_format("Qwen3.6-27B-AWQ-INT4") == "awq"
    assert stored_format("Q8_0") == "q8_0"
    assert stored_format("Q6_K") == "q6_k"
    assert stored_format("Q4_K - Medium") == "q4_k_m"
    assert stored_format("Qwen3-8B-UD-Q4_K_XL-00001-of-00002.gguf") == "ud-q4_k_xl"
    assert stored_format("MXFP4 MoE") == "mxfp4_moe"
    assert stored_format("Q9_K") is None
    assert stored_format("BF16") == "bf16"
    assert stored_format("nvidia/DeepSeek-R1-0528-FP4-v2") == "nvfp4"
    assert stored_format("Qwen2.5-72B-Instruct-GPTQ-Int8") == "gptq-int8"
    assert stored_format("Llama-3.1-8B-quantized.w8a16") == "w8a16"
    assert stored_format("RedHatAI/Qwen3-8B-FP8-dynamic") == "fp8-channel"
    assert stored_format("unsloth/Qwen3-8B-bnb-4bit") == "nf4"
    assert stored_format("Qwen3-8B-INT8") == "w8a8"
    assert stored_format("model-f16") == "fp16"


def test_what_is_no_log_says_what_was_looked_for() -> None:
    with pytest.raises(InputError) as caught:
        told("nothing of the kind\n" * 100)
    assert str(caught.value) == (
        "log: no line of a server's start is in it; looked for 'Available KV cache memory' and 'GPU KV cache size' of "
        "vLLM, 'KV buffer size' of llama.cpp, 'KV Cache is allocated' of SGLang, 'for max tokens in paged KV cache' "
        "and 'TensorRT-LLM version' of TensorRT-LLM"
    )


SGLANG = "[2026-09-22 19:53:22] "


@pytest.mark.parametrize(
    ("line", "counts", "options"),
    [
        (
            f"{SGLANG}max_total_num_tokens=330323, max_running_requests=0.0, context_len=1e9",
            {"kv_cache_tokens": 330_323},
            {},
        ),
        (
            f"{SGLANG}server_args=ServerArgs(model_path='m', tp_size=0.0, page_size=64, mem_fraction_static=none)",
            {},
            {"block_size": "64"},
        ),
        (
            f"{P}non-default args: {{'max_model_len': 3.5, 'max_num_seqs': 8, 'gpu_memory_utilization': x}}",
            {},
            {"max_seqs": "8"},
        ),
        (f"{P}GPU KV cache size: 1,,2 tokens\n{P}# GPU blocks: 1,381", {"blocks": 1381}, {}),
        ("llama_context: n_ctx = auto\nllama_context: n_ubatch = 512", {}, {"ubatch": "512"}),
        ("llama-server -m m.gguf -c 1e5 -ub 256 -np x", {}, {"ubatch": "256"}),
    ],
)
def test_a_number_that_cannot_be_read_is_as_if_it_were_not_there(
    line: str, counts: dict[str, int], options: dict[str, str]
) -> None:
    log = told(line)
    assert (log.counts, log.options) == (counts, options)


READERS = [part(known.name, "log").READER for known in KNOWN]


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.engine)
@given(data=st.data())
def test_whatever_a_pattern_matches_can_be_taken(reader: LogReader, data: DataObject) -> None:
    gathered = Gathered()
    for line in data.draw(st.lists(st.sampled_from(reader.lines), min_size=1, max_size=6)):
        match = line.pattern.search(data.draw(st.from_regex(line.pattern, fullmatch=True)))
        line.take(gathered, present(match), data.draw(st.sampled_from(["", "TP0"])))
    reader.settle(gathered)
    log = gathered.log(reader.engine, reader.expected)
    assert all(size.low <= size.high for by_rank in log.sizes.values() for size in by_rank.values())
    assert all(count >= 0 for count in log.counts.values())


ARGUMENTS = (
    *("tensor_parallel_size", "max_model_len", "gpu_memory_utilization", "block_size", "num_speculative_tokens"),
    *("tp_size", "context_length", "page_size", "mem_fraction_static", "context_len", "max_running_requests"),
    *("n_ctx", "n_ubatch", "n_seq_max", "n_rs_seq", "ctx_size", "parallel", "ubatch_size"),
)
VALUES = ("0", "0.0", "-1", "1e9", "nan", "auto", "None", "True", "16,32", "٣", "9" * 18, "''", "x")


@pytest.mark.parametrize("value", VALUES)
def test_arguments_of_any_value_can_be_taken(value: str) -> None:
    for name in ARGUMENTS:
        for line in (
            f"{SGLANG}server_args=ServerArgs({name}={value})",
            f"{SGLANG}max_total_num_tokens=1, {name}={value}",
            f"{P}LLM engine (v0.11.0) with config: {name}={value}",
            f"{P}non-default args: {{'{name}': {value}}}",
            f"vllm serve m --{name.replace('_', '-')} {value}",
            f"python -m sglang.launch_server --{name.replace('_', '-')} {value}",
            f"llama-server --{name.replace('_', '-')} {value}",
            f"llama_context: {name} = {value}\nbuild: 6123 (abcdef12)",
        ):
            log = told(line)
            numbers = {key: text for key, text in log.options.items() if key not in ("gpu_memory_utilization", "fa")}
            assert all(str(text).isdecimal() and str(text).isascii() for text in numbers.values()), line
