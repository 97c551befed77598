"""A measured run as it would be stored, with made-up times."""

from __future__ import annotations

import json
from pathlib import Path

from kvtui.bench import store
from kvtui.bench.runner import Outcome
from kvtui.cases.case import Case, SweepRow, TransformerShape
from kvtui.cases.protocol import TimeBudget
from kvtui.cases.sweep import sweep

TINY = TransformerShape(dim=16, heads=2, head_dim=8, kv_heads=2, blocks=1, hidden=32, context=32)
HOST = {
    "cpu_model": "pretended",
    "platform": "cpu",
    "bandwidth_ladder": [{"bytes": 2**20, "gbs": 90.0}, {"bytes": 2**28, "gbs": 31.4159}],
    "matmul_gflops": {"fp32": 100.0},
}


def stored_run(out: Path) -> Path:
    """The folder of a run of four cases in ``out``, the last of which failed."""
    rows = [SweepRow("attention_type", f"batch {n} · MHA", "MHA", Case(TINY, batch=n, prompt=8)) for n in (1, 2, 3, 4)]
    about = {"what": "sweep", "size": "fast", "groups": ["attention_type"]}
    writer = store.Writer.begin(out, sweep(rows, TimeBudget(warmup=1, trials=2, most=5, seconds=0.01)), about)
    writer.host(HOST)
    for job in writer.jobs_left:
        writer.add(Outcome(job, _record(job.case.batch), {"decode_step": [1.0, 1.1]}))
    writer.close(True)
    folder = writer.folder.rename(out / "2026-01-01_run01")
    text = json.loads((folder / store.RUN).read_text(encoding="utf-8"))
    text |= {"started": "2026-01-01T12:00:00+00:00", "finished": "2026-01-01T12:01:00+00:00"}
    (folder / store.RUN).write_text(json.dumps(text), encoding="utf-8")
    return folder


def _record(batch: int) -> dict[str, object]:
    if batch == 4:
        return {"status": "error", "message": "ValueError: made up"}
    spread = {"p20": 0.9, "p50": 1.0, "p80": 1.1, "mad": 0.01, "n": 5}
    series = {
        f"{name}_ms_{key}": value * batch
        for name in ("prefill", "ttft", "decode_step")
        for key, value in spread.items()
    }
    return {
        "status": "ok",
        "tokens_per_second": 1000.0,
        "kv_measured_bytes": batch * 4096,
        "floor_bytes": 10_000 * batch,
        "model_flops": 50_000,
        "bandwidth_before_gbs": 30.0,
        "matmul_gflops": 100.0,
        "floor_ratio": 2.0,
        **series,
    }
