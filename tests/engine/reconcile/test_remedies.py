"""What a refused server needs: flags of its own, ranked, each of them planned and found to start."""

from __future__ import annotations

import re
from io import BytesIO

import pytest

from kvtui.engine.planning.serve import serve
from kvtui.engine.reconcile.read_log import read_log
from kvtui.engine.reconcile.reconcile import Reconciliation, reconcile
from kvtui.engine.scenario.values import to_values
from tests.paths import LOGS
from tests.present import present

HYBRID = "Qwen/Qwen3.6-27B-FP8"
REFUSED = (
    "ValueError: To serve at least one request with the model's max seq len (131072), 8.18 GiB KV cache is needed, "
    "which is larger than the available KV cache memory (7.04 GiB)"
)
LONGEST = ". Based on the available memory, the estimated maximum model length is 112896."


def of(*lines: str, version: str = "0.26.0", **told: str | bool) -> Reconciliation:
    start = f"vLLM API server version {version}\n"
    return reconcile(read_log(BytesIO((start + "\n".join(lines)).encode())), told)


def arguments(model: str, **given: object) -> str:
    return f"non-default args: { ({'model': model, **given})!r}"


def hybrid(*more: str, **given: object) -> Reconciliation:
    """A 27B hybrid on an L40S whose context is too long by a seventh."""
    given = {"max_model_len": 131_072, "gpu_memory_utilization": 0.86} | given
    loaded = "Model loading took 28.51 GiB memory", "Estimated CUDA graph memory: 1.11 GiB total"
    return of(arguments(HYBRID, **given), *loaded, "Available KV cache memory: 7.04 GiB", *more, gpu="L40S")


def flags(found: Reconciliation) -> list[str]:
    return [remedy.flags for remedy in found.remedies]


def test_a_context_that_is_too_long() -> None:
    assert flags(hybrid(REFUSED + LONGEST, max_num_seqs=16)) == [
        "--max-model-len 112896",
        "--gpu-memory-utilization 0.89",
        "--kv-cache-dtype fp8",
        "--tensor-parallel-size 2",
        "",
    ]


def test_without_the_engines_own_estimate_the_context_is_the_plans() -> None:
    first = flags(hybrid(REFUSED, max_num_seqs=16))[0]
    assert re.fullmatch(r"--max-model-len 112\d{3}", first)
    assert int(first.split()[1]) % 16 == 0


def test_what_would_be_refused_next_is_told_at_once() -> None:
    """256 sequences by default are more than the slots of recurrent state."""
    assert flags(hybrid(REFUSED + LONGEST))[0] == "--max-model-len 112896 --max-num-seqs 147"


@pytest.mark.parametrize("model", ["Qwen/Qwen3-8B", "meta-llama/Llama-3.1-8B-Instruct", "google/gemma-3-12b-it"])
@pytest.mark.parametrize("pool", ["0.40", "2.40", "5.00"])
def test_every_remedy_starts(model: str, pool: str) -> None:
    needs = "max seq len (131072), 18.18 GiB KV cache is needed, which is larger than the available KV cache memory"
    error = f"{needs} ({pool} GiB)"
    lines = arguments(model, max_model_len=131_072), f"Available KV cache memory: {pool} GiB"
    found = of(*lines, f"To serve at least one request with the model's {error}", gpu="RTX 4090", version="0.11.0")
    assert found.remedies
    for remedy in found.remedies:
        served = present(serve(remedy.scenario))
        assert served.fits
        assert not served.refusals
        assert served.pool_bytes == remedy.scenario.kv_pool
    assert [remedy.burden for remedy in found.remedies] == sorted(remedy.burden for remedy in found.remedies)
    assert len(set(flags(found))) >= len(found.remedies) - 1


def test_less_than_nothing_left() -> None:
    """The weights and the rest beside the cache are more than was asked for: no context is short enough."""
    loaded = "Model loading took 22.00 GiB memory", "Available KV cache memory: -2.14 GiB"
    error = "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`"
    found = of(arguments("Qwen/Qwen3-8B"), *loaded, error, gpu="RTX 4090")
    pool = next(row for row in found.rows if row.id == "pool")
    assert isinstance(pool.observed, int)
    assert round(pool.observed / 2**30, 2) == -2.14
    assert not any(flag.startswith("--max-model-len") for flag in flags(found))
    assert any("--tensor-parallel-size" in flag for flag in flags(found))


def test_a_device_that_others_use() -> None:
    error = (
        "Free memory on device cuda:0 (60.2/79.19 GiB) on startup is less than desired GPU memory utilization (0.92, "
        "72.85 GiB). Decrease GPU memory utilization or reduce GPU memory used by other processes."
    )
    found = of(arguments("Qwen/Qwen3-8B", max_model_len=32_768), error)
    assert flags(found) == ["--gpu-memory-utilization 0.76"]


def test_more_sequences_than_slots() -> None:
    error = "ValueError: max_num_seqs (1024) exceeds available Mamba cache blocks (939). Each decode sequence requires"
    lines = (
        arguments("Qwen/Qwen3.8-27B-FP8", gpu_memory_utilization=0.95),
        "Available KV cache memory: 44.95 GiB",
        error,
    )
    assert flags(of(*lines, gpu="RTX PRO 6000 Blackwell")) == ["--max-num-seqs 939"]


def test_a_context_that_the_model_was_not_made_for() -> None:
    error = (
        "ValueError: User-specified max_model_len (131072) is greater than the derived max_model_len "
        "(max_position_embeddings=40960 or model_max_length=None in model's config.json)."
    )
    assert flags(of(arguments("Qwen/Qwen3-8B", max_model_len=131_072), error, gpu="H100 SXM")) == [
        "--max-model-len 40960"
    ]


def test_no_more_of_the_device_than_was_free() -> None:
    free = "worker init memory snapshot: torch_peak=0.0GiB, free_memory=38.90GiB, total_memory=44.42GiB"
    assert not any("utilization" in flag for flag in flags(hybrid(free, REFUSED + LONGEST, max_num_seqs=16)))


def test_a_cache_of_a_given_size_is_given_more() -> None:
    """Nothing else but its own size, the context and the format can help it."""
    lines = (
        arguments(HYBRID, max_model_len=131_072, max_num_seqs=16, kv_cache_memory_bytes=7_559_142_440),
        REFUSED + LONGEST,
    )
    assert flags(of(*lines)) == [
        "--max-model-len 112896",
        "--kv-cache-memory-bytes 8786018304",
        "--kv-cache-dtype fp8",
    ]


@pytest.mark.parametrize("name", sorted(path.name for path in LOGS.iterdir()))
def test_a_server_that_started_needs_nothing(name: str) -> None:
    with (LOGS / name).open("rb") as stream:
        found = reconcile(read_log(stream), {})
    assert bool(found.remedies) == ("error" in found.log.words)


def test_a_remedys_scenario_has_a_command_line_of_its_own() -> None:
    for remedy in hybrid(REFUSED + LONGEST).remedies:
        assert "profile" not in to_values(remedy.scenario)
