"""A real llama.cpp server under load, watched from its first request to its death."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kvtui.attach.attachment import WatchedServer
from kvtui.attach.http import HttpServer
from kvtui.cli import main
from kvtui.engine.live.binds import binds
from kvtui.engine.live.interval import between, changes
from kvtui.engine.live.servers import ToldBesides
from kvtui.engine.live.snapshot import Snapshot

pytest.importorskip("xllamacpp", reason="xllamacpp is not installed")

from tests.attach.llama_server import complete, llama_server, write_model

CONTEXT, SLOTS, REQUESTS = 1024, 4, 16


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_model(path, width=256, layers=4)
    return path


@pytest.fixture(scope="module")
def split(model: Path) -> Iterator[str]:
    with llama_server(model, CONTEXT, SLOTS, unified=False) as address:
        yield address


def watch(address: str, unified: bool | None) -> WatchedServer:
    return WatchedServer(HttpServer(address), ToldBesides(unified))


def under(load: Callable[[], object], watched: WatchedServer) -> list[Snapshot]:
    """Snapshots while ``load`` goes on, and one after it."""
    found = [watched.look()]
    with ThreadPoolExecutor(1) as pool:
        going = pool.submit(load)
        while not going.done():
            found.append(watched.look())
        going.result()
    # Slots and metrics are asked in turn.
    return [*found, watched.look(), watched.look()]


def at_once(address: str, requests: list[tuple[str, int]]) -> list[int]:
    with ThreadPoolExecutor(len(requests)) as pool:
        return list(pool.map(lambda one: complete(address, *one), requests))


def test_split_slots_are_watched_while_requests_wait(split: str) -> None:
    watched = watch(split, unified=False)
    asked = [(f"{number % 10}" * 120, 60) for number in range(REQUESTS)]
    found = under(lambda: at_once(split, asked), watched)
    watched.close()
    assert {one.state for one in found} == {"up"}
    for one in found:
        pool = one.pool
        assert pool.used is not None
        assert pool.cached is not None
        assert pool.size == CONTEXT == pool.used + pool.cached + (pool.empty or 0)
    assert max(one.summed("running") or 0 for one in found) == SLOTS
    waiting = max(one.summed("waiting") or 0 for one in found)
    assert 1 <= waiting <= len(asked) - SLOTS  # a busy machine may miss the moment at which all of them wait
    busy = next(one for one in found if one.summed("waiting") and one.summed("running") == SLOTS)
    assert binds(busy, between(found[0], busy)).what in ("sequences", "pool")
    last = found[-1]
    assert last.pool.used == 0
    assert (last.pool.cached or 0) >= SLOTS * 170
    whole = between(found[0], last)
    assert whole.tokens_per_second is not None
    assert last.total("generation_tokens") == REQUESTS * 60


def test_an_overflow_of_a_unified_pool_is_seen(model: Path) -> None:
    with llama_server(model, 512, 2, unified=True) as address:
        watched = watch(address, unified=True)
        statuses: list[int] = []
        found = under(lambda: statuses.extend(at_once(address, [("a" * 200, 300), ("b" * 200, 300)])), watched)
        assert 500 in statuses
        assert max(one.pool.used or 0 for one in found) > 450
        assert all((one.pool.used or 0) <= 512 == one.pool.size for one in found)
        assert watched.look().state == "up"
        last = found[-1]
    silent = watched.look()
    assert silent.state == "silent"
    assert changes(last, silent) == ("silent",)
    assert (silent.engine, silent.model) == ("llama.cpp", last.model)
    port = int(address.rpartition(":")[2])
    with llama_server(model, 256, 1, unified=False, port=port):
        again = watched.look()
        watched.close()
    assert changes(silent, again) == ("it answers again",)
    assert "it restarted" in changes(last, again)
    assert again.pool.size == 256


def test_the_command_watches_it(
    split: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KVTUI_TOKEN", "a-secret")
    record = str(tmp_path / "r.jsonl")
    words = ["watch", split, "--once", "--no-kv-unified", "--record", record]
    assert main([*words, "--format", "json", "--model", str(model)]) == 0
    (one,) = json.loads(capsys.readouterr().out)["servers"]
    assert (one["engine"], one["engine_seen_live"], one["pool"]["size"]) == ("llama.cpp", True, CONTEXT)
    (row,) = one["plan"]["rows"]
    assert (row["verdict"], row["predicted"], row["observed"]) == ("agrees", CONTEXT, CONTEXT)
    assert main([*words, "--check", "kv_used <= 100 %", "--check", "waiting = 0"]) == 0
    text = capsys.readouterr().out
    assert "unknown model 'tiny.gguf'" in text
    assert main([*words, "--check", "running > 3"]) == 4
    assert "running > 3 does not hold" in capsys.readouterr().err
    assert main(["watch", record, "--once", "--format", "csv"]) == 0
    assert "llama.cpp" in capsys.readouterr().out
    assert main(["watch", record]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert "a-secret" not in Path(record).read_text()
