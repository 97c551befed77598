"""The sizes of one model in every weight format, as a table."""

from __future__ import annotations

import json

import pytest

from kvtui.cli import main
from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.checkpoint.known import weight_names
from kvtui.report.listings import formats


def test_every_format_has_a_size_and_the_largest_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "Llama-3.1-8B", "--formats", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    sizes = {row["name"]: row["file_bytes"] for row in rows}
    assert set(weight_names()) - set(sizes) == {"w4a16-g32-experts"}, "without experts it is bf16"
    assert list(sizes.values()) == sorted(sizes.values(), reverse=True)
    assert sizes["bf16"] == 2 * 8_030_261_248
    assert sizes["q4_k_m"] == pytest.approx(4.92e9, rel=0.002)
    assert all(row["meaning"] for row in rows)


def test_only_bounds_have_a_least_size() -> None:
    _, rows = formats("qwen3 30b a3b")
    assert {row["name"] for row in rows if row["least_bytes"] is not None} == {
        name for name in weight_names() if name.startswith("ud-")
    }


def test_a_model_that_is_unknown_or_whose_weights_are() -> None:
    with pytest.raises(UnknownName):
        formats("Llama-99B")
    with pytest.raises(InputError, match="weights of Ling"):
        formats("Ling-3.0-Flash")


def test_formats_are_those_of_a_named_model(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["models", "--formats"])
    assert "of which model" in capsys.readouterr().err
