"""``kvtui generate``: the same text with and without a cache, the cache's numbers, and what is no model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kvtui.bench.nn.transformer import init_weights
from kvtui.bench.training import runs, safetensors, tokens
from kvtui.bench.training.speaking import generate_text
from kvtui.bench.training.weights import arrays_of, metadata_of
from kvtui.cases.training import TrainingPlan
from kvtui.cli import main
from tests.nightly import sampled

PLAN = TrainingPlan("MLA-4", dim=8, heads=2, blocks=1, context=16)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights; the negated gain keeps them from saying the token before again and again."""
    path = tmp_path_factory.mktemp("model") / runs.WEIGHTS
    tokenizer = tokens.characters_of("")
    weights = init_weights(PLAN.shape(len(tokenizer)), 0)
    arrays = arrays_of(weights._replace(norm=-weights.norm), dtype=np.float16)
    safetensors.write(path, arrays, metadata_of(PLAN, tokenizer))
    return path


def generated(model: Path, cache: bool, **sampler: float | None) -> tuple[Mapping[str, Any], list[Mapping[str, Any]]]:
    told: list[Mapping[str, Any]] = []
    chosen = {"temperature": 0.0, "top_k": None, "top_p": None} | sampler
    job = {"checkpoint": str(model), "prompt": "what", "tokens": 12, "sampler": chosen, "cache": cache, "seed": 3}
    generate_text(job, told.append)
    return told[0], told[1:]


@sampled(2)
@pytest.mark.parametrize("sampler", [{}, {"temperature": 1.0, "top_k": 50, "top_p": 0.9}], ids=["greedy", "sampled"])
def test_the_same_text_with_and_without_a_cache(model: Path, sampler: dict[str, float | None]) -> None:
    prompt, with_cache = generated(model, True, **sampler)
    _, without = generated(model, False, **sampler)
    assert [one["id"] for one in with_cache] == [one["id"] for one in without]
    assert len({one["id"] for one in with_cache}) > 2
    assert (prompt["tokens"], prompt["room"], prompt["cache_bytes"]) == (4, 16, 16 * (4 + 2) * 4)
    assert [one["cached_tokens"] for one in with_cache] == list(range(4, 16))
    assert [one["cached_bytes"] for one in with_cache] == [24 * tokens for tokens in range(4, 16)]
    assert {one["cached_bytes"] for one in without} == {0}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--checkpoint", "none"), "checkpoint: none: no such file"),
        (("--checkpoint", "\x1b[2J"), "checkpoint: "),
        (("--checkpoint", "MODEL", "--prompt", ""), "prompt: is empty"),
        (("--checkpoint", "FOREIGN"), "FOREIGN: is not a safetensors file"),
        (("--checkpoint", "MODEL", "--temperature", "nan"), "--temperature: 'nan'"),
        (("--checkpoint", "MODEL", "--top-k", "0"), "--top-k: 0 is out of range"),
        (("--checkpoint", "MODEL", "--top-p", "2"), "top-p: 2.0 is not"),
        (("--checkpoint", "MODEL", "--greedy", "--top-k", "4"), "--greedy: takes the likeliest token"),
        (("--checkpoint", "MODEL", "--max-new-tokens", "x"), "--max-new-tokens"),
    ],
)
def test_what_is_wrong_is_one_line(
    model: Path,
    tmp_path: Path,
    words: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "MODEL").symlink_to(model)
    (tmp_path / "FOREIGN").write_bytes(b"PK\x03\x04 not ours at all")
    with pytest.raises(SystemExit) as end:
        main(["generate", "--device", "cpu", *words])
    _, err = capsys.readouterr()
    assert end.value.code == 2
    assert err.startswith(f"kvtui: {said}")
    assert err.count("\n") == 1
