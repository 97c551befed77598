"""Text for panels of any width, also of columns that have none because they are only just being shown."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kvtui.canvas.memory.panels.text import cut, marked, packed, wrap
from kvtui.canvas.palette import Ink

TEXTS = st.text(alphabet="ab ·-", max_size=60)
WIDTHS = st.integers(-3, 30)


@given(TEXTS, WIDTHS, st.integers(0, 6))
def test_wrapped_text_is_whole_and_in_its_width(text: str, width: int, indent: int) -> None:
    lines = wrap(text, width, indent)
    assert all(len(line) <= max(1, width) for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


@given(TEXTS, WIDTHS)
def test_no_width_is_too_small(text: str, width: int) -> None:
    assert len(cut(text, width)) <= max(0, width)
    marked("•", Ink.DIM, text, width)
    packed(text.split(), width)
