"""The text that models are trained on, its tokens, and the files that hold arrays."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.bench.training import corpus, safetensors, tokens
from kvtui.bench.training.tokens import Tokenizer
from kvtui.engine.basis.errors import InputError

PROSE = "the cat sat on the mat; the other cat sat on the hat. " * 60


def test_no_paragraph_that_is_measured_is_trained_on() -> None:
    found = corpus.load()
    trained = {" ".join(part.split()) for part in found.train.split("\n\n")}
    measured = {" ".join(part.split()) for part in found.validation.split("\n\n")}
    assert found.sha256 == corpus.VALIDATION_SHA256
    assert not trained & measured
    assert len(found.train) > 5 * len(found.validation)


def test_the_last_tenth_of_ones_own_text_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text(PROSE)
    found = corpus.load([path])
    assert found.train + found.validation == PROSE
    assert len(found.validation) == len(PROSE) // 10


@pytest.mark.parametrize(
    ("content", "said"), [(b"", "0 characters"), (b"too short", "9 characters"), (b"\xff" * 4000, "not UTF-8")]
)
def test_text_that_is_no_good_is_refused_by_name(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "mine.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said) as error:
        corpus.load([path])
    assert "mine.txt" in str(error.value)


def test_a_missing_text_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        corpus.load([tmp_path / "none.txt"])


MADE = [tokens.characters_of(PROSE), tokens.byte_pairs_of(PROSE, 130)]


@given(st.text(alphabet="the catson;.\n HM09_=é", max_size=60))
def test_what_is_encoded_is_decoded_but_for_what_the_text_never_had(text: str) -> None:
    for tokenizer in MADE:
        assert tokenizer.decode(tokenizer.encode(text)) == text.replace("é", tokens.UNKNOWN)
        assert Tokenizer.from_json(json.loads(json.dumps(tokenizer.to_json()))).texts == tokenizer.texts


def test_byte_pairs_make_text_shorter_the_commonest_first() -> None:
    characters, pairs = MADE
    assert len(characters) < len(pairs) <= 130
    assert len(pairs.encode(PROSE)) < len(PROSE) / 2
    assert pairs.texts[len(characters)] == "at"
    assert any(" the" in text for text in pairs.texts)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"characters": "abc", "merges": []},
        {"characters": tokens.UNKNOWN + "aa", "merges": []},
        {"characters": tokens.UNKNOWN + "a", "merges": [[1, 9]]},
        {"characters": tokens.UNKNOWN + "a", "merges": [[1, "x"]]},
        {"characters": tokens.UNKNOWN + "a", "merges": [[i, i] for i in range(1, 12)]},
    ],
)
def test_a_vocabulary_that_is_none_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(InputError, match="tokens: "):
        Tokenizer.from_json(values)


def test_arrays_come_back_as_they_were(tmp_path: Path) -> None:
    arrays: safetensors.Arrays = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b.c": np.ones(3, np.float16),
        "n": np.array(7, np.int32),
        "none": np.zeros((0, 4), np.float32),
    }
    safetensors.write(tmp_path / "x.safetensors", arrays, {"who": "kvtui"})
    found, metadata = safetensors.read(tmp_path / "x.safetensors")
    assert metadata == {"who": "kvtui"}
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def entry(dtype: object = "F32", shape: object = (1,), offsets: object = (0, 4)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    "header",
    [
        "[]",
        "{",
        '{"a":1,"a":2}',
        '{"__metadata__":{"a":1}}',
        '{"__metadata__":[]}',
        json.dumps({"a": 1}),
        json.dumps({"a": entry("BF16", (1,), (0, 2))}),
        json.dumps({"a": entry(shape=[2])}),
        json.dumps({"a": entry(shape=[-1])}),
        json.dumps({"a": entry(shape=[True])}),
        json.dumps({"a": entry(shape=[1] * 9)}),
        json.dumps({"a": entry(offsets=[0, 2**60])}),
        json.dumps({"a": entry(shape=[2**34, 2**34], offsets=[0, 4])}),
        json.dumps({"a": entry(offsets=[-4, 0])}),
        '{"a":' * 5000 + "1" + "}" * 5000,
        '{"a\u001b[31m": 1}',
    ],
)
def test_hostile_headers_are_refused_in_one_line(tmp_path: Path, header: str) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(len(header.encode()).to_bytes(8, "little") + header.encode() + b"\0" * 4)
    with pytest.raises(InputError, match=r"x\.safetensors: ") as error:
        safetensors.read(path)
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    "data", [b"", b"1234567", b"\xff" * 9, (2**62).to_bytes(8, "little") + b"{}", b"\x02" + b"\0" * 7]
)
def test_what_is_no_such_file_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(InputError, match="is not a safetensors file"):
        safetensors.read(path)
