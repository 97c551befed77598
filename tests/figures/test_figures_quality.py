"""Trained models: the front by brute force, the rest against the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.figures.figure import Cloud, Line, Surface
from kvtui.figures.json import to_json
from kvtui.figures.quality import BATCHES, TRAINED, pareto_front
from kvtui.figures.seeds import by_seed
from tests.figures.sample_rows import marks, of_kind, said


def rows() -> list[dict[str, Any]]:
    found = []
    for dim, params in ((256, 13.0), (512, 45.0)):
        for moe in (False, True):
            for kind, latent, cache in (
                ("MHA", None, 12.6),
                ("GQA(2/8)", None, 3.1),
                ("MLA", 32, 1.2),
                ("MLA", 64, 2.0),
                ("MLA", 128, 3.5),
            ):
                found.append(
                    {
                        "run": f"{kind}-{dim}-{latent}",
                        "type": kind,
                        "params_m": params + (5 if moe else 0),
                        "moe": moe,
                        "num_blocks": 12,
                        "dim": dim,
                        "n_heads": dim // 32,
                        "max_context": 512,
                        "down_dim_kv": latent,
                        "theoretical_cache_mb": cache * dim / 256,
                        "prefill_ms": params**0.5,
                        "val_loss": 1.5 - 0.001 * params + (0.1 if latent == 32 else 0.0),
                        "decode_gflops": 0.03,
                        "decode_tflops_s": 0.001,
                        **{f"tps_{n}": 1000.0 / n * (1 + (kind == "MLA")) for n in (64, 128, 256, 512)},
                        "family": f"L12_D{dim}_H{dim // 32}_C512_{'MoE' if moe else 'Dense'}",
                    }
                )
    return found


points = st.lists(st.tuples(st.integers(0, 12).map(float), st.integers(0, 12).map(float)), max_size=25)


@given(points)
def test_the_front_by_brute_force(found: list[tuple[float, float]]) -> None:
    def beaten(i: int) -> bool:
        return any(other[0] <= found[i][0] and other[1] <= found[i][1] and other != found[i] for other in found)

    assert pareto_front(found) == [i for i in range(len(found)) if not beaten(i)]


@pytest.mark.parametrize("id", [*TRAINED, *BATCHES])
def test_each_says_what_is_missing(id: str) -> None:
    function = {**TRAINED, **BATCHES}[id]
    assert function([]).panels == ()
    assert "No rows of the" in said(function([]))


@pytest.mark.parametrize("id", [id for id in (*TRAINED, *BATCHES) if id != "trained-overview"])
def test_each_says_which_column_is_missing(id: str) -> None:
    odd = {**TRAINED, **BATCHES}[id]([{"type": "MLA"}])
    assert odd.panels == ()
    assert "No column" in said(odd)


@pytest.mark.parametrize("id", TRAINED)
def test_each_is_drawn(id: str) -> None:
    figure = TRAINED[id](rows())
    assert figure.panels
    to_json(figure)


def test_the_front_is_a_staircase_below_all_points() -> None:
    figure = TRAINED["quality-cache"](rows())
    assert [panel.title for panel in figure.panels] == ["dense", "MoE"]
    dense = marks(figure)
    front = dense["front"]
    assert (np.diff(front.x) >= 0).all()
    assert (np.diff(front.y) <= 0).all()
    for name, mark in dense.items():
        if name != "front":
            for x, y in zip(mark.x.tolist(), mark.y.tolist(), strict=True):
                reached = front.y[front.x <= x]
                assert reached.size == 0 or y >= reached.min()
    assert dense["MLA"].x.min() == 1.2e6


def test_the_cubes_have_the_rows() -> None:
    cube = marks(TRAINED["quality-cube"](rows()))["MHA"]
    assert cube.x.tolist() == [13.0, 45.0]
    assert cube.y == pytest.approx([12.6e6, 25.2e6])
    dense = TRAINED["efficiency-cube"](rows()).panels[0]
    up = next(mark for mark in dense.marks if mark.name == "MHA")
    assert isinstance(up, Cloud)
    assert up.x.tolist() == [1000 / 512] * 2
    assert up.y[0] == pytest.approx(1000 / 512 / 12.6)
    assert up.z[0] == pytest.approx(1 / (1.5 - 0.013))


def test_the_surface_passes_through_what_was_trained() -> None:
    figure = TRAINED["latent-quality"]([row for row in rows() if not row["moe"]])
    (sheet,) = of_kind(Surface, figure.panels[0].marks)
    assert sheet.x.tolist() == [13.0, 45.0]
    for latent, loss in ((32, 1.5 - 0.013 + 0.1), (64, 1.5 - 0.013), (128, 1.5 - 0.013)):
        assert sheet.z[sheet.y == latent, 0] == pytest.approx(loss)
    assert sheet.z[sheet.y == 44, 0] == pytest.approx(1.5 - 0.013 + 0.1 * 20 / 32)
    assert {rule.label for rule in figure.panels[0].rules} == {"best MHA", "best GQA"}
    one = TRAINED["latent-quality"]([row for row in rows() if row["dim"] == 256 and not row["moe"]])
    assert len(one.panels) == 1
    assert "two widths" in said(one)


def test_nothing_is_drawn_beyond_trained_latents() -> None:
    table = [row for row in rows() if not row["moe"] and not (row["dim"] == 512 and row["down_dim_kv"] == 128)]
    (sheet,) = of_kind(Surface, TRAINED["latent-quality"](table).panels[0].marks)
    assert np.isnan(sheet.z[sheet.y > 64, 1]).all()
    assert not np.isnan(sheet.z[:, 0]).any()


def test_lengths_compare_with_mla() -> None:
    throughput, compared = TRAINED["trained-length"](rows()).panels
    line = next(mark for mark in of_kind(Line, throughput.marks) if mark.name == "MHA")
    assert line.y.tolist() == [1000 / n for n in (64, 128, 256, 512)]
    assert set(next(mark for mark in of_kind(Line, compared.marks) if mark.name == "MHA").y) == {0.5}


def test_prefill_has_its_power_law() -> None:
    assert "MHA: time grows as weights to the power" in said(TRAINED["trained-prefill"](rows()))
    dense = [row for row in rows() if not row["moe"]]
    assert "to the power 0.50" in said(TRAINED["trained-prefill"](dense))


def test_families_are_categories() -> None:
    figure = TRAINED["trained-overview"](rows())
    assert figure.panels[0].categories == tuple(dict.fromkeys(row["family"] for row in rows()))
    without = [{key: value for key, value in row.items() if key != "family"} for row in rows()]
    assert TRAINED["trained-overview"](without).panels[0].categories == figure.panels[0].categories


def test_the_best_batch_is_named() -> None:
    table = [
        {"type": "MLA", "dim": 256, "batch_size": n, "tps": rate, "oom": False}
        for n, rate in ((1, 10.0), (4, 40.0), (16, 30.0))
    ]
    figure = BATCHES["trained-batch"]([*table, {"type": "MLA", "dim": 256, "batch_size": 64, "tps": None, "oom": True}])
    assert "256 wide, MLA: most at batch 4." in said(figure)
    assert "1 batches did not fit." in said(figure)


def seeded(*losses: tuple[str, int | None, float, float]) -> list[dict[str, Any]]:
    """Own rows of two seeds each: attention, latent and both losses."""
    return [
        {
            "run": f"{kind}-{latent}_s{seed}",
            "type": kind,
            "dim": 64,
            "params_m": 0.1,
            "moe": False,
            "theoretical_cache_mb": (latent or 64) / 1e3,
            "down_dim_kv": latent,
            "val_loss": loss,
            "tps_512": 1000.0,
            "tps_512_p20": 900.0,
            "tps_512_p80": 1100.0,
            "family": "L2_D64_H4_C128_Dense",
            "seed": seed,
            "machine": "one",
        }
        for kind, latent, *both in losses
        for seed, loss in enumerate(both)
    ]


SEEDED = seeded(("MHA", None, 1.5, 1.6), ("MLA", 16, 1.58, 1.7), ("MLA", 32, 1.9, 2.0))


def test_seeds_are_one_point_with_a_spread() -> None:
    points = {row["run"]: row for row in by_seed(SEEDED)}
    assert points.keys() == {"MHA-None", "MLA-16", "MLA-32"}
    assert [points["MHA-None"][name] for name in ("val_loss", "low", "high", "seeds")] == [1.55, 1.5, 1.6, 2]
    front = TRAINED["quality-cache"](SEEDED)
    bars = next(mark for mark in front.panels[0].marks if mark.name == "seeds, least to largest")
    assert isinstance(bars, Line)
    assert [y for y in bars.y.tolist() if y == y] == [1.5, 1.6, 1.58, 1.7, 1.9, 2.0]


def test_no_order_is_told_of_models_whose_seeds_overlap() -> None:
    notes = said(TRAINED["quality-cache"](SEEDED))
    assert "no order is told, of MHA-None and MLA-16." in notes
    assert "MLA-32 and" not in notes


def test_the_dial_names_the_latent_with_the_cache_of_another() -> None:
    figure = TRAINED["trained-dial"](SEEDED)
    assert "64 wide: a latent of 64 has the cache of MHA." in said(figure)
    (line,) = (mark for mark in figure.panels[0].marks if isinstance(mark, Line))
    assert line.x.tolist() == [16, 32]
    assert [line.low.tolist(), line.high.tolist()] == [[1.58, 1.9], [1.7, 2.0]]  # type: ignore[union-attr]
    assert {rule.label for rule in figure.panels[0].rules} == {"MHA", "MHA −3 %", "MHA +3 %"}


def test_the_fleet_has_whole_sequences_beside_the_weights() -> None:
    counts = next(mark for mark in TRAINED["trained-serving"](SEEDED).panels[0].marks if mark.name == "MHA")
    assert isinstance(counts, Line)
    assert counts.y.tolist() == [(budget - 4e5) // 64e3 for budget in counts.x.tolist()]


def test_the_serving_surface_has_whole_sequences_over_the_time_of_a_step() -> None:
    figure = TRAINED["trained-surface"]([row for row in rows() if not row["moe"]])
    over, cuts = figure.panels
    sheets = {mark.name: mark for mark in over.marks if isinstance(mark, Surface)}
    assert sheets.keys() == {"MHA", "GQA", "MLA 128"}
    mha = sheets["MHA"]
    # 25.2 MB at 512 tokens, weights of 45 M in fp32; the rates of the rows are 1000 / n, so a step takes n / 1e3 s.
    sequences = (mha.x[-1] - 180e6) // (25.2e6 / 512 * mha.y[0])
    assert mha.z[0, -1] == pytest.approx(sequences / (mha.y[0] / 1e3), rel=1e-6)
    assert {mark.name for mark in cuts.marks} == {f"{name}, {size} GB" for name in sheets for size in (24, 80)}
    assert [rule.label for rule in over.rules] == ["24 GB", "80 GB"]
    tiny = [{**row, "params_m": 1e6} for row in rows() if not row["moe"]]
    (empty, *_) = (mark for mark in TRAINED["trained-surface"](tiny).panels[0].marks if isinstance(mark, Surface))
    assert not empty.z.any()


def test_both_cubes_keep_dense_and_moe_apart() -> None:
    for id in ("quality-cube", "efficiency-cube"):
        assert [panel.title.partition(":")[0] for panel in TRAINED[id](rows()).panels] == ["dense", "MoE"]
    assert "The ideal corner" in said(TRAINED["efficiency-cube"](rows()))


def test_bundled_rows_say_so() -> None:
    figure = TRAINED["quality-cache"]([{**row, "bundled": True} for row in SEEDED])
    assert figure.title.endswith("(bundled models)")
    assert not TRAINED["quality-cache"](SEEDED).title.endswith("(bundled models)")
