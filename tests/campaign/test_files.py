"""Mutated files of every kind that a command reads: an answer, or one harmless line; never a traceback or a hang.

The suite tries a few of each kind, the night (``KVTUI_TEST_PROFILE=nightly``) thousands, and of tables and figures a
hundred thousand. ``python -m tests.campaign.test_files TIMES [SEED [KIND…]]`` prints how many ended with which code.
"""

from __future__ import annotations

import json
import os
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from kvtui.bench.store import CSV, RUN, SAMPLES
from kvtui.cases import table_csv
from kvtui.cli import main
from kvtui.report.template import template
from tests.bench.test_store import filled
from tests.engine.live.test_hostile import mutated
from tests.engine.sources.gguf.gguf_writing import write_gguf
from tests.engine.sources.gguf.test_gguf import MODELS
from tests.engine.sources.hf.published import PUBLISHED
from tests.engine.sources.test_any_file import VALUES
from tests.figures.sample_rows import sweep_rows
from tests.nightly import NIGHTLY
from tests.paths import LOGS, ROOT

TIMES = 5
SECONDS = 30.0
CODES = {0, 1, 2, 3, 4}
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
FILE = "FILE"


class Kind(NamedTuple):
    """Files of one kind: what they are made of, what one is called, the command that reads it, and how many a night."""

    originals: Callable[[], Sequence[bytes]]
    name: str
    words: tuple[str, ...]
    nightly: int = 2_000


def _configs() -> Sequence[bytes]:
    return [json.dumps(config).encode() for config in PUBLISHED.values()]


def _ggufs() -> Sequence[bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return [write_gguf(Path(folder) / "m.gguf", *given[:2]).read_bytes() for given in MODELS.values()]


def _index() -> Sequence[bytes]:
    names = {f"model.layers.{i}.self_attn.q_proj.weight": f"model-{i % 4:05}.safetensors" for i in range(32)}
    return [json.dumps({"metadata": {"total_size": 16_060_522_496}, "weight_map": names}).encode()]


def _logs() -> Sequence[bytes]:
    return [path.read_bytes()[:60_000] for path in sorted(LOGS.glob("*.log"))]


def _tables() -> Sequence[bytes]:
    rows = table_csv.write(sweep_rows(groups={"attention_type"})).encode()
    return [rows, b"x,a,b\n1,2,3\n2,4,nan\n3,,5\n", b"t;y\n0,5;1\n", b"1\t2\n3\t4\n"]


def _figures() -> Sequence[bytes]:
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ("memory-context", "frontier", "memory-map", "cache-surface"):
            path = Path(folder) / f"{name}.json"
            assert not main(["plot", "--figure", name, "-o", str(path)])
            found.append(path.read_bytes())
    return found


def _run(name: str) -> Callable[[], Sequence[bytes]]:
    def made() -> Sequence[bytes]:
        with tempfile.TemporaryDirectory() as folder:
            return [(filled(Path(folder)) / name).read_bytes()]

    return made


def _traces() -> Sequence[bytes]:
    lines = (ROOT / "tests/data/replay/synth_trace_160.jsonl").read_bytes().splitlines(keepends=True)
    return [b"".join(lines[:40])]


def _recordings() -> Sequence[bytes]:
    files = sorted((ROOT / "examples/watch").glob("*.jsonl"))
    return [b"".join(path.read_bytes().splitlines(keepends=True)[:12]) for path in files]


def _profile() -> Sequence[bytes]:
    return [b'engine = "vllm"\nweights_of = "Qwen3-8B"\nweights_bytes = 16000000000\ngraphs_bytes = 500000000\n']


def _settings() -> Sequence[bytes]:
    return [b'theme = "kvtui-dark"\nmotion = "full"\nfps = 20\nremember = true\n[keymap]\nquit = "ctrl+q"\n']


KINDS = {
    "config.json": Kind(_configs, "config.json", ("--report", "csv", "--model", FILE)),
    "GGUF": Kind(_ggufs, "m.gguf", ("--report", "csv", "--skip-weights", "--model", FILE)),
    "safetensors index": Kind(_index, "f/model.safetensors.index.json", ("--report", "csv", "--model", "f")),
    "boot log": Kind(_logs, "x.log", ("reconcile", FILE)),
    "table": Kind(_tables, "x.csv", ("plot", FILE), 50_000),
    "figure": Kind(_figures, "x.json", ("plot", FILE), 50_000),
    "run": Kind(_run(RUN), f"run/{RUN}", ("bench", "--plot-only", "--out", "run")),
    "run's table": Kind(_run(CSV), f"run/{CSV}", ("plot", f"run/{CSV}", "--list")),
    "run's samples": Kind(_run(SAMPLES), f"run/{SAMPLES}", ("bench", "--compare", "run", "run")),
    "trace": Kind(_traces, "x.jsonl", ("replay", FILE, "--requests", "30")),
    "recording": Kind(_recordings, "x.jsonl", ("watch", FILE, "--once")),
    "models.toml": Kind(lambda: [template("models", "Qwen3-8B").encode()], "config/models.toml", ("models", "qwen")),
    "devices.toml": Kind(lambda: [template("devices", "T4").encode()], "config/devices.toml", ("devices", "t4")),
    "profile": Kind(_profile, "config/profiles/p.toml", ("--report", "csv", "--engine", "vllm", "--profile", "p")),
    "settings": Kind(_settings, "config/config.toml", ("doctor",), 20),
}


def shaken(data: bytes, chance: random.Random) -> bytes:
    """``data`` with bytes of it changed, or, where it is JSON or lines of JSON, with some of its values changed."""
    if chance.random() < 0.3:
        return mutated(data, chance)
    lines = data.splitlines(keepends=True) if data.startswith(b"{") else []
    for at in chance.sample(range(len(lines)), min(len(lines), chance.randint(1, 3))):
        try:
            value = json.loads(lines[at])
        except ValueError:
            continue
        _change(value, chance)
        lines[at] = json.dumps(value).encode() + b"\n"
    if lines and b"".join(lines) != data:
        return b"".join(lines)
    place = chance.randrange(len(data))
    return (
        data[:place] + chance.choice([b"", b"-", b"9", b"\x00", b"\xff", data[place : place + 9]]) + data[place + 1 :]
    )


def _change(value: object, chance: random.Random) -> None:
    """Drop, replace or double something in ``value``, at any depth."""
    keys: Sequence[object] = (
        list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    if not keys:
        return
    assert isinstance(value, dict | list)
    key: Any = chance.choice(keys)
    if isinstance(value[key], dict | list) and value[key] and chance.random() < 0.8:
        _change(value[key], chance)
        return
    match chance.randrange(4):
        case 0:
            del value[key]
        case 1 if isinstance(value, list):
            value.append(chance.choice(VALUES))
        case _:
            value[key] = chance.choice(VALUES)


def campaign(name: str, times: int, seed: int) -> Counter[object]:
    """Try ``times`` mutations of the files of kind ``name`` in the working directory; how often each code was given."""
    kind, chance = KINDS[name], random.Random(f"{name} {seed}")
    originals = kind.originals()
    codes: Counter[object] = Counter()
    path = Path(kind.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if name == "safetensors index":
        (path.parent / "config.json").write_bytes(_configs()[0])
    if name.startswith("run"):
        for other in (RUN, CSV, SAMPLES):
            (path.parent / other).write_bytes(_run(other)()[0])
    words = [kind.name if word == FILE else word for word in kind.words]
    for _ in range(times):
        data = shaken(chance.choice(originals), chance)
        path.write_bytes(data)
        out, err = StringIO(), StringIO()
        began = time.thread_time()
        with redirect_stdout(out), redirect_stderr(err):
            try:
                code: object = main(words)
            except SystemExit as end:
                code = end.code
            except BaseException:
                Path(tempfile.gettempdir(), f"kvtui-campaign-{path.name}").write_bytes(data)
                raise
        assert code in CODES, code
        assert code in {0, 4} or err.getvalue().count("\n") == 1, err.getvalue()
        assert not CONTROLS.search(out.getvalue() + err.getvalue()), data
        assert time.thread_time() - began < SECONDS, data
        codes[code] += 1
    return codes


@pytest.mark.parametrize("name", KINDS)
def test_mutated_files(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KVTUI_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("NO_COLOR", "1")
    times = KINDS[name].nightly if NIGHTLY else min(TIMES, KINDS[name].nightly // 20)
    assert sum(campaign(name, times, 0).values()) == times


if __name__ == "__main__":
    os.environ["NO_COLOR"] = "1"
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    for one in sys.argv[3:] or KINDS:
        with tempfile.TemporaryDirectory() as folder, chdir(folder):
            os.environ["KVTUI_CONFIG_DIR"] = os.path.join(folder, "config")
            print(f"{one}: {sys.argv[1]} files, exit codes {dict(campaign(one, int(sys.argv[1]), seed))}", flush=True)
