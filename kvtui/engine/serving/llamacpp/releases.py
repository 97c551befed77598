"""What changed between llama.cpp's builds, its server's own choices, and the formats of its cache."""

from __future__ import annotations

from itertools import accumulate
from typing import Any, Literal, NamedTuple

from kvtui.engine.device.spec import DeviceSpec
from kvtui.engine.engines.known import EngineDefaults, LargerStages, Milestone, ReleaseSpan, release
from kvtui.engine.model.spec import ModelSpec

SPAN = ReleaseSpan(oldest="", newest="", example="b6200")
LOADS_GGUF = True
WEIGHT_FORMATS = (
    "bf16",
    "fp16",
    "q8_0",
    "q6_k",
    "q5_k_m",
    "q5_k_s",
    "q4_k_m",
    "q4_k_s",
    "q4_0",
    "iq4_xs",
    "mxfp4_moe",
    "q3_k_m",
    "iq3_xxs",
    "q2_k",
    "iq1_s",
)
REPACKED = {"mxfp4": "mxfp4_moe"}
"""Published formats that GGUF files keep, and those of the files that are published: the rest of gpt-oss in Q8_0."""
KV_FORMATS = ("fp32", "fp16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
KV_APART = True
MILESTONES: tuple[Milestone, ...] = ()
LARGER_STAGES: LargerStages = "first"
EXPERT_PARALLEL = False
JOINED_REPLICAS = False


_WITHOUT_WINDOWS = frozenset(
    (
        *("dots1", "ernie4_5", "ernie4_5_moe", "mimo", "ministral", "ministral3", "mistral", "mixtral", "phi3"),
        *("phimoe", "qwen2", "qwen2_5_omni", "qwen2_5_vl", "qwen2_moe", "qwen2_vl", "qwen3", "qwen3_moe", "qwen3_vl"),
        *("qwen3_vl_moe", "smollm3", "stablelm", "starcoder2"),
    )
)
"""Families whose files may state a window that the code of their architecture does not read, or sets to none."""


def applies_windows(model: ModelSpec) -> bool:
    """Unless the code of the model's architecture has full attention whatever its file states."""
    return model.window is None and model.family not in _WITHOUT_WINDOWS


def defaults(version: str, model: ModelSpec, device: DeviceSpec, kv: str) -> EngineDefaults:
    """A cache grows in steps of 256 cells; a logical batch (``-b``) is 2,048 tokens; all free memory is used."""
    repacked = REPACKED.get(model.published_weights or "")
    return EngineDefaults(256, 2048, memory_utilization=1.0, weight_dtype=repacked)


LatentStorage = Literal["heads", "both", "keys"]


class Build(NamedTuple):
    """Rules of the builds from number ``first`` on: the ``padding`` of a cache in cells, and a server's own ``slots``.

    ``output_first`` says whether ``-ngl 1`` puts the output layer on a device, or the last layer before it.
    Of the graph: FlashAttention's mask is in F16 from the start (``half_masks``); a batch may be embeddings, for which
    there is room (``embedding_inputs``), or a mixture (``mixed_inputs``); what is quantised into a cache is rotated
    first (``turned_caches``); only as many tokens as there are sequences get logits (``bounded_outputs``).
    What is written into a cache goes to places that are inputs (``indexed_stores``). ``latent`` says how MLA is cached:
    as K and V of all heads, as a latent entry and its V, or as the entry alone.
    """

    first: int = 0
    padding: int = 32
    slots: int = 1
    output_first: bool = False
    indexed_stores: bool = False
    latent: LatentStorage = "heads"
    embedding_inputs: bool = False
    turned_caches: bool = False
    bounded_outputs: bool = False
    half_masks: bool = False
    mixed_inputs: bool = False


CHANGES: tuple[dict[str, Any], ...] = (
    {"first": 5130, "latent": "both"},
    {"first": 6100, "indexed_stores": True},
    {"first": 6325, "padding": 256},
    {"first": 6870, "padding": 1},
    {"first": 6930, "slots": 4},
    {"first": 6980, "padding": 256},
    {"first": 7460, "output_first": True},
    {"first": 7640, "embedding_inputs": True},
    {"first": 7780, "latent": "keys"},
    {"first": 9400, "bounded_outputs": True, "half_masks": True, "turned_caches": True},
    {"first": 11200, "mixed_inputs": True},
)
"""Caches were padded to 32 cells, or to 256 once FlashAttention was the default (PR 15434, August 2025), not at all
between PR 16812 (October 2025) and PR 17046 (November 2025; b6969 is without, b7079 with), and to 256 since. PR 16736
gave the server four slots, PR 18148 (December 2025) offloads the output layer first. MLA was cached as heads until PR
12801 (April 2025), and with its V until PR 19067 (after b7779). PR 18550 brought batches of embeddings, PR 23861
(between b9272 and b9496) bounded outputs; half masks and rotated caches (PR 21038) are not in b9265, and in b9496 and
later. Places of what is stored came in summer 2025 (PR 14285), mixed batches between b11195 and b11549. The build
numbers are those of the days on which the changes were merged, or lie between builds known to be without and with."""
BUILDS = tuple(accumulate(CHANGES, lambda build, change: build._replace(**change), initial=Build()))


def build_of(version: str) -> Build:
    """The rules of build ``version``, such as b6200; the newest without one, or for a release of several numbers."""
    numbers = release(version) if version else ()
    if len(numbers) != 1:
        return BUILDS[-1]
    return max(build for build in BUILDS if build.first <= numbers[0])
