"""The estimators against tables worked out by hand, to the byte."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError, UnknownName
from kvtui.engine.model import estimators as est
from kvtui.engine.model.estimators import Dims, Estimated
from tests.present import present

ROADMAP = Dims(2048, 24, 48)


def sizes(estimated: Estimated) -> dict[str, int]:
    return {item.name: item.bytes for item in estimated.items}


def test_gqa() -> None:
    found = est.gqa(Dims(4096, 32, 32, 32768), est.kv_heads_of(32, None, 4))
    assert sizes(found) == {"MHA": 17_179_869_184, "GQA": 4_294_967_296}
    assert dict(found.facts)["KV heads"] == "8, each shared by 4 query heads"


def test_mla_with_rounded_heads() -> None:
    found = est.mla(ROADMAP._replace(context=8192), est.kv_heads_of(24, None, 4), 1024)
    assert sizes(found) == {
        "MHA": 3_246_391_296,
        "GQA": 811_597_824,
        "MLA": 805_306_368,
        "MLA + rotary 64": 855_638_016,
    }
    assert dict(found.facts)["head"] == "86 elements, rounded up"


def test_swa() -> None:
    found = est.swa(Dims(4096, 32, 32, 32768), 8, 1024, (5, 1))
    assert sizes(found) == {
        "MHA": 17_179_869_184,
        "GQA": 4_294_967_296,
        "MHA + SWA": 3_137_339_392,
        "GQA + SWA": 784_334_848,
    }


@pytest.mark.parametrize(
    ("layers", "expected"), [(32, (27, 5)), (36, (30, 6)), (48, (40, 8)), (62, (52, 10)), (26, (22, 4))]
)
def test_layer_split(layers: int, expected: tuple[int, int]) -> None:
    assert est.split(layers, (5, 1)) == expected


def test_moe_matched() -> None:
    found = est.moe(7168, 14336, 8, 2, match=True)
    assert {item.name: item.parameters for item in found.items} == {
        "dense FFN": 308_281_344,
        "one expert": 38_535_168,
        "router": 57_344,
        "MoE in all": 308_338_688,
        "MoE active": 77_127_680,
    }
    assert dict(found.facts)["expert width"] == "1,792"
    assert all(item.bytes == 2 * present(item.parameters) for item in found.items)


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
def test_moe_active_parameters_by_experts(experts: int, active: int) -> None:
    found = est.moe(7168, 28672, experts, 8, match=True)
    assert found.items[-1].parameters == active
    assert found.items[0].parameters == 616_562_688


@pytest.mark.parametrize(
    ("context", "attention", "mixed"),
    [
        (128, 50_331_648, 31_457_280),
        (1024, 402_653_184, 119_537_664),
        (8192, 3_221_225_472, 824_180_736),
        (32768, 12_884_901_888, 3_240_099_840),
        (131072, 51_539_607_552, 12_903_776_256),
    ],
)
def test_deltanet(context: int, attention: int, mixed: int) -> None:
    found = est.deltanet(Dims(2048, 16, 48, context))
    assert [item.bytes for item in found.items] == [attention, 25_165_824, mixed]


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (256, (101_449_728, 25_362_432, 12_681_216, 8_454_144, 4_227_072)),
        (1024, (405_798_912, 101_449_728, 50_724_864, 33_816_576, 16_908_288)),
        (8192, (3_246_391_296, 811_597_824, 405_798_912, 270_532_608, 135_266_304)),
        (32768, (12_985_565_184, 3_246_391_296, 1_623_195_648, 1_082_130_432, 541_065_216)),
        (131072, (51_942_260_736, 12_985_565_184, 6_492_782_592, 4_328_521_728, 2_164_260_864)),
    ],
)
def test_gqa_groups_over_context(context: int, expected: tuple[int, ...]) -> None:
    dims = ROADMAP._replace(context=context)
    heads = [24, *(est.kv_heads_of(24, None, group) for group in (4, 8, 12, 24))]
    assert tuple(est.total_bytes(dims, est.softmax_caches(dims, n)) for n in heads) == expected


def test_latents_beside_an_exact_row() -> None:
    dims = ROADMAP._replace(context=131_072, exact_width=True)
    assert est.total_bytes(dims, est.softmax_caches(dims)) == 51_539_607_552
    latents = [est.total_bytes(dims, est.latent_caches(dims, latent)) for latent in (1024, 512, 256, 64)]
    assert latents == [12_884_901_888, 6_442_450_944, 3_221_225_472, 805_306_368]


@pytest.mark.parametrize(
    ("context", "full", "windowed"),
    [
        (256, 150_994_944, 150_994_944),
        (4096, 2_415_919_104, 1_409_286_144),
        (131072, 77_309_411_328, 13_891_534_848),
    ],
)
def test_windows_stay_within_the_context(context: int, full: int, windowed: int) -> None:
    dims = Dims(4096, 48, 36, context, exact_width=True)
    assert est.total_bytes(dims, est.softmax_caches(dims)) == full
    assert est.total_bytes(dims, est.window_caches(dims, 48, 2048, (5, 1))) == windowed
    assert est.total_bytes(dims, est.window_caches(dims, 12, 2048, (5, 1))) == windowed // 4


@pytest.mark.parametrize(("dtype", "factor"), [("fp32", 4), ("bf16", 2), ("fp16", 2), ("fp8", 1), ("int8", 1)])
def test_formats(dtype: str, factor: int) -> None:
    assert sizes(est.mha(Dims(64, 4, 2, 10, 3, dtype)))["MHA"] == 2 * 64 * 2 * 10 * 3 * factor


@given(st.integers(1, 64), st.integers(1, 4096), st.integers(1, 9), st.integers(0, 9), st.integers(0, 9))
def test_a_window_never_needs_more_than_full_attention(
    layers: int, context: int, window: int, first: int, second: int
) -> None:
    dims = Dims(64, 8, layers, context)
    if not first + second:
        second = 1
    windowed = est.total_bytes(dims, est.window_caches(dims, 8, window, (first, second)))
    assert windowed <= est.total_bytes(dims, est.softmax_caches(dims))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: est.kv_heads_of(24, None, 7), "queries-per-kv-head: 7 does not divide 24 heads"),
        (lambda: est.kv_heads_of(24, 5, None), "kv-heads: 5 does not divide 24 heads"),
        (lambda: est.kv_heads_of(24, None, None), "either"),
        (lambda: est.kv_heads_of(24, 4, 6), "either"),
        (lambda: est.moe(64, 64, 4, 5), "top-k: 5 experts cannot run"),
        (lambda: est.mha(Dims(64, 0, 2)), "heads: 0 is below 1"),
        (
            lambda: est.deltanet(Dims(15, 16, 2)),
            r"width \(--emb-dim\): 15 is not even one element for each of 16 heads",
        ),
        (lambda: est.split(8, (0, 0)), "ratio"),
        (lambda: est.latent_caches(ROADMAP, 0), "latent-dim"),
    ],
)
def test_bad_sizes_are_named(call: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        call()


def test_unknown_formats_are_named() -> None:
    with pytest.raises(UnknownName, match="fp8"):
        est.mha(Dims(64, 4, 2, dtype="fp9"))


def test_bytes_per_token_stand_side_by_side_and_the_rotary_part_is_counted() -> None:
    """A made-up 7B: DeepSeek's 512 + 64 elements in 32 layers of bf16 are 36,864 bytes, its latent alone 32,768."""
    found = est.mla(Dims(4096, 32, 32, 8192), 8, 512)
    assert {item.name: item.per_token for item in found.items} == {
        "MHA": 524_288,
        "GQA": 131_072,
        "MLA": 32_768,
        "MLA + rotary 64": 36_864,
    }
    assert [item.name for item in est.mla(Dims(4096, 32, 32), 8, 512, 0).items] == ["MHA", "GQA", "MLA"]
