"""Decode over several devices by tensor parallelism: what each holds and sends, by the planner's own formulas.

A rank has its share of the query heads and of the feed-forward layer. KV heads are divided too while there are enough
of them, and beyond that copied: ranks that share a head hold the same cache. A latent is every rank's own copy.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple, Self

from kvtui.cases.axes import row_at
from kvtui.cases.case import Case, TransformerShape
from kvtui.cases.prediction import HOST, kv_format, model_spec, scenario_of
from kvtui.engine.basis.errors import InputError
from kvtui.engine.checkpoint.known import checkpoint_format
from kvtui.engine.checkpoint.ranks import held_bytes
from kvtui.engine.model.caches import heads_per_rank
from kvtui.engine.model.formats import FORMATS
from kvtui.engine.model.spec import cache_bytes
from kvtui.engine.planning.cluster import ACTIVATION_BYTES, sent_in_step
from kvtui.engine.planning.roofline import Band, collectives
from kvtui.engine.planning.stages import stages
from kvtui.engine.scenario.scenario import Layout

VARIANTS = ("MHA", "GQA", "MQA", "MLA")
SIZES = {"fast": ("256x6", 64, 10), "default": ("512x8", 512, 40), "full": ("512x16", 2048, 100)}
"""The model, the tokens in the cache, and the calls that are timed."""
ROOM = 64


class RankPrediction(NamedTuple):
    """Of one device: bytes of its ``kv`` and ``weights``, and what it ``sent`` in a step of all sequences."""

    kv: int
    weights: int
    sent: int


@dataclass(frozen=True, slots=True)
class ShardedCase:
    """``case`` over ``tp`` devices. Raises InputError for what so many cannot share."""

    label: str
    case: Case
    tp: int

    def __post_init__(self) -> None:
        shape = self.case.shape
        model_spec(shape).check_tp(self.tp)
        for what, count in (("hidden elements", shape.hidden), ("rows of the vocabulary", shape.vocab)):
            if count % self.tp:
                raise InputError(f"tp: {self.tp} does not divide {count} {what}")
        if shape.experts or shape.window is not None or shape.positions != "rope" or self.case.cache != "contiguous":
            raise InputError("sharded: measures dense models with rotary positions and a contiguous cache")

    @property
    def parts(self) -> int:
        """Different caches: ranks beyond so many hold copies."""
        shape = self.case.shape
        return 1 if shape.latent else min(shape.kv_heads, self.tp)

    @property
    def local(self) -> TransformerShape:
        """The shape of one rank's share."""
        shape = self.case.shape
        heads = shape.heads // self.tp
        kv_heads = heads if shape.latent else heads_per_rank(shape.kv_heads, self.tp)
        return replace(shape, heads=heads, kv_heads=kv_heads, hidden=shape.hidden // self.tp)

    @property
    def all_reduces(self) -> int:
        """Sums over all ranks in a step: behind each attention and feed-forward layer, and behind the embedding."""
        return 2 * self.case.shape.blocks + 1

    @property
    def activation_bytes(self) -> int:
        """What is summed each time."""
        return FORMATS[self.case.shape.dtype].bytes(self.case.batch * self.case.shape.dim)

    def predicted(self) -> RankPrediction:
        """What the planner says of a device."""
        shape, model = self.case.shape, model_spec(self.case.shape)
        held = cache_bytes(model.caches, self.case.cache_length, kv_format(shape), self.tp).kv
        weights = held_bytes(model, checkpoint_format(shape.dtype, model), self.tp)
        scenario = self._scenario()
        sent = sent_in_step(scenario, stages(scenario)[0], last=True, sequences=self.case.batch)
        reduced = 0 if sent is None else sent.reduced * FORMATS[shape.dtype].bytes(1) // ACTIVATION_BYTES
        return RankPrediction(self.case.batch * held, weights, reduced)

    def collective_ms(self, link_gbs: float) -> Band:
        """The planner's band for what a step spends in sums, over links of ``link_gbs`` GB/s in one direction."""
        scenario = self._scenario()
        scenario = scenario._replace(device=scenario.device._replace(link_gbs=link_gbs))
        found = collectives(scenario, self.case.shape.blocks)
        if found is None:
            raise InputError("link: expected a rate above 0")
        wide = FORMATS[self.case.shape.dtype].bytes(1) / ACTIVATION_BYTES
        moved = found.per_sequence * wide * self.case.batch
        return Band(*(1e3 * (moved + fixed) for fixed in found.fixed))

    def ring_bytes(self, payload: int) -> int:
        """What a rank sends when a ring sums ``payload`` bytes: 2 · (n − 1)/n of them."""
        return 2 * (self.tp - 1) * payload // self.tp

    def to_json(self) -> dict[str, Any]:
        """As plain values, which ``from_json`` reads."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The case of ``to_json``. Raises InputError."""
        return cls(str(values["label"]), Case.from_json(values["case"]), int(values["tp"]))

    def _scenario(self) -> Any:
        found = scenario_of(self.case, self.case.cache_length)
        return found._replace(device=HOST, layout=Layout(tp=self.tp))


def sharded_cases(size: str, tps: Sequence[int], variants: Sequence[str] = VARIANTS) -> tuple[ShardedCase, ...]:
    """Each of the ``variants`` over each number of devices. Raises InputError for what so many cannot share."""
    model, tokens, _ = SIZES[size]
    found = []
    for attention in variants:
        row = row_at("sharded", model, {"attention": attention})
        shape = replace(row.case.shape, context=tokens + ROOM)
        case = replace(row.case, shape=shape, prompt=tokens)
        found += [ShardedCase(row.label, case, tp) for tp in tps]
    return tuple(found)
