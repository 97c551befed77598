"""``kvtui estimate`` as a user meets it: the reference's oracles to the byte, formats, files, one-line errors."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from kvtui.cli import main

SHAPE = ["--emb-dim", "4096", "--n-heads", "32", "--n-layers", "32", "--context-length", "32768"]
SHARED = ["--queries-per-kv-head", "4"]


def estimate(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["estimate", *words]) == 0
    return capsys.readouterr().out


def items(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in json.loads(estimate(capsys, *words, "--format", "json"))["items"]}


def test_gqa_by_either_name_of_its_heads(capsys: pytest.CaptureFixture[str]) -> None:
    for sharing in (SHARED, ["--kv-heads", "8"]):
        found = items(capsys, "gqa", *SHAPE, *sharing)
        assert found["MHA"]["bytes"] == 17_179_869_184
        assert found["GQA"]["bytes"] == 4_294_967_296
        assert found["GQA"]["compression"] == 4.0
        assert found["GQA"]["saved_percent"] == 75.0
        assert round(found["MHA"]["gb"], 2) == 17.18


def test_mla(capsys: pytest.CaptureFixture[str]) -> None:
    shape = ["--emb-dim", "2048", "--n-heads", "24", "--n-layers", "48", "--context-length", "8K"]
    found = items(capsys, "mla", *shape, *SHARED, "--latent-dim", "1024")
    assert [item["bytes"] for item in found.values()] == [3_246_391_296, 811_597_824, 805_306_368, 855_638_016]
    assert round(found["MLA"]["compression"], 2) == 4.03
    assert round(found["MLA"]["saved_percent"], 2) == 75.19


def test_swa(capsys: pytest.CaptureFixture[str]) -> None:
    found = items(capsys, "swa", *SHAPE, *SHARED, "--sliding-window-size", "1024", "--swa-ratio", "5:1")
    assert [item["bytes"] for item in found.values()] == [
        17_179_869_184,
        4_294_967_296,
        3_137_339_392,
        784_334_848,
    ]


def test_moe(capsys: pytest.CaptureFixture[str]) -> None:
    found = items(capsys, "moe", "--emb-dim", "7168", "--hidden-dim", "14336", "--match-dense")
    assert {name: item["parameters"] for name, item in found.items()} == {
        "dense FFN": 308_281_344,
        "one expert": 38_535_168,
        "router": 57_344,
        "MoE in all": 308_338_688,
        "MoE active": 77_127_680,
    }


def test_deltanet_has_the_references_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    found = items(capsys, "deltanet", "--context-length", "131072")
    assert [item["bytes"] for item in found.values()] == [51_539_607_552, 25_165_824, 12_903_776_256]


@pytest.mark.parametrize(("dtype", "factor"), [("fp32", 4), ("bf16", 2), ("fp16", 2), ("fp8", 1), ("int8", 1)])
def test_formats_of_elements(capsys: pytest.CaptureFixture[str], dtype: str, factor: int) -> None:
    found = items(capsys, "mha", *SHAPE, "--dtype", dtype, "--batch-size", "3")
    assert found["MHA"]["bytes"] == 3 * 32_768 * 2 * 4096 * 32 * factor


def test_text_csv_and_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    text = estimate(capsys, "gqa", *SHAPE, *SHARED)
    assert "4,294,967,296   4.00 GiB" in text
    assert "8, each shared by 4 query heads" in text
    rows = list(csv.DictReader(StringIO(estimate(capsys, "gqa", *SHAPE, *SHARED, "--format", "csv"))))
    assert [row["bytes"] for row in rows] == ["17179869184", "4294967296"]
    assert "| GQA | 4,294,967,296 |" in estimate(capsys, "gqa", *SHAPE, *SHARED, "--format", "markdown")
    assert estimate(capsys, "gqa", *SHAPE, *SHARED, "--ascii").isascii()


@pytest.mark.parametrize(
    "words",
    [
        ["mha", *SHAPE],
        ["gqa", *SHAPE, *SHARED],
        ["mla", *SHAPE, *SHARED, "--latent-dim", "512"],
        ["swa", *SHAPE, *SHARED, "--sliding-window-size", "1024"],
        ["deltanet"],
        ["moe", "--emb-dim", "512", "--hidden-dim", "2048"],
    ],
    ids=lambda words: words[0],
)
def test_every_kind_is_drawn_and_the_curve_passes_through_the_table(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str]
) -> None:
    shown = estimate(capsys, *words, "--plot")
    assert "┤" in shown
    assert main(["estimate", *words, "--plot", "-o", str(tmp_path / "x.json")]) == 0
    figure = json.loads((tmp_path / "x.json").read_text())
    drawn = {value for panel in figure["panels"] for mark in panel["marks"] for value in mark["y"]}
    table = items(capsys, *words)
    skipped = {"one expert", "router"}
    assert {item["bytes"] for name, item in table.items() if name not in skipped} <= drawn
    assert main(["estimate", *words, "--plot", "-o", str(tmp_path / "x.csv")]) == 0
    assert (tmp_path / "x.csv").read_text().startswith("panel,mark,series")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gqa", *SHAPE, "--kv-heads", "5"], "kv-heads: 5 does not divide 32 heads"),
        (["gqa", *SHAPE], "give either kv-heads or queries-per-kv-head"),
        (["gqa", *SHAPE, *SHARED, "--kv-heads", "8"], "give either kv-heads or queries-per-kv-head"),
        (["gqa", *SHAPE, "--n-kv-groups", "4"], "--queries-per-kv-head N"),
        (["gqs", *SHAPE], "did you mean gqa"),
        (["mha", "--emb-dim", "64"], "--n-heads: mha needs it"),
        (["mla", *SHAPE, *SHARED], "--latent-dim: mla needs it"),
        (["mha", *SHAPE, "--latent-dim", "4"], "--latent-dim: does not belong to mha, but to mla"),
        (["gqa", *SHAPE, *SHARED, "--match-dense"], "--match-dense: does not belong to gqa"),
        (["swa", *SHAPE, *SHARED, "--sliding-window-size", "8", "--swa-ratio", "0:0"], "ratio: 0:0"),
        (["swa", *SHAPE, *SHARED, "--sliding-window-size", "8", "--swa-ratio", "5"], "--swa-ratio: '5' is not a ratio"),
        (["moe", "--emb-dim", "64", "--hidden-dim", "64", "--top-k", "9"], "top-k: 9 experts cannot run"),
        (["moe", "--emb-dim", "64", "--hidden-dim", "64", "--ffn-type", "relu"], "unknown ffn-type 'relu'"),
        (["mha", *SHAPE, "--dtype", "fp9"], "did you mean"),
        (["mha", *SHAPE, "--batch-size", "0"], "--batch-size: 0 is out of range"),
        (["mha", *SHAPE, "--format", "xml"], "unknown format 'xml'"),
        (["mha", *SHAPE, "--plot", "--format", "csv"], "--plot: goes with text"),
        (["mha", *SHAPE, "--emb-dmi", "4"], "did you mean --emb-dim"),
    ],
)
def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["estimate", *words])
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert said in err
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", err)


def test_an_estimate_loads_nothing_heavy() -> None:
    code = f"from kvtui.cli import main; import sys; main({['estimate', 'mha', *SHAPE, '--format', 'json']!r})"
    check = "print(sorted({'numpy', 'textual', 'jax', 'plotext'} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", f"{code}; {check}"], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


TRAINING = ["training", "--model", "Llama-3.1-8B", "--context-length", "4K"]


def test_training_in_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    found = items(capsys, *TRAINING, "--zero", "2", "--devices", "8")
    weights = 8_030_261_248
    assert found["weights"]["bytes"] == 2 * weights
    assert found["gradients"]["bytes"] == 2 * weights // 8
    assert found["optimizer states"]["bytes"] == 8 * weights // 8
    assert found["fp32 master weights"]["devices"] == 8
    assert found["peak of a step"]["percent_of_peak"] == 100
    peak = f"{found['peak of a step']['bytes']:,}"
    for form in ("text", "markdown", "html"):
        assert peak in estimate(capsys, *TRAINING, "--zero", "2", "--devices", "8", "--format", form)
    rows = list(csv.DictReader(StringIO(estimate(capsys, *TRAINING, "--format", "csv"))))
    assert rows[-1]["name"] == "peak of a step"
    assert estimate(capsys, *TRAINING, "--ascii").isascii()


def test_fsdp_is_zero_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert items(capsys, *TRAINING, "--fsdp", "--devices", "8") == items(
        capsys, *TRAINING, "--zero", "3", "--devices", "8"
    )


def test_training_is_drawn(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "ZeRO-3, FSDP" in estimate(capsys, *TRAINING, "--plot")
    assert main(["estimate", *TRAINING, "--devices", "8", "--plot", "-o", str(tmp_path / "x.json")]) == 0
    figure = json.loads((tmp_path / "x.json").read_text())
    line = next(mark for mark in figure["panels"][1]["marks"] if mark["name"] == "ZeRO-2")
    peak = items(capsys, *TRAINING, "--zero", "2", "--devices", "8")["peak of a step"]["bytes"]
    assert line["y"][line["x"].index(8)] == peak


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["training"], "--model: training needs it"),
        ([*TRAINING, "--zero", "2"], "--devices: sharding needs two at least"),
        ([*TRAINING, "--zero", "4", "--devices", "2"], "training: 4 is no stage of ZeRO"),
        ([*TRAINING, "--zero", "1", "--fsdp", "--devices", "2"], "--fsdp: shards all"),
        ([*TRAINING, "--optimizer", "adm"], "did you mean adam"),
        ([*TRAINING, "--emb-dim", "3"], "--emb-dim: does not belong to training"),
        (["training", "--model", "Qwen3-Next-80B"], "activations are not known (recurrent_in)"),
    ],
)
def test_wrong_words_about_training(capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["estimate", *words])
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err
