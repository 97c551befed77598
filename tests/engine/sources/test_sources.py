"""What the text after ``--model`` can be: files and folders of every sort, names of the Hub, names of the catalogue."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.model.formats import FORMATS
from kvtui.engine.sources.load import load_model
from tests.engine.sources.gguf.gguf_writing import HARMFUL, Key, write_gguf
from tests.engine.sources.work import at_most
from tests.paths import ROOT

FEW_REQUESTS = 3
"""A question, a download or a list, and one of the client's own: more would be its tries, half a minute of them."""

LLAMA_3_2_1B = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_attention_heads": 32,
    "num_hidden_layers": 16,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "max_position_embeddings": 131072,
    "vocab_size": 128256,
    "tie_word_embeddings": True,
}
KEYS = {
    ".block_count": 16,
    ".embedding_length": 2048,
    ".attention.head_count": 32,
    ".attention.head_count_kv": 8,
}
BYTES_PER_TOKEN = 32_768


def per_token(text: str | Path) -> int:
    return load_model(str(text)).bytes_per_token(FORMATS["bf16"])


def refused(text: str | Path) -> str:
    """The error that ``text`` ends in, which is one printable line and comes without much ado."""
    with at_most(10**6), pytest.raises(InputError) as caught:
        load_model(str(text))
    assert not HARMFUL.search(str(caught.value))
    return str(caught.value)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA_3_2_1B))
    return path


def test_a_gguf_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_gguf(tmp_path / "m.gguf", "llama", KEYS)
    assert per_token(path) == BYTES_PER_TOKEN
    monkeypatch.chdir(tmp_path)
    assert per_token("m.gguf") == per_token("./m.gguf") == BYTES_PER_TOKEN
    monkeypatch.setenv("HOME", str(tmp_path))
    assert per_token("~/m.gguf") == BYTES_PER_TOKEN


def test_a_gguf_file_under_another_name(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "sha256-0123abcd", "llama", KEYS)
    assert per_token(path) == BYTES_PER_TOKEN
    assert per_token(path.rename(tmp_path / "UPPER.GGUF")) == BYTES_PER_TOKEN


def test_a_config_and_its_folder(config: Path) -> None:
    assert per_token(config) == BYTES_PER_TOKEN
    assert per_token(config.parent) == BYTES_PER_TOKEN


def test_a_config_wins_over_a_gguf_file_beside_it(config: Path) -> None:
    write_gguf(config.parent / "m.gguf", "llama", KEYS | {".block_count": 2})
    assert per_token(config.parent) == BYTES_PER_TOKEN


def test_a_folder_with_one_gguf_file(tmp_path: Path) -> None:
    write_gguf(tmp_path / "only.gguf", "llama", KEYS)
    write_gguf(tmp_path / "mmproj-only-f16.gguf", "clip", {})
    assert load_model(str(tmp_path)).name == "only"


def test_a_folder_with_a_split_gguf_file(tmp_path: Path) -> None:
    for part in range(3):
        keys: dict[str, Key] = {"split.no": part, "split.count": 3}
        tensors = {f"blk.{part}.w.weight": (32,)}
        path = tmp_path / f"big-{part + 1:05}-of-00003.gguf"
        arch, told = ("llama", keys | KEYS) if part == 0 else (None, keys)
        write_gguf(path, arch, told, tensors)
    assert load_model(str(tmp_path)).weight_bytes == 3 * 64


def test_a_folder_with_several_gguf_files_lists_them(tmp_path: Path) -> None:
    for name in "abcdefg":
        write_gguf(tmp_path / f"{name}.gguf", "llama", KEYS)
    message = refused(tmp_path)
    assert "give one of a.gguf, b.gguf, c.gguf, d.gguf, e.gguf and 2 more" in message


def test_a_folder_with_nothing(tmp_path: Path) -> None:
    assert str(tmp_path) in refused(tmp_path)


@pytest.mark.parametrize(
    "text", ["nothing.json", "nothing.gguf", "./nothing", "../nothing", "/nothing/here", "~/nothing"]
)
def test_a_file_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    assert refused(text) == f"model: {text}: no such file"


def test_a_name_of_the_catalogue() -> None:
    assert per_token("Llama-3.1-8B") == 131_072
    assert per_token("meta-llama/Llama-3.1-8B") == 131_072
    with pytest.raises(UnknownName, match=r"unknown model 'Lama-3.1-8B'; did you mean .*Llama-3.1-8B"):
        load_model("Lama-3.1-8B")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
@pytest.mark.parametrize("name", ["pipe", "pipe.gguf", "pipe.json"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    assert "neither a regular file nor a folder" in refused(tmp_path / name)


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs devices")
def test_a_device_is_not_read(tmp_path: Path) -> None:
    assert "neither a regular file nor a folder" in refused("/dev/zero")
    (tmp_path / "zero.gguf").symlink_to("/dev/zero")
    assert "neither a regular file nor a folder" in refused(tmp_path / "zero.gguf")


def test_links_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert "model: " in refused(tmp_path / "a")
    assert "model: " in refused(tmp_path / "a" / "m.gguf")


def test_a_link_to_the_folder_that_holds_it(tmp_path: Path) -> None:
    write_gguf(tmp_path / "only.gguf", "llama", KEYS)
    (tmp_path / "again").symlink_to(tmp_path)
    assert per_token(tmp_path / "again" / "again" / "again") == BYTES_PER_TOKEN


def test_a_file_used_as_a_folder(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", "llama", KEYS)
    assert "Not a directory" in refused(path / "config.json")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may read everything")
def test_what_may_not_be_read(tmp_path: Path) -> None:
    path = write_gguf(tmp_path / "m.gguf", "llama", KEYS)
    path.chmod(0)
    assert "Permission denied" in refused(path)
    tmp_path.chmod(0)
    try:
        assert "Permission denied" in refused(path)
        assert "Permission denied" in refused(tmp_path)
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    "text", ["", " ", "\0", "./\0", "/" + "x" * 5000, "x" * 5000, "./\udcff", "~nobody-at-all/x", "\x1b[2J"]
)
def test_odd_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.chdir(tmp_path)
    refused(text)


@given(st.text(max_size=40))
def test_any_text(text: str) -> None:
    try:
        model = load_model(text)
    except InputError as error:
        message = str(error)
    else:
        message = model.name
    assert not HARMFUL.search(message)


@pytest.mark.parametrize(
    "name", ["", "org", "org/", "/name", "org/name/more", "org/na me", "../..//etc", "org/n\u00e4me", "a/b\n"]
)
def test_malformed_names_of_the_hub(name: str) -> None:
    assert "is not of the form hf:ORG/NAME" in refused(f"hf:{name}")


LOAD = """
import sys
from kvtui.engine.basis.errors import InputError
from kvtui.engine.sources.load import load_model
try:
    model = load_model(sys.argv[1])
    print(sum(layer.caches[0].kv_heads for layer in model.layers), model.name)
except InputError as error:
    print("refused:", error)
"""


def load_offline(cache: Path, text: str) -> str:
    """What a fresh process that may not use the network makes of ``text``; huggingface_hub reads its settings once."""
    return load({"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(cache), "HF_HOME": str(cache)}, text)


def load(settings: dict[str, str], text: str) -> str:
    command = [sys.executable, "-c", LOAD, text]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | settings, timeout=60, check=True)
    assert done.stderr == ""
    return done.stdout.strip()


def test_the_hub_from_its_local_cache(tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--meta-llama--Llama-3.2-1B"
    snapshot = repository / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    (snapshot / "config.json").write_text(json.dumps(LLAMA_3_2_1B))
    assert load_offline(tmp_path, "hf:meta-llama/Llama-3.2-1B").startswith("128 ")


def test_the_hub_out_of_reach(tmp_path: Path) -> None:
    found = load_offline(tmp_path, "hf:meta-llama/Llama-3.2-1B")
    assert found.startswith("refused: model: hf:meta-llama/Llama-3.2-1B is not in the local cache and cannot be down")
    assert "\n" not in found


@contextmanager
def hub(status: int, code: str | None = None) -> Iterator[tuple[str, list[str]]]:
    """The address of a server on this machine, and what it was asked.

    It answers everything with ``status`` and the Hub's error ``code``.
    """
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            if code is not None:
                self.send_header("X-Error-Code", code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_HEAD  # noqa: N815

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "message"),
    [
        (401, "RepoNotFound", "is not on the Hub, or not public"),
        (403, "GatedRepo", "is gated"),
        (404, "EntryNotFound", "has no config.json"),
        (500, None, "cannot be downloaded"),
    ],
)
def test_what_the_hub_may_answer(tmp_path: Path, status: int, code: str | None, message: str) -> None:
    with hub(status, code) as (address, asked):
        settings = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
        found = load(settings, "hf:org/name")
    assert 1 <= len(asked) <= FEW_REQUESTS
    assert found.startswith("refused: model: hf:org/name ")
    assert message in found
    assert "\n" not in found


def test_a_hub_that_hangs_up_is_not_called_again_and_again(tmp_path: Path) -> None:
    calls: list[object] = []

    def hang_up() -> None:
        with suppress(OSError):
            while True:
                connection, caller = server.accept()
                calls.append(caller)
                connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=hang_up, daemon=True).start()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        settings = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1"}
        assert "cannot be downloaded" in load(settings, "hf:org/name")
    assert 1 <= len(calls) <= FEW_REQUESTS


def test_the_hub_without_its_package(tmp_path: Path) -> None:
    (tmp_path / "huggingface_hub.py").write_text("raise ImportError")
    command = [sys.executable, "-c", LOAD, "hf:meta-llama/Llama-3.2-1B"]
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths}, check=True)
    assert "pip install 'kvtui[hub]'" in done.stdout
