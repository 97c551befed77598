"""Which panels stay in a column that is too low for all of them."""

from __future__ import annotations

from kvtui.canvas.cells import InkRow, Span
from kvtui.widgets.panels import Section, choose


def rows(count: int) -> list[InkRow]:
    return [(Span("x"),)] * count


def test_an_empty_row_gives_way_to_another_panel() -> None:
    scenario = Section("scenario", [*rows(2), (), *rows(1)], 0, ["a", "b", None, "c"])
    estimate = Section("estimate", rows(3), 1)
    assert choose([scenario, estimate], 11) == [scenario, estimate]
    tight, beside = choose([scenario, estimate], 10)
    assert (tight.rows, tight.actions, beside.rows) == (rows(3), ["a", "b", "c"], estimate.rows)
    assert choose([scenario, estimate], 9) == [scenario]
