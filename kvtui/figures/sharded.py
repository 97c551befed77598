"""Sharded decode: what each device holds, and how long a step and its sums take, by the number of devices.

What was measured is a solid line, what the planner says of it a dashed one.
"""

from __future__ import annotations

from kvtui.figures.figure import Axis, Figure, Line, Panel
from kvtui.figures.measured import (
    MeasuredValue,
    ResultRow,
    ResultRows,
    ValueBand,
    figure,
    line_marks,
    measure,
    nothing,
    number,
    value,
    word,
)

KIND = "sharded"
"""What a file of such rows says it is."""
ABOUT = ("sharded", "Decode over several devices", "What does each device hold, and what do the sums cost?")
DEVICES = Axis("tensor parallelism", "devices", "log2")
CACHE, WEIGHTS = (Axis(name, scale="log2", ticks="bytes") for name in ("KV cache", "weights"))
MS = Axis("median", "ms", "log10")
PLANNED, ALONE = ", planned", ", without sums"


def panels(rows: ResultRows) -> Figure:
    """Cache and weights of a device, the step with its sums and without, and the sums beside the planner's band."""
    done = [row for row in rows if row.get("status") == "ok"]
    if not done:
        return nothing(*ABOUT, "No row has been measured.")
    shown = (
        Panel("cache of a device", DEVICES, CACHE, _beside(done, CACHE, "kv")),
        Panel("weights of a device", DEVICES, WEIGHTS, _beside(done, WEIGHTS, "weights")),
        Panel("decode step", DEVICES, MS, (*_lines(done, _timed("step")), *_lines(done, _timed("alone"), ALONE))),
        Panel("sums of a step", DEVICES, MS, (*_lines(done, _timed("sums")), *_lines(done, _PLANNED_SUMS, PLANNED))),
    )
    return figure(*ABOUT, shown, _notes(done))


def _beside(rows: ResultRows, axis: Axis, what: str) -> tuple[Line, ...]:
    measured, planned = (measure(axis, f"{what}_{how}_bytes") for how in ("measured", "predicted"))
    return (*_lines(rows, measured), *_lines(rows, planned, PLANNED))


def _lines(rows: ResultRows, drawn: MeasuredValue, beside: str = "") -> tuple[Line, ...]:
    """A line for each attention, dashed where it stands ``beside`` another."""
    return line_marks(rows, value("tp"), drawn, lambda row: word(row, "label") + beside, lambda row: bool(beside))


def _timed(series: str) -> MeasuredValue:
    def of(row: ResultRow) -> ValueBand | None:
        middle = number(row, f"{series}_ms_p50")
        low, high = number(row, f"{series}_ms_p20"), number(row, f"{series}_ms_p80")
        return ValueBand(middle, low, high) if middle else None

    return MeasuredValue(MS, of)


def _planned_sums(row: ResultRow) -> ValueBand | None:
    low, high = number(row, "sums_predicted_ms_low"), number(row, "sums_predicted_ms_high")
    return None if low is None or high is None else ValueBand((low + high) / 2, low, high)


_PLANNED_SUMS = MeasuredValue(MS, _planned_sums)


def _notes(rows: ResultRows) -> list[str]:
    exact = all(
        row.get(f"{what}_measured_bytes") == row.get(f"{what}_predicted_bytes") for row in rows for what in PARTS
    )
    notes = ["Bytes of a device are as planned, to the byte." if exact else "Bytes of a device are not as planned."]
    if any(row.get("platform") == "cpu" for row in rows):
        notes.append("Devices of one processor share its cores and memory: times say nothing of devices with links.")
    return notes


PARTS = ("kv", "weights")
