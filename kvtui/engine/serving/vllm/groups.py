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

from typing import TYPE_CHECKING, NamedTuple

from kvtui.engine.serving.vllm.blocks import Spec, Workload, admission

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
    cannot group these layers and does not start; what is here then is what it would have to be. ``approximate`` groups
    are of a kind that no release is known to lay out like this.
    """

    groups: tuple[Group, ...]
    padding: int = 0
    refusal: str = ""
    approximate: bool = False

    def block_bytes(self, stage: int | None = None) -> int:
        """Bytes of one block on a rank of ``stage`` (None: as if one rank held the whole model)."""
        return max((group.pages(stage) for group in self.groups), default=0)

    def blocks(self, context: int, work: Workload) -> int:
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
    if _one_type([each.spec for each in placed]):
        return Grouping((Group(tuple(placed)),))
    if any(each.spec.latent and each.spec.kind == "window" for each in placed):
        return Grouping(_packed(placed), approximate=True)
    refusal = ""
    unequal = _unequal(placed)
    if any(spec.latent for spec in unequal):
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


def _one_type(specs: Sequence[Spec]) -> bool:
    """Whether every layer needs the same number of equal blocks; of states, equally large ones."""
    return len({(s.kind, s.block, s.cap, s.kind == "state" and (s.page, s.checkpoints)) for s in specs}) == 1


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


def _packed(placed: Sequence[Placed]) -> tuple[Group, ...]:
    """Pages of different sizes side by side in a block, whose width what keeps every token sets; the rest must fit it.

    Latent pages cannot be padded to another size, so newer releases pack such models (0.27 and later). An approximation
    of those layouts. Example: 2 full layers of 36,864 bytes a page and 5 windows of 20,480. A block is 73,728 bytes
    wide and takes 3 windows at most, so there are a group of the 2 full layers and two of 3 and 2 windows. Where
    nothing keeps every token, the narrowest kind of layers sets the width.
    """
    buckets: dict[tuple[str, int, int], list[Placed]] = {}
    for each in placed:
        buckets.setdefault((each.spec.kind, each.spec.block, each.spec.cap), []).append(each)
    widths = {key: sum(each.spec.page for each in bucket) for key, bucket in buckets.items()}
    growing = [width for (kind, _, _), width in widths.items() if kind == "full"]
    width = max(growing) if growing else min(widths.values())
    groups = []
    for (kind, _, _), bucket in buckets.items():
        fitting = max(1, width // max(each.spec.page for each in bucket))
        count = 1 if kind == "full" else -(-len(bucket) // fitting)
        groups += [Group(tuple(bucket[first::count])) for first in range(count)]
    return tuple(groups)


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
