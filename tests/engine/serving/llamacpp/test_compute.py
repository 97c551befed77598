"""llama.cpp's compute buffers: recorded starts of a real one, boot logs of devices, and the allocator's own rules."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.units import MIB
from kvtui.engine.device.catalogue import find_device
from kvtui.engine.model.caches import Attention, Latent
from kvtui.engine.model.catalogue import all_models, find_model
from kvtui.engine.model.formats import FORMATS
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.planning.stages import stages
from kvtui.engine.scenario.scenario import Layout, Scenario, ServingOptions
from kvtui.engine.serving.llamacpp.budget import budget, compute_bytes, computes, own_cells
from kvtui.engine.serving.llamacpp.buffers import split
from kvtui.engine.serving.llamacpp.compute import ServerSetup, device_compute, device_host_compute, host_compute
from kvtui.engine.serving.llamacpp.graph import Graph, Node, fresh, onto, view
from kvtui.engine.serving.llamacpp.graph import given as an_input
from kvtui.engine.serving.llamacpp.releases import build_of
from kvtui.engine.serving.llamacpp.reserved import reserved
from kvtui.engine.sources.gguf.model import read_gguf
from tests.engine.serving.llamacpp.recorded import DEVICES, LoggedDevice, device_start, model_of, rows, start_of
from tests.nightly import sampled
from tests.recording.llamacpp_starts import write_arcee, write_gemma4, write_model

ROWS = rows()
PRINTED = 0.02


def test_recorded_starts_are_of_many_kinds() -> None:
    families = Counter(row["shape"]["family"] for row in ROWS)
    assert len(ROWS) >= 300
    assert set(families) >= {
        "llama",
        "gemma3",
        "gpt-oss",
        "deepseek2",
        "mamba",
        "mamba2",
        "qwen3next",
        "lfm2",
        "nemotron_h",
    }
    assert not any("refused" in row for row in ROWS)


def test_compute_buffers_of_recorded_starts() -> None:
    """Within 5 % or 1 MiB, and 98 in a hundred to the printed digit."""
    apart = []
    for row in ROWS:
        predicted = host_compute(model_of(row["shape"]), start_of(row["start"])).size / MIB
        apart.append((abs(predicted - row["compute"][0]), row["compute"][0], row))
    beyond = [(error, logged, row) for error, logged, row in apart if error > max(1, 0.05 * logged)]
    assert len(beyond) <= len(apart) // 100
    assert max(error / logged for error, logged, _ in apart if error > 1) < 0.1
    assert sum(error <= PRINTED for error, _, _ in apart) >= 0.98 * len(apart)
    assert median(error for error, _, _ in apart) <= PRINTED


ONE_EACH = list({row["shape"]["family"]: row for row in ROWS if row["shape"]["layers"] < 12}.values())


@pytest.mark.parametrize("row", ONE_EACH, ids=lambda row: row["shape"]["family"])
def test_files_tell_enough(row: dict[str, Any], tmp_path: Path) -> None:
    """The same starts with the model read from its file."""
    path = tmp_path / "model.gguf"
    write_model(path, row["shape"])
    predicted = host_compute(read_gguf(path), start_of(row["start"])).size / MIB
    assert predicted == pytest.approx(row["compute"][0], rel=0.05, abs=1)


@pytest.mark.parametrize("row", ROWS[::3], ids=lambda row: row["shape"]["family"])
def test_caches_of_recorded_starts(row: dict[str, Any]) -> None:
    """Cells, layers, streams, K and V: each exact; latent entries have no V."""
    start, found = start_of(row["start"]), []
    cells = start.cells
    for cache, layers in model_of(row["shape"]).caches:
        match cache:
            case Attention(cap=cap):
                shared = cells.slots if cells.streams == 1 else 1
                number = cells.cells if cap is None else cells.windowed(cap, shared)
                k, v = start.k.row_bytes(cache.kv_heads, cache.k_dim), start.v.row_bytes(cache.kv_heads, cache.v_dim)
            case Latent():
                number, k, v = cells.cells, start.k.row_bytes(1, cache.rank + cache.rope), 0
            case _:
                continue
        count = number * cells.streams * layers
        found.append([number, layers, cells.streams, count * k / MIB, count * v / MIB])
    logged = [cache for cache in row["caches"] if cache[1]]
    assert [cache[:3] for cache in sorted(found)] == [cache[:3] for cache in sorted(logged)]
    for mine, theirs in zip(sorted(found), sorted(logged), strict=True):
        assert mine[3:] == pytest.approx(theirs[3:], abs=0.0051)


@pytest.mark.parametrize("logged", DEVICES, ids=lambda logged: f"{logged[0]} {logged[1]}")
def test_compute_buffers_of_devices(logged: LoggedDevice) -> None:
    started, mib = device_start(logged)
    assert compute_bytes(started) / MIB == pytest.approx(mib, rel=0.1)
    term = next(term for term in budget(started, stages(started)[0]).terms if term.id == "activation")
    assert term.low <= mib * MIB <= term.high <= 1.3 * term.low


def test_inputs_stand_in_host_memory() -> None:
    """A log of two RTX 3090 (b9265, a mask of 131,072 cells in F32): 276.03 MiB of CUDA_Host."""
    build = build_of("b9265")
    start = ServerSetup(split(131_072, 4, True, build, 512, False), FORMATS["q8_0"], FORMATS["q8_0"], True, build)
    assert device_host_compute(find_model("Qwen3.6-27B"), start).size / MIB == pytest.approx(276.03, abs=0.03)


def plain(context: int, ubatch: int, flash: bool, version: str = "") -> ServerSetup:
    build, half = build_of(version), FORMATS["fp16"]
    return ServerSetup(split(context, 1, False, build, ubatch, False), half, half, flash, build)


@pytest.mark.parametrize(
    ("context", "ubatch", "slots", "flash", "mib"),
    [
        (8192, 2048, 1, True, 430.12),
        (8192, 512, 4, True, 107.53),
        (32_768, 2048, 4, True, 532.12),
        (8192, 512, 1, False, 199.02),
    ],
)
def test_inputs_of_layers_are_kept_beside_them(
    tmp_path: Path, context: int, ubatch: int, slots: int, flash: bool, mib: float
) -> None:
    """Twelve layers of gemma-4-E4B's sizes, as b11549 printed it."""
    shape = {"layers": 12, "hidden": 2560, "ff": 10_240, "heads": 8, "kv_heads": 2, "head": 256}
    write_gemma4(tmp_path / "model.gguf", shape | {"window": 512, "shared": 6, "inputs": 256, "vocab": 2000})
    build, half = build_of("b11549"), FORMATS["fp16"]
    start = ServerSetup(split(context, slots, slots > 1, build, ubatch, False), half, half, flash, build)
    found = host_compute(read_gguf(tmp_path / "model.gguf"), start).size / MIB
    assert found == pytest.approx(mib, abs=PRINTED if flash else 2.5)


def test_logits_and_scores_are_not_added() -> None:
    """Builds of 2025 reserve logits for every token of a batch; the scores before them make room for these."""
    model = find_model("Llama-3.2-1B")
    causes = [dict(host_compute(model, plain(context, 512, False, "b6000")).causes) for context in (2048, 8192)]
    assert [set(cause) & {"logits", "scores"} for cause in causes] == [{"logits"}, {"scores"}]


def test_newer_builds_bound_the_outputs() -> None:
    model = find_model("Llama-3.2-1B")
    old, new = (host_compute(model, plain(4096, 512, True, version)) for version in ("b9272", "b9496"))
    assert dict(old.causes)["logits"] == 512 * 4 * 128_256
    assert "logits" not in dict(new.causes)


@given(
    st.sampled_from(all_models()),
    st.integers(1, 2**18),
    st.sampled_from([32, 512, 2048]),
    st.integers(1, 8),
    st.booleans(),
    st.booleans(),
)
def test_a_buffer_is_all_that_lies_in_it_and_the_holes_between(
    model: ModelSpec, context: int, ubatch: int, slots: int, unified: bool, flash: bool
) -> None:
    build = build_of("")
    cells = split(context, slots, unified, build, ubatch, False)
    start = ServerSetup(cells, FORMATS["fp16"], FORMATS["fp16"], flash, build)
    for found in (host_compute(model, start), device_compute(model, start, range(len(model.layers)), True)):
        assert found.size == found.holes + sum(size for _, size in found.causes)
        assert found.holes >= 0
        assert all(size > 0 for _, size in found.causes)


@pytest.mark.parametrize("name", ["Llama-3.1-8B", "gemma-3-27b", "Qwen3-Next-80B-A3B", "DeepSeek-V3", "LFM2-1.2B"])
def test_alike_layers_may_be_left_out(name: str) -> None:
    """A third of the layers of each kind needs what all of them do."""
    model = find_model(name)
    third = model._replace(name=f"{name} with fewer layers", layers=model.layers[-len(model.layers) // 3 :])
    start = plain(8192, 512, True)
    whole, part = (host_compute(one, start).size for one in (model, third))
    assert part == pytest.approx(whole, rel=0.05)


def test_a_result_takes_the_place_of_what_nobody_else_reads() -> None:
    """The example of ``reserved``: x and y of 128 bytes, and x + y where x was."""
    graph = Graph()
    x = an_input("x", (32,))
    y = fresh("y", (32,), x)
    graph.expand(onto("z", (32,), x, y))
    assert reserved(graph, 32).size == 256
    assert reserved(graph, 32).causes == (("x", 128), ("y", 128))


def test_a_view_keeps_what_it_is_a_view_of() -> None:
    graph = Graph()
    x = fresh("x", (32,), an_input("tokens", (8,)))
    seen = view(x, (4, 8))
    graph.expand(fresh("z", (32,), fresh("y", (32,), x), seen))
    assert reserved(graph, 32).size == 3 * 128 + 32


@given(st.lists(st.tuples(st.integers(1, 500), st.lists(st.integers(0, 12), max_size=3), st.booleans()), max_size=40))
def test_no_more_is_reserved_than_all_results_take(wanted: list[tuple[int, list[int], bool]]) -> None:
    """Any graph: at least the largest result and its operands, at most all results side by side."""
    graph, made = Graph(), [an_input("input", (64,))]
    for width, back, reuses in wanted:
        reads = tuple(dict.fromkeys(made[-1 - min(number, len(made) - 1)] for number in back))
        shape = reads[0].shape if reuses and reads else (width,)
        made.append(Node("result", shape, 4 * (shape or (0,))[0], reads, reuses and bool(reads)))
    for node in made:
        graph.expand(node)
    found = reserved(graph, 32).size
    sizes = [-(-node.size // 32) * 32 for node in made]
    assert max(sizes) <= found <= sum(sizes)


OVER_CONTEXTS = (
    "Llama-3.1-8B",
    "gemma-3-4b",
    "Qwen3.5-9B",
    "DeepSeek-V2-Lite",
    "gpt-oss-20b",
    "Falcon-H1-0.5B",
    "gemma-4-E4B",
)


@sampled(4)
@pytest.mark.parametrize("flash", [True, False])
@pytest.mark.parametrize("slots", [1, 4])
@pytest.mark.parametrize("name", OVER_CONTEXTS)
def test_two_contexts_tell_what_others_reserve(name: str, slots: int, flash: bool) -> None:
    """Each context of a model that is asked for alone is a graph of its own."""
    model, build, form = find_model(name), build_of("b11549"), FORMATS["fp16"]
    layers = range(len(model.layers))
    for ubatch in (128, 512):
        starts = [
            ServerSetup(split(context, slots, slots > 1, build, ubatch, False), form, form, flash, build)
            for context in (16_384, 131_072, 8192, 33_000, 70_000, 1 << 20, 300)
        ]
        together = [device_compute(model, start, layers, True) for start in starts]
        alone = [
            device_compute(model._replace(name=f"{name} {i}"), start, layers, True) for i, start in enumerate(starts)
        ]
        assert together == alone


def test_devices_have_the_buffers_of_their_layers() -> None:
    """Only the device with the last projection has logits."""
    given_two = Scenario(
        find_model("Qwen3-8B"),
        find_device("H100"),
        8192,
        kv_dtype="fp16",
        engine="llama.cpp",
        layout=Layout(pp=2),
        skip_weights=True,
        serving=ServingOptions(version="b9000"),
    )
    first, second = computes(given_two, own_cells(given_two))
    assert "logits" not in dict(first.causes)
    assert "logits" in dict(second.causes)
    assert compute_bytes(given_two) == second.size


def test_several_devices_have_four_copies_of_what_they_read() -> None:
    """c4ai-command-r-v01 on an RTX 4070 Ti and a 3090 Ti, 12 and 28 layers: a log of 2024 says 672.01 MiB of one.

    With a layer in RAM, or on one of them alone, batches are not worked on side by side.
    """
    both = Scenario(
        find_model("c4ai-command-r-v01"),
        find_device("RTX 3090 Ti"),
        4096,
        kv_dtype="fp16",
        engine="llama.cpp",
        flash_attention=False,
        layout=Layout(pp=2),
        skip_weights=True,
        serving=ServingOptions(version="b2500", parallel=1, partition=(12, 28)),
    )
    first, second = computes(both, own_cells(both))
    assert first.size / MIB == pytest.approx(672.01, abs=PRINTED)
    assert second.size >= first.size
    partly = both._replace(serving=both.serving._replace(partition=None, gpu_layers=40))
    assert max(one.size for one in computes(partly, own_cells(partly))) / MIB == pytest.approx(584, abs=1)


def test_experts_in_ram_are_copied_one_matrix_at_a_time() -> None:
    """The experts of a layer of Qwen3-30B-A3B in Q4_K_M are three matrices of 108 to 157 MiB."""
    whole = Scenario(
        find_model("Qwen3-30B-A3B"),
        find_device("H100"),
        8192,
        kv_dtype="fp16",
        weight_dtype="q4_k_m",
        engine="llama.cpp",
    )
    offloaded = whole._replace(serving=whole.serving._replace(cpu_moe=48))
    sizes = [budget(one, stages(one)[0]).bytes_of("activation") / MIB for one in (whole, offloaded)]
    assert 100 <= sizes[1] - sizes[0] <= 160
    few = offloaded._replace(serving=offloaded.serving._replace(ubatch=16))
    assert budget(few, stages(few)[0]).bytes_of("activation") < 30 * MIB


@pytest.mark.parametrize(("context", "ubatch", "flash", "mib"), [(8192, 512, True, 24.02), (8192, 512, False, 285.01)])
def test_a_feed_forward_of_two_matrices(tmp_path: Path, context: int, ubatch: int, flash: bool, mib: float) -> None:
    """A file of the architecture arcee, as b11549 printed it; a gate would take 12 MiB more."""
    shape = {"layers": 6, "hidden": 1024, "ff": 3072, "heads": 16, "kv_heads": 4, "vocab": 8000}
    write_arcee(tmp_path / "model.gguf", shape)
    found = host_compute(read_gguf(tmp_path / "model.gguf"), plain(context, ubatch, flash)).size / MIB
    assert found == pytest.approx(mib, abs=PRINTED)
