"""Scenarios side by side: the right numbers, the right changes, in the width there is."""

from __future__ import annotations

import csv
import json
import re
from copy import deepcopy
from io import StringIO
from typing import Any

import pytest
from rich.cells import cell_len

from kvtui.engine.basis.errors import UnknownName
from kvtui.report.compare import FIELDS, change, look_up, names, render, rows
from tests.report.report_scenarios import HOSTILE, SCENARIOS, hostile, made

THREE = ("paged", "overflow", "hybrid")


def documents(*names: str) -> list[dict[str, Any]]:
    return [made(name) for name in names]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140, 200])
@pytest.mark.parametrize("count", [2, 3, 4, len(SCENARIOS)])
@pytest.mark.parametrize("ascii_only", [False, True])
def test_text_keeps_its_width(width: int, count: int, ascii_only: bool) -> None:
    text = render(documents(*list(SCENARIOS)[:count]), "text", width, ascii_only=ascii_only)
    for line in text.splitlines():
        assert cell_len(line) <= width
        assert line == line.rstrip()
    for i in range(1, count + 1):
        assert f"{i} " in text
    assert not ascii_only or text.isascii()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_keep_the_table(name: str) -> None:
    both = [made("paged"), hostile(name)]
    for width in (60, 80):
        text = render(both, "text", width)
        assert "\x1b" not in text
        assert all(cell_len(line) <= width for line in text.splitlines())
    rows = [re.split(r"(?<!\\)\|", row) for row in render(both, "markdown").splitlines()]
    assert {len(row) for row in rows} == {5}
    assert json.loads(render(both, "json"))["scenarios"][0] == made("paged")


def test_columns_where_there_is_room_and_blocks_where_not() -> None:
    wide, narrow = render(documents(*THREE), "text", 80), render(documents(*THREE), "text", 60)
    assert len(wide.splitlines()) < 32
    assert len(narrow.splitlines()) > 3 * len(FIELDS)


def test_changes_are_measured_against_the_first() -> None:
    text = render(documents(*THREE), "text", 80)
    [row] = [line for line in text.splitlines() if line.startswith("* context ")]
    assert row.split() == ["*", "context", "32K", "128K", "+300%", "128K", "+300%"]
    [row] = [line for line in text.splitlines() if line.startswith("* batch ")]
    assert row.split() == ["*", "batch", "8", "8", "4", "−50%"]
    [row] = [line for line in text.splitlines() if line.startswith("* fits ")]
    assert row.split() == ["*", "fits", "yes", "no", "yes"]


def test_what_differs_and_what_is_better_is_marked_and_columns_are_named() -> None:
    first, second = deepcopy(made("paged")), deepcopy(made("paged"))
    second["scenario"]["batch"] = 2 * first["scenario"]["batch"]
    second["memory"]["kv_bytes"] = 2 * first["memory"]["kv_bytes"]
    second["capacity"]["max_sequences"] = 2 * first["capacity"]["max_sequences"]
    assert names([first, second]) == [f"1 {first['scenario']['batch']}", f"2 {second['scenario']['batch']}"]
    found = {label: cells[1] for label, cells in rows([first, second])}
    assert (found["KV cache, GiB"].verdict, found["max sequences"].verdict) == ("worse", "better")
    assert (found["batch"].differs, found["batch"].verdict, found["weights, GiB"].differs) == (True, "", False)
    assert found["max sequences"].marked_change == "+100% ✓"
    assert {label for label, cell in found.items() if "GiB" in label} >= {"fullest, GiB ≈", "of usable, GiB"}


@pytest.mark.parametrize(
    ("before", "after", "expected"), [(10, 15, 50), (8, 4, -50), (0, 5, None), (None, 5, None), (5, None, None)]
)
def test_change(before: int | None, after: int | None, expected: int | None) -> None:
    assert change(before, after) == expected


def test_colour_changes_nothing_but_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    colored = render(documents(*THREE), "text", 80, color=True)
    assert "\x1b[" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == render(documents(*THREE), "text", 80)


def test_json_holds_the_documents() -> None:
    found = json.loads(render(documents(*THREE), "json"))
    assert found == {"schema": 1, "scenarios": documents(*THREE)}


def test_csv_has_exact_values_and_changes() -> None:
    rows = {row["field"]: row for row in csv.DictReader(StringIO(render(documents(*THREE), "csv")))}
    total = rows["memory.total_bytes"]
    sizes = [document["memory"]["total_bytes"] for document in documents(*THREE)]
    assert [int(total[f"scenario_{i}"]) for i in (1, 2, 3)] == sizes
    assert float(total["change_2_percent"]) == pytest.approx(100 * (sizes[1] / sizes[0] - 1), abs=1e-3)
    assert rows["performance.decode_ms_per_token.low"]["scenario_2"] == ""
    assert rows["model.name"]["change_2_percent"] == ""


def test_every_field_is_of_the_document() -> None:
    for field in FIELDS:
        for key in field.keys:
            assert look_up(made("paged"), key) is not None, key


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(UnknownName, match="html"):
        render(documents(*THREE), "html")
