"""Figures as files: JSON reads back as the same figure, CSV has every value, anything else is one clear line."""

from __future__ import annotations

import csv
import json
import random
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.cases.table import REFERENCE_COLUMNS
from kvtui.cli import main
from kvtui.engine.basis.errors import InputError
from kvtui.figures import sweep
from kvtui.figures.csv import COLUMNS, to_csv
from kvtui.figures.figure import Axis, Figure, Line, Panel, Rule, Scatter, floats
from kvtui.figures.files import read
from kvtui.figures.json import from_json, to_json
from kvtui.figures.tables import MOST_POINTS
from kvtui.plots.draw import render_text
from tests.figures.sample_rows import of_kind
from tests.plots.gallery import BARS, CURVES, FLAT, GALLERY, HEAT, HOSTILE, SURFACE

text = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Co", "Zl", "Zp"]), max_size=12)
values = st.lists(st.floats(width=64), min_size=3, max_size=3).map(floats)


@st.composite
def figures(draw: st.DrawFn) -> Figure:
    """A figure with lines and scattered points over any axes."""
    x, y = (
        Axis(
            draw(text),
            draw(text),
            draw(st.sampled_from(["linear", "log2", "log10"])),
            draw(st.sampled_from(["number", "tokens", "bytes"])),
            draw(st.none() | st.floats(-1e9, 1e9)),
        )
        for _ in range(2)
    )
    marks = (
        Line(
            draw(text),
            draw(values),
            draw(values),
            draw(values),
            draw(st.none() | values),
            draw(st.sampled_from(["solid", "dotted"])),
        ),
        Scatter(draw(text), draw(values), draw(values), draw(st.none() | values), (draw(text),)),
    )
    rules = (Rule(draw(st.sampled_from(["x", "y"])), draw(st.floats(-1e300, 1e300)), draw(text)),)
    return Figure(draw(text), draw(text), draw(text), (Panel(draw(text), x, y, marks, rules=rules),), (draw(text),))


def same(a: Any, b: Any) -> bool:
    """Whether two figures hold the same: arrays by value, NaN equal to NaN."""
    if isinstance(a, np.ndarray):
        return a.shape == b.shape and np.array_equal(a, b, equal_nan=True)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if hasattr(a, "__dataclass_fields__"):
        return type(a) is type(b) and all(same(getattr(a, n), getattr(b, n)) for n in a.__dataclass_fields__)
    return bool(a == b)


@given(figures())
def test_json_reads_back_as_the_same_figure(figure: Figure) -> None:
    found = from_json(to_json(figure), "f")
    assert same(found, figure)
    assert render_text(found, 70, 20) == render_text(figure, 70, 20)


@pytest.mark.parametrize("figure", GALLERY, ids=lambda figure: figure.id)
def test_the_gallery_reads_back(figure: Figure) -> None:
    assert same(from_json(to_json(figure), "f"), figure)


@pytest.mark.parametrize("name", sorted(set(HOSTILE) - {"names", "a million", "a million gaps"}))
def test_hostile_figures_read_back(name: str) -> None:
    found = from_json(to_json(HOSTILE[name]), "f")
    assert to_json(found) == to_json(HOSTILE[name])
    to_csv(found)


JUNK: tuple[Any, ...] = (None, True, -1, 1.5, "", "line", [], [1, None], [[1], [1, 2]], {}, 10**400, "\x1b[31m")


@given(st.integers(0, 2**32 - 1), st.sampled_from([CURVES, HEAT, BARS, SURFACE]))
def test_a_broken_json_is_drawn_or_is_one_clear_line(seed: int, figure: Figure) -> None:
    chooser = random.Random(seed)
    document = json.loads(to_json(figure))
    place, key = document, chooser.choice(list(document))
    while isinstance(place[key], dict | list) and place[key] and chooser.random() < 0.85:
        place = place[key]
        key = chooser.choice(list(place)) if isinstance(place, dict) else chooser.randrange(len(place))
    place[key] = chooser.choice(JUNK)
    try:
        found = from_json(json.dumps(document), "file.json")
    except InputError as error:
        message = str(error)
    else:
        message = ""
        render_text(found, 60, 20)
    assert message.isprintable()


@pytest.mark.parametrize("figure", GALLERY, ids=lambda figure: figure.id)
def test_csv_has_every_value_and_the_units(figure: Figure) -> None:
    lines = list(csv.reader(StringIO(to_csv(figure))))
    assert [head.partition(":")[0] for head in lines[0]] == list(COLUMNS)
    for number, panel in enumerate(figure.panels, 1):
        title = panel.title if len(figure.panels) == 1 else f"{number}"
        assert panel.x.label in lines[0][4]
        assert panel.y.unit in lines[0][5]
        for mark in panel.marks:
            rows = [line for line in lines[1:] if line[0] == title and line[2] == mark.name]
            array = next(getattr(mark, name) for name in ("z", "samples", "values", "y") if hasattr(mark, name))
            assert len(rows) == array.size
            column = 6 if hasattr(mark, "z") else 4 if hasattr(mark, "samples") else 5
            written = floats([float(row[column]) if row[column] else None for row in rows])
            assert np.array_equal(written, array.ravel(), equal_nan=True)


@pytest.mark.parametrize("figure", FLAT[:-1], ids=lambda figure: figure.id)
def test_an_exported_csv_holds_the_same_data_when_read(figure: Figure, tmp_path: Path) -> None:
    path = tmp_path / "figure.csv"
    path.write_text(to_csv(figure))
    (found,) = read(path).values()
    for a, b in zip(figure.panels, found.panels, strict=True):
        assert a.categories == b.categories
        for mark, other in zip(a.marks, b.marks, strict=True):
            for name in ("x", "y", "z", "values", "samples", "low", "high", "sizes"):
                assert same(getattr(mark, name, None), getattr(other, name, None))


def run(*words: Path | str) -> int:
    """What ``kvtui plot`` with ``words`` returns as its exit code."""
    return main(["plot", *map(str, words)])


def test_a_table_of_numbers_is_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("name,context,step ms,tok/s\na,256,1.5,100\nb,512,2.5,\nc,1024,4.5,60\n")
    assert run(path, "--width", "80", "--height", "20") == 0
    shown = capsys.readouterr().out
    for word in ("runs.csv", "context", "step ms", "tok/s", "no numbers: name", "left out"):
        assert word in shown
    (figure,) = read(path).values()
    assert [mark.name for mark in figure.panels[0].marks] == ["step ms", "tok/s"]
    _, speeds = of_kind(Line, figure.panels[0].marks)
    assert np.array_equal(speeds.y, [100, np.nan, 60], equal_nan=True)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "empty"),
        ("a,b\n", "no rows"),
        ("a,b\nx,y\n", "two columns of numbers"),
        ("a,b\n1,\n2,nan\n", "two columns of numbers"),
        ('{"kind": "figure"}', "not a figure of schema 1"),
        ("{", "not JSON"),
        ("\x00\x01", "no rows"),
    ],
)
def test_a_file_without_anything_to_draw_is_one_line(
    content: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file.csv"
    path.write_text(content)
    with pytest.raises(SystemExit) as stopped:
        run(path)
    assert stopped.value.code == 2
    message = capsys.readouterr().err
    assert why in message
    assert message.count("\n") == 1


def test_paths_and_options_that_are_wrong_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / "t.csv"
    table.write_text("a,b\n1,2\n")
    for words, why in (
        ((tmp_path / "nothing.csv",), "No such file"),
        ((tmp_path,), "no run is there"),
        ((table, "--width", "0"), "--width"),
        ((table, "--figure", "tt"), "did you mean t?"),
        ((table, "-o", "x.gif"), "file format"),
        ((table, "-o", "x"), "needs one of .txt"),
    ):
        with pytest.raises(SystemExit) as stopped:
            run(*words)
        assert stopped.value.code == 2
        assert why in capsys.readouterr().err


def test_a_hundred_thousand_rows_keep_their_extremes_and_say_so(tmp_path: Path) -> None:
    rows = 100_000
    x = np.arange(rows)
    y = np.sin(x / 7.0)
    y[54_321], y[98_765] = 9.0, -9.0
    path = tmp_path / "long.csv"
    path.write_text("x,y\n" + "".join(f"{a},{b!r}\n" for a, b in zip(x.tolist(), y.tolist(), strict=True)))
    (figure,) = read(path).values()
    (mark,) = of_kind(Line, figure.panels[0].marks)
    assert mark.y.size <= MOST_POINTS + 4
    assert (mark.y.max(), mark.y.min()) == (9.0, -9.0)
    assert abs(mark.x[mark.y.argmax()] - 54_321) < rows / 5000
    assert any("100,000 rows" in note for note in figure.notes)


def test_figures_are_written_in_every_format_of_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "curves.json"
    source.write_text(to_json(CURVES))
    for form in ("txt", "csv", "json"):
        assert run(source, "-o", tmp_path / f"out.{form}") == 0
    assert capsys.readouterr().out == ""
    assert same(from_json((tmp_path / "out.json").read_text(), "f"), CURVES)
    assert (tmp_path / "out.csv").read_text() == to_csv(CURVES)
    assert (tmp_path / "out.txt").read_text() == render_text(CURVES, 80)
    assert run(source, "--list") == 0
    assert capsys.readouterr().out.split() == ["curves", *CURVES.question.split()]


def sweep_file(path: Path) -> None:
    """A sweep's table of four rows as another tool may have written it."""
    row = dict.fromkeys(REFERENCE_COLUMNS, "1") | {"dtype": "float32", "oom": "False", "attn_variant": "MHA"}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, REFERENCE_COLUMNS)
        writer.writeheader()
        for group in ("attention_type", "batch_size"):
            for kind, ms in (("MHA", 2.0), ("MLA", 1.5)):
                writer.writerow(row | {"group": group, "label": kind, "attn_type": kind, "decode_step_ms_p50": ms})


def test_a_run_has_the_figures_of_the_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep_file(tmp_path / "inference_sweep.csv")
    for source in (tmp_path, tmp_path / "inference_sweep.csv"):
        assert run(source, "--list") == 0
        listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
        assert listed == [sweep.FIGURES[name]([]).id for name in sweep.FIGURES]
    first = next(iter(sweep.FIGURES))
    assert run(tmp_path, "--figure", first, "--width", "90") == 0
    assert "MLA" in capsys.readouterr().out


def test_the_command_runs_and_a_closed_pipe_is_quiet(tmp_path: Path) -> None:
    source = tmp_path / "curves.json"
    source.write_text(to_json(CURVES))
    words = [sys.executable, "-m", "kvtui", "plot", str(source), "--width", "100"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "KV cache against context" in done.stdout
    assert "\x1b" not in done.stdout
    piped = subprocess.run(f"{' '.join(words)} | true", shell=True, capture_output=True, text=True, check=False)
    assert piped.stderr == ""
