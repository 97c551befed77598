"""The worker as a real process: its events, its failures, its end, and the programs it keeps compiled."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kvtui.bench import child, measure
from kvtui.cases.case import Case, TransformerShape
from kvtui.cases.protocol import Job, TimeBudget
from tests.bench.test_runner import eventually
from tests.paths import ROOT
from tests.present import present

COMMAND = [sys.executable, "-m", "kvtui.bench.worker", "--device", "cpu"]
CASE = Case(
    TransformerShape(dim=16, heads=1, head_dim=16, kv_heads=1, blocks=1, hidden=16, vocab=16, context=16), prompt=4
)
SHORT = TimeBudget(warmup=1, trials=2, most=10, seconds=0.01)


class Worker:
    """A worker process that has said hello."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.input, self.output = present(process.stdin), present(process.stdout)
        self.hello = self.event()

    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.output.readline())
        return found

    def send(self, line: str) -> None:
        self.input.write(line + "\n")
        self.input.flush()

    def measure(self, job: Job) -> tuple[dict[str, Any], list[str]]:
        """The result of ``job`` and the stages before it."""
        self.send(json.dumps(job.to_json()))
        return self.result()

    def result(self) -> tuple[dict[str, Any], list[str]]:
        stages = []
        while (event := self.event())["event"] != "result":
            stages.append(event["stage"])
        return event, stages

    def end(self) -> int:
        """The exit code after stdin was closed."""
        self.input.close()
        return self.process.wait(60)


@contextmanager
def started(cache: Path) -> Iterator[Worker]:
    """A worker that keeps its compiled programs in ``cache``."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        COMMAND, cwd=ROOT, env=environment(cache), stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield Worker(process)
        finally:
            process.kill()


def environment(cache: Path) -> dict[str, str]:
    return {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(cache), "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


def test_jobs_failures_and_the_end_of_stdin(cache: Path) -> None:
    with started(cache) as running:
        host = running.hello["host"]
        assert running.hello["event"] == "hello"
        assert (host["platform"], host["device"]) == ("cpu", "cpu:0")
        assert [rung["bytes"] for rung in host["bandwidth_ladder"]] == [2**20 * 4**n for n in range(5)]
        assert all(rung["gbs"] > 0 for rung in host["bandwidth_ladder"])
        assert set(host["matmul_gflops"]) == {"fp32", "bf16", "int8"}

        event, stages = running.measure(Job("one", CASE, SHORT))
        assert event["id"] == "one"
        assert event["record"]["status"] == "ok", event["record"]["message"]
        assert event["record"]["cache_hit"] is False
        assert event["samples"]["decode_step"]
        assert stages[0] == "compile"

        running.send('{"id": "two", "case": {"prompt": 16, "length": 16}}')
        event, _ = running.result()
        assert (event["id"], event["record"]["status"]) == ("two", "error")
        assert event["record"]["message"] == "not a job: prompt: 16 is not between 1 and 15"
        for line in ("not json", "[]", '{"id": "x"}', '{"id": "x", "case": {}, "budget": {"hours": 1}}', "[" * 50_000):
            running.send(line)
            record = running.result()[0]["record"]
            assert tuple(record) == measure.KEYS
            assert record["status"] == "error"
            assert record["message"].startswith("not a job: ")

        event, _ = running.measure(Job("three", CASE, SHORT, positions=(17,)))
        assert event["record"]["status"] == "unsupported"

        event, _ = running.measure(Job("four", CASE, SHORT))
        assert event["record"]["status"] == "ok"
        assert event["record"]["cache_hit"] is True
        assert running.end() == 0
        assert running.output.read() == ""


def test_programs_stay_compiled_and_a_job_under_way_does_not_hold_the_worker_up(cache: Path) -> None:
    with started(cache) as running:
        event, _ = running.measure(Job("again", CASE, SHORT))
        assert event["record"]["cache_hit"] is True
        assert event["record"]["donated"] is True
        assert event["record"]["kv_measured_bytes"] == event["record"]["kv_predicted_bytes"]
        assert running.hello["host"]["compilation_cache_programs"] > 3
        running.send(json.dumps(Job("long", CASE, replace(SHORT, seconds=600.0, most=10**9)).to_json()))
        while running.event()["stage"] != "warm up":
            pass
        assert running.end() == 0


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_nothing_is_left_when_the_parent_is_killed(cache: Path) -> None:
    script = (
        "import subprocess, sys\n"
        f"child = subprocess.Popen({COMMAND!r}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "print(child.pid, child.stdout.readline().decode(), flush=True)\n"
        "child.wait()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, env=environment(cache), stdout=subprocess.PIPE, text=True
    )
    pid, _, hello = present(parent.stdout).readline().partition(" ")
    assert json.loads(hello)["event"] == "hello"
    assert not gone(int(pid))
    parent.send_signal(signal.SIGKILL)
    parent.communicate()
    assert eventually(lambda: gone(int(pid)))


@pytest.mark.parametrize("name", ["cuda:7", "cpu:9", "-1", "x\x1b[31m"])
def test_a_device_that_is_not_there_is_one_line_and_exit_3(cache: Path, name: str) -> None:
    command = [*COMMAND[:-1], name] if not name.startswith("-") else [*COMMAND[:-2], f"--device={name}"]
    done = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(cache) | {"JAX_PLATFORMS": "cpu"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert done.wait(60) == child.NO_BACKEND
        shown = name.replace("\x1b", "\N{REPLACEMENT CHARACTER}")
        assert present(done.stderr).read() == f"kvtui: device '{shown}' is not there; this machine has cpu:0\n"
        assert present(done.stdout).read() == ""
    finally:
        done.kill()
        done.communicate()
