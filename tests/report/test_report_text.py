"""The text report: what it says, how wide it is, and that nothing in it is interpreted."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from kvtui.engine.basis.units import GIB
from kvtui.engine.basis.untrusted import shell_word
from kvtui.engine.scenario.values import scenario_from
from kvtui.output.shell import shell_lines
from kvtui.report.document import document
from kvtui.report.text import ASCII_GLYPHS, GLYPHS, render
from tests.nightly import sampled
from tests.paths import ROOT
from tests.report.report_scenarios import HOSTILE, SCENARIOS, hostile, made

pytestmark = sampled(3)

WIDTHS = (60, 76, 80, 119, 120, 140, 168, 200, 240)
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
PARTS = ("weights", "kv", "state", "activation", "overhead", "reserved_unused", "pool_free")


def check_shape(text: str, width: int) -> None:
    assert text.endswith("\n")
    for line in text.splitlines():
        assert cell_len(line) <= width, line
        assert line == line.rstrip(), line
    assert "\x1b" not in text
    assert "nan" not in text.lower().split()


def strip(text: str, glyphs: dict[str, str] = GLYPHS) -> list[str]:
    """The rows of the picture: the lines made of part glyphs alone, as long as the first of them."""
    known = {glyphs[key] for key in (*PARTS, "free")}
    rows = [line for line in text.splitlines()[:12] if line and set(line) <= known]
    return [row for row in rows if len(row) == len(rows[0])]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_no_line_is_too_wide_or_ends_in_spaces(name: str, width: int) -> None:
    check_shape(render(made(name), width), width)
    check_shape(render(made(name), width, explain=False), width)


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_shown_and_not_obeyed(name: str, width: int) -> None:
    text = render(hostile(name), width)
    check_shape(text, width)
    head = "".join(text.split())
    visible = "".join(c for c in name if c.isprintable() and c != " ")
    assert visible[:20] in head


@given(
    model=st.sampled_from(["Llama-3.1-8B", "Qwen3-Next-80B-A3B", "gemma-3-27b", "DeepSeek-V3.2"]),
    gpu=st.sampled_from(["H100 SXM", "RTX 4090", "T4"]),
    context=st.integers(1, 10**6),
    batch=st.integers(1, 300),
    kv=st.sampled_from(["bf16", "fp8"]),
    switches=st.fixed_dictionaries({key: st.booleans() for key in ("cb", "pa", "fa", "skip_weights")}),
    width=st.integers(60, 230),
    ascii_only=st.booleans(),
)
def test_any_scenario_keeps_its_width(
    model: str, gpu: str, context: int, batch: int, kv: str, switches: dict[str, bool], width: int, ascii_only: bool
) -> None:
    values: dict[str, str | bool]
    values = {"model": model, "gpu": gpu, "context": str(context), "batch": str(batch), "kv_dtype": kv, **switches}
    text = render(document(scenario_from(values)), width, ascii_only=ascii_only)
    check_shape(text, width)
    assert not ascii_only or text.isascii()


@pytest.mark.parametrize("name", [*SCENARIOS, *HOSTILE])
def test_ascii_is_ascii(name: str) -> None:
    found = made(name) if name in SCENARIOS else hostile(name)
    for width in (60, 80, 140, 200):
        text = render(found, width, ascii_only=True)
        assert text.isascii()
        check_shape(text, width)


def test_colour_changes_nothing_but_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    for name in ("overflow", "hybrid"):
        colored = render(made(name), 80, color=True)
        assert ESCAPES.sub("", colored) == render(made(name), 80)
        assert len(ESCAPES.findall(colored)) > 50


@pytest.mark.parametrize(
    ("term", "colorterm", "code"),
    [("xterm-256color", "truecolor", "38;2;"), ("xterm-256color", "", "38;5;"), ("xterm", "", "\x1b[3")],
)
def test_colours_are_those_the_terminal_has(term: str, colorterm: str, code: str) -> None:
    script = (
        "import json, sys; from kvtui.report import render; print(render(json.load(sys.stdin), 'text', color=True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(made("overflow")),
        env={**os.environ, "TERM": term, "COLORTERM": colorterm, "PYTHONIOENCODING": "utf-8"},
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    known = {"38;2;", "38;5;"}
    assert code in done.stdout
    assert not any(other in done.stdout for other in known - {code})


def test_a_dumb_terminal_gets_no_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert render(made("paged"), 80, color=True) == render(made("paged"), 80)


def test_what_does_not_fit_says_what_would() -> None:
    lines = render(made("overflow"), 80).splitlines()
    assert lines[0] == "Llama-3.1-8B · H100 SXM · bf16 · batch 8, all full · 128K context"
    assert lines[1].startswith("✗ does not fit: the device needs ")
    assert lines[1].endswith("; 2 devices would hold it")
    text = "\n".join(lines)
    weights, cache = 8_030_261_248 * 2, 32 * 2 * 8 * 128 * 2 * 131_072 * 8
    assert f"█ weights              {weights / GIB:.2f} " in text
    assert f"▓ KV cache            {cache / GIB:.2f} " in text
    assert f"{cache:,} B" in text
    assert "kvtui --report --model Llama-3.1-8B --gpu 'H100 SXM'" in lines[-2]


def test_what_fits_says_so() -> None:
    text = render(made("hybrid"), 80)
    assert "\n✓ fits on 2 devices, " in text
    assert " 36 gated DeltaNet\n" in text.replace("   time", "\n").replace("   prefill", "\n")
    assert "12 full attention" in text
    assert "max context, batch 4" in text


def test_a_pool_is_judged_and_drawn_by_itself() -> None:
    text = render(made("pool"), 80)
    assert "✗ does not fit: the cache needs 5.81 of 5.33 GiB in the KV pool" in text
    rows = strip(text)
    assert {cell for row in rows for cell in row} == {GLYPHS["kv"]}


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("width", [60, 80, 140])
@pytest.mark.parametrize("name", ["overflow", "paged", "hybrid", "latent", "shared"])
def test_the_picture_has_each_parts_share_of_cells(name: str, width: int, ascii_only: bool) -> None:
    glyphs = ASCII_GLYPHS if ascii_only else GLYPHS
    found = made(name)
    rows = strip(render(found, width, ascii_only=ascii_only), glyphs)
    assert [len(row) for row in rows] == [width] * 3
    memory = found["memory"]
    fullest, room = memory["fullest_device"], memory["budget_bytes_per_device"]
    span = max(room, fullest["total_bytes"])
    cells = "".join(rows)
    for part in PARTS:
        assert abs(cells.count(glyphs[part]) - fullest[f"{part}_bytes"] / span * len(cells)) < 1
    assert abs(cells.count(glyphs["free"]) - max(0, room - fullest["total_bytes"]) / span * len(cells)) < 1
    size = span / len(cells)
    label = re.search(r"one bank = ([0-9.,]+) (MiB|GiB)", render(found, width))
    assert label is not None
    assert float(label[1].replace(",", "")) == pytest.approx(size / {"MiB": 2**20, "GiB": 2**30}[label[2]], abs=0.06)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_tables_parts_sum_to_its_total(name: str) -> None:
    text = re.split(r"^memory ─", render(made(name), 60), flags=re.MULTILINE)[1]
    several = made(name)["memory"]["devices"] > 1

    def figure(label: str) -> float:
        row = re.search(rf"^.? ?.?{label} +(.*)$", text, re.MULTILINE)
        assert row is not None
        cell = re.findall(r"[0-9,]+(?:\.[0-9]+)?|–", row[1].replace("<", ""))[1 if several else 0]
        return 0.0 if cell == "–" else float(cell.replace(",", ""))

    parts = [figure(part) for part in ("weights", "KV cache", "state", "activations", "overhead", "reserved, unused")]
    if made(name)["engine"]["name"] != "none":
        parts.append(figure("rest of the pool"))
    assert figure("total") == pytest.approx(sum(parts), abs=0.05, rel=1e-3)


def test_millions_of_gib_have_separators_or_a_larger_unit() -> None:
    found = made("astronomic")
    text = render(found, 80)
    assert "e+" not in text
    memory = found["memory"]
    total, missing = memory["total_bytes"], memory["total_bytes"] - memory["budget_bytes_per_device"]
    assert f" {round(total / 2**30):,} " in text
    assert f"{missing / 2**60:,.2f} EiB too much" in text


def test_warnings_beyond_the_verdict_are_listed_once() -> None:
    text = render(made("hopeless"), 80)
    said = ("over_capacity", "no_split", "multi_device")
    beyond = [warning["text"] for warning in made("hopeless")["warnings"] if warning["id"] not in said]
    assert len(beyond) > 1
    assert all(" ".join(text.split()).count(warning) == 1 for warning in beyond)
    assert "no split over up to 1,024 devices holds it" in " ".join(text.split())


def test_every_memory_part_is_explained() -> None:
    text = render(made("latent"), 80)
    skipped = ("total", "flash_attention_saved")
    entries = [entry for entry in made("latent")["explain"] if entry["bytes"] and entry["id"] not in skipped]
    assert len(entries) > 4
    for entry in entries:
        assert re.search(rf"^{re.escape(entry['id'])} .* {entry['bytes']:,} B$", text, re.MULTILINE)
    assert "where the numbers come from" not in render(made("latent"), 80, explain=False)


words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=150) | st.sampled_from(
    [
        "--context",
        "128K",
        "H100 SXM",
        "it's",
        "a b" * 40,
        "'" * 90,
        "~x",
        "-",
        "\x1b]0;x\x07" * 30,
        "a\nb'\\033",
        "$'x'",
    ]
)


@given(st.lists(words, min_size=1, max_size=8), st.integers(40, 100))
def test_a_shell_reads_the_broken_command_as_the_same_words(given_words: list[str], width: int) -> None:
    lines = shell_lines(" ".join(map(shell_word, ["printf", "%s\\0", *given_words])), width)
    assert all(line.isprintable() for line in lines)
    assert all(cell_len(line) <= width for line in lines)
    done = subprocess.run(["bash", "-c", "\n".join(lines)], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == given_words
