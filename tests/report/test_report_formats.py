"""JSON, CSV and Markdown of the document: complete, parseable, and the same numbers everywhere."""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
from io import StringIO

import pytest

from kvtui.engine.basis.errors import UnknownName
from kvtui.output.json import json_text
from kvtui.report import FORMATS, render
from tests.paths import ROOT
from tests.report.report_scenarios import HOSTILE, SCENARIOS, hostile, made

PARTS = ("weights", "kv", "state", "activation", "overhead", "reserved_unused", "pool_free")
PARTS_KEYS = {f"{part}_bytes" for part in (*PARTS, "total")}


def cells(row: str) -> list[str]:
    """The cells of a Markdown table row, by unescaped pipes."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]


def tables(text: str) -> list[list[list[str]]]:
    """Every table of a Markdown text outside of fences."""
    outside = re.sub(r"^(`{3,})sh\n.*\n\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    blocks = re.findall(r"(?:^\|.*\|\n)+", outside + "\n", re.MULTILINE)
    return [[cells(row) for row in block.splitlines()] for block in blocks]


@pytest.mark.parametrize("name", SCENARIOS)
def test_json_is_the_document_with_exact_bytes(name: str) -> None:
    text = render(made(name), "json")
    assert text.endswith("}\n")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found = json.loads(text, parse_constant=refuse)
    assert found == made(name)
    for parts in (found["memory"], found["memory"]["fullest_device"]):
        assert all(isinstance(parts[key], int) for key in PARTS_KEYS)
        assert sum(parts[f"{part}_bytes"] for part in PARTS) == parts["total_bytes"]


def test_json_refuses_what_is_not_a_number() -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_text({"x": float("nan")})


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_one_that_can_be_written(name: str, format: str) -> None:
    text = render(hostile(name), format)
    assert text.endswith("\n")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", text)
    assert text.encode("utf-8")


@pytest.mark.parametrize("name", SCENARIOS)
def test_csv_reads_back(name: str) -> None:
    header, row = csv.reader(StringIO(render(made(name), "csv")))
    assert len(set(header)) == len(header) == len(row)
    found, memory = dict(zip(header, row, strict=True)), made(name)["memory"]
    for part in (*PARTS, "total"):
        assert int(found[f"memory.{part}_bytes"]) == memory[f"{part}_bytes"]
        assert int(found[f"memory.fullest_device.{part}_bytes"]) == memory["fullest_device"][f"{part}_bytes"]
    assert sum(int(found[f"memory.{part}_bytes"]) for part in PARTS) == int(found["memory.total_bytes"])
    assert found["memory.fits"] == str(memory["fits"]).lower()
    assert found["warnings"] == ";".join(warning["id"] for warning in made(name)["warnings"])
    assert found["model.layer_kinds"] == ";".join(f"{k}={n}" for k, n in made(name)["model"]["layer_kinds"].items())
    band = made(name)["performance"]["decode_ms_per_token"]
    ends = found["performance.decode_ms_per_token.low"], found["performance.decode_ms_per_token.high"]
    assert ends == (("", "") if band is None else tuple(map(str, band)))


def test_csv_rows_of_all_scenarios_share_one_header() -> None:
    headers = {render(made(name), "csv").splitlines()[0] for name in SCENARIOS}
    assert len(headers) == 1
    rows = [row for name in SCENARIOS for row in csv.DictReader(StringIO(render(made(name), "csv")))]
    assert [row["scenario.model"] for row in rows] == [values["model"] for values in SCENARIOS.values()]
    assert [row["scenario.lengths_tokens"] for row in rows if row["scenario.lengths_tokens"]] == ["100;2000;3000"]


def test_csv_names_are_never_spreadsheet_formulas() -> None:
    for name in ("=1+1", "+1", "-1", "@sum(a)"):
        [row] = csv.DictReader(StringIO(render(hostile(name), "csv")))
        assert row["model.name"] == f"'{name}"


@pytest.mark.parametrize("name", [*SCENARIOS, *HOSTILE])
def test_markdown_tables_are_rectangular(name: str) -> None:
    found = made(name) if name in SCENARIOS else hostile(name)
    text = render(found, "markdown")
    everything = tables(text)
    assert len(everything) > 5
    for table in everything:
        assert {len(row) for row in table} == {len(table[0])}
        assert all(re.fullmatch(r"---:?", cell) for cell in table[1])


@pytest.mark.parametrize("name", SCENARIOS)
def test_markdown_has_exact_bytes_that_sum_up(name: str) -> None:
    found = made(name)
    table = tables(render(found, "markdown").partition("## Memory")[2])[0]
    rows = {row[0].removesuffix(" ≈"): row for row in table[2:]}
    labels = ("weights", "KV cache", "state", "activations", "overhead", "reserved, unused", "rest of the pool")
    columns = [1] if found["memory"]["devices"] == 1 else [1, 3]
    for column in columns:
        sizes = [int(rows[label][column].replace(",", "")) for label in labels if label in rows]
        assert sum(sizes) == int(rows["total"][column].replace(",", ""))
    assert rows["total"][1].replace(",", "") == str(found["memory"]["total_bytes"])


@pytest.mark.parametrize("name", SCENARIOS)
def test_markdown_explains_everything(name: str) -> None:
    text = render(made(name), "markdown").replace("\\", "")
    for entry in made(name)["explain"]:
        assert f"\n### {entry['id']}\n\n{entry['formula']}" in text
        for source in entry["sources"]:
            assert f"- {source}" in text
    assert made(name)["scenario"]["command_line"] in text


def test_markdown_interprets_no_name() -> None:
    for name in ("<script>alert(1)</script>", "`code` *bold* ![i](http://x)", "a|b||c", "[red]x[/]"):
        body = render(hostile(name), "markdown").partition("## Reproduce")[0]
        assert not re.search(r"(?<!\\)[<\[`]", body)
        assert name in body.replace("\\", "")


def test_an_unknown_format_is_named() -> None:
    with pytest.raises(UnknownName, match=r"markdwn.*markdown"):
        render(made("paged"), "markdwn")


def test_each_format_loads_only_its_own_renderer() -> None:
    code = (
        "import json, sys\nfrom kvtui.report import render\n"
        "render(json.load(sys.stdin), sys.argv[1])\nprint(*sys.modules)"
    )
    for format, unwanted in (("json", {"rich", "html", "csv"}), ("csv", {"rich", "html"}), ("html", {"rich", "csv"})):
        done = subprocess.run(
            [sys.executable, "-c", code, format],
            input=json.dumps(made("paged")),
            capture_output=True,
            text=True,
            check=True,
            cwd=ROOT,
        )
        assert not set(done.stdout.split()) & unwanted


def test_the_same_scenario_gives_the_same_bytes_in_every_process() -> None:
    code = "from kvtui.cli import main\nmain(['--report', 'json', '--model', 'DeepSeek-V3.2', '--context', '4K'])"
    texts = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3", "4", "5", "6")
    }
    assert len(texts) == 1
