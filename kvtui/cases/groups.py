"""The sweep's thirteen groups of comparisons, as grids over the axes.

Every group starts from one base case (256 wide, 8 heads of 32, 6 blocks, context 256, prompt 64, batch 1; a smaller
model in the size "fast") and changes what its axes say. The groups and their values are those of a published sweep of
attention variants, completed where its documentation promises more than its grid holds. Rows with equal cases share one
measurement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from kvtui.cases.axes import SAMPLERS, SCALES, row_at
from kvtui.cases.case import SweepRow
from kvtui.engine.basis.errors import InputError, UnknownName

SIZES = ("fast", "default", "full")
BASES = {"fast": "64x2", "default": "256x6", "full": "256x6"}
ALL_SCALES, FOUR_SCALES = tuple(SCALES), tuple(SCALES)[:4]
EXPERTS = ("4/1", "4/2", "8/2", "8/4", "16/4")
SOME_SAMPLERS = ("greedy", "T 1", "top-k 50", "top-p 0.9")
THREE = ("MHA", "GQA", "MLA")
FIVE = ("MHA", "GQA 1/2", "GQA", "MQA", "MLA")

AxisGrid = Mapping[str, Sequence[Any]]


@dataclass(frozen=True, slots=True)
class SweepGroup:
    """One comparison: its ``name``, what it asks, and its grids (axis → values) for each size."""

    name: str
    question: str
    grids: Mapping[str, tuple[AxisGrid, ...]]

    def axes(self, size: str) -> dict[str, tuple[Any, ...]]:
        """Every axis of the group with all of its values, in order of first appearance."""
        found: dict[str, dict[Any, None]] = {}
        for grid in self.grids[size]:
            for axis, values in grid.items():
                found.setdefault(axis, {}).update(dict.fromkeys(values))
        return {axis: tuple(values) for axis, values in found.items()}

    def rows(self, size: str) -> tuple[SweepRow, ...]:
        """The rows of ``size``; where grids overlap, each case stands once."""
        found: dict[str, SweepRow] = {}
        for grid in self.grids[size]:
            for values in product(*grid.values()):
                row = row_at(self.name, BASES[size], dict(zip(grid, values, strict=True)))
                found.setdefault(row.label, row)
        return tuple(found.values())


GROUPS = (
    SweepGroup(
        "attention_type",
        "which attention, all else equal",
        {
            "fast": ({"attention": ("MHA", "GQA 1/2", "MLA")},),
            "default": ({"attention": (*FIVE, "MLA-32", "MLA-128", "MLA naive")},),
            "full": ({"attention": (*FIVE, "MLA-32", "MLA-128", "MLA naive")},),
        },
    ),
    SweepGroup(
        "scale",
        "how cost grows with the model",
        {
            "fast": ({"model": ("64x2", "128x3"), "attention": ("MHA",)},),
            "default": (
                {"model": ALL_SCALES, "attention": ("MHA",)},
                {"model": ("256x6", "512x8"), "attention": THREE},
            ),
            "full": ({"model": ALL_SCALES, "attention": THREE},),
        },
    ),
    SweepGroup(
        "batch_size",
        "throughput against batch",
        {
            "fast": ({"batch": (1, 8), "attention": ("MHA",)},),
            "default": ({"batch": (1, 8, 32), "attention": THREE},),
            "full": ({"batch": (1, 4, 8, 16, 32, 64, 128), "attention": THREE},),
        },
    ),
    SweepGroup(
        "context_len",
        "cost of a longer context; the prompt is half of it",
        {
            "fast": ({"context": (64, 256), "attention": ("MHA",)},),
            "default": (
                {"context": (64,), "attention": ("MHA",)},
                {"context": (512, 2048), "attention": THREE},
            ),
            "full": ({"context": (64, 128, 256, 512, 1024, 2048), "attention": THREE},),
        },
    ),
    SweepGroup(
        "dtype",
        "16-bit weights and cache, and an 8-bit cache",
        {
            "fast": (
                {"dtype": ("fp32", "bf16"), "attention": ("MHA",)},
                {"kv_dtype": ("int8",), "attention": ("MHA",)},
            ),
            "default": (
                {"model": ("256x6",), "dtype": ("fp32", "bf16"), "attention": THREE},
                {"model": ("512x8",), "dtype": ("fp32", "bf16"), "attention": ("MHA",)},
                {"model": ("256x6",), "kv_dtype": ("int8",), "attention": ("MHA", "MLA")},
            ),
            "full": (
                {"model": ("256x6", "512x8"), "dtype": ("fp32", "bf16"), "attention": THREE},
                {"model": ("256x6", "512x8"), "dtype": ("fp32",), "kv_dtype": ("bf16", "int8"), "attention": THREE},
                {"model": ("256x6", "512x8"), "dtype": ("bf16",), "kv_dtype": ("int8",), "attention": THREE},
            ),
        },
    ),
    SweepGroup(
        "sampling",
        "what choosing the next token costs",
        {
            "fast": ({"sampler": ("greedy", "top-p 0.9"), "attention": ("MHA",)},),
            "default": ({"vocab": (32_768,), "sampler": SOME_SAMPLERS, "attention": ("MHA",)},),
            "full": ({"vocab": (256, 32_768), "sampler": tuple(SAMPLERS), "attention": ("MHA",)},),
        },
    ),
    SweepGroup(
        "kv_cache",
        "with a cache, without, and its other layouts; its size by model",
        {
            "fast": ({"cache": ("on", "off"), "attention": ("MHA",)},),
            "default": (
                {"cache": ("on", "off"), "attention": THREE},
                {"cache": ("on", "off"), "batch": (8,), "attention": ("MHA",)},
                {"cache": ("paged", "ring", "ring off"), "attention": ("MHA",)},
                {"model": ALL_SCALES, "cache": ("on",), "attention": ("MHA",)},
                {"model": ("512x8",), "cache": ("on",), "attention": THREE},
            ),
            "full": (
                {"cache": ("on", "off"), "batch": (1, 8, 32), "attention": THREE},
                {"cache": ("paged", "ring", "ring off"), "attention": THREE},
                {"model": ALL_SCALES, "cache": ("on",), "attention": THREE},
                {"cache": ("on",), "kv_dtype": ("int8",), "attention": THREE},
            ),
        },
    ),
    SweepGroup(
        "moe",
        "experts: as wide as the dense layer, and of the same total size",
        {
            "fast": ({"experts": ("dense", "4/2"), "attention": ("MHA",)},),
            "default": ({"experts": ("dense", "4/1", "4/2", "8/2 matched"), "attention": ("MHA",)},),
            "full": ({"experts": ("dense", *EXPERTS, *(f"{one} matched" for one in EXPERTS)), "attention": THREE},),
        },
    ),
    SweepGroup(
        "activation",
        "SwiGLU against GELU, also with as many weights",
        {
            "fast": ({"activation": ("SwiGLU", "GELU"), "attention": ("MHA",)},),
            "default": ({"activation": ("SwiGLU", "GELU", "GELU matched"), "attention": ("MHA",)},),
            "full": ({"activation": ("SwiGLU", "GELU", "GELU matched"), "attention": THREE},),
        },
    ),
    SweepGroup(
        "pos_encoding",
        "how tokens know their place",
        {
            "fast": ({"positions": ("RoPE", "ALiBi", "RoPE window"), "attention": ("MHA",)},),
            "default": (
                {"positions": ("RoPE", "ALiBi", "learned", "sinusoidal", "RoPE window"), "attention": ("MHA",)},
            ),
            "full": ({"positions": ("RoPE", "ALiBi", "learned", "sinusoidal", "RoPE window"), "attention": THREE},),
        },
    ),
    SweepGroup(
        "gqa_vs_cache",
        "KV heads against cache size and speed; the prompt is half of the context",
        {
            "fast": ({"context": (256,), "attention": ("MHA", "MQA")},),
            "default": ({"context": (512, 2048), "attention": FIVE},),
            "full": ({"context": (128, 256, 512, 1024, 2048), "attention": FIVE},),
        },
    ),
    SweepGroup(
        "scale_dtype",
        "what 16 bits buy, by model size",
        {
            "fast": ({"model": ("64x2",), "dtype": ("fp32", "bf16"), "attention": ("MHA",)},),
            "default": (
                {"model": FOUR_SCALES, "dtype": ("fp32", "bf16"), "attention": ("MHA",)},
                {"model": ("256x6",), "dtype": ("fp32", "bf16"), "attention": ("GQA",)},
            ),
            "full": ({"model": FOUR_SCALES, "dtype": ("fp32", "bf16"), "attention": THREE},),
        },
    ),
    SweepGroup(
        "batch_attn",
        "attention against batch: where one overtakes the other",
        {
            "fast": ({"batch": (1,), "attention": ("MHA", "GQA 1/2")}, {"batch": (8,), "attention": ("MHA",)}),
            "default": ({"batch": (1, 8, 32), "attention": THREE},),
            "full": ({"batch": (1, 4, 8, 16, 32, 64, 128), "attention": FIVE},),
        },
    ),
)
NAMES = tuple(group.name for group in GROUPS)


def find_groups(names: Iterable[str] | None) -> tuple[SweepGroup, ...]:
    """The groups called ``names``, in the sweep's order; all of them for None.

    Raises InputError that lists the valid names when one is not among them.
    """
    if names is None:
        return GROUPS
    wanted = set(names)
    for name in wanted - set(NAMES):
        raise InputError(f"{UnknownName('group', name, NAMES)}; groups: {', '.join(NAMES)}")
    return tuple(group for group in GROUPS if group.name in wanted)
