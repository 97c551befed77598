"""Predicted beside recorded memory of llama.cpp's starts: ``python -m benchmarks.llamacpp`` in the repository.

A row per family of the recorded starts (``tests/data/llamacpp``): how many, how many to the printed digit, and the
median and the worst difference of the compute buffer in percent, and its causes where it is worst; then the caches, K
and V by themselves; then public logs of devices. Goals: K and V exact, compute buffers within 5 % or 1 MiB, those of
devices within 10 %.
"""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import Any, NamedTuple

from kvtui.engine.basis.units import MIB
from kvtui.engine.model.caches import Attention, Latent
from kvtui.engine.serving.llamacpp.budget import computes, own_cells
from kvtui.engine.serving.llamacpp.compute import host_compute
from tests.engine.serving.llamacpp.recorded import DEVICES, device_start, model_of, rows, start_of

PRINTED_MIB, GOAL_MIB, GOAL, DEVICE_GOAL = 0.02, 1.0, 0.05, 0.1


class Apart(NamedTuple):
    """A predicted figure beside a recorded one, in MiB."""

    predicted: float
    recorded: float
    causes: str

    @property
    def error(self) -> float:
        """The difference as a share of what was recorded."""
        return abs(self.predicted - self.recorded) / max(self.recorded, PRINTED_MIB)

    @property
    def exact(self) -> bool:
        """Whether both are printed alike."""
        return abs(self.predicted - self.recorded) <= PRINTED_MIB

    def within(self, goal: float) -> bool:
        """Whether the difference is a share of ``goal`` at most, or less than 1 MiB."""
        return self.error <= goal or abs(self.predicted - self.recorded) <= GOAL_MIB


def compute(row: dict[str, Any]) -> Apart:
    """The compute buffer of a recorded start."""
    found = host_compute(model_of(row["shape"]), start_of(row["start"]))
    causes = ", ".join(f"{name} {size / MIB:.1f}" for name, size in found.causes[:4])
    return Apart(found.size / MIB, row["compute"][0], causes)


def keys_and_values(row: dict[str, Any]) -> list[Apart]:
    """K and V of all attention layers of a recorded start."""
    start, k, v = start_of(row["start"]), 0, 0
    for cache, layers in model_of(row["shape"]).caches:
        cells = start.cells.cells
        if isinstance(cache, Attention):
            if cache.cap is not None:
                cells = start.cells.windowed(cache.cap, start.cells.slots if start.cells.streams == 1 else 1)
            k += layers * cells * start.k.row_bytes(cache.kv_heads, cache.k_dim)
            v += layers * cells * start.v.row_bytes(cache.kv_heads, cache.v_dim)
        elif isinstance(cache, Latent):
            k += layers * cells * start.k.row_bytes(1, cache.rank + cache.rope)
    recorded = [sum(cache[column] for cache in row["caches"]) for column in (3, 4)]
    return [Apart(start.cells.streams * size / MIB, seen, "") for size, seen in zip((k, v), recorded, strict=True)]


def told(name: str, found: list[Apart], goal: float) -> None:
    """A line for all of ``found``."""
    worst = max(found, key=lambda one: one.error)
    print(
        f"{name:26} {len(found):5,} {sum(one.exact for one in found):5,} {sum(one.within(goal) for one in found):6,} "
        f"{100 * median(one.error for one in found):7.2f} % {100 * worst.error:7.2f} %  "
        f"{worst.predicted:9.2f} for {worst.recorded:9.2f}  {worst.causes}"
    )


def main() -> None:
    """Print all rows."""
    print(f"{'':26} {'rows':>5} {'exact':>5} {'within':>6} {'median':>9} {'worst':>9}  the worst, in MiB")
    by_family: dict[str, list[Apart]] = defaultdict(list)
    caches: list[Apart] = []
    for row in rows():
        by_family[row["shape"]["family"]].append(compute(row))
        caches += keys_and_values(row)
    for family, found in sorted(by_family.items()):
        told(family, found, GOAL)
    told("all compute buffers", [one for found in by_family.values() for one in found], GOAL)
    told("K and V", caches, 0)
    devices: list[Apart] = []
    for logged in DEVICES:
        started, mib = device_start(logged)
        largest = max(computes(started, own_cells(started)), key=lambda reserved: reserved.size)
        causes = ", ".join(f"{name} {size / MIB:.1f}" for name, size in largest.causes)
        devices.append(Apart(largest.size / MIB, mib, causes))
        told(f"{logged[0]} {logged[1]}", devices[-1:], DEVICE_GOAL)
    told("all devices", devices, DEVICE_GOAL)


if __name__ == "__main__":
    main()
