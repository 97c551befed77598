"""The banks of the RAM: as many bytes each as the device's, and what they add up to."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from kvtui.engine.basis.units import GIB
from kvtui.engine.engines.placement import RAM, MemoryUse
from kvtui.engine.picture.bank_map import FIRST_SEQUENCE, Code
from kvtui.engine.picture.ram import CODES, ram_codes, ram_words

CAUSES = ("embedding", "experts", "layers", *CODES)
HELD = st.lists(
    st.tuples(st.sampled_from(CAUSES), st.integers(1, 2**40)), min_size=1, max_size=6, unique_by=lambda h: h[0]
)


@given(HELD, st.none() | st.integers(0, 2**42), st.integers(2**20, 2**34))
def test_every_part_has_its_share_to_a_bank(held: list[tuple[str, int]], capacity: int | None, bank: int) -> None:
    """And to its share of the last bank, which is not full."""
    use = MemoryUse(RAM, capacity, 3, tuple(held))
    if use.total // bank > 50_000:
        bank = use.total // 50_000
    codes = ram_codes(use, Fraction(bank))
    filled = len(codes) - codes.count(Code.FREE)
    assert filled == -(-use.total // bank)
    if not use.missing:
        for code in {int(CODES.get(cause, Code.WEIGHTS)) for cause, _ in held}:
            size = sum(size for cause, size in held if int(CODES.get(cause, Code.WEIGHTS)) == code)
            assert abs(codes.count(code) - size / bank) <= 1 + size / use.total
    over = codes.count(Code.OVERFLOW)
    assert over == min(use.missing // bank, filled)


def test_nine_to_one() -> None:
    use = MemoryUse(RAM, 64 * GIB, 0, (("experts", 9 * GIB), ("KV cache", GIB)))
    codes = ram_codes(use, Fraction(GIB, 10))
    assert [codes.count(code) for code in (Code.WEIGHTS, FIRST_SEQUENCE)] == [90, 10]
    assert ram_words(use)[0] == "RAM 10 of 64 GiB: experts 9.00 GiB, KV cache 1.00 GiB"
