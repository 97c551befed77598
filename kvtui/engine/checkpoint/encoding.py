"""How one matrix is stored: packed elements, the scales and zeros of its groups, and what comes once per matrix.

Every scheme is the same arithmetic with other numbers. Example: a 4096 × 4096 matrix in AWQ with groups of 128 has
4-bit elements (8 MiB), and for each of 4096 × 32 groups a 16-bit scale and a packed 4-bit zero (320 KiB).
"""

from math import ceil
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from fractions import Fraction

ALL = 0
"""A group that spans the whole dimension."""


class Encoding(NamedTuple):
    """Storage of a matrix of ``rows`` out-features × ``columns`` in-features.

    ``bits`` per element; ``scale_bits`` (zeros and offsets included) for each group of ``group`` rows × columns, where
    ALL means the whole dimension; ``input_bits`` per in-feature and ``output_bits`` per out-feature; ``matrix_bytes``
    once. Where scales are quantised themselves, ``nested`` of them share an fp32 one. ``loaded`` is how an engine holds
    the matrix if not as it is stored.
    """

    bits: "int | Fraction"
    group: tuple[int, int] = (ALL, ALL)
    scale_bits: int = 0
    input_bits: int = 0
    output_bits: int = 0
    matrix_bytes: int = 0
    nested: int = 0
    loaded: "Encoding | None" = None

    def bytes(self, rows: int, columns: int) -> int:
        """Bytes of one matrix, each stored tensor in whole bytes."""
        groups = _groups(rows, self.group[0]) * _groups(columns, self.group[1])
        nested = 4 * ceil(groups / self.nested) if self.nested else 0
        bits = rows * columns * self.bits, groups * self.scale_bits, columns * self.input_bits, rows * self.output_bits
        return sum(ceil(part / 8) for part in bits) + nested + self.matrix_bytes

    @property
    def held(self) -> "Encoding":
        """How an engine holds the matrix."""
        return self.loaded or self

    def fits(self, columns: int) -> bool:
        """Whether rows of ``columns`` elements are whole groups."""
        return self.group[1] == ALL or columns % self.group[1] == 0


def _groups(size: int, group: int) -> int:
    return 1 if group == ALL else ceil(size / group)
