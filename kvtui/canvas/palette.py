"""One colour per meaning, on every screen: inks, what they are in each theme and colour depth, and their glyphs.

The sequence cycle is Okabe and Ito's eight colour-blind-safe hues and a lighter or darker sibling of each; inks from
RAMP on are the colours of values, least first. From SHADED on come SHADES of each of both, dark to light, from VEILED
on any of these seen through a reference plane, and from WASHED on any of them as a wash. On 16-colour terminals inks
are ANSI names; without colour everything is the terminal's own, and glyphs carry the meaning.
"""

from __future__ import annotations

from enum import IntEnum
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Literal

from rich.color import Color
from rich.style import Style

from kvtui.engine.basis.places import DATA

Depth = Literal["rgb", "ansi", "none"]
Look = Literal["dark", "light", "wafer"]


class Ink(IntEnum):
    """What a cell means; the palette says what it looks like."""

    NONE = 0
    TEXT = 1
    DIM = 2
    FAINT = 3
    BRIGHT = 4
    ACCENT = 5
    GOOD = 6
    WARN = 7
    BAD = 8
    FRAME = 9
    WEIGHTS = 10
    STATE = 11
    RESERVED = 12
    PADDING = 13
    SAVED = 14
    ACTIVATION = 16
    FREE = 17
    KV = 18
    PULSE = 19
    DIE = 20
    DIE_LIT = 21
    DIE_WARM = 22
    DIE_HOT = 23
    TILE_1 = 24
    TILE_2 = 25
    TILE_3 = 26
    DIAGONAL = 27
    DOT = 28
    PARTICLE = 29
    GOLD = 30
    GOLD_TAIL = 31
    PATH = 32
    WAVE_1 = 33
    WAVE_2 = 34
    WAVE_3 = 35
    BAR = 36
    BAR_REST = 37
    SELECT = 38
    OVERFLOW = 39
    SEQUENCE = 40


SEQUENCES = 16
RAMP, RAMP_STEPS = 64, 32
SHADED, SHADES = 128, 8
SHADED_RAMP = SHADED + SEQUENCES * SHADES
VEILED, WASHED = 512, 1024


_ASCII_PAIRS = (
    "█# ▓% ▒= ░~ ▫- ▞+ ╱/ ·. •* ●O ○o ─- ┄- ═= ║| │| ┌+ ┐+ └+ ┘+ ├+ ┤+ ┬+ ┴+ ┼+ ━= ╸- ╺- ▶> ◀< ▪# ≈~ ×x –- —- …. "
    "▁_ ▃_ ▅# ▆# ▇# ▏| ▎| ▍| ▌| ▋# ▊# ▉# ┊| ┈- ╌- ■# □% ▲^ △A ◆* ◇+ ▼V ▽v ★@ ☆& ◉Q ▯/ ◈8 ✚t ✦x "
    "▂_ ✓v ✗X ⚠! Σs ÷/ ²2 ½h →> ←< ↑^ ↓v ▀^ ▄_ −- ≤< ≥> °o ⌈[ ⌉] ηn"
)
BRAILLE = range(0x2801, 0x2900)
_DARKEST, _FULL, _VEIL, _WASH = 0.34, 0.8, 0.24, 0.26
ASCII = str.maketrans({pair[0]: pair[1] for pair in _ASCII_PAIRS.split()}) | dict.fromkeys(BRAILLE, ord(":"))


@lru_cache(maxsize=8192)
def style(ink: int, under: int, look: Look, depth: Depth) -> Style:
    """The Rich style of a cell; one object per combination, so that rendered strips can be cached.

    Few colours leave no background for a wash.
    """
    washed = under >= WASHED and depth != "rgb"
    return Style(color=_color(ink, look, depth), bgcolor=None if washed else _color(under, look, depth))


def hex_color(ink: int, look: Look) -> str:
    """The ink's ``#rrggbb`` in a look, for pictures outside the terminal too."""
    tables = _tables()
    if ink >= WASHED:
        return _mixed("#ffffff" if look == "light" else "#000000", hex_color(ink - WASHED, look), _WASH)
    if ink >= VEILED:
        return _mixed(hex_color(ink - VEILED, look), hex_color(Ink.WARN, look), _VEIL)
    if ink >= SHADED:
        light = (ink - SHADED) % SHADES / (SHADES - 1)
        color = hex_color(_base(ink), look)
        return _mixed(
            _mixed("#000000", color, min(1.0, _DARKEST + (1 - _DARKEST) * light / _FULL)),
            "#ffffff",
            max(0.0, light - _FULL),
        )
    if ink >= RAMP:
        return str(tables["ramp"]["rgb"][min(ink - RAMP, RAMP_STEPS - 1)])
    if ink >= Ink.SEQUENCE:
        return str(tables["sequences"]["light" if look == "light" else "dark"][(ink - Ink.SEQUENCE) % SEQUENCES])
    name = Ink(ink).name.lower()
    base = tables["light" if look == "light" else "dark"]
    return str(tables["wafer"].get(name, base[name]) if look == "wafer" else base[name])


def _color(ink: int, look: Look, depth: Depth) -> Color | None:
    if depth == "none" or ink == Ink.NONE:
        return None
    if depth == "rgb":
        return Color.parse(hex_color(ink, look))
    if ink >= WASHED:
        return _color(ink - WASHED, look, depth)
    if ink >= VEILED:
        return _color(ink - VEILED, look, depth)
    if ink >= SHADED:
        return _color(_base(ink), look, depth)
    name = _name(ink)
    if name is not None and look == "light":
        name = _tables()["ansi_on_light"].get(name, name)
    return None if name is None else Color.parse(name)


def _name(ink: int) -> str | None:
    """One of the terminal's own sixteen colours; None for its own foreground."""
    tables = _tables()
    if ink >= RAMP:
        names = tables["ramp"]["ansi"]
        return str(names[min(ink - RAMP, RAMP_STEPS - 1) * len(names) // RAMP_STEPS])
    if ink >= Ink.SEQUENCE:
        return str(tables["sequences"]["ansi"][(ink - Ink.SEQUENCE) % SEQUENCES])
    found: str | None = tables["ansi"].get(Ink(ink).name.lower())
    return found


def _base(shaded: int) -> int:
    """The ink that a shaded one is a darker or lighter form of."""
    number = (shaded - SHADED) // SHADES
    return Ink.SEQUENCE + number if number < SEQUENCES else RAMP + number - SEQUENCES


def _mixed(under: str, over: str, share: float) -> str:
    """``share`` of one ``#rrggbb`` over another."""
    pairs = zip(bytes.fromhex(under[1:]), bytes.fromhex(over[1:]), strict=True)
    return "#" + bytes(round(a + (b - a) * share) for a, b in pairs).hex()


@cache
def _tables() -> dict[str, Any]:
    import tomllib

    return tomllib.loads((Path(DATA) / "palette.toml").read_text(encoding="utf-8"))
