"""The text panels: golden rows, widths, formulas that give the plan's own bytes, and harmless names."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

import pytest
from rich.cells import cell_len

from kvtui.canvas.cells import InkRow
from kvtui.canvas.memory.board import paint
from kvtui.canvas.memory.layout import arrange
from kvtui.canvas.memory.panels import (
    capacity_rows,
    datacentre_note_rows,
    estimate_rows,
    factoid_rows,
    formula_rows,
    info_rows,
    legend_rows,
    one_line_info,
    paper_rows,
    scenario_rows,
    title_bar,
    users_words,
    warning_rows,
)
from kvtui.canvas.memory.panels.info import efficiency
from kvtui.canvas.memory.panels.numbers import NAMES, figure
from kvtui.canvas.memory.panels.text import pair, squeeze, wrap
from kvtui.canvas.memory.scene import Scene
from kvtui.canvas.memory.view import Count, MemoryView
from kvtui.canvas.palette import Ink
from kvtui.engine.device.catalogue import find_device
from kvtui.engine.model.catalogue import all_models
from kvtui.engine.picture.allocator import allocate, allocator_of
from kvtui.engine.picture.bank_map import FIRST_SEQUENCE, Code
from kvtui.engine.planning.allocation import grown
from kvtui.engine.planning.capacity import Capacity, Users, capacity, users
from kvtui.engine.planning.estimate import estimate, most_users
from kvtui.engine.planning.parts import score_matrix_bytes, total_parts
from kvtui.engine.planning.plan import Plan, plan
from kvtui.engine.planning.roofline import Band
from kvtui.engine.saying.factoids import factoid_at
from kvtui.engine.saying.notices import notices
from kvtui.engine.saying.papers import papers_for
from kvtui.engine.scenario.scenario import Layout, Scenario, valid_tps
from kvtui.engine.scenario.values import scenario_from
from tests.nightly import sampled

pytestmark = sampled(3)

WIDTHS = range(24, 61)
SCENARIOS: dict[str, dict[str, str | bool]] = {
    "dense": {
        "model": "Llama-3.1-8B",
        "gpu": "H100 SXM",
        "context": "128K",
        "batch": "8",
        "cb": True,
        "fill": "average",
    },
    "static": {"model": "Llama-3.1-8B", "context": "8192", "batch": "4", "fa": False},
    "window": {"model": "gemma-3-27b", "gpu": "H200 SXM", "context": "128K", "pa": True, "lengths": "100000,4000,77"},
    "latent": {"model": "DeepSeek-V3", "gpu": "H200 SXM", "tp": "8", "weight_dtype": "fp8", "context": "32K"},
    "sparse": {
        "model": "DeepSeek-V3.2",
        "gpu": "H200 SXM",
        "tp": "8",
        "weight_dtype": "fp8",
        "kv_dtype": "fp8_ds_mla",
        "pa": True,
        "batch": "4",
        "shared_prefix": "1000",
    },
    "hybrid": {
        "model": "Qwen3-Next-80B-A3B",
        "gpu": "B200",
        "batch": "4",
        "context": "256K",
        "cb": True,
        "fill": "average",
        "pa": True,
    },
    "compressed": {"model": "DeepSeek-V4-Flash", "gpu": "H200 SXM", "tp": "8", "context": "1M"},
    "too large": {"model": "Llama-3.1-405B", "context": "1M", "batch": "128"},
    "no weights": {"model": "Ling-3.0-Flash", "skip_weights": True, "kv_dtype": "q8_0"},
    "pool": {"model": "Llama-3.1-8B", "context": "128K", "kv_pool": "1GiB"},
}


def view_of(planned: Plan, tokens: int) -> MemoryView:
    """The view when the longest possible sequence holds ``tokens``; the fullest device is that of the plan."""
    scenario = planned.scenario
    sequences = grown(planned.sequences, scenario, tokens)
    return MemoryView(
        scenario=scenario,
        plan=planned,
        estimate=estimate(planned),
        notices=notices(planned),
        tokens=tokens,
        sequences=sequences,
        parts=planned.per_device,
        total_parts=total_parts(scenario, sequences, tokens),
        saved_bytes=score_matrix_bytes(scenario, tokens, scenario.batch) if scenario.flash_attention else 0,
        freed_bytes=0,
    )


def make(scenario: Scenario, tokens: int | None = None) -> MemoryView:
    shown = view_of(plan(scenario), scenario.context if tokens is None else tokens)
    return replace(shown, parts=allocate(allocator_of(plan(scenario)), shown.tokens).parts)


@cache
def view(name: str, tokens: int | None = None) -> MemoryView:
    return make(scenario_from(SCENARIOS[name]), tokens)


def row_text(row: InkRow) -> str:
    return "".join(span.text for span in row)


def text(rows: Sequence[InkRow]) -> list[str]:
    return [row_text(row).rstrip() for row in rows]


def inks(rows: Sequence[InkRow]) -> dict[str, Ink]:
    """The ink of each row's last span, by the row's first words."""
    return {row_text(row)[:12].strip(): Ink(row[-1].ink) for row in rows}


def lookup(rows: Sequence[InkRow]) -> dict[str, str]:
    """Value by label of rows that are pairs."""
    return {row[0].text.strip(): row[-1].text for row in rows}


COUNTS = tuple(Count(code, 1234, 5_678_901_234, 8 if code == FIRST_SEQUENCE else 0) for code in NAMES)
PANELS: dict[str, Callable[[MemoryView, int], Sequence[InkRow]]] = {
    "info": info_rows,
    "formula": formula_rows,
    "papers": lambda view, width: paper_rows(papers_for(view.scenario), width),
    "fact": lambda view, width: factoid_rows(factoid_at(view.plan, view.estimate, 24), width),
    "warnings": lambda view, width: warning_rows(view.notices, width),
    "legend": lambda view, width: legend_rows(COUNTS, width),
    "estimate": lambda view, width: estimate_rows(view.estimate, width),
    "room": lambda view, width: capacity_rows(
        view.scenario, (known := capacity(view.plan)), users(view.plan, known), width
    ),
    "scenario": lambda view, width: [
        row for row, _ in scenario_rows(view.scenario, True, 0.5, width, link="Infinity Fabric 3")
    ],
    "datacentre": datacentre_note_rows,
    "title": lambda view, width: [title_bar(view, width)],
    "line": lambda view, width: [one_line_info(view, width)],
}


@pytest.mark.parametrize("panel", PANELS)
@pytest.mark.parametrize("name", SCENARIOS)
def test_no_row_exceeds_its_width(name: str, panel: str) -> None:
    rows_of = PANELS[panel]
    for shown in (view(name), view(name, 0), view(name, 777)):
        for width in WIDTHS:
            for row in rows_of(shown, width):
                line = row_text(row)
                assert len(line) == cell_len(line) <= width
                assert line.isprintable()


def test_golden_info_of_a_dense_model() -> None:
    assert text(info_rows(view("dense"), 30)) == [
        "model             Llama-3.1-8B",
        "context      131,072 / 131,072",
        "alloc unit       128×128 tiles",
        "total                54.87 GiB",
        "  without FA         94.87 GiB",
        "weights              14.96 GiB",
        "KV cache             38.40 GiB",
        "state                        —",
        "activations         ≈ 1.07 GiB",
        "overhead          ≈ 460.00 MiB",
        "saved by FA 40.00 GiB · 42.2 %",
        "devices           1 × H100 SXM",
        "efficiency         68.9 % fair",
        "sequences         8 (variable)",
        "bytes per token        131,072",
        "dtype                     bf16",
    ]


def test_golden_formula_of_a_dense_model() -> None:
    tokens = sum(131_072 * percent // 100 for percent in (10, 20, 30, 40, 15, 45, 25, 55))
    assert text(formula_rows(view("dense"), 34)) == [
        "KV = 2·L·H·D·b·Σt",
        f"   = 2·32·8·128·2·{tokens:,}",
        f"   = {tokens * 131_072:,} B    38.40 GiB",
        "held = Σt, none reserved",
        "saved = (q·k–u²)·h·B·2",
        "   = (4,096·65,536–128²)·32·8·2",
        "   at most ½ of memory",
        "   = 42,949,672,960 B    40.00 GiB",
        "η = total ÷ usable",
        "  = 54.87 ÷ 79.65 GiB",
        "  = 68.9 % fair",
        "L layers  H KV heads  D head size",
        "b bytes of an element  B sequences",
        "t tokens  q queries  k keys",
        "u tile  h query heads",
    ]


def test_golden_formula_of_static_reservation_without_flash_attention() -> None:
    assert text(formula_rows(view("static", 2048), 34))[:10] == [
        "KV = 2·L·H·D·b·B·t",
        "   = 2·32·8·128·2·4·2,048",
        "   = 1,073,741,824 B      1.00 GiB",
        "held = B·T, reserved at start",
        "   = 4·8,192 = 32,768 tok",
        "   used                     25.0 %",
        "scores = (q·k–u²)·h·B·2",
        "   = (2,048·2,048–128²)·32·4·2",
        "   = 1,069,547,520 B  1,020.00 MiB",
        "η = total ÷ usable",
    ]


def test_golden_formula_of_windows_in_pages() -> None:
    assert text(formula_rows(view("window"), 34))[:11] == [
        "window = 2·L·H·D·b·Σmin(t,W)",
        "   = 2·52·16·128·2·2,125",
        f"   = {425_984 * 2125:,} B      863.28 MiB",
        "full = 2·L·H·D·b·Σt",
        "   = 2·10·16·128·2·104,077",
        f"   = {81_920 * 104_077:,} B      7.94 GiB",
        "KV = window + full",
        f"   = {425_984 * 2125 + 81_920 * 104_077:,} B      8.78 GiB",
        "held = Σ⌈t/16⌉·16",
        "   = 6,505·16 = 104,080 tok",
        "   used                     99.9 %",
    ]


def test_golden_formula_of_latents_state_and_sharing() -> None:
    latent = text(formula_rows(view("latent"), 34))
    assert latent[:3] == [
        "KV = R·L·(r+p)·b·t",
        "   = 8·61·(512+64)·2·32,768",
        "   = 18,421,383,168 B    17.16 GiB",
    ]
    assert not any("2·L" in line for line in latent)
    hybrid = text(formula_rows(view("hybrid"), 34))
    assert hybrid[0] == "KV = 2·L·H·D·b·Σt"
    assert hybrid[3:6] == [
        "state = L·S·B",
        "   = 36·2,146,304·4",
        "   = 309,067,776 B      294.75 MiB",
    ]
    sparse = text(formula_rows(view("sparse"), 34))
    assert sparse[0:2] == ["latent = R·L·e·B·t", "   = 8·61·656·4·8,192"]
    assert "shared: 2,976 tokens of prefix" in sparse
    assert "held = B·⌈t/16⌉·16 – shared" in sparse


EQUATION = re.compile(r"^ +=([-–0-9,·()+²÷ ]+)$")
RESULT = re.compile(r"^   = (-?[0-9,]+) B")


def evaluate(values: str) -> int:
    """The number that an expression of the formula panel stands for."""
    python = values.replace(",", "").replace("–", "-").replace("·", "*").replace("²", "**2").replace("÷", "//")
    assert re.fullmatch(r"[0-9()+*/ -]+", python)
    return int(eval(python))


def equations(shown: MemoryView) -> list[tuple[str, int | None, int]]:
    """Name, value of the expression (None for a sum of names) and stated bytes of every equation of the panel."""
    found: list[tuple[str, int | None, int]] = []
    name, value = "", None
    for line in text(formula_rows(shown, 200)):
        result, values = RESULT.match(line), EQUATION.match(line)
        if result is not None:
            found.append((name, value, int(result[1].replace(",", ""))))
            value = None
        elif values is not None and "tok" not in line:
            value = evaluate(values[1])
        elif not line.startswith(" "):
            name = re.split(r" =|:", line)[0]
    return found


def check_equations(shown: MemoryView) -> None:
    found = equations(shown)
    by_name = {name: size for name, _, size in found}
    kv = by_name.pop("KV", 0)
    state = sum(size for name, size in by_name.items() if name.startswith("state"))
    own = {name: size for name, size in by_name.items() if not name.startswith("state")}
    own.pop("saved", None)
    own.pop("scores", None)
    for name, value, size in found:
        if name not in ("saved", "scores") and value is not None:
            assert value == size, name
    assert kv == shown.total_parts.kv
    assert state == shown.total_parts.state
    assert not own or sum(own.values()) == kv


@pytest.mark.parametrize("paging", [(False, False), (True, False), (False, True), (True, True)])
def test_the_formula_gives_the_plans_bytes_for_every_model(paging: tuple[bool, bool]) -> None:
    device = find_device("H200 SXM")
    for model in all_models():
        for kv, tp, tokens in (("bf16", 1, 5000), ("q8_0", 2, 5000), ("fp8", 1, 1234)):
            scenario = Scenario(
                model=model,
                device=device,
                context=5000,
                batch=8,
                kv_dtype=kv,
                layout=Layout(tp if tp in valid_tps(model) else 1),
                continuous_batching=paging[0],
                fill="average" if paging[0] else "full",
                paged_attention=paging[1],
                shared_prefix=160 if paging[1] else 0,
                speculative_tokens=1 if model.mtp else 0,
                skip_weights=True,
                kv_pool=2**40,
            )
            planned = plan(scenario)
            shown = view_of(planned, tokens)
            check_equations(shown)
            if tokens == scenario.context:
                assert shown.total_parts == planned.total


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_formula_gives_the_bytes_of_the_film(name: str) -> None:
    limit = view(name).scenario.context
    for tokens in (0, 1, 15, 16, 1000, limit // 3, limit):
        shown = view(name, tokens)
        check_equations(shown)
        if shown.plan.devices == 1:
            assert shown.total_parts == shown.parts


@pytest.mark.parametrize(("tokens", "batch", "capped"), [(1024, 8, False), (4096, 8, False), (131_072, 8, True)])
def test_the_scores_formula(tokens: int, batch: int, capped: bool) -> None:
    scenario = scenario_from({"model": "Llama-3.1-8B", "context": "128K", "batch": str(batch)})
    for name, flash in (("saved", True), ("scores", False)):
        shown = make(scenario._replace(flash_attention=flash), tokens)
        [(value, size)] = [(value, size) for found, value, size in equations(shown) if found == name]
        assert size == score_matrix_bytes(scenario, tokens, batch)
        assert (value != size) is capped
        assert ("   at most ½ of memory" in text(formula_rows(shown, 40))) is capped


def test_the_formula_says_the_same_in_any_width() -> None:
    exact = [found[1] for line in text(formula_rows(view("window"), 200)) if (found := RESULT.match(line))]
    assert len(exact) == 4
    for width in (24, 28, 33):
        joined = "".join(line.strip() for line in text(formula_rows(view("window"), width)))
        assert all(value in joined for value in exact)
        assert "2·52·16·128·2·2,125" in joined


def test_the_nine_fields_are_there_for_every_scenario() -> None:
    fields = {"model", "context", "alloc unit", "total", "weights", "KV cache", "devices", "efficiency", "dtype"}
    more = {"state", "activations", "sequences", "bytes per token"}
    for name in SCENARIOS:
        assert fields | more <= lookup(info_rows(view(name), 40)).keys()


@pytest.mark.parametrize(
    ("switches", "unit"),
    [
        ({"fa": True, "pa": True}, "128×16 tiles/page"),
        ({"fa": True}, "128×128 tiles"),
        ({"fa": False, "pa": True}, "16 tokens/block"),
        ({"fa": False}, "contiguous"),
    ],
)
def test_the_allocation_unit(switches: dict[str, bool], unit: str) -> None:
    shown = make(scenario_from({"model": "Llama-3.1-8B", **switches}))
    assert lookup(info_rows(shown, 40))["alloc unit"] == unit


def test_sequences_in_words() -> None:
    def words(**values: str | bool) -> str:
        scenario = scenario_from({"model": "Llama-3.1-8B", "context": "8000", **values})
        return lookup(info_rows(make(scenario, 2000), 48))["sequences"]

    assert words(batch="8", cb=True, fill="average") == "8 (variable)"
    assert words(batch="8") == "8 static · 25.0 % used"
    assert words(lengths="1000,2500", pa=True) == "2 padded · 97.7 % used"  # 875 of 896 tokens


def test_saved_bytes_are_shown_with_flash_attention_alone() -> None:
    on, off = lookup(info_rows(view("dense"), 40)), lookup(info_rows(view("static"), 40))
    assert on["without FA"] == "94.87 GiB"
    assert on["saved by FA"].startswith("40.00 GiB")
    assert not {"without FA", "saved by FA"} & off.keys()
    assert not {"without FA", "saved by FA"} & lookup(info_rows(view("dense", 0), 40)).keys()
    assert inks(info_rows(view("dense"), 40))["without FA"] is Ink.SAVED


def test_one_ink_per_meaning() -> None:
    found = inks(info_rows(view("hybrid"), 40))
    assert found["weights"] is Ink.WEIGHTS
    assert found["KV cache"] is Ink.KV
    assert found["state"] is Ink.STATE
    assert found["total"] is Ink.GOOD
    assert inks(info_rows(view("too large"), 40))["total"] is Ink.BAD


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (0.0, ("0.0 % low", Ink.WARN)),
        (0.499, ("49.9 % low", Ink.WARN)),
        (0.5, ("50.0 % fair", Ink.GOLD)),
        (0.8, ("80.0 % fair", Ink.GOLD)),
        (0.801, ("80.1 % full", Ink.TEXT)),
        (0.996, ("99.6 % tight", Ink.WARN)),
        (1.0, ("100.0 % tight", Ink.WARN)),
        (8.639, ("763.9 % over", Ink.BAD)),
    ],
)
def test_efficiency_bands(share: float, expected: tuple[str, Ink]) -> None:
    assert efficiency(share) == expected


def test_efficiency_counts_everything_over_all_devices() -> None:
    shown = view("latent")
    used = shown.total_parts.total / (8 * find_device("H200 SXM").usable_bytes)
    assert lookup(info_rows(shown, 40))["efficiency"].startswith(f"{100 * used:.1f} %")
    dense = view("dense")
    for room, words in ((1, "99.9 % tight"), (0, "100.0 % tight"), (-(2**30), "1.3 % over")):
        parts = dense.total_parts._replace(kv=dense.total_parts.kv + dense.capacity - dense.total_parts.total - room)
        assert lookup(info_rows(replace(dense, total_parts=parts), 40))["efficiency"] == words


def test_needed_devices_are_named_where_the_plan_does_not_fit() -> None:
    assert "needed" not in lookup(info_rows(view("dense"), 40))
    large = lookup(info_rows(view("too large"), 40))
    assert large["needed"] == f"{view('too large').plan.devices_needed:,}"
    assert lookup(info_rows(view("pool"), 40))["needed"] == "a larger pool"


def test_a_low_panel_keeps_what_matters() -> None:
    shown = view("dense")
    for height in range(1, 20):
        rows = info_rows(shown, 30, height)
        assert len(rows) == min(height, 16)
    assert set(lookup(info_rows(shown, 30, 4))) >= {"context", "total"}
    assert text(formula_rows(shown, 34, 3)) == text(formula_rows(shown, 34))[:3]
    six = text(formula_rows(shown, 34, 6))
    assert six[3] == "η = total ÷ usable"
    for height in range(1, 16):
        assert len(formula_rows(shown, 34, height)) <= height


def test_papers_and_where_they_are() -> None:
    papers = papers_for(view("dense").scenario)
    assert text(paper_rows(papers, 40)) == [
        "CB  Orca                       OSDI 2022",
        "FA  FlashAttention      arXiv 2205.14135",
        "    FlashAttention-2    arXiv 2307.08691",
        "    FlashAttention-3    arXiv 2407.08608",
        "GQA GQA                 arXiv 2305.13245",
    ]
    assert text(paper_rows(papers, 24))[:3] == [
        "CB  Orca       OSDI 2022",
        "FA  FlashAttention",
        "    arXiv 2205.14135",
    ]


def test_facts_are_wrapped_whole() -> None:
    fact = factoid_at(view("dense").plan, view("dense").estimate, 0)
    for width in WIDTHS:
        rows = text(factoid_rows(fact, width))
        assert " ".join(rows) == f"{fact.text} {fact.source}"


def test_warnings_have_a_glyph_for_their_severity() -> None:
    rows = warning_rows(view("too large").notices, 36)
    assert row_text(rows[0]).startswith("✗ does not fit")
    assert rows[0][0].ink is Ink.BAD
    near = make(scenario_from({"model": "Llama-3.1-8B", "context": "400000"}))
    assert any(line.startswith("⚠ the fullest device is") for line in text(warning_rows(near.notices, 48)))
    assert {row_text(row)[0] for row in warning_rows(view("compressed").notices, 30)} == {"•", " "}
    assert warning_rows((), 30) == []


def test_legend_agrees_with_the_picture() -> None:
    """Every category's glyph and ink are those that the board paints for its code, with colour and without."""
    board = arrange(100, 30, 2)
    for plain in (False, True):
        rows = legend_rows([Count(code, 1, 2**30) for code in NAMES], 40, plain)
        for code, row in zip(NAMES, rows, strict=True):
            codes = bytes([code]) * board.banks
            cells = paint(board, 100, 30, _scene(codes, plain))
            rect = board.modules[0]
            place = rect.y + 1, rect.x + 1
            assert [span.text for span in row[:2]] == 2 * [chr(cells.glyph[place])]
            assert (row[0].ink, row[0].under) == (cells.ink[place], cells.under[place])


def _scene(codes: bytes, plain: bool) -> Scene:
    return Scene(
        codes=codes,
        die_name="",
        memory_name="HBM",
        module_gib=16,
        fill=0.5,
        progress=0,
        traffic=0,
        now=0,
        flash_attention=False,
        moving=False,
        plain=plain,
    )


def test_legend_rows() -> None:
    counts = (
        Count(Code.FREE, 10, 2**30),
        Count(Code.WEIGHTS, 40, 15 * 2**30),
        Count(FIRST_SEQUENCE, 50, 20 * 2**30, 3),
        Count(Code.SAVED, 0, 0),
    )
    rows = legend_rows(counts, 44)
    assert text(rows) == [
        "▉▉ weights              40 cells · 15.00 GiB",
        "▇▇ 3 sequences ▇        50 cells · 20.00 GiB",
        "·· free                  10 cells · 1.00 GiB",
    ]
    assert [span.ink for span in rows[1] if span.text == "▇"] == [Ink.SEQUENCE + number for number in range(3)]
    assert text(legend_rows(counts, 44, plain=True))[1].startswith("01 3 sequences 2")
    assert text(legend_rows(counts, 30)) == [
        "▉▉ weights      40 · 15.00 GiB",
        "▇▇ 3 sequences  50 · 20.00 GiB",
        "·· free          10 · 1.00 GiB",
    ]
    assert text(legend_rows(counts, 24))[0] == "▉▉ weights     15.00 GiB"
    assert legend_rows((), 30) == []


def test_estimates_are_bands_and_dashes() -> None:
    known = estimate_rows(view("dense").estimate, 34)
    assert all("≈" in line for line in text(known)[:5])
    assert text(known)[5] == "bound by memory bandwidth"
    unknown = lookup(estimate_rows(view("too large").estimate, 34))
    assert unknown == dict.fromkeys(("decode", "prefill", "throughput", "cost", "energy"), "—")
    some = view("dense").estimate._replace(decode_ms=Band(6.14, 8.86), prefill_ms=Band(1500, 2600), bound=None)
    assert lookup(estimate_rows(some, 34))["decode"] == "≈ 6.1–8.9 ms/token"
    assert lookup(estimate_rows(some, 34))["prefill"] == "≈ 1.5–2.6 s"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0123, "0.012"), (0.58, "0.58"), (0.96, "1.0"), (6.14, "6.1"), (9.97, "10"), (240.4, "240"), (1234, "1,234"),
     (12_300, "12 k"), (3.44e6, "3.4 M"), (2.6e12, "2.6 T")],
)  # fmt: skip
def test_figures(value: float, shown: str) -> None:
    assert figure(value) == shown


def test_scenario_rows_and_their_actions() -> None:
    scenario = scenario_from({**SCENARIOS["latent"], "cb": True, "fill": "average"})
    rows = scenario_rows(scenario, False, 50, 32)
    assert text([row for row, _ in rows]) == [
        "  m model            DeepSeek-V3",
        "  g device              H200 SXM",
        "  v devices             8 · TP 8",
        "  w weights                  fp8",
        "  K KV                      bf16",
        "  b batch                      1",
        "  i fill                 average",
        "  c context           32K tokens",
        "[ ] speed           paused · 50×",
        "",
        "  B continuous batching       ━●",
        "  P paged attention           ●━",
        "  F FlashAttention            ━●",
        "  W skip weights              ●━",
    ]
    assert [action for _, action in rows] == [
        "pick_model",
        "pick_device",
        "next_devices",
        "pick_weights",
        "pick_kv",
        "set_batch",
        "next_fill",
        "set_context",
        "faster",
        None,
        "toggle_cb",
        "toggle_pa",
        "toggle_fa",
        "toggle_weights",
    ]
    remapped = scenario_rows(scenario, True, 0.5, 32, {"pick_model": "f2"})
    assert row_text(remapped[0][0]).startswith(" f2 model")
    assert row_text(remapped[8][0]).endswith("▶ 0.5×")
    assert remapped[10][0][-1].ink is Ink.GOOD


def test_a_link_has_a_row_where_there_is_one() -> None:
    scenario = view("dense").scenario
    rows = {action: row_text(row) for row, action in scenario_rows(scenario, True, 1, 32, link="NVLink 4")}
    assert rows["toggle_link"] == "  L link                NVLink 4"
    assert "toggle_link" not in [action for _, action in scenario_rows(scenario, True, 1, 32)]


def test_the_room_that_is_left() -> None:
    shown = view("dense")
    most = Capacity(200_000, None, "device memory", "none")
    rows = text(capacity_rows(shown.scenario, most, Users(7, None, 36), 36))
    assert rows[0].split() == ["context", "at", "batch", "8", "200,000", "tokens"]
    assert rows[1].split() == ["users,", "all", "at", "128K", "7"]
    assert rows[2].split() == ["users", "at", "36", "%", "average", "no", "bound"]
    assert rows[3] == "the model's maximum is 128K"
    assert len(capacity_rows(shown.scenario, most._replace(context=9), Users(7, 7, 36), 36)) == 2


def test_the_datacentre_note() -> None:
    assert datacentre_note_rows(view("dense"), 40) == []
    several = " ".join(text(datacentre_note_rows(view("latent"), 60)))
    assert "8 devices" in several
    assert "data centre" not in several
    huge = " ".join(text(datacentre_note_rows(view("too large"), 60)))
    assert "data centre" in huge
    assert "nodes" in huge


def test_title_bar() -> None:
    shown = replace(view("dense", 81_920), playing=True, speed=10.0)
    line = row_text(title_bar(shown, 120))
    assert len(line) == 120
    assert line.startswith("Llama-3.1-8B · H100 SXM · bf16 · batch 8, 30 % full on average · 81,920 / 128K tokens ")
    assert line.endswith("▶ 10× · ✓ fits at 128K")
    narrow = row_text(title_bar(shown, 60))
    assert narrow.startswith("Llama-3.1-8B · ")
    assert "✓ fits" in narrow
    assert "bf16" not in narrow
    for width in range(1, 200):
        assert len(row_text(title_bar(shown, width))) <= width
    assert "✗ needs" in row_text(title_bar(view("too large"), 100))


def test_one_line_info() -> None:
    line = row_text(one_line_info(view("dense"), 80))
    assert line == "54.87 of 79.65 GiB · 68.9 % fair · KV 38.40 GiB · weights 14.96 GiB"
    assert row_text(one_line_info(view("dense"), 40)) == "54.87 of 79.65 GiB · 68.9 % fair"
    for width in range(1, 90):
        assert len(row_text(one_line_info(view("hybrid"), width))) <= width


HOSTILE = (
    "\x1b[31mred\x1b[0m",
    "[bold red]markup[/]",
    "模型" * 30,
    "a\u0301e\u0301 \u202ertl\u202c \u200bzero",
    "tab\tnew\nline\x00nul\x9b31m",
    "x" * 10_000,
    "·" * 300,
)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_harmless(name: str) -> None:
    base = scenario_from(SCENARIOS["hybrid"])
    scenario = base._replace(
        model=base.model._replace(name=name, notes=(name,)), device=base.device._replace(name=name)
    )
    shown = make(scenario)
    for width in (24, 37, 60):
        for rows_of in PANELS.values():
            for row in rows_of(shown, width):
                line = row_text(row)
                assert line.isprintable()
                assert len(line) == cell_len(line) <= width
    assert "\x1b" not in row_text(title_bar(shown, 120))


@pytest.mark.parametrize("width", [-3, 0, 1, 5, 11, 24, 60])
def test_wrapping_loses_nothing(width: int) -> None:
    for given in ("2·32·8·128·2·81,920 tokens", "a bc  d", "x" * 50, "one two three four five six", "·" * 30, ""):
        lines = wrap(given, width, indent=2)
        assert all(len(line) <= max(1, width) for line in lines)
        assert "".join("".join(lines).split()) == "".join(given.split())


def test_pairs_prefer_the_longest_value_that_fits() -> None:
    assert row_text(pair("key", ("a long value", "short"), 20)) == "key     a long value"
    assert row_text(pair("key", ("a long value", "short"), 12)) == "key    short"
    assert row_text(pair("a long key", ("value",), 10)) == "a l… value"
    assert row_text(pair("key", ("immovable",), 5)) == "immo…"


def test_squeezing_keeps_low_ranks_and_order() -> None:
    rows = [pair(str(number), ("v",), 8) for number in range(6)]
    blocks = [(2, rows[:2]), (0, rows[2:3]), (1, rows[3:6])]
    assert squeeze(blocks, None) == rows
    assert squeeze(blocks, 4) == rows[2:6]
    assert squeeze(blocks, 3) == [*rows[:2], rows[2]]
    assert squeeze([(0, rows)], 2) == rows[:2]


def test_users_and_their_cost_stand_in_the_one_line_of_a_narrow_terminal() -> None:
    scenario = scenario_from({"model": "Llama-3.3-70B", "gpu": "H100 SXM", "tp": "2", "dtype": "fp8", "context": "16K"})
    words = users_words(scenario, most_users(scenario, 34))
    assert words == "34 users, all full: ≈$1.2–3.4/M tok"
    assert words in row_text(one_line_info(view("dense"), 80, words))
