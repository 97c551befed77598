"""A device of one's own, by its figures: ``own 48GB 1200GB/s``, and what else is known of it.

Only what is given is known of it: without a price there is no cost, without watts no energy, without a peak no prefill,
without a link no time of several together. GB are those that cards are sold by: a card "of 48 GB" holds 48 GiB.
"""

from __future__ import annotations

import re

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import GIB, MAX_GBS, format_bytes
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.device.sizes import LEAST_BYTES, MOST_BYTES
from kvtui.engine.device.spec import OWN, DeviceSpec, Memory, Price

EXAMPLE = "own 48GB 1200GB/s, and if known 180TFLOPS 300W 2$/h"
TILE = 64

_FIGURE = re.compile(
    r"(\$?)\s*([0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?|[0-9]{1,9}(?:\.[0-9]+)?)\s*([a-z$][a-z$/]*)?(?=[\s,;]|$)[\s,;]*"
)
_UNITS = {
    "memory": {"gib": 1, "gb": 1, "g": 1, "tib": 1024, "tb": 1024},
    "bandwidth": {"gb/s": 1, "gbs": 1, "gbps": 1, "tb/s": 1000, "tbs": 1000},
    "peak": {"tflops": 1, "tflop/s": 1, "tflops/s": 1},
    "power": {"w": 1, "watts": 1},
    "price": {"$": 1, "$/h": 1, "/h": 1, "usd/h": 1},
}
_MEANING = {unit: (what, times) for what, units in _UNITS.items() for unit, times in units.items()}
_MOST = {"memory": MOST_BYTES / GIB, "bandwidth": MAX_GBS, "peak": 1e9, "power": 1e6, "price": 1e6}


def own_device(text: str) -> DeviceSpec:
    """The device that ``text`` describes, with or without the word own: ``48 1200``, ``48GB 1.2TB/s 2$/h``.

    Of numbers without units the first is GiB of memory and the second GB/s. Raises InputError for figures that are not
    understood, and where memory or bandwidth is missing.
    """
    found = _figures(text)
    for what, example in (("memory", "48GB"), ("bandwidth", "1200GB/s")):
        if what not in found:
            raise InputError(f"own device: its {what} is missing, such as {example} of {EXAMPLE}")
    memory = round(found["memory"] * GIB)
    if memory < LEAST_BYTES:
        raise InputError(f"own device: {format_bytes(memory)} is no device's memory")
    price, peak = found.get("price"), found.get("peak")
    return DeviceSpec(
        name=_name(found),
        vendor=OWN,
        family="other",
        nominal_gb=memory / GIB,
        usable_bytes=memory,
        memory=Memory("memory", 1, memory / GIB),
        bandwidth_gbs=found["bandwidth"],
        cache_mb=None,
        peak_tflops=() if peak is None else (("bf16", peak),),
        link=None,
        link_gbs=None,
        pcie=None,
        tdp_watts=found.get("power"),
        price=None if price is None else Price(price, price, ""),
        tile=TILE,
        confidence="L",
        source="as given",
        note="all of its memory is taken to be free for programs",
        allocatable_bytes=memory,
    )


def _figures(text: str) -> dict[str, float]:
    """The figures of ``text`` by what they are of, memory in GiB. Raises InputError."""
    asked = text.strip().casefold()
    asked, found, at = asked.removeprefix(OWN).lstrip(), {}, 0
    while at < len(asked):
        match = _FIGURE.match(asked, at)
        unit = match and (match[3] or match[1] or next((u for w, u in _BARE if w not in found), ""))
        what, times = _MEANING.get("$" if match and match[1] else unit or "", ("", 0))
        if match is None or not what or what in found:
            raise InputError(f"own device: '{plain(asked[at:], 40)}' is not understood: type {EXAMPLE}")
        value = float(match[2].replace(",", "")) * times
        if not 0 < value <= _MOST[what]:
            raise InputError(f"own device: {what} {value:g} is out of range (above 0, at most {_MOST[what]:g})")
        found[what], at = value, match.end()
    return found


_BARE = (("memory", "gib"), ("bandwidth", "gb/s"))


def _name(found: dict[str, float]) -> str:
    """The words that describe the device again."""
    units = {"memory": "GiB", "bandwidth": "GB/s", "peak": "TFLOPS", "power": "W", "price": "$/h"}
    return " ".join([OWN, *(f"{found[what]:.10g} {unit}" for what, unit in units.items() if what in found)])
