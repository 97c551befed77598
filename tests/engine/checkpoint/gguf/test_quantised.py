"""What a real llama.cpp's quantiser makes of models of 18 architectures, tensor for tensor, against the recipes.

``tests/recording/llamacpp_types.py`` recorded it with b11739: 45 shapes, some with feed-forward blocks or rows that are
no whole number of blocks of 256 and some of 80 layers, in 32 file types each. The models are read from a config.json.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from typing import Any

import pytest

from kvtui.engine.checkpoint.gguf.contents import contents
from kvtui.engine.checkpoint.gguf.recipes import BASES
from tests.engine.checkpoint.gguf.shaped import CLASSES, model_of
from tests.paths import DATA

ROWS: list[dict[str, Any]] = json.loads(gzip.decompress((DATA / "llamacpp" / "types.json.gz").read_bytes()))


@pytest.mark.parametrize("row", [pytest.param(row, id=f"{row['shape']['family']}-{i}") for i, row in enumerate(ROWS)])
def test_every_type_takes_the_bytes_that_the_quantiser_gives_it(row: dict[str, Any]) -> None:
    model = model_of(row["shape"])
    for file_type, recorded in row["files"].items():
        found = Counter[str]()
        for _, typed in contents(model, file_type):
            for tensor in typed:
                found[tensor.type] += tensor.bytes
        assert found == recorded, file_type


def test_all_families_and_file_types_are_recorded() -> None:
    assert {row["shape"]["family"] for row in ROWS} == set(CLASSES)
    assert set(ROWS[0]["files"]) == set(BASES) - {"F32"}
