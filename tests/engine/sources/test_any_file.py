"""Config files and GGUF headers with anything changed in them: read, or refused in one line, in little work and memory.

The suite tries some of each; the nightly profile (``KVTUI_TEST_PROFILE=nightly``) a hundred thousand.
"""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from kvtui.engine.basis.errors import InputError
from kvtui.engine.model.formats import FORMATS
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.sources.gguf.model import read_gguf
from kvtui.engine.sources.hf.config import model_from_config
from tests.engine.sources.gguf.gguf_writing import HARMFUL, write_gguf
from tests.engine.sources.hf.published import PUBLISHED
from tests.engine.sources.hf.recorded import rows
from tests.engine.sources.work import at_most
from tests.nightly import NIGHTLY

EXAMPLES = 100_000 if NIGHTLY else 150
CALLS, MEMORY = 400_000, 32 * 2**20
BF16 = FORMATS["bf16"]
NUMBERS = (0, 1, 2, 3, 7, 64, 128, 1024, 4096, 2**24, 2**31, 2**63, -1, 10**30)
VALUES: tuple[Any, ...] = (
    *NUMBERS,
    None,
    True,
    False,
    0.5,
    float("inf"),
    "",
    "auto",
    "\x1b[31m",
    [],
    {},
    [1, 2],
    ["full_attention"] * 8,
)


def configs() -> list[dict[str, Any]]:
    """Released files, and one of each model type that transformers knows."""
    return [*PUBLISHED.values(), *(row["config"] for row in rows() if "config" in row)]


def changed(config: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """``config`` with one to four fields of it, or of an object in it, dropped, set, doubled, renamed or stretched."""
    config = deepcopy(config)
    for _ in range(chance.randint(1, 4)):
        objects = [config, *(value for value in config.values() if isinstance(value, dict) and value)]
        target = chance.choice(objects)
        if not target:
            continue
        field = chance.choice(sorted(target))
        match chance.randrange(6):
            case 0:
                del target[field]
            case 1:
                target[field] = deepcopy(chance.choice(VALUES))
            case 2 if type(target[field]) is int:
                target[field] = chance.choice(
                    (2 * target[field], target[field] // 2, -target[field], target[field] + 1)
                )
            case 3:
                target[chance.choice(("num_loops", "layer_types", "sliding_window", "head_dim"))] = target.pop(field)
            case 4 if isinstance(target[field], list):
                target[field] = target[field] * chance.randint(0, 3) + [chance.choice(VALUES)]
            case _:
                target[field + chance.choice("xs_")] = target[field]
    return config


def in_one_line(error: InputError) -> None:
    assert not HARMFUL.search(str(error))
    assert len(str(error)) < 2000


def can_be_asked(spec: ModelSpec) -> None:
    """What a plan asks of a model gives numbers."""
    assert spec.layers
    assert spec.bytes_per_token(BF16) >= 0
    assert spec.bounded_bytes(BF16) + spec.state_bytes() >= 0
    assert spec.parameters is None or 0 < (spec.active_parameters or 0) <= spec.parameters
    assert not HARMFUL.search(" ".join((spec.name, spec.source, *spec.notes)))


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Fails when more than ``MEMORY`` bytes were in use at a time."""
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - before < MEMORY


@pytest.mark.usefixtures("little_memory")
def test_any_config() -> None:
    chance, bases = random.Random(24), configs()
    for _ in range(EXAMPLES):
        config = changed(chance.choice(bases), chance)
        try:
            with at_most(CALLS):
                spec = model_from_config(config, "m", "config.json")
        except InputError as error:
            in_one_line(error)
        else:
            can_be_asked(spec)


@pytest.mark.usefixtures("little_memory")
def test_any_header(tmp_path: Path) -> None:
    chance = random.Random(24)
    sizes = {".block_count": 8, ".embedding_length": 256, ".attention.head_count": 8, ".attention.head_count_kv": 2}
    more = {".context_length": 4096, ".attention.sliding_window": 128, ".expert_count": 8, ".expert_used_count": 2}
    state = {".ssm.conv_kernel": 4, ".ssm.inner_size": 512, ".ssm.state_size": 16, ".ssm.time_step_rank": 8}
    tensors = {
        "token_embd.weight": (256, 1024),
        "blk.0.attn_q.weight": (256, 256),
        "blk.7.ffn_down_exps.weight": (64, 256, 8),
    }
    valid = [
        write_gguf(tmp_path / f"{arch}.gguf", arch, {**sizes, **more, **state}, tensors).read_bytes()
        for arch in ("llama", "gemma3", "qwen3moe", "mamba", "deepseek2", "jamba", "rwkv7", "t5")
    ]
    path = tmp_path / "m.gguf"
    for _ in range(EXAMPLES):
        content = bytearray(chance.choice(valid))
        for _ in range(chance.randint(1, 4)):
            place = chance.randrange(len(content))
            match chance.randrange(5):
                case 0:
                    content[place] ^= 1 << chance.randrange(8)
                case 1:
                    content[place : place + 8] = (chance.choice(NUMBERS) % 2**64).to_bytes(8, "little")
                case 2:
                    del content[place : place + chance.randint(1, 16)]
                case 3:
                    content[place:place] = chance.randbytes(chance.randint(1, 16))
                case _:
                    del content[place:]
            if not content:
                break
        path.write_bytes(content)
        try:
            with at_most(CALLS):
                spec = read_gguf(path)
        except InputError as error:
            in_one_line(error)
        else:
            can_be_asked(spec)
