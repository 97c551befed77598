"""What a run found in sentences: the fastest against the slowest with their spread, or that they cannot be told."""

from __future__ import annotations

from typing import Any

from kvtui.bench.findings import findings

QUIET = {"load_average": 0.4, "cores": 2}


def row(group: str, label: str, median: float, spread: float = 0.05, status: str = "ok") -> dict[str, Any]:
    ends = {"p20": median * (1 - spread), "p50": median, "p80": median * (1 + spread)}
    steps = {f"decode_step_ms_{name}": value for name, value in ends.items()}
    return {"group": group, "label": label, "status": status, **steps}


def test_the_fastest_is_set_against_the_slowest_with_both_spreads() -> None:
    rows = [row("attention", "MHA", 2.0), row("attention", "MLA", 1.0), row("attention", "GQA", 1.5)]
    assert findings(rows, QUIET) == [
        "attention: MLA decodes 2 × as fast as MHA: 1.000 ms (0.950–1.050) against 2.000 ms (1.900–2.100)."
    ]


def test_steps_far_above_their_floors_say_that_a_larger_size_says_more() -> None:
    far = [{**row("attention", "MHA", 2.0), "floor_ratio": 11.6}, {**row("attention", "MLA", 1.0), "floor_ratio": 16.1}]
    near = [{**row("attention", "MHA", 2.0), "floor_ratio": 1.4}, {**row("attention", "MLA", 1.0), "floor_ratio": 16.1}]
    assert findings(far, QUIET)[0].endswith(" At 12 to 16 × the time of their bytes: a larger size says more.")
    assert "larger size" not in findings(near, QUIET)[0]


def test_spreads_that_meet_tell_nothing_and_single_or_failed_cases_are_left_out() -> None:
    rows = [
        row("moe", "dense", 1.0, 0.2),
        row("moe", "experts", 1.2, 0.2),
        row("scale", "small", 1.0),
        row("dtype", "fp32", 1.0),
        row("dtype", "bf16", 9.0, status="oom"),
    ]
    (only,) = findings(rows, QUIET)
    assert only.startswith("moe: dense and experts cannot be told apart here: 1.000 ms (0.800–1.200) against")


def test_machines_are_not_compared_with_each_other() -> None:
    rows = [
        row("g", label, ms) | {"machine": on} for label, ms, on in (("a", 1.0, "H"), ("b", 2.0, "H"), ("b", 9.0, "X"))
    ]
    (said,) = findings(rows, QUIET)
    assert said.startswith("g, H: a decodes 2 × as fast as b")


def test_nothing_is_concluded_from_a_busy_machine() -> None:
    """Timings of such a run: a step of 1.974 ms of which the middle 60 % lie between 0.207 and 3.854."""
    quiet = [row("attention", "MHA", 2.0), row("attention", "MLA", 1.0)]
    for host, rows, why in (
        ({"load_average": 9.6, "cores": 2}, quiet, "load 9.6 on 2 cores"),
        (QUIET, [one | {"cpu_share": 0.42} for one in quiet], "a thread got 42 % of a core"),
        (QUIET, [quiet[0], row("attention", "MLA", 1.974, 0.9)], "2 × as long or more in 1 of 2 rows"),
    ):
        (only,) = findings(rows, host)
        assert only.startswith("The machine was busy: ")
        assert why in only.replace("%", " %").replace("  %", " %")
        assert only.endswith("Nothing is concluded.")
    assert len(findings(quiet, {"load_average": 2.4, "cores": 2})) == 1
    assert "busy" not in findings(quiet, {"load_average": 2.4, "cores": 2})[0]


def test_a_difference_within_the_deviations_is_none_even_where_the_middles_are_apart() -> None:
    rows = [row("g", "a", 1.0, 0.1) | {"decode_step_ms_mad": 0.2}, row("g", "b", 1.5, 0.1)]
    assert "a and b cannot be told apart here" in findings(rows, QUIET)[0]


def test_repeats_of_a_case_are_one_case_with_the_widest_spread() -> None:
    drifting = [row("g", "a", 1.0), row("g", "a", 1.9), row("g", "b", 2.0)]
    assert "cannot be told apart" in findings(drifting, QUIET)[0]


def test_batches_are_compared_by_their_tokens_per_second() -> None:
    rows = [row("batch", "batch 1", 1.0) | {"batch_size": 1}, row("batch", "batch 8", 4.0) | {"batch_size": 8}]
    assert findings(rows, QUIET)[0] == (
        "batch: batch 8 gives 2 × the tokens per second of batch 1: "
        "2,000 tok/s (1,905–2,105) against 1,000 tok/s (952–1,053)."
    )
    equal = [rows[0], row("batch", "batch 8", 8.0) | {"batch_size": 8}]
    assert "batch 1 and batch 8 cannot be told apart here" in findings(equal, QUIET)[0]
    alike = [rows[0], row("batch", "batch 8", 7.5) | {"batch_size": 8}]
    assert "batch 8 and batch 1 cannot be told apart here" in findings(alike, QUIET)[0]


def test_each_attention_is_set_against_mha() -> None:
    rows = [
        row("attention", label, ms) | {"attn_variant": kind}
        for label, kind, ms in (("MHA", "MHA", 2.0), ("GQA(2/4)", "GQA", 1.6), ("MLA", "MLA", 1.98))
    ]
    (said,) = findings(rows, QUIET)
    assert "GQA(2/4) decodes 1.2 × as fast as MHA" in said
    assert "MLA and MHA cannot be told apart here" in said
