"""The device that a log ran on: as told, as named, by the memory it prints, or by what its other numbers leave.

Example: a log prints a total of 94.97 GiB. That is what programs can allocate of an RTX PRO 6000; the H20 has 95.00, so
both are said, and the nearest is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.basis.units import GIB
from kvtui.engine.bootlog.observed import BootLog, Size
from kvtui.engine.device.catalogue import all_devices, find_device
from kvtui.engine.device.spec import DeviceSpec

SAME_MEMORY = 0.025
"""Drivers and releases of CUDA keep back a little more or less: up to 1.5 % of a 24 GiB card."""

LIKE_MEMORY = GIB // 10
"""Devices whose memory differs by less cannot be told apart by it: those of which servers printed it come first."""

SAME_POOL, LEAST_APART = 0.08, GIB // 2
HELD_BEFORE, HELD_BEFORE_MOST = GIB // 2, 3 * GIB
"""What contexts and communicators take of a device before anything is loaded: usually, and at most."""

VENDORS = ("NVIDIA ", "GeForce ", "Tesla ", "AMD ", "Radeon ", "Apple ", "Quadro ")
PLATFORMS = {"cuda": "cuda", "rocm": "rocm", "hip": "rocm", "xpu": "xpu", "cpu": "cpu"}
LIKELIEST = "cuda"
LISTED = 4


class FoundDevice(NamedTuple):
    """A device and how it was found, in words; no words where it was told or named."""

    device: DeviceSpec
    words: str = ""


def named_device(log: BootLog, told: Mapping[str, str | bool]) -> FoundDevice | None:
    """The device that was told, that the log names, or that has the memory that the log prints; None if nothing says.

    Raises UnknownName for a device that was told and is in no catalogue.
    """
    if "gpu" in told:
        return FoundDevice(find_device(str(told["gpu"])))
    named = log.words.get("device")
    for name in _spellings(named) if named is not None else ():
        try:
            return FoundDevice(find_device(name), _several(log))
        except UnknownName:
            continue
    if PLATFORMS.get(log.words.get("platform", "")) == "cpu":
        return FoundDevice(find_device("CPU"))
    total = log.most("total")
    return None if total is None else _of_memory(log, total)


def likely_device(log: BootLog, left_on: Callable[[DeviceSpec], int]) -> FoundDevice | None:
    """The device whose memory, less all that is known or estimated, leaves the cache of ``log``.

    ``left_on`` is what a plan of the same start leaves on a device; it may raise InputError. Where the log does not say
    what was left, it is the device that had about as much free as the log says. None if no device comes near.
    """
    pool, before = log.least("pool"), log.least("free_before")
    apart: list[tuple[int, DeviceSpec]] = []
    if pool is not None and "weights" in log.sizes:
        near = max(int(SAME_POOL * pool.bytes), LEAST_APART)
        for device in _of_platform(log):
            try:
                apart.append((abs(left_on(device) - pool.bytes), device))
            except InputError:
                continue
    elif before is not None:
        near = HELD_BEFORE_MOST - HELD_BEFORE
        held = ((device, device.allocatable_bytes - before.bytes) for device in _of_platform(log))
        apart = [(abs(size - HELD_BEFORE), device) for device, size in held if size >= 0]
    found = _ranked([item for item in apart if item[0] <= near]) if apart else []
    if not found:
        return None
    others = _listed(found[1:])
    words = f"the log does not name the device: by its numbers it is one like the {found[0].name}"
    return FoundDevice(found[0], f"{words}{f', or {others}' if others else ''}; --gpu says otherwise")


def _ranked(apart: list[tuple[int, DeviceSpec]]) -> list[DeviceSpec]:
    """Devices by how far ``apart`` they are; of those that are alike, those whose memory servers printed first."""
    order = sorted(apart, key=lambda item: (item[0] // LIKE_MEMORY, not item[1].allocatable_logged, item[0]))
    return [device for _, device in order]


def _several(log: BootLog) -> str:
    """What is to be said of devices of several kinds."""
    other = log.words.get("other_device")
    return "" if other is None else f"the log's devices are of several kinds: {other} is planned as if like the first"


def _spellings(named: str) -> Iterator[str]:
    yield named
    bare = named.partition(" (")[0]
    for vendor in VENDORS:
        bare = bare.replace(vendor, "")
    yield bare


def _of_platform(log: BootLog) -> list[DeviceSpec]:
    """The devices that the log's platform runs on, CUDA's where it says none."""
    wanted = PLATFORMS.get(log.words.get("platform", ""), LIKELIEST)
    return [device for device in all_devices() if device.platform == wanted]


def _of_memory(log: BootLog, total: Size) -> FoundDevice | None:
    """The device with about that much memory to allocate, the nearest first; None if there is none."""
    asked = PLATFORMS.get(log.words.get("platform", ""))
    apart = [(abs(device.allocatable_bytes - total.bytes), device) for device in all_devices()]
    near = [item for item in apart if item[0] <= SAME_MEMORY * total.bytes and asked in (None, item[1].platform)]
    found = _ranked([item for item in near if item[1].platform == (asked or LIKELIEST)]) or _ranked(near)
    if not found:
        return None
    alike = [device for device in found[1:] if abs(device.allocatable_bytes - total.bytes) <= LIKE_MEMORY]
    words = f"the device is taken to be the {found[0].name}, by its memory"
    return FoundDevice(found[0], f"{words}{f' ({_listed(alike)} have as much)' if alike else ''}; --gpu says otherwise")


def _listed(devices: list[DeviceSpec]) -> str:
    names = [device.name for device in devices[:LISTED]]
    return ", ".join(names) + (" and others" if len(devices) > LISTED else "")
