"""How a series looks: the same colour, point and fill on every panel and in every renderer, dark or light.

Names that carry an attention variant keep its look on all figures; the rest take the places that are left. Colour is
never alone: each place has a point, a fill and a hatch of its own too.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from kvtui.canvas.palette import SEQUENCES, Ink, Look, hex_color
from kvtui.figures.figure import Bars, Figure

ROLES = {"mha": 0, "gqa": 1, "mqa": 2, "mla": 6, "swa": 5, "deltanet": 4, "moe": 3}
"""The place in the sequence cycle of each attention variant, and of what is compared with them."""

POINTS = "●■▲◆○□△◇★▼◉☆▽◈✚✦"
FILLS = "█▓▒░▞╱◆●"
MARKERS = "os^Dos^D*vPX<>ph"
HATCHES = ("", "///", "...", "xx", "\\\\\\", "++", "oo", "--")
_HOLLOW = range(4, 8)
_HUES = SEQUENCES // 2
_WORD = re.compile(r"[a-z]+")


class Style(NamedTuple):
    """The look of one series: its ``place`` in the cycle of colours and points, and its ``number`` among all bars."""

    place: int
    number: int = 0

    @property
    def ink(self) -> int:
        """The palette's ink."""
        return Ink.SEQUENCE + self.place % SEQUENCES

    @property
    def point(self) -> str:
        """The character at data points and in legends."""
        return POINTS[self.place % len(POINTS)]

    @property
    def fill(self) -> str:
        """The character that fills bars."""
        return FILLS[self.number % len(FILLS)]

    @property
    def marker(self) -> str:
        """Matplotlib's marker."""
        return MARKERS[self.place % len(MARKERS)]

    @property
    def hollow(self) -> bool:
        """Whether matplotlib's marker is drawn as an outline."""
        return self.place % len(MARKERS) in _HOLLOW

    @property
    def hatch(self) -> str:
        """Matplotlib's hatch of bars."""
        return HATCHES[self.number % len(HATCHES)]

    def color(self, look: Look) -> str:
        """``#rrggbb`` for pictures outside the terminal."""
        return hex_color(self.ink, look)


def styles(figure: Figure) -> dict[str, Style]:
    """The style of every series of ``figure`` by name.

    A variant's first series has the variant's own hue, its second the hue's sibling; what is left goes in order.
    """
    names = dict.fromkeys(mark.name for panel in figure.panels for mark in panel.marks)
    places: dict[str, int] = {}
    for name in names:
        role = _role(name)
        for place in (role, role + _HUES) if role is not None else ():
            if place not in places.values():
                places[name] = place
                break
    free = (place for place in range(len(names) + SEQUENCES) if place not in set(places.values()))
    bars = list(dict.fromkeys(m.name for panel in figure.panels for m in panel.marks if isinstance(m, Bars)))
    return {
        name: Style(places[name] if name in places else next(free), bars.index(name) if name in bars else 0)
        for name in names
    }


def _role(name: str) -> int | None:
    words = set(_WORD.findall(name.casefold()))
    return next((place for role, place in ROLES.items() if role in words), None)
