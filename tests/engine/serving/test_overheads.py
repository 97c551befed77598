"""What was measured takes the place of a prior, part by part, under every engine alike."""

from __future__ import annotations

from typing import Any

import pytest

from kvtui.engine.basis.errors import InputError
from kvtui.engine.basis.units import GIB
from kvtui.engine.engines.budget import Term, exact, settled
from kvtui.engine.engines.known import KNOWN
from kvtui.engine.engines.overheads import Overheads
from kvtui.engine.planning.serve import serve
from kvtui.engine.scenario.scenario import Scenario
from kvtui.engine.scenario.values import scenario_from
from tests.present import present

ENGINES = [known.name for known in KNOWN]


def of(engine: str, **measured: Any) -> Scenario:
    plain = scenario_from({"model": "Llama-3.1-8B", "engine": engine, "gpu": "H100 SXM", "context": "8K"})
    return plain._replace(serving=plain.serving._replace(measured=Overheads("mine", **measured)))


def unused() -> Term:
    raise AssertionError("a term that was measured is worked out")


def test_measured_terms_take_the_place_of_those_worked_out() -> None:
    work_out = {
        "weights": lambda: exact("weights", 11, "shapes", "here"),
        "graphs": lambda: exact("graphs", 5, "sizes", "here"),
    }
    sizes = {
        profile: [term.bytes for term in settled(profile, work_out)] for profile in (None, Overheads("mine", graphs=0))
    }
    assert list(sizes.values()) == [[11, 5], [11, 0]]
    assert settled(Overheads("mine", weights=3, graphs=4), {"weights": unused})[0].source == "profile mine"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("part", ["weights", "activation", "graphs", "non_torch"])
def test_a_byte_more_that_is_kept_is_not_the_pools(engine: str, part: str) -> None:
    """SGLang's share of the memory covers activations and graphs, so that they change nothing there."""
    little, much = (present(serve(of(engine, **{part: size}))).pool_bytes for size in (0, GIB))
    covered = engine == "sglang" and part in ("activation", "graphs")
    least, most = (0, 0) if covered else (0.8 * GIB, GIB)
    assert least <= little - much <= most


@pytest.mark.parametrize("engine", ENGINES)
def test_measured_weights_stand_for_parameters_that_nobody_knows(engine: str) -> None:
    known = of(engine, weights=15 * GIB)
    unknown = known._replace(model=known.model._replace(parameters=None))
    assert present(serve(unknown)).pool_bytes == present(serve(known)).pool_bytes
    without = unknown._replace(serving=unknown.serving._replace(measured=Overheads("mine", activation=GIB)))
    with pytest.raises(InputError, match="--skip-weights"):
        serve(without)
