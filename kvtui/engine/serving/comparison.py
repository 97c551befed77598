"""A boot log beside its prediction, component by component: what the comparisons of all engines are made of.

``components`` in an engine's folder puts them together. Where the engine's own arithmetic leads to a figure, the
component is exact, and a difference beyond the rounding of the printed digits is a fault of the prediction or of what
it was told; weights, activations and graphs stand beside a prior. Example: a log prints 1.00 GiB of cache, and its
blocks are of 2 MiB. The 0.995 to 1.005 GiB that are printed so hold 509 to 514 blocks: 512 logged blocks agree, 520
differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Literal, NamedTuple

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import GIB
from kvtui.engine.bootlog.observed import BootLog, Size
from kvtui.engine.engines.budget import Term
from kvtui.engine.engines.overheads import Overheads
from kvtui.engine.engines.result import Serving
from kvtui.engine.planning.serve import serve
from kvtui.engine.planning.stages import stages
from kvtui.engine.planning.weights import held_weight_bytes
from kvtui.engine.scenario.scenario import Scenario

Unit = Literal["bytes", "B", "tokens", "blocks", "layers", "slots", "cells", "percent", "requests"]
Verdict = Literal["agrees", "differs", "estimate", "unknown"]
Number = int | Fraction
Range = tuple[Number, Number, Number]
"""The least, the likeliest and the most."""

HUNDREDTH = Fraction(1, 200)
"""Half of the last of two printed digits."""

BUFFER_APART = "another number of slots, another cache format, or another build's padding"
WEIGHTS_APART = "encoders, scales and layers that are kept in another format are counted by the engine alone"
SAME_WEIGHTS = 0.01


class Component(NamedTuple):
    """One line of a comparison: ``predicted`` beside ``observed``, None where one side does not have it.

    ``verdict`` is agrees or differs where the prediction is exact, within what the printed digits leave open, estimate
    where it is a prior, and unknown where there is none. ``meaning`` says what a difference may come from. ``exact``
    says whether it follows from the model's shapes and the printed memory of the cache.
    """

    id: str
    label: str
    unit: Unit
    predicted: Number | None
    observed: Number | None
    verdict: Verdict
    meaning: str = ""
    exact: bool = False

    @property
    def difference(self) -> Number | None:
        """Predicted less observed."""
        if self.predicted is None or self.observed is None:
            return None
        return self.predicted - self.observed

    @property
    def percent(self) -> float | None:
        """The difference in percent of what was observed."""
        return float(100 * self.difference / self.observed) if self.difference is not None and self.observed else None


class ComparedLog(NamedTuple):
    """All components of a log, the prediction behind them, the overheads that it shows, and what to say of them."""

    serving: Serving
    rows: tuple[Component, ...]
    measured: Overheads
    notes: tuple[str, ...] = ()


class Reach(NamedTuple):
    """The engine's answers at the printed cache memory, and at the least and the most that is printed so."""

    low: Serving
    at: Serving
    high: Serving

    @property
    def exact(self) -> bool:
        """Whether the cache memory is known."""
        return not self.at.pool_is_estimate


def reach(scenario: Scenario, half: int) -> Reach:
    """What the engine makes of the scenario's KV pool, which was printed to within ``half`` bytes either way.

    Raises InputError as ``serve`` does.
    """
    at = serve(scenario)
    assert at is not None
    if scenario.kv_pool is None or not half:
        return Reach(at, at, at)
    ends = (serve(scenario._replace(kv_pool=max(1, scenario.kv_pool + by))) for by in (-half, half))
    low, high = (end for end in ends if end is not None)
    return Reach(low, at, high)


def component(
    key: str, label: str, unit: Unit, predicted: Range, observed: Range, meaning: str, exact: bool = True
) -> Component:
    """What may be predicted beside what may have been printed: the two agree where their ranges meet."""
    agrees = predicted[0] <= observed[2] and observed[0] <= predicted[2]
    verdict: Verdict = "agrees" if agrees else "differs" if exact else "estimate"
    return Component(key, label, unit, predicted[1], observed[1], verdict, "" if agrees else meaning, exact)


def exact_count(key: str, label: str, unit: Unit, predicted: int, seen: int, meaning: str) -> Component:
    """A whole number, printed in full."""
    return component(key, label, unit, (predicted,) * 3, (seen,) * 3, meaning)


def exact_size(key: str, label: str, predicted: int, seen: Size, meaning: str) -> Component:
    """Bytes, printed to some digits."""
    return component(key, label, "bytes", (predicted,) * 3, (seen.low, seen.bytes, seen.high), meaning)


def fixed(key: str, label: str, unit: Unit, predicted: int | None, log: BootLog, meaning: str) -> Iterator[Component]:
    """The log's count ``key``, which does not depend on the memory; nothing where the log is silent."""
    seen = log.counts.get(key)
    if seen is not None and predicted is not None:
        yield exact_count(key, label, unit, predicted, seen, meaning)
    elif seen is not None:
        yield Component(key, label, unit, None, seen, "unknown")


def decimal(
    key: str, label: str, unit: Unit, predicted: Range | None, log: BootLog, meaning: str, exact: bool = True
) -> Iterator[Component]:
    """The log's decimal ``key`` of two digits; nothing where the log is silent."""
    seen = log.ratios.get(key)
    if seen is not None and predicted is not None:
        printed = (seen - HUNDREDTH, seen, seen + HUNDREDTH)
        yield component(key, label, unit, predicted, printed, meaning, exact)
    elif seen is not None:
        yield Component(key, label, unit, None, seen, "unknown")


def counted(
    key: str, label: str, unit: Unit, found: Reach, log: BootLog, meaning: str, exact: bool = True
) -> Iterator[Component]:
    """The log's count ``key`` that follows from the memory, and has the same name in ``Serving``."""
    seen = log.counts.get(key)
    if seen is None:
        return
    counts = [getattr(serving, key) for serving in found]
    if any(count is None for count in counts):
        yield Component(key, label, unit, None, seen, "unknown")
        return
    low, at, high = counts
    yield component(key, label, unit, (low, at, high), (seen,) * 3, meaning, exact and found.exact)


def beside_prior(
    key: str, label: str, predicted: int | None, seen: Size | None, meaning: str = ""
) -> Iterator[Component]:
    """Bytes whose prediction is a prior, None if there is none; nothing where the log is silent."""
    if seen is None:
        return
    if predicted is None:
        yield Component(key, label, "bytes", None, seen.bytes, "unknown")
    else:
        agrees = seen.low <= predicted <= seen.high
        verdict: Verdict = "agrees" if agrees else "estimate"
        yield Component(key, label, "bytes", predicted, seen.bytes, verdict, "" if agrees else meaning)


def beside_term(key: str, label: str, expected: Term, seen: Size | None) -> Iterator[Component]:
    """A term of the budget, with its band; nothing where the log is silent.

    Example: "peak activation" expected as 1.88 GiB, 1.79 to 1.97, and logged as 1.89 is an estimate that holds; logged
    as 2.50 it lies beyond what was expected, which is said.
    """
    if seen is None:
        return
    within = expected.low <= seen.high and seen.low <= expected.high
    agrees = seen.low <= expected.bytes <= seen.high
    band = f"{expected.low / GIB:.2f} to {expected.high / GIB:.2f} GiB were expected"
    verdict: Verdict = "agrees" if agrees else "estimate"
    yield Component(key, label, "bytes", expected.bytes, seen.bytes, verdict, "" if agrees or within else band)


def weights_beside(predicted: int | None, seen: Size | None) -> Iterator[Component]:
    """Weights of the fullest device, without a prediction where they are unknown or skipped."""
    near = predicted is None or seen is None or abs(predicted - seen.bytes) <= SAME_WEIGHTS * seen.bytes
    yield from beside_prior("weights", "weights of a device", predicted, seen, "" if near else WEIGHTS_APART)


def held_weights(scenario: Scenario) -> int | None:
    """The tensors of the fullest device; None where they are unknown or skipped."""
    try:
        return max(held_weight_bytes(scenario, stage) for stage in stages(scenario)) or None
    except InputError:
        return None


def printed_bytes(size: Size | None) -> int | None:
    """The printed figure; None where nothing was printed."""
    return None if size is None else size.bytes
