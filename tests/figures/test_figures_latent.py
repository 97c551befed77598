"""Latent figures against tables and formulas worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from kvtui.engine.basis.errors import InputError
from kvtui.figures import latent
from kvtui.figures.family import ShapeFamily, member, millions, token_bytes
from kvtui.figures.figure import Bars, Line, Surface
from tests.figures.sample_rows import marks, of_kind, said

THEORETICAL = {32: 1_179_648, 64: 1_966_080, 96: 2_752_512, 128: 3_538_944, 256: 6_684_672}
"""fp32, 12 layers, 16 rotary elements, 512 tokens."""


def test_dial_is_the_table_with_its_crossings() -> None:
    figure = latent.dial()
    line = marks(figure)["MLA"]
    found = dict(zip(line.x.tolist(), line.y.tolist(), strict=True))
    assert {size: found[size] for size in THEORETICAL} == THEORETICAL
    assert set(marks(figure)["MHA"].y) == {12_582_912}
    assert set(marks(figure)["GQA"].y) == {3_145_728}
    assert {rule.label: rule.value for rule in figure.panels[0].rules} == {"48 = MQA": 48, "112 = GQA": 112}
    assert found[112] == 3_145_728
    assert "as MHA at a latent of 496" in said(figure)


def test_dial_at_another_width() -> None:
    lines = marks(latent.dial(dim=512))
    assert set(lines["MHA"].y) == {25_165_824}
    assert set(lines["GQA"].y) == {6_291_456}


def test_latents_below_every_head_are_never_less() -> None:
    assert "MQA at a latent of -8: never less" in said(latent.dial(head_dim=4, dim=64))


def test_depth_is_a_factor() -> None:
    figure = latent.depths()
    by_size, by_depth = figure.panels
    assert by_depth.categories == ("8 layers", "12 layers", "16 layers")
    for bars, per_layer in zip(of_kind(Bars, by_depth.marks), (2 * 256, 2 * 64, 64 + 16), strict=True):
        assert bars.values.tolist() == [n * per_layer * 4 * 512 for n in (8, 12, 16)]
    for line in of_kind(Line, by_size.marks):
        assert (np.diff(line.x) > 0).all()


def test_work_against_operations_written_out() -> None:
    figure = latent.work()
    flops = {name: mark.y[0] for name, mark in marks(figure).items()}
    held = {name: mark.x[0] for name, mark in marks(figure).items()}
    dim, n, h, r, d, q, tokens = 256, 8, 32, 24, 96, 128, 256
    common = 2 * 3 * dim * 4 * dim + 2 * 2 * dim
    head = 2 * (dim * 256 + dim)
    heads = 2 * (4 * dim * dim) + common + 4 * n * tokens * h
    projections = dim * q + q + q * n * (h + r) + dim * (d + r) + d + d * n * 2 * h + n * h * dim
    absorbed = 2 * projections + common + 2 * n * tokens * (2 * d + r)
    assert flops["MHA"] == 12 * heads + head
    assert flops["MLA, absorbed"] == 12 * absorbed + head
    product = 2 * n * q * d * h + 2 * n * h * d * dim
    assert flops["MLA, absorbing the weights at each step"] == flops["MLA, absorbed"] + 12 * product
    around = 2 * d * n * 2 * h
    expanded = absorbed - around - 2 * n * tokens * (2 * d + r) + tokens * around + 2 * n * tokens * (2 * h + r)
    assert flops["MLA, expanded"] == 12 * expanded + head
    assert held["MHA"] == 256 * 12 * 2 * 256 * 4
    assert held["MLA, absorbed"] == 256 * 12 * 120 * 4


def test_the_published_nine_times_is_the_weights_own_product() -> None:
    figure = latent.work()
    flops = {name: mark.y[0] for name, mark in marks(figure).items()}
    assert flops["MHA"] / 1e6 == pytest.approx(28.3, rel=0.01)
    assert flops["GQA"] / 1e6 == pytest.approx(26.0, rel=0.01)
    assert flops["MLA, absorbing the weights at each step"] / 1e6 == pytest.approx(259.4, rel=0.01)
    assert flops["MLA, absorbed"] / flops["MHA"] < 1.3


def test_latents_over_context() -> None:
    figure = latent.by_context()
    sheets = marks(figure)
    mla = sheets["MLA"]
    for j, size in enumerate(mla.x.tolist()):
        assert np.array_equal(mla.z[:, j], 8 * 12 * (size + 16) * 4 * mla.y)
    assert (sheets["GQA"].z == sheets["GQA"].z[:, :1]).all()
    line = marks(figure, 1)["MLA"]
    assert np.array_equal(line.y, line.x + 16)


def test_only_heads_grow_with_the_model() -> None:
    figure = latent.decoupling()
    lines = marks(figure, 1)
    assert (np.diff(lines["MHA"].y) > 0).all()
    assert set(lines["MLA 64"].y) == {80}
    cloud = marks(figure, 0)["MHA"]
    assert np.array_equal(cloud.z, 512 * 12 * 4 * cloud.y)


def test_four_contexts_are_four_panels() -> None:
    figure = latent.by_depth()
    assert [panel.title for panel in figure.panels] == ["512 tokens", "4K tokens", "32K tokens", "128K tokens"]
    for panel, context in zip(figure.panels, latent.DEPTH_CONTEXTS, strict=True):
        mla, gqa = of_kind(Surface, panel.marks)
        assert mla.z[2, 1] == context * 12 * (48 + 16) * 4
        assert (gqa.z[:, 0] == context * mla.y * 2 * 128 * 4).all()


def test_members_of_the_family() -> None:
    shape = member(ShapeFamily(), 256, "MLA")
    assert (shape.latent, shape.rope_dim, shape.query_latent) == (64, 16, 128)
    assert token_bytes(shape) == 12 * 80 * 4
    assert millions(member(ShapeFamily(), 256, "MHA")) == pytest.approx(12.6, abs=0.1)
    with pytest.raises(InputError, match="dim: 100 is not a multiple"):
        member(ShapeFamily(), 100, "MHA")
    with pytest.raises(InputError, match="kv-heads"):
        member(ShapeFamily(), 448, "GQA")
