"""This machine's devices: NVML or nvidia-smi, amd-smi or sysfs, sysctl, /proc. Each is asked for a few seconds."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from kvtui.engine.device.machine import Found, Machine, amd_smi, apple, cpuinfo, meminfo, nvidia_smi, sysfs_card, words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from kvtui.engine.scenario.values import Values

LOCAL = "local"
"""How a person calls this machine's devices."""

SECONDS = 3.0
_MOST_BYTES = 2**20
_CARDS = "/sys/class/drm"
_NVIDIA = ("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")
_AMD = ("amd-smi", "static", "--asic", "--vram", "--json")
_APPLE = ("sysctl", "-n", "machdep.cpu.brand_string", "hw.memsize")


class Reader(NamedTuple):
    """How a machine is asked; each way gives None, or nothing, where it cannot.

    ``run`` gives what a command prints, ``read`` a file's text, ``cards`` the folders of the machine's graphics cards,
    and ``nvml`` lines such as nvidia-smi's.
    """

    system: str
    run: Callable[[Sequence[str]], str | None]
    read: Callable[[str], str | None]
    cards: Callable[[], Sequence[str]]
    nvml: Callable[[], str | None]


def here(values: Values) -> Values:
    """Option ``values`` with this machine's devices in place of ``local``; what is said besides stays as it was said.

    Raises InputError where there is no device that is known.
    """
    if str(values.get("gpu") or "").strip().casefold() != LOCAL:
        return values
    given = {key: value for key, value in values.items() if value is not None and key != "gpu"}
    return {**values, **words(read_machine()), **given}


def read_machine(reader: Reader | None = None) -> Machine:
    """What is in this machine, as ``reader`` tells it."""
    ask = reader or Reader(sys.platform, _run, _read, _cards, _nvml)
    if ask.system == "darwin":
        text = ask.run(_APPLE)
        mac = apple(text or "")
        return mac._replace(tried=(("sysctl", _said(text, len(mac.devices))),))
    ram, processor = meminfo(ask.read("/proc/meminfo") or ""), cpuinfo(ask.read("/proc/cpuinfo") or "")
    nvml = ask.nvml()
    devices = nvidia_smi(nvml or "", "NVML")
    tried = [("NVML", _said(nvml, len(devices)))]
    if not devices:
        text = ask.run(_NVIDIA)
        devices = nvidia_smi(text or "")
        tried.append(("nvidia-smi", _said(text, len(devices))))
    text = ask.run(_AMD)
    radeons = amd_smi(text or "", ram)
    tried.append(("amd-smi", _said(text, len(radeons))))
    if not radeons:
        radeons = tuple(filter(None, (_card(folder, ask, ram) for folder in ask.cards())))
        tried.append(("sysfs", _said("", len(radeons))))
    return Machine((*devices, *radeons), ram, processor, tuple(tried))


def _card(folder: str, ask: Reader, ram: int | None) -> Found | None:
    vendor, device, memory = (
        ask.read(f"{folder}/{name}") or "" for name in ("vendor", "device", "mem_info_vram_total")
    )
    return sysfs_card(vendor, device, memory, ram)


def _said(text: str | None, count: int) -> str:
    if text is None:
        return "not there"
    return f"{count} device{'' if count == 1 else 's'}"


def _run(command: Sequence[str]) -> str | None:
    from shutil import which
    from subprocess import DEVNULL, SubprocessError, run

    if which(command[0]) is None:
        return None
    try:
        done = run(command, capture_output=True, stdin=DEVNULL, timeout=SECONDS, check=True)
    except (OSError, SubprocessError):
        return None
    return done.stdout[:_MOST_BYTES].decode(errors="replace")


def _read(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return file.read(_MOST_BYTES).decode(errors="replace")
    except OSError:
        return None


def _cards() -> Sequence[str]:
    """The folders of the graphics cards, the connectors of their screens (card0-DP-1) left out."""
    try:
        names = sorted(name for name in os.listdir(_CARDS) if name.startswith("card") and name[4:].isdecimal())
    except OSError:
        return ()
    return [f"{_CARDS}/{name}/device" for name in names]


def _nvml() -> str | None:
    """NVML's devices through nvidia-ml-py, where that is installed; a driver that hangs is not waited for."""
    from threading import Thread

    lines: list[str] = []

    def ask() -> None:
        try:
            import pynvml

            pynvml.nvmlInit()
            try:
                for number in range(pynvml.nvmlDeviceGetCount()):
                    handle = pynvml.nvmlDeviceGetHandleByIndex(number)
                    name = pynvml.nvmlDeviceGetName(handle)
                    name = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
                    lines.append(f"{name}, {_total(pynvml, handle)}")
            finally:
                pynvml.nvmlShutdown()
        except Exception:  # noqa: BLE001  whatever a driver or a package of that name raises
            lines.clear()

    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(SECONDS)
    return "\n".join(lines) if lines and not thread.is_alive() else None


def _total(pynvml: object, handle: object) -> str:
    """MiB of a device; a device that shares the system's memory has no frame buffer to tell of."""
    try:
        return str(pynvml.nvmlDeviceGetMemoryInfo(handle).total >> 20)  # type: ignore[attr-defined]
    except Exception:  # noqa: BLE001
        return "not told"
