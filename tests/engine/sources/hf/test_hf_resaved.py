"""A released file, and what transformers writes when it reads and saves it, are the same model."""

from __future__ import annotations

import gzip
import json
from functools import cache
from typing import Any

import pytest

from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.sources.hf.config import model_from_config
from kvtui.engine.sources.hf.families import FAMILIES, find_family
from tests.engine.sources.hf.recorded import DATA

# Reduced to one level, where the released file has a text_config, without which transformers reads all defaults.
NOT_AS_RELEASED = {"Step-3.7-Flash"}


@cache
def pairs() -> dict[str, list[dict[str, Any]]]:
    """The file as it was and as it was written again, by name (``tests/recording/resaved.py``)."""
    found: dict[str, list[dict[str, Any]]] = json.loads(gzip.decompress((DATA / "resaved.json.gz").read_bytes()))
    return {name: pair for name, pair in found.items() if name not in NOT_AS_RELEASED}


def language(model: ModelSpec) -> int | None:
    """Weights without encoders: of those the files here were left one field."""
    towers = sum(tensor.parameters for tensor in model.outside if tensor.role == "tower")
    return None if model.parameters is None else model.parameters - towers


@pytest.mark.parametrize("name", sorted(pairs()))
def test_the_model_is_the_same(name: str) -> None:
    before, after = (model_from_config(config, name, "config.json") for config in pairs()[name])
    assert [layer.caches for layer in before.layers] == [layer.caches for layer in after.layers]
    assert language(before) == language(after)
    assert [layer.parameters for layer in before.layers] == [layer.parameters for layer in after.layers]
    assert [layer.experts for layer in before.layers] == [layer.experts for layer in after.layers]


def test_most_families_of_the_table_are_among_them() -> None:
    among = {id(find_family(config.get("model_type", ""))) for pair in pairs().values() for config in pair}
    missing = [name for name, family in FAMILIES.items() if id(family) not in among]
    assert len(missing) < 0.4 * len(FAMILIES), missing
