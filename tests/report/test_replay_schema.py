"""The published description of a replay's document: it holds for every one, and says nothing that none has."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from kvtui.cli import main
from kvtui.engine.replay.search import Sought
from kvtui.report.replay.document import SCHEMA
from tests.paths import DATA, ROOT
from tests.report.schemas import at, closed, named

PUBLISHED = json.loads((ROOT / "docs" / "schema" / f"replay-{SCHEMA}.json").read_text(encoding="utf-8"))
NAMED = dict(named(PUBLISHED, PUBLISHED["$defs"]))
TRACE = str(DATA / "replay/synth_trace_160.jsonl")
SCENARIO = ["--model", "Llama-3.1-8B", "--gpu", "L40S"]
RECORDING = str(ROOT / "examples/watch/vllm-preemption.jsonl")
FEW = [TRACE, *SCENARIO, "--requests", "12"]
WORDS: dict[str, list[str]] = {
    "cache alone": [TRACE],
    "no prefixes": [RECORDING],
    "served": [*FEW, "--slo", "ttft=500ms", "--pace", RECORDING],
    "slo of tokens": [*FEW, "--slo", "tpot=50ms"],
    "compared": [*FEW, "--compare", "static,prefix"],
    "too large": [*FEW, "--gpu", "RTX 4090", "--context", "128K", "--compare", "prefix,paged"],
    "nothing reused": [TRACE, "--requests", "1"],
    "all refused": [*FEW, "--context", "16"],
    "sought": [*FEW, "--slo", "ttft=500ms", "--find", "max-seqs", "--max-seqs", "4"],
    "never met": [*FEW, "--slo", "ttft=1ms", "--find", "max-seqs", "--max-seqs", "2"],
    "devices": [*FEW, "--requests", "3", "--find", "devices"],
}

RARE = (("search", "fails_beside", "[]"), ("search", "rows", "[]", "problem"))
"""Where more is worse, and where a server does not start with one of the values: few traces and scenarios show it."""


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Documents as a program reads them, by name."""
    file, found = tmp_path_factory.mktemp("replays") / "found.json", {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.cpu_count", lambda: 1)  # few replays, which take less time than processes
        for name, words in WORDS.items():
            assert main(["replay", *words, "--format", "json", "-o", str(file)]) == 0
            found[name] = json.loads(file.read_text())
    return found


def test_it_is_a_schema() -> None:
    Draft202012Validator.check_schema(PUBLISHED)
    assert PUBLISHED["$schema"] == Draft202012Validator.META_SCHEMA["$id"]
    assert PUBLISHED["properties"]["schema"]["const"] == SCHEMA


@pytest.mark.parametrize("name", WORDS)
def test_every_document_is_as_described(documents: dict[str, Any], name: str) -> None:
    Draft202012Validator(closed(PUBLISHED)).validate(documents[name])


def test_the_one_that_comes_with_kvtui_is_as_described() -> None:
    Draft202012Validator(closed(PUBLISHED)).validate(json.loads((ROOT / "kvtui/data/replay.json").read_text()))


def test_it_lets_keys_be_added_and_none_be_missing(documents: dict[str, Any]) -> None:
    schema = Draft202012Validator(PUBLISHED)
    assert schema.is_valid({**documents["served"], "new_key": 1})
    for key in documents["served"]:
        assert not schema.is_valid({one: value for one, value in documents["served"].items() if one != key})


def within(path: tuple[str, ...]) -> tuple[str, ...]:
    """What is described once for both ends of all replays has one place."""
    first = next((at for at, key in enumerate(path) if key in ("fast", "slow") and path[0] != "pace"), None)
    return path if first is None else ("an end", *path[first + 1 :])


def test_every_key_occurs_in_this_order_and_says_what_it_is(documents: dict[str, Any]) -> None:
    found: dict[tuple[str, ...], list[Any]] = {}
    for path in NAMED:
        found.setdefault(within(path), []).extend(value for one in documents.values() for value in at(one, path))
    for path, told in NAMED.items():
        values = found[within(path)]
        if path not in RARE:
            assert any(value is not None for value in values), path
        assert (None in values) == ("null" in told.get("type", ())), path
        assert path[-1:] == ("[]",) or len(told["description"]) > 3, path
        assert set(told.get("required", ())) == set(told.get("properties", ())), path
        for value in values:
            if "properties" in told and value is not None:
                assert list(value) == list(told["properties"]), path


def test_what_it_lists_is_what_there_is() -> None:
    assert NAMED["search", "sought"]["enum"] == [one.value for one in Sought]
