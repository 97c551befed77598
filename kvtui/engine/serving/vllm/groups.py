"""How vLLM groups layers that share block tables, so that every block weighs the same.

1. Caches of one type form a single group, whose block holds a page of every layer.
2. Otherwise pages are made equal: attention with few bytes per token gets more tokens per block, states are padded.
3. The layers of each type are dealt to groups of one size, so that a block weighs as much in any of them. What is
   missing is padding: layers that hold nothing.
4. Every group has its own block table over one pool, so a request takes the sum of its groups' blocks.

Example: Qwen3.6-27B with its drafter has 17 attention layers and 48 gated DeltaNets, with pages of 1,638,400 bytes. The
size is 17: one group of attention and three of states, which lack 3 × 17 − 48 = 3 layers. A block weighs 17 × 1,638,400
bytes, so that 5.33 GiB have 205. A request of 262,144 tokens takes 164 + 3 × 5 = 179. (vLLM's ``get_kv_cache_groups``,
0.10 to 0.33.)
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from kvtui.engine.serving.vllm.blocks import COMPRESSOR, Spec, Workload, admission

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kvtui.engine.serving.vllm.releases import Rules


_UNEQUAL = "pages of its layers do not divide the largest, which this release of vLLM cannot group: it refuses to start"


class Placed(NamedTuple):
    """A layer's cache and the pipeline stage that holds it."""

    stage: int
    spec: Spec


class Group(NamedTuple):
    """Layers with one block table: all of one kind, with equally many tokens in a block."""

    specs: tuple[Placed, ...]

    @property
    def block(self) -> int:
        """Tokens of a block."""
        return self.specs[0].spec.block

    @property
    def kind(self) -> str:
        """What its layers do, in vLLM's terms: full, window, chunk, cross or state."""
        return self.specs[0].spec.kind

    def tokens(self, context: int, work: Workload) -> int:
        """Tokens of a block as the engine counts them: a state that is kept once is as long as the longest request."""
        return context if self.kind == "state" and work.mode == "none" else self.block

    def pages(self, stage: int | None = None) -> int:
        """Bytes that a block takes in this group's layers of ``stage`` (None: of all stages)."""
        return sum(placed.spec.page for placed in self.specs if stage is None or placed.stage == stage)

    def admission(self, context: int, work: Workload) -> int:
        """Blocks that a request of ``context`` tokens may take."""
        return max(admission(spec, context, work) for spec in dict.fromkeys(placed.spec for placed in self.specs))


class Grouping(NamedTuple):
    """All groups of a model.

    ``padding`` is the number of layers that hold nothing, so that groups are equal. ``refusal`` says why the release
    cannot group these layers and does not start; what is here then is what it would have to be. A block is as wide as
    the widest group; with ``sized`` it has room for as many pages of each size as any group has. The log then counts
    the bytes of a request, and not its blocks.
    """

    groups: tuple[Group, ...]
    padding: int = 0
    refusal: str = ""
    sized: bool = False

    def block_bytes(self, stage: int | None = None) -> int:
        """Bytes of one block on a rank of ``stage`` (None: as if one rank held the whole model)."""
        if not self.sized:
            return max((group.pages(stage) for group in self.groups), default=0)
        most: Counter[int] = Counter()
        for group in self.groups:
            most |= Counter(placed.spec.page for placed in group.specs if stage in (None, placed.stage))
        return sum(page * count for page, count in most.items())

    def blocks(self, context: int, work: Workload) -> int:
        """Blocks that a request of ``context`` tokens may take in all groups, as the log counts them."""
        if not self.sized:
            return self.taken(context, work)
        held = sum(group.admission(context, work) * group.pages() for group in self.groups)
        return -(-held // self.groups[0].pages())

    def taken(self, context: int, work: Workload) -> int:
        """Blocks that a request of ``context`` tokens may take in all groups."""
        return sum(group.admission(context, work) for group in self.groups)

    def layer_bytes(self, stage: int, context: int, work: Workload) -> int:
        """Bytes that a request of ``context`` tokens takes in the layers of ``stage``, each by itself."""
        return sum(
            placed.spec.page * admission(placed.spec, context, work)
            for group in self.groups
            for placed in group.specs
            if placed.stage == stage
        )


def grouping(placed: Sequence[Placed], found: Rules) -> Grouping:
    """The groups of a whole model, whatever stage its layers are on.

    A group has as many layers as the rarest type. Where the numbers are nearly equal (``found.near_equal``), it has as
    many as the commonest, and the others are padded.

    Example: 52 windowed and 10 full layers make groups of 10: six of windows, which are padded by 8 layers in all, and
    a full one. 13 full and 12 windowed layers make one group of 13 each.
    """
    if not placed:
        return Grouping(())
    if _one_type([each.spec for each in placed], found):
        return Grouping((Group(tuple(placed)),))
    if any(each.spec.name == COMPRESSOR for each in placed):
        return _compressed(placed, found)
    refusal = ""
    unequal = _unequal(placed)
    if any(spec.latent and spec.kind == "full" for spec in unequal):
        refusal = "" if found.promoted_windows else _UNEQUAL
        promoted = _promoted(placed)
        if promoted is not None:
            return Grouping((Group(promoted),), refusal=refusal)
        refusal = _UNEQUAL
    elif unequal and not found.padded_pages:
        refusal = _UNEQUAL
    buckets: dict[Spec, list[Placed]] = {}
    for each in _equal_pages(placed):
        buckets.setdefault(each.spec, []).append(each)
    sizes = [len(bucket) for bucket in buckets.values()]
    least, most = min(sizes), max(sizes)
    size = most if most < least * found.near_equal else least
    groups = []
    for bucket in buckets.values():
        count = -(-len(bucket) // size)
        groups += [Group(tuple(bucket[first::count])) for first in range(count)]
    padding = sum(-len(bucket) % size for bucket in buckets.values())
    return Grouping(tuple(groups), padding, refusal)


def _one_type(specs: Sequence[Spec], found: Rules) -> bool:
    """Whether every layer needs the same number of equal blocks; since 0.29 states must be equally large too."""
    sizes = {spec.page for spec in specs if spec.kind == "state"}
    alike = len({(spec.kind, spec.block, spec.cap, spec.checkpoints) for spec in specs}) == 1
    return alike and not (found.apart_states and len(sizes) > 1)


def _unequal(placed: Sequence[Placed]) -> list[Spec]:
    """Specs whose page neither is the largest, nor divides it, nor is a state's, which can be padded."""
    largest = max(each.spec.page for each in placed)
    specs = dict.fromkeys(each.spec for each in placed)
    return [spec for spec in specs if spec.kind != "state" and largest % spec.page]


def _promoted(placed: Sequence[Placed]) -> tuple[Placed, ...] | None:
    """Windows beside latents as layers that keep every token, all in one group; None where there are other kinds too.

    Example: the latent pages of DeepSeek-V3 in blocks of 64 tokens are 73,728 bytes, and those of 16 KV heads of
    128 + 128 elements 524,288. The latter are no multiple of the former.
    """
    block = max((each.spec.block for each in placed if each.spec.kind == "full"), default=0)
    if {each.spec.kind for each in placed} != {"full", "window"}:
        return None
    return tuple(
        each
        if each.spec.kind == "full"
        else Placed(
            each.stage,
            each.spec._replace(kind="full", block=block, page=each.spec.page // each.spec.block * block, cap=0),
        )
        for each in placed
    )


def _compressed(placed: Sequence[Placed], found: Rules) -> Grouping:
    """The groups of a model with compressed latents: what keeps every token is one, windows are dealt to several.

    Pages of a group lie side by side in a block, and groups share blocks as they are. So windows of one size are dealt
    to groups that have about as many of a page as the first. Up to 0.26 their pages are padded to one that is there.

    Example: DeepSeek-V4-Flash has 21 latents per 4 tokens with as many indexers, 20 per 128 tokens, 43 windows, and
    the compressors' states: 21 with as many of the indexers, and 20. A first group has the 62 that keep every token,
    two have 22 and 21 windows, one has 42 states, and one 20.
    """
    buckets: dict[tuple[str, int, int], list[Placed]] = {}
    for each in sorted(placed, key=lambda each: each.spec.kind != "full"):
        buckets.setdefault((each.spec.kind, each.spec.block, each.spec.cap), []).append(each)
    numbers = [max(Counter(each.spec.page for each in bucket).values()) for bucket in buckets.values()]
    size = _even_size(numbers)
    kept = sorted({each.spec.page for each in placed if each.spec.kind == "full"})
    groups = []
    for (kind, _, _), bucket in buckets.items():
        alike: dict[Spec, list[Placed]] = {}
        for each in bucket:
            fitting = next((page for page in kept if page >= each.spec.page), each.spec.page)
            spec = each.spec if found.overlaid or kind == "full" else each.spec._replace(page=fitting)
            alike.setdefault(each.spec, []).append(Placed(each.stage, spec))
        most = max(map(len, alike.values()))
        count = 1 if kind == "full" else -(-most // size)
        groups += [
            Group(tuple(each for layers in alike.values() for each in layers[first::count])) for first in range(count)
        ]
    return Grouping(tuple(groups), sized=not found.overlaid)


def _even_size(numbers: Sequence[int]) -> int:
    """The size, at least the first of ``numbers``, in whole multiples of which they waste least; of equals the largest.

    Example: 21, 43, 21 and 20 are 1, 1, 1 and 2 less than multiples of 22.
    """
    return min(range(numbers[0], max(numbers) + 1), key=lambda size: (sum(-n % size for n in numbers), -size))


def _equal_pages(placed: Sequence[Placed]) -> list[Placed]:
    """Every page as large as the largest: states are padded, and attention gets more tokens per block.

    Where that does not come out even, its page is padded too.

    Example: a full layer of 4 heads of 512 (8,192 bytes a token) beside a windowed one of 16 heads of 256 (16,384).
    Blocks of 16 have pages of 131,072 and 262,144 bytes, so that the full layer gets blocks of 32 tokens.
    """
    largest = max(each.spec.page for each in placed)
    found = []
    for each in placed:
        times, rest = divmod(largest, each.spec.page)
        block = each.spec.block if rest or each.spec.kind == "state" else each.spec.block * times
        found.append(Placed(each.stage, each.spec._replace(block=block, page=largest)))
    return found
