"""Captures of real servers, and expositions that are written from the names in the tables."""

from __future__ import annotations

import gzip
import json
from typing import Any

from kvtui.engine.live.names import LATENCIES, METRICS, SIZES, MetricName
from kvtui.engine.live.servers import Reply, ServerKind, read_server
from kvtui.engine.live.snapshot import Snapshot
from tests.paths import DATA


def capture(name: str) -> dict[str, Any]:
    """The capture in ``tests/data/live``."""
    found: dict[str, Any] = json.loads(gzip.decompress((DATA / "live" / f"{name}.json.gz").read_bytes()))
    return found


def reply(path: str, body: str | bytes | object, status: int = 200, time: float = 0.0) -> Reply:
    """A reply with a text, bytes, or what JSON makes of anything else."""
    if isinstance(body, bytes):
        return Reply(path, time, status, body)
    return Reply(path, time, status, (body if isinstance(body, str) else json.dumps(body)).encode())


def server(engine: str, once: dict[str, object], *latest: Reply, time: float = 0.0) -> Snapshot:
    """The server of an ``engine`` that gives these replies."""
    kind = ServerKind(engine, tuple(one.path for one in latest))
    asked = {path: reply(path, body) for path, body in once.items()}
    return read_server(kind, asked, {one.path: one for one in latest}, time, "http://here")


def vllm_snapshots() -> list[tuple[float, Snapshot]]:
    """The snapshots of the captured vLLM server with their seconds."""
    found = capture("vllm-0.32")
    texts = [(row["t"], row["metrics"]) for row in found["rows"] if "metrics" in row]
    return [
        (seconds, server("vllm", found["once"], reply("/metrics", text, time=seconds), time=seconds))
        for seconds, text in texts
    ]


def exposition(quantity: str, name: MetricName, value: float = 7.0) -> str:
    """One sample of ``quantity`` under ``name``, as a server writes it."""
    labels = "".join(f'{key}="{text}",' for key, text in name.where)
    if quantity in LATENCIES or quantity in SIZES:
        return (
            f"# TYPE {name.name} histogram\n"
            f'{name.name}_bucket{{{labels}le="1.0"}} {value}\n'
            f'{name.name}_bucket{{{labels}le="+Inf"}} {value}\n'
            f"{name.name}_sum{{{labels}}} 3.5\n{name.name}_count{{{labels}}} {value}\n"
        )
    if quantity == "sleep":
        labels += 'sleep_state="discard_all",'
        value = 1.0
    if quantity == "config":
        labels += 'block_size="16",'
    return f"{name.name}{{{labels}}} {value}\n"


EVERY_NAME = [
    (engine, quantity, name) for engine, names in METRICS.items() for quantity, known in names.items() for name in known
]
