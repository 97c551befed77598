"""``hf:`` for repositories of GGUF files, against a stand-in of the Hub that speaks its protocol on this machine.

It lists files as the Hub does, sends a file's address elsewhere as for large files, and answers ranges. What it sent is
counted: a header is a small part of a file.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.engine.sources.gguf.choice import choose
from tests.engine.sources.gguf.gguf_writing import HARMFUL, Key, write_gguf
from tests.nightly import sampled

KEYS: dict[str, Key] = {
    "general.name": "Small",
    ".block_count": 16,
    ".embedding_length": 2048,
    ".attention.head_count": 32,
    ".attention.head_count_kv": 8,
    "tokenizer.ggml.tokens": [f"word {number}" for number in range(200_000)],
}
LARGE = 64 * 2**20
LOAD = """
import sys
from kvtui.engine.basis.errors import InputError
from kvtui.engine.sources.load import load_model
try:
    model = load_model(sys.argv[1])
    print(model.name, model.weight_bytes, len(model.layers), *model.notes)
except InputError as error:
    print("refused:", error)
"""


class Sent(NamedTuple):
    """What the stand-in was asked and how many bytes it sent of files."""

    asked: list[str]
    files: list[int]


@contextmanager
def hub(folder: Path, *, ranges: bool = True) -> Iterator[tuple[str, Sent]]:
    """A Hub on this machine with one repository, org/Small-GGUF or org/small: the files of ``folder``."""
    sent = Sent([], [])

    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            sent.asked.append(f"{self.command} {path}")
            if path.startswith("/api/models/org/"):
                files = [{"rfilename": one.name, "size": one.stat().st_size} for one in sorted(folder.iterdir())]
                self.say(200, json.dumps({"id": "org/small", "sha": "0" * 40, "siblings": files}).encode())
            elif found := re.fullmatch(r"/org/[^/]+/resolve/main/(.+)", path):
                if (folder / found[1]).exists():
                    self.say(302, b"", Location=f"/cdn/{found[1]}")
                else:
                    self.say(404, b"", **{"X-Error-Code": "EntryNotFound"})
            elif path.startswith("/cdn/"):
                self.file(folder / path.removeprefix("/cdn/"))
            else:
                self.say(404, b"")

        def file(self, path: Path) -> None:
            size = path.stat().st_size
            asked = re.fullmatch(r"bytes=([0-9]+)-([0-9]+)", self.headers.get("Range", ""))
            first, last = (int(asked[1]), min(int(asked[2]), size - 1)) if asked and ranges else (0, size - 1)
            with path.open("rb") as file:
                file.seek(first)
                data = file.read(last - first + 1)
            sent.files.append(len(data))
            told = {"Content-Range": f"bytes {first}-{last}/{size}"} if asked and ranges else {}
            self.say(206 if told else 200, data, **told)

        def say(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                try:
                    self.wfile.write(body)
                except OSError:
                    self.close_connection = True

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", sent
    finally:
        server.shutdown()
        server.server_close()


def load(address: str, home: Path, text: str, **settings: str) -> str:
    """What a fresh process makes of ``text``; huggingface_hub reads its settings once."""
    told = {"HF_ENDPOINT": address, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1", **settings}
    command = [sys.executable, "-c", LOAD, text]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | told, timeout=60, check=True)
    assert done.stderr == ""
    assert done.stdout.count("\n") == 1
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Two quantised files, one of them in parts, and a projector of images."""
    folder = tmp_path / "repository"
    folder.mkdir()
    tensor = {"blk.0.attn_q.weight": (2048, LARGE // 2 // 2048)}
    write_gguf(folder / "Small-Q4_K_M.gguf", "llama", KEYS, tensor, whole=True)
    write_gguf(folder / "mmproj-Small-f16.gguf", "clip", {})
    for part in range(2):
        keys: dict[str, Key] = {"split.no": part, "split.count": 2}
        arch, told = ("llama", keys | KEYS) if part == 0 else (None, keys)
        path = folder / f"Small-Q8_0-{part + 1:05}-of-00002.gguf"
        write_gguf(path, arch, told, {f"blk.{part}.attn_q.weight": (2048, 2048)}, whole=True)
    return folder


def test_a_header_is_read_by_ranges_and_never_the_whole_file(repository: Path, tmp_path: Path) -> None:
    with hub(repository) as (address, sent):
        found = load(address, tmp_path, "hf:org/Small-GGUF:Q4_K_M")
    assert found == f"Small {LARGE} 16"
    header = (repository / "Small-Q4_K_M.gguf").stat().st_size - LARGE
    assert header < sum(sent.files) < 4 * header < LARGE // 2
    assert not any("resolve" in one and one.startswith("HEAD") for one in sent.asked)


@pytest.mark.parametrize("text", ["hf:org/Small-GGUF/Small-Q4_K_M.gguf", "hf:org/small:q4-k-m"])
@sampled(2)
def test_a_file_by_its_name_or_its_format(repository: Path, tmp_path: Path, text: str) -> None:
    with hub(repository) as (address, _):
        assert load(address, tmp_path, text) == f"Small {LARGE} 16"


def test_a_split_file_is_added_up(repository: Path, tmp_path: Path) -> None:
    with hub(repository) as (address, sent):
        found = load(address, tmp_path, "hf:org/Small-GGUF:Q8_0")
    assert found == f"Small {2 * 2 * 2048 * 2048} 16"
    assert any("00002-of-00002" in one for one in sent.asked)


def test_several_files_are_listed_with_their_sizes(repository: Path, tmp_path: Path) -> None:
    with hub(repository) as (address, sent):
        found = load(address, tmp_path, "hf:org/Small-GGUF")
        other = load(address, tmp_path, "hf:org/Small-GGUF:Q5_K_M")
    assert found.startswith("refused: model: hf:org/Small-GGUF holds several files: add one of :Q8_0 (")
    assert ", :Q4_K_M (" in found
    assert "mmproj" not in found
    assert "has no Q5_K_M; it holds several files" in other
    assert sent.files == []


def test_a_repository_without_a_config_is_one_of_files(repository: Path, tmp_path: Path) -> None:
    for extra in repository.glob("*Q8_0*"):
        extra.unlink()
    with hub(repository) as (address, _):
        assert load(address, tmp_path, "hf:org/small") == f"Small {LARGE} 16"


def test_a_server_that_knows_no_ranges_is_not_read(repository: Path, tmp_path: Path) -> None:
    with hub(repository, ranges=False) as (address, _):
        found = load(address, tmp_path, "hf:org/Small-GGUF:Q4_K_M")
    assert found.endswith("cannot be downloaded: the server sends whole files only")


def test_what_is_no_gguf_file_is_refused(repository: Path, tmp_path: Path) -> None:
    (repository / "Small-Q4_K_M.gguf").write_bytes(b"GGUF" + b"\xff" * 2000)
    with hub(repository) as (address, _):
        found = load(address, tmp_path, "hf:org/Small-GGUF:Q4_K_M")
    assert found.startswith("refused: hf:org/Small-GGUF/Small-Q4_K_M.gguf: not a readable GGUF file")


def test_files_of_the_local_cache_need_no_network(repository: Path, tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    cached = tmp_path / "models--org--Small-GGUF"
    (cached / "snapshots").mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit)
    repository.rename(cached / "snapshots" / commit)
    settings = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path)}
    assert load("http://127.0.0.1:9", tmp_path, "hf:org/Small-GGUF:Q4_K_M", **settings) == f"Small {LARGE} 16"
    assert "holds several files" in load("http://127.0.0.1:9", tmp_path, "hf:org/Small-GGUF", **settings)


FILES = {
    "Q-8B-Q4_K_M.gguf": 5,
    "Q-8B-UD-Q4_K_XL.gguf": 6,
    "BF16/Q-8B-BF16-00001-of-00002.gguf": 8,
    "BF16/Q-8B-BF16-00002-of-00002.gguf": 7,
    "mmproj-F16.gguf": 1,
}


@pytest.mark.parametrize(
    ("wanted", "file"),
    [
        ("Q4_K_M", "Q-8B-Q4_K_M.gguf"),
        ("q4-k-m", "Q-8B-Q4_K_M.gguf"),
        ("UD-Q4_K_XL", "Q-8B-UD-Q4_K_XL.gguf"),
        ("Q-8B-UD-Q4_K_XL.gguf", "Q-8B-UD-Q4_K_XL.gguf"),
        ("BF16", "BF16/Q-8B-BF16-00001-of-00002.gguf"),
        ("BF16/Q-8B-BF16.gguf", "BF16/Q-8B-BF16-00001-of-00002.gguf"),
    ],
)
def test_the_file_that_is_wanted(wanted: str, file: str) -> None:
    assert choose(FILES, wanted, "model: x") == file


@given(st.dictionaries(st.text(max_size=40), st.integers(0, 2**50), max_size=20), st.text(max_size=40))
def test_any_names_give_one_of_them_or_a_list(files: dict[str, int], wanted: str) -> None:
    try:
        file = choose(files, wanted, "model: x")
    except InputError as error:
        said = str(error)
        assert said.startswith("model: x ") and not HARMFUL.search(said)  # noqa: PT018
    else:
        assert file in files
