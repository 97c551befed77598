"""The table against the scalar plan, capacity and estimate of each cell's own scenario."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DataObject

from kvtui.engine.advice import matrix
from kvtui.engine.advice.best import best_format
from kvtui.engine.advice.matrix import METRICS, VIEWS, Matrix, MatrixAnswer, table
from kvtui.engine.basis.errors import InputError
from kvtui.engine.device.catalogue import all_devices, find_device
from kvtui.engine.model.catalogue import find_model
from kvtui.engine.planning.capacity import capacity
from kvtui.engine.planning.estimate import estimate
from kvtui.engine.planning.plan import plan
from kvtui.engine.planning.roofline import Band
from kvtui.engine.scenario.scenario import Layout, Scenario
from kvtui.engine.scenario.values import scenario_from
from tests.engine.planning.test_properties import scenarios
from tests.present import present

ENGINES = ("vllm", "vllm@0.11", "llama.cpp", "sglang", "tensorrt-llm")


def expected(found: Matrix, row: int, column: int) -> MatrixAnswer:
    """What the slow way says about a cell: one plan, and what follows from it."""
    try:
        planned = plan(found.at(row, column))
    except InputError as error:
        return MatrixAnswer(reason=str(error))
    room, scenario = capacity(planned), planned.scenario
    if planned.serving is not None:
        used = scenario.batch / room.sequences if room.sequences else None
    elif scenario.kv_pool is None:
        used = planned.per_device.total / planned.budget_per_device
    elif planned.crowded:
        beside = planned.per_device.total - planned.per_device.cache
        used = (beside + scenario.kv_pool) / planned.budget_per_device
    else:
        used = planned.per_device.cache / scenario.kv_pool
    own = scenario.model.max_context
    beyond = own is not None and scenario.context > own
    return MatrixAnswer(planned.fits, used, room.context, room.sequences, estimate(planned), trained=own, beyond=beyond)


def check(scenario: Scenario, view: matrix.MatrixSubject, data: st.DataObject) -> None:
    """Two cells of a few of one line."""
    found = table(scenario, view)
    devices = st.lists(st.integers(0, len(found.devices) - 1), min_size=1, max_size=12, unique=True)
    piece = matrix.Piece(data.draw(st.integers(0, found.line_count - 1)), tuple(data.draw(devices)))
    answers = dict(zip(matrix.places(found, piece), matrix.evaluate(found, piece), strict=True))
    for place in data.draw(st.lists(st.sampled_from(sorted(answers)), min_size=1, max_size=2, unique=True)):
        assert answers[place] == expected(found, *place)


@given(scenarios(), st.sampled_from(list(VIEWS)), st.none() | st.integers(1, 2**34), st.data())
@settings(max_examples=8)
def test_a_cell_is_what_its_own_plan_says(
    scenario: Scenario, view: matrix.MatrixSubject, pool: int | None, data: DataObject
) -> None:
    check(scenario._replace(kv_pool=pool), view, data)


@given(
    st.sampled_from(ENGINES),
    st.sampled_from(["Llama-3.1-8B", "gemma-3-27b", "Qwen3.5-35B-A3B", "DeepSeek-V3.2"]),
    st.sampled_from(list(VIEWS)),
    st.sampled_from(["1", "2", "8"]),
    st.integers(1, 300_000),
    st.data(),
)
@settings(max_examples=8)
def test_a_cell_is_what_its_engine_allocates(
    engine: str, model: str, view: matrix.MatrixSubject, tp: str, context: int, data: DataObject
) -> None:
    scenario = scenario_from({"engine": engine, "model": model, "tp": tp, "context": str(context), "batch": "3"})
    check(scenario, view, data)


@pytest.mark.parametrize("view", list(VIEWS))
def test_the_own_cell_is_the_scenario(view: matrix.MatrixSubject) -> None:
    scenario = scenario_from({"model": "Qwen3-8B", "gpu": "L40S", "kv_dtype": "fp8", "context": "32K", "batch": "4"})
    found = table(scenario, view)
    place = present(found.place(scenario))
    assert found.at(*place) == scenario
    assert found.rows[place[0]] in ("Qwen3-8B", "L40S")
    assert found.place(scenario._replace(context=4096)) is None


@pytest.mark.parametrize("engine", ["none", "vllm"])
def test_every_cell_has_the_format_of_its_column_on_every_device(engine: str) -> None:
    """Also where the scenario leaves its formats to the engine."""
    for view, field in (("weights", "weight_dtype"), ("kv", "kv_dtype")):
        found = table(scenario_from({"model": "Qwen3-8B", "engine": engine}), view)  # type: ignore[arg-type]
        for column, name in enumerate(found.columns):
            for row in (0, len(found.rows) // 2, len(found.rows) - 1):
                with suppress(InputError):
                    assert getattr(found.at(row, column), field) == name


def test_a_model_from_a_file_is_a_row_of_its_own() -> None:
    stored = find_model("Llama-3.1-8B")._replace(name="mine", weight_bytes=5 * 2**30)
    scenario = scenario_from({})._replace(model=stored, weight_dtype="file", model_ref="mine.gguf")
    found = table(scenario, "models")
    assert found.rows[0] == "mine"
    assert found.at(*present(found.place(scenario))) == scenario
    other = found.at(found.rows.index("Qwen3-8B"), 0)
    assert (other.weight_dtype, other.model_ref) == ("bf16", "Qwen3-8B")
    assert table(scenario, "weights").columns[0] == "file"


def test_what_cannot_be_says_why() -> None:
    found = table(scenario_from({"tp": "8"}), "models")
    reasons = {}
    for name in ("Qwen2.5-7B", "Ling-3.0-Flash", "Llama-3.1-8B"):
        (only,) = matrix.evaluate(found, matrix.Piece(found.rows.index(name), (0,)))
        reasons[name] = only.reason
    assert "28" in reasons["Qwen2.5-7B"]
    assert "parameter count" in reasons["Ling-3.0-Flash"]
    assert reasons["Llama-3.1-8B"] == ""
    formats = table(scenario_from({}), "kv")
    with pytest.raises(InputError, match="latents"):
        formats.at(0, formats.columns.index("fp8_ds_mla"))


def test_an_engine_offers_its_own_formats() -> None:
    assert "q4_0" in table(scenario_from({"engine": "llama.cpp"}), "kv").columns
    assert "q4_0" not in table(scenario_from({"engine": "vllm"}), "kv").columns


def test_another_cell_of_the_table_has_the_same_table() -> None:
    scenario = scenario_from({"context": "32K", "batch": "4", "engine": "vllm"})
    found = table(scenario, "models")
    other = found.at(found.rows.index("DeepSeek-V3"), found.columns.index("B200"))
    assert found.same_cells(scenario)
    assert found.same_cells(other)
    assert not found.same_cells(other._replace(context=4096))
    assert not found.same_cells(other._replace(layout=Layout(tp=2)))
    assert not table(scenario, "kv").same_cells(other)
    drafting = scenario_from({"model": "DeepSeek-V3", "speculative_tokens": "1"})
    assert not table(drafting, "models").same_cells(scenario_from({}))


def cell(found: Matrix, place: tuple[int, int]) -> Scenario | str:
    """The cell's scenario, or why there is none."""
    try:
        return found.at(*place)
    except InputError as error:
        return str(error)


@given(st.data())
@settings(max_examples=10)
def test_cells_that_are_said_to_be_the_same_are(data: DataObject) -> None:
    scenario = scenario_from({"context": "32K", "batch": "4", "engine": data.draw(st.sampled_from(["none", *ENGINES]))})
    view = data.draw(st.sampled_from(list(VIEWS)))
    found = table(scenario, view)
    places = st.tuples(st.integers(0, len(found.rows) - 1), st.integers(0, len(found.columns) - 1))
    moved = cell(found, data.draw(places))
    assume(isinstance(moved, Scenario))
    assert isinstance(moved, Scenario)
    assume(found.same_cells(moved))
    other = data.draw(places)
    assert cell(table(moved, view), other) == cell(found, other)


def test_the_best_cells_come_first() -> None:
    times = estimate(plan(scenario_from({})))
    dear = times._replace(usd_per_million_tokens=Band(10.0, 20.0))
    cells = [
        MatrixAnswer(True, 0.5, 8192, 4, times),
        MatrixAnswer(True, 0.9, 16_384, None, dear),
        MatrixAnswer(False, 1.5, 4096, 1),
        MatrixAnswer(reason="it cannot be"),
        None,
    ]

    def order(key: str) -> list[int]:
        metric = next(metric for metric in METRICS if metric.key == key)
        return sorted(range(len(cells)), key=lambda i: matrix.sort_key(metric, cells[i]))

    assert order("used_share") == [0, 1, 2, 3, 4]
    assert order("max_context_tokens") == [1, 0, 2, 3, 4]
    assert order("max_sequences") == [1, 0, 2, 3, 4]
    assert order("usd_per_million_tokens") == [0, 1, 2, 3, 4]


def test_devices_of_a_line_are_answered_as_each_alone() -> None:
    devices = (*all_devices()[::9], find_device("H100 SXM"))
    several_values: tuple[dict[str, str | bool], ...] = (
        {"cb": True, "fill": "average", "pa": True, "batch": "20"},
        {"fa": False, "batch": "3"},
    )
    for values in several_values:
        base = scenario_from({"model": "gemma-3-27b", "context": "40000", **values})
        several = [base._replace(device=device) for device in devices]
        assert matrix.answers(several) == [matrix.answer(scenario) for scenario in several]


def test_a_context_beyond_the_models_own_maximum_is_no_success() -> None:
    """Llama-2-7B was trained for 4,096 tokens; 37 sequences of 16K fit an H100, and none of them is of any use."""
    for context, beyond in (("4K", False), ("16K", True)):
        for engine in ("none", "vllm"):
            found = matrix.answer(scenario_from({"model": "Llama-2-7B", "context": context, "engine": engine}))
            assert (found.trained, found.beyond) == (4096, beyond)
    metric = next(metric for metric in matrix.METRICS if metric.key == "max_sequences")
    useless = MatrixAnswer(True, 0.5, 300_000, 37, trained=4096, beyond=True)
    inside = MatrixAnswer(True, 0.9, 300_000, 2, trained=131_072)
    assert matrix.sort_key(metric, inside) < matrix.sort_key(metric, useless)
    assert best_format(scenario_from({"model": "Llama-2-13B", "context": "32K"})).context == 4096
