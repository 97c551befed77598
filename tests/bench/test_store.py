"""What is on the disk: complete after every case, whatever kills the writer, and readable again as numbers."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.bench.host import machine_stamp
from kvtui.bench.runner import Outcome
from kvtui.bench.store import CSV, RUN, SAMPLES, Writer, find_run, newest_of_each_kind, read
from kvtui.cases import table_csv
from kvtui.cases.groups import find_groups
from kvtui.cases.protocol import Job, TimeBudget
from kvtui.cases.sweep import Sweep, sweep
from kvtui.cases.table import COLUMNS, REFERENCE_COLUMNS
from kvtui.engine.basis.errors import InputError
from tests.bench.pretend_worker import GATE, HOST, figures, let_through
from tests.paths import ROOT

PUBLISHED = [
    *("group", "label", "attn_variant", "attn_type", "params_m", "dim", "n_heads", "kv_heads", "num_blocks"),
    *("max_context", "batch_size", "prompt_len", "dtype", "use_cache", "use_moe", "n_experts", "top_k_mlp"),
    *("use_swiglu", "pos_encoding", "mla_down_kv", "mla_rope_dim", "prefill_ms_p50", "prefill_ms_p95"),
    *("decode_step_ms_p50", "decode_step_ms_p95", "decode_tok_s", "kv_cache_mb", "oom"),
]


def small(repeat: int = 1, names: tuple[str, ...] = ("attention_type", "batch_size", "kv_cache")) -> Sweep:
    return sweep([row for group in find_groups(names) for row in group.rows("fast")], TimeBudget(), repeat)


def outcome(job: Job) -> Outcome:
    record, samples = figures(job.case.to_json())
    return Outcome(job, {**record, **machine_stamp(HOST)}, samples)


def filled(out: Path, jobs: int | None = None, plan: Sweep | None = None) -> Path:
    """A run of ``plan`` (``small``) of which the first ``jobs`` are measured."""
    writer = Writer.begin(out, plan or small(), {"what": "sweep"})
    for job in writer.sweep.jobs[:jobs]:
        writer.add(outcome(job))
    writer.close(jobs is None)
    return writer.folder


def test_the_table_has_the_published_columns_first_and_every_row(tmp_path: Path) -> None:
    folder = filled(tmp_path)
    with (folder / CSV).open(newline="") as file:
        heads, *lines = csv.reader(file)
    assert heads[:28] == PUBLISHED == list(REFERENCE_COLUMNS)
    assert len(heads) == len(set(heads)) == len(COLUMNS)
    assert [(line[0], line[1]) for line in lines] == [(row.group, row.label) for row in small().rows]
    base = dict(zip(heads, lines[0], strict=True))
    assert {name: base[name] for name in PUBLISHED[2:21]} == {
        "attn_variant": "MHA",
        "attn_type": "MHA",
        "params_m": "0.147776",
        "dim": "64",
        "n_heads": "4",
        "kv_heads": "4",
        "num_blocks": "2",
        "max_context": "256",
        "batch_size": "1",
        "prompt_len": "64",
        "dtype": "fp32",
        "use_cache": "true",
        "use_moe": "false",
        "n_experts": "",
        "top_k_mlp": "",
        "use_swiglu": "true",
        "pos_encoding": "rope",
        "mla_down_kv": "",
        "mla_rope_dim": "",
    }
    assert (base["kv_cache_mb"], base["oom"], base["prefill_ms_p95"]) == ("0.262144", "false", "")
    assert base["shared_by"] == "3"


def test_run_folders_are_numbered_by_day(tmp_path: Path) -> None:
    first, second = (filled(tmp_path, 1) for _ in range(2))
    assert first.name.endswith("_run01")
    assert second.name == first.name.replace("run01", "run02")
    assert find_run(tmp_path) == second
    (tmp_path / first.name.replace("run01", "run100")).mkdir()
    third = tmp_path / first.name.replace("run01", "run100")
    (third / RUN).write_text((first / RUN).read_text())
    assert find_run(tmp_path) == third
    assert find_run(first) == first


def test_the_newest_run_of_each_kind_is_found_newer_first(tmp_path: Path) -> None:
    writers = [Writer.begin(tmp_path, small(), {"what": what}) for what in ("sweep", "sweep", "decode")]
    runs = [writer.folder for writer in writers]
    assert newest_of_each_kind(tmp_path) == (runs[2], runs[1])
    assert newest_of_each_kind(runs[0]) == (runs[0],)
    with pytest.raises(InputError, match="no run is there"):
        newest_of_each_kind(tmp_path / "none")
    for writer in writers:
        writer.close(False)


def test_rows_read_back_are_the_rows_written(tmp_path: Path) -> None:
    folder = filled(tmp_path)
    from_samples = read(folder)
    from_table = read(folder / CSV)
    assert from_samples.rows == from_table.rows
    assert from_samples.about["finished"] is not None
    assert len(from_samples.measured) == len(small().jobs)
    row = from_table.rows[0]
    assert (row["dim"], row["use_cache"], row["mla_down_kv"], row["label"]) == (64, True, None, "MHA")
    assert isinstance(row["decode_step_ms_p50"], float)


def test_a_run_under_way_can_be_read_but_not_written_twice(tmp_path: Path) -> None:
    writer = Writer.begin(tmp_path, small(), {})
    writer.add(outcome(writer.sweep.jobs[0]))
    assert len(read(writer.folder).measured) == 1
    assert read(writer.folder).about["finished"] is None
    with pytest.raises(InputError, match="under way in another process"):
        Writer.again(writer.folder)
    writer.close(False)
    Writer.again(writer.folder).close(False)


def test_what_failed_for_a_passing_reason_is_tried_again_and_counts_once(tmp_path: Path) -> None:
    writer = Writer.begin(tmp_path, small(), {"what": "sweep"})
    first, second, third, *rest = writer.sweep.jobs
    for job, status in ((first, "killed"), (second, "error"), (third, "timeout")):
        writer.add(Outcome(job, {"status": status, "message": "why"}, {}))
    for job in rest:
        writer.add(outcome(job))
    assert writer.jobs_left == [first, third]
    writer.close(True)
    assert read(writer.folder).about["finished"] is None
    again = Writer.again(find_run(tmp_path, unfinished=True))
    assert again.jobs_left == [first, third]
    for job in again.jobs_left:
        again.add(outcome(job))
        assert sorted(read(again.folder / CSV).rows, key=str) == sorted(read(again.folder).rows, key=str)
    again.close(True)
    found = read(again.folder)
    assert found.about["finished"] is not None
    assert len(found.measured) == len(writer.sweep.jobs)
    assert {one.record["status"] for one in found.measured if one.case == first.case.key} == {"ok"}
    assert {one.record["status"] for one in found.measured if one.case == second.case.key} == {"error"}
    assert found.rows == read(again.folder / CSV).rows


@pytest.fixture(scope="module")
def whole_and_part(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same short run, finished and begun."""
    plan = small(names=("batch_size",))
    return filled(tmp_path_factory.mktemp("whole"), plan=plan), filled(tmp_path_factory.mktemp("part"), 2, plan)


@given(cut=st.integers(0, 3000), table=st.integers(0, 3000))
def test_a_torn_end_loses_only_the_cases_that_were_cut(
    tmp_path_factory: pytest.TempPathFactory, whole_and_part: tuple[Path, Path], cut: int, table: int
) -> None:
    whole, part = whole_and_part
    folder = tmp_path_factory.mktemp("torn")
    for name, size in ((RUN, 0), (SAMPLES, cut), (CSV, table)):
        content = (part / name).read_bytes()
        (folder / name).write_bytes(content[: max(0, len(content) - size)])
    lines = (folder / SAMPLES).read_bytes().count(b"\n")
    assert len(read(folder).measured) == lines
    writer = Writer.again(folder)
    assert len(writer.measured) == lines
    assert len(writer.jobs_left) == len(writer.sweep.jobs) - lines
    for job in writer.jobs_left:
        writer.add(outcome(job))
    writer.close(True)
    assert (folder / CSV).read_bytes() == (whole / CSV).read_bytes()
    assert (folder / SAMPLES).read_bytes() == (whole / SAMPLES).read_bytes()


def test_kill_9_in_the_middle_and_resume_equals_an_uninterrupted_run(tmp_path: Path) -> None:
    script = f"""
import sys
from pathlib import Path
sys.path.insert(0, {str(ROOT)!r})
from tests.bench.test_store import Writer, small
from kvtui.bench.host import machine_stamp
from kvtui.bench.runner import Outcome, run
writer = Writer.begin(Path({str(tmp_path / "killed")!r}), small(), {{"what": "sweep"}})
def heard(event):
    if isinstance(event, Outcome):
        writer.add(event)
        print(writer.folder, flush=True)
worker = [sys.executable, {str(Path(__file__).with_name("pretend_worker.py"))!r}]
run(writer.sweep.jobs, heard, command=worker)
"""
    let_through(tmp_path / "gate", 3)
    environment = {**os.environ, GATE: str(tmp_path / "gate")}
    app = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment)
    assert app.stdout is not None
    folder = Path([app.stdout.readline() for _ in range(3)][-1].strip())
    os.kill(app.pid, signal.SIGKILL)
    app.wait()
    app.stdout.close()
    done = len(read(folder).measured)
    assert done == 3
    assert find_run(folder.parent, unfinished=True) == folder
    writer = Writer.again(folder)
    assert len(writer.jobs_left) == len(small().jobs) - done
    for job in writer.jobs_left:
        writer.add(outcome(job))
    writer.close(True)
    whole = filled(tmp_path / "whole")
    assert (folder / CSV).read_bytes() == (whole / CSV).read_bytes()
    with pytest.raises(InputError, match="no unfinished run"):
        find_run(folder.parent, unfinished=True)


def test_every_line_is_there_as_soon_as_it_is_added(tmp_path: Path) -> None:
    writer = Writer.begin(tmp_path, small(2), {})
    for number, job in enumerate(writer.sweep.jobs, 1):
        added = writer.add(outcome(job))
        assert len((writer.folder / SAMPLES).read_bytes().splitlines()) == number
        assert (writer.folder / CSV).read_text().endswith(table_csv.write(added, heading=False))
    writer.close(True)
    assert len(read(writer.folder).rows) == 2 * len(small().rows)


def test_a_failed_case_keeps_its_reason_and_its_predicted_size(tmp_path: Path) -> None:
    writer = Writer.begin(tmp_path, small(), {})
    job = writer.sweep.jobs[0]
    record = {"status": "oom", "message": "RESOURCE_EXHAUSTED:\n\x1b[31mout", "kv_predicted_bytes": "x", "mfu": []}
    (row, *_) = writer.add(Outcome(job, record, {}))
    assert (row["status"], row["oom"], row["mfu"]) == ("oom", True, None)
    assert "\n" not in row["message"]
    assert "\x1b" not in row["message"]
    assert row["kv_predicted_bytes"] > 0 or job.case.cache == "none"
    writer.close(False)
    assert read(writer.folder).rows == read(writer.folder / CSV).rows


FOREIGN = [
    "attention_type,MHA,MHA,7.95,256,8,8,6,256,1,64,float32,True,False,4,2,True,rope,64,16,10.42,11,11.08,12.5,90.24,3.146,False",
    "scale,~85M,MLA,125.9,768,12,12,12,256,1,64,float32,True,False,4,2,True,rope,64,16,nan,nan,nan,,,0.98,True",
]


def test_a_foreign_table_with_27_columns(tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    heads = [name for name in PUBLISHED if name != "attn_variant"]
    path.write_text("\n".join([",".join(heads), *FOREIGN]) + "\nscale,torn,M")
    mha, mla = read(path).rows
    assert (mha["decode_step_ms_p50"], mha["attn_variant"], mha["status"]) == (11.08, "MHA", "ok")
    assert (mla["attn_variant"], mla["prefill_ms_p50"], mla["oom"], mla["status"]) == ("MLA", None, True, "oom")
    assert set(COLUMNS) <= set(mha)
    assert read(path).measured == []
    assert read(path).host == {}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (CSV, b"", "column group is missing"),
        (CSV, b"a,b\n1,2\n", "column group is missing"),
        (CSV, b"\xff\xfe\x00", "is not UTF-8 text"),
        (CSV, b'group,"label\n', "is missing"),
        (RUN, b"{", "not JSON"),
        (RUN, b"[" * 100_000, "not JSON"),
        (RUN, b"[]", "not a run of schema 1"),
        (RUN, b'{"schema": 2}', "not a run of schema 1"),
        (RUN, b'{"schema": 1}', "not one that was stored"),
        (
            RUN,
            b'{"schema": 1, "sweep": {"cases": {"a": {"batch": "x"}}, "rows": [], "jobs": []}}',
            "not a benchmark case",
        ),
        (RUN, b'{"schema": 1, "sweep": [1]}', "not one that was stored"),
    ],
)
def test_broken_files_are_one_line(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        read(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_broken_line_of_samples_is_named(tmp_path: Path) -> None:
    folder = filled(tmp_path, 2)
    with (folder / SAMPLES).open("a") as file:
        file.write('{"case": 1}\n')
    with pytest.raises(InputError, match="line 3 is not a measured case"):
        read(folder)
    with pytest.raises(InputError, match="no run is there"):
        find_run(tmp_path / "empty")


def test_cases_are_found_again_under_keys_of_another_version(tmp_path: Path) -> None:
    folder = filled(tmp_path, 2)
    before = read(folder).rows
    keys = json.loads((folder / RUN).read_text())["sweep"]["cases"]
    for name in (RUN, SAMPLES):
        text = (folder / name).read_text()
        for key in keys:
            text = text.replace(key, f"old{key}")
        (folder / name).write_text(text)
    assert read(folder).rows == before
    writer = Writer.again(folder)
    assert len(writer.jobs_left) == len(small().jobs) - 2
    writer.close(False)
