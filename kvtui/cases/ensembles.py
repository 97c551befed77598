"""What an ensemble benchmark measures, and the figures of its samples under the names of a published one.

The schema is that of a published benchmark of ensembles (``ttft``, ``decode`` → ``per_position``, ``per_gamma``), with
raw and filtered milliseconds. Its statistics are those of the middle of the sorted list, without interpolation; its
counts are of the measured calls alone here, and a time per token is null where no token was accepted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, median, pstdev
from typing import Any, Self

from kvtui.cases.statistics import without_outliers
from kvtui.engine.basis.errors import InputError

DIGITS = 4


@dataclass(frozen=True, slots=True)
class EnsemblePlan:
    """Sizes, what speculation tries, and how long each figure is measured.

    The model is ``checkpoint``, a run folder or weights file, else a random one of ``dim`` × ``layers``. Its last
    ``depth`` layers are the first of ``heads`` heads; the others are the same with ``noise``. ``draft_layers`` of it
    draft in plain speculation. Tokens are counted, milliseconds are per figure.
    """

    heads: int = 5
    depth: int = 1
    dim: int = 128
    layers: int = 4
    checkpoint: str = ""
    noise: float = 0.1
    draft_layers: int = 2
    prompt_length: int = 64
    generation_length: int = 96
    decode_step_interval: int = 16
    gammas: tuple[int, ...] = (2, 4, 8)
    beta: float = 0.25
    temperature: float = 1.0
    new_tokens: int = 64
    warmup_ms: float = 100.0
    rep_ms: float = 500.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises InputError for what cannot be measured."""
        if not 2 <= self.heads <= 64:
            raise InputError(f"heads: {self.heads} is not from 2 to 64")
        if not all(1 <= gamma <= 64 for gamma in self.gammas):
            raise InputError("gamma: not from 1 to 64")
        for name, value in (("beta", self.beta), ("noise", self.noise)):
            if not 0 < value <= 100:
                raise InputError(f"{name}: {value!r} is not above 0 and at most 100")
        if not 0 <= self.temperature <= 100:
            raise InputError(f"temperature: {self.temperature!r} is not from 0 to 100")

    def to_json(self) -> dict[str, Any]:
        """The plan as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The plan of ``to_json``."""
        return cls(**{**values, "gammas": tuple(values["gammas"])})

    @property
    def length(self) -> int:
        """Tokens that a cache has room for: the longest generation, and a round beyond it."""
        return self.prompt_length + max(self.generation_length, self.new_tokens) + max(self.gammas, default=1) + 2


PLANS = {
    "fast": EnsemblePlan(
        heads=3,
        dim=32,
        layers=2,
        draft_layers=1,
        prompt_length=8,
        generation_length=16,
        decode_step_interval=8,
        gammas=(2, 4),
        beta=0.5,
        new_tokens=16,
        warmup_ms=5.0,
        rep_ms=20.0,
    ),
    "default": EnsemblePlan(),
    "full": EnsemblePlan(dim=512, layers=8, depth=2, draft_layers=4, generation_length=448, decode_step_interval=64),
}
"""The plan of each size."""


def timings(raw: Sequence[float]) -> dict[str, Any]:
    """``raw_ms`` and, without what lies outside Tukey's fences, ``filtered_ms`` and its figures.

    Raises ValueError without samples.
    """
    kept = without_outliers(sorted(raw))
    figures = {
        "mean_ms": fmean(kept),
        "median_ms": kept[len(kept) // 2],
        "std_ms": pstdev(kept),
        "min_ms": kept[0],
        "max_ms": kept[-1],
        "p20_ms": kept[int(0.2 * len(kept))],
        "p80_ms": kept[int(0.8 * len(kept))],
    }
    rounded = {name: round(value, DIGITS) for name, value in figures.items()}
    return {"raw_ms": list(raw), "filtered_ms": kept, **rounded, "n": len(kept)}


def step_timings(raw: Sequence[float]) -> dict[str, Any]:
    """``timings`` of a decode step, with tokens per second."""
    found = timings(raw)
    return {**found, "tps": round(1e3 / found["median_ms"], DIGITS) if found["median_ms"] else None}


@dataclass(frozen=True, slots=True)
class CallCounts:
    """What one measured call gave: tokens ``accepted`` from the draft, ``resampled`` ones, ``emitted`` in all."""

    accepted: int
    resampled: int
    emitted: int
    rounds: int


def call_timings(raw: Sequence[float], counts: Sequence[CallCounts]) -> dict[str, Any]:
    """``timings`` of whole generations, with the counts of those very calls.

    ``effective_tps`` is of accepted tokens, as published, ``emitted_tps`` of all that a user sees; ``per_token_ms`` is
    the median over the accepted tokens of a call, None where there are none.
    """
    found = timings(raw)
    accepted, emitted = fmean(one.accepted for one in counts), fmean(one.emitted for one in counts)
    resampled, middle = fmean(one.resampled for one in counts), found["median_ms"]
    drafted = accepted + resampled
    return {
        **found,
        "avg_accepted_tokens_per_call": accepted,
        "resample_rate": resampled / drafted if drafted else None,
        "effective_tps": 1e3 * accepted / middle if middle else None,
        "n_calls": len(counts),
        "emitted_tps": 1e3 * emitted / middle if middle else None,
        "per_token_ms": middle / accepted if accepted else None,
        "avg_emitted_tokens_per_call": emitted,
        "median_rounds_per_call": median(one.rounds for one in counts),
    }
