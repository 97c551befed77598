"""A log beside its plan: every sample log's figures are predicted, whatever is told overrides, and nothing escapes."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.units import GIB
from kvtui.engine.planning.parts import budget
from kvtui.engine.planning.plan import plan
from kvtui.engine.planning.serve import serve, tightest_budget
from kvtui.engine.reconcile.read_log import read_log
from kvtui.engine.reconcile.reconcile import Reconciliation, overheads_of, reconcile
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import command_line, scenario_from, to_values
from kvtui.engine.serving.llamacpp import log as llamacpp
from kvtui.engine.serving.sglang import log as sglang
from kvtui.engine.serving.vllm import log as vllm
from kvtui.engine.sources.machines import save_profile
from tests.paths import LOGS
from tests.present import present

NAMES = tuple(sorted(path.name for path in LOGS.iterdir()))
MTP = "vllm-0.22-qwen3.6-27b-fp8-tp2-mtp.log"
DEBUG = "vllm-0.14-llama-3.1-8b-h100-debug.log"


def of_text(text: str, **told: str | bool) -> Reconciliation:
    return reconcile(read_log(BytesIO(text.encode())), told)


def of(name: str, **told: str | bool) -> Reconciliation:
    """The sample log of that name beside its plan."""
    with (LOGS / name).open("rb") as stream:
        return reconcile(read_log(stream), told)


def figures(found: Reconciliation, *verdicts: str) -> dict[str, tuple[object, object]]:
    """Predicted and observed values of the rows with one of ``verdicts``, by id."""
    return {row.id: (row.predicted, row.observed) for row in found.rows if row.verdict in verdicts}


@pytest.mark.parametrize("name", NAMES)
def test_the_plan_agrees_with_every_sample(name: str) -> None:
    found = of(name)
    assert found.agrees
    assert figures(found, "agrees")


def test_a_cache_that_cannot_stand_beside_the_weights_is_a_contradiction() -> None:
    """The server ran on an H200: 58.33 GiB of weights and 64.68 GiB of cache."""
    log = "vllm-0.25-gemma-4-31b-h200.jsonl.log"
    wrong = [note for note in of(log, gpu="H100 SXM").notes if "are more than" in note]
    assert len(wrong) == 1
    assert wrong[0].startswith(
        "weights of 58.33 GiB and a cache of 64.68 GiB are more than the 79.65 GiB of the H100 SXM"
    )
    assert not any("are more than" in note for note in of(log, gpu="H200 SXM").notes)


@pytest.mark.parametrize(("version", "said"), [("0.24.0", True), ("0.19.0", False)])
def test_a_start_that_compiled_leaves_less_than_a_later_one(version: str, said: bool) -> None:
    """Its log says that graphs were compiled, and not loaded from a cache."""
    text = (
        f"INFO [core.py:123] Initializing a V1 LLM engine (v{version}) with config: model='Qwen/Qwen3-8B'\n"
        "INFO [backends.py:391] Compiling a graph for compile range (1, 2048) takes 13.81 s\n"
        "INFO [gpu_worker.py:440] Available KV cache memory: 4.96 GiB\n"
    )
    found = of_text(text, gpu="RTX 4090")
    assert any("compiled while it measured" in note for note in found.notes) == said


@pytest.mark.parametrize("name", NAMES)
def test_a_running_servers_cache_is_not_called_into_question(name: str) -> None:
    """Neither by the comparison nor by the plan of the same start, where the log tells the device."""
    found = of(name)
    assert not any("are more than" in note for note in found.notes)
    assert found.known_device
    pool = None if found.serving.pool_is_estimate else found.serving.pool_bytes
    assert not plan(found.scenario._replace(kv_pool=pool)).crowded


def test_a_hybrid_with_mtp_is_predicted_to_the_token() -> None:
    """L2 of the witness lines: 205 blocks of 1,600 tokens, 179 per request."""
    exact = figures(of(MTP), "agrees")
    assert exact["block_size"] == (1600, 1600)
    assert exact["padding_layers"] == (3, 3)
    assert exact["blocks"] == (205, 205)
    assert exact["kv_cache_tokens"] == (300_220, 300_220)
    assert exact["max_concurrency"] == (Fraction(205, 179), Fraction("1.15"))


def test_windows_are_predicted_to_the_token() -> None:
    """L13: gemma-4-31B, 26,492 blocks and 11,077 per request."""
    exact = figures(of("vllm-0.25-gemma-4-31b-h200.jsonl.log"), "agrees")
    assert exact["kv_cache_tokens"] == (626_949, 626_949)
    assert exact["max_concurrency"] == (Fraction(26_492, 11_077), Fraction("2.39"))


def test_a_refusal_is_predicted() -> None:
    """L23: Qwen3-8B needs 5.625 GiB for 40,960 tokens, and 2.40 GiB hold 17,472."""
    exact = figures(of("vllm-0.11-qwen3-8b-too-small.log"), "agrees")
    assert exact["needed"][0] == 5.625 * GIB
    assert exact["max_context"] == (17_472, 17_472)


def test_llamacpp_is_predicted_to_the_hundredth_of_a_mebibyte() -> None:
    """C1b and C6: windowed caches of August 2025, and four slots of recurrent state."""
    windowed = figures(of("llama.cpp-b6123-gpt-oss-20b.log"), "agrees")
    assert windowed["swa_kv_cells"] == (640, 640)
    assert windowed["swa_kv"][0] == 15 * 2**20
    recurrent = figures(of("llama.cpp-b9265-qwen3.6-27b-2x3090.log"), "agrees")
    assert recurrent["kv"][0] == 4352 * 2**20
    assert (recurrent["r"][0], recurrent["s"][0]) == (22.5 * 2**20, 576 * 2**20)


def test_sglangs_pools_are_predicted_from_their_tokens() -> None:
    """S9 and S13."""
    hybrid = figures(of("sglang-qwen3.6-27b-fp8-h100.log"), "agrees")
    assert set(hybrid) == {"pool", "conv", "ssm", "kv_cache_tokens", "state_slots"}
    assert hybrid["kv_cache_tokens"] == (330_323, 330_323)
    dense = figures(of("sglang-qwen3-235b-fp8-tp4.log", gpu="H100 SXM"), "agrees")
    assert set(dense) == {"pool", "kv_cache_tokens"}


SGLANG = "[2026-06-11 20:00:00] "
ARGUMENTS = "server_args=ServerArgs(model_path='Qwen/Qwen3.8-27B', context_length=None, kv_cache_dtype='auto', "


def test_sglang_is_told_what_its_log_says_it_was() -> None:
    """S3: without the radix cache there is one slot of state for each running request, and no more."""
    told = f"{SGLANG}{ARGUMENTS}mem_fraction_static=0.8, max_running_requests=32, disable_radix_cache=True)\n"
    pool = "KV Cache is allocated. dtype: torch.bfloat16, #tokens: 535124, K size: 16.33 GB, V size: 16.33 GB\n"
    found = of_text(f"{told}{SGLANG}{pool}{SGLANG}max_total_num_tokens=535124, context_len=262144", gpu="H100 SXM")
    assert found.scenario.serving.prefix_caching is False
    assert found.scenario.serving.max_seqs == 32
    assert figures(found, "agrees")["pool"][1] == present(found.log.buffers[0].size).bytes
    assert found.serving.state_slots == 32


def test_sglangs_options_reach_the_scenario() -> None:
    told = (
        f"{ARGUMENTS}mem_fraction_static=0.8, max_total_tokens=200000, max_mamba_cache_size=64, page_size=1, "
        "mamba_full_memory_ratio=0.5, swa_full_tokens_ratio=0.6, disable_cuda_graph=True)"
    )
    serving = of_text(f"{SGLANG}{told}", gpu="H100 SXM").scenario.serving
    assert (serving.max_total_tokens, serving.max_mamba_cache_size, serving.eager) == (200_000, 64, True)
    assert (float(serving.mamba_full_memory_ratio or 0), float(serving.swa_full_tokens_ratio or 0)) == (0.5, 0.6)


def test_attention_in_data_parallel_divides_the_ranks() -> None:
    """Eight ranks with eight replicas of the attention are eight devices, not 64."""
    told = (
        "model_path='deepseek-ai/DeepSeek-V3', tp_size=8, dp_size=8, enable_dp_attention=True, mem_fraction_static=0.9"
    )
    layout = of_text(f"{SGLANG}server_args=ServerArgs({told})", gpu="H200 SXM").scenario.layout
    assert (layout.tp, layout.dp, layout.devices) == (1, 8, 8)


def test_a_windowed_pool_without_its_line_is_not_taken_for_the_full_one() -> None:
    """SGLang allocates the windowed layers' pool first."""
    told = "server_args=ServerArgs(model_path='openai/gpt-oss-20b', mem_fraction_static=0.8)"
    first = "KV Cache is allocated. #tokens: 800000, K size: 9.16 GB, V size: 9.16 GB"
    second = "KV Cache is allocated. #tokens: 1000000, K size: 11.44 GB, V size: 11.44 GB"
    lines = "\n".join(f"{SGLANG}{line}" for line in (told, first, second))
    exact = figures(of_text(lines, gpu="H100 SXM"), "agrees")
    assert {"pool", "swa_pool"} <= set(exact)
    labelled = lines.replace(first, f"SWA {first}").replace(second, f"Full {second}")
    assert {"pool", "swa_pool"} <= set(figures(of_text(labelled, gpu="H100 SXM"), "agrees"))


def test_a_wrong_premise_differs_and_says_what_it_may_mean() -> None:
    """Told that the cache is 16-bit, the planner finds half the tokens."""
    found = of(MTP, kv_dtype="bf16")
    assert not found.agrees
    assert {"block_size", "kv_cache_tokens"} <= set(figures(found, "differs"))
    assert all(row.meaning for row in found.rows if row.verdict == "differs")
    without = of(MTP, speculative_tokens="1")
    assert {"block_size", "kv_cache_tokens"} <= set(figures(without, "differs"))


def test_what_is_told_overrides_the_log() -> None:
    told = {"model": "Qwen3-8B", "tp": "1", "context": "8192", "kv_dtype": "bf16", "speculative_tokens": "1"}
    with pytest.raises(InputError, match="no multi-token-prediction"):
        of(MTP, **told)
    del told["speculative_tokens"]
    scenario = of(MTP, **told).scenario
    assert (scenario.model.name, scenario.layout.tp, scenario.context) == ("Qwen3-8B", 1, 8192)
    assert of(MTP, engine="vllm@0.20").scenario.serving.version == "0.20"
    assert of(MTP, gpus="4").scenario.layout.tp == 4
    assert of(MTP, kv_pool="1GiB").scenario.kv_pool == GIB


def test_a_log_of_another_engine_is_refused() -> None:
    with pytest.raises(InputError, match=r"is one of vllm, not of llama\.cpp"):
        of(MTP, engine="llama.cpp")


def test_a_model_that_no_catalogue_knows_is_asked_for() -> None:
    line = "INFO x non-default args: {'model': '/models/Nobody-7B'}\nAvailable KV cache memory: 5.33 GiB"
    with pytest.raises(InputError, match="--model"):
        of_text(line)
    assert of_text(line, model="Llama-3.1-8B").scenario.model.name == "Llama-3.1-8B"
    with pytest.raises(UnknownName):
        of_text(line, model="Lama")
    with pytest.raises(InputError, match="does not name its model"):
        of_text("Available KV cache memory: 5.33 GiB")


def test_a_path_in_a_log_is_never_opened(tmp_path: Path) -> None:
    """A log may name any file of this machine: it is only looked up in the catalogue."""
    secret = tmp_path / "Llama-3.1-8B.gguf"
    secret.write_bytes(b"GGUF not a model")
    found = of_text(f"INFO x non-default args: {{'model': '{secret}'}}\nAvailable KV cache memory: 5.33 GiB")
    assert found.scenario.model.source != str(secret)
    assert found.scenario.model.name == "Llama-3.1-8B"


@pytest.mark.parametrize(
    ("version", "assumed", "said"),
    [("0.7.3", "0.8", "oldest"), ("9.9.9", "", "newest"), ("0.10.2.dev378+g4d7fe40fc", "0.10.2.dev378+g4d7fe40fc", "")],
)
def test_releases_that_are_not_known(version: str, assumed: str, said: str) -> None:
    log = f"vLLM API server version {version}\nnon-default args: {{'model': 'Qwen/Qwen3-8B'}}\n"
    found = of_text(log + "Available KV cache memory: 5.33 GiB")
    assert found.scenario.serving.version == assumed
    assert said in " ".join(found.notes)


def test_the_device_is_named_or_found_by_its_memory() -> None:
    named = of("llama.cpp-b6123-gpt-oss-20b.log")
    assert (named.scenario.device.name, named.known_device) == ("RTX 4090", True)
    measured = of(DEBUG)
    assert measured.known_device
    assert abs(measured.scenario.device.usable_bytes - 79.19 * GIB) < GIB
    silent = of(MTP)
    assert abs(silent.scenario.device.allocatable_bytes - 23.56 * GIB) < GIB
    said = " ".join(silent.notes)
    assert "by its numbers it is one like the" in said
    assert "RTX 3090" in said
    nothing = of_text("non-default args: {'model': 'Qwen/Qwen3-8B'}\nAvailable KV cache memory: 5.33 GiB")
    assert not nothing.known_device
    assert "the log does not name the device: name it with --gpu" in nothing.notes


def test_printed_overheads_are_taken_as_they_are() -> None:
    measured = of(DEBUG).measured
    found = {key: round(getattr(measured, key) / GIB, 2) for key in ("weights", "activation", "graphs", "non_torch")}
    assert found == {"weights": 14.99, "activation": 1.2, "graphs": 0.53, "non_torch": 0.12}
    predicted, printed, *_ = figures(of(DEBUG), "agrees")["non_torch"]
    assert isinstance(predicted, int)
    assert isinstance(printed, int)
    assert round(predicted / GIB, 2) == round(printed / GIB, 2) == 0.12


def test_overheads_that_are_not_printed_are_solved() -> None:
    """Requested − available − weights − graphs is what activations and memory outside of torch take together."""
    found = of(MTP, gpu="RTX 3090")
    measured, scenario = found.measured, found.scenario
    assert measured.activation is None
    prior = next(row.predicted for row in found.rows if row.id == "pool")
    assert prior != scenario.kv_pool
    parts = sum(map(present, (scenario.kv_pool, measured.weights, measured.graphs, measured.non_torch)))
    activation = budget(scenario) - parts
    assert 0 < activation < 2 * GIB
    assert "solved" in " ".join(found.notes)


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_profile_reproduces_the_pool_it_came_from(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without --kv-pool, the same start is planned to the log's own cache, to the precision of its digits."""
    monkeypatch.setenv("KVTUI_CONFIG_DIR", str(tmp_path))
    found = of(name)
    save_profile(overheads_of(found.scenario, found.measured, "rig"))
    values = {**to_values(found.scenario), "profile": "rig"}
    values.pop("kv_pool", None)
    scenario = scenario_from(values)
    served, printed = present(serve(scenario)), found.log.least("pool")
    if printed is not None:
        assert printed.low <= served.pool_bytes <= printed.high
        prior = present(serve(scenario_from({**values, "profile": None}))).pool_bytes
        assert not printed.low <= prior <= printed.high
    elif found.log.engine == "sglang":
        assert served.kv_cache_tokens == found.log.counts["kv_cache_tokens"]
    else:
        assert served.buffers == found.serving.buffers
    assert "--profile rig" in command_line(scenario)
    assert scenario_from(to_values(scenario)).measured == scenario.measured


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("vllm") and "small" not in name])
@given(
    device=st.sampled_from(["L40S", "H100 SXM", "H200 SXM", "B200", "RTX 5090"]),
    pool=st.integers(1, 120 * 100),
    utilization=st.sampled_from(["0.8", "0.9", "0.92", "0.97"]),
)
def test_any_pool_of_a_log_is_reproduced(name: str, device: str, pool: int, utilization: str) -> None:
    """Whatever the device, the share of it and the cache that is logged, as long as the device can hold it."""
    text = re.sub(r"(cache memory: )[0-9.]+", rf"\g<1>{pool / 100}", "\n".join(LINES[name]))
    found = of_text(text, gpu=device, gpu_memory_utilization=utilization)
    kept = overheads_of(found.scenario, found.measured, "rig")
    scenario = found.scenario._replace(kv_pool=None, serving=found.scenario.serving._replace(measured=kept))
    planned, printed = budgeted(scenario), present(found.log.least("pool"))
    possible = budget(scenario) - present(kept.weights) - (kept.graphs or 0)
    assert printed.low <= planned <= printed.high or printed.bytes > possible


def test_a_profiles_weights_are_not_another_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KVTUI_CONFIG_DIR", str(tmp_path))
    found = of(DEBUG)
    save_profile(overheads_of(found.scenario, found.measured, "rig"))
    values = {**to_values(found.scenario), "profile": "rig"}
    assert present(scenario_from(values).measured).weights == found.measured.weights
    for other in ({"model": "Qwen3-8B"}, {"tp": "2"}, {"weight_dtype": "fp8"}):
        measured = present(scenario_from({**values, **other}).measured)
        assert (measured.weights, measured.activation) == (None, found.measured.activation)
    with pytest.raises(InputError, match="--engine vllm"):
        scenario_from({**values, "engine": "llama.cpp"})
    with pytest.raises(UnknownName, match="rig"):
        scenario_from({**values, "profile": "rgi"})


def test_drafters() -> None:
    engine = "vLLM API server version 0.20.0\n"
    args = "non-default args: {'model': 'meta-llama/Llama-3.1-8B-Instruct', 'speculative_config': {'method': '%s', "
    eagle = f"{engine}{args % 'eagle'}'num_speculative_tokens': 2}}}}\nAvailable KV cache memory: 51.63 GiB\n"
    found = of_text(eagle + "GPU KV cache size: 410,128 tokens\nUsing max model len 131072")
    assert figures(found, "agrees").keys() == {"kv_cache_tokens"}
    assert found.scenario.serving.draft_layers == 1
    ngram = f"{engine}{args % 'ngram'}'num_speculative_tokens': 2}}}}\nAvailable KV cache memory: 51.63 GiB\n"
    assert "ngram" in " ".join(of_text(ngram).notes)


def budgeted(scenario: Scenario) -> int:
    """The cache that the engine's budget leaves, below zero where something is missing."""
    return present(tightest_budget(scenario)).pool


def or_one_line(compare: Callable[[], Reconciliation]) -> Reconciliation | None:
    """What ``compare`` finds, or None when it refuses in one line."""
    try:
        return compare()
    except InputError as error:
        message = str(error)
    assert "\n" not in message
    return None


NUMBER = re.compile(r"[0-9][0-9.,]*|auto|None|bfloat16|fp8|q8_0")
VALUES = st.sampled_from(["0", "1", "-1", "99999999999999", "1e9", "nan", "262144", "0.0", "7", "3.5", "65536", "auto"])
MARKERS = [line.marker for reader in (vllm, llamacpp, sglang) for line in reader.LINES]
LINES = {
    name: [
        line
        for line in (LOGS / name).read_text(encoding="utf-8").splitlines()
        if any(marker in line for marker in MARKERS)
    ]
    for name in NAMES
}


@given(name=st.sampled_from(NAMES), data=st.data())
def test_numbers_of_any_size_are_an_answer_or_one_line(name: str, data: DataObject) -> None:
    """A log whose numbers are exchanged for others is still compared, or refused in one line."""
    lines = list(LINES[name])
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(lines) - 1))
        numbers = list(NUMBER.finditer(lines[at])) or [present(re.match("", lines[at]))]
        chosen = data.draw(st.sampled_from(numbers))
        lines[at] = lines[at][: chosen.start()] + data.draw(VALUES) + lines[at][chosen.end() :]
    found = or_one_line(lambda: of_text("\n".join(lines)))
    rows = found.rows if found else ()
    assert all(row.observed is not None for row in rows)
    assert all((row.predicted is None) == (row.verdict == "unknown") for row in rows)
    assert all(row.meaning for row in rows if row.verdict == "differs")


@given(
    name=st.sampled_from(NAMES),
    key=st.sampled_from(["tp", "pp", "dp", "context", "block_size", "max_seqs", "kv_dtype", "ubatch", "parallel"]),
    value=VALUES,
)
def test_options_of_any_value_are_an_answer_or_one_line(name: str, key: str, value: str) -> None:
    or_one_line(lambda: of(name, **{key: value}))
