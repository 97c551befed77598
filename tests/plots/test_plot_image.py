"""PNG, SVG and PDF: valid files with all panels, text as text, and a clear line where a library is missing."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from kvtui.cli import main
from kvtui.commands.plot import NO_BACKEND
from kvtui.figures.figure import Figure
from kvtui.figures.json import to_json
from kvtui.plots import image, vector
from kvtui.plots.png import png
from kvtui.plots.style import styles
from tests.nightly import sampled
from tests.plots.gallery import BARS, CURVES, GALLERY, HOSTILE, MANY, SURFACE

pytestmark = sampled(2)


def texts(svg: str) -> str:
    """All texts of an SVG, as one string."""
    return "\n".join(
        "".join(node.itertext()) for node in ElementTree.fromstring(svg.encode()).iter() if node.tag.endswith("text")
    )


@pytest.mark.parametrize("figure", GALLERY, ids=lambda figure: figure.id)
def test_svg_has_titles_units_series_and_notes_as_text(figure: Figure) -> None:
    svg = vector.render(figure)
    written = texts(svg)
    for panel in figure.panels:
        for axis in (panel.x, panel.y, *([panel.z] if panel.z else [])):
            assert axis.title in written
        for mark in panel.marks:
            assert mark.name in written or panel.z is not None
            if panel.z is None:
                assert styles(figure)[mark.name].color("light") in svg
        for rule in panel.rules:
            assert rule.label in written
        for name in panel.categories:
            assert name in written
    for note in figure.notes:
        assert note in " ".join(written.split())


def test_ticks_are_those_of_the_terminal() -> None:
    written = texts(vector.render(CURVES)).split("\n")
    for label in ("256", "1K", "128K", "64 GiB", "4 GiB", "256 MiB"):
        assert label in written


def test_a_bar_reaches_the_tick_of_its_value() -> None:
    """Bars of 100, 200 and 400 end where the axis has these numbers, also where values stand above them."""
    svg = ElementTree.fromstring(vector.render(BARS).encode())
    group = [node for node in svg.iter() if node.get("transform", "").startswith("translate(")][1]
    top = float(group.get("transform", "").partition(",")[2].rstrip(")"))
    at = {node.text: float(node.get("y", 0)) for node in svg.iter() if node.get("text-anchor") == "end"}
    bars = next(node for node in group if node.get("stroke") is None)
    tops = [float(part.split("h")[0].split()[1]) for part in bars.get("d", "").split("M")[1:]]
    ticks = [at[name] - top - vector.FONT_SIZE / 3 for name in ("100", "200", "400")]
    assert tops[:3] == pytest.approx(ticks, abs=0.2)


def test_png_is_the_svg_in_dots_and_pdf_is_whole() -> None:
    for figure in (CURVES, MANY):
        svg = vector.render(figure)
        drawn = png(svg)
        assert drawn.startswith(b"\x89PNG\r\n\x1a\n")
        sheet = ElementTree.fromstring(svg.encode())
        dots = tuple(round(2 * float(sheet.get(side, 0))) for side in ("width", "height"))
        assert struct.unpack(">II", drawn[16:24]) == dots
        assert drawn != png(svg.replace("<text", "<desc").replace("</text", "</desc"))
    pdf = image.render(SURFACE, look="dark")
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")


@pytest.mark.parametrize("name", sorted(set(HOSTILE) - {"a million gaps", "many bars"}))
def test_hostile_figures_become_pictures(name: str) -> None:
    assert ElementTree.fromstring(vector.render(HOSTILE[name]).encode()).tag.endswith("svg")
    assert image.render(HOSTILE[name]).startswith(b"%PDF-")


@pytest.mark.parametrize(
    ("library", "form", "said"),
    [
        ("matplotlib", "pdf", "pip install 'kvtui[pdf]'"),
        ("resvg_py", "png", "pip install 'kvtui[images]'"),
    ],
)
def test_without_a_library_one_line_says_what_to_install(
    library: str,
    form: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = tmp_path / "curves.json"
    source.write_text(to_json(CURVES))
    monkeypatch.setitem(sys.modules, library, None)
    assert main(["plot", str(source), "-o", str(tmp_path / f"x.{form}")]) == NO_BACKEND
    assert said in capsys.readouterr().err
    assert not (tmp_path / f"x.{form}").exists()
    assert main(["plot", str(source), "-o", str(tmp_path / "x.svg")]) == 0
    assert (tmp_path / "x.svg").read_text().startswith("<?xml")
