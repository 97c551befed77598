"""Replies of servers as snapshots: captures of real ones, and of the others what their source says they publish."""

from __future__ import annotations

import pytest

from kvtui.engine.live.interval import between, lifetime
from kvtui.engine.live.servers import ABSENT, ToldBesides, read_server, recognised
from kvtui.engine.live.slots import read_slots, slots_pool
from kvtui.engine.live.snapshot import ServerPool
from tests.engine.live.captures import capture, reply, server, vllm_snapshots


def test_vllm_tells_blocks_in_labels_and_their_use_as_a_share() -> None:
    snapshots = [snapshot for _, snapshot in vllm_snapshots()]
    assert {one.pool.size for one in snapshots} == {32}
    assert max(one.pool.used or 0 for one in snapshots) == 32
    assert snapshots[-1].pool.used == 0
    last = snapshots[-1]
    assert (last.engine, last.release, last.model, last.context) == ("vllm", "0.32.0", "./tiny", 1024)
    assert (last.most_running, last.step_tokens, last.pool.block_size, last.pool.null) == (8, 256, 32, 1)
    assert last.pool.tokens == 1056
    assert last.pool.usable_tokens == 1024
    busiest = max(snapshots, key=lambda one: one.summed("waiting") or 0)
    assert busiest.summed("running") == 5
    assert busiest.summed("waiting") == sum(busiest.ranks[0].waiting_by.values()) > 0
    whole = between(snapshots[0], last)
    assert whole.finished == 12
    assert whole.preemptions == 8
    assert whole.hit_rate == pytest.approx(0.564, abs=0.001)
    assert whole.ttft is not None
    assert whole.ttft.count == 12
    assert 0 < whole.ttft.p50 <= whole.ttft.p95 < 10


def test_vllm_without_blocks_in_its_labels_tells_a_share_alone() -> None:
    found = server("vllm", {}, reply("/metrics", 'vllm:kv_cache_usage_perc{engine="0"} 0.5\n'))
    assert found.pool == ServerPool()
    assert found.ranks[0].gauges == {"used_share": 0.5}


def test_data_parallel_ranks_are_apart_and_add_up() -> None:
    text = "".join(
        f'vllm:kv_cache_usage_perc{{engine="{rank}"}} {share}\n'
        f'vllm:num_requests_running{{engine="{rank}"}} {rank + 1}\n'
        f'vllm:cache_config_info{{engine="{rank}",num_gpu_blocks="101",block_size="16"}} 1.0\n'
        for rank, share in ((0, 0.9), (1, 0.1))
    )
    found = server("vllm", {}, reply("/metrics", text))
    assert [rank.pool.used for rank in found.ranks] == [90, 10]
    assert (found.pool.size, found.pool.used, found.summed("running"), found.summed("waiting")) == (200, 100, 3, None)


def test_a_sleeping_server_is_said_to_sleep() -> None:
    text = 'vllm:engine_sleep_state{sleep_state="awake"} 0\nvllm:engine_sleep_state{sleep_state="discard_all"} 1\n'
    found = server("vllm", {}, reply("/metrics", text))
    assert (found.state, found.said) == ("asleep", "discard_all")


def llama(name: str) -> list[tuple[int, ServerPool, int]]:
    found = capture(name)
    told = ToldBesides(found["kv_unified"])
    rows = []
    for one in found["snapshots"]:
        text = "".join(f"{key} {value}\n" for key, value in one["metrics"].items())
        replies = {"/slots": reply("/slots", one["slots"]), "/metrics": reply("/metrics", text)}
        kind = recognised(replies["/metrics"])
        assert kind is not None
        snapshot = read_server(kind, {"/props": reply("/props", found["props"])}, replies, one["t"], "x", told)
        rows.append((snapshot.summed("running") or 0, snapshot.pool, snapshot.summed("waiting") or 0))
    return rows


@pytest.mark.parametrize("name", ["llama.cpp-split", "llama.cpp-unified"])
def test_the_states_of_llamacpps_cells_add_up_at_every_snapshot(name: str) -> None:
    rows = llama(name)
    for _, pool, _ in rows:
        assert pool.size == 1024
        assert (pool.used or 0) + (pool.cached or 0) + (pool.empty or 0) == pool.size
    assert max(running for running, _, _ in rows) == 4
    assert max(waiting for _, _, waiting in rows) == 4
    assert max(pool.used or 0 for _, pool, _ in rows) > 900


def test_what_a_slot_keeps_after_its_request_is_cached() -> None:
    _, last, _ = llama("llama.cpp-split")[-1]
    assert last.used == 0
    assert (last.cached or 0) > 0


def test_slots_that_hold_more_than_one_limit_are_split() -> None:
    listed = [{"id": n, "n_ctx": 1024, "is_processing": True, "n_prompt_tokens": 359} for n in range(4)]
    slots = read_slots(listed)
    assert slots is not None
    assert slots_pool(slots, None).size == 4096
    few = read_slots([{**one, "n_prompt_tokens": 200} for one in listed])
    assert few is not None
    assert slots_pool(few, None) == ServerPool("token", None, 800, 0, None, block_size=1)
    assert slots_pool(few, True).size == 1024
    assert slots_pool(few, False).size == 4096


def test_llamacpp_without_metrics_or_without_slots() -> None:
    listed = [{"id": 0, "n_ctx": 512, "is_processing": False}]
    found = server("llama.cpp", {}, reply("/slots", listed), reply("/metrics", "no", status=501))
    assert found.state == "up"
    assert found.pool.size == 512
    assert any("--metrics" in note for note in found.notes)
    text = "llamacpp:requests_processing 2\nllamacpp:prompt_tokens_total 30\nllamacpp:prompt_tokens_cached_total 10\n"
    found = server("llama.cpp", {}, reply("/slots", "no", status=501), reply("/metrics", text))
    assert found.summed("running") == 2
    assert lifetime(found).hit_rate == 0.25
    assert any("--no-slots" in note for note in found.notes)
    assert server("llama.cpp", {}, reply("/slots", {"error": 1})).state == "unreadable"


def sglang(**values: float) -> str:
    labels = 'engine_type="unified",model_name="demo",pp_rank="0"'
    return "".join(
        f'sglang:{name}{{{labels},tp_rank="{rank}"}} {value}\n' for name, value in values.items() for rank in (0, 1)
    )


def test_sglang_tells_all_three_states_once_for_all_tensor_parallel_ranks() -> None:
    """Not seen live: written from the names in SGLang's source."""
    text = sglang(
        kv_used_tokens=8192, kv_evictable_tokens=4096, kv_available_tokens=53248, max_total_num_tokens=65536,
        page_size=16, num_running_reqs=3, num_queue_reqs=1, prompt_tokens_total=1000, cached_tokens_total=400,
        num_retracted_requests_total=2, context_len=32768,
    )  # fmt: skip
    info = {"version": "0.5.23", "max_running_requests": 48, "kv_cache_dtype": "auto", "tp_size": 2}
    found = server("sglang", {"/server_info": info}, reply("/metrics", text))
    assert found.pool == ServerPool("token", 65536, 8192, 4096, 53248, block_size=16, tokens=65536)
    assert (found.context, found.most_running, found.release, found.model) == (32768, 48, "0.5.23", "demo")
    assert lifetime(found).hit_rate == 0.4
    assert found.total("preemptions") == 2
    assert found.config["tp_size"] == "2"


def test_sglang_without_metrics_tells_its_loads() -> None:
    """Not seen live."""
    load = {
        "dp_rank": 0,
        "num_running_reqs": 2,
        "num_waiting_reqs": 5,
        "num_used_tokens": 100,
        "max_total_num_tokens": 400,
    }
    path = "/v1/loads?include=core,memory,queues&format=json"
    answer = reply(path, {"loads": [load, {**load, "dp_rank": 1}]})
    kind = recognised(answer)
    assert kind is not None
    found = read_server(kind, {}, {path: answer}, 0.0, "x")
    assert (found.pool.size, found.pool.used, found.summed("waiting")) == (800, 200, 10)


def test_tensorrt_and_triton_tell_blocks() -> None:
    """Not seen live: written from TensorRT-LLM's collector and Triton's documentation."""
    trt = "".join(
        f"trtllm_{name} {value}\n"
        for name, value in {
            "kv_cache_max_blocks": 1000, "kv_cache_used_blocks": 412, "kv_cache_free_blocks": 588,
            "kv_cache_tokens_per_block": 32, "num_requests_running": 4, "num_requests_waiting": 1,
        }.items()
    )  # fmt: skip
    found = server("tensorrt-llm", {"/version": {"version": "1.2"}}, reply("/prometheus/metrics", trt))
    assert found.pool == ServerPool("block", 1000, 412, empty=588, block_size=32, tokens=32000)
    assert (found.summed("running"), found.summed("waiting"), found.release) == (4, 1, "1.2")
    triton = "".join(
        f'nv_trt_llm_kv_cache_block_metrics{{kv_cache_block_type="{kind}",model="m",version="1"}} {value}\n'
        for kind, value in {"max": 1000, "used": 412, "free": 588, "tokens_per": 64, "fraction": 0.4}.items()
    )
    assert server("tensorrt-llm", {}, reply("/metrics", triton)).pool.tokens == 64000


def test_tgi_tells_what_is_reserved() -> None:
    """Not seen live."""
    text = "tgi_batch_current_size 3\ntgi_batch_current_max_tokens 6000\ntgi_queue_size 2\n"
    info = {"max_batch_total_tokens": 16000, "max_total_tokens": 4096, "model_id": "org/m", "version": "3.3"}
    found = server("tgi", {"/info": info}, reply("/metrics", text))
    assert (found.pool.size, found.pool.used, found.summed("waiting"), found.context) == (16000, 6000, 2, 4096)
    assert any("reserved" in note for note in found.notes)


def test_desktop_servers_are_envelopes() -> None:
    """Not seen live: Ollama, LM Studio and KoboldCpp do not tell how full they are."""
    listed = {"models": [{"name": "llama3.1:8b", "size": 6 * 2**30, "size_vram": 5 * 2**30, "context_length": 8192}]}
    ollama = server("ollama", {"/api/version": {"version": "0.9"}}, reply("/api/ps", listed))
    assert (ollama.pool, ollama.model, ollama.context, ollama.release) == (ServerPool(), "llama3.1:8b", 8192, "0.9")
    assert ollama.loaded[0].on_device == 5 * 2**30
    instances = [{"id": "a", "config": {"context_length": 4096}}, {"id": "b", "config": {"context_length": 2048}}]
    listed = {"models": [{"key": "qwen", "size_bytes": 7, "loaded_instances": instances}, {"key": "idle"}]}
    studio = server("lmstudio", {}, reply("/api/v1/models", listed))
    assert [model.context for model in studio.loaded] == [4096, 2048]
    perf = {"last_process": 1.0, "total_gens": 3, "queue": 2, "idle": 0}
    once = {"/api/extra/true_max_context_length": {"value": 16384}, "/api/v1/model": {"result": "k"}}
    kobold = server("koboldcpp", once, reply("/api/extra/perf", perf))
    assert (kobold.summed("running"), kobold.summed("waiting"), kobold.context) == (1, 2, 16384)
    for found in (ollama, studio, kobold):
        assert any("does not tell how full" in note for note in found.notes)


@pytest.mark.parametrize(
    ("status", "state"), [(401, "refused"), (403, "refused"), (503, "loading"), (404, "unreadable")]
)
def test_a_server_that_refuses_is_shown_as_that(status: int, state: str) -> None:
    assert server("vllm", {}, reply("/metrics", "", status=status)).state == state
    assert 404 in ABSENT


def test_what_is_none_of_the_engines_is_unreadable() -> None:
    assert server("vllm", {}, reply("/metrics", "<html>")).state == "unreadable"
    for engine in ("ollama", "lmstudio", "koboldcpp"):
        assert server(engine, {}, reply("/x", "[")).state == "unreadable"
