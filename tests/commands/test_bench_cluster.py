"""``kvtui bench --dask``: a sweep on a real cluster, whose workers measure with a pretended measuring process."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from fcntl import LOCK_EX, flock
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from kvtui import __version__
from kvtui.attach import cluster as attach_cluster
from kvtui.attach.cluster import connected
from kvtui.bench import elsewhere
from kvtui.bench.runner import BackendError, Control, Outcome, Started
from kvtui.bench.store import read
from kvtui.cases.protocol import Job
from kvtui.cli import main
from kvtui.commands.bench_jobs import MUST_AGREE as VERSIONS
from kvtui.commands.bench_jobs import TRIES, run
from kvtui.engine.basis.errors import InputError
from tests.bench.pretend_worker import GATE, let_through
from tests.bench.test_runner import PRETEND, Heard, eventually, gone, job
from tests.nightly import nightly
from tests.paths import ROOT

distributed = pytest.importorskip("distributed")

WORDS = ("bench", "--groups", "attention_type", "--size", "fast", "--sweep-only", "--format", "jsonl")
LABELS = ["MHA", "GQA(2/4)", "MLA"]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Two workers in this process, with a device each."""
    monkeypatch.setattr(elsewhere, "worker_command", lambda device: PRETEND)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=False,
        dashboard_address=None,
        protocol="inproc://",
        resources={"device": 1},
    ) as found:
        yield found


def bench(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[dict[str, Any]], str]:
    code = main([*WORDS, *words])
    shown = capsys.readouterr()
    return code, [json.loads(line) for line in shown.out.splitlines()], shown.err


def test_a_sweep_is_measured_by_the_workers_and_kept_here(cluster: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code, rows, said = bench(capsys, "--dask", cluster.scheduler_address)
    assert (code, [row["label"] for row in rows]) == (0, LABELS)
    assert all(row["status"] == "ok" and row["host"] == "pretending" and row["machine"] == "pretended" for row in rows)
    (run,) = Path("results").iterdir()
    about = json.loads((run / "run.json").read_text())
    assert [host["host"] for host in about["hosts"]] == ["pretending"]
    assert about["host"] is None
    assert about["finished"]
    assert read(run).host["cpu_model"] == "pretended"
    assert said.count("ms per step on pretending") == 3


def jobs(*batches: int) -> list[Job]:
    return [job(batch) for batch in batches]


def test_a_killed_case_is_tried_again_and_then_a_row_with_its_reason(
    cluster: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []

    def command(device: str | None) -> list[str]:
        started.append(PRETEND)
        return PRETEND

    monkeypatch.setattr(elsewhere, "worker_command", command)
    heard = Heard()
    with connected(cluster.scheduler_address) as found:
        assert run(jobs(1, 13, 2), heard, found, control=Control(), say=print, case_seconds=5) == "finished"
    ended = {outcome.job.case.batch: outcome.record for outcome in heard.outcomes}
    assert {batch: record["status"] for batch, record in ended.items()} == {1: "ok", 13: "killed", 2: "ok"}
    assert "SIGKILL" in ended[13]["message"]
    assert ended[13]["host"] == "pretending"
    assert TRIES <= len(started) <= TRIES + 1


def test_a_worker_that_cannot_measure_gets_no_more_cases(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [sys.executable, "-c", "import sys; sys.exit('kvtui: device \x1b[31mgpu is not there')"]
    monkeypatch.setattr(elsewhere, "worker_command", lambda device: words)
    said: list[str] = []
    with connected(cluster.scheduler_address) as found, pytest.raises(BackendError) as error:
        run(jobs(1, 2, 3), Heard(), found, control=Control(), say=said.append)
    assert str(error.value).count("device \N{REPLACEMENT CHARACTER}[31mgpu is not there") == 2
    assert len(said) == 2


OK, BAD = '"status": "ok"', r'"status": "error", "message": "\u001b]0;x"'
HOSTILE = (
    None,
    "no JSON",
    "[" * 100_000,
    f'{{"record": {{{OK}}}}}',
    r'{"host": {}, "record": {"status": "\u001b[2J"}, "samples": {}}',
    rf'{{"host": {{"host": "\u001b[2J"}}, "record": {{{BAD}}}, "samples": {{"a": [1, "b", null]}}}}',
    f'{{"host": {{}}, "record": {{{OK}, "decode_step_ms_p50": NaN, "curve": 7}}, "samples": {{"decode_step": "all"}}}}',
)


@pytest.mark.parametrize("answer", HOSTILE)
def test_whatever_a_worker_answers_is_a_row_without_raw_characters(
    answer: str | None, cluster: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(elsewhere, "measure", lambda *_: answer)
    code, rows, said = bench(capsys, "--dask", cluster.scheduler_address)
    assert len(rows) == 3
    assert {row["status"] for row in rows} <= {"ok", "error"}
    kept = "".join(path.read_text() for path in Path("results").glob("*/*") if path.is_file())
    assert not any(sign in text for sign in "\x1b\x07" for text in (said, kept, json.dumps(rows, ensure_ascii=False)))
    assert "\\u001b" not in kept
    assert code == (0 if rows[0]["status"] == "ok" else 1)


def test_what_is_cancelled_leaves_the_cluster_without_work(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(GATE, str(tmp_path / "gate"))
    let_through(tmp_path / "gate", 1)
    control = Control()
    heard = Heard(lambda event: isinstance(event, Outcome), control.cancel)
    with connected(cluster.scheduler_address) as found:
        assert run(jobs(1, 2, 3, 4), heard, found, control=control, say=print) == "cancelled"
    assert len(heard.outcomes) == 1
    assert eventually(lambda: not cluster.scheduler.tasks)
    (pid,) = {event.host["pid"] for event in heard.events if isinstance(event, Started)}
    assert gone(pid)


def test_a_device_is_never_shared_whatever_the_cluster_believes(
    cluster: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Another process of this user measures on the same devices, as its lock tells."""
    words = json.dumps(job(1).to_json()), None, 60.0, "a run"
    assert json.loads(elsewhere.measure(*words))["record"]["status"] == "ok"
    (lock,) = (tmp_path / "cache" / "kvtui" / "locks").iterdir()
    answers: list[str] = []
    with lock.open() as held:
        flock(held, LOCK_EX)
        waiting = Thread(target=lambda: answers.append(elsewhere.measure(*words)))
        waiting.start()
        waiting.join(0.3)
        assert not answers
    waiting.join(30)
    assert json.loads(answers[0])["record"]["status"] == "ok"
    elsewhere.stop("a run")


def test_other_versions_and_missing_devices_are_said(cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers are in this process: what they answer is changed after the first question, which is this side's."""
    answers = iter([elsewhere.versions()])
    monkeypatch.setattr(elsewhere, "versions", lambda: next(answers, {**dict.fromkeys(VERSIONS, "0"), "kvtui": "9"}))
    said: list[str] = []
    with connected(cluster.scheduler_address) as found:
        run(jobs(1), Heard(), found, control=Control(), say=said.append)
    assert sum(f"kvtui 9 there, {__version__} here" in line for line in said) == 2


def test_no_scheduler_no_dask_and_no_sense_are_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(attach_cluster, "CONNECT_SECONDS", 0.2)
    for words, why in (
        (["--dask", "tcp://127.0.0.1:1"], "--dask: no scheduler at 'tcp://127.0.0.1:1': Timed out"),
        (["--dask", ""], "--dask: expected the address of a scheduler, such as tcp://host:8786"),
        (["--dask", "a\x1b://b"], "--dask: no scheduler at 'a\N{REPLACEMENT CHARACTER}://b': unknown address scheme"),
        (["--dask", "x", "--list-groups"], "--dask: goes with the sweep and with bench decode"),
    ):
        with pytest.raises(SystemExit) as end:
            main([*WORDS, *words])
        assert end.value.code == 2
        said = capsys.readouterr().err
        assert said.startswith(f"kvtui: {why}")
        assert said.count("\n") == 1
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(SystemExit) as end:
        main([*WORDS, "--dask", "tcp://127.0.0.1:1"])
    assert "pip install 'kvtui[cluster]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_something_else_at_the_address_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attach_cluster, "ANSWER_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(InputError, match="does not answer as a Dask scheduler does"), connected(address):
            pass


PRELOAD = f"""
from kvtui.bench import elsewhere
elsewhere.worker_command = lambda device: {PRETEND!r}
"""


@pytest.fixture
def machines(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, list[subprocess.Popen[str]]]]:
    """A scheduler's address, and its process and those of two workers that measure when the gate lets them.

    The parameter is how many workers a case may kill.
    """
    (tmp_path / "preload.py").write_text(PRELOAD)
    (tmp_path / "gate").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    own = {
        "PYTHONPATH": str(ROOT),
        "XDG_CACHE_HOME": str(tmp_path),
        GATE: str(tmp_path / "gate"),
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": str(request.param),
    }
    scheduler = ["scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard"]
    worker = ["worker", address, "--nthreads", "1", "--no-dashboard", "--no-nanny", "--resources", "device=1"]
    words = [scheduler, *([*worker, "--preload", str(tmp_path / "preload.py")] for _ in range(2))]
    with ExitStack() as stack:
        found: list[subprocess.Popen[str]] = []
        for one in words:
            log = stack.enter_context((tmp_path / f"{len(found)}.log").open("w"))
            found.append(process_of(stack, ["-m", "dask", *one], tmp_path, own, stderr=log, stdout=log))
        assert eventually(lambda: (tmp_path / "0.log").read_text().count("Register worker addr") == 2)
        yield address, found


def process_of(
    stack: ExitStack, words: list[str], cwd: Path, own: dict[str, str], **streams: Any
) -> subprocess.Popen[str]:
    """A process that does not outlive the ``stack``."""
    process = subprocess.Popen([sys.executable, *words], cwd=cwd, env=os.environ | own, text=True, **streams)
    stack.enter_context(process)
    stack.callback(process.kill)
    return process


@pytest.fixture
def running(machines: tuple[str, list[subprocess.Popen[str]]], tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """The command."""
    pipe = subprocess.PIPE
    words = ["-m", "kvtui", *WORDS, "--dask", machines[0]]
    with ExitStack() as stack:
        yield process_of(stack, words, tmp_path, {"PYTHONPATH": str(ROOT)}, stdout=pipe, stderr=pipe)


def begun(process: subprocess.Popen[str]) -> bool:
    """Whether a worker has a measuring process."""
    children = Path(f"/proc/{process.pid}/task").glob("*/children")
    return any(one.read_text().strip() for one in children)


def first_line_with(words: str, app: subprocess.Popen[str]) -> None:
    assert app.stderr is not None
    while words not in app.stderr.readline():
        assert app.poll() is None


@nightly
@pytest.mark.parametrize(("machines", "ended"), [(1, {"ok"}), (0, {"killed", "ok"})], indirect=["machines"])
def test_a_worker_that_is_killed_has_its_row_measured_by_another_or_told(
    machines: tuple[str, list[subprocess.Popen[str]]],
    running: subprocess.Popen[str],
    ended: set[str],
    tmp_path: Path,
) -> None:
    """A case that waited in the killed worker's queue may be told with the one that it measured."""
    _, (_, *workers) = machines
    assert eventually(lambda: any(map(begun, workers)))
    next(one for one in workers if begun(one)).kill()
    let_through(tmp_path / "gate", 9)
    out, err = running.communicate(timeout=60)
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == 3
    assert {row["status"] for row in rows} == ended, err
    assert running.returncode == ("killed" in ended)
    assert all(row["message"].startswith("its worker died, 1 time, last tcp://") for row in rows if row["message"])


@nightly
@pytest.mark.parametrize("machines", [3], indirect=True)
def test_ctrl_c_leaves_what_was_measured_and_the_cluster_free(
    machines: tuple[str, list[subprocess.Popen[str]]], running: subprocess.Popen[str], tmp_path: Path
) -> None:
    let_through(tmp_path / "gate", 1)
    first_line_with("ms per step", running)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "interrupted; kvtui bench --resume results/" in err
    assert len(out.splitlines()) == 1
    assert eventually(lambda: not any(map(begun, machines[1][1:])))
    let_through(tmp_path / "gate", 9)
    words = ["bench", "--resume", "results", "--sweep-only", "--format", "jsonl", "--dask", machines[0]]
    again = subprocess.run(
        [sys.executable, "-m", "kvtui", *words],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert [json.loads(line)["label"] for line in again.stdout.splitlines()] == LABELS


@nightly
@pytest.mark.parametrize("machines", [3], indirect=True)
def test_a_scheduler_that_goes_leaves_what_was_measured(
    machines: tuple[str, list[subprocess.Popen[str]]], running: subprocess.Popen[str], tmp_path: Path
) -> None:
    let_through(tmp_path / "gate", 1)
    first_line_with("ms per step", running)
    machines[1][0].kill()
    out, err = running.communicate(timeout=60)
    assert running.returncode == 1
    assert "is gone" in err
    assert "2 cases left; kvtui bench --resume results/" in err
    assert len(out.splitlines()) == 1
