"""How vLLM groups layers that share block tables, so that every block weighs the same.

Caches of one type form a single group whose block holds a page of every layer. Otherwise pages are made equal, and the
layers of each type are dealt to groups of the same number of layers, the last of which may be padded. Every group has
its own block table over one pool, so a request takes the sum of its groups' blocks. (vLLM's ``get_kv_cache_groups``,
0.10 to 0.33.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kvtui.engine.serving.vllm.blocks import Spec, Workload, admission

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtui.engine.serving.vllm.releases import Rules


class Placed(NamedTuple):
    """A layer's cache and the pipeline stage that holds it."""

    stage: int
    spec: Spec


class Group(NamedTuple):
    """Layers with one block table. Tokens of a block and admission are those of ``specs``, all of one kind."""

    specs: tuple[Placed, ...]

    @property
    def block(self) -> int:
        """Tokens of a block."""
        return self.specs[0].spec.block

    @property
    def kind(self) -> str:
        """What its layers do, in vLLM's terms: full, window, chunk, cross or state."""
        return self.specs[0].spec.kind

    def pages(self, stage: int | None = None) -> int:
        """Bytes that a block takes in this group's layers of ``stage`` (None: of all stages)."""
        return sum(placed.spec.page for placed in self.specs if stage is None or placed.stage == stage)

    def admission(self, context: int, work: Workload) -> int:
        """Blocks that a request of ``context`` tokens may take."""
        return max(admission(spec, context, work) for spec in dict.fromkeys(placed.spec for placed in self.specs))


class Grouping(NamedTuple):
    """All groups; ``padding`` layers hold nothing, and ``uneven`` pages could not be made equal by larger blocks."""

    groups: tuple[Group, ...]
    padding: int = 0
    uneven: bool = False

    def block_bytes(self, stage: int | None = None) -> int:
        """Bytes of one block on a rank of ``stage`` (None: as if one rank held the whole model)."""
        return max((group.pages(stage) for group in self.groups), default=0)

    def blocks(self, context: int, work: Workload) -> int:
        """Blocks that a request of ``context`` tokens may take in all groups."""
        return sum(group.admission(context, work) for group in self.groups)


def grouping(placed: Sequence[Placed], found: Rules) -> Grouping:
    """The groups of a whole model, whatever stage its layers are on."""
    if not placed:
        return Grouping(())
    if _one_type([each.spec for each in placed]):
        return Grouping((Group(tuple(placed)),))
    equal, uneven = _equal_pages(placed)
    if uneven and any(each.spec.latent for each in placed):
        return Grouping(_packed(placed), uneven=True)
    buckets: dict[Spec, list[Placed]] = {}
    for each in equal:
        buckets.setdefault(each.spec, []).append(each)
    sizes = [len(bucket) for bucket in buckets.values()]
    least, most = min(sizes), max(sizes)
    size = most if most < least * found.near_equal else least
    groups = []
    for bucket in buckets.values():
        count = -(-len(bucket) // size)
        groups += [Group(tuple(bucket[first::count])) for first in range(count)]
    padding = sum(-len(bucket) % size for bucket in buckets.values())
    return Grouping(tuple(groups), padding, uneven)


def _one_type(specs: Sequence[Spec]) -> bool:
    """Whether every layer needs the same number of equal blocks."""
    return len({(spec.kind, spec.block, spec.cap) for spec in specs}) == 1


def _packed(placed: Sequence[Placed]) -> tuple[Group, ...]:
    """Pages of different sizes side by side in a block: what grows sets its size, and the rest is split to fit.

    Latent pages cannot be padded to another size, so newer releases pack such models (0.27 and later). An approximation
    of those layouts: a block is as wide as the caches that keep every token.
    """
    buckets: dict[tuple[str, int, int], list[Placed]] = {}
    for each in placed:
        buckets.setdefault((each.spec.kind, each.spec.block, each.spec.cap), []).append(each)
    width = max(sum(e.spec.page for e in bucket) for (kind, _, _), bucket in buckets.items() if kind == "full")
    groups = []
    for (kind, _, _), bucket in buckets.items():
        fitting = max(1, width // max(each.spec.page for each in bucket))
        count = 1 if kind == "full" else -(-len(bucket) // fitting)
        groups += [Group(tuple(bucket[first::count])) for first in range(count)]
    return tuple(groups)


def _equal_pages(placed: Sequence[Placed]) -> tuple[list[Placed], bool]:
    """Every page as large as the largest: states are padded, attention gets more tokens per block.

    Where the sizes do not divide, the page is padded too (newer releases; older ones refuse), and that is said.
    """
    largest = max(each.spec.page for each in placed)
    found, uneven = [], False
    for each in placed:
        spec = each.spec
        if spec.page < largest:
            times, rest = divmod(largest, spec.page)
            if spec.kind == "state":
                spec = spec._replace(page=largest)
            elif not rest:
                spec = spec._replace(block=spec.block * times, page=largest)
            else:
                uneven = True
                spec = spec._replace(page=largest)
        found.append(Placed(each.stage, spec))
    return found, uneven
