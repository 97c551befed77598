"""Running jobs: order, failures, time-outs, cancelling, pausing, and no process left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Thread

import pytest

from kvtui.bench.runner import BackendError, Control, Event, Outcome, Progress, Started, run
from kvtui.cases.case import Case, TransformerShape
from kvtui.cases.protocol import Job, TimeBudget
from tests.paths import ROOT

PRETEND = [sys.executable, str(Path(__file__).with_name("pretend_worker.py"))]
TINY = TransformerShape(dim=16, heads=2, head_dim=8, kv_heads=2, blocks=1, hidden=32, context=32)
QUICK = TimeBudget(warmup=1, trials=2, most=5, seconds=0.01)


BASE = TransformerShape()


def job(batch: int, shape: TransformerShape = BASE) -> Job:
    return Job(f"{batch}-1", Case(shape, batch=batch, prompt=8), QUICK)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"


def gone(pid: int) -> bool:
    return eventually(lambda: not alive(pid))


def eventually(holds: Callable[[], object]) -> bool:
    """Whether ``holds`` comes true; patience ends after half a minute."""
    until = time.monotonic() + 30
    while not holds() and time.monotonic() < until:
        time.sleep(0.01)
    return bool(holds())


class Heard:
    """Listens, and acts on the first event that ``when`` is true of."""

    def __init__(self, when: Callable[[Event], bool] | None = None, do: Callable[[], object] | None = None) -> None:
        self.events: list[Event] = []
        self._when, self._do = when, do

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        if self._when is not None and self._do is not None and self._when(event):
            self._when = None
            self._do()

    @property
    def outcomes(self) -> list[Outcome]:
        return [event for event in self.events if isinstance(event, Outcome)]

    @property
    def workers(self) -> list[int]:
        return [event.host["pid"] for event in self.events if isinstance(event, Started)]


def test_jobs_run_in_order_in_one_worker_that_ends_with_them() -> None:
    heard = Heard()
    assert run([job(1), job(2), job(3)], heard, command=PRETEND) == "finished"
    assert [outcome.job.case.batch for outcome in heard.outcomes] == [1, 2, 3]
    assert all(outcome.record["status"] == "ok" for outcome in heard.outcomes)
    assert heard.outcomes[0].samples["decode_step"]
    assert len(heard.workers) == 1
    assert gone(heard.workers[0])
    stages = [(event.done, event.stage) for event in heard.events if isinstance(event, Progress)]
    assert stages[:3] == [(0, "start"), (0, "compile"), (1, "done")]
    assert stages[-1] == (3, "done")
    left = [event.seconds_left for event in heard.events if isinstance(event, Progress)]
    assert left[0] is None
    assert left[-1] == 0.0


@pytest.mark.parametrize(
    ("batch", "status", "said"),
    [
        (13, "killed", "the worker was killed (SIGKILL; the kernel does so when memory runs out)"),
        (14, "timeout", "took longer than 0.5 s"),
        (15, "error", "ValueError: no"),
        (17, "error", "the worker ended with exit code 9: the device caught \N{REPLACEMENT CHARACTER}[31mfire"),
    ],
)
def test_a_failure_is_reported_and_the_worker_replaced(batch: int, status: str, said: str) -> None:
    heard = Heard()
    assert run([job(1), job(batch), job(2)], heard, command=PRETEND, case_seconds=0.5) == "finished"
    first, failed, last = heard.outcomes
    assert first.record["status"] == last.record["status"] == "ok"
    assert (failed.record["status"], failed.record["message"]) == (status, said)
    assert len(set(heard.workers)) == 2
    assert all(gone(pid) for pid in heard.workers)


def test_what_is_no_event_is_passed_over() -> None:
    heard = Heard()
    run([job(16)], heard, command=PRETEND)
    assert heard.outcomes[0].record["status"] == "ok"


def test_cancelling_does_not_wait_for_the_case() -> None:
    """The case under way would take ten minutes."""
    control = Control()
    heard = Heard(
        lambda event: isinstance(event, Progress) and event.stage == "compile" and event.done == 1,
        lambda: Thread(target=control.cancel).start(),
    )
    assert run([job(1), job(14), job(2)], heard, control=control, command=PRETEND) == "cancelled"
    assert len(heard.outcomes) == 1
    assert all(gone(pid) for pid in heard.workers)
    assert run([job(1)], Heard(), control=control, command=PRETEND) == "cancelled"


class Held(Control):
    """Reins that tell how many threads they hold."""

    @property
    def holds(self) -> int:
        return len(self._changed._waiters)  # type: ignore[attr-defined]


def test_a_paused_run_begins_no_case_and_can_go_on_or_end() -> None:
    control = Held()
    heard = Heard(lambda event: isinstance(event, Outcome), control.pause)
    thread = Thread(target=run, args=([job(1), job(2)], heard), kwargs={"control": control, "command": PRETEND})
    thread.start()
    assert eventually(lambda: control.holds)
    assert len(heard.outcomes) == 1
    last = heard.events[-1]
    assert isinstance(last, Progress)
    assert last.under_way is None
    control.resume()
    thread.join(30)
    assert len(heard.outcomes) == 2
    control.pause()
    thread = Thread(target=run, args=([job(1)], heard), kwargs={"control": control, "command": PRETEND})
    thread.start()
    assert eventually(lambda: control.holds)
    control.cancel()
    thread.join(30)
    assert not thread.is_alive()
    assert len(heard.outcomes) == 2


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("import sys; sys.exit('kvtui: device tpu is not there')", "exit code 1: device tpu is not there"),
        ("import sys; print('kvtui: no such device', file=sys.stderr); sys.exit(3)", "^no such device$"),
        ("print('{')", "^the worker ended with exit code 0$"),
    ],
)
def test_a_worker_that_cannot_start_is_a_backend_error(script: str, said: str) -> None:
    with pytest.raises(BackendError, match=said):
        run([job(1)], Heard(), command=[sys.executable, "-c", script])


def test_what_the_listener_raises_ends_the_run() -> None:
    heard: list[Event] = []

    def listener(event: Event) -> None:
        heard.append(event)
        if isinstance(event, Outcome):
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run([job(1), job(2)], listener, command=PRETEND)
    assert isinstance(heard[0], Started)
    assert gone(heard[0].host["pid"])


def test_the_real_worker_measures_and_a_killed_case_is_reported() -> None:
    pytest.importorskip("jax")
    heard = Heard(
        lambda event: isinstance(event, Progress) and event.done == 1 and event.stage == "compile",
        lambda: os.kill(child(), signal.SIGKILL),
    )
    jobs = [job(1, TINY), job(2, TINY), replace(job(1, TINY), id="1-2")]
    assert run(jobs, heard, device="cpu") == "finished"
    assert [outcome.record["status"] for outcome in heard.outcomes] == ["ok", "killed", "ok"]
    assert "was killed" in heard.outcomes[1].record["message"]
    record = heard.outcomes[2].record
    assert record["kv_measured_bytes"] == record["kv_predicted_bytes"] == 32 * 2 * 16 * 4
    assert record["decode_step_ms_n"] >= 2


def child() -> int:
    """The only running worker among this process's children."""
    task = Path(f"/proc/{os.getpid()}/task")
    found = [int(pid) for children in task.glob("*/children") for pid in children.read_text().split()]
    return next(pid for pid in found if b"kvtui.bench.worker" in Path(f"/proc/{pid}/cmdline").read_bytes())


def test_a_device_that_is_not_there_is_one_line() -> None:
    pytest.importorskip("jax")
    with pytest.raises(BackendError, match=r"^device 'cpu:99' is not there; this machine has cpu:0"):
        run([job(1, TINY)], Heard(), device="cpu:99")


def test_kill_9_of_the_app_leaves_no_worker() -> None:
    pytest.importorskip("jax")
    script = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests.bench.test_runner import TINY, child, job, run
from kvtui.bench.runner import Progress
def heard(event):
    if isinstance(event, Progress) and event.stage == "compile":
        print(child(), flush=True)
run([job(n, TINY) for n in range(1, 50)], heard, device="cpu")
"""
    app = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert app.stdout is not None
    worker = int(app.stdout.readline())
    assert alive(worker)
    os.kill(app.pid, signal.SIGKILL)
    app.wait()
    app.stdout.close()
    assert gone(worker)
