"""Standard streams as a shell can leave them, in real processes: closed, full, cut off, or in a narrow encoding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.nightly import sampled
from tests.paths import LOGS

pytestmark = [pytest.mark.skipif(os.name != "posix", reason="a POSIX shell closes the streams"), sampled(3)]

LOG = str(LOGS / "vllm-0.9-qwen3-235b-fp8-tp4.log")
SHAPE = ["--emb-dim", "64", "--n-heads", "4", "--n-layers", "2"]
CLOSED = "kvtui: standard output is closed; -o FILE writes to a file\n"


def kvtui(*words: str, redirect: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    """``kvtui`` with ``words`` in a shell, its streams as ``redirect`` says."""
    command = ["bash", "-c", f'exec "$@" {redirect}', "bash", sys.executable, "-m", "kvtui", *words]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
        check=False,
        env={**buffered, **environment},
    )


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["bench", "--help"],
        ["--report"],
        ["--report", "json"],
        ["--completion", "bash"],
        ["models"],
        ["doctor"],
        ["compare", "--", "--kv-dtype", "fp8"],
        ["estimate", "mha", *SHAPE, "--plot"],
        ["plot", "--list"],
        ["bench", "--list-groups"],
        ["reconcile", LOG],
    ],
    ids=" ".join,
)
def test_a_closed_stdout_is_one_line(words: list[str]) -> None:
    done = kvtui(*words, redirect=">&-")
    assert (done.returncode, done.stdout, done.stderr.decode()) == (2, b"", CLOSED)


def test_a_closed_stdout_does_not_matter_to_a_file(tmp_path: Path) -> None:
    done = kvtui("--report", "json", "-o", str(tmp_path / "report.json"), redirect=">&-")
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads((tmp_path / "report.json").read_text())["schema"] == 1


@pytest.mark.parametrize("words", [["--report", "csv"], ["--version"], ["doctor"], ["reconcile", LOG]], ids=" ".join)
def test_a_closed_stdin_does_not_matter_to_what_reads_none(words: list[str]) -> None:
    done = kvtui(*words, redirect="<&-")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout


@pytest.mark.parametrize(("words", "said"), [(["reconcile", "-"], b"looked for"), ([], b"not a terminal")])
def test_a_closed_stdin_is_an_empty_one(words: list[str], said: bytes) -> None:
    done = kvtui(*words, redirect="<&-")
    assert done.returncode == 2
    assert done.stdout == b""
    assert done.stderr.count(b"\n") == 1
    assert said in done.stderr


def test_narration_never_goes_to_stdout(tmp_path: Path) -> None:
    done = kvtui("--report", "--model", "Lama", redirect="2>&-")
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"")
    figures = ["plot", "--figure", "memory-context", "frontier", "-o", str(tmp_path / "x.json")]
    done = kvtui(*figures, redirect="2>&-")
    assert (done.returncode, done.stdout, len(list(tmp_path.iterdir()))) == (0, b"", 2)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
@pytest.mark.parametrize("words", [["--version"], ["--report"], ["models", "--format", "json"]], ids=" ".join)
def test_a_full_disk_is_one_line(words: list[str]) -> None:
    done = kvtui(*words, redirect=">/dev/full")
    assert done.returncode == 1
    assert done.stderr.decode() == "kvtui: output: No space left on device\n"


class Page(HTMLParser):
    """The text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.text = ""
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "utf-16"])
def test_data_is_utf8_and_text_is_what_the_terminal_shows(encoding: str) -> None:
    def output(*words: str) -> bytes:
        done = kvtui(*words, PYTHONIOENCODING=encoding)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout

    assert json.loads(output("--report", "json").decode())["schema"] == 1
    assert "×" in Page(output("--report", "html").decode()).text
    assert "×" in output("--report", "markdown").decode()
    for words in (["--report"], ["reconcile", LOG], ["estimate", "mha", *SHAPE, "--plot"]):
        text = output(*words).decode(encoding)
        assert text.isascii() == (encoding != "utf-16")
    assert output("--help").decode(encoding).startswith("usage: kvtui")


def test_the_same_bytes_go_to_a_pipe_and_to_a_file(tmp_path: Path) -> None:
    for form in ("json", "csv", "markdown", "html"):
        path = tmp_path / form
        assert kvtui("--report", form, "-o", str(path)).returncode == 0
        assert kvtui("--report", form, PYTHONIOENCODING="latin-1").stdout == path.read_bytes()


def test_process_substitutions_are_written_and_read(tmp_path: Path) -> None:
    script = '"$1" -m kvtui --report csv -o >(cat >"$3/out") && "$1" -m kvtui reconcile <(cat "$2") --format json; wait'
    command = ["bash", "-c", script, "bash", sys.executable, LOG, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["log"]["engine"] == "vllm"
    assert (tmp_path / "out").read_text().startswith("schema,kvtui,")
