"""The sweep's groups: their rows are valid and what their labels say, and nothing of the published sweep is missing."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kvtui.cases import groups
from kvtui.cases.case import Case, SweepRow, TransformerShape
from kvtui.cases.groups import GROUPS, NAMES, SIZES, find_groups
from kvtui.cases.prediction import parameter_count
from kvtui.cases.protocol import TimeBudget
from kvtui.cases.sweep import Sweep, decode_rows, repeat_of, sweep
from kvtui.engine.basis.errors import InputError

PUBLISHED = {
    "attention_type": 7,
    "scale": 18,
    "batch_size": 21,
    "context_len": 15,
    "dtype": 12,
    "sampling": 9,
    "kv_cache": 18,
    "moe": 18,
    "activation": 6,
    "pos_encoding": 12,
    "gqa_vs_cache": 10,
    "scale_dtype": 24,
    "batch_attn": 9,
}


def rows_of(name: str, size: str = "full") -> tuple[SweepRow, ...]:
    (group,) = find_groups([name])
    return group.rows(size)


def cases_of(name: str, size: str = "full") -> set[Case]:
    return {row.case for row in rows_of(name, size)}


def test_there_are_thirteen_groups_and_no_published_row_is_missing() -> None:
    assert tuple(PUBLISHED) == NAMES
    for name, count in PUBLISHED.items():
        assert len(rows_of(name)) >= count, name
    assert sum(len(group.rows("full")) for group in GROUPS) >= 179


@pytest.mark.parametrize("size", SIZES)
def test_rows_are_labelled_once_and_share_cases(size: str) -> None:
    keys = set()
    for group in GROUPS:
        rows = group.rows(size)
        assert rows, group.name
        assert len({row.label for row in rows}) == len(rows)
        assert all(row.group == group.name for row in rows)
        keys |= {row.case.key for row in rows}
    assert len(keys) < sum(len(group.rows(size)) for group in GROUPS)


def test_sizes_are_small_enough_and_nested() -> None:
    unique = {size: {row.case for group in GROUPS for row in group.rows(size)} for size in SIZES}
    assert len(unique["fast"]) <= 20
    assert len(unique["default"]) <= 100
    for group in GROUPS:
        assert {row.label.split(" · ")[-1] for row in group.rows("fast")} <= {"MHA", "GQA(2/4)", "MQA", "MLA"}


def test_attention_types() -> None:
    shapes = [case.shape for case in cases_of("attention_type")]
    assert {(shape.kv_heads, shape.latent) for shape in shapes if not shape.latent} == {(8, 0), (4, 0), (2, 0), (1, 0)}
    assert {shape.latent for shape in shapes} == {0, 32, 64, 128}
    assert {case.latent_mode for case in cases_of("attention_type")} == {"absorbed", "naive"}


def test_scales() -> None:
    shapes = {(case.shape.dim, case.shape.heads, case.shape.head_dim, case.shape.blocks) for case in cases_of("scale")}
    assert shapes == {
        (64, 4, 16, 2),
        (128, 4, 32, 3),
        (256, 8, 32, 6),
        (512, 16, 32, 8),
        (512, 16, 32, 16),
        (768, 12, 64, 12),
    }
    assert all(case.shape.hidden == 4 * case.shape.dim for case in cases_of("scale"))


def test_batches_and_contexts() -> None:
    assert {case.batch for case in cases_of("batch_size")} == {1, 4, 8, 16, 32, 64, 128}
    contexts = cases_of("context_len")
    assert {case.shape.context for case in contexts} == {64, 128, 256, 512, 1024, 2048}
    assert all(case.prompt == case.shape.context // 2 for case in contexts)


def test_dtypes_of_weights_and_cache() -> None:
    kinds = {(case.shape.dtype, case.shape.kv_dtype) for case in cases_of("dtype")}
    assert kinds == {("fp32", "fp32"), ("bf16", "bf16"), ("fp32", "bf16"), ("fp32", "int8"), ("bf16", "int8")}
    assert {case.shape.kv_dtype for case in cases_of("dtype", "default")} == {"fp32", "bf16", "int8"}
    assert len({(case.shape.dim, case.shape.dtype) for case in cases_of("scale_dtype")}) == 8


def test_cache_on_off_and_its_layouts() -> None:
    cases = cases_of("kv_cache")
    assert {case.cache for case in cases} == {"contiguous", "none", "paged", "ring"}
    on = {
        replace(case, cache="none") for case in cases if case.cache == "contiguous" and case.shape == TransformerShape()
    }
    assert on <= cases
    assert any(case.cache == "none" and case.shape.window for case in cases)
    assert len({parameter_count(case.shape) for case in cases if case.cache == "contiguous"}) >= 18


def test_experts_unmatched_and_matched() -> None:
    for row in rows_of("moe"):
        shape = row.case.shape
        if not shape.experts:
            continue
        dense = replace(shape, experts=0, experts_per_token=0, hidden=1024)
        if "matched" in row.label:
            assert parameter_count(shape) == pytest.approx(parameter_count(dense), rel=1e-2)
        else:
            assert shape.hidden == 1024
            assert parameter_count(shape) > parameter_count(dense)
    counts = {(case.shape.experts, case.shape.experts_per_token) for case in cases_of("moe")}
    assert counts == {(0, 0), (4, 1), (4, 2), (8, 2), (8, 4), (16, 4)}


def test_activations_with_as_many_weights() -> None:
    by_label = {row.label: parameter_count(row.case.shape) for row in rows_of("activation")}
    assert by_label["SwiGLU · MHA"] == by_label["GELU matched · MHA"] > by_label["GELU · MHA"]


def test_positions_include_alibi_and_a_window() -> None:
    cases = cases_of("pos_encoding", "default")
    assert {case.shape.positions for case in cases} == {"rope", "alibi", "learned", "sinusoidal"}
    assert any(case.shape.window == 32 and case.cache == "ring" for case in cases)


def test_kv_heads_from_an_eighth_to_all() -> None:
    for context in (128, 256, 512, 1024, 2048):
        heads = {case.shape.kv_heads for case in cases_of("gqa_vs_cache") if case.shape.context == context}
        assert heads == {1, 2, 4, 8}


def test_sampling_really_differs() -> None:
    cases = cases_of("sampling")
    assert {case.sampler.temperature for case in cases} == {0.0, 0.5, 1.0, 2.0}
    assert {case.sampler.top_k for case in cases} == {None, 10, 50}
    assert {case.sampler.top_p for case in cases} == {None, 0.9, 0.95}
    assert any(case.sampler.top_k and case.sampler.top_p for case in cases)


def test_batch_against_attention_is_a_grid() -> None:
    cells = {(case.batch, case.shape.attention) for case in cases_of("batch_attn")}
    assert len(cells) == len({batch for batch, _ in cells}) * len({attention for _, attention in cells}) == 35


def test_unknown_groups_list_the_valid_ones() -> None:
    with pytest.raises(
        InputError, match=r"unknown group 'scales'; did you mean scale.*; groups: attention_type, scale"
    ):
        find_groups(["moe", "scales"])
    assert [group.name for group in find_groups(["moe", "scale", "moe"])] == ["scale", "moe"]
    assert find_groups(None) == GROUPS


@given(st.sets(st.sampled_from(NAMES), min_size=1), st.integers(1, 3), st.integers(0, 9))
def test_each_case_is_measured_once_per_repeat(names: set[str], repeat: int, seed: int) -> None:
    rows = tuple(row for group in find_groups(names) for row in group.rows("fast"))
    found = sweep(rows, TimeBudget(), repeat, seed)
    keys = {row.case.key for row in rows}
    assert len(found.jobs) == len({job.id for job in found.jobs}) == repeat * len(keys)
    for number in range(repeat):
        part = found.jobs[number * len(keys) : (number + 1) * len(keys)]
        assert {job.case.key for job in part} == keys
        assert {repeat_of(job) for job in part} == {number + 1}
    assert found == sweep(rows, TimeBudget(), repeat, seed)
    assert Sweep.from_json(json.loads(json.dumps(found.to_json()))) == found


def test_order_is_shuffled_by_seed() -> None:
    rows = tuple(row for group in GROUPS for row in group.rows("default"))
    one, other = sweep(rows, TimeBudget(), 2, seed=1), sweep(rows, TimeBudget(), 2, seed=2)
    half = len(one.jobs) // 2
    assert one.jobs != other.jobs
    assert [job.case for job in one.jobs[:half]] != [job.case for job in one.jobs[half:]]
    listed = list(dict.fromkeys(row.case for row in rows))
    assert [job.case for job in one.jobs[:half]] != listed


def test_decode_compares_four_variants_at_the_same_positions() -> None:
    rows, positions = decode_rows("default")
    assert [row.label.split(" · ")[-1] for row in rows] == ["MHA", "GQA(4/16)", "MQA", "MLA"]
    assert all(row.case.prompt == positions[0] and row.case.shape.context > positions[-1] for row in rows)
    assert len({(row.case.shape.dim, row.case.shape.context) for row in rows}) == 1
    quick, own = decode_rows("fast", (32, 90))
    assert len({row.case for row in quick}) == 4
    assert own == (32, 90)
    with pytest.raises(InputError, match="below 2"):
        decode_rows("fast", (1, 90))


@pytest.mark.parametrize(
    "broken", [{}, {"cases": [], "rows": [], "jobs": []}, {"cases": {"a": {}}, "rows": [{}], "jobs": []}]
)
def test_a_broken_stored_sweep_is_an_input_error(broken: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        Sweep.from_json(broken)


def test_planning_loads_no_jax() -> None:
    script = (
        "from kvtui.cases import axes, sweep, prediction, groups, table\n"
        "from kvtui.bench import runner, store, compare, table\nfrom kvtui.commands import bench\n"
        "import sys\nprint({'jax', 'numpy', 'pandas', 'rich'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
    assert groups.NAMES == NAMES
