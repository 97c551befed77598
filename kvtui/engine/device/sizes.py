"""How much of a device's memory software has: by the device's maker, and for a size that somebody gives."""

from __future__ import annotations

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import GIB, MIB, format_bytes
from kvtui.engine.device.spec import DeviceSpec, Memory

LEAST_BYTES, MOST_BYTES = GIB, 64 * 2**40

DRIVER_KEEPS_BYTES, DRIVER_KEEPS_OF = 450 * MIB, 600
"""NVIDIA's driver on Linux keeps about 0.44 GiB and one part in 600: 0.46 GiB of a 32 GiB card, 0.93 of 278 GiB."""

METAL_SMALL_BYTES = 32 * GIB


def after_the_driver(usable: int) -> int:
    """What NVIDIA's driver leaves to programs of ``usable`` bytes: 23.52 GiB of a card of 24,564 MiB, as logged."""
    return usable - min(usable // 10, DRIVER_KEEPS_BYTES + usable // DRIVER_KEEPS_OF)


def metal_limit(memory: int) -> int:
    """What macOS lets a GPU have of ``memory`` bytes: two thirds up to 32 GiB, three quarters of more.

    From the recommendedMaxWorkingSetSize that Metal logs up to macOS 15: 22,907 MB of 32 GB, 51,540 MB of 64 GB. Later
    systems give more (55,663 MB of 64 GB), and ``sysctl iogpu.wired_limit_mb`` says another limit.
    """
    return memory * 2 // 3 if memory <= METAL_SMALL_BYTES else memory * 3 // 4


def resized(device: DeviceSpec, memory: int) -> DeviceSpec:
    """``device`` with ``memory`` bytes built in; what software has of them follows as on the device itself.

    A Mac of 64 GiB has 48 GiB for its GPU. Of a card's memory the driver reports the share that it reports of the
    card's own. Raises InputError for a size that no device has.
    """
    if not LEAST_BYTES <= memory <= MOST_BYTES:
        least, most = format_bytes(LEAST_BYTES), format_bytes(MOST_BYTES)
        raise InputError(f"memory: {format_bytes(memory)} is no device's memory: {least} to {most}")
    built = device.memory.modules * device.memory.module_gib * GIB
    share = min(1.0, device.usable_bytes / built)
    usable = metal_limit(memory) if device.vendor == "Apple" else int(memory * share)
    kept = device.vendor == "NVIDIA" and not device.unified
    return device._replace(
        nominal_gb=memory / GIB,
        usable_bytes=usable,
        allocatable_bytes=after_the_driver(usable) if kept else usable,
        allocatable_logged=False,
        memory=Memory(device.memory.kind, device.memory.modules, memory / GIB / device.memory.modules),
        resized=memory,
    )
