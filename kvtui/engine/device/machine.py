"""This machine's devices: what its tools and files print, read as text from outside, and the catalogue's words for it.

Nothing is run or opened here. Example: two lines "NVIDIA GeForce RTX 3090, 24576" of nvidia-smi are two devices of 24
GiB, and ``words`` of them are --gpu "RTX 3090" --gpus 2.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import GIB, MIB, format_bytes
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.device.catalogue import find_device
from kvtui.engine.device.chips import AMD, BUILT_IN_BYTES, INTEL, STRIX_HALO, card_of

if TYPE_CHECKING:
    from kvtui.engine.device.spec import DeviceSpec

MOST_DEVICES = 64
NEAR, ROOM = 0.03, 0.06
"""A reading that is this near to what the catalogue says of a device is that device's own memory.

What firmware keeps of a machine's memory is less than the ``ROOM`` of it.
"""

_LONGEST_NAME = 80
_NO_NAMES = ("", "name")
_ASIDE = re.compile(r" lite hash rate| ?\((?:tm|r)\)", re.IGNORECASE)
"""What drivers say in a name that is no other device."""

_BUILT_IN_GB = (8, 16, 18, 24, 32, 36, 48, 64, 96, 128, 192, 256, 512)
"""RAM that machines with one memory for all are sold with; the system sees a little less."""

_PROCESSORS = (
    (r"epyc 9\d{2}5", "CPU DDR5-6000 12-channel"),
    (r"epyc 9\d{2}4", "CPU DDR5-4800 12-channel"),
    (r"epyc 7\w{3}", "CPU DDR4-3200 8-channel"),
    (r"threadripper pro 7", "CPU DDR5-5200 8-channel"),
    (r"threadripper pro [35]", "CPU DDR4-3200 8-channel"),
    (r"threadripper 7", "CPU DDR5-5200 4-channel"),
    (r"threadripper [1-3]", "CPU DDR4-3200 4-channel"),
    (r"ryzen ai (?!max)", "CPU LPDDR5X-7500 dual-channel"),
    (r"ryzen \d (?:pro )?[7-9]\d{3}", "CPU DDR5-5600 dual-channel"),
    (r"ryzen \d (?:pro )?[1-5]\d{3}", "CPU DDR4-3200 dual-channel"),
    (r"xeon.* (?:platinum|gold|silver) [4568]4\d{2}", "CPU DDR5-4800 8-channel"),
    (r"xeon.* (?:platinum|gold|silver) [4568]2\d{2}", "CPU DDR4-2933 6-channel"),
    (r"core.* ultra", "CPU DDR5-6400 dual-channel"),
    (r"1[2-4]th gen.* core|i[3579]-1[2-4]\d{3}", "CPU DDR5-5600 dual-channel"),
    (r"i[3579]-(?:[6-9]|1[01])\d{3}", "CPU DDR4-3200 dual-channel"),
)
"""Processors by the words of /proc/cpuinfo; of those that take two kinds of memory, the newer."""

_UNKNOWN_PROCESSOR = "CPU DDR4-3200 dual-channel"


class Found(NamedTuple):
    """A device as ``tool`` told it: the ``name`` that its driver gives, and bytes of ``memory`` where those were told.

    ``built_in`` says that the memory is all that is in the machine, and not what the driver reports of it.
    ``card`` is what its chip's number says it is, for names that say less.
    """

    name: str
    memory: int | None
    tool: str
    built_in: bool = False
    card: str = ""


class Machine(NamedTuple):
    """What was found: ``devices``, bytes of ``ram`` as the system sees it, the ``processor``, what each tool said."""

    devices: tuple[Found, ...] = ()
    ram: int | None = None
    processor: str = ""
    tried: tuple[tuple[str, str], ...] = ()


def nvidia_smi(text: str, tool: str = "nvidia-smi") -> tuple[Found, ...]:
    """Devices of lines ``NAME, MIB``; a device that shares the system's memory has none of its own to tell."""
    lines = (line.rpartition(",") for line in text.splitlines()[:MOST_DEVICES])
    return tuple(
        Found(_name(name), _whole(memory, MIB), tool) for name, _, memory in lines if name.strip(" ") not in _NO_NAMES
    )


def amd_smi(text: str, ram: int | None) -> tuple[Found, ...]:
    """Devices of ``amd-smi static --asic --vram --json`` on a machine with ``ram``. A text that is none gives none.

    Warnings may stand before the JSON. Older releases print a list, later ones an object with a list in it.
    """
    from json import JSONDecodeError, JSONDecoder

    start = re.search(r"(?m)^[\[{]", text)
    try:
        listed = JSONDecoder().raw_decode(text, start.start())[0] if start else None
    except (JSONDecodeError, RecursionError):
        return ()
    listed = listed.get("gpu_data", ()) if isinstance(listed, dict) else listed
    found = []
    for one in listed[:MOST_DEVICES] if isinstance(listed, list) else ():
        asic, vram = (one.get(key) if isinstance(one, dict) else None for key in ("asic", "vram"))
        name, chip = (asic.get(key) if isinstance(asic, dict) else None for key in ("market_name", "device_id"))
        size = vram.get("size") if isinstance(vram, dict) else None
        value = size.get("value") if isinstance(size, dict) else size
        if isinstance(name, str) and name.strip():
            memory = _whole(str(value), MIB)
            found.append(_amd(_name(name), str(chip).strip().casefold(), memory, ram, "amd-smi"))
    return tuple(found)


def sysfs_card(vendor: str, device: str, memory: str, ram: int | None) -> Found | None:
    """The device of one card's files in sysfs: PCI numbers and bytes of its memory. None for other makers' cards.

    Of Intel's only those that are known: the others are parts of processors.
    """
    maker, chip, size = vendor.strip(), device.strip()[:10].casefold(), _whole(memory, 1)
    if maker == AMD:
        return _amd(f"AMD {plain(chip, 10)}", chip, size, ram, "sysfs")
    name = card_of(INTEL, chip, None) if maker == INTEL else None
    return None if name is None else Found(name, None, "sysfs")


def _amd(name: str, chip: str, memory: int | None, ram: int | None, tool: str) -> Found:
    """One of AMD's. A Strix Halo is known by the machine's RAM: what firmware sets aside for its GPU is less."""
    if chip == STRIX_HALO or "8060S" in name:
        return Found("Ryzen AI Max+ 395", ram, tool, built_in=True)
    return Found(name, memory, tool, card=card_of(AMD, chip, memory) or "")


def apple(text: str) -> Machine:
    """A Mac by ``sysctl -n machdep.cpu.brand_string hw.memsize``: ``Apple M4 Max`` and bytes.

    Macs of another maker's chips have no device that is known.
    """
    brand, _, memory = text.strip().partition("\n")
    name, ram = _name(brand), _whole(memory, 1)
    found = (Found(name, ram, "sysctl", built_in=True),) if name.startswith("Apple M") else ()
    return Machine(found, ram, name)


def meminfo(text: str) -> int | None:
    """Bytes of RAM of /proc/meminfo."""
    found = re.search(r"(?m)^MemTotal: +([0-9]{1,12}) kB$", text[:4096])
    return int(found[1]) * 1024 if found else None


def cpuinfo(text: str) -> str:
    """The processor's name in /proc/cpuinfo."""
    found = re.search(r"(?m)^model name\s*: (.{1,200})$", text[:65536])
    return _name(found[1]) if found else ""


def known(found: Found) -> DeviceSpec:
    """The catalogue's device that was ``found``, by its name and, of names with several sizes, its memory.

    Raises InputError where the catalogue has none.
    """
    name = _ASIDE.sub("", found.name)
    if found.card:
        try:
            return find_device(name)
        except InputError:
            return find_device(found.card)
    if found.memory is not None:
        # 15.47 GiB are reported of a card of 16 GB, and 62.7 of a machine's 64.
        size = round(found.memory / GIB)
        if found.built_in:
            size = next((sold for sold in _BUILT_IN_GB if size <= sold <= size * (1 + ROOM)), size)
        try:
            return find_device(f"{name} {size}GB")
        except InputError:
            pass
    return find_device(name)


def words(machine: Machine) -> dict[str, str]:
    """The option values that say this machine: its devices that are alike and have the most memory, and its RAM.

    Without an accelerator, or with none but the small one of a processor, it is the processor. Raises InputError where
    the catalogue knows none of the devices.
    """
    specs: Counter[DeviceSpec] = Counter()
    memory: dict[DeviceSpec, int | None] = {}
    wrong: InputError | None = None
    for found in machine.devices:
        try:
            spec = known(found)
        except InputError as error:
            if found.memory is None or found.memory >= BUILT_IN_BYTES:
                wrong = wrong or InputError(f"gpu: this machine's {found.name}: {error}")
            continue
        specs[spec] += 1
        memory.setdefault(spec, _other_size(spec, found))
    if not specs:
        if wrong is not None:
            raise wrong
        return _processor(machine)
    best = max(specs, key=lambda spec: specs[spec] * (memory[spec] or spec.usable_bytes))
    said = {"gpu": best.name, "gpus": str(specs[best]), "memory": _gib(memory[best])}
    if machine.ram is not None and not best.unified:
        said["ram"] = _gib(machine.ram)
    return {key: value for key, value in said.items() if value and (key, value) != ("gpus", "1")}


def shown(found: Found) -> str:
    """One line about a device that was ``found``: its size, by which tool, and what it is in the catalogue."""
    size = "memory not told" if found.memory is None else format_bytes(found.memory)
    try:
        name = known(found).name
    except InputError:
        name = "not in the catalogue"
    return f"{found.name}, {size} by {found.tool}: {name}"


def _processor(machine: Machine) -> dict[str, str]:
    if machine.ram is None:
        raise InputError("gpu: no device was found on this machine; kvtui doctor says what was tried")
    name = next((cpu for pattern, cpu in _PROCESSORS if re.search(pattern, machine.processor.lower())), None)
    return {"gpu": name or _UNKNOWN_PROCESSOR, "memory": _gib(machine.ram)}


def _other_size(spec: DeviceSpec, found: Found) -> int | None:
    """The memory of a device that has not the catalogue's."""
    own, near = (spec.nominal_gb * GIB, ROOM) if found.built_in else (spec.usable_bytes, NEAR)
    if found.memory is None or abs(found.memory / own - 1) <= near:
        return None
    return round(found.memory / GIB) * GIB


def _gib(size: int | None) -> str:
    return "" if size is None else f"{max(1, size // GIB)}GiB"


def _name(text: str) -> str:
    return plain(text.strip(), _LONGEST_NAME)


def _whole(text: str, unit: int) -> int | None:
    """A positive whole number of ``unit`` bytes that a tool printed; None for what is none."""
    digits = text.strip().partition(" ")[0]
    return int(digits) * unit if digits.isascii() and digits.isdecimal() and 0 < len(digits) < 16 else None
