"""Where the layers of a model lie: on devices, or in the machine's own memory, its RAM."""

from itertools import pairwise
from typing import NamedTuple

RAM = -1
"""The owner of what no device has."""


class Placement(NamedTuple):
    """The ``owners`` of a model's layers in order, drafting layers last, and of its ``output`` layer.

    An owner is a device by its number from 0, or RAM; layers of one owner are neighbours. ``cpu_moe`` is the number of
    layers, from the first, whose routed experts are in RAM whatever their owner. Caches lie with their layers if
    ``kv_offload``, else in RAM. Example: four layers on two devices, the first layer in RAM, are owned by -1, 0, 0, 1.
    """

    owners: tuple[int, ...]
    output: int
    devices: int
    cpu_moe: int = 0
    kv_offload: bool = True

    def layers(self, owner: int) -> range:
        """The layers of ``owner``, drafting ones included."""
        held = [number for number, at in enumerate(self.owners) if at == owner]
        return range(held[0], held[-1] + 1) if held else range(0)

    @property
    def gpu_layers(self) -> int:
        """How many layers devices own, the output layer counted as one."""
        return sum(at != RAM for at in (*self.owners, self.output))

    @property
    def whole(self) -> bool:
        """Whether devices hold all of the layers with their experts and caches."""
        return self.gpu_layers == len(self.owners) + 1 and not self.cpu_moe and self.kv_offload

    @property
    def borders(self) -> int:
        """How often a token's activations go from one memory to another and back on their way through the layers."""
        path = (RAM, *self.owners, self.output)
        changes = sum(before != after for before, after in pairwise(path))
        return changes + 2 * sum(at != RAM for at in self.owners[: self.cpu_moe])


class MemoryUse(NamedTuple):
    """What one memory of the machine holds, in bytes by cause: the device ``number``, or RAM.

    ``capacity`` is None where it is not known. ``layers`` is the number of layers whose weights lie here.
    """

    number: int
    capacity: int | None
    layers: int
    held: tuple[tuple[str, int], ...]

    @property
    def name(self) -> str:
        """``RAM``, or ``device 0``."""
        return "RAM" if self.number == RAM else f"device {self.number}"

    @property
    def shares_model(self) -> bool:
        """Whether more than what any start leaves to the CPU lies here: the embedding, and buffers to work in."""
        return any(cause not in ("embedding", "compute buffer") for cause, _ in self.held)

    @property
    def total(self) -> int:
        """All that it holds."""
        return sum(size for _, size in self.held)

    @property
    def missing(self) -> int:
        """Bytes that it has not; 0 where it holds all of it, or its capacity is not known."""
        return 0 if self.capacity is None else max(0, self.total - self.capacity)


class RamRead(NamedTuple):
    """What a decode step reads of the RAM in ``bytes``, of ``weights`` there, and how often it goes over PCIe.

    Each of the ``borders`` is between layers of which one is in RAM and the next on a device, or the other way round.
    """

    bytes: int
    weights: int
    borders: int


class BestSplit(NamedTuple):
    """The split that leaves the least to RAM: how many ``gpu_layers``, and the experts of how many layers in RAM.

    ``fits`` says whether it holds the context that was asked for. ``commands`` start it: a program and its words.
    """

    gpu_layers: int
    cpu_moe: int
    fits: bool
    ram_bytes: int
    commands: tuple[tuple[str, str], ...]
