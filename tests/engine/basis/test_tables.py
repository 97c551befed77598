"""Keys of the user's catalogues: a misspelt one is named before a missing one, and a right one is never blamed."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kvtui.engine.basis import places
from kvtui.engine.basis.catalogue import Catalogue
from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.tables import Fields
from kvtui.engine.device import catalogue as devices
from kvtui.engine.model import catalogue as models
from kvtui.engine.planning import cluster

DATA = Path(places.DATA)
CATALOGUES: dict[str, Catalogue[Any]] = {
    "device": devices._DEVICES,
    "cluster": cluster._CLUSTERS,
    "model": models._MODELS,
}
NAMES = ("H100 SXM", "TPU v5e", "GB200 NVL72", "Llama-3.1-8B", "DeepSeek-V3.2", "Qwen3-Next-80B-A3B", "Gemma-3-27B")

IN_PAIRS = ("usable", "usd", "priced")


def entries() -> Iterator[tuple[str, dict[str, Any]]]:
    for what in CATALOGUES:
        document = tomllib.loads((DATA / f"{what}s.toml").read_text(encoding="utf-8"))
        yield from ((what, entry) for entry in document[what] if entry["name"] in NAMES)


def paths(table: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for key, value in table.items():
        yield (key,)
        if isinstance(value, dict):
            yield from ((key, *path) for path in paths(value))


def without(table: dict[str, Any], path: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
    """A copy of ``table`` without the key at ``path``, and the inner table that it is missing from."""
    whole = copy.deepcopy(table)
    inner = whole
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return whole, inner


def complaint(what: str, table: dict[str, Any]) -> str:
    catalog = CATALOGUES[what]
    fields = Fields(table, "own.toml", known=catalog._key_names)
    try:
        catalog._build(fields)
        fields.finish()
    except InputError as error:
        return str(error)
    return ""


LISTED = list(entries())


@pytest.mark.parametrize(("what", "entry"), LISTED, ids=[entry["name"] for _, entry in LISTED])
def test_a_right_key_is_never_blamed_for_a_missing_one(what: str, entry: dict[str, Any]) -> None:
    for path in paths(entry):
        whole, _ = without(entry, path)
        said = complaint(what, whole)
        assert "is not a known field" not in said or path[-1] == "experts", said


@pytest.mark.parametrize(("what", "entry"), LISTED, ids=[entry["name"] for _, entry in LISTED])
def test_a_misspelt_key_is_named_before_one_that_is_missing_beside_it(what: str, entry: dict[str, Any]) -> None:
    for missing in ("name", "source"):
        for key in set(entry) - {missing}:
            if len(key) < 5 or key.startswith(IN_PAIRS):
                continue
            whole, _ = without(entry, (key,))
            del whole[missing]
            whole[f"{key[:2]}x{key[2:]}"] = 1
            assert f"{key[:2]}x{key[2:]}: is not a known field" in complaint(what, whole)
