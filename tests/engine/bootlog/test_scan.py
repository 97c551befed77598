"""Reading of anything at all: bounded memory, endless lines, other encodings."""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path

import pytest

from kvtui.engine.bootlog import scan
from tests.nightly import sampled
from tests.paths import ROOT

MEGABYTE = 2**20
MEASURE = """
import resource, sys
from kvtui.engine.reconcile.read_log import read_log
from kvtui.engine.basis.errors import InputError
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
try:
    read_log(open("/dev/null", "rb"))
except InputError:
    pass
before = peak()
found = "none"
try:
    found = read_log(open(sys.argv[1], "rb")).engine
except InputError:
    pass
print(peak() - before, found)
"""


def lines(data: bytes, *markers: str) -> list[str]:
    return [text for text, _ in scan.lines(BytesIO(data), markers)]


def test_only_lines_with_a_marker_come_in_order_and_once() -> None:
    data = b"one\ntwo b a\nthree\nfour a\nfive b"
    assert lines(data, "a", "b") == ["two b a", "four a", "five b"]


def test_each_line_comes_with_its_markers() -> None:
    found = list(scan.lines(BytesIO(b"b then a\nb\nc\n"), ("a", "b")))
    assert found == [("b then a", ["a", "b"]), ("b", ["b"])]


def test_colours_and_progress_bars() -> None:
    data = b"\x1b[0;36m(A)\x1b[0;0m kept 1\x1b]8;;http://x\x1b\\\r 50%|##| kept 2\r\nkept 3"
    assert lines(data, "kept") == ["(A) kept 1", " 50%|##| kept 2", "kept 3"]


def test_lines_over_the_edge_of_a_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "CHUNK_BYTES", 7)
    data = b"nothing\nwanted here\nnothing\nand wanted there\n"
    assert lines(data, "wanted") == ["wanted here", "and wanted there"]


def test_an_endless_line_is_cut() -> None:
    data = b"wanted " + b"x" * (3 * MEGABYTE) + b" wanted\nwanted again\n"
    found = lines(data, "wanted")
    assert [text[:12] for text in found] == ["wanted xxxxx", "wanted again"]
    assert max(map(len, found)) <= scan.MAX_LINE_BYTES


def test_no_more_is_read_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "MAX_READ_BYTES", 100)
    assert len(lines(b"wanted line\n" * 50, "wanted")) == 9


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8-sig"])
def test_other_encodings(encoding: str) -> None:
    text = "\ufeffa wanted línea\nb\n" if encoding.endswith("e") else "a wanted línea\nb\n"
    (found,) = lines(text.encode(encoding), "wanted")
    assert found.lstrip("\ufeff") == "a wanted línea"


GARBAGE = {
    "binary": lambda: bytes(range(256)) * 4096,
    "one endless line": lambda: b"GPU KV cache usage: 12.3%, " * (MEGABYTE // 27),
    "many short lines": lambda: b"INFO Engine 000: GPU KV cache usage: 12.3%\n" * (MEGABYTE // 43),
    "a marker in every line": lambda: b"Available KV cache memory: 5.33 GiB\n" * (MEGABYTE // 36),
}


@sampled(3)
@pytest.mark.parametrize("kind", [*reversed(GARBAGE)])
def test_many_megabytes_of_garbage_take_little_memory(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "garbage.log"
    piece = GARBAGE[kind]()
    with path.open("wb") as file:
        for _ in range(30 if "lines" in kind or "every" in kind else 100):
            file.write(piece)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True, timeout=60, cwd=ROOT
    )
    path.unlink()
    grown, engine = done.stdout.split()
    assert int(grown) < 40
    assert engine == ("vllm" if kind == "a marker in every line" else "none")


FOLDED = b"before\na wanted line that was\nfolded over\nthree lines\nand more\nwanted too\n"


def test_a_folded_line_comes_with_what_follows_it() -> None:
    first, second = [text for text, _ in scan.lines(BytesIO(FOLDED), ["wanted"], ["wanted"])]
    assert first == "a wanted line that was\nfolded over\nthree lines\nand more\nwanted too\n"
    assert second == "wanted too\n"
    assert lines(FOLDED, "wanted") == ["a wanted line that was", "wanted too"]


@pytest.mark.parametrize("chunk", [1, 7, 64, 1000])
def test_a_folded_line_may_lie_over_the_edge_of_a_chunk(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(scan.lines(BytesIO(b"x" * 3000 + b"\n" + FOLDED), ["wanted"], ["wanted"]))
    monkeypatch.setattr(scan, "CHUNK_BYTES", chunk)
    assert list(scan.lines(BytesIO(b"x" * 3000 + b"\n" + FOLDED), ["wanted"], ["wanted"])) == whole
