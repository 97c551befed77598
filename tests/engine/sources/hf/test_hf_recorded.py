"""Every model type that transformers generates text with: never wrong, rarely refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kvtui.engine.basis.errors import InputError
from kvtui.engine.model.formats import FORMATS
from kvtui.engine.sources.hf.config import model_from_config
from tests.engine.sources.hf.recorded import DATA, kept, read, rows

FAULTS: dict[str, dict[str, Any]] = json.loads((DATA / "faults.json").read_text())


@pytest.mark.parametrize("row", rows(), ids=lambda row: row["type"])
def test_no_model_type_is_read_wrong(row: dict[str, Any]) -> None:
    reading = read(row)
    assert reading.verdict != "wrong", reading.said


def test_most_model_types_with_a_cache_are_read() -> None:
    with_cache = [row for row in rows() if row.get("kv_bytes_40_tokens_fp32")]
    refused = [row["type"] for row in with_cache if read(row).verdict == "refused"]
    assert len(with_cache) > 130
    assert refused == []


def test_a_refusal_says_what_can_be_done() -> None:
    refused = [reading for row in rows() if (reading := read(row)).verdict == "refused"]
    unknown = [reading for reading in refused if "unknown model_type" in reading.said]
    assert unknown
    assert all("kvtui estimate" in reading.said for reading in unknown)


def test_windowed_types_that_nobody_knew_are_read_by_the_general_rule_or_refused() -> None:
    as_told = 0
    for row in rows():
        config = row.get("config_window16") or {}
        if "sliding_attention" not in (config.get("layer_types") or ()) or "kv_bytes_40_tokens_fp32" not in row:
            continue
        unknown = {field: value for field, value in config.items() if field != "architectures"}
        try:
            spec = model_from_config(unknown | {"model_type": "novelty"}, "m", "config.json")
        except InputError:
            continue
        assert kept(spec) == row["kv_bytes_40_tokens_fp32"], row["type"]
        assert any("general rule" in note for note in spec.notes)
        as_told += 1
    assert as_told > 5


MEASURES = {
    "parameters": lambda spec: spec.parameters,
    "kv_bytes_per_token": lambda spec: spec.bytes_per_token(FORMATS["fp32"]),
    "kv_bytes_per_token_fp32": lambda spec: spec.bytes_per_token(FORMATS["fp32"]),
    "kv_bytes_per_token_bf16": lambda spec: spec.bytes_per_token(FORMATS["bf16"]),
    "bounded_bytes_per_sequence_fp32": lambda spec: spec.bounded_bytes(FORMATS["fp32"]),
    "bounded_bytes_per_sequence_bf16": lambda spec: spec.bounded_bytes(FORMATS["bf16"]),
    "state_bytes_per_sequence": lambda spec: spec.state_bytes(),
    "indexer_bytes_per_token": lambda spec: spec.bytes_per_token(FORMATS["bf16"], "indexer"),
    "layer_kinds": lambda spec: spec.layer_kinds,
}


@pytest.mark.parametrize("name", FAULTS)
def test_files_that_were_once_read_wrong(name: str) -> None:
    want, config = FAULTS[name]["want"], FAULTS[name]["config"]
    try:
        spec = model_from_config(config, name, "config.json")
    except InputError:
        assert want.get("or") == "refused"
        return
    for measure, value in want.items():
        if measure in MEASURES:
            found = MEASURES[measure](spec)
            unknown = measure == "parameters" and found is None and want.get("or") == "parameters unknown"
            assert unknown or found == value, measure
