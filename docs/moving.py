"""Several screens of the app as one SVG that moves: rows that do not change are in it once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

ROW = 24.4
LEFT, TOP, CAPTION = 9, 41, 52
FONTS = "'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace"
Spans = tuple[tuple[float, float], ...]
_CLASS = re.compile(r"\.(terminal-\d+-r\d+) \{ (.*?) \}")
_RECT = re.compile(r'<rect fill="(#[0-9a-f]+)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="[\d.]+"[^>]*/>')
_TEXT = re.compile(r'<text class="([\w-]+)" x="([\d.]+)" y="([\d.]+)" textLength="([\d.]+)"[^>]*>(.*?)</text>')
_SIZE = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')


class Shot(NamedTuple):
    """A screen as Textual exports it, how many ``seconds`` it stays, and the words below it."""

    svg: str
    seconds: float
    words: str


def moving(shots: Sequence[Shot]) -> str:
    """One SVG that shows ``shots`` one after another, over and over."""
    found = _SIZE.search(shots[0].svg)
    assert found is not None
    width, height = float(found[1]), float(found[2])
    whole = sum(shot.seconds for shot in shots)
    starts = [sum(shot.seconds for shot in shots[:number]) for number in range(len(shots) + 1)]
    styles: dict[str, str] = {}
    times: dict[Spans, str] = {}
    groups = []
    for row, seen in _rows([_parts(shot.svg, styles) for shot in shots]).items():
        for content, numbers in seen.items():
            name = _name(times, tuple((starts[n], starts[n + 1]) for n in numbers), len(numbers) == len(shots))
            groups.append(f'<g{name} transform="translate({LEFT} {TOP + row * ROW:.1f})">{content}</g>')
    words = dict.fromkeys(shot.words for shot in shots)
    for text in words:
        spans = tuple((starts[n], starts[n + 1]) for n, shot in enumerate(shots) if shot.words == text)
        name = _name(times, spans, len(words) == 1)
        groups.append(f'<text{name} class="w" x="{width / 2}" y="{height + 34}">{escape(text)}</text>')
    looks = "".join(f".{name}{{{look}}}" for look, name in styles.items())
    shown = "".join(_keyframes(name, spans, whole) for spans, name in times.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height + CAPTION:g}" font-family="{FONTS}" '
        f'font-size="20"><style>{looks}.w{{fill:#7cc4ff;font-size:26px;text-anchor:middle}}{shown}'
        f"text{{white-space:pre}}[style]{{animation-duration:{whole:g}s;animation-iteration-count:infinite;"
        f"animation-timing-function:step-end}}</style>"
        f'<rect width="{width:g}" height="{height + CAPTION:g}" rx="8" fill="#0a0e17"/>{"".join(groups)}</svg>\n'
    )


def _parts(svg: str, styles: dict[str, str]) -> dict[int, str]:
    """What stands in each row, its colours by names that all shots share."""
    classes = dict(_CLASS.findall(svg))
    rows: dict[int, list[str]] = {}
    screen = svg[svg.rindex("</defs>") :]
    for fill, x, y, width in _RECT.findall(screen):
        row = round((float(y) - 1.5) / ROW)
        rows.setdefault(row, []).append(f'<rect fill="{fill}" x="{x}" width="{width}" height="24.7"/>')
    for name, x, y, length, text in _TEXT.findall(screen):
        row = int((float(y) - 10) / ROW)
        look = styles.setdefault(classes[name], f"s{len(styles)}")
        rows.setdefault(row, []).append(f'<text class="{look}" x="{x}" y="18.5" textLength="{length}">{text}</text>')
    return {row: "".join(parts) for row, parts in rows.items()}


def _rows(frames: Sequence[dict[int, str]]) -> dict[int, dict[str, list[int]]]:
    """For each row what it holds, with the numbers of the shots in which it does."""
    found: dict[int, dict[str, list[int]]] = {}
    for number, rows in enumerate(frames):
        for row, content in rows.items():
            found.setdefault(row, {}).setdefault(content, []).append(number)
    return found


def _name(times: dict[Spans, str], spans: Spans, always: bool) -> str:
    """The attribute for what is shown in ``spans`` of seconds; none for what is there all the time."""
    if always:
        return ""
    return f' style="animation-name:{times.setdefault(spans, f"t{len(times)}")}"'


def _keyframes(name: str, spans: Sequence[tuple[float, float]], whole: float) -> str:
    """When something is to be seen."""
    return f"@keyframes {name}{{{''.join(_steps(spans, whole))}}}"


def _steps(spans: Sequence[tuple[float, float]], whole: float) -> Iterator[str]:
    if spans[0][0] > 0:
        yield "0%{opacity:0}"
    for start, end in _joined(spans):
        yield f"{100 * start / whole:.2f}%{{opacity:1}}"
        if end < whole:
            yield f"{100 * end / whole:.2f}%{{opacity:0}}"


def _joined(spans: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Spans that follow each other as one."""
    start, end = spans[0]
    for next_start, next_end in spans[1:]:
        if next_start > end + 1e-9:
            yield start, end
            start = next_start
        end = next_end
    yield start, end
