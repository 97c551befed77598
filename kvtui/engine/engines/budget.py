"""How an engine divides a device's memory before it allocates its cache: what it keeps, each part with a cause."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import NamedTuple

from kvtui.engine.engines.overheads import Overheads

TermValues = tuple[tuple[str, int | float | str], ...]

LABELS = {
    "weights": "weights",
    "activation": "peak activation",
    "non_torch": "outside of torch",
    "graphs": "CUDA graphs",
    "margin": "left free",
}


class Term(NamedTuple):
    """One part of the memory beside the cache, in bytes of one device.

    ``low`` and ``high`` are the band of an estimate and equal ``bytes`` where it is exact. ``formula`` is over the
    named ``values``. ``confidence`` is H (read in a source or a log), M (one source) or L (approximate).
    """

    id: str
    bytes: int
    low: int
    high: int
    formula: str
    values: TermValues
    source: str
    confidence: str

    @property
    def label(self) -> str:
        """What it is, for people."""
        return LABELS[self.id]


class Budget(NamedTuple):
    """The memory of one device as an engine divides it: a ``share`` of its ``device`` bytes, less the ``terms``.

    What stands ``beside`` is kept too, but out of the rest of the device. Example: an H100 has 79.19 GiB, 0.9 of which
    are 71.27; with 14.96 of weights, 1.88 of activations and 0.25 outside of torch 54.18 GiB are left for the cache.
    """

    device: int
    share: Fraction
    terms: tuple[Term, ...]
    beside: tuple[Term, ...] = ()

    @property
    def requested(self) -> int:
        """Bytes that the engine was told to use."""
        return int(self.device * self.share)

    @property
    def pool(self) -> int:
        """Bytes that are left for the cache; below zero by what is missing for the engine to start at all."""
        return self.requested - sum(term.bytes for term in self.terms)

    @property
    def pool_band(self) -> tuple[int, int]:
        """The least and the most that may be left."""
        return self.requested - sum(t.high for t in self.terms), self.requested - sum(t.low for t in self.terms)

    def bytes_of(self, id: str) -> int:
        """Bytes of the term called ``id``; 0 if there is none."""
        return sum(term.bytes for term in (*self.terms, *self.beside) if term.id == id)


def exact(id: str, size: int, formula: str, source: str, values: TermValues = ()) -> Term:
    """A term without a band."""
    return Term(id, size, size, size, formula, values, source, "H")


def settled(measured: Overheads | None, terms: Mapping[str, Callable[[], Term]]) -> tuple[Term, ...]:
    """The ``terms`` by id, each as a machine profile ``measured`` it, else as it is worked out.

    What was measured is not worked out: the weights of a model without a known count raise InputError only when asked.
    """
    found = []
    for id, work_out in terms.items():
        size = getattr(measured, id, None)
        found.append(
            work_out() if size is None or measured is None else exact(id, size, id, f"profile {measured.name}")
        )
    return tuple(found)
