"""An accelerator: what memory it has, how fast it is, what it costs.

Bandwidths are decimal GB/s, compute is dense TFLOP/s (never with sparsity), a link is one direction of one device.
``usable_bytes`` is what the driver reports, which is what an engine can allocate from; ``nominal_gb`` is the name on
the box. ``None`` means not published, or not applicable.
"""

from __future__ import annotations

from typing import NamedTuple


class Memory(NamedTuple):
    """How the memory is built. ``modules`` stacks or chips of ``module_gib`` GiB; all are interleaved."""

    kind: str
    modules: int
    module_gib: float


class Price(NamedTuple):
    """USD per device and hour, the span seen in ``priced_on`` (year and month)."""

    low: float
    high: float
    priced_on: str


class DeviceSpec(NamedTuple):
    """One accelerator of the catalogue. ``confidence`` is H (read in a source), M (one source) or L (approximate)."""

    name: str
    vendor: str
    family: str
    nominal_gb: float
    usable_bytes: int
    memory: Memory
    bandwidth_gbs: float
    cache_mb: float | None
    peak_tflops: tuple[tuple[str, float], ...]
    link: str | None
    link_gbs: float | None
    pcie: str | None
    tdp_watts: float | None
    price: Price | None
    tile: int
    confidence: str
    source: str
    aliases: tuple[str, ...] = ()
    note: str | None = None
    unified: bool = False

    def peak(self, element: str) -> float | None:
        """Dense TFLOP/s for ``bf16``, ``fp8``, ``int8`` or ``fp4`` math; None if the device has none.

        A device without bf16 may have ``fp16``, and one whose 16-bit rate is not stated ``fp32``.
        """
        return dict(self.peak_tflops).get(element)
