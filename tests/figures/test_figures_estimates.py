"""The estimators' curves against tables worked out by hand, to the byte."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.errors import InputError
from kvtui.figures import estimates
from kvtui.figures.figure import Line
from tests.figures.sample_rows import marks, of_kind, said

MHA = [101_449_728, 405_798_912, 3_246_391_296, 12_985_565_184, 51_942_260_736]
AT = [256, 1024, 8192, 32_768, 131_072]


def at(line: Line, contexts: list[int]) -> list[float]:
    known = dict(zip(line.x.tolist(), line.y.tolist(), strict=True))
    return [known[context] for context in contexts]


def test_gqa_is_the_table_and_names_its_factors() -> None:
    figure = estimates.groups_by_context()
    lines = marks(figure)
    assert list(lines) == [
        "MHA",
        "GQA, 6 KV heads (4×)",
        "GQA, 3 KV heads (8×)",
        "GQA, 2 KV heads (12×)",
        "GQA, 1 KV head (24×)",
    ]
    for line, factor in zip(lines.values(), (1, 4, 8, 12, 24), strict=True):
        assert line.x.tolist() == [2**n for n in range(8, 18)]
        assert at(line, AT) == [size / factor for size in MHA]
    assert figure.panels[0].x.scale == "log2"


def test_latents_beside_an_exact_row() -> None:
    lines = marks(estimates.latents_by_context())
    assert [line.y[-1] for line in lines.values()] == [
        51_539_607_552,
        12_884_901_888,
        6_442_450_944,
        3_221_225_472,
        805_306_368,
    ]
    assert [name.partition("(")[2] for name in lines] == ["", "4×)", "8×)", "16×)", "64×)"]


def test_windows_are_clamped_to_the_context() -> None:
    mha, windowed, gqa, both = marks(estimates.windows_by_context()).values()
    contexts = [256, 4096, 131_072]
    assert at(mha, contexts) == [150_994_944, 2_415_919_104, 77_309_411_328]
    assert at(windowed, contexts) == [150_994_944, 1_409_286_144, 13_891_534_848]
    assert windowed.name.endswith("(5.57×)")
    assert np.array_equal(both.y * 4, windowed.y)
    assert np.array_equal(gqa.y * 4, mha.y)


def test_windows_without_a_possible_gqa_say_so() -> None:
    figure = estimates.windows_by_context(heads=6, emb_dim=384)
    assert len(figure.panels[0].marks) == 2
    assert "GQA is left out: queries-per-kv-head: 4 does not divide 6 heads" in said(figure)


def test_states() -> None:
    mha, state, mix = marks(estimates.states_by_context()).values()
    contexts = [128, 1024, 8192, 32_768, 131_072]
    assert at(mha, contexts) == [50_331_648, 402_653_184, 3_221_225_472, 12_884_901_888, 51_539_607_552]
    assert set(state.y) == {25_165_824}
    assert at(mix, contexts) == [31_457_280, 119_537_664, 824_180_736, 3_240_099_840, 12_903_776_256]


def test_layers_that_do_not_divide_are_whole_and_noted() -> None:
    assert "1.5 full layers; here they are whole" in said(estimates.states_by_context(layers=6))
    assert "here they are whole" not in said(estimates.states_by_context())


def test_experts() -> None:
    figure = estimates.experts_by_count()
    dense, resident, active = of_kind(Line, figure.panels[0].marks)
    assert set(dense.y) == {2 * 616_562_688}
    assert at(active, [8, 16, 32, 64, 128, 256, 512]) == [
        2 * n for n in (616_620_032, 308_396_032, 154_370_048, 77_529_088, 39_452_672, 21_102_592, 13_303_808)
    ]
    assert (active.y <= resident.y).all()
    assert "Fewer than 8 experts all run" in said(figure)
    assert "Fewer than" not in said(estimates.experts_by_count(active=1))


@given(st.sampled_from(["fp32", "bf16", "fp16", "fp8", "int8"]), st.integers(1, 40), st.integers(1, 9))
def test_bytes_follow_the_format_and_the_batch(dtype: str, layers: int, batch: int) -> None:
    factor = {"fp32": 4, "bf16": 2, "fp16": 2, "fp8": 1, "int8": 1}[dtype]
    (line,) = of_kind(Line, estimates.groups_by_context(64, 4, layers, batch, dtype, ()).panels[0].marks)
    assert line.y.tolist() == [context * 2 * 64 * layers * batch * factor for context in line.x.tolist()]


def test_heads_that_do_not_divide_are_named() -> None:
    with pytest.raises(InputError, match="queries-per-kv-head: 7 does not divide 24 heads"):
        estimates.groups_by_context(queries=(7,))
