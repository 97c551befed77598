"""Disks and memory that are full: one line, an exit code that says so, and nothing lost of what was there before."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.nightly import nightly, sampled

pytestmark = pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")

BENCH = ("bench", "--size", "fast", "--sweep-only", "--groups")


def limited(limit: str, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """``kvtui`` with ``words`` in ``folder``, under a ``limit`` of the shell's ulimit."""
    script = f'ulimit {limit} && exec "$@"'
    command = ["bash", "-c", script, "bash", sys.executable, "-m", "kvtui", *words]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}  # Python would keep what it could write of a module
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=600, check=False, env=environment
    )


@sampled(3)
@pytest.mark.parametrize(
    "words",
    [
        ("--report", "json", "-o", "out"),
        ("models", "--format", "json", "-o", "out"),
        ("plot", "--figure", "frontier", "-o", "out.svg"),
        ("compare", "--format", "csv", "-o", "out", "--", "--kv-dtype", "fp8"),
        ("reconcile", "--format", "json", "-o", "out", "vllm serve Qwen/Qwen3-8B"),
        (*BENCH, "moe", "--out", "out"),
    ],
    ids=" ".join,
)
def test_a_full_disk_is_one_line_and_leaves_what_was_there(words: tuple[str, ...], tmp_path: Path) -> None:
    """A limit on the size of a file fails as a full disk does, at the same calls."""
    out = tmp_path / next(word for word in words if word.startswith("out"))
    if words[0] != "bench":
        out.write_text("before")
    done = limited("-f 1", tmp_path, *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1].endswith(": File too large")
    assert "Traceback" not in done.stderr
    if words[0] != "bench":
        assert out.read_text() == "before"
        assert [path.name for path in tmp_path.iterdir()] == [out.name]


@nightly
def test_a_disk_that_fills_while_cases_are_measured_loses_none_that_was_stored(tmp_path: Path) -> None:
    full = limited("-f 16", tmp_path, *BENCH, "attention_type", "batch_size", "--out", "out")
    assert full.returncode == 1
    assert "Traceback" not in full.stderr
    (run,) = (tmp_path / "out").iterdir()
    whole = [line for line in (run / "samples.jsonl").read_text().splitlines(keepends=True) if line.endswith("\n")]
    before = [json.loads(line)["case"] for line in whole]
    assert before
    again = limited("-f unlimited", tmp_path, "bench", "--resume", str(run), "--sweep-only")
    assert again.returncode == 0
    after = [json.loads(line)["case"] for line in (run / "samples.jsonl").read_text().splitlines()]
    assert after[: len(before)] == before
    assert len(set(after)) == len(after) > len(before)


@nightly
@pytest.mark.parametrize("kilobytes", [600_000, 900_000, 1_500_000])
def test_no_memory_to_begin_with_is_no_missing_backend(kilobytes: int, tmp_path: Path) -> None:
    done = limited(f"-v {kilobytes}", tmp_path, *BENCH, "moe", "--out", "out")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("kvtui: out of memory: ")
