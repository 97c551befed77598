"""One device's memory over the film, against plans and against a free list that hands out blocks one by one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import MAX_TOKENS
from kvtui.engine.device.catalogue import find_device
from kvtui.engine.model.catalogue import all_models, find_model
from kvtui.engine.model.spec import ModelSpec, cache_bytes
from kvtui.engine.picture.allocator import Allocation, Allocator, allocate, allocator_of, first_position
from kvtui.engine.planning.allocation import busiest_share, grown, slots
from kvtui.engine.planning.parts import score_matrix_bytes, stage_parts
from kvtui.engine.planning.plan import plan
from kvtui.engine.planning.reserved import fullest_stage
from kvtui.engine.scenario.scenario import Layout, Scenario
from kvtui.engine.scenario.values import scenario_from
from tests.engine.planning.test_properties import scenarios

KINDS = (
    "Llama-3.2-1B",
    "gemma-3-4b",
    "Llama-4-Scout-17B-16E",
    "Llama-3.2-11B-Vision",
    "whisper-large-v3",
    "DeepSeek-V3.2",
    "DeepSeek-V4-Flash",
    "Qwen3-Next-80B-A3B",
    "Jamba-1.5-Mini",
    "MiMo-V2-Flash",
)


def allocated(position: int | None = None, **values: str | bool) -> Allocation:
    scenario = scenario_from(values)
    return allocate(allocator_of(plan(scenario)), scenario.context if position is None else position)


def assert_sums(found: Allocation) -> None:
    parts, sequences = found.parts, found.sequences
    assert parts.kv == sum(one.used for one in sequences) + found.prefix
    assert parts.state == sum(one.state for one in sequences)
    assert parts.reserved_unused == sum(one.reserved + one.padding for one in sequences) + found.prefix_padding
    assert parts.total == parts.weights + parts.cache + parts.activation + parts.overhead
    assert min(min(one.used, one.reserved, one.padding, one.state) for one in sequences) >= 0
    assert found.free - found.overflow == found.capacity - parts.total


@given(scenarios())
def test_the_film_ends_at_the_plan(scenario: Scenario) -> None:
    found = allocate(allocator_of(plan(scenario)), scenario.context)
    assert found.parts == plan(scenario).per_device
    assert_sums(found)


@given(scenarios(), st.floats(0, 1))
def test_every_moment_is_what_a_plan_of_those_lengths_would_be(scenario: Scenario, share: float) -> None:
    position = int(scenario.context * share)
    found = allocate(allocator_of(plan(scenario)), position)
    held = grown(
        busiest_share(slots(scenario, scenario.context, scenario.batch), scenario.layout.dp), scenario, position
    )
    assert found.parts == stage_parts(scenario, fullest_stage(scenario, None), held, scenario.context, position)
    assert_sums(found)


@given(scenarios(), st.floats(0, 1), st.floats(0, 1))
def test_nothing_shrinks_while_it_grows(scenario: Scenario, one: float, other: float) -> None:
    allocator = allocator_of(plan(scenario))
    before, after = (allocate(allocator, int(scenario.context * share)) for share in sorted((one, other)))
    assert before.parts.total <= after.parts.total
    assert before.parts.kv <= after.parts.kv
    assert before.prefix <= after.prefix
    for early, late in zip(before.sequences, after.sequences, strict=True):
        assert early.used <= late.used
        assert early.tokens <= late.tokens
        assert early.used + early.reserved + early.padding <= late.used + late.reserved + late.padding


@pytest.mark.parametrize("model", all_models(), ids=lambda m: m.name)
def test_every_model_ends_at_its_plan_under_every_policy(model: ModelSpec) -> None:
    for batched, paged in ((False, False), (True, False), (False, True), (True, True)):
        scenario = Scenario(
            model=model,
            device=find_device("B300"),
            context=9000,
            batch=5,
            continuous_batching=batched,
            paged_attention=paged,
            flash_attention=not batched,
            shared_prefix=700 if paged else 0,
            skip_weights=model.parameters is None,
        )
        allocator = allocator_of(plan(scenario))
        assert allocate(allocator, 9000).parts == plan(scenario).per_device
        for position in (0, 1, 699, 4096, 8999):
            assert_sums(allocate(allocator, position))


def test_static_sets_everything_aside_from_the_beginning() -> None:
    start = allocated(0, model="Llama-3.1-8B", context="4000", batch="3")
    half = allocated(2000, model="Llama-3.1-8B", context="4000", batch="3")
    assert [(one.used, one.reserved, one.padding) for one in start.sequences] == [(0, 4000 * 131_072, 0)] * 3
    assert [(one.used, one.reserved) for one in half.sequences] == [(2000 * 131_072, 2000 * 131_072)] * 3
    assert start.parts.total == half.parts.total


def test_continuous_batching_holds_thirty_percent_of_eight_sequences() -> None:
    found = allocated(model="Llama-3.1-8B", context="100000", batch="8", cb=True, fill="average")
    assert found.parts.kv == 0.3 * 8 * 100_000 * 131_072
    assert found.parts.reserved_unused == 0
    percents = [round(one.tokens / 1000) for one in found.sequences]
    assert percents == sorted((10, 20, 30, 40, 15, 45, 25, 55), reverse=True)


def test_paged_sequences_have_whole_blocks() -> None:
    found = allocated(1001, model="Llama-3.1-8B", context="4000", batch="4", pa=True, cb=True, fill="average")
    for one, percent in zip(found.sequences, (50, 35, 25, 15), strict=True):
        tokens = 4000 * percent // 100 * 1001 // 4000
        assert one.tokens == tokens
        assert one.used == tokens * 131_072
        assert one.used + one.padding == -(-tokens // 16) * 16 * 131_072


def test_windows_stop_growing_and_states_do_not_grow() -> None:
    gemma = [
        allocated(n, model="gemma-3-4b", context="64K", cb=True, fill="average").parts for n in (512, 1024, 2048, 4096)
    ]
    growths = [after.kv - before.kv for before, after in pairwise(gemma)]
    full = 4 * 256 * 2 * 2 * 5
    assert growths == [512 * full + 512 * full // 5 * 29, 1024 * full, 2048 * full]
    hybrid = [allocated(n, model="Qwen3-Next-80B-A3B", context="64K", batch="2") for n in (0, 1, 65_536)]
    assert {found.parts.state for found in hybrid} == {2 * 77_266_944}
    assert {one.state for found in hybrid for one in found.sequences} == {77_266_944}


def test_a_shared_prefix_is_filled_once_and_first() -> None:
    values: dict[str, str | bool]
    values = {"model": "Llama-3.1-8B", "context": "1600", "batch": "4", "pa": True, "shared_prefix": "1000"}
    early, late = allocated(500, **values), allocated(1500, **values)
    assert (early.prefix, early.prefix_padding) == (500 * 131_072, 12 * 131_072)
    assert [one.used for one in early.sequences] == [0] * 4
    assert (late.prefix, late.prefix_padding) == (992 * 131_072, 0)
    assert [one.used for one in late.sequences] == [508 * 131_072] * 4


def test_scores_are_saved_with_flash_attention_and_held_without() -> None:
    values: dict[str, str | bool]
    values = {"model": "Llama-3.1-8B", "batch": "8", "context": "64K", "gpu": "H100 SXM", "cb": True, "fill": "average"}
    with_it, without = ([allocated(n, fa=fa, **values) for n in (0, 4096, 65_536)] for fa in (True, False))
    sizes = [score_matrix_bytes(without[0].allocator.scenario, n, 8) for n in (0, 4096, 65_536)]
    assert sizes[0] == 0 < sizes[1] < sizes[2]
    assert [found.saved for found in with_it] == sizes
    assert [found.saved for found in without] == [0, 0, 0]
    differences = [b.parts.activation - a.parts.activation for a, b in zip(with_it, without, strict=True)]
    assert differences == sizes


def test_skipping_weights_takes_exactly_the_weights_away() -> None:
    values: dict[str, str | bool]
    values = {"model": "Llama-3.1-8B", "context": "32K", "batch": "8", "cb": True, "fill": "average"}
    counted, skipped = allocated(9999, **values).parts, allocated(9999, skip_weights=True, **values).parts
    assert skipped.weights == 0 < counted.weights == counted.total - skipped.total
    for part in ("kv", "state", "activation", "overhead", "reserved_unused"):
        assert getattr(counted, part) == getattr(skipped, part)


@pytest.mark.parametrize("batch", [1, 127, 128, 129, 1000, 200_000])
def test_beyond_128_sequences_equal_ones_are_grouped(batch: int) -> None:
    found = allocated(model="Llama-3.2-1B", context="1000", batch=str(batch), cb=True, fill="average")
    assert sum(one.count for one in found.sequences) == batch
    numbers = [one.number for one in found.sequences]
    assert numbers == [1 + sum(one.count for one in found.sequences[:i]) for i in range(len(numbers))]
    assert len(found.sequences) == batch if batch <= 128 else len(found.sequences) <= 128
    assert_sums(found)


def test_more_than_128_lengths_are_not_mixed() -> None:
    lengths = ",".join(str(n) for n in range(1, 301))
    found = allocated(model="Llama-3.2-1B", lengths=lengths)
    assert [one.tokens for one in found.sequences] == list(range(300, 0, -1))


def test_positions_outside_the_film() -> None:
    allocator = allocator_of(plan(scenario_from({"context": "1000"})))
    for position in (-1, 1001):
        with pytest.raises(InputError, match=r"^tokens: -?[0-9,]+ is out of range \(0 to 1,000\)$"):
            allocate(allocator, position)


def handed_out_one_by_one(allocator: Allocator) -> list[tuple[int, int]]:
    """(owner, bytes) of every block in the order a free list gives them, walking the film token by token."""
    scenario, tp = allocator.scenario, allocator.scenario.layout.tp
    caches = fullest_stage(scenario, None).caches

    def own(tokens: int) -> int:
        shared = cache_bytes(caches, min(tokens, allocator.prefix), scenario.kv, tp)
        return cache_bytes(caches, tokens, scenario.kv, tp).kv - (
            shared.growing + shared.indexer if allocator.prefix else 0
        )

    lengths = [length for slot in allocator.share for length in [slot.used] * slot.sequences]
    free = list(range(sum(-(-length // scenario.block_size) for length in lengths)))
    tables: list[list[int]] = [[] for _ in lengths]
    order = []
    for position in range(scenario.context + 1):
        for sequence, length in enumerate(lengths):
            held = length * position // scenario.context
            while len(tables[sequence]) * scenario.block_size < held:
                tables[sequence].append(free.pop(0))
                end = len(tables[sequence]) * scenario.block_size
                order.append((sequence, own(end) - own(end - scenario.block_size)))
    assert not free
    return order


@st.composite
def small_allocators(draw: st.DrawFn) -> Allocator:
    batch, context = draw(st.integers(1, 6)), draw(st.integers(1, 400))
    lengths = draw(st.none() | st.lists(st.integers(1, context), min_size=batch, max_size=batch).map(tuple))
    return allocator_of(
        plan(
            Scenario(
                model=find_model(draw(st.sampled_from(KINDS))),
                device=find_device("H100"),
                context=context,
                batch=batch,
                layout=Layout(pp=draw(st.integers(1, 2))),
                lengths=lengths,
                paged_attention=True,
                continuous_batching=draw(st.booleans()),
                block_size=draw(st.sampled_from([1, 3, 16, 64])),
                shared_prefix=draw(st.integers(0, min(lengths or (context,)))) if draw(st.booleans()) else 0,
                kv_dtype=draw(st.sampled_from(["bf16", "q8_0"])),
            )
        )
    )


@given(small_allocators(), st.data())
def test_owners_are_those_of_a_free_list(allocator: Allocator, data: DataObject) -> None:
    order = handed_out_one_by_one(allocator)
    ends = np.cumsum([size for _, size in order])
    total = int(ends[-1])
    offsets = [*data.draw(st.lists(st.integers(0, total + 10), min_size=1, max_size=8)), 0, total, int(ends[0])]
    for offset in offsets:
        expected, left = [0] * len(allocator.owners), offset
        for owner, size in order:
            expected[owner] += min(size, left)
            left -= min(size, left)
        assert allocator.handed_out(offset) == expected


@given(small_allocators(), st.floats(0, 1))
def test_what_is_held_is_what_the_free_list_gave_by_then(allocator: Allocator, share: float) -> None:
    scenario = allocator.scenario
    position = int(scenario.context * share)
    found = allocate(allocator, position)
    fixed = allocator.bytes_at(0)
    given_by_then = [one.used + one.padding - fixed for one in found.sequences]
    assert allocator.handed_out(sum(given_by_then)) == given_by_then


def test_two_sequences_lie_mixed() -> None:
    """A ends at 32 tokens and B at 16, in blocks of 16 tokens or 2 MiB: they are handed out A, B, A."""
    scenario = scenario_from({"model": "Llama-3.1-8B", "context": "32", "lengths": "32,16", "pa": True})
    offsets = [2**20, 2 * 2**20, 3 * 2**20, 4 * 2**20, 5 * 2**20, 2**30]
    allocator = allocator_of(plan(scenario))
    found = [[size // 2**20 for size in allocator.handed_out(offset)] for offset in offsets]
    assert found == [[1, 0], [2, 0], [2, 1], [2, 2], [3, 2], [4, 2]]


def test_long_films_of_many_sequences_stay_exact() -> None:
    """128 sequences of up to 100M tokens: bytes at an offset add up to it, and end as the sequences do."""
    values: dict[str, str | bool]
    values = {"model": "Llama-3.1-8B", "context": "100M", "batch": "128", "cb": True, "fill": "average", "pa": True}
    allocator = allocator_of(plan(scenario_from(values)))
    offsets = [0, 1, 10**9, 80 * 2**30, 3 * 10**14]
    assert [sum(allocator.handed_out(offset)) for offset in offsets] == offsets
    last = allocate(allocator, allocator.scenario.context)
    everything = sum(one.used + one.padding for one in last.sequences)
    assert allocator.handed_out(everything + 5) == [one.used + one.padding for one in last.sequences]


def test_bytes_beyond_any_device_are_counted() -> None:
    """A million sequences of 2**40 tokens: their first blocks alone are 7.5 TiB, all of them 2**79 bytes."""
    allocator = allocator_of(
        plan(scenario_from({"model": "Llama-3.1-405B", "context": "1024G", "batch": "1000000", "pa": True}))
    )
    offset, first_block = 10**12, 16 * 516_096
    expected, left = [], offset
    for owner in allocator.owners:
        expected.append(min(left, owner.count * first_block))
        left -= expected[-1]
    assert allocator.handed_out(offset) == expected


sizes = st.integers(0, MAX_TOKENS)


@given(st.integers(1, MAX_TOKENS), st.integers(1, MAX_TOKENS), sizes)
def test_the_first_position_is_the_first(length: int, context: int, tokens: int) -> None:
    length, tokens = min(length, context), min(tokens, length, context)
    found = first_position(tokens, length, context)
    assert length * found // context >= tokens
    assert found == 0 or length * (found - 1) // context < tokens
