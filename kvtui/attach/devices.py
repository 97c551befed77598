"""Counters of this machine's accelerators: NVML's through nvidia-ml-py, AMD's through amdsmi, where one is installed.

Memory says nothing of how full a cache is: engines take their pool at the start. Power, energy and the share of the
memory's bandwidth say what the tokens cost. They stand beside a server of this machine only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from kvtui.attach.events import LOOPBACK
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.live.servers import Reply
from kvtui.engine.live.snapshot import DeviceReading, Snapshot

MOST_DEVICES = 64
_UNAVAILABLE = 0xFFFF


class DeviceCounters:
    """The counters of this machine's devices, put into the snapshots of a server at ``address``, if that is here too.

    What a driver refuses is not told. ``readers`` are what is tried, the first with a device counts.
    """

    def __init__(self, address: str, readers: tuple[Callable[[], list[Any]], ...] | None = None) -> None:
        self._here = (urlsplit(address).hostname or "") in LOOPBACK
        self._readers = (nvidia_devices, amd_devices) if readers is None else readers
        self._devices: list[Callable[[], DeviceReading]] | None = None

    def extend(self, snapshot: Snapshot, once: Mapping[str, Reply]) -> Snapshot:
        """``snapshot`` with the devices' counters as they are now."""
        if not self._here:
            return snapshot
        if self._devices is None:
            self._devices = next(filter(None, (reader() for reader in self._readers)), [])
        return replace(snapshot, devices=tuple(read() for read in self._devices))

    def close(self) -> None:
        """Let go of the devices; the drivers' libraries end with the process."""
        self._devices = None


def nvidia_devices() -> list[Callable[[], DeviceReading]]:
    """A reader for each device of NVML; none where it is not there."""
    try:
        import pynvml

        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(number) for number in range(pynvml.nvmlDeviceGetCount())]
    except Exception:  # noqa: BLE001  whatever a driver or a package of that name raises
        return []
    return [_NvidiaDevice(pynvml, handle).read for handle in handles[:MOST_DEVICES]]


class _NvidiaDevice:
    """One device of NVML, with the sample of its last reading: bandwidth is a difference of two."""

    def __init__(self, nvml: Any, handle: Any) -> None:
        self._nvml, self._handle = nvml, handle
        name = _told(lambda: nvml.nvmlDeviceGetName(handle))
        self._name = plain(name.decode(errors="replace") if isinstance(name, bytes) else str(name or "device"), 80)
        self._sample: Any = None

    def read(self) -> DeviceReading:
        nvml, handle = self._nvml, self._handle
        memory = _told(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
        rates = _told(lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
        milliwatts = _told(lambda: nvml.nvmlDeviceGetPowerUsage(handle))
        millijoules = _told(lambda: nvml.nvmlDeviceGetTotalEnergyConsumption(handle))
        return DeviceReading(
            self._name,
            None if memory is None else int(memory.total),
            None if memory is None else int(memory.used),
            None if rates is None else rates.gpu / 100,
            self._bandwidth(),
            None if milliwatts is None else milliwatts / 1000,
            None if millijoules is None else millijoules / 1000,
        )

    def _bandwidth(self) -> float | None:
        """The share of the memory's peak rate since the last reading, by GPM (Hopper and later)."""
        nvml, handle = self._nvml, self._handle
        if self._sample is False:
            return None
        before, self._sample = self._sample, False
        with suppress(Exception):
            if not nvml.nvmlGpmQueryDeviceSupport(handle).isSupportedDevice:
                return None
            sample = nvml.nvmlGpmSampleAlloc()
            nvml.nvmlGpmSampleGet(handle, sample)
            self._sample = sample
            if before is None:
                return None
            wanted = nvml.c_nvmlGpmMetricsGet_t()
            wanted.version, wanted.numMetrics = nvml.NVML_GPM_METRICS_GET_VERSION, 1
            wanted.sample1, wanted.sample2 = before, sample
            wanted.metrics[0].metricId = nvml.NVML_GPM_METRIC_DRAM_BW_UTIL
            nvml.nvmlGpmMetricsGet(wanted)
            nvml.nvmlGpmSampleFree(before)
            return float(wanted.metrics[0].value) / 100
        return None


def amd_devices() -> list[Callable[[], DeviceReading]]:
    """A reader for each device of amdsmi; none where it is not there."""
    try:
        import amdsmi

        amdsmi.amdsmi_init()
        handles = amdsmi.amdsmi_get_processor_handles()
    except Exception:  # noqa: BLE001
        return []
    return [_AmdDevice(amdsmi, handle).read for handle in handles[:MOST_DEVICES]]


class _AmdDevice:
    def __init__(self, smi: Any, handle: Any) -> None:
        self._smi, self._handle = smi, handle
        asic = _told(lambda: smi.amdsmi_get_gpu_asic_info(handle)) or {}
        self._name = plain(str(asic.get("market_name") or "device"), 80)

    def read(self) -> DeviceReading:
        smi, handle = self._smi, self._handle
        memory = _told(lambda: smi.amdsmi_get_gpu_vram_usage(handle)) or {}
        activity = _told(lambda: smi.amdsmi_get_gpu_activity(handle)) or {}
        power = _told(lambda: smi.amdsmi_get_power_info(handle)) or {}
        total, used = (_figure(memory.get(name)) for name in ("vram_total", "vram_used"))
        busy, bandwidth = (_figure(activity.get(name)) for name in ("gfx_activity", "umc_activity"))
        watts = _figure(power.get("current_socket_power")) or _figure(power.get("average_socket_power"))
        return DeviceReading(
            self._name,
            None if total is None else int(total) << 20,
            None if used is None else int(used) << 20,
            None if busy is None else busy / 100,
            None if bandwidth is None else bandwidth / 100,
            watts,
        )


def _figure(value: Any) -> float | None:
    """A number of amdsmi, which says N/A, or all bits set, for what it does not know."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value == _UNAVAILABLE:
        return None
    return float(value)


def _told(ask: Callable[[], Any]) -> Any:
    """What the driver answers; None where it refuses."""
    try:
        return ask()
    except Exception:  # noqa: BLE001
        return None
