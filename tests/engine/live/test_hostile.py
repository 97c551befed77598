"""What a server may send that means no good: mutated bodies of every kind, endless and strange ones, and escapes."""

from __future__ import annotations

import json
import random
import time

import pytest
from msgpack import packb

from kvtui.engine.basis.errors import InputError
from kvtui.engine.live.events import KvLedger, read_batch, with_cached
from kvtui.engine.live.exposition import LONGEST_LINE, MOST_LINES, read_exposition
from kvtui.engine.live.interval import between, lifetime
from kvtui.engine.live.names import METRICS, wanted
from kvtui.engine.live.recording import line
from kvtui.engine.live.servers import ONCE, Reply, ServerKind, read_server, recognised
from tests.engine.live.captures import EVERY_NAME, capture, exposition, reply
from tests.nightly import NIGHTLY

TIMES = 25_000 if NIGHTLY else 60
PIECES = [
    *(b"\x00", b"\x1b[2J", b'"', b"{", b"}", b"\n", b"NaN", b"-1", b"1e308", b"9" * 40, b"\xff\xfe"),
    *(b"\\", b"# TYPE ", b"le=", b"\xe2\x80\xae"),
]


def mutated(data: bytes, chance: random.Random) -> bytes:
    """``data`` with some of it overwritten, cut out, or put in twice."""
    for _ in range(chance.randint(1, 6)):
        place = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0:
                data = data[:place] + chance.choice(PIECES) + data[place:]
            case 1:
                data = data[:place] + data[place + chance.randrange(1, 60) :]
            case 2:
                data = data[:place] + bytes([chance.randrange(256)]) + data[place + 1 :]
            case _:
                data = data[:place] + data[max(0, place - 80) : place] + data[place:]
    return data


def harmless(found: object) -> None:
    """Nothing of ``found`` would do anything to a terminal."""
    assert all(character.isprintable() for character in json.dumps(found, default=str, ensure_ascii=False))


def small_vllm() -> bytes:
    text = next(row["metrics"] for row in capture("vllm-0.32")["rows"] if "metrics" in row)
    names = wanted("vllm")
    kept = [row for row in text.splitlines() if row.partition("{")[0] in names]
    return "\n".join(kept[::4]).encode()


def of_names(engine: str) -> bytes:
    return "".join(exposition(quantity, name) for one, quantity, name in EVERY_NAME if one == engine).encode()


INSTANCE = {"id": "a", "config": {"context_length": 4}}
BODIES = {
    "vllm": ("/metrics", small_vllm()),
    "llama.cpp": ("/slots", json.dumps(capture("llama.cpp-split")["snapshots"][9]["slots"]).encode()),
    "sglang": ("/metrics", of_names("sglang")),
    "tensorrt-llm": ("/metrics", of_names("tensorrt-llm")),
    "ollama": ("/api/ps", json.dumps({"models": [{"name": "m", "context_length": 7, "size": 9}]}).encode()),
    "lmstudio": ("/api/v1/models", json.dumps({"models": [{"key": "m", "loaded_instances": [INSTANCE]}]}).encode()),
}
ANSWER = b'{"version": "1", "data": [{"id": "m", "max_model_len": 5}], "default_generation_settings": {"n_ctx": 7}}'


@pytest.mark.parametrize("engine", BODIES)
def test_mutated_bodies_are_snapshots(engine: str) -> None:
    chance = random.Random(engine)
    path, body = BODIES[engine]
    kind, before = ServerKind(engine, (path,)), None
    for _ in range(TIMES):
        sent = Reply(path, 0.0, 200, mutated(body, chance))
        recognised(sent)
        once = {asked: Reply(asked, 0.0, 200, mutated(ANSWER, chance)) for asked in ONCE[engine]}
        found = read_server(kind, once, {path: sent}, float(chance.randrange(100)), "x")
        harmless(json.loads(line(found)))
        lifetime(found)
        if before is not None:
            between(before, found)
        before = found


def test_mutated_frames_are_batches_or_errors() -> None:
    chance = random.Random(3)
    frames = [bytes.fromhex(row["payload_hex"]) for row in capture("vllm-0.32")["rows"] if "seq" in row]
    ledger = KvLedger()
    for number in range(TIMES):
        try:
            ledger.apply(read_batch(number.to_bytes(8, "big"), mutated(chance.choice(frames), chance)))
        except InputError as error:
            harmless(str(error))
    assert all(group.blocks >= 0 for group in ledger.groups())


def test_a_hundred_megabytes_of_metrics_are_bounded() -> None:
    junk = 'go_gc_duration{quantile="0.5"} 1\n' * (3_000_000 if NIGHTLY else 30_000)
    many = "".join(f'vllm:request_success_total{{finished_reason="{n}"}} 1\n' for n in range(2 * MOST_LINES))
    long = 'vllm:num_requests_waiting{a="' + "x" * LONGEST_LINE + '"} 7\n'
    begin = time.process_time()
    found = read_exposition(junk + many + long + "vllm:num_requests_running 3\n", wanted("vllm"))
    assert time.process_time() - begin < (60 if NIGHTLY else 20)
    assert len(found.metrics) <= MOST_LINES
    assert found.refused >= MOST_LINES


def test_one_broken_line_costs_one_line() -> None:
    text = 'vllm:num_requests_running{engine="0} 3\nvllm:num_requests_waiting 4\nvllm:kv_cache_usage_perc NaN\n'
    found = read_exposition(text, wanted("vllm"))
    assert [(metric.name, metric.value) for metric in found.metrics] == [("vllm:num_requests_waiting", 4.0)]
    assert found.refused == 1


def test_escapes_in_labels_reach_nothing() -> None:
    text = 'vllm:num_requests_running{model_name="a\\n\x1b[31m\u202e[bold]"} 3\n'
    found = read_server(recognised(reply("/metrics", text)), {}, {"/metrics": reply("/metrics", text)}, 0.0, "x")  # type: ignore[arg-type]
    harmless(found.model)
    assert "[31m" in found.model


def test_deep_json_and_numbers_beyond_measure_are_nothing() -> None:
    assert reply("/slots", b"[" * 100_000).json is None
    assert reply("/slots", b"9" * 10_000).json is None
    deep = packb([1.0, [["BlockStored", [1], None, [], 16, None, "GPU"]]])
    assert read_batch(b"\x00" * 8, deep).events[0].hashes == (1,)
    with pytest.raises(InputError):
        read_batch(b"\x00" * 8, b"\x91" * 5000)
    for engine in METRICS:
        text = "".join(exposition(quantity, name, 1e300) for e, quantity, name in EVERY_NAME if e == engine)
        kind = recognised(reply("/metrics", text))
        assert kind is not None
        found = read_server(kind, {}, {path: reply(path, text) for path in kind.each if path != "/slots"}, 0.0, "x")
        with_cached(found.pool, (), found.summed("running"))
        json.loads(line(found))
