"""Devices by words in any order, as people say them: ``12 GB RTX 3060``, ``5060ti 16``, ``mac``, ``strix halo``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from kvtui.engine.device.spec import DeviceSpec

_TOKEN = re.compile(r"[0-9]+|[a-z]+|\+")
WHOLE_WORD = 3
_UNSAID = frozenset(("gb", "gib", "g", "vram", "ram", "gpu", "memory", "unified", "with", "of"))
_NICKNAMES = {
    "Apple": "mac macbook mini studio imac apple silicon metal",
    "NVIDIA": "cuda",
    "AMD": "rocm",
    "Intel": "xpu",
    "CPU": "processor ram",
}
_FAMILY_NICKNAMES = {("NVIDIA", "consumer"): "geforce gaming", ("AMD", "consumer"): "radeon gaming"}


def said(names: Sequence[Iterable[str]], text: str) -> tuple[int, ...]:
    """Which of the devices with these ``names`` have all words of ``text`` in one of their names, in any order.

    A number may stand with its unit or without, and next to letters: ``m4 max 64`` says "Apple M4 Max 64GB".
    """
    wanted = _tokens(text)
    if not wanted:
        return ()
    return tuple(at for at, several in enumerate(names) if any(wanted <= _tokens(name) for name in several))


def plainest(names: Sequence[str]) -> str | None:
    """The only one of ``names``, or the one whose words all others have too; None if there is none."""
    words = [_tokens(name) for name in names]
    found = [name for name, own in zip(names, words, strict=True) if all(own <= other for other in words)]
    return found[0] if len(found) == 1 else None


def search_words(device: DeviceSpec) -> str:
    """All that ``device`` is found by when somebody searches, in lower case, its name first.

    Names stand there without blanks too, so that ``5060ti`` is found.
    """
    names = (device.name, *device.aliases)
    nicknames = (_NICKNAMES.get(device.vendor, ""), _FAMILY_NICKNAMES.get((device.vendor, device.family), ""))
    parts = (*names, device.vendor, device.family, device.memory.kind, *nicknames)
    together = (re.sub(r"[ _-]", "", name) for name in names)
    return " ".join((*parts, *together)).casefold()


def searched(device: DeviceSpec, text: str) -> bool:
    """Whether ``device`` is found by all words of ``text``, units aside; by none if there are none.

    One or two letters begin a word: the v of "titan v" is not that of "nvidia".
    """
    words = [word for word in text.casefold().split() if word not in _UNSAID]
    found = f" {search_words(device)}"
    return bool(words) and all((word if len(word) >= WHOLE_WORD else f" {word}") in found for word in words)


def _tokens(text: str) -> frozenset[str]:
    return frozenset(_TOKEN.findall(text.casefold())) - _UNSAID
