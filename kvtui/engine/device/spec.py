"""An accelerator: what memory it has, how fast it is, what it costs.

Bandwidths are decimal GB/s, compute is dense TFLOP/s (never with sparsity), a link is one direction of one device.
``nominal_gb`` is the name on the box, ``usable_bytes`` what the driver reports and ``allocatable_bytes`` what is left
of that for programs, which is what an engine divides. ``None`` means not published, or not applicable.
"""

from typing import Literal, NamedTuple

Platform = Literal["cuda", "rocm", "xpu", "cpu", "other"]
_PLATFORMS: dict[str, Platform] = {"NVIDIA": "cuda", "AMD": "rocm", "Intel": "xpu", "CPU": "cpu"}


OWN = "own"
"""The vendor of a device of one's own, which is in no catalogue."""


class Memory(NamedTuple):
    """How the memory is built. ``modules`` stacks or chips of ``module_gib`` GiB; all are interleaved."""

    kind: str
    modules: int
    module_gib: float


class Price(NamedTuple):
    """USD per device and hour, the span seen in ``priced_on`` (year and month; empty where somebody gave it)."""

    low: float
    high: float
    priced_on: str


class DeviceSpec(NamedTuple):
    """One accelerator of the catalogue. ``confidence`` is H (read in a source), M (one source) or L (approximate).

    ``allocatable_logged`` says whether servers printed ``allocatable_bytes``; otherwise they follow from a rule.
    ``resized`` are the bytes of memory that somebody gave it instead of its own.
    """

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
    allocatable_bytes: int = 0
    allocatable_logged: bool = False
    compute_capability: tuple[int, int] | None = None
    multiprocessors: int | None = None
    resized: int | None = None

    @property
    def platform(self) -> Platform:
        """The software that runs on it: CUDA, ROCm, Intel's XPU, a server's CPU, or a maker's own.

        Example: an RTX 4090 is "cuda", an MI300X "rocm", an Arc "xpu", and a TPU "other".
        """
        return _PLATFORMS.get(self.vendor, "other")

    def peak(self, element: str) -> float | None:
        """Dense TFLOP/s for ``bf16``, ``fp8``, ``int8`` or ``fp4`` math; None if the device has none.

        A device without bf16 may have ``fp16``, and one whose 16-bit rate is not stated ``fp32``.
        """
        return dict(self.peak_tflops).get(element)
