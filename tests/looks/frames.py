"""A screen as it looks: text with its styles, and the text file in which the looks of one screen are kept.

Such a file begins with the screen as text. Then come, for each look, the rows whose text is another there, what each
name of a style stands for, and for each row the styles with the number of characters in each: ``a3 b77``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import count, product
from string import ascii_letters
from typing import Any, NamedTuple

from textual.app import App


class Run(NamedTuple):
    """Text in one style, such as ``bold #c7d0e0 on #0a0e17``."""

    text: str
    style: str


Row = tuple[Run, ...]
Frame = tuple[Row, ...]
_LENGTH = re.compile(r"([A-Za-z]+)([0-9]+)")


def frame(app: App[Any]) -> Frame:
    """What ``app`` has on screen; neighbours in a row have different styles."""
    return tuple(
        _joined(Run(part.text, "none" if part.style is None else str(part.style)) for part in strip)
        for strip in app.screen._compositor.render_strips()
    )


def text_of(row: Row) -> str:
    """The characters of ``row``."""
    return "".join(run.text for run in row)


def written(looks: Mapping[str, Frame]) -> str:
    """The file of a screen that has these ``looks``, of which the first gives the text."""
    first = next(iter(looks.values()))
    lines = [f"|{text_of(row)}|" for row in first]
    for look, shown in looks.items():
        styles = dict(zip(dict.fromkeys(run.style for row in shown for run in row), _names(), strict=False))
        lines += ["", f"look {look}"]
        lines += [
            f"{number} |{text_of(row)}|"
            for number, (row, known) in enumerate(zip(shown, first, strict=True))
            if text_of(row) != text_of(known)
        ]
        lines += [f"{name} = {style}" for style, name in styles.items()]
        lines += [" ".join(f"{styles[run.style]}{len(run.text)}" for run in row) for row in shown]
    return "\n".join(lines) + "\n"


def read(text: str) -> dict[str, Frame]:
    """The looks in the ``text`` of a file: what ``written`` was given."""
    head, *parts = text.removesuffix("\n").split("\n\nlook ")
    first = [line[1:-1] for line in head.split("\n")]
    found = {}
    for part in parts:
        look, *lines = part.split("\n")
        shown, styles = list(first), {}
        for line in lines[: -len(first)]:
            name, _, rest = line.partition(" ")
            if rest.startswith("= "):
                styles[name] = rest[2:]
            else:
                shown[int(name)] = rest[1:-1]
        found[look] = tuple(
            _cut(row, lengths, styles) for row, lengths in zip(shown, lines[-len(first) :], strict=True)
        )
    return found


def _names() -> Iterator[str]:
    """a, b, … Z, aa, ab, …"""
    return ("".join(letters) for length in count(1) for letters in product(ascii_letters, repeat=length))


def _joined(runs: Iterator[Run]) -> Row:
    row: list[Run] = []
    for run in runs:
        if row and row[-1].style == run.style:
            row[-1] = Run(row[-1].text + run.text, run.style)
        elif run.text:
            row.append(run)
    return tuple(row)


def _cut(text: str, lengths: str, styles: Mapping[str, str]) -> Row:
    row, at = [], 0
    for name, length in _LENGTH.findall(lengths):
        row.append(Run(text[at : at + int(length)], styles[name]))
        at += int(length)
    return tuple(row)
