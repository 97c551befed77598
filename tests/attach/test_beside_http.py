"""What comes another way than over HTTP: streams of events, counters of devices, Prometheus for a fleet."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import zmq
from msgpack import packb

from kvtui.attach import devices, opening
from kvtui.attach.devices import DeviceCounters
from kvtui.attach.events import FollowedEvents, sources_of
from kvtui.attach.fleet import PATH, Fleet
from kvtui.attach.http import HttpServer
from kvtui.attach.opening import snapshots_of, source_of, watched_at
from kvtui.engine.live.snapshot import DeviceReading, ServerPool, ServerRank, Snapshot
from tests.attach.serving import answering, pages
from tests.engine.live.captures import reply

HERE = "http://127.0.0.1:8000"


def described(endpoint: str, **more: object) -> dict[str, object]:
    return {"enable_kv_cache_events": True, "endpoint": endpoint, "topic": "kv", **more}


def test_streams_are_followed_to_the_server_itself_alone() -> None:
    def of(endpoint: str, address: str = HERE) -> list[str]:
        answer = reply("/kv_event_sources", {"0": described(endpoint)})
        return [source.endpoint for source in sources_of(answer, address)]

    assert of("tcp://*:5557") == ["tcp://127.0.0.1:5557"]
    assert of("tcp://*:5557", "http://gpu-box:8000") == ["tcp://gpu-box:5557"]
    assert of("tcp://localhost:5557") == ["tcp://127.0.0.1:5557"]
    assert of("ipc:///tmp/a") == ["ipc:///tmp/a"]
    for elsewhere in ("tcp://evil:5557", "tcp://localhost:x", "inproc://a", "udp://a:1", "tcp://evil"):
        assert of(elsewhere) == []
    assert of("ipc:///tmp/a", "http://gpu-box:8000") == []
    assert of("tcp://localhost:5557", "http://gpu-box:8000") == []
    assert sources_of(None, HERE) == ()
    strange: tuple[object, ...] = ([], 7, {"0": 7}, {"0": {"endpoint": 7}}, {"x": described("tcp://*:1")})
    for nonsense in strange:
        assert sources_of(reply("/kv_event_sources", nonsense), HERE) == ()


def test_events_that_were_missed_are_asked_for(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("z")
    endpoint, again = f"ipc://{folder}/e", f"ipc://{folder}/r"
    context = zmq.Context()
    publisher, router = context.socket(zmq.PUB), context.socket(zmq.ROUTER)
    publisher.bind(endpoint)
    router.bind(again)
    event = {"type": "BlockStored", "block_hashes": [1, 2], "block_size": 16, "medium": "GPU"}
    kept = {number: packb([0.0, [{**event, "block_hashes": [number]}]]) for number in range(5)}
    once = {"/kv_event_sources": reply("/kv_event_sources", {"0": described(endpoint, replay_endpoint=again)})}
    snapshot = Snapshot(0.0, HERE, ranks=(ServerRank(0, ServerPool(size=10, used=0, block_size=16), running=0),))
    followed = FollowedEvents(HERE)

    def answer(until: int) -> int:
        who, _, start = router.recv_multipart()
        first = int.from_bytes(start, "big")
        for number in range(first, until):
            router.send_multipart([who, b"", b"kv", number.to_bytes(8, "big"), kept[number]])
        router.send_multipart([who, b"", b"", (-1).to_bytes(8, "big", signed=True), b""])
        return first

    try:
        asked: list[int] = []
        threading.Thread(target=lambda: asked.append(answer(2)), daemon=True).start()
        found = followed.extend(snapshot, once)
        assert (found.pool.cached, found.pool.empty, asked) == (2, 8, [0])
        threading.Thread(target=lambda: asked.append(answer(4)), daemon=True).start()
        until = time.monotonic() + 10
        while found.pool.cached != 5 and time.monotonic() < until:
            publisher.send_multipart([b"kv", (4).to_bytes(8, "big"), kept[4]])
            time.sleep(0.02)
            found = followed.extend(snapshot, once)
        assert found.pool.cached == 5
        assert asked == [0, 2]
    finally:
        followed.close()
        context.destroy(linger=0)


def test_counters_stand_beside_a_server_of_this_machine_alone() -> None:
    reading = DeviceReading("gpu", watts=300.0)
    counters: Any = (list, lambda: [lambda: reading])
    here, there = DeviceCounters(HERE, counters), DeviceCounters("http://gpu-box:8000", counters)
    assert here.extend(Snapshot(0.0, HERE), {}).devices == (reading,)
    assert there.extend(Snapshot(0.0, "x"), {}).devices == ()


def test_a_driver_that_refuses_tells_less(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("not supported")

    nvml = SimpleNamespace(
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda number: number,
        nvmlDeviceGetName=lambda handle: b"GPU\x1b[31m",
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(total=80, used=70),
        nvmlDeviceGetUtilizationRates=refuse,
        nvmlDeviceGetPowerUsage=lambda handle: 350_500,
        nvmlDeviceGetTotalEnergyConsumption=refuse,
    )
    monkeypatch.setitem(__import__("sys").modules, "pynvml", nvml)
    (read,) = devices.nvidia_devices()
    assert read() == DeviceReading("GPU\ufffd[31m", 80, 70, None, None, 350.5, None)


def test_prometheus_has_all_servers_of_a_fleet() -> None:
    def sample(name: str, value: str, **labels: str) -> dict[str, object]:
        return {"metric": {"__name__": name, "job": "llm", **labels}, "value": [1.0, value]}

    rows = [
        sample("vllm:num_requests_running", "3", instance="a:8000", model_name="m"),
        sample("vllm:kv_cache_usage_perc", "0.5", instance="a:8000"),
        sample("vllm:cache_config_info", "1", instance="a:8000", num_gpu_blocks="101", block_size="16"),
        sample("sglang:num_running_reqs", "2", instance="b:30000"),
        sample("go_goroutines", "2", instance="c:1"),
        {"metric": 7},
        sample("vllm:num_requests_waiting", "x", instance="a:8000"),
    ]
    body = reply("", {"status": "success", "data": {"resultType": "vector", "result": rows}}).body
    with answering(pages({PATH: body})) as (address, _):
        fleet = Fleet(HttpServer(address))
        found = fleet.looks()
        fleet.close()
    assert [(one.address, one.engine, one.summed("running")) for one in found] == [
        ("llm/a:8000", "vllm", 3),
        ("llm/b:30000", "sglang", 2),
    ]
    assert found[0].pool.used == 50


def test_a_prometheus_that_answers_something_else_is_silent() -> None:
    with answering(pages({PATH: b"<html>"})) as (address, _):
        fleet = Fleet(HttpServer(address))
        (found,) = fleet.looks()
        fleet.close()
    assert found.state == "silent"


def test_a_token_goes_to_servers_that_were_named_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with answering(pages({"/metrics": b"vllm:num_requests_running 1\n"})) as (address, seen):
        monkeypatch.setattr(opening, "listening", lambda: (address,))
        (found,) = watched_at([], "secret")
        (named,) = watched_at([address], "secret")
        assert found.looks()[0].state == "up"
        asked = len(seen)
        assert named.looks()[0].state == "up"
        found.close()
        named.close()
    assert not any(b"secret" in request for request in seen[:asked])
    assert all(b"Bearer secret" in request for request in seen[asked:])


def test_every_snapshot_is_recorded_whether_a_screen_is_shown_or_not(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    with answering(pages({"/metrics": b"vllm:num_requests_running 1\n"})) as (address, _):
        source = source_of([address], seconds=0.02, record=str(path))
        until = time.monotonic() + 10
        while (not path.exists() or len(path.read_text().splitlines()) < 5) and time.monotonic() < until:
            time.sleep(0.01)
        source.close()
    assert len(list(snapshots_of(str(path)))) >= 4
    assert source.taken()[0].engine == "vllm"
