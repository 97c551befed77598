"""What a scenario starts with on a device, by its class: the table of the kvcache.io visualiser.

The classes go by the nominal size in GB and by the kind of memory. A default is a place to start from and not a
promise that it fits: the visualiser counts a mixture's active weights only, this planner every expert.
"""

from __future__ import annotations

from typing import NamedTuple

from kvtui.engine.device.spec import DeviceSpec

START_SHARE = 0.01
FOLLOWING_THE_DEVICE = ("model", "context", "batch", "lengths", "cb", "pa", "fa")
"""The keys of the options that a device's class decides while none of them was chosen."""

_LARGE, _MEDIUM, _SMALL, _TINY = "Qwen3-Next-80B-A3B", "Llama-3.1-8B", "Phi-3.5-mini", "Llama-3.2-1B"
_BY_SIZE = (
    (384, 2048, _LARGE, 0.50),
    (192, 1024, _LARGE, 0.50),
    (128, 750, _LARGE, 0.40),
    (80, 512, _LARGE, 0.30),
    (40, 256, _MEDIUM, 0.25),
    (24, 128, _SMALL, 0.20),
    (16, 64, _TINY, 0.15),
    (0, 32, _TINY, 0.10),
)
_BATCH_BY_SIZE = ((80, 8), (40, 4), (16, 2), (0, 1))
_LARGE_SRAM_GB = 10
_BATCHING_GB, _FLASH_GB = 24, 16


class FirstChoice(NamedTuple):
    """A device's first scenario: ``context`` in tokens, and the catalogue's name of the ``model``.

    The film begins at ``start`` tokens: 1 % of the context, and at most ``start_fraction`` of it.
    """

    context: int
    batch: int
    model: str
    continuous_batching: bool
    paged_attention: bool
    flash_attention: bool
    start_fraction: float

    @property
    def values(self) -> dict[str, str | bool]:
        """The option values of that scenario, by key."""
        return {
            "model": self.model,
            "context": str(self.context),
            "batch": str(self.batch),
            "cb": self.continuous_batching,
            "pa": self.paged_attention,
            "fa": self.flash_attention,
        }

    @property
    def start(self) -> int:
        """The film's first position in tokens."""
        return int(self.context * min(START_SHARE, self.start_fraction))


def defaults_for(device: DeviceSpec) -> FirstChoice:
    """The defaults of ``device``'s class."""
    size, kind = device.nominal_gb, device.memory.kind.upper()
    sram, stacked = kind.startswith("SRAM"), kind.startswith("HBM")
    thousands, model, fraction = next(row[1:] for row in _BY_SIZE if size >= row[0])
    by_size = next(batch for least, batch in _BATCH_BY_SIZE if size >= least)
    return FirstChoice(
        context=thousands * 2**10,
        batch=(2 if size > _LARGE_SRAM_GB else 1) if sram else by_size,
        model=model,
        continuous_batching=sram or stacked or size >= _BATCHING_GB,
        paged_attention=sram,
        flash_attention=sram or stacked or size >= _FLASH_GB,
        start_fraction=fraction,
    )
