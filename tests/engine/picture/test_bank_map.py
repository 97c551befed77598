"""The picture: its sum is the report's, its order the allocator's, and every bank says truly what it holds."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from fractions import Fraction
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from kvtui.engine.basis.errors import InputError
from kvtui.engine.device.catalogue import find_device
from kvtui.engine.model.catalogue import all_models
from kvtui.engine.model.spec import ModelSpec
from kvtui.engine.picture.allocator import Allocation, allocate, allocator_of
from kvtui.engine.picture.bank_map import FIRST_SEQUENCE, BankMap, Code, bank_map, describe, place
from kvtui.engine.planning.plan import plan
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import scenario_from
from tests.engine.planning.test_properties import scenarios
from tests.nightly import NIGHTLY, sampled

pytestmark = sampled(4)

DEVICES = (
    "RTX 3060 12GB",
    "RTX 4090",
    "T4",
    "A100 80GB SXM",
    "H100 SXM",
    "B300",
    "Instinct MI300X",
    "Apple M3 Ultra",
    "WSE-2",
    "GC200",
)
BANKS = 1500


def filmed(position: int | None = None, **values: str | bool) -> Allocation:
    scenario = scenario_from(values)
    return allocate(allocator_of(plan(scenario)), scenario.context if position is None else position)


def owners_of_kv(picture: BankMap) -> list[int]:
    """The owners of the banks that sequences hold, padding and reserved left out."""
    return [owner for owner, code in zip(picture.owners, picture.codes, strict=True) if code >= FIRST_SEQUENCE]


def codes_of_kv(picture: BankMap) -> list[int]:
    return [code for code in picture.codes if code >= FIRST_SEQUENCE]


def assert_true_to(allocation: Allocation, picture: BankMap) -> None:
    """Codes agree with counts, and while everything fits every part has its share to less than one bank."""
    counts, banks = picture.counts, picture.banks
    seen = Counter(picture.codes)
    owned = Counter(owners_of_kv(picture))
    assert counts.total == banks + counts.overflow == len(picture.codes)
    assert [owned[i] for i in range(len(counts.sequences))] == list(counts.sequences)
    for code, count in (
        (Code.FREE, counts.free),
        (Code.WEIGHTS, counts.weights),
        (Code.STATE, counts.state),
        (Code.RESERVED, counts.reserved),
        (Code.PADDING, counts.padding),
        (Code.WORKING, counts.working),
        (Code.PREFIX, counts.prefix),
        (Code.SAVED, counts.saved),
    ):
        assert seen[code] == count
    bank = Fraction(allocation.capacity, banks)
    assert picture.bytes_per_bank == bank
    parts = allocation.parts
    if allocation.overflow:
        assert picture.overflow_bytes == parts.total - allocation.capacity
        assert counts.saved == 0
        if counts.overflow < allocation.overflow / bank:
            return
        assert 0 <= counts.overflow - allocation.overflow / bank < 1
        assert counts.free == 0
    for cells, size in (
        (counts.weights, parts.weights),
        (counts.state, parts.state),
        (counts.kv, parts.kv),
        (counts.prefix, allocation.prefix),
        (counts.reserved + counts.padding, parts.reserved_unused),
        (counts.working, parts.activation + parts.overhead),
        (counts.free + counts.saved, allocation.free),
        *((cells, one.used) for cells, one in zip(counts.sequences, allocation.sequences, strict=True)),
    ):
        assert abs(cells - size / bank) < 1
    if counts.saved:
        assert abs(counts.saved - min(allocation.saved, allocation.free) / bank) < 1


@given(scenarios(), st.floats(0, 1), st.integers(1, 700), st.integers(0, 3000), st.booleans())
def test_the_picture_is_the_allocation(
    scenario: Scenario, share: float, banks: int, beyond: int, avoided: bool
) -> None:
    allocation = allocate(allocator_of(plan(scenario)), int(scenario.context * share))
    picture = bank_map(allocation, banks, beyond, avoided)
    assert picture.counts.overflow <= beyond
    assert avoided or picture.counts.saved == 0
    assert_true_to(allocation, picture)


@pytest.mark.parametrize("model", all_models(), ids=lambda m: m.name)
def test_the_picture_sums_to_the_report_for_every_model(model: ModelSpec) -> None:
    """Every catalogue model at full context: each category's banks are its share of the report.

    A model is shown on two of the devices, in turn; at night on all of them.
    """
    first = all_models().index(model)
    for number in range(len(DEVICES)) if NIGHTLY else (first % len(DEVICES), (first + 3) % len(DEVICES)):
        name = DEVICES[number]
        scenario = Scenario(
            model=model,
            device=find_device(name),
            context=4096,
            batch=1 + number,
            paged_attention=number % 2 == 0,
            continuous_batching=number % 3 == 0,
            skip_weights=number % 4 == 0 or model.parameters is None,
            weight_dtype="int4",
        )
        report, allocation = plan(scenario).per_device, allocate(allocator_of(plan(scenario)), 4096)
        picture = bank_map(allocation, BANKS)
        assert allocation.parts == report
        assert_true_to(allocation, picture)
        usable = scenario.device.usable_bytes
        shown = picture.counts.used * Fraction(usable, BANKS)
        assert abs(shown - min(report.total, usable)) < usable / BANKS


@given(scenarios(lengths=False), st.integers(1, 500), st.floats(0, 1), st.floats(0, 1))
def test_used_banks_never_become_fewer(scenario: Scenario, banks: int, one: float, other: float) -> None:
    allocator = allocator_of(plan(scenario))
    before, after = (
        bank_map(allocate(allocator, int(scenario.context * share)), banks).counts for share in sorted((one, other))
    )
    assert before.used <= after.used


def test_half_used_is_half_the_banks() -> None:
    scenario = scenario_from(
        {"model": "Llama-3.1-8B", "context": "64K", "batch": "16", "cb": True, "fill": "average", "gpu": "H100"}
    )
    allocator = allocator_of(plan(scenario))
    half = allocator.capacity // 2
    position = bisect_left(range(65_537), half, key=lambda tokens: allocate(allocator, tokens).parts.total)
    allocation = allocate(allocator, position)
    assert allocation.parts.total / allocator.capacity == pytest.approx(0.5, abs=1e-3)
    for banks in (100, 864, 6000):
        assert abs(bank_map(allocation, banks).counts.used - banks / 2) <= 1 + banks / 1000


def test_without_weights_only_their_banks_go() -> None:
    values: dict[str, str | bool]
    values = {"model": "Llama-3.1-8B", "context": "64K", "batch": "4", "cb": True, "fill": "average", "gpu": "H100"}
    with_them, without = (bank_map(filmed(40_000, skip_weights=skip, **values), 600) for skip in (False, True))
    assert with_them.counts.weights == round(600 * plan(scenario_from(values)).per_device.weights / (81_559 * 2**20))
    assert without.counts.weights == 0
    assert without.counts.free + without.counts.saved >= with_them.counts.weights
    for before, after in zip(with_them.counts.sequences, without.counts.sequences, strict=True):
        assert abs(before - after) <= 1
    assert abs(with_them.counts.working - without.counts.working) <= 1


def test_continuous_batching_of_eight_fills_thirty_percent() -> None:
    values: dict[str, str | bool]
    values = {"model": "Llama-3.1-8B", "context": "40K", "batch": "8", "gpu": "B300", "skip_weights": True}
    static, batched = (
        bank_map(filmed(None, cb=cb, fill="average" if cb else "full", **values), 5000) for cb in (False, True)
    )
    assert batched.counts.kv == pytest.approx(0.3 * static.counts.kv, abs=1.5)
    assert batched.counts.reserved == 0


def test_static_reservations_are_there_before_their_tokens() -> None:
    values: dict[str, str | bool]
    values = {"model": "Llama-3.1-8B", "context": "40K", "batch": "4", "gpu": "B300"}
    start, half, end = (bank_map(filmed(n, **values), 3000).counts for n in (0, 20 * 1024, 40 * 1024))
    assert (start.kv, end.reserved) == (0, 0)
    assert start.reserved == end.kv == half.kv + half.reserved
    assert abs(half.kv - half.reserved) <= 1


def runs(picture: BankMap) -> list[tuple[int, int]]:
    """(owner, length) of the runs of banks that sequences hold, padding and reserved left out."""
    return [(owner, len(list(group))) for owner, group in groupby(owners_of_kv(picture))]


def test_static_and_batched_pools_lie_one_sequence_after_the_other() -> None:
    values: dict[str, str | bool]
    values = {"model": "Llama-3.1-8B", "context": "30K", "batch": "8", "gpu": "B300"}
    for cb in (False, True):
        picture = bank_map(filmed(20_000, cb=cb, **values), 4000)
        assert [owner for owner, _ in runs(picture)] == list(range(8))
        assert len(set(codes_of_kv(picture))) == 8


def test_a_static_sequence_is_followed_by_its_own_reservation() -> None:
    picture = bank_map(filmed(10_000, model="Llama-3.1-8B", context="30K", batch="5", gpu="B300"), 4000)
    kinds = [
        (int(owner), bool(code == Code.RESERVED))
        for (owner, code), _ in groupby(zip(picture.owners, picture.codes, strict=True))
        if owner >= 0
    ]
    assert kinds == [(owner, reserved) for owner in range(5) for reserved in (False, True)]


def test_neighbours_in_a_paged_pool_have_different_owners() -> None:
    picture = bank_map(filmed(20_000, model="Llama-3.1-8B", context="30K", batch="8", gpu="B300", pa=True), 4000)
    own = owners_of_kv(picture)
    assert len(own) > 250
    assert all(a != b for a, b in pairwise(own))
    assert set(codes_of_kv(picture)) == set(range(32, 40))


@pytest.mark.parametrize("model", ["Llama-3.1-8B", "gemma-3-12b", "Qwen3-8B", "DeepSeek-V4-Flash"])
@pytest.mark.parametrize("batch", ["4", "8", "40"])
def test_a_paged_pool_lies_as_it_was_handed_out(model: str, batch: str) -> None:
    """Up to any bank, the banks drawn for a sequence are near the bytes it really has been handed there."""
    values: dict[str, str | bool]
    values = {
        "model": model,
        "context": "48K",
        "batch": batch,
        "cb": True,
        "fill": "average",
        "pa": True,
        "gpu": "B300",
    }
    allocation = filmed(40_000, skip_weights=True, **values)
    picture, allocator = bank_map(allocation, 6000), allocation.allocator
    own = owners_of_kv(picture)
    stops = range(0, len(own), max(1, len(own) // 40))
    for stop in stops:
        handed = np.array(allocator.handed_out(int(stop * picture.bytes_per_bank))) / float(picture.bytes_per_bank)
        drawn = np.bincount(own[:stop], minlength=len(allocator.owners))
        assert np.abs(drawn - handed).max() < 1


def test_banks_of_a_paged_pool_stay_where_they_are() -> None:
    """From one moment to the next a bank keeps its owner, except near the end of what is handed out."""
    scenario = scenario_from(
        {
            "model": "Llama-3.1-8B",
            "context": "48K",
            "batch": "8",
            "cb": True,
            "fill": "average",
            "pa": True,
            "gpu": "B300",
        }
    )
    allocator = allocator_of(plan(scenario))
    pictures = [bank_map(allocate(allocator, n), 6000) for n in range(24_000, 26_000, 100)]
    for before, after in pairwise(pictures):
        held = [owners for owners in zip(before.owners, after.owners, strict=True) if owners[0] >= 0]
        stay = next((number for number, (one, other) in enumerate(held) if one != other), len(held))
        assert stay > len(held) - 80


def test_weights_come_first_and_work_last() -> None:
    picture = bank_map(
        filmed(model="Qwen3-Next-80B-A3B", batch="40", gpu="B300", pa=True, shared_prefix="4K"), 2000, 0, True
    )
    order = [min(FIRST_SEQUENCE, code) for code in picture.codes]
    assert [code for code, _ in groupby(order)] == [
        Code.WEIGHTS,
        Code.STATE,
        Code.PREFIX,
        FIRST_SEQUENCE,
        Code.SAVED,
        Code.FREE,
        Code.WORKING,
    ]


def test_what_is_avoided_is_drawn_where_memory_is_free() -> None:
    values: dict[str, str | bool]
    values = {"model": "Llama-3.1-8B", "context": "64K", "batch": "8", "cb": True, "fill": "average", "gpu": "H100"}
    assert bank_map(filmed(0, **values), 1000, avoided=True).counts.saved == 0
    assert bank_map(filmed(30_000, fa=False, **values), 1000, avoided=True).counts.saved == 0
    assert bank_map(filmed(8192, **values), 1000).counts.saved == 0
    half = bank_map(filmed(8192, **values), 1000, avoided=True)
    assert half.counts.saved == round(1000 * filmed(8192, **values).saved / (81_559 * 2**20))
    full = filmed(65_536, **{**values, "cb": False})
    assert full.saved > 0
    assert bank_map(full, 1000, avoided=True).counts.saved == 0


@pytest.mark.parametrize("paged", [False, True])
@pytest.mark.parametrize("cb", [False, True])
def test_overflow_goes_on_behind_the_device(paged: bool, cb: bool) -> None:
    scenario = scenario_from(
        {"model": "Llama-3.1-8B", "context": "400K", "batch": "8", "gpu": "H100", "pa": paged, "cb": cb}
    )
    allocator = allocator_of(plan(scenario))
    for position in range(0, 409_601, 20_480):
        allocation = allocate(allocator, position)
        picture = bank_map(allocation, 700, 20_000)
        assert_true_to(allocation, picture)
        assert (len(picture.inside), len(picture.beyond)) == (700, picture.counts.overflow)
        assert Code.FREE not in picture.beyond
        assert (picture.overflow_bytes > 0) == (picture.counts.overflow > 0) == (allocation.overflow > 0)
        cut = bank_map(allocation, 700, 100)
        assert len(cut.beyond) == min(100, len(picture.beyond))
        assert_true_to(allocation, cut)


def test_static_sequences_under_an_overflow_keep_to_their_reservations() -> None:
    allocator = allocator_of(
        plan(scenario_from({"model": "Llama-3.1-8B", "context": "200K", "batch": "4", "gpu": "H100"}))
    )
    for position in range(10_240, 204_800, 10_240):
        allocation = allocate(allocator, position)
        for banks in range(33, 74):
            picture = bank_map(allocation, banks, banks)
            assert_true_to(allocation, picture)
            own = [owner for owner in picture.owners if owner >= 0]
            assert own == sorted(own)
            reservation = 204_800 * 131_072 / picture.bytes_per_bank
            assert (np.bincount(own) < float(reservation) + 2).all()


def test_a_block_that_is_mostly_empty_is_padding_even_under_an_overflow() -> None:
    values: dict[str, str | bool]
    values = {
        "context": "1M",
        "batch": "8",
        "pa": True,
        "cb": True,
        "fill": "average",
        "gpu": "H100",
        "block_size": "65536",
    }
    allocation = filmed(100_000, model="Llama-3.1-8B", **values)
    picture = bank_map(allocation, 1000)
    assert allocation.overflow > 0
    assert_true_to(allocation, picture)
    assert picture.counts.padding > 0
    for cells, one in zip(picture.counts.sequences, allocation.sequences, strict=True):
        assert cells < one.used / picture.bytes_per_bank + 1


def test_weights_that_do_not_fit_at_all() -> None:
    picture = bank_map(filmed(model="Llama-3.1-405B", gpu="RTX 4090", pa=True, cb=True, fill="average", batch="4"), 100)
    assert picture.codes == bytes([Code.WEIGHTS]) * 100


def test_filling_is_the_last_bank_handed_out() -> None:
    values: dict[str, str | bool]
    values = {"model": "Llama-3.1-8B", "context": "30K", "batch": "4", "gpu": "B300", "skip_weights": True}
    policies: tuple[tuple[dict[str, str | bool], int], ...] = (
        ({}, Code.RESERVED),
        ({"cb": True, "fill": "average"}, FIRST_SEQUENCE + 1),
        ({"pa": True}, Code.FREE),
    )
    for policy, code_after in policies:
        picture = bank_map(filmed(20_000, **values, **policy), 3000)
        assert picture.filling is not None
        assert picture.codes[picture.filling] >= FIRST_SEQUENCE
        assert picture.codes[picture.filling + 1] == code_after
        assert bank_map(filmed(0, **values, **policy), 3000).filling is None


@given(st.integers(0, 10_000), st.integers(1, 24))
def test_modules_are_interleaved(bank: int, modules: int) -> None:
    module, cell = place(bank, modules)
    assert cell == bank // modules
    assert 0 <= module < modules
    one_round = [place(cell * modules + turn, modules) for turn in range(modules)]
    assert sorted(one_round) == [(number, cell) for number in range(modules)]


@given(scenarios(), st.floats(0, 1), st.data())
def test_every_bank_can_be_described(scenario: Scenario, share: float, data: DataObject) -> None:
    allocation = allocate(allocator_of(plan(scenario)), int(scenario.context * share))
    picture = bank_map(allocation, 200)
    bank = data.draw(st.integers(0, 199))
    text = describe(picture, allocation, bank)
    assert text.startswith(f"bank {bank}: ")
    assert "\n" not in text


def test_descriptions_of_sequences_name_consecutive_tokens() -> None:
    for policy, words in (
        ({"cb": True, "fill": "average"}, ""),
        ({"pa": True}, ", in 16-token blocks among those of 3 other sequences"),
    ):
        allocation = filmed(
            20_000, model="Llama-3.1-8B", context="30K", batch="4", gpu="B300", skip_weights=True, **policy
        )
        picture = bank_map(allocation, 2871)
        for owner in range(4):
            texts = [describe(picture, allocation, bank) for bank, of in enumerate(picture.owners) if of == owner]
            spans = []
            for text in texts:
                found = re.fullmatch(
                    rf"bank [\d,]+: sequence {owner + 1}, tokens ([\d,]+)–([\d,]+) · [\d.]+ MiB(.*)", text
                )
                assert found is not None, text
                assert found[3] == words
                spans.append((int(found[1].replace(",", "")), int(found[2].replace(",", ""))))
            held = allocation.sequences[owner].tokens
            assert spans[0][0] == 0
            assert held - 1 - spans[-1][1] <= spans[0][1]
            for before, after in pairwise(spans):
                assert after[0] in (before[1], before[1] + 1)


@pytest.mark.parametrize(
    ("values", "code", "words"),
    [
        ({}, Code.FREE, r"free · 95\.6 MiB"),
        ({}, Code.WEIGHTS, r"weights · 95\.6 MiB of 14\.96 GiB"),
        ({}, Code.WORKING, r"activations \(\d.*GiB\) and overhead \(460\.00 MiB\) · 95\.6 MiB"),
        ({"batch": "3"}, Code.RESERVED, r"reserved for sequence 1, no token yet · 95\.6 MiB"),
        ({"pa": True, "block_size": "4096"}, Code.PADDING, r"empty ends of last 4,096-token blocks · 95\.6 MiB of .*"),
        ({"pa": True, "batch": "2", "shared_prefix": "4K"}, Code.PREFIX, r"prefix that 2 sequences share · .*"),
        ({"batch": "8"}, Code.SAVED, r"free · 95\.6 MiB; without FlashAttention the attention scores would take .*"),
        ({"model": "Qwen3-Next-80B-A3B", "skip_weights": True, "batch": "9"}, Code.STATE, "recurrent state of 9 seq.*"),
        ({"model": "gemma-3-4b"}, FIRST_SEQUENCE, r"sequence 1, what tokens 0–[\d,]+ added · 95\.6 MiB"),
        (
            {"model": "whisper-large-v3", "gpu": "H100", "context": "448", "batch": "64"},
            32,
            r"sequence 1, encoder cache.*",
        ),
        (
            {"batch": "256", "cb": True, "fill": "average", "model": "Qwen3-0.6B"},
            FIRST_SEQUENCE,
            r"sequences 1–3 · 95\.6 MiB",
        ),
    ],
)
def test_words_for_each_kind_of_bank(values: dict[str, Any], code: Code | int, words: str) -> None:
    allocation = filmed(None, **({"model": "Llama-3.1-8B", "context": "20K", "gpu": "H100"} | values))
    if code in (Code.RESERVED, Code.PADDING):
        allocation = allocate(allocation.allocator, 8193)
    picture = bank_map(allocation, 853, avoided=True)
    if code == 32 and "encoder" in words:
        picture = bank_map(allocation, 6000)
        words = words.replace("95", "13")
    assert re.fullmatch(rf"bank [\d,]+: {words}", describe(picture, allocation, picture.codes.index(code)))


def test_what_cannot_be_drawn() -> None:
    allocation = filmed()
    for banks in (0, -5, 1_000_001):
        with pytest.raises(InputError, match=r"^banks: -?[\d,]+ is out of range \(1 to 1,000,000\)$"):
            bank_map(allocation, banks)
    picture = bank_map(allocation, 10)
    for bank in (-1, 10):
        with pytest.raises(InputError, match=r"^bank: -?\d+ is out of range \(0 to 9\)$"):
            describe(picture, allocation, bank)
    with pytest.raises(InputError, match=r"^modules: 0 is less than 1$"):
        place(3, 0)


def test_a_million_banks_of_a_small_memory() -> None:
    allocation = filmed(model="Llama-3.2-1B", gpu="Groq", skip_weights=True, pa=True, batch="2", context="100")
    assert_true_to(allocation, bank_map(allocation, 1_000_000))
