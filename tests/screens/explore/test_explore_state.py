"""What the Explore screen draws, without a terminal."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kvtui.cli import main
from kvtui.engine.basis.errors import InputError
from kvtui.engine.model.catalogue import find_model
from kvtui.engine.scenario.values import scenario_from
from kvtui.figures.catalogue import ENTRIES, find_entry
from kvtui.figures.figure import Axis, Panel, Surface
from kvtui.figures.json import from_json, to_json
from kvtui.screens.explore import words
from kvtui.screens.explore.state import MOST_MODELS, ExploreState, matching

SCENARIO = scenario_from({"model": "Llama-3.1-8B", "gpu": "H200 SXM", "context": "32K", "batch": "4"})
GEMMA, QWEN, SMALL = (find_model(name) for name in ("gemma-3-27b", "Qwen3-8B", "Qwen3-4B"))


def state_of(id: str, **fields: Any) -> ExploreState:
    return ExploreState(find_entry(id), **fields)


def test_parameters_belong_to_their_figure_and_defaults_are_not_kept() -> None:
    state = state_of("estimate-gqa").with_values({**find_entry("estimate-gqa").defaults, "emb_dim": 4096})
    assert state.values["emb_dim"] == 4096
    assert state.changed == {"estimate-gqa": {"emb_dim": 4096}}
    other = replace(state, entry=find_entry("estimate-mla"))
    assert other.values == find_entry("estimate-mla").defaults
    assert replace(other, entry=state.entry).values == state.values
    assert state.with_values(state.entry.defaults).command(SCENARIO) == "kvtui plot --figure estimate-gqa"


def test_models_are_drawn_once_and_four_at_most() -> None:
    state = state_of("kv-context")
    for model in (GEMMA, SCENARIO.model, GEMMA, QWEN):
        assert state.no_more == ""
        state = state.with_model(model, SCENARIO)
    assert state.models == (GEMMA, QWEN)
    state = state.with_model(SMALL, SCENARIO)
    assert len(state.models) + 1 == MOST_MODELS
    assert "4 models are drawn already" in state.no_more
    assert "draws one model" in replace(state, entry=find_entry("memory-map")).no_more


@pytest.mark.parametrize(
    "state",
    [
        state_of("kv-context", models=(GEMMA,)),
        state_of("memory-map"),
        state_of("estimate-gqa").with_values({**find_entry("estimate-gqa").defaults, "emb_dim": 4096}),
    ],
    ids=lambda state: state.entry.id,
)
def test_the_command_draws_the_same_figure(state: ExploreState, tmp_path: Path) -> None:
    target = tmp_path / "figure.json"
    command, *arguments = shlex.split(state.command(SCENARIO))
    assert command == "kvtui"
    assert main([*arguments, "-o", str(target)]) == 0
    assert to_json(from_json(target.read_text(), "f")) == to_json(state.figure(SCENARIO))


def test_a_run_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    state = state_of("01", run=tmp_path / "no such run")
    with pytest.raises(InputError, match="no such run"):
        state.figure(SCENARIO)
    assert state.command(SCENARIO) == f"kvtui plot {shlex.quote(str(state.run))} --figure 01"


def test_words_find_figures_by_all_that_is_said_of_them() -> None:
    assert matching("") == ENTRIES
    assert find_entry("kv-context") in matching("Cache CONTEXT")
    assert matching("no such figure") == ()
    assert all("memory" in f"{entry.id} {entry.title} {entry.question} {entry.group}" for entry in matching("memory"))


@pytest.mark.parametrize(("alone", "said"), [(None, "shown: all"), (1, "shown: 2 of 2, after")])
def test_the_hint_says_which_panel_is_shown(alone: int | None, said: str) -> None:
    line = "".join(span.text for span in words.hint("arrows", ("before", "after"), alone, 90))
    assert said in line
    assert "next panel" not in "".join(span.text for span in words.hint("arrows", ("before",), alone and 0, 90))


def test_the_title_says_what_is_drawn_where_there_is_room() -> None:
    wide, narrow = (words.title(state_of("01", run=Path("2026-01-01_run01")), SCENARIO, width) for width in (120, 30))
    assert "2026-01-01_run01" in "".join(span.text for span in wide)
    assert [span.text for span in narrow] == [f" {find_entry('01').question}"]


def test_of_several_sheets_one_is_shown_by_name_and_behind_the_last_all() -> None:
    values = np.arange(4.0).reshape(2, 2)
    ends = np.array([0.0, 1.0])
    sheets = tuple(Surface(name, ends, ends, values) for name in ("MHA", "MLA"))
    panel = Panel("cache", Axis("x"), Axis("y"), sheets, z=Axis("z"))
    for number, name in enumerate(("MHA", "MLA")):
        shown, names = words.one_sheet(panel, number)
        assert ([mark.name for mark in shown.marks], shown.title) == ([name], f"cache: {name}")
        assert names == ("MHA", "MLA")
    assert words.one_sheet(panel, 2)[0] is panel
