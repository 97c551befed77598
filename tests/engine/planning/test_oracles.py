"""Byte oracles: the exact tables of published KV-memory estimators, for made-up shapes.

GB is 10**9. Where an estimator is known to be wrong (a window not clamped to the context, active experts beyond the
total) the corrected value stands here and says so.
"""

from __future__ import annotations

import pytest

from kvtui.engine.model import parameters
from kvtui.engine.model.caches import Attention, AttentionKind, Latent, Recurrent, lightning
from kvtui.engine.model.formats import kv_format
from kvtui.engine.model.spec import Layer, cache_bytes, count_caches
from kvtui.engine.model.tensors import weight_count

BF16 = kv_format("bf16")


def attention(heads: int, dim: int, window: int | None = None) -> Layer:
    kind: AttentionKind = "full" if window is None else "sliding_window"
    return Layer((Attention(kind, heads, heads, dim, dim, window),))


def total(layers: list[Layer], tokens: int) -> int:
    found = cache_bytes(count_caches(layers), tokens, BF16)
    return found.kv + found.state


def test_gqa_estimator() -> None:
    mha, gqa = [attention(32, 128)] * 32, [attention(8, 128)] * 32
    assert total(mha, 32_768) == 17_179_869_184
    assert total(gqa, 32_768) == 4_294_967_296


def test_mla_estimator() -> None:
    assert total([attention(24, 86)] * 48, 8192) == 3_246_391_296
    assert total([attention(6, 86)] * 48, 8192) == 811_597_824
    assert total([Layer((Latent(24, 1024, 0),))] * 48, 8192) == 805_306_368


def test_sliding_window_estimator() -> None:
    mixed = [attention(32, 128, 1024)] * 27 + [attention(32, 128)] * 5
    grouped = [attention(8, 128, 1024)] * 27 + [attention(8, 128)] * 5
    assert total(mixed, 32_768) == 3_137_339_392
    assert total(grouped, 32_768) == 784_334_848


@pytest.mark.parametrize(
    ("tokens", "full", "windowed"),
    [
        (256, 150_994_944, 150_994_944),  # the reference plot does not clamp the window and shows 1,031,798,784
        (4096, 2_415_919_104, 1_409_286_144),
        (131_072, 77_309_411_328, 13_891_534_848),
    ],
)
def test_sliding_window_plot(tokens: int, full: int, windowed: int) -> None:
    dim = 4096 // 48
    assert dim == 85
    layers, mixed = [attention(1, 4096)] * 36, [attention(1, 4096, 2048)] * 30 + [attention(1, 4096)] * 6
    assert total(layers, tokens) == full
    assert total(mixed, tokens) == windowed
    assert total([attention(1, 1024, 2048)] * 30 + [attention(1, 1024)] * 6, tokens) * 4 == windowed


@pytest.mark.parametrize(
    ("tokens", "mha", "by_group"),
    [
        (256, 101_449_728, (25_362_432, 12_681_216, 8_454_144, 4_227_072)),
        (1024, 405_798_912, (101_449_728, 50_724_864, 33_816_576, 16_908_288)),
        (8192, 3_246_391_296, (811_597_824, 405_798_912, 270_532_608, 135_266_304)),
        (32_768, 12_985_565_184, (3_246_391_296, 1_623_195_648, 1_082_130_432, 541_065_216)),
        (131_072, 51_942_260_736, (12_985_565_184, 6_492_782_592, 4_328_521_728, 2_164_260_864)),
    ],
)
def test_gqa_plot(tokens: int, mha: int, by_group: tuple[int, ...]) -> None:
    assert total([attention(24, 86)] * 48, tokens) == mha
    for group, expected in zip((4, 8, 12, 24), by_group, strict=True):
        assert total([attention(24 // group, 86)] * 48, tokens) == expected


@pytest.mark.parametrize(
    ("latent", "expected"),
    [(1024, 12_884_901_888), (512, 6_442_450_944), (256, 3_221_225_472), (64, 805_306_368)],
)
def test_mla_plot(latent: int, expected: int) -> None:
    assert total([Layer((Latent(24, latent, 0),))] * 48, 131_072) == expected


@pytest.mark.parametrize(
    ("tokens", "mha", "mixed"),
    [
        (128, 50_331_648, 31_457_280),
        (1024, 402_653_184, 119_537_664),
        (8192, 3_221_225_472, 824_180_736),
        (32_768, 12_884_901_888, 3_240_099_840),
        (131_072, 51_539_607_552, 12_903_776_256),
    ],
)
def test_deltanet_plot(tokens: int, mha: int, mixed: int) -> None:
    """One d × d state per head, bf16; the mix has a full layer after every three."""
    delta = Layer((lightning(16, 128, "bf16"),))
    assert total([attention(16, 128)] * 48, tokens) == mha
    assert total([delta] * 48, tokens) == 25_165_824
    assert total([delta] * 36 + [attention(16, 128)] * 12, tokens) == mixed


def test_moe_estimator() -> None:
    dense = weight_count(parameters.mlp(7168, 14_336))
    assert dense == 308_281_344
    routed, tensors = parameters.experts(7168, 8, 2, 1792)
    router = weight_count(tensors)
    assert router == 57_344
    assert routed.parameters == 38_535_168
    assert routed.total * routed.parameters + router == 308_338_688
    assert routed.active * routed.parameters + router == 77_127_680


@pytest.mark.parametrize(
    ("experts", "active"),
    [
        (8, 616_620_032),
        (16, 308_396_032),
        (32, 154_370_048),
        (64, 77_529_088),
        (128, 39_452_672),
        (256, 21_102_592),
        (512, 13_303_808),
    ],
)
def test_moe_plot(experts: int, active: int) -> None:
    """Experts sized so that all of them together match the dense block; eight are active."""
    dense = weight_count(parameters.mlp(7168, 28_672))
    assert dense == 616_562_688
    width = round((dense - 7168 * experts) / (experts * 3 * 7168))
    routed, router = parameters.experts(7168, experts, 8, width)
    assert routed.active * routed.parameters + weight_count(router) == active


def test_trt_llm_pool_of_a_llama_2_7b() -> None:
    """A TensorRT-LLM boot log: 69,524,783,104 bytes for 132,608 tokens of plain multi-head attention."""
    assert total([attention(32, 128)] * 32, 132_608) == 69_524_783_104


def test_recurrent_state_does_not_depend_on_context() -> None:
    layer = Layer((Recurrent("kda", 32, 3, 3 * 32 * 128, 32 * 128 * 128, "fp32"),))
    assert total([layer], 1) == total([layer], 2**30) == 2_170_880
