"""Encoders of images and sound beside a language model, and what joins them to it: how many weights they have.

Each family is counted from its own config as transformers builds it; the tests hold the numbers against whole models.
An encoder of another family is not counted, and the total is then a lower bound, which a note says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.untrusted import plain
from kvtui.engine.model.spec import Encoder
from kvtui.engine.sources.hf.fields import Config

TOWERS = ("vision_config", "audio_config", "vision_tower_config", "vit_config", "talker_config", "encoder_config")
"""The fields that describe another part than the language model."""

QWEN_TOKENS = 16_384
"""Of the largest image that Qwen's processors let through: 12,845,056 pixels at 28², 16,777,216 at 32²."""

MOBILENET_V5 = 294_126_912
"""Weights of ``mobilenetv5_300m_enc``, as timm 1.0.31 makes it: its stem, blocks and the adapter after them."""

Counter = Callable[[Config, Config, int], int]
"""Weights of a tower's config, inside a whole file's, before a language model of so many hidden elements."""


def tower_weights(parts: list[Config], hidden: int | None, notes: list[str]) -> int:
    """Weights of all towers that can be counted; ``notes`` are given a sentence for those that cannot."""
    total, unknown = 0, []
    for part in parts:
        for field in TOWERS:
            if not isinstance(part.raw(field), dict):
                continue
            tower = part.part(field)
            count, within = _COUNTERS.get(tower.model_type, (None, ()))
            try:
                if count is None or hidden is None or parts[0].model_type not in within:
                    raise tower.error("model_type", "is not counted")
                total += count(tower, parts[0], hidden)
            except InputError:
                unknown.append(f"{plain(tower.model_type or field, 60)}")
    none = any(f in p.values and p.values[f] is None for p in parts for f in TOWERS)
    there = none or any(isinstance(p.raw(f), dict) for p in parts for f in TOWERS)
    if parts[0].of.parts and len(parts) > 1 and not there:
        unknown.append("the other parts of its class")
    if unknown:
        notes.append(f"language model only, a lower bound of the total: {', '.join(unknown)} not counted")
    elif total:
        notes.append(f"parameters include {total:,} of encoders and projectors")
    return total


def largest_image(parts: list[Config]) -> Encoder | None:
    """The encoder by the largest image that its processor lets through; None for families where that is not known.

    Example: Qwen's processors let 16,384 tokens through, each of 2 × 2 patches, and Gemma 3 makes 256 of any image.
    """
    whole = parts[0]
    if not isinstance(whole.raw("vision_config"), dict):
        return None
    tower = whole.part("vision_config")
    shape = _IMAGES.get(tower.model_type)
    count, within = _COUNTERS.get(tower.model_type, (None, ()))
    if shape is None or count is None or whole.model_type not in within:
        return None
    try:
        return shape(tower, whole)
    except InputError:
        return None


def _gemma3_image(tower: Config, whole: Config) -> Encoder | None:
    if whole.model_type != "gemma3":
        return None
    width, inner, _ = _widths_and_layers(tower)
    patch, patches = _patches(tower)
    return Encoder(whole.maybe("mm_tokens_per_image") or 256, patches, patch, width, inner)


def _pixtral_image(tower: Config, whole: Config) -> Encoder | None:
    """A row of tokens ends with a token of its own."""
    if whole.model_type != "mistral3":
        return None
    width, inner, _ = _widths_and_layers(tower)
    patch, patches = _patches(tower)
    side = _square(tower, "image_size") // (_square(tower, "patch_size") * (whole.maybe("spatial_merge_size") or 2))
    return Encoder(side * (side + 1), patches, patch, width, inner, gated=True)


def _qwen_image(tower: Config, whole: Config) -> Encoder | None:
    merged = (tower.maybe("spatial_merge_size") or 2) ** 2
    if tower.raw("embed_dim") is not None:
        width = tower.count("embed_dim")
        inner, gated = width * (tower.maybe("mlp_ratio") or 4), False
    else:
        width, inner = tower.count("hidden_size"), tower.count("intermediate_size")
        gated = tower.model_type.startswith("qwen2_5")
    learned = tower.maybe("num_position_embeddings") is not None
    return Encoder(QWEN_TOKENS, QWEN_TOKENS * merged, _frames(tower), width, inner, gated, learned)


def _block(hidden: int, inner: int, *, gated: bool = False, bias: bool = True, layer_norm: bool = True) -> int:
    """A layer of an encoder: four projections, two or three matrices of the MLP, two norms."""
    biases = 4 * hidden + (2 if gated else 1) * inner + hidden if bias else 0
    return 4 * hidden**2 + (3 if gated else 2) * hidden * inner + biases + (4 if layer_norm else 2) * hidden


def _linear(inner: int, outer: int, *, bias: bool = True) -> int:
    return inner * outer + outer * bias


def _sizes(tower: Config) -> tuple[int, int, int]:
    """Elements of a row and within the MLP, and layers."""
    inner = tower.count("intermediate_size", "encoder_ffn_dim")
    return tower.count("hidden_size", "d_model"), inner, tower.count("num_hidden_layers", "encoder_layers")


def _patches(tower: Config) -> tuple[int, int]:
    """Elements of a patch, and patches of an image."""
    size, patch = (_square(tower, field) for field in ("image_size", "patch_size"))
    return (tower.maybe("num_channels") or 3) * patch**2, (size // patch) ** 2


def _square(tower: Config, field: str) -> int:
    sides = tower.raw(field)
    if isinstance(sides, list) and sides and all(side == sides[0] and type(side) is int for side in sides):
        return int(sides[0])
    return tower.count(field)


def _projector(whole: Config, inner: int, hidden: int, default: bool = True) -> int:
    """Two layers from the tower to the language model, as LLaVA has them."""
    bias = whole.flag("multimodal_projector_bias", default)
    return _linear(inner, hidden, bias=bias) + _linear(hidden, hidden, bias=bias)


def _widths_and_layers(tower: Config) -> tuple[int, int, int]:
    """Width, width of the feed-forward, and layers, by the names that most towers use."""
    return tower.count("hidden_size"), tower.count("intermediate_size"), tower.count("num_hidden_layers")


def _clip(tower: Config, whole: Config, hidden: int) -> int:
    width, inner, layers = _widths_and_layers(tower)
    patch, patches = _patches(tower)
    own = (patch + 1 + patches + 1) * width + layers * _block(width, inner) + 4 * width
    return own + _projector(whole, width, hidden)


def _siglip(tower: Config, whole: Config, hidden: int) -> int:
    """SigLIP, before Gemma 3 with one matrix and a norm, else with two layers, gated on four rows in Command A."""
    width, inner, layers = _widths_and_layers(tower)
    patch, patches = _patches(tower)
    own = (patch + 1 + patches) * width + layers * _block(width, inner) + 2 * width
    if tower.flag("vision_use_head", True):
        own += width + 4 * width**2 + 4 * width + 2 * width + _linear(width, inner) + _linear(inner, width)
    if whole.model_type == "cohere2_vision":
        inner = whole.count("alignment_intermediate_size")
        shuffled = (whole.maybe("downsample_factor") or 2) ** 2 * width
        return own + _linear(shuffled, inner) + _linear(inner // 2, hidden)
    if whole.model_type in ("gemma3", "paligemma"):
        return own + (width * hidden + width if whole.model_type == "gemma3" else _linear(width, hidden))
    return own + _projector(whole, width, hidden)


def _pixtral(tower: Config, whole: Config, hidden: int) -> int:
    width, inner, layers = _widths_and_layers(tower)
    patch, _ = _patches(tower)
    own = patch * width + width + layers * _block(width, inner, gated=True, bias=False, layer_norm=False)
    if whole.model_type == "mistral3":
        own += (whole.maybe("spatial_merge_size") or 2) ** 2 * width**2 + width
    return own + _projector(whole, width, hidden, default=whole.model_type != "mistral3")


def _qwen2(tower: Config, whole: Config, hidden: int) -> int:
    width, out, layers = tower.count("embed_dim"), tower.count("hidden_size"), tower.count("depth")
    inner = width * (tower.maybe("mlp_ratio") or 4)
    merged = width * (tower.maybe("spatial_merge_size") or 2) ** 2
    merger = 2 * width + _linear(merged, merged) + _linear(merged, out)
    return _frames(tower) * width + layers * _block(width, inner) + merger


def _qwen2_5(tower: Config, whole: Config, hidden: int) -> int:
    width, inner, layers = tower.count("hidden_size"), tower.count("intermediate_size"), tower.count("depth")
    merged = width * (tower.maybe("spatial_merge_size") or 2) ** 2
    merger = width + _linear(merged, merged) + _linear(merged, tower.count("out_hidden_size"))
    return _frames(tower) * width + layers * _block(width, inner, gated=True, layer_norm=False) + merger


def _qwen3(tower: Config, whole: Config, hidden: int) -> int:
    width, inner, layers = tower.count("hidden_size"), tower.count("intermediate_size"), tower.count("depth")
    merged = width * (tower.maybe("spatial_merge_size") or 2) ** 2
    join = _linear(merged, merged) + _linear(merged, tower.count("out_hidden_size"))
    deep = tower.raw("deepstack_visual_indexes")
    mergers = 2 * width + join + (len(deep) * (2 * merged + join) if isinstance(deep, list) else 0)
    first = (_frames(tower) + 1 + tower.count("num_position_embeddings")) * width
    return first + layers * _block(width, inner) + mergers


def _glm4v(tower: Config, whole: Config, hidden: int) -> int:
    """GLM-4V's: learned places, gated layers of two norms, a convolution to the model's width, and a gated MLP there.

    The MLP of a layer is as wide as the language model's rows, the last one as the tower's ``intermediate_size`` says.
    """
    width, inner, layers = tower.count("hidden_size"), tower.count("intermediate_size"), tower.count("depth")
    out = tower.count("out_hidden_size")
    _, patches = _patches(tower)
    attention = 4 * width**2 + (3 * width if tower.flag("attention_bias") else 0)
    each = attention + 3 * width * out + 2 * width
    down = (tower.maybe("spatial_merge_size") or 2) ** 2 * width * out + out
    merger = out**2 + 2 * out + 3 * out * inner
    return (_frames(tower) + 1 + patches) * width + layers * each + 2 * width + down + merger


def _minimax_m3(tower: Config, whole: Config, hidden: int) -> int:
    """MiniMax M3's: no learned places, a norm before the layers, and two layers on each row, then two on four rows."""
    width, inner, layers = _widths_and_layers(tower)
    out = whole.count("projector_hidden_size")
    merged = (tower.maybe("spatial_merge_size") or 2) ** 2 * hidden
    own = _frames(tower) * width + 2 * width + layers * _block(width, inner)
    return own + _linear(width, out) + _linear(merged, out) + 2 * _linear(out, hidden)


def _frames(tower: Config) -> int:
    """Elements of a patch of two frames."""
    channels = tower.maybe("in_channels", "in_chans", "num_channels") or 3
    return channels * (tower.maybe("temporal_patch_size") or 2) * tower.count("patch_size") ** 2


def _internvit(tower: Config, whole: Config, hidden: int) -> int:
    width, inner, layers = _widths_and_layers(tower)
    patch, patches = _patches(tower)
    own = (patch + 1 + patches + 1 + 1) * width
    norms = (2 if tower.text("norm_type") == "rms_norm" else 4) * width
    attention = 4 * width**2 + (4 if tower.flag("attention_bias") or tower.flag("qkv_bias") else 1) * width
    normed = 2 * width if tower.flag("use_qk_norm") or tower.flag("qk_normalization") else 0
    each = attention + normed + _linear(width, inner) + _linear(inner, width) + norms + 2 * width
    shuffled = 4 * width
    last = 0 if tower.flag("use_mean_pooling", True) else 2 * width
    return own + layers * each + last + 2 * shuffled + _linear(shuffled, hidden) + _linear(hidden, hidden)


def _whisper(tower: Config, whole: Config, hidden: int) -> int:
    """Whisper's encoder, and before the language model one layer, or two: in Voxtral on four frames each.

    Qwen2.5-Omni has no places that are learned, and two marks.
    """
    width = tower.count("d_model", "hidden_size")
    inner, layers = (
        tower.count("encoder_ffn_dim", "intermediate_size"),
        tower.count("encoder_layers", "num_hidden_layers"),
    )
    own = _linear(3 * tower.count("num_mel_bins"), width) + _linear(3 * width, width)
    own += layers * (_block(width, inner) - width) + 2 * width
    if tower.model_type == "qwen2_5_omni_audio_encoder":
        out = tower.count("output_dim")
        return own + _linear(width, out) + 2 * out
    own += tower.count("max_source_positions") * width
    if tower.model_type == "voxtral_encoder":
        return own + inner * hidden + hidden**2
    if tower.model_type == "audioflamingo3_encoder":
        bias = whole.flag("projector_bias", True)
        return own + _linear(width, hidden, bias=bias) + _linear(hidden, hidden, bias=bias)
    return own + _linear(width, hidden)


def _glm_sound(tower: Config, whole: Config, hidden: int) -> int:
    """GLM-ASR's: Whisper's layers with rotary places, and two layers on four frames before the language model."""
    width, inner, layers = _widths_and_layers(tower)
    own = _linear(3 * tower.count("num_mel_bins"), width) + _linear(3 * width, width)
    own += layers * (_block(width, inner) - width) + 2 * width
    return own + _linear(inner, 2 * hidden) + _linear(2 * hidden, hidden)


def _granite_sound(tower: Config, whole: Config, hidden: int) -> int:
    """Granite speech's: conformers that name letters in passing, and queries that attend to windows of frames."""
    width, layers, letters = (tower.count(field) for field in ("hidden_dim", "num_layers", "output_dim"))
    heads = tower.count("num_heads")
    head = tower.maybe("dim_head") or width // heads
    forward = 2 * width + _linear(width, (by := tower.count("feedforward_mult")) * width) + _linear(by * width, width)
    attention = 2 * width + 4 * width * heads * head + width + (2 * tower.count("max_pos_emb") + 1) * head
    inner = width * tower.count("conv_expansion_factor")
    convolved = 2 * width + _linear(width, 2 * inner) + (tower.count("conv_kernel_size") + 2) * inner
    each = 2 * forward + attention + convolved + _linear(inner, width) + 2 * width
    named = _linear(width, letters) + _linear(letters, width)
    return _linear(tower.count("input_dim"), width) + layers * each + named + _queries(whole, hidden)


def _queries(whole: Config, hidden: int) -> int:
    """BLIP-2's queries as Granite has them: layers that attend to each other, and every so many to the encoder's."""
    part = whole.part("projector_config")
    width, inner, layers = _widths_and_layers(part)
    seen, every = part.count("encoder_hidden_size"), part.count("cross_attention_frequency")
    normed = _linear(width, width) + 2 * width
    own = 3 * _linear(width, width) + normed
    across = _linear(width, width) + 2 * _linear(seen, width) + normed
    each = own + _linear(width, inner) + _linear(inner, width) + 2 * width
    queries = whole.count("window_size") // whole.count("downsample_rate") * width
    return queries + 2 * width + layers * each + -(-layers // every) * across + _linear(width, hidden)


def _qwen3_sound(tower: Config, whole: Config, hidden: int) -> int:
    """The encoder of Qwen3-Omni and Qwen3-ASR: three convolutions that halve time and frequency, then layers."""
    width, inner, layers = (tower.count(field) for field in ("d_model", "encoder_ffn_dim", "encoder_layers"))
    channels, out = tower.count("downsample_hidden_size"), tower.count("output_dim")
    own = (
        9 * channels
        + channels
        + 2 * (9 * channels**2 + channels)
        + -(-tower.count("num_mel_bins") // 8) * channels * width
    )
    return own + layers * _block(width, inner) + 2 * width + _linear(width, width) + _linear(width, out)


def _idefics3(tower: Config, whole: Config, hidden: int) -> int:
    """SigLIP without a head; several of its rows make one of the language model's."""
    width, inner, layers = _widths_and_layers(tower)
    patch, patches = _patches(tower)
    own = (patch + 1 + patches) * width + layers * _block(width, inner) + 2 * width
    return own + (whole.maybe("scale_factor") or 2) ** 2 * width * hidden


def _two(tower: Config, field: str) -> tuple[int, int]:
    """The two whole numbers that ``field`` has."""
    found = tower.raw(field)
    if not isinstance(found, list) or len(found) != 2 or not all(type(n) is int and n > 0 for n in found):
        raise tower.error(field, "must be two whole numbers")
    return int(found[0]), int(found[1])


def _kimi(tower: Config, whole: Config, hidden: int) -> int:
    """Kimi K2.5's: a learned place per row and column, and two layers on four rows before the language model."""
    width, inner, layers = _widths_and_layers(tower)
    places = tower.count("pos_emb_height") * tower.count("pos_emb_width")
    own = (3 * tower.count("patch_size") ** 2 + 1 + places) * width + layers * _block(width, inner) + 2 * width
    down, across = _two(tower, "merge_kernel_size")
    merged = down * across * width
    return own + 2 * width + _linear(merged, merged) + _linear(merged, hidden)


def _gemma4_image(tower: Config, whole: Config, hidden: int) -> int:
    """Gemma 4's encoder: gated layers with four norms and norms of Q and K, a place per row and per column."""
    width, inner, layers = _widths_and_layers(tower)
    heads, head = tower.count("num_attention_heads"), tower.count("head_dim")
    both = heads + (tower.maybe("num_key_value_heads") or heads)
    first = (3 * tower.count("patch_size") ** 2 + 2 * tower.count("position_embedding_size")) * width
    return first + layers * (2 * width * both * head + 2 * head + 3 * width * inner + 4 * width) + width * hidden


def _conformer(tower: Config, field: str, first: int | None, shape: tuple[int, int, int, int]) -> int:
    """Google's conformer on ``first`` features of sound; its ``shape`` is width, layers, heads, and frames convolved.

    Two convolutions over time and frequency, whose channels ``field`` has, halve both. A layer has two feed-forward
    parts, attention by relative places, a convolution, and nine norms. Without ``first`` it is the first channels.
    """
    one, two = _two(tower, field)
    width, layers, heads, kernel = shape
    own = 9 * one + one + 9 * one * two + two + (one if first is None else first) // 4 * two * width
    return own + layers * (24 * width**2 + width // heads + (kernel + 9) * width)


def _gemma4_sound(tower: Config, whole: Config, hidden: int) -> int:
    width, layers, out = (tower.count(field) for field in ("hidden_size", "num_hidden_layers", "output_proj_dims"))
    shape = (width, layers, tower.count("num_attention_heads"), tower.count("conv_kernel_size"))
    return _conformer(tower, "subsampling_conv_channels", None, shape) + _linear(width, out) + out * hidden


def _gemma3n_sound(tower: Config, whole: Config, hidden: int) -> int:
    """Gemma 3n's: the same layers, and before the language model an embedding of its own and two norms."""
    width, layers = tower.count("hidden_size"), tower.count("conf_num_hidden_layers")
    shape = (width, layers, tower.count("conf_num_attention_heads"), tower.count("conf_conv_kernel_size"))
    own = _conformer(tower, "sscp_conv_channel_size", tower.count("input_feat_size"), shape)
    return own + (tower.count("vocab_size") + 2) * width + width * hidden


def _gemma3n_image(tower: Config, whole: Config, hidden: int) -> int:
    """Gemma 3n's MobileNet, one architecture of timm, and the same embedding and norms before the language model."""
    if tower.text("architecture") != "mobilenetv5_300m_enc":
        raise tower.error("architecture", "is not counted")
    width = tower.count("hidden_size")
    return MOBILENET_V5 + (tower.count("vocab_size") + 2) * width + width * hidden


_COUNTERS: Mapping[str, tuple[Counter, tuple[str, ...]]] = {
    "clip_vision_model": (_clip, ("llava",)),
    "siglip_vision_model": (_siglip, ("gemma3", "paligemma", "llava", "deepseek_vl", "cohere2_vision")),
    "pixtral": (_pixtral, ("llava", "mistral3", "pixtral")),
    "qwen2_vl": (_qwen2, ("qwen2_vl",)),
    "qwen2_vl_vision": (_qwen2, ("qwen2_vl",)),
    "qwen2_5_vl": (_qwen2_5, ("qwen2_5_vl",)),
    "qwen2_5_vl_vision": (_qwen2_5, ("qwen2_5_vl",)),
    "qwen3_vl": (_qwen3, ("qwen3_vl",)),
    "qwen3_vl_vision": (_qwen3, ("qwen3_vl",)),
    "qwen3_vl_moe": (_qwen3, ("qwen3_vl_moe",)),
    "qwen3_vl_moe_vision": (_qwen3, ("qwen3_vl_moe",)),
    "qwen3_5": (_qwen3, ("qwen3_5",)),
    "qwen3_5_vision": (_qwen3, ("qwen3_5",)),
    "qwen3_5_moe": (_qwen3, ("qwen3_5_moe",)),
    "qwen3_5_moe_vision": (_qwen3, ("qwen3_5_moe",)),
    "internvl_vision": (_internvit, ("internvl",)),
    "intern_vit_6b": (_internvit, ("internvl_chat",)),
    "qwen2_audio_encoder": (_whisper, ("qwen2_audio",)),
    "voxtral_encoder": (_whisper, ("voxtral",)),
    "audioflamingo3_encoder": (_whisper, ("audioflamingo3",)),
    "qwen2_5_omni_audio_encoder": (_whisper, ("qwen2_5_omni", "qwen2_5_omni_thinker")),
    "qwen2_5_omni_vision_encoder": (_qwen2_5, ("qwen2_5_omni", "qwen2_5_omni_thinker")),
    "qwen3_omni_moe_audio_encoder": (_qwen3_sound, ("qwen3_omni_moe", "qwen3_omni_moe_thinker")),
    "qwen3_omni_moe_vision_encoder": (_qwen3, ("qwen3_omni_moe", "qwen3_omni_moe_thinker")),
    "qwen3_asr_encoder": (_qwen3_sound, ("qwen3_asr",)),
    "idefics3_vision": (_idefics3, ("idefics3", "smolvlm")),
    "smolvlm_vision": (_idefics3, ("smolvlm",)),
    "glm4v": (_glm4v, ("glm4v",)),
    "glm4v_vision": (_glm4v, ("glm4v",)),
    "glm4v_moe": (_glm4v, ("glm4v_moe",)),
    "glm4v_moe_vision": (_glm4v, ("glm4v_moe",)),
    "glmasr_encoder": (_glm_sound, ("glmasr",)),
    "granite_speech_encoder": (_granite_sound, ("granite_speech",)),
    "minimax_m3_vl_vision": (_minimax_m3, ("minimax_m3_vl",)),
    "kimi_k25_vision": (_kimi, ("kimi_k25",)),
    "gemma4_vision": (_gemma4_image, ("gemma4",)),
    "gemma4_audio": (_gemma4_sound, ("gemma4",)),
    "gemma3n_vision": (_gemma3n_image, ("gemma3n",)),
    "gemma3n_audio": (_gemma3n_sound, ("gemma3n",)),
}
"""By the type of a tower, how it is counted, and the types of the whole models in which it is known what joins it."""

_IMAGES: Mapping[str, Callable[[Config, Config], Encoder | None]] = {
    "siglip_vision_model": _gemma3_image,
    "pixtral": _pixtral_image,
    **{kind: _qwen_image for kind in _COUNTERS if kind.startswith("qwen") and "audio" not in kind},
}
