"""What an engine was seen to keep beside the cache."""

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
