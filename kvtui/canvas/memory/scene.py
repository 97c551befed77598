"""What the board shows at one moment: the bank map's codes, and what is written and moves around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Scene:
    """All that the board shows at one moment.

    ``codes`` has one entry per bank of the device (see ``kvtui.engine.picture.bank_map``), ``fill`` is its used share,
    ``progress`` the share of the film's context, ``traffic`` how busy the memory paths are (0 to 1), ``now``
    seconds. ``beyond`` has one entry per bank that the device has no room for, drawn under the first of
    ``beyond_words`` that fits. ``selected`` and ``filling`` are banks. Of ``captions`` the first that fits is written
    under the die, of ``saved_texts`` above it, and of ``alarm`` over all. ``ram_codes`` are the banks of the machine's
    RAM, where it is drawn, under the first of ``ram_words`` that fits. ``moving`` is False when nothing may move,
    ``plain`` when colour cannot carry meaning, ``alarmed`` when everything is tinted.
    """

    codes: bytes
    die_name: str
    memory_name: str
    module_gib: float
    fill: float
    progress: float
    traffic: float
    now: float
    flash_attention: bool
    saved_texts: Sequence[str] = ()
    captions: Sequence[str] = ()
    selected: int | None = None
    filling: int | None = None
    moving: bool = True
    plain: bool = False
    ludicrous: bool = False
    ram_codes: bytes | None = None
    ram_words: Sequence[str] = ()
    beyond: bytes | None = None
    beyond_words: Sequence[str] = ()
    alarm: Sequence[str] = ()
    alarmed: bool = False
