"""The published description of the JSON report: it holds for every report, and says nothing that no report has."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any, get_args

import pytest
from jsonschema import Draft202012Validator

from kvtui.engine.engines.known import ENGINES
from kvtui.engine.engines.overheads import Overheads
from kvtui.engine.model.catalogue import CONFIDENCES
from kvtui.engine.saying.notices import Severity
from kvtui.engine.scenario.options import OPTIONS
from kvtui.engine.scenario.values import scenario_from
from kvtui.engine.sources.machines import save_profile
from kvtui.report import render
from kvtui.report.document import SCHEMA, document
from tests.engine.sources.gguf.gguf_writing import Key, write_gguf
from tests.nightly import sampled
from tests.paths import ROOT
from tests.report.report_scenarios import SCENARIOS, made
from tests.report.schemas import at, closed, named

pytestmark = sampled(4)

PUBLISHED = json.loads((ROOT / "docs" / "schema" / f"report-{SCHEMA}.json").read_text(encoding="utf-8"))

MORE: Mapping[str, dict[str, str | bool]] = {
    "windows in buffers": {
        "model": "gemma-3-27b",
        "gpu": "RTX 4090",
        "engine": "llama.cpp@b6200",
        "weight_dtype": "q4_0",
        "kv_dtype": "q8_0",
        "context": "64K",
        "parallel": "2",
        "ubatch": "1K",
        "swa_full": True,
    },
    "layers in RAM": {
        "model": "Qwen3-30B-A3B",
        "gpu": "RTX 3060 12GB",
        "engine": "llama.cpp",
        "weight_dtype": "q4_k_m",
        "ram": "64GiB",
        "ram_bandwidth": "60",
        "parallel": "2",
        "kv_unified": True,
        "draft_model": "Qwen3-0.6B",
        "mmproj": "1GiB",
        "cache_ram": "8GiB",
    },
    "layers by shares": {
        "model": "Qwen3-30B-A3B",
        "gpu": "RTX 3090",
        "engine": "llama.cpp",
        "weight_dtype": "q4_k_m",
        "tensor_split": "3,1",
        "gpu_layers": "40",
        "cpu_moe": "9",
    },
    "one device of two": {"gpus": "2", "engine": "llama.cpp", "main_gpu": "1", "kv_offload": False},
    "state in slots": {"model": "Qwen3.6-27B", "gpus": "2", "engine": "sglang", "kv_dtype": "fp8", "context": "64K"},
    "pools as told": {
        "model": "Qwen3.6-27B",
        "gpus": "2",
        "engine": "sglang",
        "max_total_tokens": "100000",
        "swa_full_tokens_ratio": "0.5",
        "mamba_full_memory_ratio": "1.5",
        "max_mamba_cache_size": "64",
    },
    "engine of one release": {"model": "Llama-3.1-70B", "gpus": "4", "engine": "tensorrt-llm", "context": "16K"},
    "stages": {
        "pp_partition": "12,20",
        "engine": "vllm@0.20",
        "max_seqs": "64",
        "hybrid_manager": False,
        "async_scheduling": False,
    },
    "states as told": {
        "model": "Qwen3-Next-80B-A3B",
        "gpus": "4",
        "engine": "vllm",
        "all2all_backend": "deepep_low_latency",
        "mamba_cache_dtype": "float16",
        "mamba_ssm_cache_dtype": "float32",
    },
    "drafted": {
        "engine": "vllm",
        "draft_layers": "1",
        "speculative_tokens": "3",
        "acceptance": "0.6",
        "prefix_caching": False,
    },
    "packed latent": {
        "model": "DeepSeek-V3.2",
        "gpu": "B200",
        "gpus": "8",
        "weight_dtype": "fp8",
        "kv_dtype": "fp8_ds_mla",
        "context": "128K",
        "engine": "vllm",
    },
    "states alone": {"model": "mamba.gguf", "gpu": "RTX 3090", "skip_weights": True},
    "states of an engine": {"model": "mamba.gguf", "engine": "llama.cpp", "skip_weights": True},
    "measured": {"bandwidth": "2,000", "engine": "vllm", "profile": "rig"},
    "no bound": {"model": "Llama-3.2-1B", "gpu": "B200", "context": "1"},
    "another size": {"gpu": "Apple M4 Max", "memory": "64GiB"},
    "without a price": {"gpu": "DGX Spark", "batch": "4", "dtype": "fp8"},
    "stored": {"model": "stored.gguf", "gpu": "RTX 3090", "context": "2K"},
    "unknown weights": {"model": "unknown.gguf", "skip_weights": True},
    "fixed by other devices": {"model": "Qwen3-32B", "gpu": "RTX 4090", "context": "32K", "bandwidth": "900"},
    "fixed without a price": {"model": "Llama-3.3-70B", "gpu": "Apple M4 Max", "context": "32K"},
    "fixed without a bound": {"model": "Llama-3.2-1B", "gpu": "RTX 4090", "context": "16", "batch": "990000"},
    "fixed for any context": {"model": "mamba.gguf", "gpu": "RTX 3090", "skip_weights": True, "batch": "100000"},
    "replicas": {
        "model": "Qwen3-32B",
        "gpu": "MI300X",
        "dp": "4",
        "batch": "8",
        "cb": True,
        "fill": "average",
        "pa": True,
    },
    "what if": {"what_if": "mqa,quant:2/32", "context": "32K"},
    "what if in its own format": {"what_if": "mqa", "context": "32K"},
}
CONFIG: dict[str, Key] = {
    ".block_count": 2,
    ".embedding_length": 64,
    ".feed_forward_length": 128,
    ".attention.head_count": 4,
    ".attention.head_count_kv": 2,
    "tokenizer.ggml.tokens": ["a", "b"],
}


STATES = {
    ".block_count": 64,
    ".embedding_length": 2560,
    ".ssm.conv_kernel": 4,
    ".ssm.inner_size": 5120,
    ".ssm.state_size": 16,
    ".ssm.time_step_rank": 160,
}


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Reports as a program reads them, by name."""
    folder = tmp_path_factory.mktemp("models")
    write_gguf(folder / "stored.gguf", "llama", {**CONFIG, ".context_length": 4096}, {"token_embd.weight": (64, 2)})
    write_gguf(folder / "unknown.gguf", "llama", CONFIG)
    write_gguf(folder / "mamba.gguf", "mamba", STATES)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KVTUI_CONFIG_DIR", str(folder))
        patch.chdir(folder)
        save_profile(Overheads("rig", activation=2**30, engine="vllm", weights_of="another model"))
        found = {name: document(scenario_from(values)) for name, values in MORE.items()}
    found |= {name: made(name) for name in SCENARIOS}
    return {name: json.loads(render(one, "json")) for name, one in found.items()}


NAMED = dict(named(PUBLISHED, PUBLISHED["$defs"]))


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(PUBLISHED)
    assert PUBLISHED["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert PUBLISHED["properties"]["schema"] == {**PUBLISHED["properties"]["schema"], "const": SCHEMA}


@pytest.mark.parametrize("name", [*SCENARIOS, *MORE])
def test_every_report_is_as_described(documents: dict[str, dict[str, Any]], name: str) -> None:
    Draft202012Validator(closed(PUBLISHED)).validate(documents[name])


def test_it_lets_keys_be_added(documents: dict[str, dict[str, Any]]) -> None:
    found = copy.deepcopy(documents["engine"])
    for owner in (found, found["scenario"], found["engine"]["shares"][0], found["explain"][0]):
        owner["new_key"] = 1
    Draft202012Validator(PUBLISHED).validate(found)
    assert not Draft202012Validator(closed(PUBLISHED)).is_valid(found)


@pytest.mark.parametrize("path", NAMED, ids=".".join)
def test_every_key_occurs_and_says_what_it_is(documents: dict[str, dict[str, Any]], path: tuple[str, ...]) -> None:
    told = NAMED[path]
    values = [value for one in documents.values() for value in at(one, path)]
    assert any(value is not None for value in values)
    nullable = "null" in told.get("type", ()) or None in told.get("enum", ())
    assert nullable == (None in values), "null is said to be possible, and never is"
    assert path[-1:] == ("[]",) or len(told["description"]) > 3
    assert {"type", "enum", "const"} & set(told)
    assert set(told.get("required", ())) == set(told.get("properties", ()))


@pytest.mark.parametrize("path", [path for path in NAMED if path and path[-1] != "[]"], ids=".".join)
def test_a_key_that_is_missing_or_of_another_type_is_refused(
    documents: dict[str, dict[str, Any]], path: tuple[str, ...]
) -> None:
    schema = Draft202012Validator(PUBLISHED)
    found = next(one for one in documents.values() if any(at(one, path)) or "" in at(one, path) or 0 in at(one, path))
    found = copy.deepcopy(found)
    owner = next(value for value in at(found, path[:-1]) if value is not None)
    before = owner[path[-1]]
    for wrong in ({"wrong": [True]}, [[None]]):
        owner[path[-1]] = wrong
        assert not schema.is_valid(found)
    del owner[path[-1]]
    assert not schema.is_valid(found)
    owner[path[-1]] = before
    assert schema.is_valid(found)


def test_what_it_lists_is_what_there_is() -> None:
    told = {path: value["enum"] for path, value in NAMED.items() if "enum" in value}
    assert told["warnings", "[]", "severity"] == list(get_args(Severity))
    assert told["model", "confidence"] == list(CONFIDENCES)
    for path in (("scenario", "engine"), ("engine", "name")):
        assert NAMED[path]["examples"] == list(ENGINES)
    shown = [key for option in OPTIONS for key in option.shown]
    assert list(PUBLISHED["properties"]["scenario"]["properties"]) == [*shown, "policy", "command_line"]


def test_the_order_is_the_reports(documents: dict[str, dict[str, Any]]) -> None:
    for path, told in NAMED.items():
        for value in at(documents["engine"], path):
            if "properties" in told and value is not None:
                assert list(value) == list(told["properties"])
