"""Banks of a pool: all for the same number of blocks, in order, and as many of a kind as its blocks fill."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.canvas.blocks import FEW_WORDS, WORDS, BlockPicture, BlockRun, banks, grid, paint_blocks
from kvtui.canvas.strips import Strip, paint_strips, sampled

RUNS = st.lists(st.tuples(st.sampled_from(sorted(WORDS)), st.integers(1, 5000)), min_size=1, max_size=8)


@given(RUNS, st.integers(1, 300))
def test_a_run_has_as_many_banks_as_its_blocks_fill(runs: list[tuple[str, int]], each: int) -> None:
    picture = BlockPicture(tuple(BlockRun(owner, blocks, n) for n, (owner, blocks) in enumerate(runs)))  # type: ignore[arg-type]
    found = banks(picture, each)
    assert len(found) == -(-picture.blocks // each)
    counts = Counter(run.number for run in found)
    for run in picture.runs:
        unfilled = 1 if run is picture.runs[-1] else 0
        assert abs(counts[run.number] - run.blocks / each) <= 1 + unfilled
    order = [run.number for run in found]
    assert order == sorted(order)


def test_banks_of_one_block_are_the_blocks() -> None:
    picture = BlockPicture((BlockRun("null", 1), BlockRun("held", 29), BlockRun("cached", 2)))
    assert Counter(run.owner for run in banks(picture, 1)) == {"null": 1, "held": 29, "cached": 2}


@given(st.integers(1, 10**9), st.integers(1, 200), st.integers(1, 60))
def test_the_grid_has_room_for_all_blocks(blocks: int, width: int, height: int) -> None:
    found = grid(blocks, width, height)
    assert found is not None
    assert found.columns * found.rows * found.each >= blocks
    assert found.columns * (found.width + found.gap) - found.gap <= width
    tall = found.height + (1 if found.height > 1 else 0)
    assert found.rows * tall - (1 if found.height > 1 else 0) <= height
    assert found.each == 1 or found.width == 1


def test_no_room_is_no_grid() -> None:
    assert grid(0, 10, 10) is None
    assert grid(5, 0, 10) is None


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(("width", "height"), [(120, 24), (40, 10), (20, 6), (1, 1)])
def test_a_pool_is_painted_with_what_its_banks_mean(width: int, height: int, plain: bool) -> None:
    runs = (
        BlockRun("null", 1),
        BlockRun("request", 9, 3),
        BlockRun("unsure", 2),
        BlockRun("cached", 12),
        BlockRun("empty", 8),
    )
    text = paint_blocks(BlockPicture(runs), width, height, plain=plain).text()
    assert len(text.splitlines()) == height
    if width >= 40:
        assert "a bank is one block" in text
        assert any(words["cached"] + " 12" in text for words in (WORDS, FEW_WORDS))
        assert any(words["empty"] + " 8" in text for words in (WORDS, FEW_WORDS))
        assert ("3" in text.splitlines()[0]) == plain


def test_samples_keep_peaks() -> None:
    assert sampled([1, 5, 2, 3], 2) == [5, 3]
    assert sampled([1, 2], 4) == [1, 1, 2, 2]
    assert str(sampled([float("nan"), 4.0], 2)) == "[nan, 4.0]"
    assert str(sampled([], 2)) == "[nan, nan]"


def test_strips_of_any_size_are_painted() -> None:
    strips = [Strip(f"name {n}", [0.0, float("nan"), n, 1.0], "now", 5) for n in range(7)]
    for width, height, columns in ((150, 14, 2), (30, 7, 1), (10, 2, 2), (3, 1, 1)):
        cells = paint_strips(strips, width, height, columns, 0.5)
        assert cells.glyph.shape == (height, width)
    assert "name 6" in paint_strips(strips, 100, 14, 1, None).text()
