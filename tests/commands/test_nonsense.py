"""Any words to any command: an answer or one harmless line, never a traceback, a hang or a raw control character."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from kvtui.cli import main
from kvtui.commands.known import COMMANDS, CommandLine
from tests.nightly import sampled
from tests.paths import LOGS

pytestmark = sampled(3)

ANSWERED, REFUSED = {0, 4}, {1, 2, 3}
CONTROLS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
LOG = str(LOGS / "vllm-0.9-qwen3-235b-fp8-tp4.log")
MEASURES = ["--list-groups", "--plot-only", "--compare"]
PATHS = (".", "", "/", "..", "x/", "out.txt", "out.svg", "no/such", "\x1b]0;owned\x07", "\u202eevil", "a\0b", "x" * 300)


def said(words: Sequence[str], folder: Path) -> tuple[object, str, str]:
    """Exit code, stdout and stderr of ``words``, in ``folder``."""
    out, err = StringIO(), StringIO()
    with chdir(folder), redirect_stdout(out), redirect_stderr(err):
        try:
            code: object = main(words)
        except SystemExit as end:
            code = end.code
    return code, out.getvalue(), err.getvalue()


def check(words: Sequence[str], folder: Path) -> bool:
    """Whether ``words`` were answered, instead of refused in one line."""
    code, out, err = said(words, folder)
    assert code in ANSWERED | REFUSED
    assert not CONTROLS.search(err)
    assert not CONTROLS.search(out)
    answered = code in ANSWERED
    assert (bool(out), err.count("\n")) == (answered, int(not answered))
    return answered


numbers = st.sampled_from(
    ("0", "1", "2", "8", "-1", "1e-300", "1e300", "nan", "inf", "999999999999", "1.5", "4K", "1GiB")
)
names = st.sampled_from(("Qwen3-8B", "gemma-3-27b", "H100 SXM", "T4", "bf16", "fp8", "vllm", "llama.cpp", "mla"))
nonsense = st.text(max_size=12).filter(lambda text: not text.startswith(("hf:", "-")))
values = st.one_of(numbers, names, st.sampled_from(PATHS), nonsense)
RIGHT = {
    **dict.fromkeys(("--gpus", "--tp", "--pp", "--dp", "--batch", "--kv-heads", "--n-layers", "--top-k"), "2"),
    **dict.fromkeys(("--context", "--context-length", "--sliding-window-size", "--max-batched-tokens"), "4K"),
    "--model": "Qwen3-8B",
    "--gpu": "H100 SXM",
    "--format": "csv",
    "--color": "never",
    "--kv-pool": "1GiB",
    "--emb-dim": "64",
    "--n-heads": "8",
    "--latent-dim": "16",
    "--size": "fast",
    "--groups": "moe",
}
"""A right value of each of these options, alone."""
LINE = CommandLine()
LINE.whole()


def lines(name: str) -> st.SearchStrategy[list[str]]:
    """Lines of options that the command ``name`` has, with values that may be anything."""
    parser = LINE.commands.get(name, LINE.parser)
    taken = {"-h", "--help", "-V", "--version", "--out", "--resume", "--save-profile", "-o", "--output"}
    options = st.sampled_from([option for option in parser.options() if option not in taken])
    right = st.sampled_from([(word, RIGHT[word]) for word in parser.options() if word in RIGHT])
    pairs = st.lists(st.one_of(right, st.tuples(options, values), st.tuples(options)), max_size=4)
    return st.tuples(pairs, st.lists(values, max_size=1)).map(lambda both: [*sum(both[0], ()), *both[1]])


@given(lines("").filter(lambda words: not words or words[0] not in COMMANDS))
def test_any_report(tmp_path_factory: pytest.TempPathFactory, words: list[str]) -> None:
    check(["--report", *words], tmp_path_factory.mktemp("report"))


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"doctor", "serve"}))
@given(st.data())
def test_any_command(tmp_path_factory: pytest.TempPathFactory, name: str, data: DataObject) -> None:
    words = data.draw(lines(name))
    first = {
        "bench": [data.draw(st.sampled_from(MEASURES))],
        "reconcile": [LOG],
        "grid": ["--models", "Llama-3.1-8B", "--devices", "H100 SXM"],
        "train": ["--resume"],
        "generate": ["--checkpoint", "no/such"],
        "watch": ["no/such.jsonl"],  # a server that is not there is waited for without end
    }.get(name, [])
    check([name, *first, *words], tmp_path_factory.mktemp(name))


@pytest.mark.parametrize("first", [["--report"], ["models"], ["estimate", "deltanet"], ["bench", "--list-groups"]])
def test_some_of_it_is_answered(tmp_path: Path, first: list[str]) -> None:
    """What is asserted above of answers is not vacuous: right options of each are answered."""
    taken = LINE.commands.get(first[0], LINE.parser).options()
    right = [(word, RIGHT[word]) for word in ("--format", "--context", "--context-length", "--color") if word in taken]
    assert check([*first, *sum(right, ())], tmp_path)


@pytest.mark.parametrize("output", PATHS)
@pytest.mark.parametrize(
    "words",
    [
        ["--report"],
        ["models"],
        ["compare", "--", "--pa"],
        ["estimate", "deltanet"],
        ["estimate", "--plot", "deltanet"],
        ["plot", "--figure", "frontier"],
        ["reconcile", LOG],
        ["bench", "--list-groups"],
        ["--completion=bash"],
    ],
    ids=" ".join,
)
def test_any_output(tmp_path: Path, words: list[str], output: str) -> None:
    command, *rest = words
    code, out, err = said([command, "-o", output, *rest], tmp_path)
    wrong = output not in {"out.txt", "out.svg", "\x1b]0;owned\x07", "\u202eevil"}
    endings = words[0] == "plot" and not output.endswith((".txt", ".svg"))
    assert code == (2 if endings or output in {".", "", "/", "..", "x/"} else int(wrong))
    assert (out, err.count("\n")) == ("", int(code != 0))
    assert not CONTROLS.search(err)
    assert all(not path.name.endswith(".partial") for path in tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="FIFOs and devices of POSIX")
@pytest.mark.parametrize(
    "words",
    [
        ["--report", "--model", "FIFO"],
        ["--report", "--model", "FOLDER"],
        ["--report", "--model", "/dev/zero"],
        ["plot", "FIFO"],
        ["plot", "FOLDER"],
        ["plot", "/dev/zero"],
        ["plot", "FIFO", "--list"],
        ["reconcile", "FIFO"],
        ["reconcile", "/dev/zero"],
        ["reconcile", "/dev/tty"],
        ["bench", "--plot-only", "--out", "FIFO"],
        ["bench", "--plot-only", "--out", "FOLDER"],
        ["bench", "--compare", "FIFO", "/dev/zero"],
        ["--report", "--profile", "fifo", "--engine", "vllm"],
        ["models"],
    ],
    ids=" ".join,
)
def test_what_never_comes_is_not_waited_for(tmp_path: Path, words: list[str]) -> None:
    """FIFOs without a writer, and devices without an end, as every kind of input: one line, at once."""
    config, folder = tmp_path / "config", tmp_path / "folder"
    for path in (config / "profiles", folder):
        path.mkdir(parents=True)
    for fifo in ("config/profiles/fifo.toml", "config/models.toml", "folder/config.json", "folder/run.json", "fifo"):
        os.mkfifo(tmp_path / fifo)
    if words != ["models"]:
        (config / "models.toml").unlink()
    named = {"FIFO": str(tmp_path / "fifo"), "FOLDER": str(folder)}
    done = subprocess.run(
        [sys.executable, "-m", "kvtui", *(named.get(word, word) for word in words)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "KVTUI_CONFIG_DIR": str(config)},
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
