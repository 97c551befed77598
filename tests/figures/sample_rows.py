"""Rows of a sweep as if they had been measured, and what tests ask of figures."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, TypeVar

from numpy.typing import NDArray

from kvtui.cases.case import Case
from kvtui.cases.groups import GROUPS
from kvtui.cases.prediction import kv_bytes, step_bytes, step_flops
from kvtui.cases.table import REFERENCE_COLUMNS, table_row
from kvtui.figures.figure import Bars, Figure, HeatMap, Histogram, Line, Mark

M = TypeVar("M", bound=Mark)


def record(case: Case, slow: float = 1.0) -> dict[str, float | str]:
    """What a machine of 20 GB/s and 100 GFLOP/s with 1 ms per step would have measured."""
    moved, work = step_bytes(case, case.prompt), step_flops(case, case.prompt)
    step = slow * (1.0 + moved / 20e6)
    prefill = slow * (2.0 + case.batch * case.prompt * case.shape.blocks / 100)
    bands: dict[str, float | str] = {}
    for series, ms in (("prefill", prefill), ("ttft", 1.1 * prefill), ("decode_step", step)):
        bands |= {f"{series}_ms_p20": 0.9 * ms, f"{series}_ms_p50": ms, f"{series}_ms_p80": 1.2 * ms}
    return {
        **bands,
        "status": "ok",
        "tokens_per_second": 1e3 * case.batch / step,
        "kv_measured_bytes": kv_bytes(case),
        "model_flops": work,
        "floor_bytes": moved,
        "bandwidth_before_gbs": 20.0,
        "bandwidth_after_gbs": 19.0,
        "matmul_gflops": 100.0,
    }


def sweep_rows(size: str = "fast", groups: Collection[str] | None = None) -> list[dict[str, Any]]:
    """Every row of the sweep, measured."""
    return [
        table_row(row, 1, record(row.case))
        for group in GROUPS
        if groups is None or group.name in groups
        for row in group.rows(size)
    ]


def foreign_rows(size: str = "fast") -> list[dict[str, Any]]:
    """The same under the published sweep's columns alone."""
    return [{name: row[name] for name in REFERENCE_COLUMNS} for row in sweep_rows(size)]


def marks(figure: Figure, panel: int = 0) -> dict[str, Any]:
    """The marks of a panel by name."""
    return {mark.name: mark for mark in figure.panels[panel].marks}


def of_kind(kind: type[M], found: Iterable[Mark]) -> list[M]:
    """The marks that were ``found``, each of which must be of ``kind``."""
    marks: list[M] = []
    for mark in found:
        assert isinstance(mark, kind)
        marks.append(mark)
    return marks


def values(mark: Mark) -> NDArray[Any]:
    """A mark's values."""
    match mark:
        case Bars():
            return mark.values
        case Histogram():
            return mark.samples
        case Line():
            return mark.y
        case HeatMap():
            return mark.z
    return mark.z if hasattr(mark, "z") else mark.y


def said(figure: Figure) -> str:
    """All notes in one text."""
    return "\n".join(figure.notes)
