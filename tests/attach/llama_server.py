"""A real llama.cpp server on loopback: a tiny model with random weights, written here, served by xllamacpp."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gguf
import numpy as np

LAYERS, WIDTH, HEADS, KV_HEADS, FF = 2, 64, 4, 2, 128
SERVE = """
import sys, time
import xllamacpp
given = xllamacpp.CommonParams()
given.model.path, given.kv_unified = sys.argv[1], sys.argv[5] == "unified"
given.port, given.n_ctx, given.n_parallel = map(int, sys.argv[2:5])
given.hostnames = ["127.0.0.1"]
given.endpoint_metrics = given.endpoint_slots = given.endpoint_props = True
given.cpuparams.n_threads = given.cpuparams_batch.n_threads = 1
given.n_threads_http, given.cache_ram_mib, given.warmup, given.ui = 4, 0, False, False
server = xllamacpp.Server(given)
sys.stdin.read()
"""


def write_model(path: Path, width: int = WIDTH, layers: int = LAYERS) -> None:
    """A llama of random weights whose tokens are bytes."""
    chance = np.random.default_rng(0)
    head = width // HEADS
    out = gguf.GGUFWriter(str(path), "llama")
    out.add_name("tiny-random")
    out.add_context_length(8192)
    out.add_embedding_length(width)
    out.add_block_count(layers)
    out.add_feed_forward_length(FF)
    out.add_head_count(HEADS)
    out.add_head_count_kv(KV_HEADS)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_rope_dimension_count(head)
    out.add_file_type(gguf.LlamaFileType.ALL_F32)
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    kinds = [gguf.TokenType.UNKNOWN, gguf.TokenType.CONTROL, gguf.TokenType.CONTROL, *[gguf.TokenType.BYTE] * 256]
    out.add_vocab_size(len(tokens))
    out.add_tokenizer_model("llama")
    out.add_token_list(tokens)
    out.add_token_scores([0.0] * len(tokens))
    out.add_token_types(kinds)
    out.add_bos_token_id(1)
    out.add_eos_token_id(2)
    out.add_unk_token_id(0)
    shapes = {"token_embd": (len(tokens), width), "output": (len(tokens), width)}
    for layer in range(layers):
        for name, rows in (("attn_q", width), ("attn_k", KV_HEADS * head), ("attn_v", KV_HEADS * head)):
            shapes[f"blk.{layer}.{name}"] = (rows, width)
        shapes |= {
            f"blk.{layer}.attn_output": (width, width),
            f"blk.{layer}.ffn_gate": (FF, width),
            f"blk.{layer}.ffn_up": (FF, width),
            f"blk.{layer}.ffn_down": (width, FF),
        }
        for name in ("attn_norm", "ffn_norm"):
            out.add_tensor(f"blk.{layer}.{name}.weight", np.ones(width, np.float32))
    out.add_tensor("output_norm.weight", np.ones(width, np.float32))
    for name, shape in shapes.items():
        out.add_tensor(f"{name}.weight", (chance.standard_normal(shape) * 0.08).astype(np.float32))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


@contextmanager
def llama_server(model: Path, context: int, slots: int, *, unified: bool, port: int = 0) -> Iterator[str]:
    """The address of a server that is up."""
    if not port:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
    words = [str(model), str(port), str(context), str(slots), "unified" if unified else "split"]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, *words], stdin=subprocess.PIPE, stdout=quiet, stderr=quiet
    ) as server:
        try:
            address = f"http://127.0.0.1:{port}"
            until = time.monotonic() + 30
            while not _healthy(address):
                assert server.poll() is None, "the server ended"
                assert time.monotonic() < until, "the server does not come up"
                time.sleep(0.05)
            yield address
        finally:
            server.kill()


def _healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=1) as found:
            return bool(found.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:
        pass
    return False


def complete(address: str, prompt: str, tokens: int) -> int:
    """Ask for ``tokens`` after ``prompt``; the status of the answer."""
    body = json.dumps({"prompt": prompt, "n_predict": tokens, "ignore_eos": True}).encode()
    request = urllib.request.Request(f"{address}/completion", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as found:
            found.read()
            return int(found.status)
    except urllib.error.HTTPError as error:
        error.close()
        return int(error.code)
