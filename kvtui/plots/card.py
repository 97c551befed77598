"""A slide: what is planned, whether it fits, where the memory goes, the frontier, and what would make it fit.

16 : 9, as SVG. The bar and the sentences are those of the report, the frontier is the catalogue's figure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kvtui.canvas.palette import Ink, Look, hex_color
from kvtui.engine.advice.fixes import Fix, fixes
from kvtui.engine.basis.units import format_bytes, format_tokens
from kvtui.engine.scenario.scenario import Scenario
from kvtui.figures.cache import frontier
from kvtui.output.harmless import clean
from kvtui.output.lines import wrap
from kvtui.output.markup import Markup, tag
from kvtui.plots.vector import FONTS, GROUNDS, MARGIN, picture
from kvtui.report.document import document
from kvtui.report.facts import panels
from kvtui.report.sections import parts, title, verdict

WIDTH, HEIGHT, EDGE = 1600, 900, 60
BAR_TOP, BAR_HEIGHT, LEGEND_TOP = 236, 74, 348
BELOW, COLUMN = 420, 900
FIGURE_CELLS = 100, 24
SENTENCE_CELLS, LINE_CELLS, MOST_FIXES, MOST_COMMAND = 84, 56, 5, 180
LEFT_OUT = ("energy", "decode bound", "prefill")
PART_INKS = {
    "weights": Ink.WEIGHTS,
    "kv": Ink.KV,
    "state": Ink.STATE,
    "activation": Ink.ACTIVATION,
    "overhead": Ink.FRAME,
    "reserved_unused": Ink.RESERVED,
    "pool_free": Ink.PADDING,
}


def card(scenario: Scenario, look: Look = "light") -> str:
    """The slide of ``scenario`` as an SVG file. Raises InputError where the plan does.

    The frontier of a scenario that does not fit would be empty: it is that of the first fix, which is said.
    """
    known = clean(document(scenario))
    found = () if known["memory"]["fits"] else fixes(scenario)
    svg = tag(
        "svg",
        tag("title", " · ".join(title(known))),
        tag("rect", width=WIDTH, height=HEIGHT, fill=GROUNDS[look]),
        _head(known, look),
        _bar(known, look),
        _figure(found[0].scenario if found else scenario, found[0].name if found else "", look),
        _fixes(found, look) if found else _room(known, look),
        _text(
            EDGE,
            HEIGHT - 24,
            f"kvtui {known['kvtui']} · {known['scenario']['command_line']}"[:170],
            13,
            Ink.FAINT,
            look,
        ),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        width=WIDTH,
        height=HEIGHT,
        font_family=FONTS,
    )
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{svg}\n'


def _head(known: Mapping[str, Any], look: Look) -> Iterator[Markup]:
    name, *rest = title(known)
    fits, sentence = verdict(known)
    yield _text(EDGE, 84, name, 44, Ink.BRIGHT, look, bold=True)
    yield _text(EDGE, 124, " · ".join(rest), 24, Ink.DIM, look)
    lines = wrap(f"{'✓' if fits else '✗'} {sentence}", SENTENCE_CELLS)[:2]
    for number, line in enumerate(lines):
        yield _text(EDGE, 176 + 34 * number, line, 28, Ink.GOOD if fits else Ink.BAD, look, bold=True)


def _bar(known: Mapping[str, Any], look: Look) -> Iterator[Markup]:
    """The fullest device as one bar, in scale: what there is as its frame, what is too much beyond it."""
    usable = known["memory"]["budget_bytes_per_device"]
    shown = [part for part in parts(known) if part.fullest]
    scale = (WIDTH - 2 * EDGE) / max(usable, sum(part.fullest for part in shown))
    x = float(EDGE)
    for part in shown:
        width = part.fullest * scale
        color = hex_color(PART_INKS[part.key], look)
        yield tag("rect", x=f"{x:.1f}", y=BAR_TOP, width=f"{width:.1f}", height=BAR_HEIGHT, fill=color)
        x += width
    edge, high = hex_color(Ink.TEXT, look), BAR_HEIGHT + 8
    room = f"{usable * scale:.1f}"
    yield tag("rect", x=EDGE, y=BAR_TOP - 4, width=room, height=high, fill="none", stroke=edge, stroke_width=2)
    end = EDGE + usable * scale
    if x > end + 1:
        red, beyond = hex_color(Ink.BAD, look), f"{x - end:.1f}"
        yield tag("rect", x=f"{end:.1f}", y=BAR_TOP - 4, width=beyond, height=high, fill=red, fill_opacity="0.35")
    count = known["memory"]["devices"]
    word = f"{format_bytes(usable)} {'usable' if count == 1 else f'usable on each of {count:,}'}"
    anchor = "end" if end > WIDTH / 2 else "start"
    yield _text(end, BAR_TOP - 12, word, 17, Ink.DIM, look, anchor=anchor)
    at = EDGE
    for part in shown:
        yield tag("rect", x=at, y=LEGEND_TOP - 13, width=15, height=15, fill=hex_color(PART_INKS[part.key], look))
        words = f"{part.label} {'≈ ' if part.estimate else ''}{format_bytes(part.fullest)}"
        yield _text(at + 22, LEGEND_TOP, words, 17, Ink.TEXT, look)
        at += 22 + round(len(words) * 10.3) + 26


def _figure(scenario: Scenario, name: str, look: Look) -> Iterator[Markup]:
    """The frontier, of the scenario or with the change called ``name``."""
    content, across, down = picture(frontier((scenario,)), look, *FIGURE_CELLS)
    if name:
        yield _text(EDGE, BELOW - 14, f"with: {name}", 17, Ink.DIM, look)
    box = f"0 0 {across + MARGIN} {down + MARGIN}"
    yield tag("svg", content, x=EDGE, y=BELOW, width=COLUMN - 2 * EDGE, height=HEIGHT - BELOW - 60, viewBox=box)


def _fixes(found: tuple[Fix, ...], look: Look) -> Iterator[Markup]:
    """The first changes that make it fit."""
    yield _text(COLUMN, BELOW + 14, "make it fit, the least change first", 24, Ink.BRIGHT, look, bold=True)
    y = BELOW + 62
    for number, fix in enumerate(found[:MOST_FIXES], 1):
        answer = fix.answer
        facts = [f"risk {fix.risk.word}"]
        facts += [] if answer.context is None else [f"context {format_tokens(answer.context)}"]
        facts += [] if answer.sequences is None else [f"users {answer.sequences:,}"]
        for line in wrap(f"{number}  {fix.name}", LINE_CELLS)[:2]:
            yield _text(COLUMN, y, line, 19, Ink.TEXT, look)
            y += 26
        yield _text(COLUMN + 34, y, " · ".join(facts), 17, Ink.DIM, look)
        y += 42


def _room(known: Mapping[str, Any], look: Look) -> Iterator[Markup]:
    """How far the devices go, and at what speed and cost, where it fits already."""
    y = BELOW + 14
    for panel in panels(known):
        if panel.title not in ("capacity", "time and cost"):
            continue
        yield _text(COLUMN, y, panel.title, 24, Ink.BRIGHT, look, bold=True)
        y += 36
        for fact in (fact for fact in panel.facts if not fact.label.startswith(LEFT_OUT)):
            yield _text(COLUMN, y, fact.label, 17, Ink.DIM, look)
            yield _text(WIDTH - EDGE, y, fact.value, 17, Ink.TEXT, look, anchor="end")
            y += 27
        y += 20


def _text(
    x: float, y: float, text: str, size: int, ink: Ink, look: Look, *, bold: bool = False, anchor: str = ""
) -> Markup:
    weight = "bold" if bold else ""
    fill = hex_color(ink, look)
    return tag("text", text, x=f"{x:g}", y=f"{y:g}", font_size=size, fill=fill, font_weight=weight, text_anchor=anchor)
