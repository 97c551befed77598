"""A page for eyes: a screen as it was recorded, and as it is now, with what differs marked."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from itertools import groupby

from rich.color import Color
from rich.color_triplet import ColorTriplet
from rich.style import Style

from tests.looks.frames import Frame, Row

INK, PAPER = ColorTriplet(0xC7, 0xD0, 0xE0), ColorTriplet(0x0A, 0x0E, 0x17)
HEAD = """<!doctype html><meta charset="utf-8"><title>{title}</title>
<style>
body {{ background: #888; font: 13px sans-serif }}
pre {{ background: #0a0e17; display: inline-block; font: 13px/1.2 monospace; margin: 0 }}
mark {{ outline: 1px solid red; background: none; color: inherit }}
</style>
"""


def page(title: str, before: Mapping[str, Frame], after: Mapping[str, Frame]) -> str:
    """HTML with each look that differs, ``before`` above ``after``."""
    parts = [HEAD.format(title=escape(title))]
    for look in dict.fromkeys([*before, *after]):
        was, now = before.get(look, ()), after.get(look, ())
        if was != now:
            parts += [f"<h2>{escape(title)}, {escape(look)}</h2>", "<p>recorded</p>", _screen(was, now)]
            parts += ["<p>now</p>", _screen(now, was)]
    return "\n".join(parts)


def _screen(shown: Frame, other: Frame) -> str:
    rows = (_row(row, other[y] if y < len(other) else ()) for y, row in enumerate(shown))
    return f"<pre>{chr(10).join(rows)}</pre>"


def _row(row: Row, other: Row) -> str:
    mine, others = _characters(row), _characters(other)
    differs = [x >= len(others) or others[x] != one for x, one in enumerate(mine)]
    parts = []
    for (style, marked), run in groupby(zip(mine, differs, strict=True), lambda pair: (pair[0][1], pair[1])):
        span = f'<span style="{_css(style)}">{escape("".join(one[0] for one, _ in run))}</span>'
        parts.append(f"<mark>{span}</mark>" if marked else span)
    return "".join(parts)


def _characters(row: Row) -> list[tuple[str, str]]:
    return [(one, run.style) for run in row for one in run.text]


def _css(name: str) -> str:
    style = Style.parse(name)
    ink, paper = _rgb(style.color, INK), _rgb(style.bgcolor, PAPER)
    if style.reverse:
        ink, paper = paper, ink
    if style.dim:
        ink = ColorTriplet(*((a + b) // 2 for a, b in zip(ink, paper, strict=True)))
    weight, slant = "bold" if style.bold else "normal", "italic" if style.italic else "normal"
    line = "underline" if style.underline else "line-through" if style.strike else "none"
    return f"color:{ink.hex};background:{paper.hex};font-weight:{weight};font-style:{slant};text-decoration:{line}"


def _rgb(color: Color | None, default: ColorTriplet) -> ColorTriplet:
    return default if color is None or color.is_default else color.get_truecolor()
