"""What an engine keeps beside the cache: as a boot log of it says, or as a prior expects."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Overheads(NamedTuple):
    """What an engine keeps beside the cache, in bytes per device; None is unknown.

    Of a boot log, ``engine`` was measured, empty for any, and the weights are those of ``weights_of``, a scenario's
    ``weights_key``.
    """

    name: str
    weights: int | None = None
    activation: int | None = None
    graphs: int | None = None
    non_torch: int | None = None
    engine: str = ""
    weights_of: str = ""


class Kept(NamedTuple):
    """Bytes of one device that are not the cache's, each of them settled."""

    weights: int
    activation: int
    graphs: int
    non_torch: int

    @property
    def total(self) -> int:
        """All of them."""
        return sum(self)


def kept(measured: Overheads | None, prior: Overheads, weights: Callable[[], int]) -> Kept:
    """What one device keeps: each part as ``measured``, else as the ``prior`` has it, else nothing.

    ``weights`` is asked where they were not measured; it may raise InputError, since not every model's are known.
    Example: measured are 15 GB of weights and 0.2 GB outside of torch, and the prior has 1 GB of activations and 0.5 GB
    outside of torch. Then 15 + 1 + 0 + 0.2 GB are kept, and nobody asks how many parameters the model has.
    """
    known = measured or Overheads("")

    def settled(found: int | None, expected: int | None) -> int:
        return (expected or 0) if found is None else found

    return Kept(
        weights=weights() if known.weights is None else known.weights,
        activation=settled(known.activation, prior.activation),
        graphs=settled(known.graphs, prior.graphs),
        non_torch=settled(known.non_torch, prior.non_torch),
    )
