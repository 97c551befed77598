"""A worker that measures nothing: it speaks the protocol, and its figures follow from the case alone.

A job's batch says how it behaves: 13 kills itself, 14 never answers, 15 reports an error and lives, 16 writes what is
no event first, 17 ends with words on stderr.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

GATE = "PRETEND_GATE"
"""The variable that names a folder: each answer takes a file from it, and waits for one where there is none."""


HOST = {"host": "pretending", "platform": "cpu", "cpu_model": "pretended"}


def say(event: object) -> None:
    print(json.dumps(event), flush=True)


def figures(case: dict[str, Any]) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """A record and samples that depend on the case alone."""
    base = 1 + case["batch"] / 10 + case["prompt"] / 1000 + case["shape"]["kv_heads"] / 7
    samples = [base * (1 + i / 100) for i in range(5)]
    spread = {"n": 5, "min": samples[0], "p20": samples[1], "p50": samples[2], "p80": samples[3], "mad": base / 100}
    record = {"status": "ok", "message": None, "tokens_per_second": case["batch"] / base}
    for series in ("prefill", "ttft", "decode_step", "decode_scan"):
        record |= {f"{series}_ms_{name}": value for name, value in spread.items()}
    return record, {"decode_step": samples}


def let_through(gate: Path, answers: int) -> None:
    """Let the worker give so many more answers."""
    gate.mkdir(exist_ok=True)
    for _ in range(answers):
        (gate / uuid4().hex).touch()


def pass_gate() -> None:
    """Wait until an answer may be given, or the one who asked has gone."""
    parent = os.getppid()
    while gate := os.environ.get(GATE):
        if os.getppid() != parent:
            sys.exit()
        for file in Path(gate).iterdir():
            file.unlink()
            return
        time.sleep(0.005)


def answer(job: dict[str, Any]) -> None:
    say({"event": "stage", "id": job["id"], "stage": "compile"})
    match job["case"]["batch"]:
        case 13:
            os.kill(os.getpid(), signal.SIGKILL)
        case 14:
            parent = os.getppid()
            while os.getppid() == parent:  # a case without end, but for the end of the one who asked
                time.sleep(0.1)
        case 16:
            print("not an event\n[1]", flush=True)
        case 17:
            print("the device caught \x1b[31mfire", file=sys.stderr, flush=True)
            sys.exit(9)
    pass_gate()
    record, samples = figures(job["case"])
    if job["case"]["batch"] == 15:
        record, samples = {"status": "error", "message": "ValueError: no"}, {}
    curve = [{"position": n, "p20": 1.0, "p50": 2.0, "p80": 3.0, "n": 5} for n in job.get("positions", ())]
    say({"event": "result", "id": job["id"], "record": {**record, "curve": curve}, "samples": samples})


if __name__ == "__main__":
    say({"event": "hello", "host": {**HOST, "pid": os.getpid()}})
    for line in sys.stdin:
        answer(json.loads(line))
