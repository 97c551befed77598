"""Feed-forward blocks of a config.json: which layers have experts, how wide everything is, what it weighs."""

from __future__ import annotations

from kvtui.engine.model import parameters
from kvtui.engine.sources.hf.fields import LAYERS, Config
from kvtui.engine.sources.hf.shape import FeedForward, Ffn

EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
ACTIVE = (
    "num_experts_per_tok",
    "num_experts_per_token",
    "experts_per_token",
    "moe_topk",
    "moe_top_k",
    "moe_k",
    "top_k_experts",
)
_SPARSE = {"dense": False, "sparse": True, "moe": True, "hash_moe": True}


def feed_forwards(config: Config, hidden: int, layers: int, ffn: Ffn) -> tuple[FeedForward, ...]:
    """One block per layer. A width or a number of experts that the file does not state leaves the weights uncounted."""
    if ffn.routed and config.stray(*EXPERTS) is not None:
        config.weight(*EXPERTS)
        return (FeedForward(),) * layers
    has_experts = ffn.routed and expert_count(config) > 0
    sparse = sparse_layers(config, layers, ffn.dense_first) if has_experts else (False,) * layers
    if has_experts and ffn.dense_first:
        listed = isinstance(config.raw("moe_layer_freq"), list)
        config.need_to_count(
            "moe_layer_freq" if listed else "first_k_dense_replace", "mlp_layer_types", "num_dense_layers"
        )
    moe = routed(config, hidden, ffn) if any(sparse) else FeedForward()
    plain = FeedForward() if all(sparse) else dense(config, hidden, ffn)
    return tuple(moe if routed_here else plain for routed_here in sparse)


def expert_count(config: Config) -> int:
    """The number of routed experts; 0 for a dense model. Fewer than 2 are none."""
    count = config.maybe(*EXPERTS, least=0) or 0
    return count if count > 1 else 0


def dense(config: Config, hidden: int, ffn: Ffn) -> FeedForward:
    """A block without experts."""
    width = config.weight(*ffn.dense)
    return FeedForward(parameters.mlp(hidden, width, gated=ffn.gated, bias=config.on(ffn.bias)), width=width)


def routed(config: Config, hidden: int, ffn: Ffn, latent: int | None = None) -> FeedForward:
    """A block with routed experts, their router and the shared experts.

    A token produces the width of each expert that it is routed to and of the shared ones: 8 · 768 for 8 active experts
    of 768. ``latent`` is the width in which the experts work, where that is not the hidden size.
    """
    config.ignore(
        "norm_topk_prob", "moe_renormalize", "enable_moe_fp32_combine", "num_expert_group", "moe_router_activation_func"
    )
    count, width = config.count(*EXPERTS), config.weight(*ffn.expert)
    active = config.weight(*ACTIVE) or 1
    if active > count:
        raise config.error("num_experts_per_tok", f"{active} are more than the {count} experts")
    bias = config.on(ffn.bias)
    experts, weights = parameters.experts(
        hidden,
        count,
        active,
        width,
        gated=ffn.gated,
        bias=bias,
        router_bias=config.on(ffn.router_bias),
        latent=latent,
    )
    if ffn.shared or ffn.shared_count:
        config.need_to_count(*(ffn.shared or ffn.shared_count))
    shared = (config.maybe(*ffn.shared, least=0) or 0) if ffn.shared else 0
    if ffn.shared_count:
        shared = width * (config.maybe(*ffn.shared_count, least=0) or 0)
    if shared:
        weights = (*weights, *parameters.shared_experts(hidden, shared, gated=ffn.gated, bias=bias))
        if ffn.shared_gate:
            weights = (*weights, *parameters.shared_router(hidden))
    return FeedForward(weights, experts, active * width + shared)


def sparse_layers(config: Config, layers: int, dense_first: bool = False) -> tuple[bool, ...]:
    """Which layers have experts, by the first of the published conventions that the file uses; all, if none.

    In this order: mlp_layer_types, a word per layer; moe_layer_freq as a list, a 0 or 1 per layer; decoder_sparse_step
    and mlp_only_layers, every n-th layer that is not listed; first_k_dense_replace with moe_layer_freq as a number, of
    the layers behind the first k those whose number it divides. DeepSeek-V3 states first_k_dense_replace 3: layers 0 to
    2 are dense. Of classes that list the blocks in mlp_layer_types, those with ``dense_first`` make the first dense.
    """
    words = config.choices("mlp_layer_types", _SPARSE, layers)
    frequencies = config.numbers("moe_layer_freq", most=1) if isinstance(config.raw("moe_layer_freq"), list) else None
    first = config.maybe("first_k_dense_replace", "num_dense_layers", least=0, most=LAYERS)
    if first is None:
        first = int(dense_first and "mlp_layer_types" in config.of.defaults)
    if words is not None:
        return words
    if frequencies is not None:
        if len(frequencies) != layers:
            raise config.error("moe_layer_freq", f"has {len(frequencies)} entries for {layers} layers")
        return tuple(bool(frequency) for frequency in frequencies)
    if config.raw("decoder_sparse_step") is not None or config.raw("mlp_only_layers") is not None:
        step = config.maybe("decoder_sparse_step", most=LAYERS) or 1
        dense_only = config.indices("mlp_only_layers", layers) or ()
        return tuple(layer not in dense_only and (layer + 1) % step == 0 for layer in range(layers))
    every = config.maybe("moe_layer_freq", most=LAYERS) or 1
    return tuple(layer >= first and layer % every == 0 for layer in range(layers))
