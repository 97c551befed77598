"""``kvtui bench`` as a user meets it: real processes, one run with the real worker, the others with a pretended one."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from signal import Signals

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.bench.store import read
from kvtui.cases.groups import NAMES
from kvtui.cases.table import COLUMNS, REFERENCE_COLUMNS
from kvtui.cli import main
from kvtui.figures import sweep
from tests.bench.pretend_worker import GATE, let_through
from tests.bench.test_runner import PRETEND, gone
from tests.figures.sample_rows import foreign_rows
from tests.nightly import NIGHTLY
from tests.steady import PATIENCE_SECONDS

COMMAND = [sys.executable, "-m", "kvtui", "bench"]
PRETENDING = f"""
import sys
from kvtui.bench import runner
runner.worker_command = lambda device: {PRETEND!r}
sys.argv[0] = "kvtui"
from kvtui.cli import run
run()
"""
QUICK = ("--size", "fast", "--device", "cpu", "--n-warmup", "1", "--n-trials", "2")
LABELS = ["MHA", "GQA(2/4)", "MLA"]


def bench(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=120, check=False, cwd=cwd)


def pretend(*words: str, cwd: Path, gate: Path | None = None) -> subprocess.Popen[str]:
    """``kvtui bench`` with a worker that measures nothing, and answers when the ``gate`` lets it."""
    command = [sys.executable, "-c", PRETENDING, "bench", *words]
    environment = os.environ | ({} if gate is None else {GATE: str(gate)})
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, cwd=cwd, env=environment)


def worker_of(app: subprocess.Popen[str]) -> int:
    children = [path.read_text().split() for path in Path(f"/proc/{app.pid}/task").glob("*/children")]
    return int(next(pid for pids in children for pid in pids))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A folder with a finished run, and what the command printed."""
    pytest.importorskip("jax")
    folder = tmp_path_factory.mktemp("finished")
    done = bench("--groups", "activation", *QUICK, "--format", "csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_run_prints_and_keeps_every_row(finished: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder, done = finished
    rows = list(csv.DictReader(StringIO(done.stdout)))
    assert [row["label"] for row in rows] == ["SwiGLU · MHA", "GELU · MHA"]
    assert all(row["status"] == "ok" for row in rows)
    assert all(row["kv_measured_bytes"] == row["kv_predicted_bytes"] for row in rows)
    assert all(float(row["decode_step_ms_p50"]) > 0 and float(row["prefill_ms_p50"]) > 0 for row in rows)
    (run,) = (folder / "results").iterdir()
    assert read(run).rows == read(run / "inference_sweep.csv").rows
    about = json.loads((run / "run.json").read_text())
    assert about["host"]["jax"]
    assert about["started"] <= about["finished"]
    narrated = [line for line in done.stderr.splitlines() if "busy" not in line]
    found = [line for line in narrated if "GELU" in line and "SwiGLU" in line]
    assert len(narrated) - len(found) == 4
    assert found or "Nothing is concluded" in done.stderr
    assert (run / "figures" / "08.svg").read_text().startswith("<?xml")
    assert (run / "figures" / "08.png").read_bytes().startswith(b"\x89PNG") == (find_spec("resvg_py") is not None)
    assert "ms per step" in done.stderr


def test_stored_runs_are_shown_without_measuring(
    finished: tuple[Path, subprocess.CompletedProcess[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(finished[0] / "results")
    for form in ("text", "md", "csv", "json", "jsonl"):
        assert main(["bench", "--plot-only", "--out", out, "--format", form]) == 0
        shown = capsys.readouterr().out
        match form:
            case "csv":
                assert shown == finished[1].stdout
            case "json":
                assert set(json.loads(shown)[0]) == set(COLUMNS)
            case "jsonl":
                assert len([json.loads(line) for line in shown.splitlines()]) == 2
            case _:
                assert "GELU" in shown
    assert main(["bench", "--plot-only", "--out", out]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) <= 80


def test_a_run_compared_with_itself_is_the_same(
    finished: tuple[Path, subprocess.CompletedProcess[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(finished[0] / "results")
    assert main(["bench", "--compare", out, out]) == 0
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "4 rows compared, 0 differ" in shown.err
    assert main(["bench", "--compare", out, out, "--format", "json"]) == 0
    assert {row["verdict"] for row in json.loads(capsys.readouterr().out)} == {"same"}


def first_line_with(words: str, app: subprocess.Popen[str]) -> None:
    assert app.stderr is not None
    while words not in app.stderr.readline():
        assert app.poll() is None


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)][: 1 + NIGHTLY])
def test_ctrl_c_keeps_what_was_measured_and_resume_measures_the_rest(
    tmp_path: Path, number: Signals, code: int
) -> None:
    let_through(tmp_path / "gate", 1)
    words = ("--groups", "attention_type", *QUICK, "--format", "jsonl")
    app = pretend(*words, cwd=tmp_path, gate=tmp_path / "gate")
    first_line_with("ms per step", app)
    worker = worker_of(app)
    app.send_signal(number)
    out, err = app.communicate(timeout=PATIENCE_SECONDS)
    assert app.returncode == code
    assert "interrupted; kvtui bench --resume results/" in err
    kept = [json.loads(line) for line in out.splitlines()]
    assert len(kept) == 1
    assert gone(worker)
    resumed = pretend("--resume", "--format", "jsonl", cwd=tmp_path)
    out, _ = resumed.communicate(timeout=PATIENCE_SECONDS)
    assert resumed.returncode == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["label"] for row in rows] == LABELS
    assert all(row in rows for row in kept)


def test_ctrl_c_before_the_first_case_leaves_nothing(tmp_path: Path) -> None:
    let_through(tmp_path / "gate", 0)
    app = pretend("--groups", "attention_type", *QUICK, cwd=tmp_path, gate=tmp_path / "gate")
    first_line_with("3 cases, 3 rows", app)
    app.send_signal(signal.SIGINT)
    out, err = app.communicate(timeout=PATIENCE_SECONDS)
    assert (app.returncode, out, err) == (130, "", "kvtui: interrupted; nothing was measured\n")
    assert list((tmp_path / "results").iterdir()) == []


def test_a_killed_worker_is_in_the_row_and_in_the_exit_code(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    let_through(gate, 1)
    app = pretend("--groups", "attention_type", *QUICK, "--format", "jsonl", cwd=tmp_path, gate=gate)
    first_line_with("ms per step", app)
    os.kill(worker_of(app), signal.SIGKILL)
    first_line_with("was killed", app)
    let_through(gate, 1)
    out, said = app.communicate(timeout=PATIENCE_SECONDS)
    assert app.returncode == 1
    rows = [json.loads(line) for line in out.splitlines()]
    assert sorted(row["status"] for row in rows) == ["killed", "ok", "ok"]
    assert all("was killed" in row["message"] for row in rows if row["status"] == "killed")
    assert "1 case failed for a reason that can pass; kvtui bench --resume" in said
    again = pretend("--resume", "--format", "jsonl", cwd=tmp_path)
    out, said = again.communicate(timeout=PATIENCE_SECONDS)
    assert again.returncode == 0
    assert said.startswith("kvtui: 1 case, 3 rows")
    assert [json.loads(line)["status"] for line in out.splitlines()] == ["ok", "ok", "ok"]


def test_a_table_from_elsewhere_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "published.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, REFERENCE_COLUMNS)
        writer.writeheader()
        writer.writerows(foreign_rows())
    assert main(["bench", "--plot-only", "--out", str(path)]) == 0
    shown = capsys.readouterr().out
    drawn = {id for id, make in sweep.FIGURES.items() if f"{make(foreign_rows()).title}\n" in shown}
    assert set(sweep.FIGURES) - drawn == {"bytes", "roofline"}, "only these need columns of ours"


def test_repeats_are_rows_of_their_own(tmp_path: Path) -> None:
    app = pretend("--groups", "activation", *QUICK, "--repeat", "3", "--format", "csv", cwd=tmp_path)
    out, _ = app.communicate(timeout=PATIENCE_SECONDS)
    rows = list(csv.DictReader(StringIO(out)))
    assert [(row["label"].split()[0], row["repeat"]) for row in rows] == [
        (name, repeat) for name in ("SwiGLU", "GELU") for repeat in "123"
    ]


def test_decode_puts_variants_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    app = pretend("decode", *QUICK, "--positions", "40,8", "--format", "jsonl", cwd=tmp_path)
    out, _ = app.communicate(timeout=PATIENCE_SECONDS)
    assert app.returncode == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert [(row["attn_variant"], row["position"]) for row in rows] == [
        (name, position) for name in ("MHA", "GQA", "MQA", "MLA") for position in (8, 40)
    ]
    assert {(row["decode_step_ms_p20"], row["decode_step_ms_p50"], row["decode_tok_s"]) for row in rows} == {
        (1, 2, 500)
    }
    for form in ("text", "md", "csv", "json"):
        assert main(["bench", "--plot-only", "--out", str(tmp_path / "results"), "--format", form]) == 0
        shown = capsys.readouterr().out
        assert ("TTFT p50" in shown) == (form == "md")
        assert "position" in shown


def test_without_jax_one_line_says_what_to_install(tmp_path: Path) -> None:
    script = "import sys\nsys.modules['jax'] = None\nfrom kvtui.cli import main\nsys.exit(main(['bench']))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr == "kvtui: bench: JAX is not installed; pip install jax\n"
    assert list(tmp_path.iterdir()) == []


def test_a_missing_device_is_exit_code_3(tmp_path: Path) -> None:
    pytest.importorskip("jax")
    done = bench("--groups", "activation", "--device", "cpu:7", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr.splitlines()[-1].startswith("kvtui: device 'cpu:7' is not there")
    assert list((tmp_path / "results").iterdir()) == []


cells = st.one_of(
    st.text(max_size=8), st.floats().map(str), st.integers().map(str), st.just("9" * 400), st.just("true")
)


@given(st.lists(cells, min_size=28, max_size=28), st.sampled_from(["text", "md", "csv", "json", "jsonl"]))
def test_any_table_with_the_published_columns_can_be_shown(
    tmp_path_factory: pytest.TempPathFactory, line: list[str], form: str
) -> None:
    path = tmp_path_factory.mktemp("any") / "any.csv"
    with path.open("w", newline="", encoding="utf-8", errors="replace") as file:
        csv.writer(file).writerows([REFERENCE_COLUMNS, line])
    for words in (("--plot-only", "--out", str(path)), ("--compare", str(path), str(path))):
        out = StringIO()
        code: object = 0
        with redirect_stdout(out), redirect_stderr(StringIO()):
            try:
                code = main(["bench", *words, "--format", form])
            except SystemExit as error:
                code = error.code
        assert code in (0, 2)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", out.getvalue())


@pytest.mark.parametrize("size", ["fast", "default", "full"])
def test_groups_are_listed_with_axes_rows_and_cases(capsys: pytest.CaptureFixture[str], size: str) -> None:
    assert main(["bench", "--list-groups", "--size", size, "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["group"] for row in rows] == list(NAMES)
    assert all(row["rows"] >= row["cases"] >= row["new_cases"] and row["axes"] for row in rows)
    for form in ("text", "md", "csv", "jsonl"):
        assert main(["bench", "--list-groups", "--size", size, "--format", form, "--groups", "moe", "scale"]) == 0
        shown = capsys.readouterr().out
        assert "moe" in shown
        assert "64x2" in shown
        assert "sampling" not in shown
    assert main(["bench", "--list-groups", "--size", size, "--ascii"]) == 0
    shown = capsys.readouterr().out
    assert shown.isascii()
    assert max(map(len, shown.splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--groups", "atention_type"), "did you mean attention_type or"),
        (("--groups", "x"), "unknown group 'x'; groups: attention_type, scale, batch_size"),
        (("--sweep-only", "--plot-only"), "not allowed with"),
        (("--size", "huge"), "unknown size 'huge'"),
        (("--format", "xml"), "unknown format 'xml'"),
        (("encode",), "unknown benchmark 'encode'; did you mean decode?"),
        (("--n-trials", "0"), "--n-trials: 0 is out of range"),
        (("--n-warmup", "x"), "--n-warmup: 'x' is not a whole number"),
        (("--repeat", "-1"), "--repeat"),
        (("--positions", "1,2"), "belongs to kvtui bench decode"),
        (("decode", "--positions", "1,2"), "1 is below 2"),
        (("decode", "--positions", "2,,4"), "is not a token count"),
        (("decode", "--groups", "moe"), "belongs to the sweep"),
        (("--resume", "nowhere"), "no unfinished run is there"),
        (("--resume", "--size", "fast"), "a resumed run goes on as it was begun"),
        (("--plot-only", "--out", "nowhere"), "no run is there"),
        (("--compare", "nowhere", "nowhere"), "no run is there"),
        (("--compare", "nowhere"), "expected 2 arguments"),
        (("--n-trial", "3"), "did you mean --n-trials"),
    ],
)
def test_wrong_words_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["bench", *words])
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert said in err
    assert list(tmp_path.iterdir()) == []


def test_options_of_a_sharded_run_are_refused_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    three = ["--coordinator", "localhost:99", "--processes", "2", "--process"]
    for words, why in (
        (["--tp", "3"], "tp: 3 does not divide 16 attention heads"),
        (["--processes", "2"], "--coordinator: goes with --processes and --process"),
        (["--tp", "1", *three, "0"], "--tp: 1 devices are not divided by 2 processes"),
        (["--tp", "2", *three, "2"], "--process: 2 is not below 2 processes"),
        (["--coordinator", "here", "--processes", "2", "--process", "0"], "--coordinator: 'here' is no HOST:PORT"),
        (["--device", "cuda:1"], "--device: a sharded run takes all devices of a platform"),
        (["--groups", "moe"], "--groups: does not go with kvtui bench sharded"),
    ):
        with pytest.raises(SystemExit) as end:
            main(["bench", "sharded", *words])
        assert end.value.code == 2
        assert capsys.readouterr().err.startswith(f"kvtui: {why}")
