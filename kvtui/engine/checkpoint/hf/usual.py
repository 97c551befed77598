"""What the usual producer of a format makes of a model: the rules behind ``fp8``, ``nvfp4`` and ``mxfp4``."""

from __future__ import annotations

from typing import NamedTuple

from kvtui.engine.checkpoint.encoding import Encoding
from kvtui.engine.checkpoint.format import CheckpointFormat, EncodingRule, Part
from kvtui.engine.checkpoint.hf import recipes
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.model.tensors import Role

ATTENTION: frozenset[Role] = frozenset({"q", "k", "v", "o"})
EXPERTS: frozenset[Role] = frozenset({"expert_gate", "expert_up", "expert_down"})
MATRICES: frozenset[Role] = ATTENTION.union(
    EXPERTS,
    ("q_a", "q_b", "kv_a", "kv_b", "indexer", "gate", "up", "down", "expert_latent"),
    ("shared_gate", "shared_up", "shared_down", "recurrent_in", "recurrent_out", "other"),
)
"""The wide matrices of a model's layers, which quantisers take; weights known by number only are taken for such."""

FEED_FORWARD: frozenset[Role] = EXPERTS.union(("gate", "up", "down", "shared_gate", "shared_up", "shared_down"))

PARTIAL: dict[str, tuple[frozenset[Role], str]] = {
    "experts": (EXPERTS, "only routed experts are quantised"),
    "mlp": (FEED_FORWARD, "only feed-forward layers and experts are quantised"),
    "linear16": (MATRICES - {"recurrent_in", "recurrent_out"}, "linear attention and Mamba layers stay in 16 bits"),
}
"""What some producers leave out besides, by the ending that says so in a format's name: ``nvfp4-mlp``.

NVIDIA's NVFP4 file of gemma-4-31B has feed-forward layers alone, RedHat's of Qwen3.6 leave linear attention in 16 bits,
and W4A16 files of Qwen3-Next that vLLM loaded 22.5 GiB of on each of two ranks have the experts alone, in groups of 32.
"""

KEPT = "embeddings, head, norms, routers, towers and prediction layers stay in 16 bits"
_LAYERS: frozenset[Part] = frozenset({"outside", "layer"})
_WITH_MTP: frozenset[Part] = _LAYERS | {"mtp"}


def uniform(
    name: str,
    meaning: str,
    encoding: Encoding,
    roles: frozenset[Role] = MATRICES,
    parts: frozenset[Part] = _LAYERS,
) -> CheckpointFormat:
    """A format that stores all tensors of ``roles`` in one ``encoding``, and the others in 16 bits."""
    return CheckpointFormat(name, meaning, recipes.plain(), (EncodingRule(encoding, roles, parts),))


def partial(form: CheckpointFormat, name: str, ending: str) -> CheckpointFormat:
    """``form`` as it is when its producer leaves out what ``ending`` says."""
    taken, meaning = PARTIAL[ending]
    rules = tuple(
        rule if rule.roles is None else rule._replace(roles=rule.roles & taken)
        for rule in form.rules
        if rule.roles is None or rule.roles & taken
    )
    return form._replace(name=name, meaning=f"{form.meaning}; {meaning}", rules=rules)


class _Fp8Publisher(NamedTuple):
    """A publisher of fp8 files; the names of its models begin with one of ``names``."""

    names: tuple[str, ...]
    meaning: str
    encoding: Encoding
    mtp: bool = False


_FP8_PUBLISHERS = (
    _Fp8Publisher(
        ("qwen3",),
        "fp8 as Qwen publishes it, blocks of 128 × 128 with a bf16 scale each",
        recipes.blocks(scale_bits=16),
        mtp=True,
    ),
    _Fp8Publisher(
        ("deepseek", "kimi-k2", "minimax-m2", "mimo-v2", "glm-5"),
        "fp8 as the model's publisher has it, blocks of 128 × 128 with an fp32 scale each",
        recipes.blocks(),
        mtp=True,
    ),
    _Fp8Publisher(
        ("ministral-3", "mistral-small-4", "nemotron-3", "nvidia-nemotron-3"),
        "fp8 as the model's publisher has it, one scale per matrix and one for its input",
        recipes.per_tensor(),
    ),
    _Fp8Publisher(
        ("",), "fp8 as RedHat's FP8-dynamic files have it, a scale per output channel", recipes.per_channel()
    ),
)


def fp8(model: ModelSpec, name: str) -> CheckpointFormat:
    """The usual fp8 checkpoint of ``model``: its publisher's where there is one, else with a scale per channel."""
    names = [one.rsplit("/", 1)[-1].lower() for one in (model.name, *model.aliases)]
    publisher = next(p for p in _FP8_PUBLISHERS if any(one.startswith(p.names) for one in names))
    if publisher.mtp:
        meaning = f"{publisher.meaning}; embeddings, head, norms, routers and towers stay in 16 bits"
        return uniform(name, meaning, publisher.encoding, parts=_WITH_MTP)
    return uniform(name, f"{publisher.meaning}; {KEPT}", publisher.encoding)


def mxfp4(model: ModelSpec, name: str) -> CheckpointFormat:
    """MXFP4 as OpenAI publishes gpt-oss: the experts only. Models without experts have it in all their matrices.

    DeepSeek-V4 has everything else in fp8.
    """
    rule = EncodingRule(recipes.mxfp4(), EXPERTS | {"other"}, _WITH_MTP)
    if model.name.lower().startswith("deepseek-v4"):
        blocks = EncodingRule(recipes.blocks(scale_bits=8), MATRICES, _WITH_MTP)
        meaning = (
            "MXFP4 experts and fp8 blocks as DeepSeek publishes V4; embeddings, head, norms and routers in 16 bits"
        )
        return CheckpointFormat(name, meaning, recipes.plain(), (rule, blocks))
    if any(layer.experts for layer in model.layers):
        meaning = "MXFP4 experts as OpenAI publishes gpt-oss; everything else stays in 16 bits"
        return CheckpointFormat(name, meaning, recipes.plain(), (rule,))
    return uniform(name, f"MXFP4, a shared exponent per 32; {KEPT}", recipes.mxfp4())


def nvfp4(model: ModelSpec, name: str) -> CheckpointFormat:
    """NVFP4 as NVIDIA's modelopt makes it.

    Of hybrids of Mamba-2 and experts it leaves attention, the Mamba layers before attention layers, and the projections
    to and from the experts' size in 16 bits (Nemotron-3). That the Mamba layers do is inferred: without them the
    published 18.01 GiB of a 30B checkpoint are missed by 1.8 %, with them by 0.1 %, as is a log of 18.03.
    """
    meaning = "NVFP4 as NVIDIA's modelopt makes it, an fp8 scale per 16 elements"
    mamba = {at for at, layer in enumerate(model.layers) if any(cache.kind == "mamba2" for cache in layer.caches)}
    if not mamba or not any(layer.experts for layer in model.layers):
        return uniform(name, f"{meaning}; {KEPT}", recipes.nvfp4())
    attending = {at for at, layer in enumerate(model.layers) if any(cache.q_heads for cache in layer.caches)}
    rules = (
        EncodingRule(recipes.plain(), MATRICES, layers=frozenset(attending | {at - 1 for at in attending} & mamba)),
        EncodingRule(recipes.nvfp4(), MATRICES - {"expert_latent"}),
    )
    kept = "attention, the Mamba layers before it, embeddings, head, norms, routers and prediction layers in 16 bits"
    return CheckpointFormat(name, f"{meaning}; {kept}", recipes.plain(), rules, by_layer=True)
