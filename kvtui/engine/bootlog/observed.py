"""What a boot log says of a server's memory: sizes with the precision they were printed in, and harmless text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

SHORTEST_DECIMALS = 2


class Size(NamedTuple):
    """Bytes as a log prints them: the printed figure, rounded down, and ``half`` of its last digit, rounded up."""

    bytes: int
    half: int

    @property
    def low(self) -> int:
        """The fewest bytes that are printed so."""
        return max(0, self.bytes - self.half)

    @property
    def high(self) -> int:
        """The most bytes that are printed so."""
        return self.bytes + self.half

    def __add__(self, other: Size) -> Size:  # type: ignore[override]
        """Both together; the uncertainties add up."""
        return Size(self.bytes + other.bytes, self.half + other.half)


class LoggedBuffer(NamedTuple):
    """A cache as llama.cpp or SGLang lists it.

    ``kind`` is KV, SWA KV, R or S (llama.cpp), pool, conv or ssm (SGLang); ``cells`` are its entries and ``layers``
    the number the log states, None where it states none. ``rank`` is the process that printed it, or in llama.cpp the
    number of the context that it belongs to.
    """

    kind: str
    size: Size
    cells: int
    layers: int | None = None
    rank: str = ""


@dataclass(frozen=True)
class BootLog:
    """What was read of one start of one server.

    ``options`` are kvtui's scenario options by key, where the log says them. ``sizes`` are bytes by name and by the
    rank that printed them; ``counts`` whole numbers and ``ratios`` decimals, the smallest that any rank printed last;
    ``words`` text that is harmless to show. ``starts`` counts the starts in the file, of which the last is told here.
    ``missing`` says what a whole log of this engine would have told besides.
    """

    engine: str
    options: Mapping[str, str | bool]
    sizes: Mapping[str, Mapping[str, Size]]
    counts: Mapping[str, int]
    ratios: Mapping[str, Fraction]
    words: Mapping[str, str]
    buffers: tuple[LoggedBuffer, ...]
    starts: int
    missing: tuple[str, ...]

    def least(self, name: str) -> Size | None:
        """The smallest size of that ``name`` over the ranks; None if no rank printed one."""
        return min(self.sizes.get(name, {}).values(), default=None)

    def most(self, name: str) -> Size | None:
        """The largest size of that ``name`` over the ranks; None if no rank printed one."""
        return max(self.sizes.get(name, {}).values(), default=None)


def size(text: str, unit: int) -> Size:
    """``text``, decimals of ``unit`` bytes, with the uncertainty of its last digit.

    Engines round to two digits, and some of them drop zeros at the end: ``6.9`` is as precise as ``6.90``.
    """
    whole, _, decimals = text.partition(".")
    digits = max(len(decimals), SHORTEST_DECIMALS)
    printed = int(whole + decimals) * unit // 10 ** len(decimals)
    return Size(printed, -(-unit // (2 * 10**digits)))
