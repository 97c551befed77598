"""Every sample log read end to end, and cut off, shuffled and mixed with noise."""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies._internal.random import ArtificialRandom

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import GIB, MIB
from kvtui.engine.bootlog.observed import BootLog
from kvtui.engine.reconcile.read_log import read_log
from tests.engine.reconcile.log_files import NAMES, read
from tests.paths import LOGS
from tests.present import present


def gib(log: BootLog, name: str) -> dict[str, float]:
    """Sizes by rank as they are printed, in GiB."""
    return {rank: round(size.bytes / GIB, 4) for rank, size in log.sizes[name].items()}


def test_vllm_of_two_ranks_with_mtp() -> None:
    log = read("vllm-0.22-qwen3.6-27b-fp8-tp2-mtp.log")
    assert (log.engine, log.words["version"], log.words["model"]) == ("vllm", "0.22.0", "/models/Qwen3.6-27B-FP8")
    assert log.options == {
        "tp": "2",
        "pp": "1",
        "dp": "1",
        "context": "262144",
        "gpu_memory_utilization": "0.9200",
        "kv_dtype": "fp8",
        "weight_dtype": "fp8",
        "max_batched_tokens": "8192",
        "max_seqs": "4",
        "prefix_caching": True,
        "speculative_tokens": "3",
    }
    assert gib(log, "weights") == {"Worker_TP0": 14.17, "Worker_TP1": 14.17}
    assert gib(log, "pool") == {"Worker_TP0": 5.33}
    assert gib(log, "graphs_estimated") == {"Worker_TP0": 0.13, "Worker_TP1": 0.13}
    assert gib(log, "graphs") == {"Worker_TP0": 0.15, "Worker_TP1": 0.15}
    assert log.counts == {"block_size": 1600, "padding_layers": 3, "kv_cache_tokens": 300_220, "blocks": 205}
    assert log.ratios == {"state_padding_percent": Fraction("0.25"), "max_concurrency": Fraction("1.15")}
    assert log.missing == ()


def test_vllm_with_the_profilers_own_lines() -> None:
    log = read("vllm-0.14-llama-3.1-8b-h100-debug.log")
    assert log.words["version"] == "0.14.1"
    assert log.words["model"] == "meta-llama/Llama-3.1-8B-Instruct"
    sizes = {name: max(gib(log, name).values()) for name in log.sizes}
    assert sizes == {
        "weights": 14.99,
        "activation": 1.2,
        "non_torch": 0.12,
        "graphs": 0.53,
        "pool": 54.96,
        "requested": 71.27,
        "free_before": 78.68,
        "total": 79.19,
    }
    assert log.counts == {"kv_cache_tokens": 450_224, "blocks": 28_139}
    assert log.options["max_seqs"] == "256"


def test_vllm_that_refuses_to_start() -> None:
    log = read("vllm-0.11-qwen3-8b-too-small.log")
    assert log.words["error"].startswith("the model's max seq len (40960) needs 5.62 GiB")
    assert max(gib(log, "needed").values()) == 5.62
    assert set(gib(log, "pool").values()) == {2.4}
    assert log.counts == {"max_context": 17_472}
    assert gib(log, "weights") == {"EngineCore_DP0": 15.2683}
    assert any("GPU KV cache size" in what for what in log.missing)


def test_vllm_in_json_lines_with_one_line_of_capacity() -> None:
    log = read("vllm-0.25-gemma-4-31b-h200.jsonl.log")
    assert log.words["version"] == "0.25.1"
    assert log.counts == {"kv_cache_tokens": 626_949}
    assert log.ratios == {"max_concurrency": Fraction("2.39")}
    assert gib(log, "pool") == {"EngineCore pid=170": 64.68}


def test_vllm_takes_the_least_pool_of_its_ranks() -> None:
    log = read("vllm-0.9-qwen3-235b-fp8-tp4.log")
    assert len(log.sizes["pool"]) == 4
    assert round(present(log.least("pool")).bytes / GIB, 2) == 8.29
    assert round(present(log.most("weights")).bytes / GIB, 4) == 54.9374
    assert log.options["tp"] == "4"


def test_llamacpp_with_windowed_layers() -> None:
    log = read("llama.cpp-b6123-gpt-oss-20b.log")
    assert (log.engine, log.words["version"]) == ("llama.cpp", "b6123")
    found = [(b.kind, b.cells, b.layers, round(b.size.bytes / MIB, 2)) for b in log.buffers]
    assert found == [("KV", 4096, 12, 96.0), ("SWA KV", 640, 12, 15.0)]
    assert log.options == {"context": "4096", "ubatch": "512", "fa": False, "kv_dtype": "fp16", "parallel": "1"}
    assert {device: size.bytes / MIB for device, size in log.sizes["weights"].items()} == pytest.approx(
        {"CUDA0": 10_949.38, "CPU_Mapped": 586.82}, abs=1e-5
    )
    assert log.words["device"] == "NVIDIA GeForce RTX 4090"
    assert log.missing == ()


def test_llamacpp_with_recurrent_state_on_two_devices() -> None:
    log = read("llama.cpp-b9265-qwen3.6-27b-2x3090.log")
    found = [(b.kind, b.cells, round(b.size.bytes / MIB, 2)) for b in log.buffers]
    assert found == [("KV", 131_072, 4352.0), ("R", 4, 22.5), ("S", 4, 576.0)]
    assert log.options["pp"] == "2"
    assert "parallel" not in log.options
    assert log.counts["n_seq_max"] == 4
    assert set(log.sizes["KV buffers"]) == {"CUDA0", "CUDA1"}


def test_sglang_with_recurrent_state() -> None:
    log = read("sglang-qwen3.6-27b-fp8-h100.log")
    assert log.engine == "sglang"
    found = [(b.kind, b.cells, round(b.size.bytes / GIB, 2)) for b in log.buffers]
    assert found == [("conv", 124, 0.34), ("ssm", 124, 17.58), ("pool", 330_323, 20.16)]
    assert log.counts == {"state_slots": 124, "kv_cache_tokens": 330_323, "max_running_requests": 24}
    assert log.options["context"] == "262144"
    assert log.options["gpu_memory_utilization"] == "0.8525"
    assert gib(log, "free_before") == {"": 78.58}
    assert gib(log, "graphs") == {"": 0.48}


def test_sglang_of_four_ranks() -> None:
    log = read("sglang-qwen3-235b-fp8-tp4.log")
    assert [b.rank for b in log.buffers] == ["TP0", "TP3", "TP1", "TP2"]
    assert round(present(log.least("free_after_pool")).bytes / GIB, 2) == 4.55
    assert log.options["tp"] == "4"


@pytest.mark.parametrize("name", NAMES)
def test_a_log_that_is_cut_off_says_what_it_says(name: str) -> None:
    """Cut at every tenth: no exception but for a log without a line yet, and never less than a shorter one."""
    data = (LOGS / name).read_bytes()
    logs = [_read_if_any(data[: len(data) * tenth // 10]) for tenth in range(1, 11)]
    readable = [log for log in logs if log is not None]
    assert readable
    assert logs[-len(readable) :] == readable
    assert all(_told_by(short) <= _told_by(long) for short, long in pairwise(readable))
    assert all(set(long.missing) <= set(short.missing) for short, long in pairwise(readable))


def _told_by(log: BootLog) -> set[str]:
    kinds = {buffer.kind for buffer in log.buffers}
    return {*log.options, *log.sizes, *log.counts, *log.ratios, *log.words, *kinds}


def _read_if_any(data: bytes) -> BootLog | None:
    try:
        return read_log(BytesIO(data))
    except InputError:
        return None


LINES = {name: (LOGS / name).read_bytes().splitlines(keepends=True) for name in NAMES}


@given(name=st.sampled_from(NAMES), order=st.randoms(use_true_random=False), noise=st.lists(st.binary(max_size=80)))
def test_lines_in_any_order_with_any_noise_do_no_harm(name: str, order: ArtificialRandom, noise: list[bytes]) -> None:
    lines = [*LINES[name], *(piece + b"\n" for piece in noise)]
    order.shuffle(lines)
    log = read_log(BytesIO(b"".join(lines)))
    assert name.startswith(log.engine)


@given(st.binary(max_size=4000))
def test_bytes_that_are_no_log_are_refused(data: bytes) -> None:
    with pytest.raises(InputError, match="looked for"):
        read_log(BytesIO(data))


WORDS = st.sampled_from(
    sorted({word for lines in LINES.values() for line in lines for word in line.decode().split()}, key=len)[-1500:]
)


@given(st.lists(st.lists(WORDS, max_size=12).map(" ".join), max_size=30), st.text(max_size=20))
def test_words_of_logs_in_a_jumble_do_no_harm(lines: list[str], anything: str) -> None:
    """Whatever is read out of them is harmless to show, and of a size that can be."""
    text = "\n".join(
        [*lines, "build: 6123 (ab)", f"loading model 'a{anything}b'", f"Resolved architecture: {anything}"]
    )
    log = read_log(BytesIO(text.encode("utf-8", "replace")))
    assert all(word.isprintable() and len(word) <= 400 for word in log.words.values())
    assert all(0 <= size.low <= size.high for ranks in log.sizes.values() for size in ranks.values())
    assert all(count >= 0 for count in log.counts.values())
