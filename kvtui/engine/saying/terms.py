"""The sum behind a KV cache, term by term: layers × copies × bytes of one entry × entries, for each shape of cache.

The terms of a plan's sequences add up to its KV (before prefix sharing) and to its state, which the tests check for
every model of the catalogue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from kvtui.engine.model.caches import Attention, Indexer, Latent, Recurrent
from kvtui.engine.planning.allocation import Slot
from kvtui.engine.planning.parts import (
    SCORE_CHUNK,
    SCORE_TOKENS,
    SHORT_CONTEXT,
    all_caches,
    query_heads,
    score_matrix_bytes,
)
from kvtui.engine.scenario.scenario import Scenario


class CacheTerm(NamedTuple):
    """``layers`` layers with one shape of cache.

    ``copies`` is how often the tensor-parallel ranks of a replica store each entry, ``entry_bytes`` what one copy
    weighs over all of its ranks, ``entries`` how many there are over all sequences.
    """

    cache: Attention | Latent | Indexer
    layers: int
    copies: int
    entry_bytes: int
    entries: int

    @property
    def bytes(self) -> int:
        """Bytes over all devices."""
        return self.layers * self.copies * self.entry_bytes * self.entries


class StateTerm(NamedTuple):
    """``layers`` recurrent layers of one shape, with ``sequence_bytes`` per layer and sequence over all ranks."""

    cache: Recurrent
    layers: int
    sequence_bytes: int
    sequences: int

    @property
    def bytes(self) -> int:
        """Bytes over all devices."""
        return self.layers * self.sequence_bytes * self.sequences


def kv_terms(scenario: Scenario, sequences: tuple[Slot, ...]) -> tuple[CacheTerm, ...]:
    """The terms of everything that is indexed by token, for the tokens that ``sequences`` use."""
    tp, terms = scenario.layout.tp, []
    for cache, layers in all_caches(scenario):
        if isinstance(cache, Attention | Latent | Indexer):
            copies = _copies(cache, tp)
            entries = sum(slot.sequences * cache.entries(slot.used) for slot in sequences)
            terms.append(CacheTerm(cache, layers, copies, tp * cache.entry_bytes(scenario.kv, tp) // copies, entries))
    return tuple(terms)


def state_terms(scenario: Scenario) -> tuple[StateTerm, ...]:
    """The terms of the recurrent state of the scenario's whole batch."""
    tp = scenario.layout.tp
    return tuple(
        StateTerm(cache, layers, tp * cache.fixed_bytes(tp), scenario.batch)
        for cache, layers in all_caches(scenario)
        if isinstance(cache, Recurrent)
    )


def shared_tokens(scenario: Scenario, sequences: tuple[Slot, ...]) -> int:
    """Tokens of the common prefix's whole blocks that ``sequences``, longest first, hold without storing them."""
    return _not_stored(scenario, sequences, lambda tokens: tokens)


def shared_bytes(scenario: Scenario, sequences: tuple[Slot, ...]) -> int:
    """Bytes over all devices that sharing the prefix spares among ``sequences``, longest first.

    Every replica stores what its longest sequence has reached of the prefix's whole blocks, the others nothing of it.
    """
    if not scenario.shared_prefix:
        return 0
    return sum(
        term.layers * term.copies * term.entry_bytes * _not_stored(scenario, sequences, term.cache.entries)
        for term in kv_terms(scenario, sequences)
        if term.cache.growth in ("growing", "indexer")
    )


def _not_stored(scenario: Scenario, sequences: tuple[Slot, ...], entries: Callable[[int], int]) -> int:
    """Entries of the prefix's whole blocks over all sequences, less those of the longest sequence of each replica."""
    whole = scenario.shared_prefix // scenario.block_size * scenario.block_size
    spared, replicas = 0, scenario.layout.dp
    for slot in sequences:
        longest = min(slot.sequences, replicas)
        replicas -= longest
        spared += (slot.sequences - longest) * entries(min(slot.used, whole))
    return spared


def _copies(cache: Attention | Latent | Indexer, tp: int) -> int:
    match cache:
        case Attention(kv_heads=heads):
            return max(1, tp // heads)
        case _:
            return tp


class ScoreTerm(NamedTuple):
    """The attention scores of one chunk: (queries × keys - tile²) × heads × sequences × 2 bytes.

    A ``tenth`` of that counts below 2,048 tokens. ``bytes`` is at most half the device's nominal memory; ``capped``
    says that this is what it is.
    """

    queries: int
    keys: int
    tile: int
    heads: int
    sequences: int
    tenth: bool
    bytes: int

    @property
    def capped(self) -> bool:
        """Whether the product is more than half the device's memory."""
        product = max(0, self.queries * self.keys - self.tile**2) * self.heads * self.sequences * 2
        return self.bytes < (product // 10 if self.tenth else product)


def score_term(scenario: Scenario, tokens: int) -> ScoreTerm:
    """The scores of all sequences at ``tokens`` tokens, with the values that ``plan.score_matrix_bytes`` puts in."""
    keys = min(tokens, SCORE_TOKENS)
    return ScoreTerm(
        queries=min(SCORE_CHUNK, keys),
        keys=keys,
        tile=scenario.device.tile,
        heads=query_heads(scenario.model),
        sequences=scenario.batch,
        tenth=tokens < SHORT_CONTEXT,
        bytes=score_matrix_bytes(scenario, tokens, scenario.batch),
    )
