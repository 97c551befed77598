"""config.json files on disk: broken, hostile, fuzzed; and the catalogue's models read from their configs."""

from __future__ import annotations

import json
import os
import unicodedata
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.engine.model.catalogue import find_model
from kvtui.engine.model.formats import FORMATS
from kvtui.engine.model.spec import ModelSpec, cache_bytes
from kvtui.engine.sources.hf.config import MAX_CONFIG_BYTES, model_from_config, read_config
from tests.engine.sources.hf.published import PUBLISHED

BF16 = FORMATS["bf16"]
LLAMA = PUBLISHED["Llama-3.1-8B"]


def assert_one_harmless_line(text: str) -> None:
    assert text
    assert not [character for character in text if unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_config(path)
    assert_one_harmless_line(str(caught.value))
    return str(caught.value)


def check(spec: ModelSpec) -> None:
    """Everything that a plan asks of a specification is a whole number of bytes."""
    assert spec.layers
    for context in (0, 1, 4097, 1_000_003):
        held = cache_bytes(spec.caches, context, BF16)
        for part in (held.growing, held.indexer, held.bounded, held.state):
            assert type(part) is int
            assert part >= 0
    assert spec.bytes_per_token(BF16) >= 0
    assert spec.bounded_bytes(BF16) >= 0
    assert spec.state_bytes() >= 0
    for count in (spec.parameters, spec.active_parameters):
        assert count is None or (type(count) is int and count > 0)
    for text in (spec.name, spec.source, *spec.notes):
        assert_one_harmless_line(text)


def check_or_refusal(read: Callable[[], ModelSpec], start: str) -> None:
    """``read`` gives a sound specification or one line that begins with ``start``."""
    outcome: ModelSpec | str
    try:
        outcome = read()
    except InputError as error:
        outcome = str(error)
    if isinstance(outcome, ModelSpec):
        check(outcome)
    else:
        assert_one_harmless_line(outcome)
        assert outcome.startswith(start)


def write(folder: Path, content: object, name: str = "config.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_a_file_and_its_folder_read_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "Some-Model-8B"
    folder.mkdir()
    path = write(folder, LLAMA)
    spec = read_config(folder)
    assert spec == read_config(path)
    assert (spec.name, spec.parameters, spec.weight_bytes) == ("Some-Model-8B", 8_030_261_248, None)
    assert read_config(write(tmp_path, LLAMA, "mine.json")).name == "mine"


def test_the_hub_s_cache_gives_the_repository_s_name(tmp_path: Path) -> None:
    folder = tmp_path / "models--meta-llama--Llama-3.1-8B" / "snapshots" / ("0e9e39f249a16976918f6564b8830bc894c89659")
    folder.mkdir(parents=True)
    write(folder, LLAMA)
    assert read_config(folder).name == "Llama-3.1-8B"


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        ({"metadata": {"total_size": 16_060_522_496}, "weight_map": {}}, 16_060_522_496),
        ({"metadata": {"total_size": 16_060_522_496.0}}, 16_060_522_496),
        ({"metadata": {}}, None),
        ({"weight_map": {}}, None),
    ],
)
def test_weight_bytes_come_from_the_index(tmp_path: Path, index: dict[str, Any], expected: int | None) -> None:
    write(tmp_path, LLAMA)
    write(tmp_path, index, "model.safetensors.index.json")
    spec = read_config(tmp_path)
    assert spec.weight_bytes == expected
    assert spec.parameters_from == "shape"


@pytest.mark.parametrize("size", [-1, 0, "16", True, 1.5, 2**61, [1]])
def test_a_wrong_total_size_is_named(tmp_path: Path, size: object) -> None:
    write(tmp_path, LLAMA)
    write(tmp_path, {"metadata": {"total_size": size}}, "model.safetensors.index.json")
    assert "model.safetensors.index.json: metadata.total_size: " in refused(tmp_path)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "line 1: is not JSON: Expecting value"),
        (b'{"model_type": "llama", ', "is not JSON"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "is not UTF-8 text"),
        (b"[1, 2]", "holds a list of 2, not an object"),
        (b"null", "holds null, not an object"),
        (b'"text"', "holds 'text', not an object"),
        (b'{"hidden_size": NaN}', "holds NaN, which is not JSON"),
        (b'{"a": {"x": 1, "x": 2}}', "'x' is there twice"),
        (b'{"model_type": "llama", "model_type": "mamba"}', "'model_type' is there twice"),
        (b'{"a": ' * 100_000 + b"1" + b"}" * 100_000, "is nested too deeply"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "is nested too deeply"),
        (b'{"num_hidden_layers": ' + b"9" * 5000 + b"}", "a number has too many digits"),
        (b'{"model_type": "llama", "hidden_size": Infinity}', "hidden_size: inf is not a whole number"),
        (b'{"model_type": "\\u001b[31mred\\u0007"}', "unknown model_type"),
        (b'{"\\u001b]0;title\\u0007_mamba": 3, "num_hidden_layers": 2}', "no model_type with"),
        (b'{"model_type": "\\ud800"}', "unknown model_type"),
        (b'{"model_type": 7}', "model_type: 7 is not text"),
    ],
)
def test_broken_files(tmp_path: Path, data: bytes, expected: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(data)
    message = refused(path)
    assert message.startswith(f"{path}: ")
    assert expected in message


def test_infinity_where_it_does_not_matter_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, PUBLISHED["Nemotron-H-8B"])
    assert b"Infinity" in path.read_bytes()
    assert read_config(path).state_bytes() == 102_137_856


def test_terminal_escapes_do_not_reach_the_specification(tmp_path: Path) -> None:
    path = write(tmp_path, LLAMA | {"_name_or_path": "\x1b[2J\x1b[31m", "architectures": ["\x1b[31m"]})
    check(read_config(path))
    check(model_from_config(LLAMA | {"model_type": "llama"}, "\x1b[31mname\n", "f"))


def test_what_is_not_a_config(tmp_path: Path) -> None:
    assert refused(tmp_path).endswith("config.json: the folder has no config.json")
    assert refused(tmp_path / "nowhere").endswith("nowhere: no such file or folder")
    (tmp_path / "config.json").mkdir()
    assert refused(tmp_path).endswith("config.json: is not a regular file")
    assert "cannot be read" in refused(Path("a\0b"))
    assert "cannot be read" in refused(tmp_path / ("x" * 5000))
    assert refused(Path("/dev/zero")).endswith("/dev/zero: is not a regular file")


def test_large_files_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(9 * 2**20)
    assert MAX_CONFIG_BYTES == 8 * 2**20
    assert refused(path).endswith("is larger than 8 MiB")
    path.unlink()
    write(tmp_path, LLAMA)
    with (tmp_path / "model.safetensors.index.json").open("wb") as file:
        file.truncate(2**40)
    assert refused(tmp_path).endswith("model.safetensors.index.json: is larger than 64 MiB")


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    assert refused(tmp_path).endswith("is not a regular file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_files(tmp_path: Path) -> None:
    path = write(tmp_path, LLAMA)
    path.chmod(0)
    assert "cannot be read: Permission denied" in refused(path)


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-3, 5)
    | st.integers()
    | st.sampled_from([64, 128, 512, 1024, 4096, 2**24, 2**31, 10**30])
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["full_attention", "sliding_attention", "mamba", "auto", "M*-E", "float32", "\x1b[31m", "fp8"])
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
FIELDS = sorted({field for config in PUBLISHED.values() for field in (config | config.get("text_config", {}))})
MUTATIONS = st.lists(
    st.tuples(st.sampled_from(["drop", "set", "stretch"]), st.integers(0, 10**6), VALUES, st.sampled_from(FIELDS)),
    min_size=1,
    max_size=4,
)


def mutate(config: dict[str, Any], how: str, at: int, value: object, field: str) -> None:
    target = config["text_config"] if isinstance(config.get("text_config"), dict) and at % 4 else config
    keys = sorted(target)
    if not keys:
        return
    key = keys[at % len(keys)]
    match how:
        case "drop":
            del target[key]
        case "set":
            target[key if at % 3 else field] = value
        case _ if isinstance(target[key], list):
            target[key] = target[key][1:] if at % 2 else [*target[key], value]
        case _ if type(target[key]) is int:
            target[key] += (-1, 1, target[key], -target[key])[at % 4]


@settings(max_examples=5 * settings().max_examples)
@given(name=st.sampled_from(sorted(PUBLISHED)), mutations=MUTATIONS)
def test_a_mutated_config_is_read_or_refused_in_one_line(name: str, mutations: list[tuple[Any, ...]]) -> None:
    config = deepcopy(PUBLISHED[name])
    for mutation in mutations:
        mutate(config, *mutation)
    check_or_refusal(lambda: model_from_config(config, name, "config.json"), "config.json: ")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200) | st.builds(lambda value: json.dumps(value).encode(), VALUES))
def test_random_bytes(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(data)
    check_or_refusal(lambda: read_config(path), str(path))


NOT_IN_THE_CATALOGUE = {
    "Mllama-11B",
    "Mistral-7B-v0.1",
    "Qwen1.5-MoE-A2.7B",
    "Qwen3-VL-4B",
    "SmolLM3-3B",
    "Seed-OSS-36B",
    "GLM-4-9B-0414",
    "granite-3.1-8b",
    "EXAONE-4.0-1.2B",
    "pythia-6.9b",
}


# Their window is in the file, and engines differ in applying it; the catalogue has them without one.
WITH_AN_OPTIONAL_WINDOW = {"Phi-3-mini-4k", "starcoder2-7b"}


@pytest.mark.parametrize("name", sorted(set(PUBLISHED) - NOT_IN_THE_CATALOGUE - WITH_AN_OPTIONAL_WINDOW))
def test_the_catalogue_agrees(name: str) -> None:
    """The same layers in the same order."""
    spec, known = model_from_config(PUBLISHED[name], name, "config.json"), find_model(name)
    assert [layer.caches for layer in spec.layers] == [layer.caches for layer in known.layers]


STATED_IN_THE_CATALOGUE = {"DeepSeek-V4-Flash", "Kimi-K3", "Ling-3.0-Flash", "gemma-3n-E4B", "gemma-4-E4B"}
WITH_OTHER_PARTS = {"Qwen3.5-27B", "gemma-3-27b", "gemma-3-4b", "gemma-4-26B-A4B", "gemma-4-31B"}


@pytest.mark.parametrize("name", sorted(set(PUBLISHED) - NOT_IN_THE_CATALOGUE - STATED_IN_THE_CATALOGUE))
def test_the_catalogue_counts_the_same_weights(name: str) -> None:
    """Layer by layer, and in all, except where only the catalogue counts what is beside the language model."""
    spec, known = model_from_config(PUBLISHED[name], name, "config.json"), find_model(name)
    assert [layer.parameters for layer in spec.layers] == [layer.parameters for layer in known.layers]
    assert [layer.experts for layer in spec.layers] == [layer.experts for layer in known.layers]
    assert [layer.width for layer in spec.layers] == [layer.width for layer in known.layers]
    assert (spec.parameters == known.parameters) is (name not in WITH_OTHER_PARTS)
