"""The tables of names: each name that an engine ever had means the same quantity, and one server has but one of them.

vLLM's and llama.cpp's newest names were seen on real servers; all others are of source and documentation, and were not
seen live.
"""

from __future__ import annotations

import pytest

from kvtui.engine.live.exposition import read_exposition
from kvtui.engine.live.names import (
    LATENCIES,
    METRICS,
    RANK_LABELS,
    SEEN_LIVE,
    SIZES,
    TITLES,
    MetricName,
    engine_of,
    wanted,
)
from kvtui.engine.live.ranks import published
from kvtui.engine.live.servers import recognised
from tests.engine.live.captures import EVERY_NAME, capture, exposition, reply


@pytest.mark.parametrize("engine", METRICS)
def test_every_name_of_every_release_is_its_quantity(engine: str) -> None:
    for _, quantity, name in (row for row in EVERY_NAME if row[0] == engine):
        text = exposition(quantity, name)
        found = published(engine, read_exposition(text, wanted(engine)).metrics)
        others = METRICS[engine][quantity]
        alone = published(engine, read_exposition(exposition(quantity, others[0]), wanted(engine)).metrics)
        assert found == alone, (quantity, name)
        assert found.ranks or found.asleep or found.config or found.context or found.most_running, (quantity, name)


def test_of_two_names_of_one_quantity_the_newer_counts() -> None:
    text = "vllm:gpu_cache_usage_perc 0.5\nvllm:kv_cache_usage_perc 0.25\n"
    found = published("vllm", read_exposition(text, wanted("vllm")).metrics)
    assert found.ranks[0].gauges["used_share"] == 0.25


def test_names_tell_the_engine() -> None:
    for engine, _, name in EVERY_NAME:
        assert engine_of(name.name) == engine
    assert engine_of("go_goroutines") == ""


def test_no_name_means_two_quantities() -> None:
    seen: dict[tuple[str, object], tuple[str, str]] = {}
    for engine, quantity, name in EVERY_NAME:
        assert seen.setdefault((name.name, name.where), (engine, quantity)) == (engine, quantity)


def test_real_servers_publish_the_newest_names() -> None:
    text = next(row["metrics"] for row in reversed(capture("vllm-0.32")["rows"]) if "metrics" in row)
    there = {line.partition("{")[0] for line in text.splitlines()}
    newer = {"rejected", "drafted_tokens", "accepted_tokens", "paused", "hit_rate"}
    for quantity, names in METRICS["vllm"].items():
        suffix = "_count" if quantity in LATENCIES or quantity in SIZES else ""
        assert names[0].name + suffix in there or quantity in newer, quantity
    snapshot = capture("llama.cpp-split")["snapshots"][-1]["metrics"]
    gone = {"used_share", "used_tokens"}
    for quantity, names in METRICS["llama.cpp"].items():
        assert names[0].name in snapshot or quantity in gone, quantity


def test_engines_that_were_not_seen_live_are_marked() -> None:
    assert set(SEEN_LIVE) < set(METRICS) < set(TITLES)
    assert set(RANK_LABELS) <= set(METRICS)


def test_a_server_is_recognised_by_its_metrics() -> None:
    for engine in METRICS:
        name: MetricName = METRICS[engine]["running"][0]
        found = recognised(reply("/metrics", exposition("running", name)))
        assert found is not None
        assert found.engine == engine
    assert recognised(reply("/metrics", "go_goroutines 7\n")) is None
    assert recognised(reply("/metrics", "vllm:num_requests_running 1\n", status=500)) is None
