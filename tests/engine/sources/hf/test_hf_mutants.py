"""Small configs with one field dropped, nulled, toggled, doubled or halved: as transformers reads them, or refused.

The answers were recorded once (``tests/recording/mutants.py``). Where kvtui and transformers both give a number, it is
the same one, or the report says what it assumed.
"""

from __future__ import annotations

import gzip
import json
from functools import cache
from typing import Any

import pytest

from kvtui.engine.basis.errors import InputError
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.sources.hf.classes import class_of
from kvtui.engine.sources.hf.config import model_from_config
from tests.engine.sources.hf.recorded import DATA, kept, router_biases
from tests.nightly import nightly, sampled

pytestmark = sampled(3)

ASSUMED = "not in the file, so class defaults of "


@cache
def families() -> dict[str, dict[str, Any]]:
    record = json.loads(gzip.decompress((DATA / "mutants.json.gz").read_bytes()))
    return {family["config"]["model_type"]: family for family in record["families"]}


def mutant(config: dict[str, Any], field: str, change: str) -> dict[str, Any]:
    """``config`` with ``field`` changed as the record says."""
    value: Any = config.get(field)
    match change:
        case "dropped":
            return {name: kept for name, kept in config.items() if name != field}
        case "nulled":
            return config | {field: None}
        case "toggled":
            return config | {field: not value}
        case "doubled":
            return config | {field: value + value if isinstance(value, list) else 2 * value}
        case "halved":
            return config | {field: value[::2] if isinstance(value, list) else value // 2}
        case "one more":
            return config | {field: value + 1}
    return config


def differences(family: dict[str, Any]) -> tuple[list[str], int, int]:
    """What kvtui reads otherwise than transformers, the number of mutants that both read, and that kvtui refuses."""
    found, both, refused = [], 0, 0
    for field, change, answer in family["mutants"]:
        try:
            spec = model_from_config(mutant(family["config"], field, change), "m", "config.json")
        except InputError:
            refused += answer is not None
            continue
        if answer is None:
            continue
        both += 1
        weights, cache_bytes = answer
        counted = None if spec.parameters is None else spec.parameters - router_biases(spec)
        if kept(spec) != cache_bytes:
            found.append(f"{field} {change}: cache {kept(spec):,} instead of {cache_bytes:,}")
        if counted not in (None, weights):
            found.append(f"{field} {change}: parameters {counted:,} instead of {weights:,}")
    return found, both, refused


@pytest.mark.parametrize("name", sorted(families()))
def test_each_field_changed_gives_what_transformers_makes_of_it_or_a_refusal(name: str) -> None:
    found, both, _ = differences(families()[name])
    assert found == []
    assert both > 0


@nightly
def test_the_record_is_large_and_few_mutants_are_refused() -> None:
    counts = [differences(family)[1:] for family in families().values()]
    both, refused = (sum(column) for column in zip(*counts, strict=True))
    assert sum(len(family["mutants"]) for family in families().values()) > 2000
    assert refused < 0.02 * both


def test_a_dropped_field_that_matters_is_named_as_assumed() -> None:
    named = 0
    for name, family in families().items():
        of = class_of(name)
        assert of is not None
        usual = {own: field for field, own in of.aliases.items()}
        whole = model_from_config(family["config"], "m", "config.json")
        for field in family["config"]:
            spec = read_or_none(mutant(family["config"], field, "dropped"))
            changed = spec is not None and (kept(spec), spec.parameters) != (kept(whole), whole.parameters)
            if changed and of.defaults.get(field) not in (None, False, 0):
                assert {field, usual.get(field)} & assumed(spec), (name, field)
                named += 1
    assert named > 200


def read_or_none(config: dict[str, Any]) -> ModelSpec | None:
    try:
        return model_from_config(config, "m", "config.json")
    except InputError:
        return None


def assumed(spec: ModelSpec | None) -> set[str | None]:
    """The fields that the notes of ``spec`` name as assumed."""
    note = next((note for note in spec.notes if note.startswith(ASSUMED)), "") if spec else ""
    return {part.strip().split(" ")[0] for part in note.partition("): ")[2].split(",")}
