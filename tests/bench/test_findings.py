"""What a run found in sentences: the fastest against the slowest with their spread, or that they cannot be told."""

from __future__ import annotations

from typing import Any

from kvtui.bench.findings import findings


def row(group: str, label: str, median: float, spread: float = 0.05, status: str = "ok") -> dict[str, Any]:
    ends = {"p20": median * (1 - spread), "p50": median, "p80": median * (1 + spread)}
    steps = {f"decode_step_ms_{name}": value for name, value in ends.items()}
    return {"group": group, "label": label, "status": status, **steps}


def test_the_fastest_is_set_against_the_slowest_with_both_spreads() -> None:
    rows = [row("attention", "MHA", 2.0), row("attention", "MLA", 1.0), row("attention", "GQA", 1.5)]
    assert findings(rows) == [
        "attention: MLA decodes 2 × as fast as MHA: 1.000 ms (0.950–1.050) against 2.000 ms (1.900–2.100)."
    ]


def test_steps_far_above_their_floors_say_that_a_larger_size_says_more() -> None:
    far = [{**row("attention", "MHA", 2.0), "floor_ratio": 11.6}, {**row("attention", "MLA", 1.0), "floor_ratio": 16.1}]
    near = [{**row("attention", "MHA", 2.0), "floor_ratio": 1.4}, {**row("attention", "MLA", 1.0), "floor_ratio": 16.1}]
    assert findings(far)[0].endswith(" At 12 to 16 × the time of their bytes: a larger size says more.")
    assert "larger size" not in findings(near)[0]


def test_spreads_that_meet_tell_nothing_and_single_or_failed_cases_are_left_out() -> None:
    rows = [
        row("moe", "dense", 1.0, 0.2),
        row("moe", "experts", 1.2, 0.2),
        row("scale", "small", 1.0),
        row("dtype", "fp32", 1.0),
        row("dtype", "bf16", 9.0, status="oom"),
    ]
    (only,) = findings(rows)
    assert only.startswith("moe: no difference beyond the spread")


def test_machines_are_not_compared_with_each_other() -> None:
    rows = [
        row("g", label, ms) | {"machine": on} for label, ms, on in (("a", 1.0, "H"), ("b", 2.0, "H"), ("b", 9.0, "X"))
    ]
    (said,) = findings(rows)
    assert said.startswith("g, H: a decodes 2 × as fast as b")
