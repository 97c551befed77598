"""``kvtui train`` as a user meets it: real processes that are killed, refused and finished."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kvtui.bench.training import runs
from kvtui.cases.training import TrainingPlan
from kvtui.cli import main
from tests.bench.test_runner import eventually
from tests.nightly import NIGHTLY, nightly
from tests.steady import PATIENCE_SECONDS

COMMAND = [sys.executable, "-m", "kvtui", "train", "--device", "cpu"]
SMALL = ("--dim", "8", "--heads", "2", "--blocks", "1", "--context", "8", "--batch", "2")
PLAN = TrainingPlan(dim=8, heads=2, blocks=1, context=8, batch=2, steps=600, checkpoint_every=20, evaluate_every=600)
KILLS = 20 if NIGHTLY else 1


def start(*words: str, cwd: Path, most_bytes: int | None = None) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    limit = [] if most_bytes is None else ["prlimit", f"--fsize={most_bytes}"]
    return subprocess.Popen([*limit, *COMMAND, *words], stdout=pipe, stderr=pipe, text=True, cwd=cwd)


@pytest.mark.parametrize("moment", range(KILLS))
def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path: Path, moment: int) -> None:
    folder = tmp_path / "runs" / PLAN.name
    runs.begin(folder, PLAN, [], {})
    killed = start("--resume", cwd=tmp_path)
    eventually(lambda: (folder / runs.CHECKPOINT).exists() or killed.poll() is not None)
    time.sleep(random.Random(moment).random() / 10)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    reached = max((int(row["step"] or 0) for row in runs.read_run(folder).log()), default=0)

    again = start("--resume", "--format", "json", cwd=tmp_path)
    out, err = again.communicate(timeout=120)
    assert again.returncode == 0, err
    begun = next((line for line in err.splitlines() if "from step" in line), "")
    if begun:
        assert int(begun.rpartition(" ")[2]) >= reached - PLAN.checkpoint_every - runs_log_every()
    (row,) = json.loads(out)
    assert row["steps"] == 600
    steps = [row["step"] for row in runs.read_run(folder).log()]
    assert steps == [float(step) for step in range(10, 601, 10)]


def runs_log_every() -> int:
    from kvtui.bench.training.loop import LOG_EVERY

    return LOG_EVERY


def test_an_interrupted_run_says_how_to_go_on(tmp_path: Path) -> None:
    app = start(*SMALL, "--steps", "1000000", cwd=tmp_path)
    folder = tmp_path / "runs" / "MHA_L1_D8_H2_C8_s0"
    eventually(lambda: (folder / runs.LOG).exists() or app.poll() is not None)
    app.send_signal(signal.SIGINT)
    _, err = app.communicate(timeout=PATIENCE_SECONDS)
    assert app.returncode == 130
    assert err.splitlines()[-1].startswith("kvtui: interrupted; kvtui train --resume --runs-dir runs")


@nightly
def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    app = start(*SMALL, "--steps", "100", cwd=tmp_path, most_bytes=3000)
    _, err = app.communicate(timeout=120)
    assert app.returncode == 1
    said = [line for line in err.splitlines() if not line.endswith("weights")]
    assert len(said) == 1, err
    assert said[0].endswith("File too large")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--set", "huge"), "unknown set 'huge'"),
        (("--set", "tiny", "--dim", "8"), "--set: says what the models are"),
        (("--attention", "SWA"), "attention: 'SWA' is none of"),
        (("--heads", "3"), "heads: 3 heads do not share 64 elements"),
        (("--learning-rate", "fast"), "--learning-rate: 'fast'"),
        (("--learning-rate", "nan"), "learning-rate: nan"),
        (("--experts", "2"), "experts: '2'"),
        (("--seeds", "1,x"), "--seeds"),
        (("--text", "none.txt"), "text: none.txt: no such file"),
        (("--text", "empty.txt"), "text: 0 characters in empty.txt"),
        (("--resume",), "runs: no training runs"),
        (("--resume", "--steps", "5"), "--steps: a resumed run goes on as it was begun"),
        (("--resume", "--runs-dir", "broken"), "broken/run: config.json: line 1"),
        (("--runs-dir", "empty.txt/x"), "empty.txt/x"),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path,
    words: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "broken" / "run").mkdir(parents=True)
    (tmp_path / "broken" / "run" / runs.CONFIG).write_text("{")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["train", *words])
    out, err = capsys.readouterr()
    assert end.value.code in (1, 2)
    assert out == ""
    assert err.startswith(f"kvtui: {said}")
    assert err.count("\n") == 1


def test_a_device_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    app = start(*SMALL, "--device", "cuda:7", cwd=tmp_path)
    _, err = app.communicate(timeout=60)
    assert (app.returncode, err.count("\n")) == (3, 1)
    assert err.startswith("kvtui: device 'cuda:7' is not there")
