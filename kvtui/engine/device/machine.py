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

if TYPE_CHECKING:
    from kvtui.engine.device.spec import DeviceSpec

MOST_DEVICES = 64
NEAR = 0.03
"""A reading that is this near to what the catalogue says of a device is that device's own memory."""

_LONGEST_NAME = 80
_AMD = "0x1002"
_AMD_CHIPS = {
    ("0x744c", 24): "RX 7900 XTX",
    ("0x744c", 20): "RX 7900 XT",
    ("0x744c", 16): "RX 7900 GRE",
    ("0x747e", 16): "RX 7800 XT",
    ("0x747e", 12): "RX 7700 XT",
    ("0x7480", 16): "RX 7600 XT",
    ("0x7480", 8): "RX 7600",
    ("0x73df", 12): "RX 6700 XT",
    ("0x73ff", 8): "RX 6600",
    ("0x7590", 16): "RX 9060 XT 16GB",
    ("0x7590", 8): "RX 9060 XT 8GB",
    ("0x7550", 16): "RX 9070",
    ("0x74a1", 192): "Instinct MI300X",
    ("0x740f", 64): "Instinct MI210",
    ("0x738c", 32): "Instinct MI100",
}
"""AMD's chips by their PCI number and GiB, where these tell the card; of several that share them the slower one."""

_STRIX_HALO = "0x1586"
_PROCESSORS = (
    (r"epyc 9\d{2}5", "CPU DDR5-6000 12-channel"),
    (r"epyc 9\d{2}4", "CPU DDR5-4800 12-channel"),
    (r"epyc 7\w{3}", "CPU DDR4-3200 8-channel"),
    (r"threadripper pro 7", "CPU DDR5-5200 8-channel"),
    (r"threadripper pro [35]", "CPU DDR4-3200 8-channel"),
    (r"threadripper 7", "CPU DDR5-5200 4-channel"),
    (r"ryzen \d (?:pro )?[79]\d{3}", "CPU DDR5-5600 dual-channel"),
    (r"ryzen \d (?:pro )?[1-5]\d{3}", "CPU DDR4-3200 dual-channel"),
    (r"xeon.* (?:platinum|gold|silver) [4568]4\d{2}", "CPU DDR5-4800 8-channel"),
    (r"xeon.* (?:platinum|gold|silver) [4568]2\d{2}", "CPU DDR4-2933 6-channel"),
    (r"core.* ultra", "CPU DDR5-6400 dual-channel"),
    (r"1[2-4]th gen.* core", "CPU DDR5-5600 dual-channel"),
    (r"i[3579]-(?:[6-9]|1[01])\d{3}", "CPU DDR4-3200 dual-channel"),
)
"""Processors by the words of /proc/cpuinfo; of those that take two kinds of memory, the newer."""

_UNKNOWN_PROCESSOR = "CPU DDR4-3200 dual-channel"


class Found(NamedTuple):
    """A device as ``tool`` told it: the ``name`` that its driver gives, and bytes of ``memory`` where those were told.

    ``built_in`` says that the memory is all that is in the machine, and not what the driver reports of it.
    """

    name: str
    memory: int | None
    tool: str
    built_in: bool = False


class Machine(NamedTuple):
    """What was found: ``devices``, bytes of ``ram`` as the system sees it, the ``processor``, what each tool said."""

    devices: tuple[Found, ...] = ()
    ram: int | None = None
    processor: str = ""
    tried: tuple[tuple[str, str], ...] = ()


def nvidia_smi(text: str, tool: str = "nvidia-smi") -> tuple[Found, ...]:
    """Devices of lines ``NAME, MIB``; a device that shares the system's memory has none of its own to tell."""
    lines = (line.rpartition(",") for line in text.splitlines()[:MOST_DEVICES])
    return tuple(Found(_name(name), _whole(memory, MIB), tool) for name, _, memory in lines if name.strip())


def amd_smi(text: str) -> tuple[Found, ...]:
    """Devices of ``amd-smi static --asic --vram --json``. A text that is none gives none."""
    from json import loads

    try:
        listed = loads(text)
    except (ValueError, RecursionError):
        return ()
    listed = listed.get("gpu_data", ()) if isinstance(listed, dict) else listed
    found = []
    for one in listed[:MOST_DEVICES] if isinstance(listed, list) else ():
        asic, vram = (one.get(key) if isinstance(one, dict) else None for key in ("asic", "vram"))
        name = asic.get("market_name") if isinstance(asic, dict) else None
        size = vram.get("size") if isinstance(vram, dict) else None
        value = size.get("value") if isinstance(size, dict) else size
        if isinstance(name, str) and name.strip():
            found.append(Found(_name(name), _whole(str(value), MIB), "amd-smi"))
    return tuple(found)


def amd_card(vendor: str, device: str, memory: str, ram: int | None) -> Found | None:
    """The device of one card's files in sysfs: PCI numbers and bytes of its memory. None for other makers' cards.

    A Strix Halo is known by its RAM: what firmware sets aside for the GPU is less.
    """
    if vendor.strip() != _AMD:
        return None
    chip, size = device.strip()[:10], _whole(memory, 1)
    if chip == _STRIX_HALO:
        return Found("Ryzen AI Max+ 395", ram, "sysfs", built_in=True)
    name = _AMD_CHIPS.get((chip, round((size or 0) / GIB)), f"AMD {plain(chip, 10)}")
    return Found(name, size, "sysfs")


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
    if found.memory is not None:
        # 15.47 GiB are reported of a card of 16 GB, and 62.7 of a machine's 64.
        sized = f"{found.name} {round(found.memory / GIB)}GB"
        try:
            return find_device(sized)
        except InputError:
            pass
    return find_device(found.name)


def words(machine: Machine) -> dict[str, str]:
    """The option values that say this machine: its devices that are alike and have the most memory, and its RAM.

    Without an accelerator it is the processor. Raises InputError where the catalogue knows none of the devices.
    """
    specs: Counter[DeviceSpec] = Counter()
    memory: dict[DeviceSpec, int | None] = {}
    wrong: InputError | None = None
    for found in machine.devices:
        try:
            spec = known(found)
        except InputError as error:
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
    own = spec.nominal_gb * GIB if found.built_in else spec.usable_bytes
    if found.memory is None or abs(found.memory / own - 1) <= NEAR:
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
