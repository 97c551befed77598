"""What an engine keeps beside the cache, as a boot log of it says."""

from __future__ import annotations

from typing import NamedTuple


class Overheads(NamedTuple):
    """What a boot log says that an engine keeps beside the cache, in bytes per device; None is unknown.

    ``engine`` was measured, empty for any; the weights are those of ``weights_of``, a scenario's ``weights_key``.
    """

    name: str
    weights: int | None = None
    activation: int | None = None
    graphs: int | None = None
    non_torch: int | None = None
    engine: str = ""
    weights_of: str = ""
