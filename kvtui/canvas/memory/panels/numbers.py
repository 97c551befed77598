"""The legend of the picture, and the estimates of time, cost and energy."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from kvtui.canvas.cells import InkRow, Span
from kvtui.canvas.memory.board import look_of
from kvtui.canvas.memory.panels.info import NONE
from kvtui.canvas.memory.panels.text import pair, wrapped
from kvtui.canvas.memory.view import Count
from kvtui.canvas.palette import Ink
from kvtui.engine.basis.units import counted, format_bytes, format_tokens
from kvtui.engine.picture.bank_map import FIRST_SEQUENCE, Code
from kvtui.engine.planning.capacity import Capacity, Users
from kvtui.engine.planning.estimate import Estimate
from kvtui.engine.planning.roofline import Band
from kvtui.engine.saying.fill import fill_words
from kvtui.engine.scenario.scenario import Scenario

NAMES: dict[int, str] = {
    Code.WEIGHTS: "weights",
    FIRST_SEQUENCE: "sequence",
    Code.PREFIX: "shared prefix",
    Code.PADDING: "block padding",
    Code.RESERVED: "reserved, unused",
    Code.STATE: "state",
    Code.WORKING: "activations etc.",
    Code.SAVED: "saved by FA",
    Code.FREED: "freed, what if",
    Code.OVERFLOW: "beyond capacity",
    Code.FREE: "free",
}
SHORT_NAMES = {
    **NAMES,
    FIRST_SEQUENCE: "seq",
    Code.PREFIX: "prefix",
    Code.PADDING: "padding",
    Code.RESERVED: "reserved",
    Code.WORKING: "work",
    Code.SAVED: "FA saves",
    Code.FREED: "freed",
    Code.OVERFLOW: "over",
}
NO_BOUND = "no bound"
SWATCH = 2
MAX_SWATCHES, LINE_SWATCHES = 8, 4


def legend_rows(counts: Sequence[Count], width: int, plain: bool = False) -> list[InkRow]:
    """Glyph, name, cells and bytes of every category that has bytes, in the picture's glyphs and inks.

    Cells are left out of all rows where they do not fit every one. Each sequence has its own ink; up to eight of them
    are shown where there is room for that. ``plain`` takes the glyphs of pictures without colour.
    """
    by_code = {count.code: count for count in counts if count.bytes}
    listed = [by_code[code] for code in NAMES if code in by_code]
    room = width - SWATCH - 1
    details = [_details(count) for count in listed]
    roomy = [all(len(_name(c)) + 1 + len(d[n]) <= room for c, d in zip(listed, details, strict=True)) for n in range(3)]
    detail = roomy.index(True) if True in roomy else -1
    return [_legend(count, texts[detail], width, plain) for count, texts in zip(listed, details, strict=True)]


def legend_line(counts: Sequence[Count], width: int, plain: bool = False) -> InkRow:
    """The legend in one row of ``width`` cells: sizes go first where not all has room, then the longer names."""
    by_code = {count.code: count for count in counts if count.bytes}
    listed = [by_code[code] for code in NAMES if code in by_code]
    for names, sizes in ((NAMES, True), (SHORT_NAMES, True), (NAMES, False), (SHORT_NAMES, False)):
        row: list[Span] = []
        for count in listed:
            codes: tuple[int, ...] = (count.code,)
            if count.owners > 1:
                codes = tuple(count.code + number for number in range(min(count.owners, LINE_SWATCHES)))
            name = f"{count.owners:,} {names[count.code]}s" if count.owners > 1 else names[count.code]
            size = f" {format_bytes(count.bytes, 1)}" if sizes else ""
            row += [*([Span("  ")] if row else []), *_swatches(codes, plain), Span(f" {name}", Ink.DIM), Span(size)]
        if sum(len(span.text) for span in row) <= width:
            break
    return row


def _details(count: Count) -> tuple[str, str, str]:
    size = format_bytes(count.bytes)
    return f"{count.cells:,} cells · {size}", f"{count.cells:,} · {size}", size


def _name(count: Count) -> str:
    return f"{count.owners:,} {NAMES[count.code]}s" if count.owners > 1 else NAMES[count.code]


def _legend(count: Count, detail: str, width: int, plain: bool) -> InkRow:
    name, codes = _name(count), (count.code,) * SWATCH
    if count.owners > 1:
        codes = tuple(count.code + number for number in range(min(count.owners, MAX_SWATCHES)))
    room = width - SWATCH - 1
    spare = room - len(name) - len(detail)
    more = _swatches(codes[SWATCH:], plain) if len(codes) - SWATCH <= spare - 2 else ()
    label, *rest = pair(f"{name} " if more else name, (detail,), room - len(more), Ink.TEXT)
    return *_swatches(codes[:SWATCH], plain), Span(" "), label, *more, *rest


@lru_cache(maxsize=64)
def _swatches(codes: tuple[int, ...], plain: bool) -> tuple[Span, ...]:
    """One cell of the picture for each of ``codes``."""
    return tuple(Span(*look_of(code, plain)) for code in codes)


def capacity_rows(scenario: Scenario, found: Capacity, users: Users, width: int) -> list[InkRow]:
    """The longest context at the scenario's batch, and how many users there is room for, by how full they are."""
    context = NO_BOUND if found.context is None else f"{found.context:,} tokens"
    short = NO_BOUND if found.context is None else f"{found.context:,}"
    rows = [
        pair(f"context at batch {scenario.batch:,}", (context, short), width),
        pair(f"users, all at {format_tokens(scenario.context)}", (_users(users.full),), width),
    ]
    if users.average != users.full:
        rows.append(pair(f"users at {users.percent} % average", (_users(users.average),), width))
    if scenario.fill_percent % 100:
        rows.append(pair(f"users {fill_words(scenario, scenario.batch)}", (_users(found.sequences),), width))
    trained = scenario.model.max_context
    if trained is not None and (found.context is None or found.context > trained):
        rows += wrapped(f"the model's maximum is {format_tokens(trained)}", width, Ink.DIM)
    return rows


def _users(count: int | None) -> str:
    return NO_BOUND if count is None else f"{count:,}"


def most_users_rows(estimate: Estimate, width: int) -> list[InkRow]:
    """Throughput, cost and energy alone, for as many users as there is room for."""
    return [
        pair("throughput", _band(estimate.tokens_per_second, "tok/s"), width),
        cost_row(estimate, width),
        pair("energy", _band(estimate.joules_per_token, "J/token"), width),
    ]


def users_words(scenario: Scenario, found: tuple[int, Estimate] | None) -> str:
    """The most users with what a million tokens cost then: ``31 users, all full: ≈$0.65–1.77/M tok``."""
    if found is None:
        return ""
    cost = found[1].usd_per_million_tokens
    words = f"{counted(found[0], 'user')}, {fill_words(scenario, found[0])}"
    return words if cost is None else f"{words}: {_band(cost, '/M tok', '$')[2]}"


def cost_row(estimate: Estimate, width: int, when: str = "") -> InkRow:
    """The cost of a million tokens; ``when`` names the batch behind the word."""
    return pair(f"cost{when}", _band(estimate.usd_per_million_tokens, "/M tok", "$"), width)


def estimate_rows(estimate: Estimate, width: int, when: str = "", absent: Sequence[str] = ()) -> list[InkRow]:
    """Decode, prefill, throughput, cost and energy as approximate bands; a dash where the data is not known.

    ``when`` names the batch behind the first word, ``absent`` says what is left out and why.
    """
    rows = [
        pair(f"decode{when}", _band(estimate.decode_ms, "ms/token"), width),
        pair("prefill", _milliseconds(estimate.prefill_ms), width),
        pair("throughput", _band(estimate.tokens_per_second, "tok/s"), width),
        cost_row(estimate, width),
        pair("energy", _band(estimate.joules_per_token, "J/token"), width),
    ]
    if estimate.speculation is not None:
        found = estimate.speculation
        rows.append(pair("speculation", _band(found.speedup, "× as fast"), width))
        told = "assumed" if found.assumed else "accepted"
        rows += wrapped(f"{found.drafted} drafted, {100 * found.acceptance:.0f} % {told}", width, Ink.DIM)
    if estimate.bound is not None:
        rows += wrapped(f"bound by {estimate.bound}", width, Ink.DIM)
    if estimate.measured_gbs is not None:
        rows += wrapped(f"decode at {estimate.measured_gbs:g} GB/s, as given", width, Ink.ACCENT)
    for text in absent:
        rows += wrapped(text, width, Ink.DIM)
    return rows


def figure(value: float) -> str:
    """Two significant digits, or the whole number from 10 on: ``0.58``, ``6.1``, ``240``, ``12 k``, ``3.4 M``."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if value >= 10 * size or (unit != "k" and value >= size):
            return f"{figure(value / size)} {unit}"
    if value >= 9.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 0.95 else f"{value:.2g}"


def _milliseconds(band: Band | None) -> tuple[str, ...]:
    if band is not None and band.high >= 1000:
        return _band(Band(band.low / 1000, band.high / 1000), "s")
    return _band(band, "ms")


def _band(band: Band | None, unit: str, sign: str = "") -> tuple[str, ...]:
    if band is None:
        return (NONE,)
    low, high = figure(band.low), figure(band.high)
    span = f"{sign}{low}" if low == high else f"{sign}{low}–{high}"
    short = unit.replace("token", "tok")
    gap = "" if unit.startswith("/") else " "
    return f"≈ {span}{gap}{unit}", f"≈ {span}{gap}{short}", f"≈{span}{gap}{short}", f"≈{span}"
