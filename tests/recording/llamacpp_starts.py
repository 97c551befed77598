"""Records what a real llama.cpp allocates at its start, for models of stated shapes.

``python tests/recording/llamacpp_starts.py FILE [COUNT [SEED]]`` draws COUNT starts at random and writes a row of each:
the model's shape, the start's options, and the cells, caches and compute buffers of its log. ``… FILE again`` records
the starts of FILE anew. It needs xllamacpp, which has llama.cpp's server inside, and gguf; best in an environment of
their own. The models are files with a header and nothing behind it but zeros that take no room on the disk; a start
takes less than a second.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

START = """
import json, os, sys
import xllamacpp as x
given = json.loads(sys.argv[1])
p = x.CommonParams()
p.model.path, p.hostnames, p.port, p.verbosity = given.pop("path"), ["127.0.0.1"], 18997, 4
p.warmup = p.ui = False
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = p.n_threads_http = 1
p.cache_ram_mib = 0
on = x.llama_flash_attn_type
p.flash_attn_type = on.LLAMA_FLASH_ATTN_TYPE_ENABLED if given.pop("fa") else on.LLAMA_FLASH_ATTN_TYPE_DISABLED
for key, field in (("k", "cache_type_k"), ("v", "cache_type_v")):
    setattr(p, field, getattr(x.ggml_type, "GGML_TYPE_" + given.pop(key, "F16")))
for key, value in given.items():
    setattr(p, key, value)
x.Server(p)
sys.stdout.flush()
os._exit(0)
"""
PATIENCE_S = 20
CACHE = re.compile(
    r"llama_kv_cache: size = +[\d.]+ MiB \( *(\d+) cells, +(\d+) layers, +\d+/(\d+) seqs\)"
    r"[^:]*: +([\d.]+) MiB[^:]*: +([\d.]+)"
)
STATE = re.compile(r"R \(\w+\): +([\d.]+) MiB, S \(\w+\): +([\d.]+) MiB")
CACHE_TYPES = ("F16", "F16", "F16", "BF16", "F32", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0", "IQ4_NL")
PLAIN = ("llama", "qwen2", "qwen3", "gemma2", "gemma3", "phi3")
MIXED = ("mixtral", "qwen3moe", "gpt-oss", "deepseek2")
RECURRENT = ("qwen3next", "qwen35", "qwen35moe", "mamba", "mamba2", "lfm2", "nemotron_h", "granitehybrid", "falcon-h1")
FAMILIES = (*PLAIN, *MIXED, *RECURRENT)


class Draft:
    """A GGUF file being written: its metadata, and its tensors by name and shape."""

    def __init__(self, path: Path, shape: dict[str, Any]) -> None:
        import gguf

        self.gguf, self.path, self.shape = gguf, path, shape
        self.arch = {"mixtral": "llama"}.get(shape["family"], shape["family"])
        self.writer = gguf.GGUFWriter(path, self.arch)
        self.tensors: list[tuple[str, tuple[int, ...], bool]] = []

    def key(self, name: str, value: Any) -> None:
        """Metadata under the architecture."""
        if isinstance(value, list):
            self.writer.add_array(f"{self.arch}.{name}", value)
        elif isinstance(value, float):
            self.writer.add_float32(f"{self.arch}.{name}", value)
        else:
            self.writer.add_uint32(f"{self.arch}.{name}", value)

    def matrix(self, name: str, *shape: int) -> None:
        """A weight in F16; ``shape`` begins with the dimension that varies slowest."""
        self.tensors.append((name + ".weight", shape, True))

    def vector(self, name: str, *shape: int) -> None:
        """A tensor in F32, with its whole name."""
        self.tensors.append((name, shape, False))

    def write(self, vocabulary: int) -> None:
        """The file, whose tensors are a hole."""
        import numpy as np

        kinds, writer = self.gguf.TokenType, self.writer
        tokens = [
            "<unk>",
            "<s>",
            "</s>",
            *(f"<0x{i:02X}>" for i in range(256)),
            *(f"w{i}" for i in range(vocabulary - 259)),
        ]
        types = [kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL, *[kinds.BYTE] * 256, *[kinds.NORMAL] * (vocabulary - 259)]
        writer.add_vocab_size(vocabulary)
        writer.add_tokenizer_model("llama")
        writer.add_token_list(tokens)
        writer.add_token_scores([0.0] * vocabulary)
        writer.add_token_types(types)
        size = 0
        for name, shape, half in self.tensors:
            dtype = np.dtype(np.float16 if half else np.float32)
            count = int(np.prod(shape)) * dtype.itemsize
            writer.add_tensor_info(name, shape, dtype, count)
            size += -(-count // 32) * 32
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        writer.close()
        begin = -(-self.path.stat().st_size // 32) * 32
        with self.path.open("r+b") as file:
            file.truncate(begin + size)


def write_model(path: Path, shape: dict[str, Any]) -> None:
    """A file of the ``shape`` that ``drawn`` draws."""
    draft = Draft(path, shape)
    family, hidden, layers = shape["family"], shape["hidden"], shape["layers"]
    for name, value in {
        "context_length": 131072,
        "embedding_length": hidden,
        "block_count": layers,
        "feed_forward_length": [shape["ff"] * (kind == "f") for kind in shape["kinds"]]
        if family == "nemotron_h"
        else shape["ff"],
        "attention.layer_norm_rms_epsilon": 1e-5,
        "attention.layer_norm_epsilon": 1e-5,
    }.items():
        draft.key(name, value)
    if "heads" in shape:
        draft.key("attention.head_count", shape["heads"])
        draft.key("rope.dimension_count", shape.get("rope", shape["head"]))
        kv = shape["kv_heads"]
        some = family in ("nemotron_h", "granitehybrid", "lfm2")
        draft.key("attention.head_count_kv", [kv * (kind == "a") for kind in shape["kinds"]] if some else kv)
        if family != "deepseek2":
            draft.key("attention.key_length", shape["head"])
            draft.key("attention.value_length", shape["head"])
    if shape.get("window"):
        draft.key("attention.sliding_window", shape["window"])
    if "experts" in shape:
        draft.key("expert_count", shape["experts"])
        draft.key("expert_used_count", shape["active"])
        draft.key("expert_feed_forward_length", shape["expert_ff"])
    if shape.get("shared_ff"):
        draft.key("expert_shared_feed_forward_length", shape["shared_ff"])
    if "state" in shape:
        draft.key("ssm.conv_kernel", 4)
        draft.key("ssm.inner_size", shape["inner"])
        draft.key("ssm.state_size", shape["state"])
        draft.key("ssm.time_step_rank", shape["state_heads"])
        draft.key("ssm.group_count", shape["groups"])
    if family == "lfm2":
        draft.key("shortconv.l_cache", 3)
    if family == "granitehybrid":
        draft.writer.add_bool("granitehybrid.rope.scaling.finetuned", False)
    if family in ("qwen3next", "qwen35", "qwen35moe"):
        draft.key("full_attention_interval", 4)
        draft.key("rope.dimension_sections", [8, 8, 8, 0])
    if family == "deepseek2":
        for name, value in {
            "attention.kv_lora_rank": shape["rank"],
            "attention.key_length": shape["rank"] + shape["rope"],
            "attention.value_length": shape["rank"],
            "attention.key_length_mla": shape["nope"] + shape["rope"],
            "attention.value_length_mla": shape["v"],
            "leading_dense_block_count": 1,
            "expert_shared_count": 1,
            "expert_gating_func": 2,
        }.items():
            draft.key(name, value)
        if shape["q_rank"]:
            draft.key("attention.q_lora_rank", shape["q_rank"])
        draft.writer.add_expert_weights_norm(True)
    draft.matrix("token_embd", shape["vocab"], hidden)
    draft.vector("token_embd_norm.weight" if family == "lfm2" else "output_norm.weight", hidden)
    if not shape.get("tied"):
        draft.matrix("output", shape["vocab"], hidden)
    for index in range(layers):
        _layer(draft, shape, index)
    draft.write(shape["vocab"])


def write_gemma4(path: Path, shape: dict[str, int]) -> None:
    """A file of Gemma 4's E models: inputs of each layer's own, and the last layers ``shared`` read earlier caches."""
    draft, hidden, layers = Draft(path, {"family": "gemma4"}), shape["hidden"], shape["layers"]
    inputs, windowed = shape["inputs"], [number % 6 != 5 for number in range(layers)]
    for name, value in {
        "context_length": 131072,
        "embedding_length": hidden,
        "block_count": layers,
        "feed_forward_length": shape["ff"],
        "attention.layer_norm_rms_epsilon": 1e-6,
        "attention.head_count": shape["heads"],
        "attention.head_count_kv": shape["kv_heads"],
        "attention.key_length": 2 * shape["head"],
        "attention.value_length": 2 * shape["head"],
        "attention.key_length_swa": shape["head"],
        "attention.value_length_swa": shape["head"],
        "attention.sliding_window": shape["window"],
        "attention.shared_kv_layers": shape["shared"],
        "attention.sliding_window_pattern": windowed,
        "embedding_length_per_layer_input": inputs,
        "rope.dimension_count": 2 * shape["head"],
        "rope.dimension_count_swa": shape["head"],
    }.items():
        draft.key(name, value)
    draft.matrix("token_embd", shape["vocab"], hidden)
    draft.matrix("per_layer_token_embd", shape["vocab"], inputs * layers)
    draft.matrix("per_layer_model_proj", inputs * layers, hidden)
    draft.vector("per_layer_proj_norm.weight", inputs)
    draft.vector("output_norm.weight", hidden)
    draft.vector("rope_freqs.weight", shape["head"])
    for number, window in enumerate(windowed):
        name, head = f"blk.{number}.", shape["head"] * (1 if window else 2)
        for norm in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm", "post_norm"):
            draft.vector(f"{name}{norm}.weight", hidden)
        draft.vector(name + "layer_output_scale.weight", 1)
        for part in ("q", "k"):
            draft.vector(f"{name}attn_{part}_norm.weight", head)
        draft.matrix(name + "attn_q", shape["heads"] * head, hidden)
        draft.matrix(name + "attn_k", shape["kv_heads"] * head, hidden)
        draft.matrix(name + "attn_v", shape["kv_heads"] * head, hidden)
        draft.matrix(name + "attn_output", hidden, shape["heads"] * head)
        draft.matrix(name + "ffn_gate", shape["ff"], hidden)
        draft.matrix(name + "ffn_up", shape["ff"], hidden)
        draft.matrix(name + "ffn_down", hidden, shape["ff"])
        draft.matrix(name + "inp_gate", inputs, hidden)
        draft.matrix(name + "proj", hidden, inputs)
    draft.write(shape["vocab"])


def write_arcee(path: Path, shape: dict[str, int]) -> None:
    """A file of AFM: attention as Llama's, and a feed-forward of two matrices."""
    draft, hidden = Draft(path, {"family": "arcee"}), shape["hidden"]
    for name, value in {
        "context_length": 131072,
        "embedding_length": hidden,
        "block_count": shape["layers"],
        "feed_forward_length": shape["ff"],
        "attention.layer_norm_rms_epsilon": 1e-5,
        "attention.head_count": shape["heads"],
        "attention.head_count_kv": shape["kv_heads"],
        "rope.dimension_count": hidden // shape["heads"],
    }.items():
        draft.key(name, value)
    draft.matrix("token_embd", shape["vocab"], hidden)
    draft.vector("output_norm.weight", hidden)
    draft.matrix("output", shape["vocab"], hidden)
    for number in range(shape["layers"]):
        name, kept = f"blk.{number}.", hidden // shape["heads"] * shape["kv_heads"]
        for norm in ("attn_norm", "ffn_norm"):
            draft.vector(f"{name}{norm}.weight", hidden)
        for part, rows in (("q", hidden), ("k", kept), ("v", kept), ("output", hidden)):
            draft.matrix(f"{name}attn_{part}", rows, hidden)
        draft.matrix(name + "ffn_up", shape["ff"], hidden)
        draft.matrix(name + "ffn_down", hidden, shape["ff"])
    draft.write(shape["vocab"])


def _layer(draft: Draft, shape: dict[str, Any], index: int) -> None:
    family, hidden = shape["family"], shape["hidden"]
    kind = (shape.get("kinds") or "a" * shape["layers"])[index]
    name = f"blk.{index}."
    draft.vector(name + "attn_norm.weight", hidden)
    if kind == "a" or family == "falcon-h1":
        _attention(draft, shape, name)
    if kind == "s" or family == "falcon-h1":
        _mixer(draft, shape, name)
    if kind == "f" or family not in ("mamba", "mamba2", "nemotron_h"):
        _feed_forward(draft, shape, name, index)


def _attention(draft: Draft, shape: dict[str, Any], name: str) -> None:
    family, hidden = shape["family"], shape["hidden"]
    heads, kv, head = shape["heads"], shape["kv_heads"], shape["head"]
    if family == "deepseek2":
        rank, rope, nope, v = shape["rank"], shape["rope"], shape["nope"], shape["v"]
        if shape["q_rank"]:
            draft.matrix(name + "attn_q_a", shape["q_rank"], hidden)
            draft.vector(name + "attn_q_a_norm.weight", shape["q_rank"])
            draft.matrix(name + "attn_q_b", heads * (nope + rope), shape["q_rank"])
        else:
            draft.matrix(name + "attn_q", heads * (nope + rope), hidden)
        draft.matrix(name + "attn_kv_a_mqa", rank + rope, hidden)
        draft.vector(name + "attn_kv_a_norm.weight", rank)
        draft.matrix(name + "attn_k_b", heads, rank, nope)
        draft.matrix(name + "attn_v_b", heads, v, rank)
        draft.matrix(name + "attn_output", hidden, heads * v)
        return
    gate = 2 if family.startswith("qwen35") or family == "qwen3next" else 1
    if family == "phi3":
        draft.matrix(name + "attn_qkv", (heads + 2 * kv) * head, hidden)
    else:
        draft.matrix(name + "attn_q", gate * heads * head, hidden)
        draft.matrix(name + "attn_k", kv * head, hidden)
        draft.matrix(name + "attn_v", kv * head, hidden)
    draft.matrix(name + "attn_output", hidden, heads * head)
    if family in ("qwen2", "gpt-oss"):
        for part, size in (("q", heads * head), ("k", kv * head), ("v", kv * head)):
            draft.vector(f"{name}attn_{part}.bias", size)
    if family == "gpt-oss":
        draft.vector(name + "attn_output.bias", hidden)
        draft.vector(name + "attn_sinks.weight", heads)
    if family in ("qwen3", "gemma3", "qwen3moe", "qwen3next", "qwen35", "qwen35moe", "lfm2"):
        draft.vector(name + "attn_q_norm.weight", head)
        draft.vector(name + "attn_k_norm.weight", head)


def _mixer(draft: Draft, shape: dict[str, Any], name: str) -> None:
    family, hidden = shape["family"], shape["hidden"]
    if family == "lfm2":
        draft.vector(name + "shortconv.conv.weight", hidden, 3)
        draft.matrix(name + "shortconv.in_proj", 3 * hidden, hidden)
        draft.matrix(name + "shortconv.out_proj", hidden, hidden)
        return
    inner, state, heads, groups = shape["inner"], shape["state"], shape["state_heads"], shape["groups"]
    draft.matrix(name + "ssm_out", hidden, inner)
    if family in ("qwen3next", "qwen35", "qwen35moe"):
        keys = groups * state
        draft.matrix(name + "attn_qkv", 2 * keys + inner, hidden)
        draft.matrix(name + "attn_gate", inner, hidden)
        draft.vector(name + "ssm_conv1d.weight", 2 * keys + inner, 4)
        draft.vector(name + "ssm_dt.bias", heads)
        draft.vector(name + "ssm_a", heads)
        draft.vector(name + "ssm_norm.weight", inner // heads)
        if family == "qwen3next":
            draft.matrix(name + "ssm_ba", 2 * heads, hidden)
        else:
            draft.matrix(name + "ssm_beta", heads, hidden)
            draft.matrix(name + "ssm_alpha", heads, hidden)
        return
    if family == "mamba":
        draft.matrix(name + "ssm_in", 2 * inner, hidden)
        draft.vector(name + "ssm_conv1d.weight", inner, 4)
        draft.vector(name + "ssm_conv1d.bias", inner)
        draft.matrix(name + "ssm_x", heads + 2 * state, inner)
        draft.matrix(name + "ssm_dt", inner, heads)
        draft.vector(name + "ssm_dt.bias", inner)
        draft.vector(name + "ssm_a", inner, state)
        draft.vector(name + "ssm_d", inner)
        return
    wide = inner + 2 * groups * state
    draft.matrix(name + "ssm_in", inner + wide + heads, hidden)
    draft.vector(name + "ssm_conv1d.weight", wide, 4)
    draft.vector(name + "ssm_conv1d.bias", wide)
    draft.vector(name + "ssm_dt.bias", heads)
    draft.vector(name + "ssm_a", heads, 1)
    draft.vector(name + "ssm_d", heads, 1)
    draft.vector(name + "ssm_norm.weight", groups, inner // groups)


def _feed_forward(draft: Draft, shape: dict[str, Any], name: str, index: int) -> None:
    family, hidden = shape["family"], shape["hidden"]
    before = {"gpt-oss": "post_attention_norm", "qwen3next": "post_attention_norm"}
    norm = "post_attention_norm" if family.startswith("qwen35") else before.get(family, "ffn_norm")
    if family != "nemotron_h":
        draft.vector(f"{name}{norm}.weight" if family != "falcon-h1" else name + "ffn_norm", hidden)
    if family in ("gemma2", "gemma3"):
        draft.vector(name + "post_attention_norm.weight", hidden)
        draft.vector(name + "post_ffw_norm.weight", hidden)
    if "experts" in shape and not (family == "deepseek2" and not index):
        experts, wide = shape["experts"], shape["expert_ff"]
        draft.vector(name + "ffn_gate_inp.weight", experts, hidden)
        if family != "nemotron_h":
            draft.matrix(name + "ffn_gate_exps", experts, wide, hidden)
        draft.matrix(name + "ffn_up_exps", experts, wide, hidden)
        draft.matrix(name + "ffn_down_exps", experts, hidden, wide)
        if family == "gpt-oss":
            draft.vector(name + "ffn_gate_inp.bias", experts)
            draft.vector(name + "ffn_gate_exps.bias", experts, wide)
            draft.vector(name + "ffn_up_exps.bias", experts, wide)
            draft.vector(name + "ffn_down_exps.bias", experts, hidden)
        if family == "deepseek2":
            draft.vector(name + "exp_probs_b.bias", experts)
        if shape.get("shared_ff"):
            if family in ("qwen3next", "qwen35moe"):
                draft.vector(name + "ffn_gate_inp_shexp.weight", hidden)
            for part in ("gate", "up"):
                draft.matrix(f"{name}ffn_{part}_shexp", shape["shared_ff"], hidden)
            draft.matrix(name + "ffn_down_shexp", hidden, shape["shared_ff"])
        return
    if family == "phi3":
        draft.matrix(name + "ffn_up", 2 * shape["ff"], hidden)
    else:
        if family != "nemotron_h":
            draft.matrix(name + "ffn_gate", shape["ff"], hidden)
        draft.matrix(name + "ffn_up", shape["ff"], hidden)
    draft.matrix(name + "ffn_down", hidden, shape["ff"])


def drawn(chance: random.Random, family: str) -> dict[str, Any]:
    """The shape of a model of ``family``, drawn at random."""
    pick = chance.choice
    shape: dict[str, Any] = {
        "family": family,
        "hidden": pick((256, 512, 768, 1024, 2048)),
        "layers": pick((3, 4, 6, 8) if family in RECURRENT else (2, 3, 4, 6, 8)),
        "vocab": pick((1000, 8000, 32000, 64000)),
        "ff": pick((256, 512, 1024, 1536, 3072, 4096)),
        "tied": chance.random() < 0.3 and family != "gpt-oss",
    }
    if family not in ("mamba", "mamba2"):
        heads = pick((4, 8, 16, 32))
        shape |= {"heads": heads, "kv_heads": pick([n for n in (1, 2, 4, 8) if n <= heads]), "head": pick((64, 128))}
    if family in ("lfm2", "phi3", "qwen2"):
        shape["hidden"] = shape["heads"] * shape["head"]
    if family in ("gemma2", "gemma3", "gpt-oss"):
        shape["window"] = pick((128, 512, 1024))
        shape["layers"] = 12 if family == "gemma3" else shape["layers"]
        shape["tied"] = family != "gpt-oss"
    if family in MIXED or family in ("qwen3next", "qwen35moe"):
        experts = pick((8, 16, 32))
        shape |= {"experts": experts, "active": pick((1, 2, 4, 8)), "expert_ff": pick((128, 256, 512, 1024))}
    if family == "mixtral":
        shape["expert_ff"] = shape["ff"]
    if family in ("qwen3next", "qwen35moe"):
        shape["shared_ff"] = pick((128, 512))
    if family == "deepseek2":
        rope = 64
        shape |= {"rank": pick((128, 256, 512)), "rope": rope, "nope": pick((64, 128)), "v": pick((64, 128))}
        shape |= {"q_rank": pick((256, 512)), "kv_heads": 1}
        shape |= {"shared_ff": shape["expert_ff"], "tied": False}
        shape["layers"] = max(2, shape["layers"])
    if family in ("qwen3next", "qwen35", "qwen35moe"):
        groups = pick((2, 4, 8))
        heads, state = groups * pick((1, 2, 4)), pick((64, 128))
        shape |= {"groups": groups, "state_heads": heads, "state": state, "inner": heads * state}
        shape |= {"layers": pick((4, 8)), "tied": False}
        shape["kinds"] = "sssa" * (shape["layers"] // 4)
    if family == "mamba":
        shape |= {"inner": 2 * shape["hidden"], "state": 16, "state_heads": shape["hidden"] // 16, "groups": 0}
        shape["kinds"] = "s" * shape["layers"]
    if family in ("mamba2", "nemotron_h", "granitehybrid", "falcon-h1"):
        heads = shape["hidden"] // 32
        shape |= {"inner": heads * 64, "state": pick((64, 128)), "state_heads": heads, "groups": pick((1, 2, 4))}
        layers = shape["layers"]
        shape["kinds"] = {
            "mamba2": "s" * layers,
            "nemotron_h": ("sfsaf" * layers)[:layers],
            "granitehybrid": ("ssa" * layers)[:layers],
            "falcon-h1": "a" * layers,
        }[family]
    if family == "lfm2":
        shape["kinds"] = ("ssa" * shape["layers"])[: shape["layers"]]
    return shape


def drawn_start(chance: random.Random, family: str) -> dict[str, Any]:
    """The options of a start, drawn at random."""
    pick = chance.choice
    slots = pick((1, 1, 1, 2, 3, 4, 8))
    ubatch = pick((32, 128, 256, 512, 512, 1024, 2048))
    start: dict[str, Any] = {
        "n_ctx": pick((1024, 4096, 8192, 16384, 32768, 65536)),
        "n_ubatch": ubatch,
        "n_batch": max(ubatch, pick((512, 2048))),
        "n_parallel": slots,
        "kv_unified": slots > 1 and chance.random() < 0.5,
        "fa": chance.random() < 0.6,
        "swa_full": family in ("gemma2", "gemma3", "gpt-oss") and chance.random() < 0.2,
    }
    if family not in ("mamba", "mamba2"):
        start["k"] = pick(CACHE_TYPES if start["fa"] or family != "deepseek2" else ("F16", "BF16"))
        unturned = pick(CACHE_TYPES if start["fa"] else ("F16", "F16", "BF16", "F32"))
        start["v"] = start["k"] if family == "deepseek2" else unturned
    return start


def _log(command: list[str]) -> str:
    """What a start writes until its slots are made, or until it ends."""
    quiet = {**os.environ, "GGML_NO_BACKTRACE": "1"}
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=quiet) as running:
        assert running.stdout is not None
        late = threading.Timer(PATIENCE_S, running.kill)
        late.start()
        for line in running.stdout:
            lines.append(line.decode("utf-8", "replace"))
            if "initializing, n_slots" in lines[-1]:
                running.kill()
        late.cancel()
    return "".join(lines)


def record(shape: dict[str, Any], start: dict[str, Any]) -> dict[str, Any]:
    """One start's row."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.gguf"
        write_model(path, shape)
        given = json.dumps({"path": str(path), **start})
        text = _log([sys.executable, "-c", START, given])
    row: dict[str, Any] = {"shape": shape, "start": start}
    caches = CACHE.findall(text)
    row["caches"] = [[*map(int, whole[:3]), *map(float, whole[3:])] for whole in caches]
    row["states"] = [[float(r), float(s)] for r, s in STATE.findall(text)]
    row["compute"] = [float(size) for size in re.findall(r"CPU compute buffer size = +([\d.]+)", text)]
    row["output"] = [float(size) for size in re.findall(r"output buffer size = +([\d.]+)", text)]
    if not row["compute"]:
        told = [line for line in text.splitlines() if " E " in line or "rror" in line or "ASSERT" in line]
        row["refused"] = told[:2] or text[-400:]
    return row


def main(target: Path, count: str = "300", seed: str = "1") -> None:
    """Writes the rows to ``target``."""
    if count == "again":
        wanted = [(row["shape"], row["start"]) for row in json.loads(target.read_text("utf-8"))]
    else:
        chance = random.Random(int(seed))
        wanted = []
        for number in range(int(count)):
            family = FAMILIES[number % len(FAMILIES)]
            wanted.append((drawn(chance, family), drawn_start(chance, family)))
    rows = []
    for shape, start in wanted:
        rows.append(record(shape, start))
        if "refused" in rows[-1]:
            print(shape["family"], rows[-1]["refused"], flush=True)
    target.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n", "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
