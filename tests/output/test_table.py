"""Catalogue listings: columns that go when it is too narrow, values that stay exact."""

from __future__ import annotations

import csv
import json
from io import StringIO

import pytest
from rich.cells import cell_len

from kvtui.engine.basis.errors import UnknownName
from kvtui.output.table import Column, render
from kvtui.report.listings import listing

COLUMNS = (
    Column("name", "name", priority=0),
    Column("kind_code", "kind", priority=2),
    Column("size_bytes", "size", align="right", priority=1, format=lambda n: f"{n:,} B"),
    Column("note", "note", priority=3),
)
ROWS = (
    {"note": "first of all", "name": "alpha", "kind_code": "x", "size_bytes": 1234567},
    {"name": "beta 模型", "kind_code": None, "size_bytes": 5, "note": None},
    {"name": "[red]|<b>\x1b[31m", "kind_code": "=1+1", "size_bytes": 0, "note": "z"},
)


def test_text_is_aligned_by_display_width() -> None:
    assert render(COLUMNS[:3], ROWS[:2], "text", 80) == (
        "name       kind         size\nalpha      x     1,234,567 B\nbeta 模型  –             5 B\n"
    )


@pytest.mark.parametrize(
    ("width", "heads"),
    [
        (80, ["name", "kind", "size", "note"]),
        (45, ["name", "kind", "size"]),
        (30, ["name", "size"]),
        (20, ["name"]),
        (5, ["name"]),
    ],
)
def test_the_least_important_columns_go_first(width: int, heads: list[str]) -> None:
    assert render(COLUMNS, ROWS, "text", width).splitlines()[0].split() == heads


@pytest.mark.parametrize("width", [60, 80, 100, 140, 300])
@pytest.mark.parametrize("kind", ["models", "devices"])
def test_catalogues_never_wrap(kind: str, width: int) -> None:
    columns, rows = listing(kind, None)
    for ascii_only in (False, True):
        lines = render(columns, rows, "text", width, ascii_only=ascii_only).splitlines()
        assert len(lines) == len(rows) + 1
        assert all(cell_len(line) <= width for line in lines)
        assert not ascii_only or "".join(lines).isascii()
    assert [row["name"] for row in rows] == [
        row["name"] for row in csv.DictReader(StringIO(render(columns, rows, "csv")))
    ]


def test_nothing_in_a_cell_is_interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    text = render(COLUMNS, ROWS, "text", 80)
    assert "[red]|<b>\N{REPLACEMENT CHARACTER}[31m" in text
    assert "\x1b" not in text
    colored = render(COLUMNS, ROWS, "text", 80, color=True)
    assert "\x1b[31m" not in colored
    assert "[red]|<b>" in colored


def test_json_and_csv_hold_values() -> None:
    found = json.loads(render(COLUMNS, ROWS, "json"))
    assert found[0] == {"name": "alpha", "kind_code": "x", "size_bytes": 1234567, "note": "first of all"}
    assert found[1]["note"] is None
    rows = list(csv.DictReader(StringIO(render(COLUMNS, ROWS, "csv"))))
    assert [row["size_bytes"] for row in rows] == ["1234567", "5", "0"]
    assert rows[1]["kind_code"] == ""
    assert rows[2]["kind_code"] == "'=1+1"


def test_markdown_escapes_and_aligns() -> None:
    lines = render(COLUMNS, ROWS, "markdown").splitlines()
    assert lines[1] == "| --- | --- | ---: | --- |"
    assert lines[4].startswith("| \\[red\\]\\|\\<b\\>")
    assert len(lines) == 5


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(UnknownName, match="yaml"):
        render(COLUMNS, ROWS, "yaml")
